# Airflow with Roost's DAGs and what a training run needs, TensorFlow included. Also the image of training pods.
#   docker build -f docker/airflow.Dockerfile -t roost-airflow:0.1.0 .
ARG AIRFLOW_IMAGE=apache/airflow:3.3.2-python3.11

FROM ${AIRFLOW_IMAGE} AS build
USER 0:0
RUN install -d -o 50000 -g 0 /opt/roost /src
# The official image refuses pip to root.
USER 50000:0
RUN pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY docker/install.sh docker/airflow-kubernetes.txt docker/
# An environment of its own, from the lock, rather than into the image's: what was tested is what runs.
RUN sh docker/install.sh environment /opt/roost \
    && sh docker/install.sh third-party training,airflow /opt/roost \
    && sh docker/install.sh more docker/airflow-kubernetes.txt /opt/roost
COPY roost roost
COPY training training
COPY consumers consumers
COPY deployer deployer
COPY serving serving
COPY dags dags
RUN sh docker/install.sh roost /opt/roost

# Of the official image stay its entry point, its user and its conventions, which the official Helm chart counts on.
FROM ${AIRFLOW_IMAGE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="roost-airflow" \
      org.opencontainers.image.description="Airflow with Roost's DAGs and training" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/roost /opt/roost
COPY --chown=airflow:0 dags /opt/airflow/dags
ENV PATH=/opt/roost/bin:$PATH \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/airflow/dags \
    TF_CPP_MIN_LOG_LEVEL=2
USER 50000:0
WORKDIR /opt/airflow
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=90s --retries=5 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/api/v2/monitor/health', timeout=4)"]
