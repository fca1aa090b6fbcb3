//! References of images.

/// A reference without what Docker and Podman leave out or add: the registry and the folder of Docker's own images, the
/// registry of images that were made here, the tag `latest`.
pub fn familiar(reference: &str) -> String {
    let short =
        ["docker.io/library/", "docker.io/", "localhost/"].iter().find_map(|start| reference.strip_prefix(start));
    let short = short.unwrap_or(reference);
    with_tag(short)
}

/// A reference without what Docker leaves out and Podman adds, for an image that is Docker's own or has no registry.
pub fn of_docker(reference: &str) -> String {
    let short = ["docker.io/library/", "docker.io/"].iter().find_map(|start| reference.strip_prefix(start));
    with_tag(short.unwrap_or(reference))
}

/// Whether a reference begins with a registry: a name or an address before the first slash.
pub fn has_registry(reference: &str) -> bool {
    reference.split_once('/').is_some_and(|(first, _)| first.contains(['.', ':']) || first == "localhost")
}

/// A reference with the tag that it means: `latest` if it has neither a tag nor a digest.
pub fn with_tag(reference: &str) -> String {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    if last.contains([':', '@']) { reference.to_owned() } else { format!("{reference}:latest") }
}
