//! References of images.
//!
//! Podman takes more for the name of an image than Docker does: behind a *transport*, such as `dir:` or `containers-storage:`, it
//! opens a place on the host, and may make one there, although nothing but an image is asked for.

/// The transports of Podman that lead to the host. `docker:` is none without `//`, and the name of an image.
///
/// Source: `transports/alltransports` of containers/image.
const TRANSPORTS: [&str; 10] = [
    "atomic",
    "containers-storage",
    "dir",
    "docker-archive",
    "docker-daemon",
    "oci",
    "oci-archive",
    "ostree",
    "sif",
    "tarball",
];

/// A reference without what Docker and Podman leave out or add: the registry and the folder of Docker's own images, the
/// registry of images that were made here, the tag `latest`.
pub fn familiar(reference: &str) -> String {
    reference.strip_prefix("localhost/").map_or_else(|| of_docker(reference), with_tag)
}

/// A reference without what Docker leaves out and Podman adds, for an image that is Docker's own or has no registry.
pub fn of_docker(reference: &str) -> String {
    let short = ["docker.io/library/", "docker.io/"].iter().find_map(|start| reference.strip_prefix(start));
    with_tag(short.unwrap_or(reference))
}

/// Whether a reference begins with a registry: a name or an address before the first slash. Docker knows it by a dot, a port or a
/// capital letter, which no path has.
///
/// Source: `splitDockerDomain` of distribution/reference.
pub fn has_registry(reference: &str) -> bool {
    let is_registry = |first: &str| {
        first.contains(['.', ':']) || first == "localhost" || first.contains(|letter: char| letter.is_uppercase())
    };
    reference.split_once('/').is_some_and(|(first, _)| is_registry(first))
}

/// The registry that an image is pulled from.
pub fn registry_of(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((registry, _)) if has_registry(reference) => registry,
        Some(_) | None => "docker.io",
    }
}

/// A reference with the tag that it means: `latest` if it has neither a tag nor a digest.
pub fn with_tag(reference: &str) -> String {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    if last.contains([':', '@']) { reference.to_owned() } else { format!("{reference}:latest") }
}

/// Whether a text is a reference or an id, which every engine looks for among its images or in a registry.
///
/// That is `[HOST[:PORT]/]PATH[:TAG][@ALGORITHM:DIGEST]`, where engines are stricter still, but the host may have no other form.
pub fn is_reference(text: &str) -> bool {
    has_form(text, &is_word)
}

/// Whether no engine reads a text as a place on the host. It may still be no reference, which the engine says in its own words.
pub fn names_no_place(text: &str) -> bool {
    has_form(text, &is_plain)
}

/// Whether a text that an engine puts behind a name makes no place of it.
pub fn tags_no_place(name: &str, tag: &str) -> bool {
    // Podman reads both as one text.
    let is_tag = (is_plain(tag) && !tag.contains('/')) || is_digest(tag);
    is_tag && !has_transport(&format!("{name}:{tag}"))
}

/// Whether a text has no transport, and `is_part` of all that is in it between the separators of a reference.
fn has_form(text: &str, is_part: &dyn Fn(&str) -> bool) -> bool {
    if has_transport(text) {
        return false;
    }
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if host.contains(':') => (Some(host), path),
        Some(_) | None => (None, name),
    };
    let (path, tag) = path.split_once(':').map_or((path, None), |(path, tag)| (path, Some(tag)));
    path.split('/').all(|part| is_part(part) && !matches!(part, "." | ".."))
        && host.is_none_or(is_host)
        && tag.is_none_or(is_part)
        && digest.is_none_or(is_digest)
}

/// Whether a text begins with a transport that leads to the host. It may be a pattern.
pub fn has_transport(text: &str) -> bool {
    let is_transport = |(transport, rest): (&str, &str)| {
        TRANSPORTS.contains(&transport) || (transport == "docker" && rest.starts_with('/'))
    };
    text.split_once(':').is_some_and(is_transport)
}

/// Whether a text has no separator of a reference, and of no transport.
fn is_plain(text: &str) -> bool {
    !text.contains([':', '@', '[', ']'])
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// Whether a text is a name or an address with a port.
fn is_host(text: &str) -> bool {
    let is_number = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((address, port)) => {
            let is_address = address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
            is_address && (port.is_empty() || port.strip_prefix(':').is_some_and(is_number))
        }
        None => text.split_once(':').is_some_and(|(name, port)| is_word(name) && is_number(port)),
    }
}

fn is_digest(text: &str) -> bool {
    let is_algorithm = |name: &str| name.split(['+', '.', '_', '-']).all(is_word);
    text.split_once(':').is_some_and(|(algorithm, digest)| {
        is_algorithm(algorithm) && !digest.is_empty() && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_has_no_transport() {
        for text in [
            "alpine",
            "alpine:3.20",
            "docker:dind",
            "library/alpine",
            "docker.io/library/alpine:latest",
            "localhost:5000/a/b_c:v1.0-rc.1",
            "r.example.test:443/a@sha256:0f1e",
            "[::1]:5000/a",
            "[fd00::1]/a:1",
            "a:b@sha256:00",
            "sha256:0f1e",
            "0f1e2d",
            "Registry.Example/a",
            "docker.io/library/oci:1",
            "localhost/dir:1",
        ] {
            assert!(is_reference(text), "{text}");
        }
        for text in [
            "",
            ":",
            "a:",
            ":a",
            "a//b",
            "/a",
            "a/",
            "..",
            "a/../b",
            "a:b:c",
            "a b",
            "a+b",
            "a@b",
            "a@sha256:",
            "a@sha256:x",
            "a@b@sha256:00",
            "a:b/c",
            "a:/b",
            "[a",
            "[g]/a",
            "[::1]:x/a",
            "docker://a",
            "dir:a",
            "dir:/etc",
            "oci:a:b",
            "oci:a",
            "sif:a",
            "tarball:a.tar",
            "ostree:a@/b",
            "atomic:a/b",
            "docker-daemon:a:b",
            "docker-archive:/a.tar:b",
            "oci-archive:/a.tar",
            "containers-storage:a",
            "containers-storage:[overlay@/etc/a+/run/a]docker.io/library/a:1",
            "dir:a/b:1",
            "containers-storage:@0f1e",
        ] {
            assert!(!is_reference(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_reference_is_for_the_engine_to_refuse() {
        for text in ["Not A Repository", "", "a+b", "a b:c d", "UPPER/case", ":a", "a:", "a@sha256:0f", "/a"] {
            assert!(names_no_place(text), "{text}");
        }
        for text in ["a@b", "a:b:c", "a:b/c", "a:/b", "[a", "a]", "dir:a b", "..", "a:[b", "docker://a b"] {
            assert!(!names_no_place(text), "{text}");
        }
    }

    #[test]
    fn a_pattern_may_have_a_transport() {
        for transport in TRANSPORTS {
            assert!(
                has_transport(&format!("{transport}:*")) && !has_transport(&format!("{transport}*")),
                "{transport}"
            );
        }
        assert!(!has_transport("docker:*") && !has_transport("a*:dir"));
    }
}
