//! Texts that replace the engine's error texts.
//!
//! The engine's own text can name hosts, paths, options and other containers, so it never reaches a client. Clients
//! decide by the status code. For a missing object the phrase is the engine's, because some clients search for it.

use super::Operation;

/// The text for an object that does not exist, by the first segment of the operation's path.
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

/// Returns the text for an error response of the engine to `operation`.
pub fn phrase(status: u16, operation: &Operation) -> &'static str {
    match status {
        400 => "bad parameter",
        401 | 403 => "denied by the docker daemon",
        404 => missing(operation),
        406 => "not acceptable",
        409 => "conflict with the current state",
        501 => "not implemented by the docker daemon",
        503 => "not available on this node, which may not be a swarm manager",
        _ if status < 500 => "refused by the docker daemon",
        _ => "the docker daemon failed to answer",
    }
}

/// Returns the text for a missing object of the kind that the operation is about.
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
    fn the_text_for_a_missing_object_names_its_kind() {
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
        check(503, "ContainerInspect", "not available on this node, which may not be a swarm manager");
    }
}
