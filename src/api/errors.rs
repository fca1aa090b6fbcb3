//! What is said for an error of the engine.
//!
//! The engine's own text names hosts, paths, options and other containers, so none is passed on. Clients go by the
//! status; these are the phrases that a client of the operation knows.

use super::Operation;

/// What an object is called that does not exist, by the first segment of the operation's path.
const MISSING: &[(&str, &str)] = &[
    ("containers", "No such container"),
    ("images", "No such image"),
    ("distribution", "No such image"),
    ("exec", "No such exec instance"),
    ("networks", "network not found"),
    ("volumes", "no such volume"),
    ("services", "service not found"),
    ("tasks", "task not found"),
    ("nodes", "node not found"),
    ("secrets", "secret not found"),
    ("configs", "config not found"),
    ("plugins", "plugin not found"),
];

/// The text for an error with this status, as the engine answers it to `operation`.
pub fn phrase(status: u16, operation: &Operation) -> &'static str {
    match status {
        400 => "bad parameter",
        401 | 403 => "denied by the docker daemon",
        404 => missing(operation),
        406 => "not acceptable",
        409 => "conflict with the current state",
        501 => "not implemented by the docker daemon",
        503 => "not available on this node, which may be no swarm manager",
        _ if status < 500 => "refused by the docker daemon",
        _ => "the docker daemon failed to answer",
    }
}

/// What is missing, by what the operation is about.
fn missing(operation: &Operation) -> &'static str {
    let subject = operation.template.split('/').nth(1);
    MISSING.iter().find(|(segment, _)| subject == Some(*segment)).map_or("not found", |(_, phrase)| phrase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::operation;

    #[track_caller]
    fn check(status: u16, id: &str, expected: &str) {
        assert_eq!(phrase(status, operation(id).unwrap()), expected);
    }

    #[test]
    fn a_missing_object_is_called_what_it_is() {
        check(404, "ContainerInspect", "No such container");
        check(404, "ContainerExec", "No such container");
        check(404, "ExecStart", "No such exec instance");
        check(404, "DistributionInspect", "No such image");
        check(404, "SystemInfo", "not found");
    }

    #[test]
    fn every_status_has_a_phrase() {
        check(418, "ContainerInspect", "refused by the docker daemon");
        check(500, "ContainerInspect", "the docker daemon failed to answer");
        check(503, "ContainerInspect", "not available on this node, which may be no swarm manager");
    }
}
