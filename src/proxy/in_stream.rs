//! Errors inside a stream of progress.
//!
//! A pull, push, load or build is answered with 200. If it fails later, a record says so: `{"errorDetail": {"message": …},
//! "error": …}`. Its text is treated as that of an error answer is: shown, or said as far as it is constant. All other records
//! pass as they are.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::message::Message;
use crate::filter::FilterError;
use crate::policy::Policy;

/// Says the errors in a stream of progress as the policy does.
#[derive(Debug)]
pub(super) struct InStreamErrors(Arc<Policy>);

impl InStreamErrors {
    /// `None` if the policy shows errors in full: then nothing need be read.
    pub(super) fn of(policy: &Arc<Policy>) -> Option<Self> {
        (!policy.shows_errors_in_full()).then(|| Self(policy.clone()))
    }

    /// Appends a record, with what the policy says of its error in place of its text. The end of the line follows it, as Docker
    /// writes it.
    ///
    /// # Errors
    /// [`FilterError::NotJson`]; nothing is added.
    pub(super) fn rewrite(&self, record: &[u8], out: &mut Vec<u8>) -> Result<(), FilterError> {
        let found: FoundError = serde_json::from_slice(record).map_err(|_| FilterError::NotJson)?;
        if found.is_error {
            out.extend_from_slice(self.said(found).as_bytes());
        } else {
            out.extend_from_slice(record);
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// The record for an error.
    fn said(&self, found: FoundError) -> String {
        let text = Message::in_stream(&self.0, found.text.as_deref());
        let detail = match found.code {
            Some(code) => serde_json::json!({ "code": code, "message": text }),
            None => serde_json::json!({ "message": text }),
        };
        serde_json::json!({ "errorDetail": detail, "error": text }).to_string()
    }
}

/// The error in a record.
#[derive(Debug, Default, PartialEq, Eq)]
struct FoundError {
    /// Whether it is an error, whatever its form.
    is_error: bool,
    text: Option<String>,
    code: Option<i64>,
}

impl FoundError {
    /// Looks at a member. Clients written in Go ignore the case of its name.
    fn look_at(&mut self, name: &str, value: Value) {
        match value {
            Value::Null => {}
            Value::String(text) if name.eq_ignore_ascii_case("error") => {
                self.is_error = true;
                self.text.get_or_insert(text);
            }
            Value::Object(detail) => {
                self.is_error = true;
                self.code = detail.get("code").and_then(Value::as_i64);
                if let Some(Value::String(text)) = detail.get("message") {
                    self.text.get_or_insert(text.clone());
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => self.is_error = true,
        }
    }
}

impl<'de> Deserialize<'de> for FoundError {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct RecordVisitor;
        impl<'de> Visitor<'de> for RecordVisitor {
            type Value = FoundError;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record of progress")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FoundError, A::Error> {
                let mut found = FoundError::default();
                while let Some(name) = map.next_key::<String>()? {
                    if ["error", "errorDetail"].iter().any(|known| name.eq_ignore_ascii_case(known)) {
                        found.look_at(&name, map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(found)
            }
        }
        from.deserialize_map(RecordVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profiles;

    /// Checks what becomes of a record under a profile that shows this.
    #[track_caller]
    fn check(show: &str, record: &str, expected: &str) {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let profiles = Profiles::parse(&[("p.yaml", &format!("profile: p\n{show}\n"))], &catalogue).unwrap();
        let policy = Policy::compile(profiles.get("p").unwrap(), &catalogue).unwrap();
        let mut out = Vec::new();
        InStreamErrors(Arc::new(policy)).rewrite(record.as_bytes(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\r\n"), "{show} {record}");
    }

    #[test]
    fn only_an_error_is_rewritten() {
        for record in [
            r#"{"status":"Pulling from a","id":"latest"}"#,
            r#"{"stream":"error: no such thing\n"}"#,
            r#"{"aux":{"error":"canary"}}"#,
            r#"{ "status" : "x", "error" : null, "errorDetail": null }"#,
        ] {
            check("show: []", record, record);
        }
    }

    #[test]
    fn the_text_of_an_error_is_said_as_far_as_it_is_constant() {
        const UNKNOWN: &str = r#"{"error":"the engine failed; its text is hidden by the profile","errorDetail":{"message":"the engine failed; its text is hidden by the profile"}}"#;
        let known = "The command '/bin/sh -c canary' returned a non-zero code: 3";
        check(
            "show: []",
            &format!(r#"{{"errorDetail":{{"code":3,"message":"{known}"}},"error":"{known}"}}"#),
            r#"{"error":"The command returned a non-zero code","errorDetail":{"code":3,"message":"The command returned a non-zero code"}}"#,
        );
        for record in [
            r#"{"errorDetail":{"message":"canary"},"error":"canary"}"#,
            r#"{"error":"canary","status":"canary"}"#,
            r#"{"ERROR":"canary"}"#,
            r#"{"\u0065rror":"canary"}"#,
            r#"{"errordetail":{"Message":"canary"}}"#,
            r#"{"errorDetail":"canary"}"#,
            r#"{"error":["canary"]}"#,
            r#"{"error":null,"error":"canary"}"#,
        ] {
            check("show: []", record, UNKNOWN);
        }
    }

    #[test]
    fn a_profile_that_shows_free_text_shows_the_text_without_credentials() {
        check(
            "show: [free-text]",
            r#"{"error":"login failed: password=canary"}"#,
            r#"{"error":"login failed: password=[redacted]","errorDetail":{"message":"login failed: password=[redacted]"}}"#,
        );
    }
}
