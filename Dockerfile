# The image of the README's "As a container". `docker build .` compiles it; `make image` puts in a binary that the host
# has compiled (a context with dist/reconcile), on the same last stage.
ARG BUILDER=rust:1-bookworm
ARG BASE=debian:bookworm-slim

FROM ${BUILDER} AS build
# By which what a builder keeps of this stage can be found and removed.
ARG BUILD_ID=unnamed
LABEL reconcile.build=${BUILD_ID}
WORKDIR /source
COPY . .
RUN if [ -x dist/reconcile ]; then \
      cp dist/reconcile /reconcile; \
    else \
      scripts/setup && cargo build --release --locked && cp target/release/reconcile /reconcile; \
    fi

FROM ${BASE}
COPY --from=build /reconcile /usr/local/bin/reconcile
# OpenSSL and certificates are for git over HTTPS; a base that has them is left alone.
RUN if ! reconcile --version || ! [ -e /etc/ssl/certs/ca-certificates.crt ]; then \
      apt-get update && \
      apt-get install -y --no-install-recommends libssl3 ca-certificates && \
      rm -rf /var/lib/apt/lists/* && \
      reconcile --version; \
    fi
# Pods' volumes lie here and Docker on the host mounts them, so it must be mounted from the same path of the host.
ENV RECONCILE_DATA_DIR=/var/lib/reconcile
VOLUME /var/lib/reconcile
ENTRYPOINT ["reconcile"]
CMD ["/manifests"]
