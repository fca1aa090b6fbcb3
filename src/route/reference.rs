//! The names of images.
//!
//! Podman takes more for the name of an image than Docker does: behind a *transport*, such as `dir:` or `containers-storage:`, it
//! opens a place on the host, and may make one there, although nothing but an image is asked for. So what is no reference does
//! not go up.

use super::Query;
use crate::api::Operation;

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

/// Whether no engine reads an image that a request names in its path or in its query as a place on the host. What is no reference
/// all the same is for the engine to refuse, in its own words.
pub(super) fn names_no_place(operation: &Operation, name: &str, query: &Query) -> bool {
    let is_of_image = operation.template.contains("{reference}");
    let of = |parameter| query.get(parameter).filter(|text| !text.is_empty());
    let tag = of("tag").filter(|_| is_of_image || of("fromImage").is_some() || of("repo").is_some());
    let named = of("fromImage").into_iter().chain(of("repo")).chain(is_of_image.then_some(name));
    let mut in_list = query.values("names").flat_map(|names| names.split(','));
    named.clone().all(|name| has_form(name, &is_plain))
        && tag.is_none_or(|tag| is_plain(tag) && !tag.contains('/') || is_digest(tag))
        // Podman reads both as one text.
        && named.zip(tag.into_iter().cycle()).all(|(name, tag)| !has_transport(&format!("{name}:{tag}")))
        && in_list.all(|name| has_form(name, &is_plain))
}

/// Whether a text is a reference or an id, which every engine looks for among its images or in a registry.
///
/// That is `[HOST[:PORT]/]PATH[:TAG][@ALGORITHM:DIGEST]`, where engines are stricter still, but the host may have no other form.
pub fn is_reference(text: &str) -> bool {
    has_form(text, &is_word)
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
            assert!(has_form(text, &is_plain), "{text}");
        }
        for text in ["a@b", "a:b:c", "a:b/c", "a:/b", "[a", "a]", "dir:a b", "..", "a:[b", "docker://a b"] {
            assert!(!has_form(text, &is_plain), "{text}");
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
