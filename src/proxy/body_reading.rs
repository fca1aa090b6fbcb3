//! Bodies as they go up without an engine that is asked for names: for the properties that tests and fuzz targets share.

use super::body_names::{BodyNames, Passing};
use super::body_parts::BodyParts;
use super::named::is_name;
use crate::api::bodies::BodyShape;

/// What of a body passes although it reaches the host, or is not known.
#[derive(Clone, Copy, Debug)]
pub enum BodyPassing<'s> {
    /// Nothing.
    Nothing,
    /// What an object has that the client edits, and that was shown as this.
    Shown(&'s str),
    /// Everything.
    Everything,
}

/// What stands for a name: itself, or one without what other readers of names would look at, as whole ids are.
fn plain(name: &str) -> String {
    if is_name(name) {
        return name.to_owned();
    }
    let digits = name.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.fold("n".to_owned(), |mut id, digit| {
        id.extend(char::from_digit(digit.into(), 16));
        id
    })
}

/// What goes up of a body if some objects of each kind are hidden. `None` if it is refused.
pub fn body_going_up(shape: &BodyShape, body: &[u8], passing: BodyPassing<'_>) -> Option<Vec<u8>> {
    let read = |body: &[u8], passing: &Passing| BodyNames::read(body, shape, &|_| true, passing).ok();
    let passing = match passing {
        BodyPassing::Nothing => Passing::Parts(BodyParts::default()),
        BodyPassing::Shown(shown) => {
            Passing::Parts(read(shown.as_bytes(), &Passing::Noted).map(|shown| shown.parts).unwrap_or_default())
        }
        BodyPassing::Everything => Passing::Everything,
    };
    let found = read(body, &passing)?;
    let names: Vec<String> = found.names.iter().map(|name| plain(&name.name)).collect();
    found.write(&names).ok()
}
