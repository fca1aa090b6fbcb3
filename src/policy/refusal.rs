//! A denial in words: which operation, which profile, and what opens it.

use std::fmt::Write;

use super::guard::{self, HiddenRead};
use super::{Denial, Policy};
use crate::api::Operation;
use crate::api::bodies::BodyFault;
use crate::api::objects::{ObjectKind, ParameterRule};
use crate::filter::{EditFault, EditRefusal};
use crate::profile::OpenedBy;
use crate::route::Route;
use crate::schema::ClassSet;

/// A denial in words.
///
/// A client reads the operation, the profile and what opens the request; a label that it filters by is its own. The log has
/// the same, except for that label: nothing of a query is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason in the log, in one word.
    reason: &'static str,
    /// Why the request is denied, for the client.
    why: String,
    /// The same for the log, where it differs.
    logged: Option<Box<str>>,
    /// What opens it, if anything does.
    opened_by: Option<String>,
    /// The same for the log, where it differs.
    opened_by_logged: Option<Box<str>>,
}

impl Refusal {
    fn new(why: String, opened_by: Option<String>) -> Self {
        Self { reason: "policy", why, logged: None, opened_by, opened_by_logged: None }
    }

    /// The text for the client.
    pub fn public(&self) -> String {
        let mut text = format!("denied by policy: {}", self.why);
        if let Some(opened_by) = &self.opened_by {
            // Writing to a string does not fail.
            let _ = write!(text, " ({opened_by} opens it)");
        }
        text
    }

    /// Why, in one word for the log.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// Why, for the log.
    pub fn logged(&self) -> &str {
        self.logged.as_deref().unwrap_or(&self.why)
    }

    /// What opens it, for the log. Empty if nothing does.
    pub fn opened_by(&self) -> &str {
        self.opened_by_logged.as_deref().or(self.opened_by.as_deref()).unwrap_or_default()
    }
}

impl Policy {
    /// Says a denial of a request in words.
    pub fn refusal(&self, route: &Route, denial: Denial) -> Refusal {
        Refusal { reason: denial.as_str(), ..self.in_words(route, denial) }
    }

    fn in_words(&self, route: &Route, denial: Denial) -> Refusal {
        let (profile, id) = (&self.profile.name, route.operation.id);
        match denial {
            Denial::NotAllowed => {
                let why = format!("the profile {profile} does not allow {id}");
                let key = match self.profile.deny.get(id) {
                    Some(location) => format!("taking it out of `deny` ({location})"),
                    None => format!("allow: [{id}]"),
                };
                Refusal::new(why, self.opening_operation(id, key))
            }
            Denial::Erases => {
                let why = format!("the profile {profile} hides parts of the spec, and {id} would erase them");
                let key = if route.operation.edits().is_some() { "edits: restore" } else { "show: all" };
                Refusal::new(why, Some(self.opening(key.to_owned(), |show, _| format!("{show}=all"))))
            }
            Denial::Parameter(name) => {
                let why = format!("the profile {profile} does not allow the parameter {name} of {id}");
                // A list of parameters does not open one that could reach the host.
                let rule = self.objects(route.operation).and_then(|objects| objects.rule(route.operation, name));
                let is_kept = self.visibility.restricts_any() && rule != Some(ParameterRule::Any);
                let opening = || Some(self.opening_contents(id, name));
                Refusal::new(why, if is_kept { self.opening_host(id) } else { opening() })
            }
            Denial::Body => {
                let why = format!("the profile {profile} does not allow a body with {id}");
                Refusal::new(why, Some(self.opening_contents(id, "body")))
            }
            Denial::Oracle => self.oracle(route),
            Denial::Pattern => {
                let why = format!("{id}: the key of a label filter must not contain * ? [ ] or \\");
                Refusal::new(why, None)
            }
            Denial::Place => {
                let why =
                    format!("a parameter or a filter of {id} names no image, but what could be a place on the host");
                Refusal::new(why, None)
            }
            Denial::Filters => Refusal::new(format!("the filters of {id} cannot be parsed"), None),
            Denial::Unlimited(kind) => {
                let why = format!("the profile {profile} shows only some {kind}, and {id} is not limited to them");
                let because = self.objects(route.operation).and_then(|objects| objects.because.as_ref());
                Refusal::new(because.map_or_else(|| why.clone(), |because| format!("{why}: {because}")), None)
            }
            Denial::Host => {
                let why = format!(
                    "the profile {profile} shows only some objects, and {id} reaches the host, where nothing is hidden"
                );
                Refusal::new(why, self.opening_host(id))
            }
            Denial::Environment => {
                let why = format!(
                    "the profile {profile} shows only some objects, and what {id} makes shows the environment of a container"
                );
                Refusal::new(why, self.opening_host(id))
            }
            Denial::HostParameter(name) => {
                let why = format!(
                    "the profile {profile} shows only some objects, and the parameter {name} of {id} could reach the host, \
                     where nothing is hidden"
                );
                Refusal::new(why, self.opening_host(id))
            }
            Denial::Bound => {
                let why = format!("the profile {profile} allows {id} for some objects only, and not for this one");
                Refusal::new(why, None)
            }
            Denial::AllTags => {
                let why = format!(
                    "the profile {profile} shows only some images, and {id} without a tag is about all of a name"
                );
                Refusal::new(why, None)
            }
            Denial::Reused(kind) => {
                let what = match kind {
                    ObjectKind::Volume => {
                        "could start tasks with one that it does not show or that does not exist: no running task has it, so another \
                         may have got its name. An update to no replicas passes"
                    }
                    ObjectKind::Network | ObjectKind::Container | ObjectKind::Image | ObjectKind::Service => {
                        "connects the container for the first time to one that it does not show or that does not exist: another may \
                         have got its name"
                    }
                };
                Refusal::new(format!("the profile {profile} shows only some {kind}, and {id} {what}"), None)
            }
            Denial::Name => {
                let why = format!("the profile {profile} hides the names that {id} finds objects by, use a whole id");
                Refusal::new(why, None)
            }
        }
    }

    /// Says in words why an edit is refused.
    pub fn edit_refusal(&self, operation: &Operation, refused: &EditRefusal) -> Refusal {
        let (profile, id, path) = (&self.profile.name, operation.id, &refused.path);
        match refused.fault {
            EditFault::Hidden => {
                let key = format!("edits: {{set: {{{id}: [\"{}\"]}}}}", any_element(path));
                let why = format!("the profile {profile} hides {path} in the body of {id}, and the request sets it");
                Refusal::new(why, Some(self.opening(key, |show, _| format!("{show}=all"))))
            }
            EditFault::Unknown
            | EditFault::Mask
            | EditFault::Template
            | EditFault::Destination
            | EditFault::Question
            | EditFault::Kind
            | EditFault::Spelling
            | EditFault::Type
            | EditFault::Uncertain
            | EditFault::NotAsWritten => Refusal::new(format!("in the body of {id}, {refused}"), None),
        }
    }

    /// Says in words why a body that names objects is refused.
    pub fn body_refusal(&self, operation: &Operation, fault: &BodyFault) -> Refusal {
        let (profile, id) = (&self.profile.name, operation.id);
        let some = format!("the profile {profile} shows only some objects");
        let whole = || self.opening_host(id);
        match fault {
            BodyFault::Unread => Refusal::new(
                format!("{some}, and the body of {id} is not one JSON object, or has a member twice"),
                None,
            ),
            BodyFault::TooMany => Refusal::new(format!("{some}, and the body of {id} names too many"), None),
            BodyFault::Unknown(path) => {
                let why = |path: &str| {
                    format!("{some}, and {path} in the body of {id} is not known: it could name a hidden one")
                };
                Refusal { logged: Some(why("a member").into()), ..Refusal::new(why(&plain(path)), whole()) }
            }
            BodyFault::Form(path) => {
                let why =
                    format!("{some}, and {path} in the body of {id} could name a hidden one: its form is not known");
                Refusal::new(why, whole())
            }
            BodyFault::Host(path) => {
                let why = format!("{some}, and {path} in the body of {id} reaches the host, where nothing is hidden");
                Refusal::new(why, whole())
            }
            BodyFault::Borrowed => {
                let why = format!(
                    "{some}, and the body of {id} borrows from a container that reaches the host, uses what is hidden, or borrows itself"
                );
                Refusal::new(why, whole())
            }
            BodyFault::Environment => {
                let why = format!(
                    "{some}, and the body of {id} links to a container or joins its processes, which shows its environment"
                );
                Refusal::new(why, whole())
            }
            BodyFault::NotShown(kind) => {
                let (key, noun) = (kind.key(), kind.noun());
                let why = format!(
                    "the profile {profile} shows only some {key}, and {id} names a {noun} that it does not show or that does not exist"
                );
                Refusal::new(why, None)
            }
        }
    }

    /// A denial because a query parameter reads what is hidden.
    fn oracle(&self, route: &Route) -> Refusal {
        let (profile, id) = (&self.profile.name, route.operation.id);
        let allowed = self.allowed.get(id);
        let read = allowed.and_then(|allowed| guard::hidden_read(route, self.queries, &self.visible(allowed, route)));
        match read {
            Some(HiddenRead::Label(label)) => {
                let hides = |what: &str| format!("the profile {profile} hides {what} that {id} is filtered by");
                let opening = |label: &str| {
                    self.opening(format!("labels: [\"{label}\"]"), |_, variable| format!("{variable}={label}"))
                };
                Refusal {
                    logged: Some(hides("a label").into()),
                    opened_by_logged: Some(opening("NAME").into()),
                    ..Refusal::new(hides(&format!("the label {label}")), Some(opening(&label)))
                }
            }
            Some(HiddenRead::Classes { what, classes }) => {
                let why = format!("the profile {profile} hides what {what} of {id} reads");
                let names: Vec<&str> = classes.iter().map(crate::schema::Class::as_str).collect();
                let (names, is_all) = (names.join(", "), classes == ClassSet::ALL);
                let key = if is_all { "show: all".to_owned() } else { format!("show: [{names}]") };
                let value = if is_all { "all".to_owned() } else { names.replace(", ", ",") };
                Refusal::new(why, Some(self.opening(key, |show, _| format!("{show}={value}"))))
            }
            Some(HiddenRead::Other { what }) => {
                Refusal::new(format!("the profile {profile} hides what {what} of {id} reads"), None)
            }
            None => Refusal::new(format!("the profile {profile} hides what a parameter of {id} reads"), None),
        }
    }

    /// What opens a request: a key of the profile, or a variable, which is made of the names of those of classes and of
    /// labels.
    fn opening(&self, key: String, variable: impl Fn(&str, &str) -> String) -> String {
        match &self.profile.opened_by {
            OpenedBy::Variables(variables) => variable(variables.show, variables.labels),
            OpenedBy::Keys if self.profile.location.file.starts_with("built-in:") => {
                format!("{key} in a profile that extends it")
            }
            OpenedBy::Keys => key,
        }
    }

    /// What opens an operation, if anything does.
    fn opening_operation(&self, id: &str, key: String) -> Option<String> {
        match &self.profile.opened_by {
            OpenedBy::Variables(variables) => variables.operations.get(id).cloned(),
            OpenedBy::Keys => Some(self.opening(key, |_, _| String::new())),
        }
    }

    /// What lets an operation reach the host, if anything does.
    fn opening_host(&self, id: &str) -> Option<String> {
        match &self.profile.opened_by {
            OpenedBy::Variables(_) => None,
            OpenedBy::Keys => Some(self.opening(format!("parameters: {{{id}: all}}"), |_, _| String::new())),
        }
    }

    /// What opens a parameter of an operation, or its body.
    fn opening_contents(&self, id: &str, name: &str) -> String {
        self.opening(format!("parameters: {{{id}: [{name}, …]}}"), |show, _| format!("{show}=all"))
    }
}

/// A path without what is no plain name.
fn plain(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "$._-[]*~".contains(c);
    path.chars().take(100).map(|c| if is_plain(c) { c } else { '?' }).collect()
}

/// A path to an element, as that to any element of the list.
fn any_element(path: &str) -> String {
    let mut parts = path.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |path, part| {
        let behind = part.trim_start_matches(|c: char| c.is_ascii_digit());
        format!("{path}[{}{behind}", if behind.len() < part.len() { "*" } else { "" })
    })
}

#[cfg(test)]
mod tests {
    use crate::policy::{Decision, Policy};
    use crate::profile::Profiles;
    use crate::route::find;

    /// Compiles one profile file, or a built-in profile.
    fn policy(text: &str) -> Policy {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let profiles = match text.split_once(':') {
            Some(_) => Profiles::parse(&[("p.yaml", text)], &catalogue).unwrap(),
            None => Profiles::built_in(&catalogue).unwrap(),
        };
        let name = if text.contains(':') { "p" } else { text };
        Policy::compile(profiles.get(name).unwrap(), &catalogue).unwrap()
    }

    /// Checks what a client reads, and what is logged if that differs.
    #[track_caller]
    fn check(policy: &Policy, method: &str, target: &str, expected: &str, logged: &str) {
        let route = find(method, target).unwrap().unwrap();
        let Decision::Deny(denial) = policy.decide(&route) else { panic!("{method} {target} is not denied") };
        let refusal = policy.refusal(&route, denial);
        assert_eq!(refusal.public(), format!("denied by policy: {expected}"), "{method} {target}");
        let log = format!("{} ({} opens it)", refusal.logged(), refusal.opened_by()).replace(" ( opens it)", "");
        assert_eq!(log, if logged.is_empty() { expected } else { logged }, "{method} {target}");
    }

    #[test]
    fn an_operation_is_opened_by_its_name() {
        let own = policy("profile: p\nallow: [ContainerList]\n");
        check(&own, "GET", "/info", "the profile p does not allow SystemInfo (allow: [SystemInfo] opens it)", "");
        check(
            &policy("dashboard"),
            "POST",
            "/containers/a/start",
            "the profile dashboard does not allow ContainerStart (allow: [ContainerStart] in a profile that extends it opens it)",
            "",
        );
        let denied = policy("profile: p\nallow: all\ndeny: [SystemInfo]\n");
        check(
            &denied,
            "GET",
            "/info",
            "the profile p does not allow SystemInfo (taking it out of `deny` (p.yaml:3:8) opens it)",
            "",
        );
    }

    #[test]
    fn what_reaches_the_host_is_opened_in_so_many_words() {
        const SOME: &str =
            "profile: p\nallow: all\nparameters: {ContainerStart: [checkpoint-dir]}\nvolumes: {only: [{label: a}]}\n";
        let why = "the profile p shows only some objects, and";
        check(
            &policy(SOME),
            "POST",
            "/plugins/create?name=canary",
            &format!(
                "{why} PluginCreate reaches the host, where nothing is hidden (parameters: {{PluginCreate: all}} opens it)"
            ),
            "",
        );
        check(
            &policy(&format!("{SOME}show: all\n")),
            "POST",
            "/containers/a/start?checkpoint-dir=/canary",
            &format!(
                "{why} the parameter checkpoint-dir of ContainerStart could reach the host, where nothing is hidden \
                 (parameters: {{ContainerStart: all}} opens it)"
            ),
            "",
        );
    }

    #[test]
    fn a_parameter_that_could_reach_the_host_is_not_opened_by_a_list() {
        let some = "profile: p\nallow: all\nvolumes: {only: [{label: a}]}\n";
        for (restricts, opening) in [(false, "[checkpoint-dir, …]"), (true, "all")] {
            let text = if restricts { some } else { "profile: p\nallow: all\n" };
            check(
                &policy(text),
                "POST",
                "/containers/a/start?checkpoint-dir=/canary",
                &format!(
                    "the profile p does not allow the parameter checkpoint-dir of ContainerStart \
                     (parameters: {{ContainerStart: {opening}}} opens it)"
                ),
                "",
            );
        }
    }

    #[test]
    fn a_place_in_a_filter_is_called_so() {
        check(
            &policy("profile: p\nallow: [ImageList]\nshow: all\n"),
            "GET",
            "/images/json?filters={%22since%22:[%22dir:/canary%22]}",
            "a parameter or a filter of ImageList names no image, but what could be a place on the host",
            "",
        );
    }

    #[test]
    fn what_a_query_reads_is_opened_by_its_class_or_its_label() {
        let policy = policy("profile: p\nallow: [ContainerList, ImageCreate, NodeList]\nshow: [identity]\n");
        check(
            &policy,
            "GET",
            "/containers/json?filters={%22status%22:[%22canary%22]}",
            "the profile p hides what the filter status of ContainerList reads (show: [state] opens it)",
            "",
        );
        check(
            &policy,
            "GET",
            "/containers/json?filters={%22label%22:[%22com.example.app=canary%22]}",
            "the profile p hides the label com.example.app that ContainerList is filtered by (labels: [\"com.example.app\"] \
             opens it)",
            "the profile p hides a label that ContainerList is filtered by (labels: [\"NAME\"] opens it)",
        );
        check(
            &policy,
            "GET",
            "/containers/json?filters={%22label%22:[%22a%20canary%3c=1%22]}",
            "the profile p hides what a filter of ContainerList reads",
            "",
        );
        check(
            &policy,
            "GET",
            "/containers/json?filters={%22canary%22:[%22a%22]}",
            "the profile p hides what a filter of ContainerList reads",
            "",
        );
        check(
            &policy,
            "POST",
            "/images/create?fromImage=a&message=canary",
            "the profile p does not allow the parameter message of ImageCreate (parameters: {ImageCreate: [message, …]} \
             opens it)",
            "",
        );
    }
}
