//! Carries the changes of an edited document over to the original.
//!
//! What is refused depends only on what the client was shown, on what it sends, and on the plan; never on a hidden value. So
//! an edit tells nothing about what is hidden, whatever comes of it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::marked::{Left, Marked, MarkedContent, form_of_array, form_of_object, form_of_text, form_of_word, plain};
use super::pairing::{self, Pairing};
use super::shape::Shape;
use super::{EditFault, EditRefusal, Places, ReaderOfEdits};
use crate::filter::credential::MASK;
use crate::filter::plan::fold;

/// A value of the original or of the edited document, and whether something around it is hidden as a whole.
#[derive(Clone, Copy)]
pub(super) struct Side<'n, 'd> {
    pub(super) value: &'n Marked<'d>,
    pub(super) is_inside_hidden: bool,
}

impl<'n, 'd> Side<'n, 'd> {
    /// What the plan leaves of it.
    pub(super) fn left(self) -> Left<'d> {
        if self.is_inside_hidden { Left::Nothing } else { self.value.left }
    }

    /// Whether the plan hides or changes it. What is shown may have hidden parts all the same.
    pub(super) fn is_hidden(self) -> bool {
        self.left() != Left::Whole
    }

    /// A value inside it.
    pub(super) fn inside(self, value: &'n Marked<'d>) -> Self {
        Self { value, is_inside_hidden: self.is_hidden() }
    }

    fn members(self) -> Option<&'n [(Cow<'d, str>, Marked<'d>)]> {
        match &self.value.content {
            MarkedContent::Object(members) => Some(members),
            MarkedContent::Text(_) | MarkedContent::Word | MarkedContent::Array(_) => None,
        }
    }

    pub(super) fn elements(self) -> Option<&'n [Marked<'d>]> {
        match &self.value.content {
            MarkedContent::Array(elements) => Some(elements),
            MarkedContent::Text(_) | MarkedContent::Word | MarkedContent::Object(_) => None,
        }
    }

    /// Whether it is a text in which a mask stands for something.
    pub(super) fn has_mask(self) -> bool {
        match &self.value.content {
            MarkedContent::Text(text) => text.contains(MASK),
            MarkedContent::Word | MarkedContent::Object(_) | MarkedContent::Array(_) => false,
        }
    }

    /// Whether what is left of it is empty, so that a client may leave it out.
    fn is_left_empty(self) -> bool {
        self.is_inside_hidden || self.value.is_left_empty()
    }
}

/// Part of the merged document.
#[derive(Debug)]
pub(super) enum Merged<'n> {
    /// A value of the original.
    Original(Original<'n>),
    /// An element of the original that stays although the edited document does not have it, and is shown.
    Element(&'n Marked<'n>),
    /// A scalar of the edited document, and what the plan leaves of it.
    Text(&'n str, Left<'n>),
    Word(&'n [u8], Left<'n>),
    Object(Vec<(&'n str, Merged<'n>)>),
    Array(Vec<Merged<'n>>),
}

/// A value of the original that stays.
#[derive(Debug)]
pub(super) struct Original<'n> {
    /// Its text.
    text: &'n [u8],
    /// What the edited document has in its place: what was shown of it. `None` if that has nothing, or something empty.
    shown: Option<&'n Marked<'n>>,
}

impl Merged<'_> {
    /// The form of what a client must be shown of it: what it has written, without what the plan hides of that. `None` if that
    /// is nothing.
    pub(super) fn form(&self) -> Option<String> {
        let left = |left: &Left<'_>, whole: String| match left {
            Left::Whole => Some(whole),
            Left::Nothing => None,
            Left::Text(text) => plain(text).map(|left| left.form()),
        };
        match self {
            Self::Original(original) => original.shown.map(Marked::form),
            Self::Element(element) => element.form_of_left(),
            Self::Text(text, of_plan) => left(of_plan, form_of_text(text)),
            Self::Word(text, of_plan) => left(of_plan, form_of_word(text)),
            Self::Object(members) => {
                Some(form_of_object(members.iter().filter_map(|(name, value)| Some((*name, value.form()?))).collect()))
            }
            Self::Array(elements) => Some(form_of_array(elements.iter().filter_map(Self::form))),
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Original(Original { text, .. }) | Self::Element(Marked { text, .. }) | Self::Word(text, _) => {
                out.extend_from_slice(text);
            }
            Self::Text(text, _) => write_text(text, out),
            Self::Object(members) => {
                out.push(b'{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    write_text(name, out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
            Self::Array(elements) => {
                out.push(b'[');
                for (index, value) in elements.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    value.write(out);
                }
                out.push(b']');
            }
        }
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
}

/// What a value is part of. It says what it means if a value is empty or not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    /// An object with known members, in which a member that is not there is as good as an empty one.
    Object,
    /// A map or an array, in which an entry is there or not.
    Collection,
}

impl Within {
    fn of(is_entry: bool) -> Self {
        if is_entry { Self::Collection } else { Self::Object }
    }
}

/// One merge of an original and an edited document.
pub(super) struct Merge {
    /// The steps to the value, for refusals.
    path: Vec<String>,
    reader: ReaderOfEdits,
}

type MergeOutcome<'n> = Result<Option<Merged<'n>>, EditRefusal>;

impl Merge {
    /// Merges two objects, which are the documents.
    pub(super) fn documents<'n, 'd>(
        original: Side<'n, 'd>,
        edited: Side<'n, 'd>,
        shape: &Shape,
        reader: ReaderOfEdits,
    ) -> Result<Merged<'n>, EditRefusal> {
        let mut merge = Self { path: Vec::new(), reader };
        if edited.members().is_none() || original.members().is_none() {
            return Err(merge.refusal(EditFault::Type));
        }
        let original = if original.is_hidden() { Side { is_inside_hidden: true, ..original } } else { original };
        merge.object(Some(original), edited, shape)
    }

    fn refusal(&self, fault: EditFault) -> EditRefusal {
        EditRefusal { path: format!("${}", self.path.concat()), fault }
    }

    /// Whether this is at or below one of these places.
    fn is_below(&self, places: Places) -> bool {
        let members: Vec<&str> = self.members_on_the_way().collect();
        places.iter().any(|place| members.starts_with(place))
    }

    /// Whether a member says for the reader what is beside it.
    fn is_kind(&self, name: &str) -> bool {
        let members = || self.members_on_the_way().chain([name]);
        self.reader.kinds.iter().any(|place| members().eq(place.iter().copied()))
    }

    fn members_on_the_way(&self) -> impl Iterator<Item = &str> {
        self.path.iter().filter_map(|step| step.strip_prefix('.'))
    }

    /// Does something one step below.
    fn below<T>(&mut self, step: String, work: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let result = work(self);
        self.path.pop();
        result
    }

    /// Merges a value that the edited document has.
    fn value<'n, 'd>(
        &mut self,
        original: Option<Side<'n, 'd>>,
        edited: Side<'n, 'd>,
        shape: &Shape,
        within: Within,
    ) -> MergeOutcome<'n> {
        match original {
            Some(original) => self.both(original, edited, shape, within),
            None => self.added(edited, shape, within),
        }
    }

    /// Merges a value that is in both.
    fn both<'n, 'd>(
        &mut self,
        original: Side<'n, 'd>,
        edited: Side<'n, 'd>,
        shape: &Shape,
        within: Within,
    ) -> MergeOutcome<'n> {
        if is_as_shown(original, edited.value) {
            let shown = Some(edited.value);
            return Ok(Some(Merged::Original(Original { text: original.value.text, shown })));
        }
        if within == Within::Object && edited.value.is_null() {
            return Ok(missing(original, shape, within));
        }
        let is_left_out = within == Within::Object && edited.value.is_empty();
        if original.is_hidden() && original.is_left_empty() && is_left_out {
            return Ok(Some(unsent(original.value)));
        }
        match (&original.value.content, &edited.value.content) {
            (MarkedContent::Object(_), MarkedContent::Object(_)) => {
                self.object(Some(original), edited, shape).map(Some)
            }
            (MarkedContent::Array(_), MarkedContent::Array(_)) => self.array(Some(original), edited, shape).map(Some),
            // Whether one of these hides something is not looked at: it must not show.
            _ if original.value.is_composite() && !original.is_hidden() => Err(self.refusal(EditFault::Type)),
            _ => self.replaced(edited, shape),
        }
    }

    /// A value that the original does not have.
    fn added<'n>(&mut self, edited: Side<'n, '_>, shape: &Shape, within: Within) -> MergeOutcome<'n> {
        if edited.is_hidden() && within == Within::Object && edited.value.is_empty() {
            return Ok(None);
        }
        // Something with content is refused where the content is.
        let is_entry_without_content = within == Within::Collection && !edited.value.has_content();
        if edited.is_hidden() && is_entry_without_content && !shape.may_set {
            return Err(self.refusal(EditFault::Hidden));
        }
        self.replaced(edited, shape)
    }

    /// A value of the edited document that replaces what was there.
    fn replaced<'n>(&mut self, edited: Side<'n, '_>, shape: &Shape) -> MergeOutcome<'n> {
        match &edited.value.content {
            MarkedContent::Object(_) => return self.object(None, edited, shape).map(Some),
            MarkedContent::Array(_) => return self.array(None, edited, shape).map(Some),
            MarkedContent::Text(_) | MarkedContent::Word => {}
        }
        if edited.has_mask() {
            return Err(self.refusal(EditFault::Mask));
        }
        if edited.is_hidden() && !shape.may_set {
            return Err(self.refusal(EditFault::Hidden));
        }
        if let MarkedContent::Text(text) = &edited.value.content
            && (self.reader.is_template)(text)
            && self.is_below(self.reader.templates)
        {
            return Err(self.refusal(EditFault::Template));
        }
        if !shape.may_set && self.is_below(self.reader.destinations) {
            return Err(self.refusal(EditFault::Destination));
        }
        if !shape.may_set && self.is_below(self.reader.questions) {
            return Err(self.refusal(EditFault::Question));
        }
        Ok(Some(match &edited.value.content {
            MarkedContent::Text(text) => Merged::Text(text, edited.left()),
            MarkedContent::Word | MarkedContent::Object(_) | MarkedContent::Array(_) => {
                Merged::Word(edited.value.text, edited.left())
            }
        }))
    }

    /// Merges the members of an object, if the original has one there, with those of an edited object.
    fn object<'n, 'd>(
        &mut self,
        original: Option<Side<'n, 'd>>,
        edited: Side<'n, 'd>,
        shape: &Shape,
    ) -> Result<Merged<'n>, EditRefusal> {
        let (known, sent) = (original.and_then(Side::members), edited.members().unwrap_or_default());
        let known = known.unwrap_or_default();
        self.check_spelling(original, sent, shape)?;
        // Of a member that the schema has in two spellings, a reader takes either for the other.
        let spelling = |name: &'n str| if shape.has_aliases { Cow::Owned(fold(name)) } else { Cow::Borrowed(name) };
        // In the order of the client, so that which of several refusals it gets does not depend on what is hidden.
        let of_known: HashMap<Cow<'_, str>, &Marked<'_>> =
            known.iter().map(|(name, value)| (spelling(name), value)).collect();
        let mut of_edited = HashMap::with_capacity(sent.len());
        let mut added = Vec::new();
        for (name, value) in sent {
            let spelled = spelling(name);
            let counterpart = of_known.get(&spelled).and_then(|value| Some(original?.inside(value)));
            let merged = self.member(name, (counterpart, original.is_some()), edited.inside(value), shape)?;
            match counterpart {
                Some(_) => drop(of_edited.insert(spelled, merged)),
                None => added.extend(merged.map(|merged| (&**name, merged))),
            }
        }
        let mut members = Vec::with_capacity(known.len() + added.len());
        for (name, value) in known {
            let merged = match (of_edited.remove(&spelling(name)), original) {
                (Some(merged), _) => merged,
                (None, Some(original)) => {
                    let ((below, is_entry), original) = (shape.member(name), original.inside(value));
                    if shape.hides_in_members && self.is_kind(name) && !original.is_left_empty() {
                        return self.below(format!(".{name}"), |merge| Err(merge.refusal(EditFault::Kind)));
                    }
                    missing(original, below, Within::of(is_entry))
                }
                (None, None) => None,
            };
            members.extend(merged.map(|merged| (&**name, merged)));
        }
        members.append(&mut added);
        Ok(Merged::Object(members))
    }

    /// Merges a member that the edited object has, with that of the original, if it has one. `is_known`: the original has the object.
    fn member<'n, 'd>(
        &mut self,
        name: &str,
        (original, is_known): (Option<Side<'n, 'd>>, bool),
        edited: Side<'n, 'd>,
        shape: &Shape,
    ) -> MergeOutcome<'n> {
        let (below, is_entry) = shape.member(name);
        let is_named = shape.named(name).is_some();
        // The names of entries, and of what no schema knows, are the client's.
        let step = if is_named { format!(".{name}") } else { ".*".to_owned() };
        // Whether the original has one that is hidden, or none, must not show.
        let may_change = edited.is_hidden() || !is_changed(original, edited.value);
        if is_known && shape.hides_in_members && self.is_kind(name) && !may_change {
            return self.below(step, |merge| Err(merge.refusal(EditFault::Kind)));
        }
        let value = self.below(step, |merge| merge.value(original, edited, below, Within::of(is_entry)));
        value.map_err(|refusal| if is_entry || is_named { refusal } else { refusal.unknown() })
    }

    /// Refuses a member whose name a reader could take for another: readers written in Go compare names without regard to
    /// case. Hidden names are not looked at.
    fn check_spelling(
        &self,
        original: Option<Side<'_, '_>>,
        sent: &[(Cow<'_, str>, Marked<'_>)],
        shape: &Shape,
    ) -> Result<(), EditRefusal> {
        if shape.is_map() {
            return Ok(());
        }
        let shown = original.filter(|side| !side.is_hidden()).and_then(Side::members).unwrap_or_default();
        let shown: HashSet<&str> =
            shown.iter().filter(|(_, value)| value.left != Left::Nothing).map(|(name, _)| &**name).collect();
        let is_shown = |name: &str| shown.contains(name);
        if !shape.has_aliases && sent.iter().all(|(name, _)| is_shown(name) || shape.named(name).is_some()) {
            return Ok(());
        }
        let known: HashSet<String> = shape.names().map(fold).collect();
        let mut taken: HashSet<String> = shown.iter().copied().map(fold).collect();
        for (name, _) in sent.iter().filter(|(name, _)| !is_shown(name)) {
            let folded = fold(name);
            let is_other_spelling = shape.named(name).is_none() && known.contains(&folded);
            if is_other_spelling || !taken.insert(folded) {
                return Err(self.refusal(EditFault::Spelling));
            }
        }
        Ok(())
    }

    /// Merges the elements of an array, if the original has one there, with those of an edited array.
    fn array<'n, 'd>(
        &mut self,
        original: Option<Side<'n, 'd>>,
        edited: Side<'n, 'd>,
        shape: &Shape,
    ) -> Result<Merged<'n>, EditRefusal> {
        let sides = |side: Side<'n, 'd>| -> Vec<Side<'n, 'd>> {
            side.elements().unwrap_or_default().iter().map(|value| side.inside(value)).collect()
        };
        let sent = sides(edited);
        // A list that is hidden as a whole is replaced as a whole, unless its elements have names.
        let is_replaced = edited.is_hidden() && !shape.is_named && original.is_some_and(Side::is_hidden);
        let known = original.filter(|_| !is_replaced).map(sides).unwrap_or_default();
        let Pairing { of_edited } = pairing::pair(&known, &sent, shape).map_err(|fault| self.refusal(fault))?;
        let mut values = Vec::with_capacity(sent.len());
        for (index, (edited, pair)) in sent.iter().zip(&of_edited).enumerate() {
            let original = pair.and_then(|pair| known.get(pair)).copied();
            let value = self.below(format!("[{index}]"), |merge| {
                merge.value(original, *edited, shape.element(), Within::Collection)
            })?;
            values.push((*pair, value));
        }
        let added = sent.iter().zip(&of_edited).filter(|(_, pair)| pair.is_none());
        let added: HashSet<&str> = added.filter_map(|(side, _)| pairing::name(*side, shape)).collect();
        let is_added = |side| pairing::name(side, shape).is_some_and(|name| added.contains(name));
        let stays = |side: Side<'n, 'd>| staying(side, shape).filter(|_| !is_added(side));
        Ok(Merged::Array(with_hidden(&known, values, stays)))
    }
}

/// An element of an array that the edited document does not have, if it stays: nothing of it was shown, or no key.
fn staying<'n>(side: Side<'n, '_>, array: &Shape) -> Option<Merged<'n>> {
    match side.left() {
        Left::Nothing => Some(unsent(side.value)),
        Left::Whole | Left::Text(_) => pairing::is_keyless(side, array).then_some(Merged::Element(side.value)),
    }
}

/// A value that stays and that the edited document does not have.
fn unsent<'n>(value: &Marked<'n>) -> Merged<'n> {
    Merged::Original(Original { text: value.text, shown: None })
}

/// What is left of a value that the edited document does not have.
fn missing<'n>(original: Side<'n, '_>, shape: &Shape, within: Within) -> Option<Merged<'n>> {
    let as_it_was = Some(unsent(original.value));
    if original.left() == Left::Nothing {
        return as_it_was;
    }
    // A client leaves out what is empty. An entry of a map that it leaves out was removed.
    if within == Within::Object && original.is_left_empty() && (original.is_hidden() || original.value.is_composite()) {
        return as_it_was;
    }
    if within == Within::Collection || original.is_hidden() {
        return None;
    }
    // A client leaves out a map or list once it has removed all entries that it was shown.
    let entries = match &original.value.content {
        MarkedContent::Object(members) if shape.is_map() => {
            let hidden = members.iter().filter(|(_, value)| value.left == Left::Nothing);
            Merged::Object(hidden.map(|(name, value)| (&**name, unsent(value))).collect())
        }
        MarkedContent::Array(elements) if shape.is_array() => {
            Merged::Array(elements.iter().filter_map(|value| staying(original.inside(value), shape)).collect())
        }
        MarkedContent::Text(_) | MarkedContent::Word | MarkedContent::Object(_) | MarkedContent::Array(_) => {
            return None;
        }
    };
    Some(entries)
}

/// The merged elements, each with its index in the original, and between them the elements that stay: each behind the one that
/// it was behind, or behind the one before that if it is gone.
fn with_hidden<'n, 'd>(
    known: &[Side<'n, 'd>],
    values: Vec<(Option<usize>, Option<Merged<'n>>)>,
    stays: impl Fn(Side<'n, 'd>) -> Option<Merged<'n>>,
) -> Vec<Merged<'n>> {
    let kept: Vec<usize> = values.iter().filter_map(|(pair, _)| *pair).collect();
    let mut is_kept = vec![false; known.len()];
    for index in kept {
        if let Some(slot) = is_kept.get_mut(index) {
            *slot = true;
        }
    }
    let mut behind: HashMap<Option<usize>, Vec<Merged<'n>>> = HashMap::new();
    let mut last = None;
    for (index, (side, is_kept)) in known.iter().zip(is_kept).enumerate() {
        if is_kept {
            last = Some(index);
        } else if let Some(stays) = stays(*side) {
            behind.entry(last).or_default().push(stays);
        }
    }
    let mut merged = behind.remove(&None).unwrap_or_default();
    for (pair, value) in values {
        merged.extend(value);
        if let Some(hidden) = pair.and_then(|index| behind.remove(&Some(index))) {
            merged.extend(hidden);
        }
    }
    merged
}

/// Whether a value of the edited document differs from what was shown of the original. What is empty is as good as not there.
fn is_changed(original: Option<Side<'_, '_>>, edited: &Marked<'_>) -> bool {
    let shown = original.filter(|side| !side.is_left_empty()).and_then(|side| side.value.form_of_left());
    shown != Some(edited).filter(|edited| !edited.is_empty()).map(Marked::form)
}

/// Whether a value of the edited document is what was shown of the original.
fn is_as_shown(original: Side<'_, '_>, edited: &Marked<'_>) -> bool {
    let is_same = |shown: &Marked<'_>| shown.form() == edited.form();
    match original.left() {
        Left::Nothing => false,
        Left::Text(text) => plain(text).is_some_and(|shown| is_same(&shown)),
        // Inside a composite, each value is compared by itself.
        Left::Whole => !original.value.is_composite() && is_same(original.value),
    }
}
