//! Arrays that are filtered as they arrive.

use std::sync::LazyLock;

use serde_json::value::RawValue;

use super::Outcome;
use super::arrival::for_each_arrival;
use super::json::compacted;
use super::plan::plan_of_rules;
use crate::filter::{DocumentLimits, FilterError, Plan, Report};
use crate::stream::elements::{ArrayError, ArraySplitter};

/// A limit that some elements of a short input are over.
const SHORT: usize = 40;

/// A plan that hides something of an element, one that removes every element, and one with a limit.
static PLANS: LazyLock<Vec<(Plan, usize)>> = LazyLock::new(|| {
    let limited = DocumentLimits { size: SHORT, ..DocumentLimits::default() };
    vec![
        (plan_of_rules(&[("remove", "$..gone"), ("redact", "$..secret"), ("blank", "$.list[1]")]), usize::MAX),
        (plan_of_rules(&[("remove", "$")]), usize::MAX),
        (plan_of_rules(&[("remove", "$..gone")]).with_limits(limited), SHORT),
    ]
});

/// An array that arrives in pieces leaves as the same elements as one that is filtered whole, and is refused if that one
/// is. If some elements go, the others leave with one comma between them.
///
/// # Panics
/// If that is not so.
pub(super) fn an_array_in_pieces_is_filtered_like_a_whole_one(bytes: &[u8]) -> Outcome {
    let mut outcome = Outcome::Refused;
    for (plan, limit) in PLANS.iter() {
        let mut expected = Vec::new();
        let whole = plan.apply_array(bytes, &mut expected);
        let expected = compacted(&expected);
        for_each_arrival(bytes, |pieces| {
            let found = pushed(plan, *limit, pieces);
            match (&found, &whole) {
                (Ok((out, report)), Ok(counted)) => {
                    assert_eq!(text(&compacted(out)), text(&expected), "in {} pieces", pieces.len());
                    assert_eq!(report, counted, "what was hidden is counted the same");
                    let line_feeds = out.iter().filter(|byte| **byte == b'\n').count();
                    assert!(line_feeds <= 1 || bytes.contains(&b'\n'), "no line feed is made up");
                }
                (Err(_), Err(_)) => {}
                // An array is read with little memory, so the word may have little white space behind it.
                (Err(_), Ok(_)) if bytes.len() > SHORT && bytes.trim_ascii() == b"null" => {}
                (Ok(_), Err(error)) => panic!("in {} pieces it passes, whole it is refused: {error}", pieces.len()),
                (Err(error), Ok(_)) => panic!("in {} pieces it is refused, whole it passes: {error}", pieces.len()),
            }
        });
        if whole.is_ok() {
            outcome = Outcome::Accepted;
        }
    }
    if outcome == Outcome::Accepted {
        check_commas(bytes);
    }
    outcome
}

/// Drops the elements that are not longer than two bytes, and compares what leaves with the others joined.
fn check_commas(bytes: &[u8]) {
    let Ok(elements) = serde_json::from_slice::<Vec<&RawValue>>(bytes) else { return };
    let kept: Vec<&str> = elements.iter().map(|element| element.get()).filter(|element| element.len() > 2).collect();
    let expected = format!("[{}]", kept.join(","));
    for_each_arrival(bytes, |pieces| {
        let (mut splitter, mut out) = (ArraySplitter::new(usize::MAX), Vec::new());
        let pushed = pieces.iter().try_for_each(|piece| splitter.push(piece, &mut out, long_element));
        let ended = pushed.and_then(|()| splitter.finish(&mut out, long_element));
        assert_eq!(ended, Ok(()), "an array that passes a plan passes in {} pieces", pieces.len());
        assert_eq!(text(out.trim_ascii_end()), expected, "in {} pieces", pieces.len());
    });
}

/// Writes the element at the start of `bytes` if it is longer than two bytes; `None` if no comma or bracket ends it.
fn long_element(bytes: &[u8], out: &mut Vec<u8>) -> Result<Option<usize>, ()> {
    let (mut depth, mut inside, mut escaped) = (0_usize, false, false);
    let end = bytes.iter().position(|byte| {
        match (inside, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => inside = false,
            (true, _) => {}
            (false, b'"') => inside = true,
            (false, b'[' | b'{') => depth += 1,
            (false, b',' | b']') if depth == 0 => return true,
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            (false, _) => {}
        }
        false
    });
    let Some(element) = end.and_then(|end| bytes.get(..end)) else { return Ok(None) };
    let value = element.trim_ascii();
    if value.len() > 2 {
        out.extend_from_slice(value);
    }
    Ok(Some(element.len()))
}

/// What leaves when an array arrives in `pieces`.
fn pushed(plan: &Plan, limit: usize, pieces: &[&[u8]]) -> Result<(Vec<u8>, Report), ArrayError<FilterError>> {
    let (mut elements, mut out, mut report) = (ArraySplitter::new(limit), Vec::new(), Report::default());
    let mut apply = |bytes: &[u8], out: &mut Vec<u8>| plan.apply_next(bytes, out, &mut report);
    for piece in pieces {
        let before = out.len();
        elements.push(piece, &mut out, &mut apply)?;
        assert!(out.len() >= before, "what has left is not taken back");
    }
    elements.finish(&mut out, &mut apply)?;
    Ok((out, report))
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
