//! What a request of an allowed operation may contain: query parameters, and a body.

use crate::api::{Operation, RequestBody};
use crate::quoting;
use crate::yaml::{Diagnostics, Location, Node, unknown};

/// What stands for the body in a list of parameters.
const BODY: &str = "body";

/// The query parameters and the body that requests of one operation may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestContents {
    /// The parameters, in the order of the table of operations.
    parameters: Vec<&'static str>,
    /// Whether a request may have a body.
    body: bool,
    /// Whether the profile lets everything pass in so many words: `all`.
    is_whole: bool,
    /// The line of the profile that says so; `None` if it says nothing about the operation.
    pub location: Option<Location>,
}

impl RequestContents {
    /// Whether these allow all that others do.
    pub fn covers(&self, others: &Self) -> bool {
        (self.body || !others.body) && others.parameters.iter().all(|name| self.has_parameter(name))
    }

    /// What the requests of known clients have: no [rare](crate::api::Parameter::rare) parameter.
    pub fn usual(operation: &Operation) -> Self {
        let usual = operation.query.iter().filter(|parameter| !parameter.rare);
        let body = operation.body != RequestBody::None && !operation.body_is_rare;
        Self { parameters: usual.map(|parameter| parameter.name).collect(), body, is_whole: false, location: None }
    }

    /// Everything that the operation takes.
    pub fn all(operation: &Operation) -> Self {
        let parameters = operation.query.iter().map(|parameter| parameter.name).collect();
        Self { parameters, body: operation.body != RequestBody::None, is_whole: true, location: None }
    }

    /// The same contents, decided by this line.
    #[must_use]
    pub fn decided_at(self, location: Location) -> Self {
        Self { location: Some(location), ..self }
    }

    /// The same contents, but nobody has said in so many words that everything passes.
    #[must_use]
    pub fn unsaid(self) -> Self {
        Self { is_whole: false, ..self }
    }

    /// Reads `all`, or a list of parameters and `body`.
    pub(super) fn read(operation: &'static Operation, node: &Node, diagnostics: &mut Diagnostics) -> Self {
        let location = node.location.clone();
        if let Ok(text) = node.text("") {
            if text != "all" {
                diagnostics.push(
                    node.diagnostic(format!(
                        "found {:?}, expected `all` or a list of parameters",
                        quoting::value(text)
                    )),
                );
            }
            return Self::all(operation).decided_at(location);
        }
        // A body that an operation cannot do without is not a choice.
        let mut contents = Self {
            parameters: Vec::new(),
            body: operation.body.is_required(),
            is_whole: false,
            location: Some(location),
        };
        let mut seen = Vec::new();
        for (text, item) in diagnostics.texts(node, "parameters") {
            if seen.contains(&text) {
                diagnostics.push(item.diagnostic(format!("duplicate parameter {:?}", quoting::value(text))));
            }
            seen.push(text);
            match contents.add(operation, text) {
                Ok(()) => {}
                Err(message) => diagnostics.push(item.diagnostic(message)),
            }
        }
        contents
    }

    /// Adds one item of a list.
    fn add(&mut self, operation: &'static Operation, text: &str) -> Result<(), String> {
        let id = operation.id;
        let takes_body = operation.body != RequestBody::None;
        if text == BODY {
            self.body = takes_body;
            return if takes_body { Ok(()) } else { Err(format!("{id} takes no body")) };
        }
        let known = operation.query.iter().map(|parameter| parameter.name);
        if let Some(name) = known.clone().find(|name| *name == text) {
            self.parameters.push(name);
            return Ok(());
        }
        let known: Vec<&str> = known.chain(takes_body.then_some(BODY)).collect();
        if known.is_empty() {
            return Err(format!("{id} takes no parameters"));
        }
        Err(unknown(&format!("parameter of {id}"), text, known))
    }

    /// Whether a request may have a parameter.
    pub fn has_parameter(&self, name: &str) -> bool {
        self.parameters.contains(&name)
    }

    /// Whether a request may have a body.
    pub fn has_body(&self) -> bool {
        self.body
    }

    /// Whether the profile lets everything pass in so many words. Then a body may also reach the host, although the profile shows
    /// only some objects.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// What is in these contents and not in `others`.
    pub fn beyond(&self, others: &Self) -> Vec<&'static str> {
        let parameters = self.parameters.iter().copied().filter(|name| !others.has_parameter(name));
        parameters.chain((self.body && !others.body).then_some("a body")).collect()
    }

    /// The parameters, and `a body` if there may be one, for people.
    pub fn names(&self) -> Vec<&'static str> {
        let parameters = self.parameters.iter().copied();
        parameters.chain(self.body.then_some("a body")).collect()
    }
}
