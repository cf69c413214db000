# One image for the broker and every agent: `docker build -t quantumai:local .`
# The base is any Debian 12 or 13; a mirror or a base of your own: --build-arg BASE=...
ARG BASE=docker.io/library/debian:bookworm-slim

# Everything that has to be fetched or compiled.
FROM ${BASE} AS build
ENV DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 python3-venv default-jre-headless maven \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY requirements.lock ./
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --require-hashes --only-binary :all: -r requirements.lock
# The package runs from /app as it is; manifests ask for its version, so its metadata stands beside it.
COPY pyproject.toml README.md requirements-dev.lock ./
RUN mkdir /opt/metadata && sed -n '/^setuptools==/,/[^\\]$/p' requirements-dev.lock >setuptools.lock \
 && python3 -m venv /opt/setuptools && /opt/setuptools/bin/pip install --require-hashes --only-binary :all: -r setuptools.lock \
 && /opt/setuptools/bin/python -c "from setuptools.build_meta import prepare_metadata_for_build_wheel as write; write('/opt/metadata')" && rm -rf /opt/metadata/*.egg-info
COPY deploy/broker deploy/broker
RUN deploy/broker/jars.sh && rm -rf ~/.m2
COPY schemas schemas
COPY streams streams
RUN /opt/venv/bin/python -m streams.class_archive

# The post-quantum token, from source; without it (--build-arg TOKEN=none) the signer uses SoftHSM2.
FROM ${BASE} AS token
ARG TOKEN=kryoptic
ENV DEBIAN_FRONTEND=noninteractive
WORKDIR /app
COPY deploy/token deploy/token
RUN mkdir -p build/token && if [ "$TOKEN" = kryoptic ]; then \
      apt-get update \
   && apt-get install -y --no-install-recommends ca-certificates cargo-web build-essential perl libclang-dev \
   && deploy/token/build.sh && rm -rf build/token/cargo; \
    fi

FROM ${BASE}
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 default-jre-headless softhsm2 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --home-dir /var/lib/quantumai --shell /usr/sbin/nologin quantumai \
 && install -d -o quantumai -g quantumai -m 750 /var/lib/quantumai /var/lib/kafka
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app/build build
COPY --from=build /opt/metadata .
COPY --from=token /app/build/token build/token
COPY . .
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    QUANTUMAI_HOME=/var/lib/quantumai QUANTUMAI_METRICS_HOST=0.0.0.0 QUANTUMAI_METRICS_PORT=9100
# Faust makes a folder where it runs; with a read-only root only /tmp takes one.
WORKDIR /tmp
USER 10001
EXPOSE 9100
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9100/healthz', timeout=4)"]
ENTRYPOINT ["python", "-m", "cli.main"]
CMD ["--help"]
