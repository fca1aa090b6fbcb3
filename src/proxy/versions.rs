//! API versions: the one under which a request goes up, and those that the answer to `SystemVersion` states.

use std::ops::Range;

use super::{Error, Proxy};
use crate::api::{ApiRange, ApiVersion, changes};
use crate::members::{each_element, each_member, place, text};
use crate::route::Route;
use crate::upstream::{UpstreamError, UpstreamRequest};

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
        let response = self.upstream.send(UpstreamRequest::get("/version")).await?;
        let is_success = response.status.is_success();
        let (mut body, mut document) = (response.body, Vec::new());
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
/// What is no version stays.
pub(super) fn limit(document: &mut Vec<u8>, api: &ApiRange) {
    let Ok(text) = std::str::from_utf8(document) else { return };
    let edits = edits(text, api);
    let Some((last, _)) = edits.last() else { return };
    let mut limited = Vec::with_capacity(document.len() + document.len() / 8);
    let mut at = 0;
    for (place, version) in &edits {
        limited.extend_from_slice(document.get(at..place.start).unwrap_or_default());
        limited.extend_from_slice(format!("\"{version}\"").as_bytes());
        at = place.end;
    }
    limited.extend_from_slice(document.get(last.end..).unwrap_or_default());
    *document = limited;
}

/// The places in a document, in their order, where another version is to be stated, and the version.
fn edits(document: &str, api: &ApiRange) -> Vec<(Range<usize>, ApiVersion)> {
    let mut edits = Vec::new();
    let mut look = |name: &str, value: &str| {
        edits.extend(version(name, value, api).map(|version| (place(document, value), version)));
    };
    // Where the document has another shape, there is nothing to edit.
    let _ = each_member(document, |name, value| {
        if name != "Components" {
            return look(name, value);
        }
        let _ = each_element(value, |component| {
            let _ = each_member(component, |name, details| {
                if name == "Details" {
                    let _ = each_member(details, &mut look);
                }
            });
        });
    });
    edits
}

/// The version that a member states instead of its own.
fn version(name: &str, value: &str, api: &ApiRange) -> Option<ApiVersion> {
    let limit = match name {
        "ApiVersion" => |stated: ApiVersion, api: &ApiRange| Some(api.max()).filter(|max| stated > *max),
        "MinAPIVersion" => |stated: ApiVersion, api: &ApiRange| Some(api.min()).filter(|min| stated < *min),
        _ => return None,
    };
    limit(text(value)?.parse().ok()?, api)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(document: &str, expected: Option<&str>) {
        let [min, max] = [30, 44].map(ApiVersion::new);
        let api = ApiRange::new(min, max, None).unwrap();
        let mut limited = document.as_bytes().to_vec();
        limit(&mut limited, &api);
        assert_eq!(String::from_utf8(limited).unwrap(), expected.unwrap_or(document), "{document}");
    }

    #[test]
    fn newer_and_older_versions_are_limited_wherever_clients_read_them() {
        check(
            r#"{"Version":"29.0","ApiVersion":"1.52","MinAPIVersion":"1.24", "Os" : "linux","Components":[{"Name":"Engine","Details":{"ApiVersion":"1.52","MinAPIVersion":"1.24","Os":"linux"}},{"Name":"runc","Details":{"GitCommit":"1"}},{"Name":"x"}]}"#,
            Some(
                r#"{"Version":"29.0","ApiVersion":"1.44","MinAPIVersion":"1.30", "Os" : "linux","Components":[{"Name":"Engine","Details":{"ApiVersion":"1.44","MinAPIVersion":"1.30","Os":"linux"}},{"Name":"runc","Details":{"GitCommit":"1"}},{"Name":"x"}]}"#,
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
