# Build stage and final stage are both Debian 12, so that glibc is the same.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --package sidegate --bin sidegate \
    && install -D -m 0755 target/release/sidegate /out/sidegate \
    && install -d -m 0700 /out/state

# No shell, no package manager; CA certificates are there. Nothing is written to the root file system
# but for the store, which is a volume:
#   docker run --read-only -v ./sidegate.toml:/etc/sidegate/sidegate.toml:ro -v sidegate:/var/lib/sidegate -p 8080:8080 sidegate
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="Sidegate" \
      org.opencontainers.image.description="The side gate for embedded chat" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/sidegate /usr/local/bin/sidegate

# A new volume takes over the owner and mode of what it covers.
COPY --from=build --chown=65532:65532 /out/state /var/lib/sidegate
ENV SIDEGATE__STORE__PATH=/var/lib/sidegate/sidegate.db
VOLUME /var/lib/sidegate

# The number, not the name: Kubernetes checks runAsNonRoot by it.
USER 65532:65532

# Browsers only. The private and ops listeners stay on the loopback of the container or pod.
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["/usr/local/bin/sidegate", "health"]
ENTRYPOINT ["/usr/local/bin/sidegate"]
CMD ["serve", "-c", "/etc/sidegate/sidegate.toml"]
