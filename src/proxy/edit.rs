//! Puts hidden values back into what a client sends that has read an object and changed it.
//!
//! The client names the version of the object that it has read, and the engine takes an edit only of that version. So the
//! object is read here, in the API version of the request, and what the client was shown of it is known.

use hyper::body::Bytes;

use super::exchange::{ClientRequest, collect};
use super::memory::{Leased, MemoryLease};
use super::{Error, Proxy, body, headers, work};
use crate::api::{EditedObject, registry_of};
use crate::filter::{FilterError, Lens, PutError};
use crate::members::{text, value_at};
use crate::policy::Edit;
use crate::route::{Query, Route};
use crate::upstream::UpstreamRequest;

/// The longest body of an edit, and the longest object that is edited, in bytes. A swarm has no longer ones.
const EDIT_LIMIT: usize = 4 << 20;

impl Proxy {
    /// The request of a client that edits an object, with the whole id of the object and the body that it means. `client` is its
    /// name in the log.
    ///
    /// If the object has another version than the client names, nothing of the client's body goes up: the engine gets its own
    /// object and a version that is certain to be wrong, and answers with its own error.
    ///
    /// # Errors
    /// [`Error::Edit`] if the edit is refused, [`Error::Edited`] if the body is too long or cannot be read with
    /// certainty; [`Error::Engine`] if there is no such object; any error of the connection to the engine.
    pub(super) async fn restored(
        &self,
        route: Route,
        mut request: ClientRequest,
        edit: &Edit,
        client: &str,
    ) -> Result<(Route, ClientRequest), Error> {
        let mut received = self.memory.of_clients().lease();
        let edited = match request.body.take() {
            None if request.restored.is_some() => request.restored.take().unwrap_or_default().to_vec(),
            Some(body) => match collect(body, EDIT_LIMIT, &mut received).await {
                Err(Error::BodyTooLong) => return Err(Error::Edited(FilterError::TooLarge { limit: EDIT_LIMIT })),
                body => body?,
            },
            None => Vec::new(),
        };
        let mut memory = self.memory.admit().await?;
        let document = self.edited_object(&route, edit, edited.len(), &mut memory).await?;
        let (mut route, current) = of_object(&document, route)?;
        if named_version(&route) != Some(current) {
            if named_version(&route).is_some_and(|version| version > current) {
                // The object could have this version by the time the request arrives. None ever has this one again.
                route.query.set(EditedObject::VERSION_PARAMETER, "0");
            }
            let own = str::from_utf8(&document).ok();
            let part = own.and_then(|own| at(own, route.operation.edits()?.part.path));
            request.restored = Some(Bytes::copy_from_slice(part.ok_or(Error::NotJson)?.as_bytes()));
            return Ok((route, request));
        }
        let length = document.len() + edited.len();
        let needed = memory.enough(length, Lens::memory(&document, &edited));
        memory.grow(2 * length, needed).await?;
        let kept_for = registry_of_credentials(&document, &route);
        let lens = edit.lens.clone();
        let is_long = work::is_long(length, lens.expressions());
        // The lease goes along, because the work goes on if nobody waits for it any more.
        let put = move || {
            let put = lens.put(&document, &edited);
            drop((document, edited));
            (put, memory)
        };
        let (put, memory) = if is_long { work::on_helper(client, put).await } else { put() };
        match put {
            Ok(body) => {
                if kept_for.is_some_and(|kept| str::from_utf8(&body).ok().and_then(|body| registry(body, &[])) != kept)
                {
                    headers::keep_no_credentials(&mut request.headers);
                }
                request.restored = Some(Bytes::from_owner(Leased::new(body, memory)));
            }
            Err(PutError::Document(error)) => return Err(Error::Filter(error)),
            Err(PutError::Edited(error)) => return Err(Error::Edited(error)),
            Err(PutError::Refused(refused)) => {
                let refusal = self.policy.edit_refusal(route.operation, &refused);
                return Err(Error::Edit { fault: refused.fault, refusal });
            }
        }
        Ok((route, request))
    }

    /// Lets the engine keep the credentials of a service for no other registry, where a client is shown the whole service, but only
    /// some objects.
    ///
    /// # Errors
    /// Any error of the connection to the engine.
    pub(super) async fn keep_credentials(
        &self,
        route: &Route,
        request: &mut ClientRequest,
        client: &str,
    ) -> Result<(), Error> {
        let is_restricted = self.policy.body(route.operation).is_some() && self.policy.edit(route.operation).is_none();
        let Some(spec) = spec_with_credentials(route).filter(|_| is_restricted) else { return Ok(()) };
        let read = move |document: &[u8]| registry(str::from_utf8(document).ok()?, &[spec]);
        let kept_for = self.read(route, "ServiceInspect", &route.name, client, read).await?;
        let body = request.restored.as_deref().and_then(|body| str::from_utf8(body).ok());
        if kept_for.is_none() || body.and_then(|body| registry(body, &[])) != kept_for {
            headers::keep_no_credentials(&mut request.headers);
        }
        Ok(())
    }

    /// Reads the object that a request edits. `held` bytes are leased for something else.
    async fn edited_object(
        &self,
        route: &Route,
        edit: &Edit,
        held: usize,
        memory: &mut MemoryLease,
    ) -> Result<Vec<u8>, Error> {
        let inspection = Route {
            operation: edit.inspect,
            version: route.version,
            name: route.name.clone(),
            second_name: String::new(),
            query: Query::default(),
        };
        let request = UpstreamRequest::get(self.target(&inspection).await?);
        let response = self.upstream.send(request).await?;
        headers::check_answer(&response.headers)?;
        let response = self.check_status(route, response).await?;
        if !headers::is_plain_json(&response.headers) {
            return Err(Error::NotJson);
        }
        body::collect(response.body, EDIT_LIMIT, |length| 2 * (length + held), memory).await
    }
}

/// The route to an object by its whole id, so that no other object has its name in between, and the version of the object.
fn of_object(document: &[u8], route: Route) -> Result<(Route, u64), Error> {
    let document = str::from_utf8(document).map_err(|_| Error::NotJson)?;
    let version = at(document, &EditedObject::VERSION).and_then(number).ok_or(Error::NotJson)?;
    if !route.operation.takes_name() {
        return Ok((route, version));
    }
    let id = at(document, &[EditedObject::ID]).and_then(text).filter(|id| !id.is_empty());
    Ok((Route { name: id.ok_or(Error::NotJson)?.into_owned(), ..route }, version))
}

/// The registry for which the engine keeps credentials with a service, if the request is an edit of one; `Some(None)` if that is
/// not certain. A client that names an image of another one would have them sent there.
fn registry_of_credentials(document: &[u8], route: &Route) -> Option<Option<String>> {
    let spec = spec_with_credentials(route)?;
    Some(str::from_utf8(document).ok().and_then(|document| registry(document, &[spec])))
}

/// The specification with the credentials that the engine keeps if the request has none. `None` if it updates no service.
fn spec_with_credentials(route: &Route) -> Option<&'static str> {
    let is_previous = route.query.get("registryAuthFrom") == Some("previous-spec");
    (route.operation.id == "ServiceUpdate").then_some(if is_previous { "PreviousSpec" } else { "Spec" })
}

/// The registry of the image of a service whose specification is at a path.
fn registry(document: &str, path: &[&str]) -> Option<String> {
    let image = at(document, &[path, &["TaskTemplate", "ContainerSpec", "Image"]].concat()).and_then(text)?;
    Some(registry_of(&image).to_owned())
}

/// The value at a path of members, as it is written. `None` if there is none, or if a member on the way is there twice.
fn at<'d>(document: &'d str, path: &[&str]) -> Option<&'d str> {
    value_at(document, path).ok().flatten()
}

/// The version that a request names. `None` if it names none that an engine reads.
fn named_version(route: &Route) -> Option<u64> {
    route.query.get(EditedObject::VERSION_PARAMETER).and_then(number)
}

/// A number as Go's `strconv.ParseUint` reads it, which takes digits only.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::find;

    #[test]
    fn the_version_is_read_as_the_engine_reads_it() {
        for (value, expected) in [
            ("7", Some(7)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("%2b7", None),
            ("-7", None),
            ("7_0", None),
            ("0x7", None),
            ("%207", None),
            ("", None),
            ("7&version=8", Some(7)),
        ] {
            let route = find("POST", &format!("/services/a/update?version={value}")).unwrap().unwrap();
            assert_eq!(named_version(&route), expected, "{value}");
        }
    }

    #[test]
    fn an_object_is_named_by_its_id() {
        let of = |target: &str, document: &str| {
            let route = find("POST", target).unwrap().unwrap();
            of_object(document.as_bytes(), route).map(|(route, version)| (route.name, version)).ok()
        };
        let document = r#"{"ID":"0123","Version":{"Index":7},"Spec":{"ID":"x"}}"#;
        assert_eq!(of("/services/shop/update?version=7", document), Some(("0123".to_owned(), 7)));
        assert_eq!(of("/swarm/update?version=7", document), Some((String::new(), 7)));
        for broken in [
            r#"{"ID":"","Version":{"Index":7}}"#,
            r#"{"Version":{"Index":7}}"#,
            r#"{"ID":"a"}"#,
            r#"{"ID":"a","ID":"b","Version":{"Index":7}}"#,
            r#"{"ID":"a","Version":{"Index":7.5}}"#,
            r#"{"ID":"a","Version":{"Index":7,"Index":8}}"#,
            "[]",
        ] {
            assert_eq!(of("/services/shop/update?version=7", broken), None, "{broken}");
        }
    }
}
