# One file for all services: docker build --build-arg SERVICE=segments --tag heliograph-segments .
# The build environment (compiler, hatchling) stays in the first stage; the second holds the locked third-party
# packages of this one service, its own wheels, and nothing of another service.

FROM python:3.11-slim AS build
ARG SERVICE
WORKDIR /src
# Third party first: these layers are reused until a lock changes.
COPY requirements/build.txt requirements/${SERVICE}.in requirements/${SERVICE}.txt requirements/
RUN python -m venv /build \
 && /build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt \
 && python -m venv /app \
 && /app/bin/pip install --no-cache-dir --require-hashes -r requirements/${SERVICE}.txt
COPY protos protos
COPY kit kit
COPY plugins plugins
COPY services/${SERVICE} services/${SERVICE}
# The same .in file feeds the lock and this step, so they cannot disagree about what belongs to the service.
RUN PATH=/build/bin:$PATH /build/bin/pip wheel --no-deps --no-build-isolation -w /wheels \
      $(sed -n 's/^-e //p' requirements/${SERVICE}.in) \
 && /app/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl \
 && /app/bin/pip check \
 && /app/bin/pip uninstall --yes pip setuptools \
 && ln -s heliograph-${SERVICE} /app/bin/serve

FROM python:3.11-slim
COPY LICENSE /LICENSE
COPY --from=build /app /app
# Byte code is compiled at build time; the root file system is read-only when it runs.
RUN python -m compileall -q /app/lib || true
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HELIOGRAPH_LISTEN=0.0.0.0:50051
EXPOSE 50051
USER 10001
ENTRYPOINT ["/app/bin/serve"]
