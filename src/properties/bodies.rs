//! The bodies of requests that name objects.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::de::IgnoredAny;

use super::Outcome;
use crate::api::bodies::{BodyShape, body_of};
use crate::api::{OPERATIONS, operation};
use crate::proxy::{BodyPassing, body_going_up};

/// What the bodies hold, by the ids of their operations.
static SHAPES: LazyLock<BTreeMap<&str, BodyShape>> = LazyLock::new(|| {
    let shape = |id| body_of(operation(id)?).ok().flatten();
    OPERATIONS.iter().filter_map(|operation| Some((operation.id, shape(operation.id)?))).collect()
});

/// What the body of an operation holds.
pub(super) fn shape_of(id: &str) -> Option<&'static BodyShape> {
    SHAPES.get(id)
}

/// The input is the id of an operation, a line feed, and a body. What goes up of it is JSON and says the same when it is read
/// again. What passes if nothing may reach the host passes as it does then if an object has that already, and what passes of an edit
/// passes if everything does.
///
/// # Panics
/// If that is not so.
pub(super) fn a_body_goes_up_as_it_was_read(bytes: &[u8]) -> Outcome {
    let Ok(text) = str::from_utf8(bytes) else { return Outcome::Unusable };
    let Some((id, body)) = text.split_once('\n') else { return Outcome::Unusable };
    // A mutation of the body is not lost with the operation.
    let Some(shape) = shape_of(id).or_else(|| shape_of("ContainerCreate")) else { return Outcome::Unusable };
    let up = |body: &[u8], passing| body_going_up(shape, body, passing);
    let [strict, whole] = [BodyPassing::Nothing, BodyPassing::Everything].map(|passing| up(body.as_bytes(), passing));
    let edited = up(body.as_bytes(), BodyPassing::Shown(body));
    let of_another = up(body.as_bytes(), BodyPassing::Shown("{}"));
    assert_eq!(of_another, strict, "an object without such parts lets none pass");
    assert!(whole.is_some() || (strict.is_none() && edited.is_none()), "nothing passes that does not among everything");
    assert!(strict.is_none() || strict == edited, "an edit lets no less pass");
    let Some(whole) = whole else { return Outcome::Refused };
    assert!(serde_json::from_slice::<IgnoredAny>(&whole).is_ok(), "what goes up is JSON");
    for (sent, passing) in [(Some(&whole), BodyPassing::Everything), (strict.as_ref(), BodyPassing::Nothing)] {
        assert!(sent.is_none_or(|sent| up(sent, passing).as_ref() == Some(sent)), "it is read in the same way again");
    }
    if strict.is_some() || edited.is_some() { Outcome::Accepted } else { Outcome::Refused }
}
