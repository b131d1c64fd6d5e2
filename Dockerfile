# The daemon. For a GPU, build with --build-arg EXTRAS=[gpu] (CUDA and cuDNN, as onnxruntime wants
# them) and run with --gpus all. For retraining EXTRAS=[train], or [gpu,train]; for the live site [web].
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS build
ARG EXTRAS=
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY locks ./locks
# Every package in its locked version and by its digest.
RUN python3 -m venv /opt/stgal && \
    wanted=$(echo "${EXTRAS:-[run]}" | tr -d '[]' | tr ',' '\n' | sed 's|.*|-r locks/&.txt|') && \
    /opt/stgal/bin/pip install --no-cache-dir --require-hashes ${wanted}
RUN python3 -m venv /opt/build && \
    /opt/build/bin/pip install --no-cache-dir --require-hashes -r locks/build.txt
COPY stgal_stream ./stgal_stream
COPY tools/web-setup ./tools/web-setup
# The page's libraries, where the page is wanted.
RUN case "${EXTRAS}" in *web*) tools/web-setup /opt/build/bin ;; esac && \
    /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /src/wheel . && \
    /opt/stgal/bin/pip install --no-cache-dir --no-deps /src/wheel/*.whl

FROM ${BASE}
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/stgal stgal
COPY --from=build /opt/stgal /opt/stgal
ENV PATH=/opt/stgal/bin:$PATH \
    STGAL_DAEMON_STATE_DIR=/var/lib/stgal/state \
    STGAL_EMBED_RELEASES=/var/lib/stgal/releases \
    STGAL_DAEMON_HTTP_HOST=0.0.0.0
USER 10001
WORKDIR /var/lib/stgal
VOLUME /var/lib/stgal
EXPOSE 9464 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9464/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["stgal-stream"]
CMD ["run", "--brokers", "kafka:9092"]
