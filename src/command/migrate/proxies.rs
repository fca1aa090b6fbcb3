//! The proxies that can be migrated, by image and by name.

use crate::config::compat::{Table, forks, tables};
use crate::yaml::{Diagnostic, Location, unknown};

/// A proxy that can be migrated.
#[derive(Clone, Copy, Debug)]
pub(super) enum KnownProxy {
    /// One whose variables are in a table.
    Table(&'static Table),
    /// wollomatic/socket-proxy, which is configured by regular expressions.
    Wollomatic,
    /// FoxxMD/docker-proxy-filter, a filter in front of another proxy.
    FoxxMd,
    /// hectorm/cetusguard, which is configured by rules with regular expressions.
    CetusGuard,
    /// CodesWhat/sockguard, which is configured by a file of rules, or by variables.
    SockGuard,
}

/// Proxies without a table: the name for `--as`, the image, and the proxy.
const OTHERS: [(&str, &str, KnownProxy); 4] = [
    ("wollomatic", "wollomatic/socket-proxy", KnownProxy::Wollomatic),
    ("foxxmd", "foxxmd/docker-proxy-filter", KnownProxy::FoxxMd),
    ("cetusguard", "hectorm/cetusguard", KnownProxy::CetusGuard),
    ("sockguard", "codeswhat/sockguard", KnownProxy::SockGuard),
];

/// Every table: those with a drop-in mode, then forks.
fn all_tables() -> impl Iterator<Item = &'static Table> {
    tables().unwrap_or_default().iter().chain(forks().unwrap_or_default())
}

/// The images of known proxies, for a message.
pub(super) fn known_images() -> String {
    let others = OTHERS.iter().map(|(_, image, _)| *image);
    let images: Vec<&str> =
        tables().unwrap_or_default().iter().map(|table| table.image.as_str()).chain(others).collect();
    images.join(", ")
}

/// The names for `--as`.
pub(in crate::command) fn names() -> impl Iterator<Item = &'static str> {
    all_tables().map(|table| table.name.as_str()).chain(OTHERS.iter().map(|(name, ..)| *name))
}

/// The proxy that `--as` names.
///
/// # Errors
/// An unknown name.
pub(super) fn named(name: &str) -> Result<KnownProxy, Diagnostic> {
    if let Some(table) = all_tables().find(|table| table.name == name) {
        return Ok(KnownProxy::Table(table));
    }
    let found = OTHERS.iter().find(|(known, ..)| *known == name).map(|(.., proxy)| *proxy);
    found.ok_or_else(|| Diagnostic::new(&Location::argument("--as"), unknown("proxy", name, names())))
}

/// The proxy in an image, for any registry and tag.
pub(super) fn of_image(image: &str) -> Option<KnownProxy> {
    let name = name_of(image);
    let is = |known: &str| name == known || name.ends_with(&format!("/{known}"));
    let table = all_tables().find(|table| is(&table.image) || table.images.iter().any(|image| is(image)));
    let other = || OTHERS.iter().find(|(_, image, _)| is(image)).map(|(.., proxy)| *proxy);
    table.map(KnownProxy::Table).or_else(other)
}

/// Whether an image has the name of a socket proxy, and is none that is known.
pub(super) fn looks_like_one(image: &str) -> bool {
    let name = name_of(image);
    let last = name.rsplit('/').next().unwrap_or_default();
    of_image(image).is_none()
        && (last.contains("socket-proxy") || last.contains("socketproxy") || last == "dockerproxy")
}

/// An image without digest and tag, in small letters.
fn name_of(image: &str) -> String {
    let image = image.split('@').next().unwrap_or_default().to_ascii_lowercase();
    let folder = image.rfind('/').unwrap_or_default();
    let tag = image.rfind(':').filter(|colon| *colon > folder).unwrap_or(image.len());
    image.get(..tag).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of the proxy in an image.
    fn name(image: &str) -> Option<&'static str> {
        of_image(image).map(|proxy| match proxy {
            KnownProxy::Table(table) => table.name.as_str(),
            KnownProxy::Wollomatic => "wollomatic",
            KnownProxy::FoxxMd => "foxxmd",
            KnownProxy::CetusGuard => "cetusguard",
            KnownProxy::SockGuard => "sockguard",
        })
    }

    #[test]
    fn an_image_is_recognised_by_its_name() {
        for (image, proxy) in [
            ("tecnativa/docker-socket-proxy", "tecnativa"),
            ("ghcr.io:443/Tecnativa/docker-socket-proxy:0.3@sha256:00", "tecnativa"),
            ("need4swede/docker-socket-proxy", "tecnativa"),
            ("lscr.io/linuxserver/socket-proxy:latest", "linuxserver"),
            ("11notes/socket-proxy:2", "11notes"),
            ("wollomatic/socket-proxy:1", "wollomatic"),
            ("foxxmd/docker-proxy-filter", "foxxmd"),
            ("docker.io/hectorm/cetusguard:v1", "cetusguard"),
            ("codeswhat/sockguard:latest", "sockguard"),
            ("fluencelabs/docker-socket-proxy", "fluencelabs"),
            ("zoeyvid/docker-socket-proxy", "zoeyvid"),
            ("mjmccans/docker-socket-proxy:latest", "mjmccans"),
            ("ghcr.io/nextcloud/nextcloud-appapi-dsp:release", "nextcloud"),
            ("ghcr.io/nextcloud-releases/aio-docker-socket-proxy", "nextcloud"),
        ] {
            assert_eq!(name(image), Some(proxy), "{image}");
            assert!(!looks_like_one(image));
        }
        assert_eq!((name("evil11notes/socket-proxy"), name("nginx")), (None, None));
        assert!(looks_like_one("ghcr.io/me/docker-socket-proxy:2") && !looks_like_one("nginx:1"));
    }

    #[test]
    fn every_proxy_has_a_name() {
        for name in ["tecnativa", "mjmccans", "sockguard"] {
            assert!(named(name).is_ok(), "{name}");
        }
        assert!(named("tecnatva").unwrap_err().to_string().contains("did you mean \"tecnativa\"?"));
    }
}
