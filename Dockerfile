# A static binary and nothing else, for the architecture that it is built on: amd64 and arm64 have the same file. The
# engine's socket belongs to a group of the host: run the image with
#   docker run --read-only --cap-drop ALL --group-add "$(stat -c %g /var/run/docker.sock)" \
#     --volume /var/run/docker.sock:/var/run/docker.sock dockveil

FROM rust:1.95-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN install -D "$(.ci/static)" /out/dockveil && install -d /out/run/dockveil

# The tests build everything from here on with a binary of their own in place of the stage above.
FROM scratch
COPY --from=build /out/dockveil /dockveil
# For a socket that other containers share: a new volume gets the owner of the folder that it is mounted over.
COPY --from=build --chown=1000:1000 /out/run /run
COPY deploy/dockveil.yaml /etc/dockveil.yaml
COPY LICENSE /LICENSE
# Read when nothing else says what to serve: no DOCKVEIL_CONFIG, and no variables of another socket proxy.
ENV DOCKVEIL_DEFAULT_CONFIG=/etc/dockveil.yaml
# Large buffers are always mappings of their own, which go back to the system as soon as they are freed.
ENV GLIBC_TUNABLES=glibc.malloc.mmap_threshold=131072
# In the place of another socket proxy whose variables all have their defaults: 11notes, tecnativa or linuxserver.
ARG COMPAT=
ENV DOCKVEIL_COMPAT=${COMPAT}
# Nobody in particular. Who may use the engine's socket is for --group-add to say. In the place of a proxy that is
# started as root, RUN_USER=0:0 does without, and becomes nobody in particular by itself.
ARG RUN_USER=1000:1000
USER ${RUN_USER}
# What the image is. A release names its version and the commit that it is built of.
ARG VERSION=0.2.0
ARG REVISION=
LABEL org.opencontainers.image.title="dockveil" \
      org.opencontainers.image.description="A response-filtering mediator for the Docker Engine API" \
      org.opencontainers.image.source="https://github.com/dockveil/dockveil" \
      org.opencontainers.image.documentation="https://github.com/dockveil/dockveil/blob/main/README.md" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
EXPOSE 2375
ENTRYPOINT ["/dockveil"]
CMD ["serve"]
# Healthy within two seconds, and one probe in 30 seconds from then on, with any engine: --start-interval would need Docker 25.
HEALTHCHECK --interval=1s --timeout=40s --start-period=10s --retries=3 CMD ["/dockveil", "healthcheck", "--every", "30"]
