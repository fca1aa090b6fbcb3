//! Finds out whether a path names an object exactly.
//!
//! If the profile hides the ids or names of objects, a request for one is preceded by a request of our own: for the object
//! that the engine finds. Unless its name or id is what the client wrote, the client gets the answer for an object that does
//! not exist. So it cannot tell that an id begins with what it wrote, nor that several do.

use hyper::StatusCode;

use super::body::collect;
use super::exchange::DRAIN_LIMIT;
use super::{Error, Proxy, headers, work};
use crate::api::familiar;
use crate::filter::ExpressionWork;
use crate::members::{UnexpectedShape, text, try_each_element, value_at};
use crate::policy::{Lookup, LookupKind};
use crate::route::{Query, Route};
use crate::upstream::UpstreamRequest;

impl Proxy {
    /// The same route with the whole id of the object in place of its name, or of an image with the reference as it is. `client`
    /// is the name in the log of who asks.
    ///
    /// # Errors
    /// [`Error::Engine`] with the status 404 if there is no such object, or if the path does not name it exactly; any error
    /// of the connection to the engine.
    pub(super) async fn named_exactly(&self, route: &Route, lookup: &Lookup, client: &str) -> Result<Route, Error> {
        let absent = || self.absent(route.operation);
        let inspection = Route {
            operation: lookup.inspect,
            version: route.version,
            name: route.name.clone(),
            second_name: String::new(),
            query: Query::default(),
        };
        let request = UpstreamRequest::get(self.target(&inspection).await?);
        let mut memory = self.memory.admit().await?;
        let mut response = self.upstream.send(request).await?;
        // An engine outside a swarm says so whatever the name is.
        if response.status == StatusCode::SERVICE_UNAVAILABLE {
            response = self.check_status(route, response).await?;
        }
        if !response.status.is_success() || !headers::is_plain_json(&response.headers) {
            let _ = response.body.discard(DRAIN_LIMIT).await;
            return Err(absent());
        }
        let document = match collect(response.body, self.element_limit, |length| 2 * length, &mut memory).await {
            Err(Error::TooLong { .. }) => return Err(absent()),
            document => document?,
        };
        let name = if work::is_long(document.len(), ExpressionWork::None) {
            let (name, lookup) = (route.name.clone(), lookup.clone());
            // The lease goes along, because the work goes on if nobody waits for it any more.
            let find = move || {
                let found = named_in(&document, &name, &lookup);
                drop((document, memory));
                found
            };
            work::on_helper(client, find).await
        } else {
            named_in(&document, &route.name, lookup)
        };
        let name = name.ok_or_else(absent)?;
        Ok(Route { name, ..route.clone() })
    }
}

/// The name for the engine of the object in a document, if `asked` is its id or one of its names.
pub(super) fn named_in(document: &[u8], asked: &str, lookup: &Lookup) -> Option<String> {
    let document = str::from_utf8(document).ok()?;
    let id = at(document, &lookup.id).and_then(text).filter(|id| !id.is_empty());
    let is_named = |is_it: &dyn Fn(&str) -> bool| {
        let values = lookup.names.iter().filter_map(|path| at(document, path));
        values.filter_map(|value| any_text(value, is_it)).any(|is_it| is_it)
    };
    let is_id = id.as_deref() == Some(asked);
    match lookup.kind {
        LookupKind::Name => {
            let is_named = || !asked.is_empty() && is_named(&|name| name.trim_start_matches('/') == asked);
            (is_id || is_named()).then(|| id.as_deref().unwrap_or(asked).to_owned())
        }
        LookupKind::Reference => {
            let is_bare = id.as_deref().and_then(|id| id.strip_prefix("sha256:")) == Some(asked);
            let wanted = familiar(asked);
            (is_id || is_bare || is_named(&|name| familiar(name) == wanted)).then(|| asked.to_owned())
        }
    }
}

/// The value at a path of members; `None` if there is none, or two.
fn at<'d>(document: &'d str, path: &[String]) -> Option<&'d str> {
    value_at(document, path).ok().flatten()
}

/// Whether a text, or one of the texts in an array, is one that is wanted; `None` if the value is neither.
fn any_text(value: &str, is_wanted: &dyn Fn(&str) -> bool) -> Option<bool> {
    if let Some(text) = text(value) {
        return Some(is_wanted(&text));
    }
    let mut any = false;
    let look = |element| text(element).map(|text| any |= is_wanted(&text)).ok_or(UnexpectedShape);
    try_each_element(value, look).ok()?;
    Some(any)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use crate::profile::Profiles;
    use crate::route::find;

    /// The name for the engine, for a client that sees no ids, or no host names.
    #[track_caller]
    fn check(target: &str, document: &str, expected: Option<&str>) {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let text = "profile: p\nallow: [ContainerInspect, ImageInspect, VolumeInspect, NodeInspect, ServiceInspect]\n";
        let profiles = Profiles::parse(&[("p.yaml", text)], &catalogue).unwrap();
        let policy = Policy::compile(profiles.get("p").unwrap(), &catalogue).unwrap();
        let route = find("GET", target).unwrap().unwrap();
        let lookup = policy.lookup(&route).unwrap();
        assert_eq!(named_in(document.as_bytes(), &route.name, lookup).as_deref(), expected, "{target} {document}");
    }

    #[test]
    fn only_the_exact_name_of_an_object_names_it() {
        let container = r#"{"State":{"Id":"web"},"Id":"ab12","Name":"/web"}"#;
        check("/containers/web/json", container, Some("ab12"));
        check("/containers/ab1/json", container, None);
        check("/containers/we/json", container, None);
        check("/containers/web/json", r#"{"Name":"/web"}"#, Some("web"));
        check("/containers/web/json", r#"{"Id":"ab12"}"#, None);
        check("/containers/web/json", "[]", None);
        check("/containers/web/json", "{", None);
        check("/containers/web/json", r#"{"Id":"ab12","N\u0061me":"/web"}"#, Some("ab12"));
        check("/containers/web/json", r#"{"Id":"ab12","Name":"/web","Name":"/web"}"#, None);
        check("/volumes/data", r#"{"Name":"data"}"#, Some("data"));
        check("/volumes/dat", r#"{"Name":"data"}"#, None);
        let service = r#"{"ID":"0123456789abcdefghijklmno","Spec":{"Name":"web"}}"#;
        check("/services/web", service, Some("0123456789abcdefghijklmno"));
        check("/services/0123", service, None);
    }

    #[test]
    fn an_image_is_named_by_a_whole_reference() {
        let id = format!("sha256:{}", "ab".repeat(32));
        let docker =
            format!(r#"{{"Id":"{id}","RepoTags":["web:latest","reg.test:5000/a/web:1"],"RepoDigests":["web@{id}"]}}"#);
        for name in ["web", "web:latest", "docker.io/library/web", "reg.test:5000/a/web:1"] {
            check(&format!("/images/{name}/json"), &docker, Some(name));
        }
        check(&format!("/images/web@{id}/json"), &docker, Some(&format!("web@{id}")));
        for name in ["abab", "sha256:abab", "a/web:1", "web:1", "reg.test:5000/a/web"] {
            check(&format!("/images/{name}/json"), &docker, None);
        }
        check("/images/web/json", r#"{"Id":"x","RepoTags":["localhost/web:latest"]}"#, Some("web"));
        check("/images/web/json", r#"{"Id":"x","RepoTags":null}"#, None);
    }

    #[test]
    fn a_name_of_a_hidden_class_does_not_name_a_node() {
        let id = "0123456789abcdefghijklmno";
        let node = format!(r#"{{"ID":"{id}","Description":{{"Hostname":"0123456789abcdefghijklmnx"}}}}"#);
        check(&format!("/nodes/{id}"), &node, Some(id));
        check("/nodes/0123456789abcdefghijklmnx", &node, None);
    }
}
