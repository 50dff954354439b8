# Deployer, consumers, console, rolling restart, migrations: `roost …`. No TensorFlow binaries.
#   docker build -f docker/services.Dockerfile -t roost-services:0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" .
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS tools
RUN pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY docker/install.sh docker/extract_messages.py docker/

# More than a gigabyte is fetched here, and one megabyte of it kept.
FROM tools AS messages
RUN sh docker/install.sh messages /opt/messages

FROM tools AS build
RUN sh docker/install.sh environment /opt/roost \
    && sh docker/install.sh third-party services /opt/roost
COPY roost roost
COPY training training
COPY consumers consumers
COPY deployer deployer
COPY serving serving
COPY dags dags
RUN sh docker/install.sh roost /opt/roost

FROM ${PYTHON_IMAGE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="roost-services" \
      org.opencontainers.image.description="Roost's deployer, consumers and console" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 roost && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin roost \
    && install -d -o 10001 -g 10001 /var/lib/roost
COPY --from=build /opt/roost /opt/roost
COPY --from=messages /opt/messages /opt/messages
ENV PATH=/opt/roost/bin:$PATH \
    PYTHONPATH=/opt/messages \
    PYTHONUNBUFFERED=1 \
    ROOST_STATE_DIR=/var/lib/roost \
    ROOST_HEALTH_HOST=0.0.0.0 \
    ROOST_HEALTH_PORT=8080
USER 10001:10001
WORKDIR /var/lib/roost
EXPOSE 8080 8088
# For whoever runs it without Kubernetes, which has its own probes and ignores this. The console answers on its own port.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ.get('ROOST_CONSOLE__PORT', os.environ['ROOST_HEALTH_PORT']) + '/readyz', timeout=2)"]
ENTRYPOINT ["roost"]
CMD ["--help"]
