//! Invariants that tests and fuzz targets share, one file per subject.
//!
//! A property takes an input of any kind and panics if a promise about it is broken. It compares the code under test
//! with a second, simpler way to the same result, or with itself: bytes that arrive in pieces mean the same as bytes that
//! arrive whole, and a result that is put in again stays as it is. `tests/it/seeds.rs` runs every property over its corpus
//! in `fuzz/`, the fuzz targets run it over mutations of that corpus.
#![expect(clippy::panic, reason = "a broken promise is a panic: that is what the fuzz targets look for")]

mod arrival;
mod bodies;
mod chunks;
pub mod cost;
mod elements;
mod events;
mod filters;
mod json;
mod migrate;
pub mod plan;
mod profile;
mod queries;
mod records;
mod reference;
mod requests;
mod responses;
mod selector;
mod target;
mod yaml;

/// What the code under test made of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took the input, and the promises about its result hold.
    Accepted,
    /// It refused the input, and was right to.
    Refused,
    /// The input is not written as the property expects: nothing was checked.
    Unusable,
}

/// One property and the name of its fuzz target and corpus.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// Also the name of the file in `fuzz/fuzz_targets` and of the folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Checks one input.
    ///
    /// # Panics
    /// If a promise is broken.
    pub check: fn(&[u8]) -> Outcome,
}

/// Every property that has a fuzz target.
pub const ALL: &[Property] = &[
    Property { name: "bodies", check: bodies::a_body_goes_up_as_it_was_read },
    Property { name: "chunks", check: chunks::a_chunked_body_is_read_in_one_way },
    Property { name: "elements", check: elements::an_array_in_pieces_is_filtered_like_a_whole_one },
    Property { name: "events", check: events::an_event_shows_nothing_that_is_hidden },
    Property { name: "filters", check: filters::filters_are_allowed_part_by_part },
    Property { name: "json", check: json::only_unambiguous_json_passes },
    Property { name: "migrate", check: migrate::what_is_written_loads_and_opens_nothing_new },
    Property { name: "plan", check: plan::a_plan_leaves_what_the_reference_leaves },
    Property { name: "profile", check: profile::a_profile_shows_only_its_classes },
    Property { name: "queries", check: queries::what_goes_up_was_decided_upon },
    Property { name: "records", check: records::a_stream_is_split_into_its_objects },
    Property { name: "requests", check: requests::a_request_ends_at_the_same_byte_for_every_reader },
    Property { name: "responses", check: responses::a_response_ends_at_the_same_byte_for_every_reader },
    Property { name: "selector", check: selector::a_path_matches_what_the_library_matches },
    Property { name: "target", check: target::a_target_has_one_reading },
    Property { name: "yaml", check: yaml::a_file_has_one_tree },
];

/// The property called `name`.
pub fn property(name: &str) -> Option<&'static Property> {
    ALL.iter().find(|property| property.name == name)
}
