//! Whether a plan certainly compiles, which is known without compiling it.

use super::compile::{LISTED_LIMIT, STATE_LIMIT, WORK_LIMIT};
use crate::filter::Rule;
use crate::schema::Catalogue;

/// The most states of one field without rules: it is always written or not, in an allow-list or not, and belongs to one of a few
/// lists or to none; or it is the whole document.
const fn states_of_a_field(lists: usize) -> usize {
    2 * 2 * (lists + 1) + 1
}

/// The most states of what no schema describes: it is shown, or hidden because of one of the classes or as unknown.
const OTHER_STATES: usize = 64;

/// Whether what `rules` make of the documents of a schema certainly compiles, whatever a profile shows.
///
/// Without rules there are no conditions. The number of states then depends only on the number of fields. `false` says nothing.
pub(super) fn certainly_compiles(catalogue: &Catalogue, schema: &str, rules: &[Rule]) -> bool {
    let schemas = catalogue.with_nested(schema);
    let has_rules = rules.iter().any(|rule| schemas.contains(&rule.on.as_str()));
    let fields = catalogue.size(schema);
    let states = fields.saturating_mul(states_of_a_field(catalogue.list_count())).saturating_add(OTHER_STATES);
    // Each field is a member of one other, with a row for its name and one for the folded name. Each state has rows for names in an
    // allow-list and for all other keys besides.
    let rows = states.saturating_mul(2 + LISTED_LIMIT + 4);
    !has_rules && catalogue.has_schema(schema) && states < STATE_LIMIT && rows < WORK_LIMIT
}
