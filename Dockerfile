# One image for all services: `imaging serve SERVICE`. Nothing in it runs as root or needs a writable root file system:
# data is below /var/lib/imaging, temporary files in /tmp.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG UV_VERSION=0.13.9
ENV UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
RUN python -m pip install --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}" \
 && uv venv /opt/imaging
WORKDIR /src
# The dependencies first: a change of our own code leaves this layer as it is.
COPY requirements-run.lock ./
RUN uv pip install --python /opt/imaging/bin/python --compile-bytecode --require-hashes -r requirements-run.lock
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY imaging imaging
COPY storage_svc storage_svc
COPY processing_svc processing_svc
COPY analysis_svc analysis_svc
COPY reporting_svc reporting_svc
COPY pipeline_svc pipeline_svc
COPY gateway_svc gateway_svc
RUN uv pip install --python /opt/imaging/bin/python --compile-bytecode --no-deps --build-constraints requirements.lock .

FROM ${PYTHON_IMAGE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="imaging-pipeline" \
      org.opencontainers.image.description="An open, gRPC-first medical imaging pipeline: DICOM in, finished standard reports out." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 imaging \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/imaging --shell /usr/sbin/nologin imaging \
 && install -d -o 10001 -g 10001 -m 0750 /var/lib/imaging
COPY --from=build /opt/imaging /opt/imaging
ENV PATH=/opt/imaging/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    IMAGING_DATA_DIR=/var/lib/imaging
USER 10001:10001
WORKDIR /var/lib/imaging
VOLUME ["/var/lib/imaging"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["imaging"]
CMD ["--help"]
