//! Services of a Compose file, or of the JSON that `docker compose config --format json` prints.

use std::collections::BTreeMap;
use std::path::Path;

use super::container::{Located, Mount, ProxyContainer, PublishedPort, SourceForm, range};
use super::environment_file::{self, Format};
use super::interpolate::Interpolation;
use super::lines::UNBALANCED;
use crate::quoting;
use crate::yaml::{Diagnostic, Diagnostics, Key, Node, Value};

/// Reads the services of a file in `folder`. Errors are collected: those of a service that runs no proxy do not matter.
///
/// # Errors
/// `services` is no mapping, or the `.env` in the folder cannot be read.
pub(super) fn services(
    services: &Node,
    folder: Option<&Path>,
) -> Result<Vec<(ProxyContainer, Diagnostics)>, Diagnostics> {
    let project = Project::read(folder)?;
    let entries = entries(services.mapping("services")?);
    Ok(entries.into_iter().map(|(key, node)| Service { key, node, project: &project }.container()).collect())
}

/// What is beside the file.
struct Project<'f> {
    folder: Option<&'f Path>,
    /// The variables in its `.env`; `None` if there is none, or it was not read.
    env: Option<BTreeMap<String, String>>,
}

impl<'f> Project<'f> {
    fn read(folder: Option<&'f Path>) -> Result<Self, Diagnostics> {
        let Some(path) = folder.map(|folder| folder.join(".env")) else { return Ok(Self { folder, env: None }) };
        let Some(text) = environment_file::read(&path)? else { return Ok(Self { folder, env: None }) };
        let (name, mut values) = (path.display().to_string(), Interpolation::default());
        let found = environment_file::variables(&name, &text, Format::Compose, &BTreeMap::new(), &mut values)?;
        let env = found.into_iter().map(|(name, value)| (name, value.text)).collect();
        Ok(Self { folder, env: Some(env) })
    }
}

/// One service.
struct Service<'n> {
    key: &'n Key,
    node: &'n Node,
    project: &'n Project<'n>,
}

impl Service<'_> {
    /// The container that it runs, and the errors in it.
    fn container(&self) -> (ProxyContainer, Diagnostics) {
        let mut container = ProxyContainer::new(SourceForm::Service, &self.key.name, self.key.location.clone());
        let known = self.project.env.clone().unwrap_or_default();
        let mut interpolation = Interpolation { known, ..Interpolation::default() };
        let mut diagnostics = Diagnostics::default();
        let values = &mut interpolation;
        container.image = self.text("image", values);
        container.given_name = self.text("container_name", values);
        container.names.extend(container.given_name.clone());
        container.names.extend(self.text("hostname", values));
        container.names.extend(self.aliases(values));
        let own = diagnostics.ok(self.variables(values)).unwrap_or_default();
        container.variables = self.of_files(values, &mut diagnostics);
        // What `environment` names is not taken from a file, even if it has no value.
        let named = self.names_of("environment");
        container.variables.retain(|(name, _)| !named.contains(&name.as_str()));
        container.variables.extend(own);
        container.arguments = diagnostics.ok(self.arguments(values)).unwrap_or_default();
        container.labels = diagnostics.ok(self.labels(values)).unwrap_or_default();
        container.mounts = self.items("volumes").filter_map(|node| mount(node, values)).collect();
        container.ports = self.items("ports").filter_map(|node| port(node, values)).collect();
        if self.text("network_mode", values).is_some_and(|mode| mode == "host") {
            container.share_network();
        }
        container.probe = self.probe(values);
        container.privileged = self.text("privileged", values).is_some_and(|text| text == "true");
        container.restarts = member(self.node, "restart").or(member(self.node, "deploy")).is_some();
        if member(self.node, "extends").is_some() {
            container.notes.push("extends was not read: what it sets is missing here".to_owned());
        }
        container.notes.append(&mut interpolation.notes);
        match (&self.project.env, self.project.folder) {
            (Some(env), _) if !env.is_empty() => {
                container.note("the values of `.env` were used; those of the shell come before them".to_owned());
            }
            (Some(_), _) => {}
            (None, Some(_)) if interpolation.incomplete => {
                container.note("there is no `.env` beside the file: what the shell sets is missing here".to_owned());
            }
            (None, None) if interpolation.incomplete => {
                container.note("`.env` was not read: what it sets is missing here".to_owned());
            }
            (None, _) => {}
        }
        (container, diagnostics)
    }

    /// The variables in the files of `env_file`, in the order of the files. Of several with one name, the last counts.
    fn of_files(&self, values: &mut Interpolation, diagnostics: &mut Diagnostics) -> Vec<(String, Located)> {
        let Some(node) = member(self.node, "env_file") else { return Vec::new() };
        let Some(folder) = self.project.folder else {
            values.note("env_file was not read: what it sets is missing here".to_owned());
            return Vec::new();
        };
        let files = match &node.value {
            Value::Sequence(items) => items.as_slice(),
            Value::Scalar { .. } | Value::Mapping(_) | Value::Null => std::slice::from_ref(node),
        };
        let mut found = Vec::new();
        for file in files {
            let text = |name: &str| member(file, name).and_then(|node| node.text("a text").ok());
            let Some(path) = file.text("a file").ok().or_else(|| text("path")) else { continue };
            let path = folder.join(values.resolve(path, "env_file"));
            let format = if text("format") == Some("raw") { Format::Raw } else { Format::Compose };
            match diagnostics.ok(environment_file::read(&path)) {
                Some(Some(content)) => {
                    let name = path.display().to_string();
                    let project = self.project.env.clone().unwrap_or_default();
                    let read = environment_file::variables(&name, &content, format, &project, values);
                    found.extend(diagnostics.ok(read).unwrap_or_default());
                }
                Some(None) if text("required") != Some("false") => {
                    values.note(format!("{} was not found: what it sets is missing here", quoting::path(&path)));
                }
                Some(None) | None => {}
            }
        }
        found
    }

    /// The names in a list of `NAME=value` or a mapping, with and without values.
    fn names_of(&self, member_name: &str) -> Vec<&str> {
        let Some(node) = member(self.node, member_name) else { return Vec::new() };
        match &node.value {
            Value::Sequence(items) => {
                let texts = items.iter().filter_map(|item| item.text("NAME=value").ok());
                texts.filter_map(|text| text.split('=').next()).collect()
            }
            Value::Mapping(members) => entries(members).into_iter().map(|(key, _)| key.name.as_str()).collect(),
            Value::Scalar { .. } | Value::Null => Vec::new(),
        }
    }

    /// The text of a member.
    fn text(&self, name: &str, values: &mut Interpolation) -> Option<String> {
        let text = member(self.node, name)?.text("a text").ok()?;
        Some(values.resolve(text, name))
    }

    /// The items of a list.
    fn items(&self, name: &str) -> std::slice::Iter<'_, Node> {
        let items = member(self.node, name).and_then(|node| node.list("a list").ok());
        items.unwrap_or_default().iter()
    }

    /// The variables in `environment`: a list or a mapping.
    fn variables(&self, values: &mut Interpolation) -> Result<Vec<(String, Located)>, Diagnostic> {
        self.pairs("environment", values, true)
    }

    /// The labels: a list or a mapping.
    fn labels(&self, values: &mut Interpolation) -> Result<Vec<(String, Located)>, Diagnostic> {
        self.pairs("labels", values, false)
    }

    /// Names and values, of a list of `NAME=value` or a mapping. A variable (`inherits`) without a value has that of the shell.
    fn pairs(
        &self,
        member_name: &str,
        values: &mut Interpolation,
        inherits: bool,
    ) -> Result<Vec<(String, Located)>, Diagnostic> {
        let mut pairs = Vec::new();
        let Some(list) = member(self.node, member_name) else { return Ok(pairs) };
        let mut add = |name: &str, value: Option<String>, node: &Node, values: &mut Interpolation| match value {
            Some(value) => {
                let text = values.resolve(&value, name);
                pairs.push((name.to_owned(), Located { text, location: node.location.clone() }));
            }
            // The value of `.env`, as it is.
            None if inherits && values.known.contains_key(name) => {
                let text = values.known.get(name).cloned().unwrap_or_default();
                pairs.push((name.to_owned(), Located { text, location: node.location.clone() }));
            }
            None if inherits => values.note(format!("{name}: its value is set outside this file, and missing here")),
            None => {}
        };
        if let Value::Sequence(items) = &list.value {
            for item in items {
                let text = pair_text(item)?;
                let name = text.split('=').next().unwrap_or_default();
                add(name, text.split_once('=').map(|(_, value)| value.to_owned()), item, values);
            }
            return Ok(pairs);
        }
        for (key, node) in entries(list.mapping("a list or a mapping")?) {
            match &node.value {
                Value::Null => add(&key.name, None, node, values),
                Value::Scalar { text, quoted: false } => add(&key.name, Some(plain(text)), node, values),
                Value::Scalar { text, quoted: true } => add(&key.name, Some(text.clone()), node, values),
                Value::Sequence(_) | Value::Mapping(_) => return Err(node.expected("a value")),
            }
        }
        Ok(pairs)
    }

    /// The arguments in `command`: a list, or a line as for a shell.
    fn arguments(&self, values: &mut Interpolation) -> Result<Vec<Located>, Diagnostic> {
        let Some(command) = member(self.node, "command") else { return Ok(Vec::new()) };
        let mut resolve = |text: &str, node: &Node| Located {
            text: values.resolve(text, "command"),
            location: node.location.clone(),
        };
        match &command.value {
            Value::Sequence(items) => items.iter().map(|item| Ok(resolve(item.text("an argument")?, item))).collect(),
            Value::Null => Ok(Vec::new()),
            Value::Scalar { .. } | Value::Mapping(_) => {
                let line = resolve(command.text("a command")?, command);
                let words = shlex::split(&line.text).ok_or_else(|| command.diagnostic(UNBALANCED))?;
                Ok(words.into_iter().map(|text| Located { text, location: command.location.clone() }).collect())
            }
        }
    }

    /// The aliases in its networks.
    fn aliases(&self, values: &mut Interpolation) -> Vec<String> {
        let networks = member(self.node, "networks").and_then(|node| node.mapping("networks").ok());
        let lists = networks.unwrap_or_default().iter().filter_map(|(_, network)| member(network, "aliases"));
        let names = lists.filter_map(|node| node.list("aliases").ok()).flatten();
        names.filter_map(|node| node.text("an alias").ok()).map(|text| values.resolve(text, "aliases")).collect()
    }

    /// The words of its health check, unless it has none.
    fn probe(&self, values: &mut Interpolation) -> Option<String> {
        let test = member(member(self.node, "healthcheck")?, "test")?;
        let words = match &test.value {
            Value::Scalar { text, .. } => vec![text.as_str()],
            Value::Sequence(items) => items.iter().filter_map(|item| item.text("a word").ok()).collect(),
            Value::Null | Value::Mapping(_) => return None,
        };
        let words: Vec<&str> = words.into_iter().filter(|word| !["CMD", "CMD-SHELL"].contains(word)).collect();
        let line = words.join(" ");
        (!["", "NONE"].contains(&line.as_str())).then(|| values.resolve(&line, "healthcheck"))
    }
}

/// The text of an item of a list of `NAME=value`.
fn pair_text(item: &Node) -> Result<&str, Diagnostic> {
    let Value::Mapping(inside) = &item.value else { return item.text("NAME=value") };
    let pairs = inside.iter().filter_map(|(key, node)| Some((&key.name, node.text("a value").ok()?)));
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}={value}")).collect();
    Err(item.diagnostic(format!(
        "found a mapping in a list, which Compose refuses too: write `- {}`, or leave out the dash",
        pairs.first().map_or("NAME=value", String::as_str)
    )))
}

/// A plain value as Compose passes it on: a number is written anew, and any other text stays.
fn plain(text: &str) -> String {
    let number = text.replace('_', "");
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", number.strip_prefix('+').unwrap_or(&number)),
    };
    let radix = |prefix: &str, radix: u32| i64::from_str_radix(digits.strip_prefix(prefix)?, radix).ok();
    let whole = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| radix("0b", 2)).or_else(|| radix("0", 8));
    let is_number =
        digits.starts_with(|c: char| c.is_ascii_digit()) && digits.chars().all(|c| c.is_ascii_alphanumeric());
    if let Some(whole) = whole.or_else(|| digits.parse().ok()).filter(|_| is_number) {
        return format!("{sign}{whole}");
    }
    let is_float = digits.contains('.') && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    match digits.parse::<f64>().ok().filter(|_| is_float) {
        Some(number) => format!("{sign}{number}"),
        None => text.to_owned(),
    }
}

/// A mount: a text, or a mapping with `source` and `target`.
fn mount(node: &Node, values: &mut Interpolation) -> Option<Mount> {
    if let Ok(text) = node.text("a volume") {
        return Mount::parse(&values.resolve(text, "volumes"));
    }
    let mut text = |name: &str| Some(values.resolve(member(node, name)?.text("a path").ok()?, "volumes"));
    Some(Mount { source: text("source")?, target: text("target")? })
}

/// A port: a text, or a mapping with `target` and perhaps `published` and `host_ip`.
fn port(node: &Node, values: &mut Interpolation) -> Option<PublishedPort> {
    if let Ok(text) = node.text("a port") {
        return PublishedPort::parse(&values.resolve(text, "ports"));
    }
    let mut text = |name: &str| Some(values.resolve(member(node, name)?.text("a port").ok()?, "ports"));
    let host = text("host_ip").filter(|host| !host.is_empty());
    Some(PublishedPort { host, ports: range(&text("target")?)? })
}

/// The member called `name`, of the mapping or of one merged into it.
pub(super) fn member<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Value::Mapping(members) = &node.value else { return None };
    entries(members).into_iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
}

/// The members of a mapping and of those merged into it with `<<`. Its own take precedence.
fn entries(members: &[(Key, Node)]) -> Vec<(&Key, &Node)> {
    let mut found: Vec<(&Key, &Node)> = members.iter().map(|(key, node)| (key, node)).collect();
    found.retain(|(key, _)| key.name != "<<");
    for (_, merged) in members.iter().filter(|(key, _)| key.name == "<<") {
        let merged = match &merged.value {
            Value::Mapping(_) => std::slice::from_ref(merged),
            Value::Sequence(items) => items.as_slice(),
            Value::Scalar { .. } | Value::Null => &[],
        };
        for node in merged {
            let Value::Mapping(inner) = &node.value else { continue };
            for (key, node) in entries(inner) {
                if !found.iter().any(|(known, _)| known.name == key.name) {
                    found.push((key, node));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_as_compose_passes_it_on() {
        for (text, value) in [
            ("1", "1"),
            ("1.0", "1"),
            ("0x1", "1"),
            ("0o10", "8"),
            ("010", "8"),
            ("0b11", "3"),
            ("-1", "-1"),
            ("0.5", "0.5"),
            ("1_0", "10"),
            ("0", "0"),
            ("true", "true"),
            ("1x", "1x"),
            ("1.2.3", "1.2.3"),
            ("0xg", "0xg"),
            ("0x-1", "0x-1"),
            ("", ""),
            ("_", "_"),
            ("/run/x_y.sock", "/run/x_y.sock"),
        ] {
            assert_eq!(plain(text), value, "{text}");
        }
    }
}
