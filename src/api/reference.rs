//! References of images.

/// A reference without what Docker and Podman leave out or add: the registry and the folder of Docker's own images, the
/// registry of images that were made here, the tag `latest`.
pub fn familiar(reference: &str) -> String {
    let short =
        ["docker.io/library/", "docker.io/", "localhost/"].iter().find_map(|start| reference.strip_prefix(start));
    let short = short.unwrap_or(reference);
    with_tag(short)
}

/// A reference with the tag that it means: `latest` if it has neither a tag nor a digest.
pub fn with_tag(reference: &str) -> String {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    if last.contains([':', '@']) { reference.to_owned() } else { format!("{reference}:latest") }
}
