//! What runs another proxy: a service of a Compose file, or a list of variables and arguments.

use crate::cli::Variables;
use crate::config::compat::{self, Table, tables};
use crate::yaml::{self, Diagnostic, Diagnostics, Key, Location, Node, Value};

/// A proxy that can be read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proxy {
    /// One with a drop-in mode.
    Table(&'static Table),
    /// wollomatic/socket-proxy: regular expressions.
    Wollomatic,
    /// FoxxMD/docker-proxy-filter: a filter behind another proxy.
    FoxxMd,
}

/// What was given to a proxy.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) proxy: Proxy,
    /// Where it was read, for the first line of what is written.
    pub(super) whence: String,
    pub(super) location: Location,
    pub(super) variables: Variables,
    pub(super) arguments: Vec<String>,
    /// What could not be read for certain.
    pub(super) notes: Vec<String>,
    /// The proxy between this one and the engine.
    pub(super) behind: Option<Box<Source>>,
}

/// Reads a Compose file, or lines of variables and arguments.
///
/// # Errors
/// What cannot be read, or that nothing in it is known.
pub(super) fn read(name: &str, text: &str, service: Option<&str>) -> Result<Source, Diagnostics> {
    let compose = text.lines().any(|line| line.trim_end().starts_with("services:"));
    if !compose {
        return read_lines(name, text);
    }
    let document = yaml::parse_foreign(name, text)?;
    Ok(read_compose(name, &document, service)?)
}

/// The services that run a proxy we know; one of them.
fn read_compose(name: &str, document: &Node, wanted: Option<&str>) -> Result<Source, Diagnostic> {
    let services = member(document, "services");
    let services = services.ok_or_else(|| document.diagnostic("expected services"))?;
    let mut found = Vec::new();
    for (key, service) in services.mapping("services")? {
        let image = member(service, "image").and_then(|node| node.text("an image").ok());
        if let Some(proxy) = image.and_then(proxy_of_image) {
            found.push(Service { key, node: service, proxy });
        }
    }
    let names = found.iter().map(|service| service.key.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut chosen: Vec<&Service> =
        found.iter().filter(|service| wanted.is_none_or(|wanted| service.key.name == wanted)).collect();
    // A filter in front of another proxy stands for both.
    let mut behind = None;
    if let Some(front) = chosen.iter().find(|service| matches!(service.proxy, Proxy::FoxxMd)).copied() {
        let address = of_service(name, front)?.variables.get("PROXY_URL").map(ToOwned::to_owned).unwrap_or_default();
        behind = found.iter().find(|service| service.is_at(&address) && !matches!(service.proxy, Proxy::FoxxMd));
        chosen.retain(|service| behind.is_none_or(|behind| behind.key.name != service.key.name));
    }
    match (chosen.as_slice(), wanted) {
        ([service], _) => {
            let mut source = of_service(name, service)?;
            source.behind = behind.map(|behind| of_service(name, behind)).transpose()?.map(Box::new);
            Ok(source)
        }
        ([], Some(wanted)) => Err(services.diagnostic(format!(
            "no service {wanted:?} that runs a known socket proxy, expected one of {}",
            if names.is_empty() { "those with an image of one" } else { &names }
        ))),
        ([], None) => Err(services
            .diagnostic(format!("no service runs a known socket proxy, expected an image of {}", KNOWN.join(", ")))),
        (_, _) => {
            Err(services.diagnostic(format!("several services run a socket proxy ({names}), expected --service")))
        }
    }
}

/// A service that runs a proxy we know.
struct Service<'n> {
    key: &'n Key,
    node: &'n Node,
    proxy: Proxy,
}

impl Service<'_> {
    /// Whether a URL leads to it: other containers know it by the name of the service, or of the container.
    fn is_at(&self, url: &str) -> bool {
        let host = url.split_once("://").map_or(url, |(_, rest)| rest).split([':', '/']).next().unwrap_or_default();
        let named = member(self.node, "container_name").and_then(|node| node.text("a name").ok());
        self.key.name == host || named.is_some_and(|name| name == host)
    }
}

/// The images that are known.
const KNOWN: [&str; 5] = [
    "11notes/socket-proxy",
    "tecnativa/docker-socket-proxy",
    "linuxserver/socket-proxy",
    "wollomatic/socket-proxy",
    "foxxmd/docker-proxy-filter",
];

/// The proxy in an image, whatever the registry and the tag.
fn proxy_of_image(image: &str) -> Option<Proxy> {
    let image = image.split('@').next().unwrap_or_default().to_ascii_lowercase();
    let folder = image.rfind('/').unwrap_or_default();
    let tag = image.rfind(':').filter(|colon| *colon > folder).unwrap_or(image.len());
    let image = image.get(..tag).unwrap_or_default();
    let is = |known: &str| image == known || image.ends_with(&format!("/{known}"));
    let table = tables().ok()?.iter().find(|table| is(&table.image));
    match table {
        Some(table) => Some(Proxy::Table(table)),
        None if is("wollomatic/socket-proxy") => Some(Proxy::Wollomatic),
        None if is("foxxmd/docker-proxy-filter") => Some(Proxy::FoxxMd),
        None => None,
    }
}

fn of_service(file: &str, service: &Service<'_>) -> Result<Source, Diagnostic> {
    let Service { key, node: service, proxy } = *service;
    let mut notes = Vec::new();
    let mut variables = Vec::new();
    match member(service, "environment") {
        None => {}
        Some(Node { value: Value::Sequence(items), .. }) => {
            for item in items {
                let text = item.text("NAME=value")?;
                match text.split_once('=') {
                    Some((name, value)) => variables.push((name.to_owned(), resolved(value, name, &mut notes))),
                    None => notes.push(format!("{text} comes from the shell and is not known here")),
                }
            }
        }
        Some(node) => {
            for (key, value) in entries(node.mapping("variables")?) {
                match &value.value {
                    Value::Null => notes.push(format!("{} comes from the shell and is not known here", key.name)),
                    Value::Scalar { text, .. } => {
                        variables.push((key.name.clone(), resolved(text, &key.name, &mut notes)));
                    }
                    Value::Sequence(_) | Value::Mapping(_) => return Err(value.diagnostic("expected a value")),
                }
            }
        }
    }
    for unread in ["env_file", "extends"] {
        if member(service, unread).is_some() {
            notes.push(format!("{unread} was not read: what it sets is missing here"));
        }
    }
    let mut arguments = Vec::new();
    match member(service, "command") {
        None => {}
        Some(Node { value: Value::Sequence(items), .. }) => {
            for item in items {
                arguments.push(resolved(item.text("an argument")?, "command", &mut notes));
            }
        }
        Some(node) => arguments.extend(words(&resolved(node.text("a command")?, "command", &mut notes))),
    }
    Ok(Source {
        proxy,
        whence: format!("service {:?} of {file}", key.name),
        location: key.location.clone(),
        variables: ours_left_out(variables),
        arguments,
        notes,
        behind: None,
    })
}

/// Lines of `NAME=value` and `-argument`.
fn read_lines(name: &str, text: &str) -> Result<Source, Diagnostics> {
    let (mut variables, mut arguments, mut diagnostics) = (Vec::new(), Vec::new(), Diagnostics::default());
    for (number, line) in text.lines().enumerate() {
        let mut line = line.trim();
        for prefix in ["export ", "- ", "-e ", "--env "] {
            line = line.strip_prefix(prefix).unwrap_or(line).trim_start();
        }
        let is_name = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        };
        match line.split_once('=') {
            _ if line.is_empty() || line.starts_with('#') => {}
            Some((name, value)) if is_name(name) => variables.push((name.to_owned(), unquoted(value).to_owned())),
            _ if unquoted(line).starts_with('-') => arguments.extend(words(line)),
            Some(_) | None => {
                let line = u32::try_from(number + 1).unwrap_or(u32::MAX);
                let location = Location { line, ..Location::file(name) };
                diagnostics.report(&location, "expected NAME=value, an argument, or a Compose file");
            }
        }
    }
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    let variables = ours_left_out(variables);
    let has = |prefixes: &[&str]| variables.names().any(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)));
    let proxy = if !arguments.is_empty() || has(&["SP_"]) {
        Proxy::Wollomatic
    } else if has(&["CONTAINER_NAMES", "CONTAINER_LABELS", "SCRUB_ENVS", "PROXY_URL"]) {
        Proxy::FoxxMd
    } else {
        match compat::choose(&variables)? {
            Some(table) => Proxy::Table(table),
            None => {
                let message = format!("no variable of a known socket proxy, expected those of {}", KNOWN.join(", "));
                return Err(Diagnostic::new(&Location::file(name), message).into());
            }
        }
    };
    let whence = name.to_owned();
    Ok(Source { proxy, whence, location: Location::file(name), variables, arguments, notes: Vec::new(), behind: None })
}

/// All but the variables of this program, which say nothing of the other one.
fn ours_left_out(variables: Vec<(String, String)>) -> Variables {
    variables.into_iter().filter(|(name, _)| !name.starts_with("DOCKVEIL_")).collect()
}

/// The text inside one pair of quotes.
fn unquoted(text: &str) -> &str {
    let inside = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or(inside('\'')).unwrap_or(text)
}

/// A line as the words a shell makes of it.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('\\', None) => word.get_or_insert_default().extend(characters.next()),
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// A value with `${NAME:-default}` replaced by the default, and `$$` by a dollar.
fn resolved(text: &str, name: &str, notes: &mut Vec<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(behind) = behind.strip_prefix('$') {
            out.push('$');
            rest = behind;
            continue;
        }
        let Some((inside, after)) = behind.strip_prefix('{').and_then(|behind| behind.split_once('}')) else {
            // A dollar before no name, as at the end of a pattern.
            let end = behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(behind.len());
            if end == 0 {
                out.push('$');
                rest = behind;
                continue;
            }
            notes
                .push(format!("{name}: ${} is not known here and was left out", behind.get(..end).unwrap_or_default()));
            rest = behind.get(end..).unwrap_or_default();
            continue;
        };
        match inside.split_once(":-").or(inside.split_once('-')) {
            Some((variable, default)) => {
                notes.push(format!("{name}: {variable} is not known here, its default was taken"));
                out.push_str(default);
            }
            None => notes.push(format!("{name}: ${{{inside}}} is not known here and was left out")),
        }
        rest = after;
    }
    out + rest
}

/// The member called `name`, from a merged mapping as well.
fn member<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Value::Mapping(members) = &node.value else { return None };
    entries(members).into_iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
}

/// The members of a mapping and of those merged into it; its own come first.
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
    fn words_are_those_of_a_shell() {
        assert_eq!(words(r#"-a='b c' "-d e" f\ g  "" "#), ["-a=b c", "-d e", "f g", ""]);
    }

    #[test]
    fn variables_of_the_shell_take_their_defaults() {
        let mut notes = Vec::new();
        assert_eq!(resolved("a$$b${X:-1}c${Y}d$Z.e$", "N", &mut notes), "a$b1cd.e$");
        assert_eq!(notes.len(), 3, "{notes:?}");
    }

    #[test]
    fn an_image_is_known_by_its_name() {
        let name = |image: &str| {
            proxy_of_image(image).map(|proxy| match proxy {
                Proxy::Table(table) => table.name.as_str(),
                Proxy::Wollomatic => "wollomatic",
                Proxy::FoxxMd => "foxxmd",
            })
        };
        assert_eq!(name("tecnativa/docker-socket-proxy"), Some("tecnativa"));
        assert_eq!(name("ghcr.io:443/Tecnativa/docker-socket-proxy:0.3@sha256:00"), Some("tecnativa"));
        assert_eq!(name("lscr.io/linuxserver/socket-proxy:latest"), Some("linuxserver"));
        assert_eq!(name("11notes/socket-proxy:2"), Some("11notes"));
        assert_eq!(name("wollomatic/socket-proxy:1"), Some("wollomatic"));
        assert_eq!(name("foxxmd/docker-proxy-filter"), Some("foxxmd"));
        assert_eq!(name("evil11notes/socket-proxy"), None);
        assert_eq!(name("nginx"), None);
    }
}
