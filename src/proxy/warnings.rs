//! Warnings in the answers to requests that create or update something.
//!
//! Where a profile hides them, those that `filters/errors.yaml` knows are said as far as they are constant. The others are left
//! out, as every hidden element is.

use crate::api::errors::{self, ErrorTable};
use crate::members::{UnexpectedShape, member, place, text, try_each_element};

/// The members that hold warnings.
const MEMBERS: [&str; 2] = ["Warnings", "Warning"];

/// Adds the known warnings of a document to what the filter left of it, unless the filter shows them.
pub(super) fn add_known(document: &[u8], filtered: &mut Vec<u8>) {
    let (Ok(table), Ok(document)) = (errors::built_in(), str::from_utf8(document)) else { return };
    for name in MEMBERS {
        let Ok(Some(value)) = member(document, name) else { continue };
        if let Some(known) = known_in(value, table) {
            add(name, known, filtered);
        }
    }
}

/// The known warnings in the value of a member, as JSON; `None` if there are none. It is one text, or an array of them.
fn known_in(value: &str, table: &ErrorTable) -> Option<String> {
    let known = |value: &str| text(value).map(|text| table.warnings().say(&text));
    if let Some(known) = known(value) {
        return known.map(|known| serde_json::json!(known).to_string());
    }
    let mut all = "[".to_owned();
    try_each_element(value, |element| -> Result<(), UnexpectedShape> {
        if let Some(known) = known(element).ok_or(UnexpectedShape)? {
            all.push_str(if all.len() > 1 { "," } else { "" });
            all.push_str(&serde_json::json!(known).to_string());
        }
        Ok(())
    })
    .ok()?;
    all.push(']');
    (all.len() > 2).then_some(all)
}

/// Adds warnings to what the filter left, if it is an object and left none there.
fn add(name: &str, warnings: String, filtered: &mut Vec<u8>) {
    let Ok(object) = str::from_utf8(filtered) else { return };
    match member(object, name) {
        Ok(Some(value)) if ["[]", "null", "\"\""].contains(&value) => {
            let place = place(object, value);
            filtered.splice(place, warnings.into_bytes());
        }
        Ok(None) => {
            let Some(end) = object.rfind('}') else { return };
            let is_first = object.get(..end).is_some_and(|start| start.trim_end().ends_with('{'));
            let comma = if is_first { "" } else { "," };
            filtered.splice(end..end, format!("{comma}\"{name}\":{warnings}").into_bytes());
        }
        Ok(Some(_)) | Err(UnexpectedShape) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(document: &str, filtered: &str, expected: &str) {
        let mut out = filtered.as_bytes().to_vec();
        add_known(document.as_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{document}");
    }

    #[test]
    fn known_warnings_are_said_where_the_filter_left_none() {
        let known = "Published ports are discarded when using host network mode";
        let document = format!("{{\"Id\":\"a\",\"Warnings\":[\"canary\",\"{known}\"]}}\n");
        let expected = format!("{{\"Id\":\"a\",\"Warnings\":[\"{known}\"]}}\n");
        check(&document, "{\"Id\":\"a\",\"Warnings\":[]}\n", &expected);
        check(&document, "{\"Id\":\"a\",\"Warnings\":null}\n", &expected);
        check(&document, "{\"Id\":\"a\"}\n", &expected);
        check(&document, "{ }", &format!("{{ \"Warnings\":[\"{known}\"]}}"));
        let twice = format!("{{\"Warnings\":[\"{known}\",\"{known}\"],\"Warning\":\"{known}\"}}");
        check(&twice, "{}", &twice);
        // The profile shows them.
        check(&document, &document, &document);
        check(&format!("{{\"Warning\":\"{known}\"}}"), "{\"Warning\":\"\"}", &format!("{{\"Warning\":\"{known}\"}}"));
    }

    #[test]
    fn unknown_warnings_change_nothing() {
        let filtered = "{ \"Id\" : \"a\", \"Warnings\": []}\n";
        for warnings in ["null", "[]", "[\"canary\"]", "\"canary\"", "{}", "[1]", "[[\"canary\"]]"] {
            check(&format!("{{\"Id\":\"a\",\"Warnings\":{warnings}}}"), filtered, filtered);
        }
        check("[]", "[]", "[]");
    }
}
