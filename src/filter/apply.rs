//! The single walk of a plan and a document.
//!
//! `serde_json` reads the whole text first and refuses what is not JSON; the walk can then rely on the grammar. It
//! copies, skips and rewrites by the plan, and keeps no tree.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::action::blank;
use super::plan::{Condition, Elements, List, Members, Node, NodeId, Outcome, Plan, Why};
use super::selector::{Pick, Question};
use super::shape;
use super::text::{Cursor, Keys, Room, key};
use super::{FilterError, Report};
use crate::schema::Class;

impl Plan {
    /// Filters one whole document and adds what is left to `out`, which an error leaves as it was.
    ///
    /// # Errors
    /// [`FilterError`], and the document is to be withheld.
    pub fn apply(&self, document: &[u8], out: &mut Vec<u8>) -> Result<Report, FilterError> {
        self.check_size(document)?;
        let text = valid(document)?;
        self.restoring(out, |out| {
            let mut walk = Walk::new(self, text, out);
            walk.document()?;
            Ok(walk.report)
        })
    }

    /// Filters a whole array, each element of which is one document; `null` in its place stays. The limit on size
    /// holds for each element.
    ///
    /// # Errors
    /// [`FilterError`], and the array is to be withheld; `out` is as it was.
    pub fn apply_array(&self, documents: &[u8], out: &mut Vec<u8>) -> Result<Report, FilterError> {
        let text = valid(documents)?;
        self.restoring(out, |out| {
            let mut walk = Walk::new(self, text, out);
            walk.documents()?;
            Ok(walk.report)
        })
    }

    /// Filters the value at the start of `bytes`, adds what is left to `out`, and returns how many bytes it had with
    /// the whitespace before it; `None`, and nothing happened, if `bytes` end before the value does. A scalar that
    /// touches the end may go on, so it has not ended.
    ///
    /// Reads `bytes` from the start each time: call again when they have grown by a good part, not by a little.
    ///
    /// # Errors
    /// [`FilterError`], and the value is to be withheld with all that follows.
    pub fn apply_next(
        &self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        report: &mut Report,
    ) -> Result<Option<usize>, FilterError> {
        let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
        let unfinished = || self.check_size(bytes).map(|()| None);
        match values.next() {
            None => return unfinished(),
            Some(Err(error)) if error.is_eof() || ends_inside_number(bytes) => return unfinished(),
            Some(Err(_)) => return Err(FilterError::NotJson),
            Some(Ok(IgnoredAny)) => {}
        }
        let consumed = values.byte_offset();
        let value = bytes.get(..consumed).unwrap_or_default();
        if consumed == bytes.len() && !matches!(value.last(), Some(b'}' | b']')) {
            return unfinished();
        }
        self.check_size(value)?;
        let text = std::str::from_utf8(value).map_err(|_| FilterError::NotJson)?;
        let found = self.restoring(out, |out| {
            let mut walk = Walk::new(self, text, out);
            walk.document()?;
            Ok(walk.report)
        })?;
        report.add(&found);
        Ok(Some(consumed))
    }

    fn check_size(&self, document: &[u8]) -> Result<(), FilterError> {
        let limit = self.limits.size;
        if document.len() > limit { Err(FilterError::TooLarge { limit }) } else { Ok(()) }
    }

    /// Runs `write`, and takes back what it wrote if it fails.
    fn restoring(
        &self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<Report, FilterError>,
    ) -> Result<Report, FilterError> {
        let before = out.len();
        let result = write(out);
        if result.is_err() {
            out.truncate(before);
        }
        result
    }
}

/// The text of a document that is one JSON value.
fn valid(document: &[u8]) -> Result<&str, FilterError> {
    let text = std::str::from_utf8(document).map_err(|_| FilterError::NotJson)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    IgnoredAny::deserialize(&mut reader).map_err(|_| FilterError::NotJson)?;
    reader.end().map_err(|_| FilterError::NotJson)?;
    Ok(text)
}

/// Whether a text that is not valid would be unfinished if the number at its end went on: the parser calls `-`, `1.`
/// and `1e` bad numbers, though the digits may be on their way.
fn ends_inside_number(bytes: &[u8]) -> bool {
    if !matches!(bytes.last(), Some(b'-' | b'+' | b'.' | b'e' | b'E')) {
        return false;
    }
    let longer = [bytes, b"0"].concat();
    let mut values = serde_json::Deserializer::from_slice(&longer).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Err(error)) => error.is_eof(),
        Some(Ok(IgnoredAny)) => values.byte_offset() == longer.len(),
        None => false,
    }
}

/// One walk.
struct Walk<'p, 'd, 'o> {
    plan: &'p Plan,
    cursor: Cursor<'d>,
    out: &'o mut Vec<u8>,
    report: Report,
    keys: Keys<'d>,
    /// Which names of the tables have been met in the objects that are open, a bit each, the innermost last.
    met: Vec<u64>,
    /// Whether a rule has kept something since a container began that is shown only if one does.
    kept: bool,
    /// What filter expressions are asked, once the first one is.
    question: Option<Question>,
    /// Where the document starts.
    start: usize,
}

impl<'p, 'd, 'o> Walk<'p, 'd, 'o> {
    fn new(plan: &'p Plan, text: &'d str, out: &'o mut Vec<u8>) -> Self {
        let cursor = Cursor::new(text);
        let (report, keys) = (Report::default(), Keys::default());
        Self { plan, cursor, out, report, keys, met: Vec::new(), kept: false, question: None, start: 0 }
    }

    /// The one document that the text is.
    fn document(&mut self) -> Result<(), FilterError> {
        self.cursor.token()?;
        self.start = self.cursor.at();
        if !self.value(self.plan.root, Room::new(self.plan.limits.depth))? {
            self.out.extend_from_slice(b"null");
        }
        Ok(())
    }

    /// The array of documents that the text is.
    fn documents(&mut self) -> Result<(), FilterError> {
        match self.cursor.token()? {
            b'[' => {}
            b'n' => {
                self.out.extend_from_slice(b"null");
                return Ok(());
            }
            _ => return Err(FilterError::NotAnArray),
        }
        let room = Room::new(self.plan.limits.depth);
        self.cursor.pass();
        self.out.push(b'[');
        let mut separator = None;
        loop {
            match self.cursor.token()? {
                b']' => break,
                b',' => {
                    self.cursor.pass();
                    continue;
                }
                _ => {}
            }
            let before = self.out.len();
            self.out.extend(separator);
            (self.start, self.question) = (self.cursor.at(), None);
            if self.value(self.plan.root, room)? {
                separator = Some(b',');
            } else {
                self.out.truncate(before);
            }
            self.plan.check_size(self.cursor.since(self.start)?.as_bytes())?;
        }
        self.out.push(b']');
        Ok(())
    }

    /// The value at the cursor. Returns whether anything was written in its place.
    fn value(&mut self, id: NodeId, room: Room) -> Result<bool, FilterError> {
        let node = self.plan.node(id).ok_or(FilterError::NotJson)?;
        let outcome = match self.cursor.peek()? {
            b'{' => node.object,
            b'[' => node.array,
            b'n' => node.null,
            _ => node.scalar,
        };
        match outcome {
            Outcome::Copy => {
                let text = self.cursor.checked(room, &mut self.keys)?;
                self.out.extend_from_slice(text.as_bytes());
            }
            Outcome::Blank => {
                let text = self.cursor.skip(room)?;
                blank(text.as_bytes(), self.out);
                self.count(node.why);
            }
            Outcome::Remove => {
                self.cursor.skip(room)?;
                self.count(node.why);
                return Ok(false);
            }
            Outcome::Act => {
                let text = self.cursor.skip(room)?;
                let action = self.plan.actions.get(node.action).ok_or(FilterError::NotJson)?;
                action.write(text.as_bytes(), &self.plan.key, self.out);
                self.count(node.why);
            }
            Outcome::Mask => self.masked(node)?,
            Outcome::Walk if node.probe => return self.probe(node, room),
            Outcome::Walk => self.container(node, room)?,
        }
        self.kept |= node.kept;
        Ok(true)
    }

    /// A scalar without what looks like a credential in it.
    fn masked(&mut self, node: &'p Node) -> Result<(), FilterError> {
        if self.cursor.peek()? != b'"' {
            let text = self.cursor.scalar()?;
            self.out.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        let (text, escaped) = self.cursor.string()?;
        match shape::mask(&key(text, escaped)?) {
            Cow::Borrowed(_) => self.out.extend_from_slice(text.as_bytes()),
            Cow::Owned(masked) => {
                serde_json::to_writer(&mut *self.out, &masked).map_err(|_| FilterError::NotJson)?;
                self.count(node.why);
            }
        }
        Ok(())
    }

    fn container(&mut self, node: &'p Node, room: Room) -> Result<(), FilterError> {
        match (self.cursor.peek()?, &node.members, &node.elements) {
            (b'{', Some(members), _) => self.object(members, room.inside()?),
            (b'[', _, Some(elements)) => self.array(elements, room),
            _ => Err(FilterError::NotJson),
        }
    }

    /// A container that is shown only if a rule keeps something in it.
    fn probe(&mut self, node: &'p Node, room: Room) -> Result<bool, FilterError> {
        let (before, report) = (self.out.len(), self.report);
        let outside = std::mem::replace(&mut self.kept, false);
        self.container(node, room)?;
        let kept = self.kept;
        self.kept |= outside;
        if !kept {
            self.out.truncate(before);
            self.report = report;
            self.count(node.why);
        }
        Ok(kept)
    }

    fn object(&mut self, members: &'p Members, room: Room) -> Result<(), FilterError> {
        let (keys, met) = (self.keys.len(), self.met.len());
        self.met.resize(met + members.names.len().div_ceil(64), 0);
        self.cursor.pass();
        self.out.push(b'{');
        let mut separator = None;
        loop {
            match self.cursor.token()? {
                b'"' => {}
                b',' => {
                    self.cursor.pass();
                    continue;
                }
                _ => break,
            }
            let (text, escaped) = self.cursor.string()?;
            self.cursor.colon()?;
            self.cursor.token()?;
            let key = key(text, escaped)?;
            let row = match members.names.find(key.as_bytes()) {
                Some(row) => {
                    let bit = 1 << (row % 64);
                    let word = self.met.get_mut(met + row / 64).ok_or(FilterError::NotJson)?;
                    if *word & bit != 0 {
                        return Err(FilterError::DuplicateKey);
                    }
                    *word |= bit;
                    row
                }
                None => {
                    let row = members.other_row(&key, self.plan);
                    self.keys.push(key);
                    row
                }
            };
            let truths = if members.conditions.is_empty() { 0 } else { self.truths(&members.conditions, None, room)? };
            let target = members.target(row, truths).ok_or(FilterError::NotJson)?;
            let before = self.out.len();
            self.out.extend(separator);
            self.out.extend_from_slice(text.as_bytes());
            self.out.push(b':');
            if self.value(target, room)? {
                separator = Some(b',');
            } else {
                self.out.truncate(before);
            }
        }
        self.cursor.pass();
        self.out.push(b'}');
        self.met.truncate(met);
        self.keys.close(keys)
    }

    fn array(&mut self, elements: &'p Elements, outside: Room) -> Result<(), FilterError> {
        let room = outside.inside()?;
        let length = if elements.needs_length { self.cursor.count(room)? } else { i64::MAX };
        self.cursor.pass();
        self.out.push(b'[');
        let mut separator = None;
        let mut index = 0;
        loop {
            match self.cursor.token()? {
                b']' => break,
                b',' => {
                    self.cursor.pass();
                    continue;
                }
                _ => {}
            }
            let listed = match elements.list {
                Some(list) => self.is_listed(list)?,
                None => false,
            };
            let truths = if elements.conditions.is_empty() {
                0
            } else {
                self.truths(&elements.conditions, Some((index, length)), room)?
            };
            index += 1;
            let target = elements.target(listed, truths).ok_or(FilterError::NotJson)?;
            let before = self.out.len();
            self.out.extend(separator);
            if self.value(target, room)? {
                separator = Some(b',');
            } else {
                self.out.truncate(before);
            }
        }
        self.cursor.pass();
        self.out.push(b']');
        Ok(())
    }

    /// Whether the element at the cursor is a text `NAME=value` whose name is in an allow-list.
    fn is_listed(&self, list: List) -> Result<bool, FilterError> {
        let mut ahead = self.cursor;
        if ahead.peek()? != b'"' {
            return Ok(false);
        }
        let (text, escaped) = ahead.string()?;
        let text = key(text, escaped)?;
        let name = text.split_once('=').map_or(&*text, |(name, _)| name);
        Ok(self.plan.globs(list).matches(name))
    }

    /// Which conditions are true of the value at the cursor, a bit each. `element` is its index and the array's length.
    fn truths(
        &mut self,
        conditions: &'p [Condition],
        element: Option<(i64, i64)>,
        room: Room,
    ) -> Result<usize, FilterError> {
        let mut truths = 0;
        let mut asked = false;
        for (number, condition) in conditions.iter().enumerate() {
            for pick in &condition.picks {
                let is_true = match (pick, element) {
                    (Pick::Index(index), Some((at, _))) if *index >= 0 => *index == at,
                    (Pick::Index(index), Some((at, length))) => length.checked_add(*index) == Some(at),
                    (Pick::Slice(slice), Some((at, length))) => slice.contains(at, length),
                    (Pick::Test(test), _) => {
                        if !asked {
                            self.ask(room)?;
                            asked = true;
                        }
                        self.question.as_ref().is_some_and(|question| test.is_true(question))
                    }
                    (Pick::Index(_) | Pick::Slice(_), None) | (Pick::Name(_) | Pick::Any, _) => false,
                };
                if is_true {
                    truths |= 1 << number;
                    break;
                }
            }
        }
        Ok(truths)
    }

    /// Puts the value at the cursor before the filter expressions.
    fn ask(&mut self, room: Room) -> Result<(), FilterError> {
        let mut ahead = self.cursor;
        let text = ahead.checked(room, &mut self.keys)?;
        let question = match &mut self.question {
            Some(question) => question,
            unasked @ None => {
                let document = if self.plan.absolute {
                    let mut whole = self.cursor.back_to(self.start);
                    parsed(whole.checked(Room::new(self.plan.limits.depth), &mut self.keys)?)?
                } else {
                    serde_json::Value::Null
                };
                unasked.insert(Question::new(document))
            }
        };
        question.ask(parsed(text)?);
        Ok(())
    }

    fn count(&mut self, why: Why) {
        let counter = match why {
            Why::Class(class) => {
                let at = Class::ALL.iter().position(|known| *known == class);
                at.and_then(|at| self.report.by_class.get_mut(at))
            }
            Why::Unknown => Some(&mut self.report.unknown),
            Why::Rule => Some(&mut self.report.by_rule),
        };
        if let Some(counter) = counter {
            *counter += 1;
        }
    }
}

/// A value as a tree, for a filter expression. The tree's own limit on depth holds beside ours.
fn parsed(text: &str) -> Result<serde_json::Value, FilterError> {
    serde_json::from_str(text).map_err(|_| FilterError::NotJson)
}
