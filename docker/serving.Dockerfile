# A serving node: `roost node …` with the official model server, on its official image. Its gateway is Envoy's official image, in a
# container beside it that sees the same directory (manifests/base/pool-default.yaml, docker/compose.yaml).
#   docker build -f docker/serving.Dockerfile -t roost-serving:0.1.0 .
#   docker build -f docker/serving.Dockerfile -t roost-serving:0.1.0-gpu --build-arg MODEL_SERVER=tensorflow/serving:2.21.0-gpu .
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm
ARG MODEL_SERVER=tensorflow/serving:2.21.0

FROM ${PYTHON_IMAGE} AS tools
RUN pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY docker/install.sh docker/extract_messages.py docker/

# More than a gigabyte is fetched here, and one megabyte of it kept.
FROM tools AS messages
RUN sh docker/install.sh messages /opt/messages

# The model server's image has another Python, or none: this one comes along, in the same place.
FROM tools AS build
ENV UV_PYTHON_INSTALL_DIR=/opt/python PYTHON=3.11.14
RUN uv python install 3.11.14 \
    && sh docker/install.sh environment /opt/roost \
    && sh docker/install.sh third-party node /opt/roost
COPY roost roost
COPY training training
COPY consumers consumers
COPY deployer deployer
COPY serving serving
COPY dags dags
RUN sh docker/install.sh roost /opt/roost

FROM ${MODEL_SERVER}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="roost-serving" \
      org.opencontainers.image.description="Roost's serving node with the official TensorFlow model server" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 0:0
RUN groupadd --gid 10001 roost && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin roost \
    && install -d -o 10001 -g 10001 /var/lib/roost
COPY --from=build /opt/python /opt/python
COPY --from=build /opt/roost /opt/roost
COPY --from=messages /opt/messages /opt/messages
ENV PATH=/opt/roost/bin:$PATH \
    PYTHONPATH=/opt/messages \
    PYTHONUNBUFFERED=1 \
    ROOST_STATE_DIR=/var/lib/roost \
    ROOST_SERVING__MODEL_SERVER=/usr/bin/tensorflow_model_server \
    ROOST_SERVING__ENVOY=beside
USER 10001:10001
WORKDIR /var/lib/roost
EXPOSE 8500 8501 8502
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8502/readyz', timeout=2)"]
# The model server's own entry point is replaced: the node starts it, with a configuration that it keeps.
ENTRYPOINT ["roost", "node"]
CMD ["--pool", "default", "--control", "0.0.0.0:8502", "--rest", "0.0.0.0:8501", "--grpc", "0.0.0.0:8500"]
