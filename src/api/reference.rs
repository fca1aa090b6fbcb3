//! References of images.

/// A reference without what Docker and Podman leave out or add: the registry and the folder of Docker's own images, the
/// registry of images that were made here, the tag `latest`.
pub fn familiar(reference: &str) -> String {
    let short =
        ["docker.io/library/", "docker.io/", "localhost/"].iter().find_map(|start| reference.strip_prefix(start));
    let short = short.unwrap_or(reference);
    let last = short.rsplit('/').next().unwrap_or(short);
    if last.contains([':', '@']) { short.to_owned() } else { format!("{short}:latest") }
}
