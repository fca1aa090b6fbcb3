//! What runs another proxy: the one container of a text that does, or the proxy's own configuration file.

use std::path::Path;

use super::compose::{self, member};
use super::container::{Located, ProxyContainer, SourceForm};
use super::proxies::{self, KnownProxy};
use super::{cetusguard, lines, quadlet, run};
use crate::cli::{self, Variables};
use crate::config::compat;
use crate::quoting;
use crate::yaml::{self, Diagnostic, Diagnostics, Location, Node};

/// A proxy with its variables and arguments.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) proxy: KnownProxy,
    /// The file, or the service or container in it.
    pub(super) name: String,
    pub(super) variables: Variables,
    pub(super) container: ProxyContainer,
    /// The configuration file of the proxy, if that is what was read.
    pub(super) document: Option<Node>,
    /// Other containers of the same text that have labels.
    pub(super) labelled: Vec<ProxyContainer>,
    /// The proxy between this one and the engine.
    pub(super) behind: Option<Box<Source>>,
}

impl Source {
    /// The proxy in a container.
    fn new(proxy: KnownProxy, name: String, container: ProxyContainer) -> Self {
        // Variables of this program mean nothing to the other proxy.
        let variables = container.variables.iter().filter(|(name, _)| !name.starts_with(cli::PREFIX));
        let variables = variables.map(|(name, value)| (name.as_str(), value.text.as_str())).collect();
        Self { proxy, name, variables, container, document: None, labelled: Vec::new(), behind: None }
    }

    /// Where the input starts.
    pub(super) fn location(&self) -> &Location {
        &self.container.location
    }

    /// Where a variable is set; where the input starts if it is not set.
    pub(super) fn place(&self, variable: &str) -> Location {
        let mut set = self.container.variables.iter().rev();
        let found = set.find(|(name, _)| name == variable).map(|(_, value)| &value.location);
        found.unwrap_or(self.location()).clone()
    }

    /// The arguments.
    pub(super) fn arguments(&self) -> &[Located] {
        &self.container.arguments
    }

    /// Errors in variables, each with the line of its variable.
    pub(super) fn located(&self, errors: Diagnostics) -> Diagnostics {
        let mut located = Diagnostics::default();
        for error in errors {
            let name = error.location.file.to_string();
            if self.variables.get(&name).is_some() {
                located.report(&self.place(&name), format!("{name}: {}", error.message));
            } else {
                located.push(error);
            }
        }
        located
    }
}

/// What the operator says about a text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Selection<'s> {
    /// The name of the service or container.
    pub(super) service: Option<&'s str>,
    /// The proxy, whatever its image is called.
    pub(super) proxy: Option<KnownProxy>,
    /// The folder of the file, in which `.env` and the environment files are. `None` if the text is in no file.
    pub(super) folder: Option<&'s Path>,
}

/// Reads a text of any form.
///
/// # Errors
/// Everything that cannot be read, or that it runs no known proxy.
pub(super) fn read(name: &str, text: &str, selection: Selection<'_>) -> Result<Source, Diagnostics> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let document = yaml::parse_foreign(name, text);
    match &document {
        Ok(document) if member(document, "services").is_some() => {
            let services = member(document, "services").unwrap_or(document);
            let found = compose::services(services, selection.folder)?;
            return chosen(name, found, &services.location, selection);
        }
        Ok(document) if is_sockguard_file(document) => {
            let container = ProxyContainer::new(SourceForm::File, name, Location::file(name));
            let source = Source::new(KnownProxy::SockGuard, name.to_owned(), container);
            return Ok(Source { document: Some(document.clone()), ..source });
        }
        Ok(_) | Err(_) => {}
    }
    if quadlet::is_here(text) {
        let found = quadlet::container(name, text, selection.folder);
        return chosen(name, vec![found], &Location::file(name), selection);
    }
    if run::is_here(text) {
        return chosen(name, run::containers(name, text, selection.folder), &Location::file(name), selection);
    }
    if let Some(rules) = cetusguard::rules_file(name, text) {
        let container =
            ProxyContainer { variables: rules, ..ProxyContainer::new(SourceForm::File, name, Location::file(name)) };
        return Ok(Source::new(KnownProxy::CetusGuard, name.to_owned(), container));
    }
    match document {
        // A Compose file that is not YAML: its own error says more than one for each line.
        Err(error) if looks_like_compose(text) => Err(error.into()),
        Ok(_) | Err(_) => read_lines(name, text, selection),
    }
}

/// Whether a text that is not YAML was meant to be a Compose file.
fn looks_like_compose(text: &str) -> bool {
    let is_key = |line: &str| ["services:", "\"services\":", "'services':"].iter().any(|key| line.starts_with(key));
    text.trim_start().starts_with('{') || text.lines().any(is_key)
}

/// Whether a document is the configuration of sockguard: it has rules, of its own or of client profiles.
fn is_sockguard_file(document: &Node) -> bool {
    let is_list = |node: Option<&Node>| node.is_some_and(|node| node.list("rules").is_ok());
    let clients = member(document, "clients");
    is_list(member(document, "rules")) || is_list(clients.and_then(|clients| member(clients, "profiles")))
}

/// Lines of variables and arguments.
fn read_lines(name: &str, text: &str, selection: Selection<'_>) -> Result<Source, Diagnostics> {
    let container = lines::container(name, text)?;
    let source = Source::new(KnownProxy::Wollomatic, name.to_owned(), container);
    let proxy = match selection.proxy {
        Some(proxy) => proxy,
        None => of_variables(name, &source)?,
    };
    Ok(Source { proxy, ..source })
}

/// The proxy that reads these variables and arguments.
fn of_variables(name: &str, source: &Source) -> Result<KnownProxy, Diagnostics> {
    let has =
        |prefixes: &[&str]| source.variables.names().any(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)));
    let is_rule = |word: &Located| word.text.trim_start_matches('-').starts_with("rules");
    if has(&["CETUSGUARD_"]) || source.arguments().iter().any(is_rule) {
        return Ok(KnownProxy::CetusGuard);
    }
    if has(&["SOCKGUARD_"]) {
        return Ok(KnownProxy::SockGuard);
    }
    if !source.arguments().is_empty() || has(&["SP_"]) {
        return Ok(KnownProxy::Wollomatic);
    }
    if has(&["CONTAINER_NAMES", "CONTAINER_LABELS", "SCRUB_ENVS", "PROXY_URL"]) {
        return Ok(KnownProxy::FoxxMd);
    }
    match compat::choose(&source.variables, true)? {
        Some(choice) => Ok(KnownProxy::Table(choice.table)),
        None => {
            let message = format!(
                "no variable of a known socket proxy, expected those of {}; --as names the proxy",
                proxies::known_images()
            );
            Err(Diagnostic::new(&Location::file(name), message).into())
        }
    }
}

/// A container that runs a proxy, with the errors in it.
struct Candidate {
    container: ProxyContainer,
    errors: Diagnostics,
    proxy: KnownProxy,
}

impl Candidate {
    /// The proxy with its variables and arguments.
    fn source(&self, file: &str) -> Result<Source, Diagnostics> {
        self.errors.clone().finish(())?;
        let name = match self.container.form {
            SourceForm::Service => format!("service {:?} of {file}", quoting::value(&self.container.name)),
            SourceForm::Run if !self.container.names.is_empty() => {
                format!("container {:?} of {file}", quoting::value(&self.container.name))
            }
            SourceForm::Run | SourceForm::Quadlet | SourceForm::Lines | SourceForm::File => file.to_owned(),
        };
        Ok(Source::new(self.proxy, name, self.container.clone()))
    }
}

/// The one container that runs a known proxy, or the one that the operator names.
fn chosen(
    file: &str,
    containers: Vec<(ProxyContainer, Diagnostics)>,
    place: &Location,
    selection: Selection<'_>,
) -> Result<Source, Diagnostics> {
    let others: Vec<ProxyContainer> = containers.iter().map(|(container, _)| container.clone()).collect();
    let found = candidates(containers, selection);
    let mut chosen: Vec<&Candidate> = found.iter().collect();
    chosen.retain(|one| selection.service.is_none_or(|wanted| one.container.name == wanted));
    // A filter in front of another proxy is migrated together with it.
    let mut behind = None;
    if let Some(front) = chosen.iter().find(|one| matches!(one.proxy, KnownProxy::FoxxMd)).copied() {
        let address = front.source(file)?.variables.get("PROXY_URL").map(ToOwned::to_owned).unwrap_or_default();
        let is_behind = |one: &&Candidate| one.container.is_at(&address) && !matches!(one.proxy, KnownProxy::FoxxMd);
        behind = found.iter().find(is_behind);
        chosen.retain(|one| behind.is_none_or(|behind| behind.container.name != one.container.name));
    }
    let [one] = chosen.as_slice() else {
        let argument = selection.service.filter(|_| chosen.is_empty()).map(|_| Location::argument("--service"));
        let place = argument.as_ref().unwrap_or(place);
        return Err(Diagnostic::new(place, not_one(&found, &others, chosen.len(), selection)).into());
    };
    let mut source = one.source(file)?;
    source.labelled = others.into_iter().filter(|other| other.name != one.container.name).collect();
    source.labelled.retain(|other| !other.labels.is_empty());
    source.behind = behind.map(|behind| behind.source(file)).transpose()?.map(Box::new);
    Ok(source)
}

/// The containers that run a known proxy. If the operator says which proxy, that is the named one, else the one whose image looks
/// like a socket proxy, else the one that has the engine's socket.
fn candidates(containers: Vec<(ProxyContainer, Diagnostics)>, selection: Selection<'_>) -> Vec<Candidate> {
    let proxy_of = |container: &ProxyContainer| container.image.as_deref().and_then(proxies::of_image);
    let Some(proxy) = selection.proxy else {
        let known = containers.into_iter().filter_map(|(container, errors)| {
            let proxy = proxy_of(&container)?;
            Some(Candidate { container, errors, proxy })
        });
        return known.collect();
    };
    let is_proxy = |container: &ProxyContainer| {
        let image = container.image.as_deref().unwrap_or_default();
        proxies::of_image(image).is_some() || proxies::looks_like_one(image)
    };
    let tests: [&dyn Fn(&ProxyContainer) -> bool; 3] = [
        &|container| selection.service.is_some_and(|wanted| container.name == wanted),
        &|container| selection.service.is_none() && is_proxy(container),
        &|container| selection.service.is_none() && container.has_socket(),
    ];
    let fits = tests.iter().find(|test| containers.iter().any(|(container, _)| test(container)));
    let fitting = containers.into_iter().filter(|(container, _)| fits.is_some_and(|test| test(container)));
    fitting.map(|(container, errors)| Candidate { container, errors, proxy }).collect()
}

/// The error if there is no container to choose, or more than one.
fn not_one(found: &[Candidate], all: &[ProxyContainer], chosen: usize, selection: Selection<'_>) -> String {
    let names = found.iter().map(|one| one.container.name.as_str()).collect::<Vec<_>>().join(", ");
    if chosen > 1 {
        return format!("several services run a socket proxy ({names}), expected --service");
    }
    if let Some(wanted) = selection.service {
        let every: Vec<&str> = all.iter().map(|container| container.name.as_str()).collect();
        let expected = if names.is_empty() { every.join(", ") } else { names };
        return format!("service {:?} runs no known socket proxy, expected one of {expected}", quoting::value(wanted));
    }
    let mut images = all.iter().filter_map(|container| container.image.as_deref());
    match images.find(|image| proxies::looks_like_one(image)) {
        Some(image) => format!(
            "{:?} is no known socket proxy; if it is a fork with the variables of Tecnativa's, say --as tecnativa",
            quoting::image(image)
        ),
        None => format!("no service runs a known socket proxy, expected an image of {}", proxies::known_images()),
    }
}
