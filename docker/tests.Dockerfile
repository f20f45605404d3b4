# The service image with the tests in it: shows that what runs in production passes them.
# bin/build-image --tests builds it on top of the service image, and runs it.
ARG SERVICE_IMAGE=harmony-vds:latest
FROM ${SERVICE_IMAGE}
USER 0:0
ARG UV_VERSION=0.13.8
ENV UV_SYSTEM_CERTS=1 \
    UV_HTTP_TIMEOUT=300 \
    UV_NO_CACHE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    UV_PROJECT_ENVIRONMENT=/opt/venv
RUN /usr/local/bin/python3 -m pip install --no-cache-dir --root-user-action=ignore "uv==${UV_VERSION}"
WORKDIR /src
COPY pyproject.toml uv.lock README.md LICENSE CHANGELOG.md service.yml ./
COPY docker docker
COPY harmony_vds harmony_vds
# Compiled, because this user cannot keep what a process compiles, and the tests start many.
RUN uv sync --frozen --inexact --group dev --compile-bytecode && python -m compileall -q harmony_vds
COPY bin bin
COPY docs docs
COPY tests tests
USER 10001:10001
# The file system may be read-only here, too; tests write below /tmp.
ENTRYPOINT ["python", "-m", "pytest", "-p", "no:cacheprovider", "-q"]
# Tests of a checkout, which has an environment of its own, leave themselves out.
CMD ["tests/unit"]
