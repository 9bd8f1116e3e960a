# The Hubbub chat server in a container. docs/install.md explains how to run it.
#
#   docker build --build-arg COMMIT="$(git rev-parse HEAD)" -t hubbub .

ARG RUST=1.95.0-bookworm
ARG DEBIAN=12.11-slim

FROM rust:${RUST} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ARG COMMIT=
# The C core of gRPC takes ten minutes to build; the cache keeps it.
RUN --mount=type=cache,target=/src/target \
    --mount=type=cache,target=/usr/local/cargo/registry \
    HUBBUB_COMMIT="$COMMIT" cargo build --release --locked --bins \
    && mkdir /out \
    && for program in hubbub-server hubbub hubbub-repeat; do \
        strip -o "/out/$program" "target/release/$program" || exit 1; \
    done

FROM debian:${DEBIAN}
# No package is installed: Debian's base has all libraries that the programs need.
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /var/lib/hubbub --shell /usr/sbin/nologin hubbub \
    && install -d -m 0700 -o hubbub -g hubbub /var/lib/hubbub \
    && install -d -m 0755 -o hubbub -g hubbub /run/hubbub
COPY --from=build /out/ /usr/local/bin/
USER 10001:10001
ENV HUBBUB_DATA=/var/lib/hubbub
WORKDIR /var/lib/hubbub
VOLUME /var/lib/hubbub
EXPOSE 5000 5080
# It drains: clients get all that was accepted.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=5m CMD ["hubbub-server", "health"]
ENTRYPOINT ["hubbub-server"]
