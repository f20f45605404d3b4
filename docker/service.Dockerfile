# The service image. bin/build-image builds it; from the repository root, so does
#   docker build -f docker/service.Dockerfile -t harmony-vds .
# Only instructions every builder knows (no BuildKit mounts, no here-documents).

# Any Debian-like base with Python >= 3.12 and pip will do.
ARG BASE_IMAGE=docker.io/library/python:3.12-slim-bookworm

# ---- the locked dependencies: rebuilt only when the lock changes ----
FROM ${BASE_IMAGE} AS dependencies
ARG UV_VERSION=0.13.8
# The system's certificates let the build pass a proxy that re-signs HTTPS; only the base's
# Python may be used, since the final stage has no other.
ENV UV_SYSTEM_CERTS=1 \
    UV_HTTP_TIMEOUT=300 \
    UV_NO_CACHE=1 \
    UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1 \
    UV_PYTHON_DOWNLOADS=never \
    UV_PROJECT_ENVIRONMENT=/opt/venv
RUN python3 -m pip install --no-cache-dir --root-user-action=ignore "uv==${UV_VERSION}"
WORKDIR /src
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --no-install-project

# ---- the package alone, so that a change of source does not copy the dependencies again ----
FROM dependencies AS package
COPY README.md LICENSE ./
COPY docker/service_version.txt docker/
COPY harmony_vds harmony_vds
RUN uv pip install --python /opt/venv --prefix /opt/package --no-deps .

# ---- what runs: neither uv nor the sources ----
FROM ${BASE_IMAGE}
# rasterio's wheels count on the system's libexpat, which slim images lack.
RUN apt-get update -q \
    && apt-get install -qy --no-install-recommends libexpat1 \
    && apt-get clean && rm -rf /var/lib/apt/lists/*
# A numeric user, because Kubernetes cannot check runAsNonRoot against a name. The standard
# library is compiled here because slim images leave that out, and this user cannot write it:
# without it every start of the service would compile it again.
RUN groupadd --gid 10001 harmony \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /bin/sh harmony \
    && python3 -m compileall -q -x '/(site-packages|test|tests|idlelib|lib2to3)/' \
        "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=dependencies /opt/venv /opt/venv
# The install prefix mirrors the environment's layout, so this adds the package to it.
COPY --from=package /opt/package /opt/venv

# /tmp is the one place that may be written: Harmony mounts an empty volume over it, and the
# rest of the file system may be read-only.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
# Harmony replaces this with a /bin/sh loop and runs the same command inside it.
ENTRYPOINT ["python", "-m", "harmony_vds"]

ARG BASE_IMAGE
ARG VERSION=unknown
LABEL org.opencontainers.image.title="harmony-vds" \
      org.opencontainers.image.description="Answers NASA Harmony requests from virtual Zarr stores." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE_IMAGE}" \
      org.opencontainers.image.version="${VERSION}"
