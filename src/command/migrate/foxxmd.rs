//! FoxxMD/docker-proxy-filter, a filter in front of another proxy.

use super::migration::Migration;
use super::source::Source;
use super::{UNFILTERABLE, is_unfilterable};
use crate::api::objects::{ObjectKind, objects_of};
use crate::api::{Method, OPERATIONS, Operation};
use crate::quoting;
use crate::socket::Address;
use crate::yaml::{Diagnostic, Diagnostics};

/// The migration of FoxxMD/docker-proxy-filter.
pub(super) fn migration(source: &Source) -> Result<Migration, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let get = |name: &str| source.variables.get(name).filter(|value| !value.is_empty());
    let error = |name: &str, message: String| Diagnostic::new(&source.place(name), message);
    let url = get("PROXY_URL").unwrap_or_default();
    let host = url.strip_prefix("http://").unwrap_or_default().trim_end_matches('/');
    let port = if host.rsplit(']').next().is_some_and(|rest| rest.contains(':')) { "" } else { ":80" };
    let upstream = format!("tcp://{host}{port}").parse::<Address>();
    let upstream = diagnostics.ok(upstream.map_err(|_| {
        error("PROXY_URL", format!("PROXY_URL: found {:?}, expected http://host:port", quoting::value(url)))
    }));
    let listener = format!("tcp://0.0.0.0:{}", get("PORT").unwrap_or("2375")).parse::<Address>();
    let listener = diagnostics.ok(listener.map_err(|reason| error("PORT", format!("PORT: {reason}"))));
    let (Some(upstream), Some(listener)) = (upstream, listener) else { return Err(diagnostics) };
    let mut migration = match &source.behind {
        Some(behind) => super::migration_of(behind)?.in_front("FoxxMD/docker-proxy-filter", &behind.container.notes),
        None => pass_through(upstream),
    };
    migration.listen(listener, None);
    let names = get("CONTAINER_NAMES").unwrap_or_default();
    let labels = get("CONTAINER_LABELS").unwrap_or_default();
    select_containers(&mut migration, names, labels);
    let scrubbed = get("SCRUB_ENVS").is_some_and(|text| text.eq_ignore_ascii_case("true") || text == "1");
    migration.differences.push(if scrubbed {
        "SCRUB_ENVS emptied the environment where one container is inspected: here it is hidden everywhere".to_owned()
    } else {
        "SCRUB_ENVS was off: here environments are hidden; `env` in the profile shows some by name".to_owned()
    });
    if get("RUST_LOG").is_some() {
        migration.differences.push("RUST_LOG: the log level is set by DOCKVEIL_LOG".to_owned());
    }
    diagnostics.finish(migration)
}

/// Selects the containers that the client sees: those of which a name has one of the texts in it, or a label.
fn select_containers(migration: &mut Migration, names: &str, labels: &str) {
    let texts = |list: &str| -> Vec<String> {
        list.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
    };
    let (names, labels) = (texts(names), texts(labels));
    if names.is_empty() && labels.is_empty() {
        return;
    }
    // A star would stand for any text here.
    let (written, lost): (Vec<String>, Vec<String>) =
        names.iter().chain(&labels).cloned().partition(|text| !text.contains(['*', '"', '\\']));
    let is_written = |text: &&String| written.contains(text);
    let name = |text: &String| match text.strip_prefix('/') {
        Some(start) => format!("{{name: \"{start}*\"}}"),
        None => format!("{{name: \"*{text}*\"}}"),
    };
    let label = |text: &String| match text.split_once('=') {
        Some((key, value)) => format!("{{label: \"*{key}*=*{value}*\"}}"),
        None => format!("{{label: \"*{text}*\"}}"),
    };
    let selected = names.iter().filter(is_written).map(name).chain(labels.iter().filter(is_written).map(label));
    let mut selected: Vec<String> = selected.collect();
    if selected.is_empty() {
        selected.push("{name: \"\\0\"}".to_owned());
    }
    let others = migration.others.iter_mut().map(|other| &mut other.opened);
    for opened in others.chain(std::iter::once(&mut migration.opened)) {
        opened.containers.clone_from(&selected);
        let refused = |operation: &&Operation| {
            objects_of(operation).ok().flatten().is_none_or(|objects| {
                let prunes = objects.prune == Some(ObjectKind::Container);
                objects.refuse.contains(&ObjectKind::Container) || objects.needs.is_some() || prunes
            })
        };
        for operation in OPERATIONS.iter().filter(refused) {
            if opened.allow.remove(operation.id).is_some() {
                let why = "is not limited to some containers, so that it is denied where others are hidden";
                opened.left_out.insert(operation.id, why.to_owned());
            }
        }
    }
    migration.differences.push(
        "CONTAINER_NAMES and CONTAINER_LABELS selected containers by a text that is anywhere in a name, or in the key and the \
         value of a label. The stars below say the same; without them, texts are compared exactly. The other proxy looked at \
         the list and at single containers only: here, hidden containers are in no answer, no event and no count"
            .to_owned(),
    );
    if !lost.is_empty() {
        migration.differences.push(format!("the texts {} cannot be written here, and select nothing", lost.join(", ")));
    }
}

/// Leaves out the operations that show containers, if variables select some of the containers.
pub(super) fn leave_out_containers(migration: &mut Migration, selected: &[&str]) {
    if selected.is_empty() {
        return;
    }
    let why = format!("was open for the containers of {} only", selected.join(" and "));
    let others = migration.others.iter_mut().map(|other| &mut other.opened);
    for opened in others.chain(std::iter::once(&mut migration.opened)) {
        for operation in OPERATIONS.iter().filter(|operation| operation.shows_containers()) {
            if opened.allow.remove(operation.id).is_some() {
                opened.left_out.insert(operation.id, why.clone());
            }
        }
    }
    migration.differences.extend(selected.iter().map(|name| {
        format!(
            "{name}: not written for you: say in the profile which containers it shows, as in `containers: {{only: [{{label: NAME}}]}}`, \
             and allow the operations that show containers, which are left out below"
        )
    }));
}

/// FoxxMD/docker-proxy-filter in front of an unknown proxy: every read is passed through.
fn pass_through(upstream: Address) -> Migration {
    let mut migration = Migration::new("FoxxMD/docker-proxy-filter", upstream);
    for operation in OPERATIONS {
        if !is_read(operation) {
            let why = "was passed to the proxy behind it, which may have allowed it";
            migration.opened.left_out.insert(operation.id, why.to_owned());
        } else if is_unfilterable(operation) {
            migration.opened.left_out.insert(operation.id, UNFILTERABLE.to_owned());
        } else {
            migration.opened.allow.insert(operation.id, "was passed through".to_owned());
        }
    }
    migration.differences.push(
        "it left it to the proxy behind it to allow operations, and that one still does. dockveil needs no proxy behind it: \
         set `upstream` to the engine's socket, and keep below what the client uses"
            .to_owned(),
    );
    migration
}

/// Whether an operation only reads.
fn is_read(operation: &Operation) -> bool {
    matches!(operation.method, Method::Get | Method::Head) && !operation.mutating
}
