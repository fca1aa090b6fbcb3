//! The images that a request names in its path and in its query.

use super::Query;
use crate::api::{Operation, names_no_place, tags_no_place};

/// Whether no engine reads an image that a request names as a place on the host.
pub(super) fn are_no_places(operation: &Operation, name: &str, query: &Query) -> bool {
    let is_of_image = operation.template.contains("{reference}");
    let of = |parameter| query.get(parameter).filter(|text| !text.is_empty());
    let mut named = of("fromImage").into_iter().chain(of("repo")).chain(is_of_image.then_some(name));
    let mut in_list = query.values("names").flat_map(|names| names.split(','));
    named.all(|name| names_no_place(name) && of("tag").is_none_or(|tag| tags_no_place(name, tag)))
        && in_list.all(names_no_place)
}
