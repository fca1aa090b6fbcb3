//! What runs another proxy: a service of a Compose file, or a list of variables and arguments.

use crate::cli::Variables;
use crate::config::compat::{self, Table, tables};
use crate::yaml::{self, Diagnostic, Diagnostics, Key, Location, Node, Value};

/// A proxy that can be migrated.
#[derive(Clone, Copy, Debug)]
pub(super) enum KnownProxy {
    /// One with a drop-in mode.
    Table(&'static Table),
    /// wollomatic/socket-proxy, which is configured by regular expressions.
    Wollomatic,
    /// FoxxMD/docker-proxy-filter, a filter in front of another proxy.
    FoxxMd,
}

/// A proxy with its variables and arguments.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) proxy: KnownProxy,
    /// The file, or the service of a file.
    pub(super) name: String,
    pub(super) location: Location,
    pub(super) variables: Variables,
    pub(super) arguments: Vec<String>,
    /// What is uncertain.
    pub(super) notes: Vec<String>,
    /// The proxy between this one and the engine.
    pub(super) behind: Option<Box<Source>>,
}

/// Reads a Compose file, or lines of variables and arguments.
///
/// # Errors
/// Everything that cannot be read, or that it runs no known proxy.
pub(super) fn read(name: &str, text: &str, service: Option<&str>) -> Result<Source, Diagnostics> {
    match yaml::parse_foreign(name, text) {
        Ok(document) if member(&document, "services").is_some() => Ok(read_compose(name, &document, service)?),
        // A Compose file that is not YAML: its own error says more than one for each line.
        Err(error) if text.lines().any(|line| line.starts_with("services:")) => Err(error.into()),
        Ok(_) | Err(_) => read_lines(name, text),
    }
}

/// Reads the one service that runs a known proxy, or the one called `wanted`.
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
    let mut chosen: Vec<&Service> =
        found.iter().filter(|service| wanted.is_none_or(|wanted| service.key.name == wanted)).collect();
    // A filter in front of another proxy is migrated together with it.
    let mut behind = None;
    if let Some(front) = chosen.iter().find(|service| matches!(service.proxy, KnownProxy::FoxxMd)).copied() {
        let address = front.source(name)?.variables.get("PROXY_URL").map(ToOwned::to_owned).unwrap_or_default();
        behind = found.iter().find(|service| service.is_at(&address) && !matches!(service.proxy, KnownProxy::FoxxMd));
        chosen.retain(|service| behind.is_none_or(|behind| behind.key.name != service.key.name));
    }
    let names = found.iter().map(|service| service.key.name.as_str()).collect::<Vec<_>>().join(", ");
    match (chosen.as_slice(), wanted) {
        ([service], _) => {
            let mut source = service.source(name)?;
            source.behind = behind.map(|behind| behind.source(name)).transpose()?.map(Box::new);
            Ok(source)
        }
        ([], Some(wanted)) if !names.is_empty() => {
            Err(services.diagnostic(format!("service {wanted:?} runs no known socket proxy, expected one of {names}")))
        }
        ([], _) => Err(services
            .diagnostic(format!("no service runs a known socket proxy, expected an image of {}", KNOWN.join(", ")))),
        (_, _) => {
            Err(services.diagnostic(format!("several services run a socket proxy ({names}), expected --service")))
        }
    }
}

/// A service that runs a known proxy.
struct Service<'n> {
    key: &'n Key,
    node: &'n Node,
    proxy: KnownProxy,
}

impl Service<'_> {
    /// Whether a URL leads to it. Other containers reach it by the name of the service or of the container.
    fn is_at(&self, url: &str) -> bool {
        let host = url.split_once("://").map_or(url, |(_, rest)| rest).split([':', '/']).next().unwrap_or_default();
        let named = member(self.node, "container_name").and_then(|node| node.text("a name").ok());
        self.key.name == host || named.is_some_and(|name| name == host)
    }

    /// The proxy that it runs, with its variables and arguments.
    fn source(&self, file: &str) -> Result<Source, Diagnostic> {
        let mut notes = Vec::new();
        let variables = self.variables(&mut notes)?;
        for unread in ["env_file", "extends"] {
            if member(self.node, unread).is_some() {
                notes.push(format!("{unread} was not read: what it sets is missing here"));
            }
        }
        let arguments = self.arguments(&mut notes)?;
        Ok(Source {
            proxy: self.proxy,
            name: format!("service {:?} of {file}", self.key.name),
            location: self.key.location.clone(),
            variables: without_ours(variables),
            arguments,
            notes,
            behind: None,
        })
    }

    /// The variables in `environment`: a list or a mapping.
    fn variables(&self, notes: &mut Vec<String>) -> Result<Vec<(String, String)>, Diagnostic> {
        let mut variables = Vec::new();
        let Some(environment) = member(self.node, "environment") else { return Ok(variables) };
        let unknown = |name: &str| format!("{name}: its value is set outside this file, and missing here");
        if let Value::Sequence(items) = &environment.value {
            for item in items {
                let text = item.text("NAME=value")?;
                match text.split_once('=') {
                    Some((name, value)) => variables.push((name.to_owned(), resolved(value, name, notes))),
                    None => notes.push(unknown(text)),
                }
            }
            return Ok(variables);
        }
        for (key, value) in entries(environment.mapping("variables")?) {
            match &value.value {
                Value::Null => notes.push(unknown(&key.name)),
                Value::Scalar { text, .. } => variables.push((key.name.clone(), resolved(text, &key.name, notes))),
                Value::Sequence(_) | Value::Mapping(_) => return Err(value.expected("a value")),
            }
        }
        Ok(variables)
    }

    /// The arguments in `command`: a list, or a line as for a shell.
    fn arguments(&self, notes: &mut Vec<String>) -> Result<Vec<String>, Diagnostic> {
        let Some(command) = member(self.node, "command") else { return Ok(Vec::new()) };
        if let Value::Sequence(items) = &command.value {
            let argument = |item: &Node| Ok(resolved(item.text("an argument")?, "command", notes));
            return items.iter().map(argument).collect();
        }
        let line = resolved(command.text("a command")?, "command", notes);
        shlex::split(&line).ok_or_else(|| command.diagnostic(UNBALANCED))
    }
}

/// The error of a line that a shell cannot split.
const UNBALANCED: &str = "a quote is not closed, or the line ends with a backslash";

/// The images of known proxies.
const KNOWN: [&str; 5] = [
    "11notes/socket-proxy",
    "tecnativa/docker-socket-proxy",
    "linuxserver/socket-proxy",
    "wollomatic/socket-proxy",
    "foxxmd/docker-proxy-filter",
];

/// The proxy in an image, for any registry and tag.
fn proxy_of_image(image: &str) -> Option<KnownProxy> {
    let image = image.split('@').next().unwrap_or_default().to_ascii_lowercase();
    let folder = image.rfind('/').unwrap_or_default();
    let tag = image.rfind(':').filter(|colon| *colon > folder).unwrap_or(image.len());
    let image = image.get(..tag).unwrap_or_default();
    let is = |known: &str| image == known || image.ends_with(&format!("/{known}"));
    let table = tables().ok()?.iter().find(|table| is(&table.image));
    match table {
        Some(table) => Some(KnownProxy::Table(table)),
        None if is("wollomatic/socket-proxy") => Some(KnownProxy::Wollomatic),
        None if is("foxxmd/docker-proxy-filter") => Some(KnownProxy::FoxxMd),
        None => None,
    }
}

/// Reads lines of variables and arguments.
fn read_lines(name: &str, text: &str) -> Result<Source, Diagnostics> {
    let (mut variables, mut arguments, mut diagnostics) = (Vec::new(), Vec::new(), Diagnostics::default());
    for (number, line) in text.lines().enumerate() {
        let line_number = u32::try_from(number + 1).unwrap_or(u32::MAX);
        match read_line(line) {
            Ok(Line { variables: more, arguments: words }) => {
                variables.extend(more);
                arguments.extend(words);
            }
            Err(message) => diagnostics.report(&Location { line: line_number, ..Location::file(name) }, message),
        }
    }
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    let variables = without_ours(variables);
    let proxy = proxy_of_variables(name, &variables, &arguments)?;
    let location = Location::file(name);
    Ok(Source { proxy, name: name.to_owned(), location, variables, arguments, notes: Vec::new(), behind: None })
}

/// What one line sets.
#[derive(Debug, Default, PartialEq, Eq)]
struct Line {
    variables: Vec<(String, String)>,
    arguments: Vec<String>,
}

/// Reads a line: `NAME=value` as in an environment file, a script or a Compose file, options of `docker run` that set
/// variables, or arguments of the proxy.
fn read_line(line: &str) -> Result<Line, &'static str> {
    const EXPECTED: &str = "expected NAME=value, an argument, or a Compose file";
    let line = line.trim();
    // A command over several lines has a backslash at the end of each but the last.
    let line = line.strip_suffix('\\').unwrap_or(line).trim_end();
    let line =
        ["export ", "- "].iter().fold(line, |line, prefix| line.strip_prefix(prefix).unwrap_or(line).trim_start());
    if line.is_empty() || line.starts_with('#') {
        return Ok(Line::default());
    }
    if let Some((name, value)) = variable(line) {
        // A value may have spaces, which a shell would split.
        let value = unquoted(&value).to_owned();
        return Ok(Line { variables: vec![(name, value)], ..Line::default() });
    }
    let words = shlex::split(line).ok_or(UNBALANCED)?;
    match words.first() {
        Some(word) if run_option(word).is_some() => {
            Ok(Line { variables: run_options(&words).ok_or(EXPECTED)?, ..Line::default() })
        }
        Some(word) if word.starts_with('-') => Ok(Line { arguments: words, ..Line::default() }),
        Some(_) | None => Err(EXPECTED),
    }
}

/// Splits `NAME=value`.
fn variable(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    is_name.then(|| (name.to_owned(), value.to_owned()))
}

/// If a word is an option of `docker run` that sets a variable: the text after its name.
fn run_option(word: &str) -> Option<&str> {
    match word {
        "-e" | "--env" => Some(""),
        word => word.strip_prefix("--env="),
    }
}

/// The variables of `-e NAME=value`, `--env NAME=value` and `--env=NAME=value`; `None` if there is anything else.
fn run_options(words: &[String]) -> Option<Vec<(String, String)>> {
    let mut variables = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let text = match run_option(word)? {
            "" => words.next()?,
            text => text,
        };
        variables.push(variable(text)?);
    }
    Some(variables)
}

/// The proxy that reads these variables and arguments.
fn proxy_of_variables(name: &str, variables: &Variables, arguments: &[String]) -> Result<KnownProxy, Diagnostics> {
    let has = |prefixes: &[&str]| variables.names().any(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)));
    if !arguments.is_empty() || has(&["SP_"]) {
        return Ok(KnownProxy::Wollomatic);
    }
    if has(&["CONTAINER_NAMES", "CONTAINER_LABELS", "SCRUB_ENVS", "PROXY_URL"]) {
        return Ok(KnownProxy::FoxxMd);
    }
    match compat::choose(variables, true)? {
        Some(choice) => Ok(KnownProxy::Table(choice.table)),
        None => {
            let message = format!("no variable of a known socket proxy, expected those of {}", KNOWN.join(", "));
            Err(Diagnostic::new(&Location::file(name), message).into())
        }
    }
}

/// All variables but those of this program, which mean nothing to the other proxy.
fn without_ours(variables: Vec<(String, String)>) -> Variables {
    variables.into_iter().filter(|(name, _)| !name.starts_with("DOCKVEIL_")).collect()
}

/// The text inside one pair of quotes.
fn unquoted(text: &str) -> &str {
    let inside = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or(inside('\'')).unwrap_or(text)
}

/// A value in which `${NAME:-default}` is replaced by the default, other variables are removed, and `$$` is a dollar. The
/// notes say which.
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
            // Without a name it is a dollar, as at the end of a pattern.
            let end = behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(behind.len());
            if end == 0 {
                out.push('$');
                rest = behind;
                continue;
            }
            notes.push(format!(
                "{name}: ${} is not set in this file and was removed",
                behind.get(..end).unwrap_or_default()
            ));
            rest = behind.get(end..).unwrap_or_default();
            continue;
        };
        match inside.split_once(":-").or(inside.split_once('-')) {
            Some((variable, default)) => {
                notes.push(format!("{name}: {variable} is not set in this file, its default was used"));
                out.push_str(default);
            }
            None => notes.push(format!("{name}: ${{{inside}}} is not set in this file and was removed")),
        }
        rest = after;
    }
    out + rest
}

/// The member called `name`, of the mapping or of one merged into it.
fn member<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
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

    #[track_caller]
    fn check_line(line: &str, variables: &[(&str, &str)], arguments: &[&str]) {
        let found = read_line(line).unwrap();
        let pairs: Vec<_> = found.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, variables, "{line}");
        assert_eq!(found.arguments, arguments, "{line}");
    }

    #[test]
    fn a_line_sets_variables_or_arguments() {
        check_line("CONTAINERS=1", &[("CONTAINERS", "1")], &[]);
        check_line("  export TIMEOUT='5 s'", &[("TIMEOUT", "5 s")], &[]);
        check_line("- LABELS=a b", &[("LABELS", "a b")], &[]);
        check_line("-e A=1 --env B=2 --env=C='x y' \\", &[("A", "1"), ("B", "2"), ("C", "x y")], &[]);
        check_line(r#"-a='b c' "-d e" f\ g  "" "#, &[], &["-a=b c", "-d e", "f g", ""]);
        check_line("- '-allowGET=/v1\\..+'", &[], &["-allowGET=/v1\\..+"]);
        check_line("# a comment", &[], &[]);
        check_line("", &[], &[]);
    }

    #[test]
    fn any_other_line_is_an_error() {
        for line in ["hello", "lower=1", "-e", "-e lower=1", "-e A=1 -p 1:1", "docker run -e A=1 image"] {
            assert!(read_line(line).is_err(), "{line}");
        }
        assert_eq!(read_line("-a='b"), Err(UNBALANCED));
    }

    #[test]
    fn unset_variables_take_their_defaults() {
        let mut notes = Vec::new();
        assert_eq!(resolved("a$$b${X:-1}c${Y}d$Z.e$", "N", &mut notes), "a$b1cd.e$");
        assert_eq!(notes.len(), 3, "{notes:?}");
    }

    #[test]
    fn an_image_is_recognised_by_its_name() {
        let name = |image: &str| {
            proxy_of_image(image).map(|proxy| match proxy {
                KnownProxy::Table(table) => table.name.as_str(),
                KnownProxy::Wollomatic => "wollomatic",
                KnownProxy::FoxxMd => "foxxmd",
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
