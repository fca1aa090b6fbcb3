# A static binary and nothing else. The engine's socket belongs to a group of the host: run the image with
#   docker run --read-only --cap-drop ALL --group-add "$(stat -c %g /var/run/docker.sock)" \
#     --volume /var/run/docker.sock:/var/run/docker.sock dockveil

FROM rust:1.95-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN target=$(rustc --print host-tuple) \
 && RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --target "$target" \
 && install -D "target/$target/release/dockveil" /out/dockveil

# The tests build everything from here on with a binary of their own in place of the stage above.
FROM scratch
COPY --from=build /out/dockveil /dockveil
COPY deploy/dockveil.yaml /etc/dockveil.yaml
COPY LICENSE /LICENSE
# Read when nothing else says what to serve: no DOCKVEIL_CONFIG, and no variables of another socket proxy.
ENV DOCKVEIL_DEFAULT_CONFIG=/etc/dockveil.yaml
# In the place of another socket proxy whose variables all have their defaults: 11notes, tecnativa or linuxserver.
ARG COMPAT=
ENV DOCKVEIL_COMPAT=${COMPAT}
# Nobody in particular. Who may use the engine's socket is for --group-add to say. In the place of a proxy that is
# started as root, RUN_USER=0:0 does without, and becomes nobody in particular by itself.
ARG RUN_USER=65532:65532
USER ${RUN_USER}
EXPOSE 2375
ENTRYPOINT ["/dockveil"]
CMD ["serve"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s --retries=3 CMD ["/dockveil", "healthcheck"]
