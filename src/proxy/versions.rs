//! API versions: the one under which a request goes up, and those that the answer to `SystemVersion` states.

use std::fmt;

use http_body_util::{Either, Empty};
use hyper::{Request, Uri};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Error, Proxy};
use crate::api::{ApiRange, ApiVersion, changes};
use crate::route::Route;
use crate::upstream::UpstreamError;

/// How much is read of the document that tells the oldest version of the engine, in bytes.
const DOCUMENT_LIMIT: usize = 64 * 1024;

/// The part of the answer to `SystemVersion` that tells the oldest version.
#[derive(serde::Deserialize)]
struct StatedVersions {
    #[serde(rename = "MinAPIVersion")]
    oldest: Option<String>,
}

impl Proxy {
    /// The version under which a request goes up: the one that the client asks for, or the newest that clients may use.
    ///
    /// If the engine does not accept that version any more, it is the oldest that the engine accepts, as long as the request
    /// means the same there and has an answer of the same shape.
    ///
    /// # Errors
    /// [`Error::NewerThanEngine`], [`Error::OlderThanEngine`], [`Error::Unroutable`]; any error of the connection.
    pub(super) async fn version_for(&self, route: &Route) -> Result<ApiVersion, Error> {
        let engine = self.upstream.version().await?;
        let api = *self.upstream.engine().api();
        let newest = api.newest_of(engine);
        let version = match route.version {
            Some(asked) if asked > newest => return Err(Error::NewerThanEngine { client: asked, engine: newest }),
            Some(asked) if asked < api.min() => {
                return Err(Error::OlderThanEngine { client: asked, engine: api.min() });
            }
            Some(asked) => asked,
            None if newest < ApiVersion::MIN => return Err(Error::Unroutable),
            None => api.pin().map_or(newest, |pin| pin.min(newest)),
        };
        if version == engine {
            return Ok(version);
        }
        let oldest = self.oldest().await?;
        let is_same = || {
            let has = |name: &str| route.query.get(name).is_some();
            let table = changes::built_in();
            // Nothing is known about later versions.
            oldest <= ApiVersion::NEWEST
                && table.is_ok_and(|table| table.is_same(route.operation, (version, oldest), has))
        };
        if version >= oldest {
            Ok(version)
        } else if is_same() {
            Ok(oldest)
        } else {
            Err(Error::OlderThanEngine { client: version, engine: oldest })
        }
    }

    /// The oldest version that the engine accepts; the oldest of all if it does not tell. Asks the engine once.
    async fn oldest(&self) -> Result<ApiVersion, UpstreamError> {
        let engine = self.upstream.engine();
        if let Some(oldest) = engine.oldest() {
            return Ok(oldest);
        }
        let mut request = Request::new(Either::Left(Empty::new()));
        *request.uri_mut() = Uri::from_static("/version");
        let response = self.upstream.send(request).await?;
        let is_success = response.status().is_success();
        let (mut body, mut document) = (response.into_body(), Vec::new());
        while let Some(chunk) = body.next().await? {
            document.extend_from_slice(&chunk);
            if document.len() > DOCUMENT_LIMIT {
                break;
            }
        }
        let stated = serde_json::from_slice::<StatedVersions>(&document).ok().and_then(|stated| stated.oldest);
        let oldest = stated.and_then(|text| text.parse().ok()).unwrap_or(ApiVersion::MIN).max(ApiVersion::MIN);
        if is_success {
            engine.learn_oldest(oldest);
            return Ok(oldest);
        }
        Ok(ApiVersion::MIN)
    }
}

/// States the versions of `api` in place of newer and older ones: in the members `ApiVersion` and `MinAPIVersion` of the
/// document, and in the details of its components, which is where the docker command reads them.
///
/// Returns `None` if nothing changes. What is no version stays.
pub(super) fn limited(document: &[u8], api: &ApiRange) -> Option<Vec<u8>> {
    let document = std::str::from_utf8(document).ok()?;
    let limited = edited(document, &|name, value| match name {
        "Components" => edited_elements(value, &|component| {
            edited(component, &|name, value| {
                if name == "Details" { edited(value, &|name, value| version(name, value, api)) } else { None }
            })
        }),
        _ => version(name, value, api),
    })?;
    Some(limited.into_bytes())
}

/// The version that a member states instead of its own.
fn version(name: &str, value: &str, api: &ApiRange) -> Option<String> {
    let stated: ApiVersion = serde_json::from_str::<String>(value).ok()?.parse().ok()?;
    let limit = match name {
        "ApiVersion" => Some(api.max()).filter(|max| stated > *max),
        "MinAPIVersion" => Some(api.min()).filter(|min| stated < *min),
        _ => None,
    };
    limit.map(|limit| format!("\"{limit}\""))
}

/// The object `text` with the values that `edit` returns for names and values; `None` if there is none.
fn edited(text: &str, edit: &dyn Fn(&str, &str) -> Option<String>) -> Option<String> {
    let RawMembers(members) = serde_json::from_str(text).ok()?;
    let edits: Vec<Option<String>> = members.iter().map(|(name, value)| edit(name, value.get())).collect();
    edits.iter().any(Option::is_some).then(|| {
        let members = members.iter().zip(&edits).map(|((name, value), edit)| {
            let name = serde_json::Value::from(name.as_str());
            format!("{name}:{}", edit.as_deref().unwrap_or(value.get()))
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    })
}

/// The array `text` with the elements that `edit` returns; `None` if there is none.
fn edited_elements(text: &str, edit: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    let edits: Vec<Option<String>> = elements.iter().map(|element| edit(element.get())).collect();
    edits.iter().any(Option::is_some).then(|| {
        let elements = elements.iter().zip(&edits);
        let elements = elements.map(|(element, edit)| edit.as_deref().unwrap_or(element.get()));
        format!("[{}]", elements.collect::<Vec<_>>().join(","))
    })
}

/// The members of an object in their order, with their values as they are written.
struct RawMembers<'t>(Vec<(String, &'t RawValue)>);

impl<'t> Deserialize<'t> for RawMembers<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'t> Visitor<'t> for MembersVisitor {
            type Value = RawMembers<'t>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(RawMembers(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(document: &str, expected: Option<&str>) {
        let [min, max] = [30, 44].map(ApiVersion::new);
        let api = ApiRange::new(min, max, None).unwrap();
        let limited = limited(document.as_bytes(), &api).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(limited.as_deref(), expected, "{document}");
    }

    #[test]
    fn newer_and_older_versions_are_limited_wherever_clients_read_them() {
        check(
            r#"{"Version":"29.0","ApiVersion":"1.52","MinAPIVersion":"1.24", "Os" : "linux","Components":[{"Name":"Engine","Details":{"ApiVersion":"1.52","MinAPIVersion":"1.24","Os":"linux"}},{"Name":"runc","Details":{"GitCommit":"1"}},{"Name":"x"}]}"#,
            Some(
                r#"{"Version":"29.0","ApiVersion":"1.44","MinAPIVersion":"1.30","Os":"linux","Components":[{"Name":"Engine","Details":{"ApiVersion":"1.44","MinAPIVersion":"1.30","Os":"linux"}},{"Name":"runc","Details":{"GitCommit":"1"}},{"Name":"x"}]}"#,
            ),
        );
        check(r#"{"ApiVersion":"1.45"}"#, Some(r#"{"ApiVersion":"1.44"}"#));
        check(r#"{"MinAPIVersion":"1.29"}"#, Some(r#"{"MinAPIVersion":"1.30"}"#));
        check(
            r#"{"Components":[{"Details":{"ApiVersion":"1.99"}}]}"#,
            Some(r#"{"Components":[{"Details":{"ApiVersion":"1.44"}}]}"#),
        );
    }

    #[test]
    fn everything_else_stays() {
        for document in [
            r#"{"ApiVersion":"1.44","MinAPIVersion":"1.30"}"#,
            r#"{"ApiVersion":"1.30","MinAPIVersion":"1.44"}"#,
            r#"{"ApiVersion":"","MinAPIVersion":""}"#,
            r#"{"ApiVersion":152,"MinAPIVersion":null,"Components":null}"#,
            r#"{"Version":"1.99","Other":{"ApiVersion":"1.99"},"Components":[{"ApiVersion":"1.99","Details":null}]}"#,
            r#"{"Components":{"Details":{"ApiVersion":"1.99"}}}"#,
            "[]",
            "",
            "null",
        ] {
            check(document, None);
        }
    }
}
