//! What a container lends to one that joins it: its volumes, or one of its namespaces.
//!
//! What a body may not name, it may not borrow: a container that is on the host's network lends that, and one with a hidden volume
//! lends that. So the container is read as a body of `ContainerCreate` is. One that borrows itself lends nothing: what the others
//! have is not looked for.

use super::body_names::{BUILT_IN_MODES, BodyNames, HOST_NETWORK, NamedKind, Passing};
use super::body_parts::{BodyParts, quoted};
use crate::api::bodies::{BodyShape, Shares};
use crate::api::objects::ObjectKind;
use crate::filter::fold;
use crate::members::{
    UnexpectedShape, Written, keep, member, rewrite_array, rewrite_members, text, try_each_element, try_each_member,
};

/// How many objects it may use.
const LIMIT: usize = 64;

/// Members of `HostConfig` that engines fill in, and that say only how the container itself runs: nobody borrows these.
const OF_ITSELF: [&str; 6] = ["annotations", "containeridfile", "logconfig", "maskedpaths", "readonlypaths", "runtime"];

/// The options of a bind that engines fill in.
const FILLED_IN: [&str; 2] = ["exec", "rbind"];

/// What a container lends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lent {
    /// The volumes, networks and images that it uses, by their names or ids.
    pub(super) uses: Vec<(ObjectKind, String)>,
    /// Whether it is in the control groups of the host, as is usual with old ones.
    is_in_groups_of_host: bool,
}

impl Lent {
    /// Reads what its inspect operation says. `shape` is that of the body of `ContainerCreate`. `None` if it lends what reaches
    /// the host, borrows itself, or cannot be read.
    pub(super) fn read(document: &[u8], shape: &BodyShape) -> Option<Self> {
        let document = str::from_utf8(document).ok()?;
        let of = |name| member(document, name).ok().flatten();
        let mut lent = Self::default();
        lent.add_configured(of("HostConfig")?, shape)?;
        lent.add_mounts(of("Mounts")?)?;
        lent.add_networks(member(of("NetworkSettings")?, "Networks").ok()??)?;
        Some(lent)
    }

    /// Whether it lends what a body wants of it.
    pub(super) fn has(&self, shares: Shares) -> bool {
        match shares {
            Shares::ControlGroups => !self.is_in_groups_of_host,
            Shares::Nothing | Shares::Processes | Shares::Environment | Shares::Other => true,
        }
    }

    fn add(&mut self, kind: ObjectKind, name: &str) -> Option<()> {
        let object = (kind, name.to_owned());
        if !self.uses.contains(&object) {
            (self.uses.len() < LIMIT).then(|| self.uses.push(object))?;
        }
        Some(())
    }

    /// Adds what its `HostConfig` names, where that is as the body of a new container may be.
    fn add_configured(&mut self, host_config: &str, shape: &BodyShape) -> Option<()> {
        let (mut body, mut is_in_groups_of_host) = ("{\"HostConfig\":".to_owned(), false);
        let member = |name: &str, value: &str, out: &mut String| -> Written {
            match fold(name).as_str() {
                name if OF_ITSELF.contains(&name) => Ok(false),
                "cgroupnsmode" if text(value).as_deref() == Some("host") => {
                    is_in_groups_of_host = true;
                    Ok(false)
                }
                "binds" => rewrite_array(value, out, |bind, out| {
                    let bind = text(bind).ok_or(UnexpectedShape)?;
                    keep(&quoted(&as_written(&bind)), out)
                }),
                _ => keep(value, out),
            }
        };
        rewrite_members(host_config, &mut body, member).ok()?;
        body.push('}');
        self.is_in_groups_of_host = is_in_groups_of_host;
        let nothing = Passing::Parts(BodyParts::default());
        let found = BodyNames::read(body.as_bytes(), shape, &|_| true, &nothing).ok()?;
        for name in &found.names {
            match (name.object, name.shares) {
                (_, Shares::Processes | Shares::ControlGroups | Shares::Other) => return None,
                // Nobody has a link of another.
                (_, Shares::Environment) | (NamedKind::Container | NamedKind::ContainerName, Shares::Nothing) => {}
                (NamedKind::Network, Shares::Nothing) => self.add(ObjectKind::Network, &name.name)?,
                (NamedKind::Volume, Shares::Nothing) => self.add(ObjectKind::Volume, &name.name)?,
                (NamedKind::Image, Shares::Nothing) => self.add(ObjectKind::Image, &name.name)?,
            }
        }
        Some(())
    }

    /// Adds the volumes that are mounted, also those that an image or another container has brought.
    fn add_mounts(&mut self, mounts: &str) -> Option<()> {
        if mounts == "null" {
            return Some(());
        }
        try_each_element(mounts, |mount| self.add_mount(mount).ok_or(UnexpectedShape)).ok()
    }

    fn add_mount(&mut self, mount: &str) -> Option<()> {
        let of = |name| member(mount, name).ok().map(|value| value.and_then(text).unwrap_or_default());
        let (kind, name) = (of("Type")?, of("Name")?);
        match &*kind {
            // Old engines do not say the type.
            "volume" | "" if !name.is_empty() => self.add(ObjectKind::Volume, &name),
            // An image is named in `HostConfig`.
            "tmpfs" | "image" => Some(()),
            _ => None,
        }
    }

    /// Adds the networks that it is on.
    fn add_networks(&mut self, networks: &str) -> Option<()> {
        if networks == "null" {
            return Some(());
        }
        try_each_member(networks, |name, endpoint| self.add_network(name, endpoint).ok_or(UnexpectedShape)).ok()
    }

    fn add_network(&mut self, name: &str, endpoint: &str) -> Option<()> {
        let id = if endpoint.starts_with('{') { member(endpoint, "NetworkID").ok()? } else { None };
        let id = id.and_then(text).filter(|id| !id.is_empty());
        match name {
            HOST_NETWORK => None,
            _ if BUILT_IN_MODES.contains(&name) => Some(()),
            _ => self.add(ObjectKind::Network, id.as_deref().unwrap_or(name)),
        }
    }
}

/// A bind without the options that engines fill in.
fn as_written(bind: &str) -> String {
    let mut parts = bind.splitn(3, ':');
    let place: Vec<&str> = parts.by_ref().take(2).collect();
    let options = parts.next().unwrap_or_default().split(',').filter(|option| !FILLED_IN.contains(option));
    match options.collect::<Vec<_>>().join(",") {
        options if options.is_empty() => place.join(":"),
        options => format!("{}:{options}", place.join(":")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::bodies::body_of;
    use crate::api::operation;

    fn shape() -> BodyShape {
        body_of(operation("ContainerCreate").unwrap()).unwrap().unwrap()
    }

    /// What engines write of a container without anything special is nothing special.
    #[test]
    fn a_plain_container_of_every_engine_lends() {
        let shape = shape();
        for file in [
            "docker-20.10/v1.41/container_inspect.annot.json",
            "podman-5.8/v1.44/container_inspect.masked.json",
            "podman-5.8/v1.44/container_inspect.named.json",
            "podman-5.8/v1.44/container_inspect.voldrv.json",
            "demo/container_inspect.db.json",
            "demo/container_inspect.worker.json",
        ] {
            let path = format!("{}/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
            let lent = Lent::read(&std::fs::read(path).unwrap(), &shape);
            assert!(lent.as_ref().is_some_and(|lent| lent.has(Shares::Other)), "{file}: {lent:?}");
        }
        for file in [
            "docker-20.10/v1.41/container_inspect.json",
            "podman-5.8/v1.44/container_inspect.json",
            "podman-5.8/v1.44/container_inspect.secopt.json",
            "demo/container_inspect.api.json",
            "demo/container_inspect.web.json",
        ] {
            let path = format!("{}/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
            assert_eq!(Lent::read(&std::fs::read(path).unwrap(), &shape), None, "{file}");
        }
    }

    #[test]
    fn a_bind_is_read_as_it_was_written() {
        for (bind, expected) in [
            ("v:/v:rprivate,rw,nodev,exec,nosuid,rbind", "v:/v:rprivate,rw,nodev,nosuid"),
            ("v:/v:rbind", "v:/v"),
            ("v:/v", "v:/v"),
            ("/v", "/v"),
            ("v:/v:O,upperdir=/etc", "v:/v:O,upperdir=/etc"),
        ] {
            assert_eq!(as_written(bind), expected);
        }
    }

    #[test]
    fn a_container_that_cannot_be_read_lends_nothing() {
        let shape = shape();
        let whole = r#"{"HostConfig":{},"Mounts":null,"NetworkSettings":{"Networks":null}}"#;
        assert_eq!(Lent::read(whole.as_bytes(), &shape), Some(Lent::default()));
        for cut in [
            "{}",
            r#"{"Mounts":null,"NetworkSettings":{"Networks":null}}"#,
            r#"{"HostConfig":{},"NetworkSettings":{"Networks":null}}"#,
            r#"{"HostConfig":{},"Mounts":null}"#,
            r#"{"HostConfig":{},"HostConfig":{},"Mounts":null,"NetworkSettings":{"Networks":null}}"#,
            r#"{"HostConfig":{},"Mounts":[1],"NetworkSettings":{"Networks":null}}"#,
            r#"{"HostConfig":{"Binds":[1]},"Mounts":null,"NetworkSettings":{"Networks":null}}"#,
        ] {
            assert_eq!(Lent::read(cut.as_bytes(), &shape), None, "{cut}");
        }
        let mounts: Vec<String> =
            (0..=LIMIT).map(|number| format!(r#"{{"Type":"volume","Name":"v{number}"}}"#)).collect();
        let many = whole.replace(r#""Mounts":null"#, &format!(r#""Mounts":[{}]"#, mounts.join(",")));
        assert_eq!(Lent::read(many.as_bytes(), &shape), None);
    }
}
