//! Quadlets: containers as units of systemd, for Podman.

use std::path::Path;

use super::container::{Located, Mount, ProxyContainer, PublishedPort, SourceForm};
use super::environment_file;
use super::lines::UNBALANCED;
use crate::yaml::{Diagnostics, Location};

/// The section of a quadlet that says what to run.
const SECTION: &str = "[Container]";

/// Whether a text is a quadlet.
pub(super) fn is_here(text: &str) -> bool {
    text.lines().any(|line| line.trim() == SECTION)
}

/// Reads a quadlet in `folder`.
///
/// # Errors
/// Every line that cannot be split.
pub(super) fn container(file: &str, text: &str, folder: Option<&Path>) -> (ProxyContainer, Diagnostics) {
    let name = file.rsplit('/').next().and_then(|name| name.strip_suffix(".container")).unwrap_or("quadlet");
    let mut container = ProxyContainer::new(SourceForm::Quadlet, name, Location::file(file));
    let mut diagnostics = Diagnostics::default();
    let mut section = String::new();
    let mut environment_files = Vec::new();
    for (line, number) in entries(text) {
        let line = line.trim();
        if line.starts_with('[') {
            line.clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with(['#', ';'])) {
            let location = Location::line(file, number);
            match (section.as_str(), key.trim()) {
                (SECTION, "EnvironmentFile") => {
                    environment_files.push(Located { text: value.trim().to_owned(), location });
                }
                (SECTION, key) => {
                    let done = entry(&mut container, key, value.trim(), &location);
                    diagnostics.ok(done.map_err(|message| crate::yaml::Diagnostic::new(&location, message)));
                }
                ("[Service]", "Restart") => container.restarts = value.trim() != "no",
                _ => {}
            }
        }
    }
    environment_file::add_raw(&mut container, &environment_files, folder, &mut diagnostics);
    (container, diagnostics)
}

/// The lines, each with its number. A backslash at the end continues a line.
fn entries(text: &str) -> Vec<(String, u32)> {
    let mut entries: Vec<(String, u32)> = Vec::new();
    let mut continues = false;
    for (line, number) in text.lines().zip(1_u32..) {
        let body = line.trim_end();
        let (body, more) = match body.strip_suffix('\\') {
            Some(body) => (body, true),
            None => (body, false),
        };
        match entries.last_mut().filter(|_| continues) {
            Some((entry, _)) => {
                entry.push(' ');
                entry.push_str(body);
            }
            None => entries.push((body.to_owned(), number)),
        }
        continues = more;
    }
    entries
}

/// One entry of the section.
fn entry(container: &mut ProxyContainer, key: &str, value: &str, location: &Location) -> Result<(), &'static str> {
    let words = || shlex::split(&value.replace("%%", "%")).ok_or(UNBALANCED);
    let located = |text: &str| Located { text: text.to_owned(), location: location.clone() };
    match key {
        "Image" => container.image = Some(value.to_owned()),
        "Environment" | "Label" => {
            for word in words()? {
                let (name, value) = word.split_once('=').unwrap_or((&word, ""));
                let pair = (name.to_owned(), located(value));
                if key == "Label" { container.labels.push(pair) } else { container.variables.push(pair) }
            }
        }
        "EnvironmentHost" => container.note("EnvironmentHost: variables of the host are missing here".to_owned()),
        "Volume" => container.mounts.extend(Mount::parse(value)),
        "Mount" => container.mounts.extend(Mount::parse_options(value)),
        "Network" if value == "host" => container.share_network(),
        "PublishPort" => container.ports.extend(PublishedPort::parse(value)),
        "ContainerName" | "HostName" | "NetworkAlias" => container.names.push(value.to_owned()),
        "Exec" => container.arguments.extend(words()?.iter().map(|word| located(word))),
        "HealthCmd" if !["", "none"].contains(&value) => container.probe = Some(value.to_owned()),
        "PodmanArgs" => container.note("PodmanArgs was not read: what it sets is missing here".to_owned()),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quadlet_is_read() {
        let text = "[Unit]\nDescription=x\n\n[Container]\n# Image=no\nImage=a/b:1\nEnvironment=A=1 B=0\nEnvironment=\"C=x y\" \\\n  \
                    D=%%\nVolume=%t/podman/podman.sock:/var/run/docker.sock:ro\nPublishPort=127.0.0.1:2375:2375\nExec=-x 'y \
                    z'\nContainerName=proxy\nEnvironmentFile=x.env\n[Service]\nRestart=always\nEnvironment=E=1\n";
        assert!(is_here(text));
        let (container, errors) = container("a/b.container", text, None);
        assert!(errors.is_empty() && container.restarts);
        assert_eq!((container.name.as_str(), container.image.as_deref()), ("b", Some("a/b:1")));
        let variables: Vec<(&str, &str, u32)> = container
            .variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.text.as_str(), value.location.line))
            .collect();
        assert_eq!(variables, [("A", "1", 7), ("B", "0", 7), ("C", "x y", 8), ("D", "%", 8)]);
        assert_eq!(container.mounts[0].target, "/var/run/docker.sock");
        assert_eq!(container.arguments.len(), 2);
        assert_eq!(container.hosts_at(2375), ["localhost", "127.0.0.1", "[::1]", "proxy"]);
        assert_eq!(container.notes, ["x.env was not read: what it sets is missing here"]);
    }

    #[test]
    fn a_line_that_cannot_be_split_is_an_error() {
        let (_, errors) = container("f", "[Container]\nEnvironment=\"A=1\n", None);
        assert_eq!(errors.iter().next().unwrap().to_string(), format!("f:2: {UNBALANCED}"));
        assert!(!is_here("[Containers]\n"));
    }
}
