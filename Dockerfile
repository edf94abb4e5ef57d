# Targets: `api` (no TensorFlow), `worker` (CPU) and `worker-gpu`. The last is the default.
ARG BASE=python:3.11-slim

FROM ${BASE} AS python
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

# Luthier itself, as a wheel.
FROM python AS wheel
WORKDIR /source
COPY requirements/build.lock requirements/
RUN python3 -m venv /build && /build/bin/pip install --quiet --require-hashes -r requirements/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY api api
COPY models models
COPY luthier luthier
RUN /build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels .

# One environment a target, all of it below /opt/luthier. The packages' own tests are left out, and
# bytecode is compiled now because nothing can be written later.
FROM python AS api-environment
COPY requirements/api.lock /tmp/
RUN python3 -m venv /opt/luthier && /opt/luthier/bin/pip install --quiet --require-hashes -r /tmp/api.lock
COPY --from=wheel /wheels /tmp/wheels
RUN /opt/luthier/bin/pip install --quiet --no-deps /tmp/wheels/*.whl \
    && find /opt/luthier -type d -name tests -prune -exec rm -r {} + \
    && /opt/luthier/bin/python -m compileall -q /opt/luthier

FROM python AS worker-environment
COPY requirements/worker.lock /tmp/
RUN python3 -m venv /opt/luthier && /opt/luthier/bin/pip install --quiet --require-hashes -r /tmp/worker.lock
COPY --from=wheel /wheels /tmp/wheels
RUN /opt/luthier/bin/pip install --quiet --no-deps /tmp/wheels/*.whl \
    && find /opt/luthier -type d -name tests -prune -exec rm -r {} + \
    && /opt/luthier/bin/python -m compileall -q /opt/luthier

FROM python AS worker-gpu-environment
COPY requirements/worker-gpu.lock /tmp/
RUN python3 -m venv /opt/luthier && /opt/luthier/bin/pip install --quiet --require-hashes -r /tmp/worker-gpu.lock
COPY --from=wheel /wheels /tmp/wheels
RUN /opt/luthier/bin/pip install --quiet --no-deps /tmp/wheels/*.whl \
    && find /opt/luthier -type d -name tests -prune -exec rm -r {} + \
    && /opt/luthier/bin/python -m compileall -q /opt/luthier

# What every target runs in: an account without rights, a root file system that may be read-only, and
# three places to write: /data, /artifacts (shared by API and workers where it is no S3) and /tmp.
FROM python AS runtime
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Luthier" \
      org.opencontainers.image.description="Tunes neural networks over REST and serves the winner" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 luthier \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp luthier \
    && install -d -o 10001 -g 10001 /data /artifacts
ENV PATH=/opt/luthier/bin:$PATH HOME=/tmp LUTHIER_DATA=/data
USER 10001:10001
WORKDIR /data
VOLUME ["/data", "/artifacts", "/tmp"]

FROM runtime AS api
COPY --from=api-environment /opt/luthier /opt/luthier
ENV LUTHIER_BIND=0.0.0.0:8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["luthier"]
CMD ["api"]

FROM runtime AS worker
COPY --from=worker-environment /opt/luthier /opt/luthier
ENV LUTHIER_WORKER_BIND=0.0.0.0:8001
EXPOSE 8001
HEALTHCHECK --interval=30s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8001/healthz', timeout=2)"]
ENTRYPOINT ["luthier"]
CMD ["worker"]

FROM runtime AS worker-gpu
COPY --from=worker-gpu-environment /opt/luthier /opt/luthier
ENV LUTHIER_WORKER_BIND=0.0.0.0:8001 LUTHIER_REQUIRE_GPU=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
EXPOSE 8001
HEALTHCHECK --interval=30s --timeout=3s --start-period=90s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8001/healthz', timeout=2)"]
ENTRYPOINT ["luthier"]
CMD ["worker"]
