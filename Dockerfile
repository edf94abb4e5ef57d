# `--build-arg IMAGE=` chooses what is built: `api` (no TensorFlow), `worker` (CPU) or `worker-gpu`. It names the
# lock file of the environment and the stage that the image continues; without it, worker-gpu is built.
ARG BASE=python:3.11-slim
ARG IMAGE=worker-gpu

FROM ${BASE} AS python
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

# The environment, below /opt/luthier. The packages' own tests are left out, and bytecode is compiled now because
# nothing can be written later. Luthier itself comes last, as a wheel: its changes install no dependency again.
FROM python AS environment
WORKDIR /source
ARG IMAGE
COPY requirements requirements
RUN python3 -m venv /opt/luthier \
    && /opt/luthier/bin/pip install --quiet --no-compile --require-hashes -r requirements/${IMAGE}.lock
RUN python3 -m venv /build && /build/bin/pip install --quiet --no-compile --require-hashes -r requirements/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY api api
COPY models models
COPY luthier luthier
RUN /build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/luthier/bin/pip install --quiet --no-compile --no-deps /wheels/*.whl \
    && find /opt/luthier -type d -name tests -prune -exec rm -r {} + \
    && /opt/luthier/bin/python -m compileall -q /opt/luthier

# What every image runs in: an account without rights, a root file system that may be read-only, and three
# places to write: /data, /artifacts (shared by API and workers where it is no S3) and /tmp.
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
ENTRYPOINT ["luthier"]

FROM runtime AS api
ENV LUTHIER_BIND=0.0.0.0:8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["api"]

FROM runtime AS worker
ENV LUTHIER_WORKER_BIND=0.0.0.0:8001
EXPOSE 8001
HEALTHCHECK --interval=30s --timeout=3s --start-period=90s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8001/healthz', timeout=2)"]
CMD ["worker"]

FROM worker AS worker-gpu
ENV LUTHIER_REQUIRE_GPU=1 NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM ${IMAGE}
COPY --from=environment /opt/luthier /opt/luthier
