# docker build -t sema-chat-api .
#
# The program and the shared libraries that it needs, as user 1000.  Everything that it writes is below /data: conversations
# (sema.db) and model files (huggingface/); the rest may be read-only.  deploy/README.md tells how to run it.
FROM debian:trixie-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
        gcc libc6-dev meson ninja-build pkg-config python3 \
        libcurl4-openssl-dev libllhttp-dev libpcre2-dev libsqlite3-dev libssl-dev libutf8proc-dev libuv1-dev \
        libwslay-dev libyyjson-dev
WORKDIR /src
COPY meson.build meson_options.txt LICENSE README.md CHANGELOG.md .env.example ./
COPY model model/
COPY web web/
COPY docs/man docs/man/
COPY deploy/meson.build deploy/
COPY deploy/systemd deploy/systemd/
COPY tests/meson.build tests/
COPY bench/meson.build bench/
COPY examples examples/
COPY src src/
# Optimised as the tests ran it, without what only a debugger reads.
RUN meson setup /build -Dprefix=/usr -Dtests=disabled -Doptimization=2 -Ddebug=false -Dstrip=true \
    && ninja -C /build src/sema \
    && DESTDIR=/image meson install -C /build --no-rebuild --tags runtime

FROM debian:trixie-slim
# libcurl is for model downloads alone, and ca-certificates for all that goes over TLS.
RUN apt-get update && apt-get install -y --no-install-recommends \
        ca-certificates libcurl4t64 libpcre2-8-0 libsqlite3-0 libssl3t64 libutf8proc3 libuv1t64 libwslay1 libyyjson0 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* /var/cache/debconf/*-old \
    && useradd --uid 1000 --no-create-home --home-dir /data --shell /usr/sbin/nologin sema \
    && install -d -o 1000 -g 1000 -m 700 /data
COPY --from=build /image/usr/bin/sema /usr/bin/sema
COPY LICENSE /usr/share/doc/sema/copyright

# Any setting is given as an environment variable (docs/guide/settings.md).  SHUTDOWN_TIMEOUT fits the ten seconds that
# `docker stop` waits by default: raise both for longer answers.
ENV HOST=0.0.0.0 PORT=7860 STATE_DIRECTORY=/data HF_HOME=/data/huggingface SHUTDOWN_TIMEOUT=8
WORKDIR /data
VOLUME /data
USER 1000:1000
EXPOSE 7860
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["sema", "check", "--health"]
ENTRYPOINT ["sema"]
CMD ["serve"]
