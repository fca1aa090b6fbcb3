//! Errors inside a stream of progress.
//!
//! A pull, push, load or build is answered with 200. If it fails later, a record says so: `{"errorDetail": {"message": …},
//! "error": …}`. Its text is treated as that of an error answer is: shown, or said as far as it is constant. All other records
//! pass as they are.

use std::borrow::Cow;
use std::sync::Arc;

use super::message::Message;
use crate::filter::FilterError;
use crate::members::{each_member, text};
use crate::policy::Policy;

/// Says the errors in a stream of progress as the policy does.
#[derive(Debug)]
pub(super) struct InStreamErrors(Arc<Policy>);

impl InStreamErrors {
    /// `None` if the policy shows errors in full: then nothing need be read.
    pub(super) fn of(policy: &Arc<Policy>) -> Option<Self> {
        (!policy.shows_errors_in_full()).then(|| Self(policy.clone()))
    }

    /// The most memory that the records in `length` bytes take, in bytes: themselves, what is made of them, and on the way the
    /// text of an error a few times.
    pub(super) fn memory(length: usize) -> usize {
        length.saturating_mul(8)
    }

    /// Appends a record, with what the policy says of its error in place of its text. The end of the line follows it, as Docker
    /// writes it.
    ///
    /// # Errors
    /// [`FilterError::NotJson`]; nothing is added.
    pub(super) fn rewrite(&self, record: &[u8], out: &mut Vec<u8>) -> Result<(), FilterError> {
        let record = str::from_utf8(record).map_err(|_| FilterError::NotJson)?;
        let mut found = FoundError::default();
        each_member(record, |name, value| found.look_at(name, value)).map_err(|_| FilterError::NotJson)?;
        if found.is_error {
            self.say(found, out);
        } else {
            out.extend_from_slice(record.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Appends the record for an error.
    fn say(&self, found: FoundError<'_>, out: &mut Vec<u8>) {
        let text = Message::in_stream(&self.0, found.text.as_deref());
        let text = serde_json::Value::from(text).to_string();
        let code = found.code.map(|code| format!("\"code\":{code},")).unwrap_or_default();
        for part in ["{\"error\":", &text, ",\"errorDetail\":{", &code, "\"message\":", &text, "}}"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

/// The error in a record.
#[derive(Debug, Default, PartialEq, Eq)]
struct FoundError<'r> {
    /// Whether it is an error, whatever its form.
    is_error: bool,
    text: Option<Cow<'r, str>>,
    code: Option<i64>,
}

impl<'r> FoundError<'r> {
    /// Looks at a member. Clients written in Go ignore the case of its name.
    fn look_at(&mut self, name: &str, value: &'r str) {
        let is_text = name.eq_ignore_ascii_case("error");
        if value == "null" || !is_text && !name.eq_ignore_ascii_case("errorDetail") {
            return;
        }
        self.is_error = true;
        if is_text && self.text.is_none() {
            self.text = text(value);
        }
        let (mut code, mut message) = (None, None);
        let detail = each_member(value, |name, value| match name {
            "code" => code = value.parse().ok(),
            "message" => message = Some(value),
            _ => {}
        });
        if detail.is_ok() {
            self.code = code;
            self.text = self.text.take().or_else(|| message.and_then(text));
        }
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
