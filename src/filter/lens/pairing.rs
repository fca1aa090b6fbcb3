//! Which element of an edited array is which element of the original.

use std::collections::BTreeMap;

use super::EditFault;
use super::marked::{Left, MarkedContent};
use super::merge::Side;
use super::shape::Shape;

/// The pairs of elements.
#[derive(Debug)]
pub(super) struct Pairing {
    /// For each edited element, the index of the one in the original that it is.
    pub(super) of_edited: Vec<Option<usize>>,
}

/// The indexes of elements that look alike.
#[derive(Default)]
struct Alike {
    original: Vec<usize>,
    edited: Vec<usize>,
}

/// Finds the element of the original that each edited element is: the one that was shown like that, else the one with the
/// same key. Only what the client was shown is looked at.
///
/// # Errors
/// [`EditFault::Uncertain`] if an edited element may be one of several, or may be another element or a new one, and something
/// of the element can be hidden.
pub(super) fn pair(original: &[Side<'_, '_>], edited: &[Side<'_, '_>], array: &Shape) -> Result<Pairing, EditFault> {
    let mut pairs = PairSearch { of_edited: vec![None; edited.len()], is_taken: vec![false; original.len()] };
    for (index, side) in original.iter().enumerate() {
        // What was not shown is not in the edited document.
        if side.left() == Left::Nothing {
            pairs.take(index);
        }
    }
    let shown = |side: &Side<'_, '_>| side.value.form_of_left();
    let written = |side: &Side<'_, '_>| Some(side.value.form());
    let stays = |side: &Side<'_, '_>| is_keyless(*side, array);
    let is_all_shown = |alike: &Alike| {
        !array.hides_in_elements || alike.original.iter().all(|index| is_all_shown(original.get(*index)))
    };
    for alike in pairs.alike(original, edited, shown, written) {
        let (count, other) = (alike.original.len(), alike.edited.len());
        // Those without a key stay anyway. Which of the others a client has removed or copied matters only where they are not all
        // that was shown of them.
        let all_stay = || count >= other && alike.original.iter().all(|index| original.get(*index).is_some_and(stays));
        let is_certain = count == other || all_stay() || is_all_shown(&alike);
        if count > 0 && other > 0 && !is_certain {
            return Err(EditFault::Uncertain);
        }
        pairs.join(&alike);
    }
    let key = |side: &Side<'_, '_>| key(*side, array);
    for alike in pairs.alike(original, edited, key, key) {
        match (alike.original.len(), alike.edited.len()) {
            (0, _) | (_, 0) => {}
            (1, 1) => pairs.join(&alike),
            _ if is_all_shown(&alike) => pairs.join(&alike),
            _ => return Err(EditFault::Uncertain),
        }
    }
    if !array.is_named {
        pairs.check_masked(original)?;
    }
    pairs.check_rest(
        original,
        edited,
        |side| !array.hides_in_elements && key(side).is_some(),
        stays,
        |side| has_key(*side, array),
    )?;
    Ok(Pairing { of_edited: pairs.of_edited })
}

/// Whether nothing of an element can be hidden: it is a scalar that was shown as it is.
fn is_all_shown(side: Option<&Side<'_, '_>>) -> bool {
    side.is_some_and(|side| !side.value.is_composite() && !side.is_hidden() && !side.has_mask())
}

/// The pairs that were found so far.
struct PairSearch {
    of_edited: Vec<Option<usize>>,
    /// For each element of the original, whether it needs no partner any more.
    is_taken: Vec<bool>,
}

impl PairSearch {
    fn take(&mut self, index: usize) {
        if let Some(slot) = self.is_taken.get_mut(index) {
            *slot = true;
        }
    }

    /// Groups the elements without a partner by a text, those of the original by one function and the edited by another.
    fn alike<'s, 'n: 's, 'd: 's>(
        &self,
        original: &'s [Side<'n, 'd>],
        edited: &'s [Side<'n, 'd>],
        of_original: impl Fn(&'s Side<'n, 'd>) -> Option<String>,
        of_edited: impl Fn(&'s Side<'n, 'd>) -> Option<String>,
    ) -> Vec<Alike> {
        let mut groups: BTreeMap<String, Alike> = BTreeMap::new();
        for (index, side) in original.iter().enumerate().filter(|(index, _)| self.is_taken.get(*index) == Some(&false))
        {
            if let Some(text) = of_original(side) {
                groups.entry(text).or_default().original.push(index);
            }
        }
        for (index, side) in edited.iter().enumerate().filter(|(index, _)| self.of_edited.get(*index) == Some(&None)) {
            if let Some(text) = of_edited(side) {
                groups.entry(text).or_default().edited.push(index);
            }
        }
        groups.into_values().collect()
    }

    /// Makes pairs of those that look alike, in their order.
    fn join(&mut self, alike: &Alike) {
        for (original, edited) in alike.original.iter().zip(&alike.edited) {
            if let Some(slot) = self.of_edited.get_mut(*edited) {
                *slot = Some(*original);
            }
            self.take(*original);
        }
    }

    /// Checks that what is before a text with a mask is what was shown before it. Whether a text is masked may depend on those
    /// before it, and then a change there could show it.
    fn check_masked(&self, original: &[Side<'_, '_>]) -> Result<(), EditFault> {
        let shown: Vec<usize> = (0..original.len())
            .filter(|index| original.get(*index).is_some_and(|side| side.left() != Left::Nothing))
            .collect();
        let is_masked = |index: &usize| {
            let side = original.get(*index);
            side.is_some_and(|side| !side.value.is_composite() && (side.is_hidden() || side.has_mask()))
        };
        let last = self.of_edited.iter().rposition(|pair| pair.as_ref().is_some_and(is_masked));
        let before = self.of_edited.iter().take(last.map_or(0, |last| last + 1));
        let is_as_before = before.zip(&shown).all(|(pair, index)| pair.as_ref() == Some(index));
        if is_as_before { Ok(()) } else { Err(EditFault::Uncertain) }
    }

    /// Checks that the elements without a partner are certain to be gone, or new. Where both are, an element could be another
    /// one with a new key: then what is hidden of it would be lost. `is_certain` says that it has a key and hides nothing, `stays`
    /// that it shows none: such a one is not gone. A new one must have a key, or it could be any of them, and would never go again.
    fn check_rest(
        &self,
        original: &[Side<'_, '_>],
        edited: &[Side<'_, '_>],
        is_certain: impl Fn(&&Side<'_, '_>) -> bool,
        stays: impl Fn(&Side<'_, '_>) -> bool,
        has_key: impl Fn(&Side<'_, '_>) -> bool,
    ) -> Result<(), EditFault> {
        let is_composite = |side: &&Side<'_, '_>| side.value.is_composite();
        let gone: Vec<&Side<'_, '_>> =
            original.iter().zip(&self.is_taken).filter(|(_, is_taken)| !**is_taken).map(|(side, _)| side).collect();
        let new: Vec<&Side<'_, '_>> =
            edited.iter().zip(&self.of_edited).filter(|(_, pair)| pair.is_none()).map(|(side, _)| side).collect();
        let (gone, new): (Vec<_>, Vec<_>) =
            (gone.into_iter().filter(is_composite).collect(), new.into_iter().filter(is_composite).collect());
        if new.iter().any(|side| stays(side) && !has_key(side)) {
            return Err(EditFault::Uncertain);
        }
        let gone: Vec<_> = gone.into_iter().filter(|side| !stays(side)).collect();
        let is_one_sided = gone.is_empty() || new.is_empty();
        if is_one_sided || gone.iter().chain(&new).all(is_certain) { Ok(()) } else { Err(EditFault::Uncertain) }
    }
}

/// The name of an element `name=value` of a list of such.
pub(super) fn name<'n>(side: Side<'n, '_>, array: &Shape) -> Option<&'n str> {
    match &side.value.content {
        MarkedContent::Text(text) if array.is_named => Some(text.split_once('=').map_or(&**text, |(name, _)| name)),
        MarkedContent::Text(_) | MarkedContent::Word | MarkedContent::Object(_) | MarkedContent::Array(_) => None,
    }
}

/// Whether an element shows no key, in a list of which the keys may be hidden. A client does not know which one it is, and cannot mean
/// to remove it: clients that keep the elements by their keys send back one of several such elements.
pub(super) fn is_keyless(side: Side<'_, '_>, array: &Shape) -> bool {
    array.hides_key && side.value.is_composite() && key(side, array).is_none()
}

/// Whether an element has what tells it from the others, hidden or not.
fn has_key(side: Side<'_, '_>, array: &Shape) -> bool {
    let has = |path: &Vec<&str>| path.iter().try_fold(side.value, |value, name| value.member(name)).is_some();
    array.key.iter().all(has)
}

/// What tells an element from the others, if it has that and shows it.
fn key(side: Side<'_, '_>, array: &Shape) -> Option<String> {
    if let Some(name) = name(side, array) {
        return Some(name.to_owned());
    }
    if array.key.is_empty() {
        return None;
    }
    let mut key = String::new();
    for path in &array.key {
        let mut at = side;
        for name in path {
            if at.is_hidden() {
                return None;
            }
            at = at.inside(at.value.member(name)?);
        }
        if at.is_hidden() || at.value.is_composite() || at.has_mask() {
            return None;
        }
        key.push_str(&at.value.form());
        key.push(',');
    }
    Some(key)
}
