//! The single walk of a plan and a document.
//!
//! `serde_json` reads the whole text first and refuses what is not JSON; the walk can then rely on the grammar. It
//! goes through the text by the plan and keeps no tree. What stays is written in runs, each from behind the last place
//! that was changed to the next one: where nothing is hidden, nothing is copied member by member.

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
    /// Where the text starts that stays and is not written yet.
    from: usize,
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

/// What has stayed of the container that is walked.
struct Stay {
    /// Where the last item that stays ends; behind the opening bracket if none does.
    end: usize,
    /// Whether one does.
    any: bool,
    /// Whether the last item does not.
    gap: bool,
    /// What was written, and up to where, when the last item began.
    before: (usize, usize),
}

impl<'p, 'd, 'o> Walk<'p, 'd, 'o> {
    fn new(plan: &'p Plan, text: &'d str, out: &'o mut Vec<u8>) -> Self {
        let cursor = Cursor::new(text);
        let (report, keys) = (Report::default(), Keys::default());
        Self { plan, cursor, out, from: 0, report, keys, met: Vec::new(), kept: false, question: None, start: 0 }
    }

    /// The one document that the text is.
    fn document(&mut self) -> Result<(), FilterError> {
        self.cursor.token()?;
        (self.start, self.from) = (self.cursor.at(), self.cursor.at());
        let before = self.out.len();
        if !self.value(self.plan.root, Room::new(self.plan.limits.depth))? {
            self.out.truncate(before);
            self.out.extend_from_slice(b"null");
            self.from = self.cursor.at();
        }
        self.write_until(self.cursor.end())
    }

    /// The array of documents that the text is.
    fn documents(&mut self) -> Result<(), FilterError> {
        match self.cursor.token()? {
            b'[' => {}
            b'n' => return self.write_until(self.cursor.end()),
            _ => return Err(FilterError::NotAnArray),
        }
        self.from = self.cursor.at();
        let room = Room::new(self.plan.limits.depth);
        let mut stay = self.open();
        while self.next(b']', &mut stay)? {
            (self.start, self.question) = (self.cursor.at(), None);
            let stays = self.value(self.plan.root, room)?;
            self.plan.check_size(self.cursor.since(self.start)?.as_bytes())?;
            self.close(stays, &mut stay)?;
        }
        self.write_until(self.cursor.end())
    }

    /// Writes the text that stays, up to here.
    fn write_until(&mut self, end: usize) -> Result<(), FilterError> {
        let run = self.cursor.between(self.from, end)?;
        self.out.extend_from_slice(run.as_bytes());
        self.from = end;
        Ok(())
    }

    /// Goes into the container here.
    #[inline]
    fn open(&mut self) -> Stay {
        self.cursor.pass();
        Stay { end: self.cursor.at(), any: false, gap: false, before: (0, 0) }
    }

    /// Goes to the next item of the container; behind it, if `closing` comes first.
    #[inline]
    fn next(&mut self, closing: u8, stay: &mut Stay) -> Result<bool, FilterError> {
        let mut comma = None;
        loop {
            match self.cursor.token()? {
                b',' => {
                    comma = Some(self.cursor.at());
                    self.cursor.pass();
                }
                byte => {
                    if stay.gap {
                        let is_next = byte != closing && stay.any;
                        self.from = comma.filter(|_| is_next).unwrap_or(self.cursor.at());
                        stay.gap = false;
                    }
                    if byte == closing {
                        self.cursor.pass();
                        return Ok(false);
                    }
                    stay.before = (self.out.len(), self.from);
                    return Ok(true);
                }
            }
        }
    }

    /// Behind an item: it stays, or nothing of it does.
    #[inline]
    fn close(&mut self, stays: bool, stay: &mut Stay) -> Result<(), FilterError> {
        if stays {
            (stay.any, stay.end) = (true, self.cursor.at());
            return Ok(());
        }
        let (written, from) = stay.before;
        self.out.truncate(written);
        self.from = from;
        if from < stay.end {
            self.write_until(stay.end)?;
        }
        stay.gap = true;
        Ok(())
    }

    /// The value at the cursor. Returns whether anything stays in its place; if not, what was written is to be taken
    /// back.
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
                self.cursor.checked(room, &mut self.keys)?;
            }
            Outcome::Blank => {
                self.write_until(self.cursor.at())?;
                let text = self.cursor.skip(room)?;
                blank(text.as_bytes(), self.out);
                self.from = self.cursor.at();
                self.count(node.why);
            }
            Outcome::Remove => {
                self.cursor.skip(room)?;
                self.count(node.why);
                return Ok(false);
            }
            Outcome::Act => {
                self.write_until(self.cursor.at())?;
                let text = self.cursor.skip(room)?;
                let action = self.plan.actions.get(node.action).ok_or(FilterError::NotJson)?;
                action.write(text.as_bytes(), &self.plan.key, self.out);
                self.from = self.cursor.at();
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
        let start = self.cursor.at();
        if self.cursor.peek()? != b'"' {
            self.cursor.scalar()?;
            return Ok(());
        }
        let (text, escaped) = self.cursor.string()?;
        if let Cow::Owned(masked) = shape::mask(&key(text, escaped)?) {
            self.write_until(start)?;
            serde_json::to_writer(&mut *self.out, &masked).map_err(|_| FilterError::NotJson)?;
            self.from = self.cursor.at();
            self.count(node.why);
        }
        Ok(())
    }

    fn container(&mut self, node: &'p Node, room: Room) -> Result<(), FilterError> {
        match (self.cursor.peek()?, &node.members, &node.elements) {
            (b'{', Some(members), _) => self.object(members, room.inside()?),
            (b'[', _, Some(elements)) => self.array(elements, room.inside()?),
            _ => Err(FilterError::NotJson),
        }
    }

    /// A container that is shown only if a rule keeps something in it.
    fn probe(&mut self, node: &'p Node, room: Room) -> Result<bool, FilterError> {
        let report = self.report;
        let outside = std::mem::replace(&mut self.kept, false);
        self.container(node, room)?;
        let kept = self.kept;
        self.kept |= outside;
        if !kept {
            self.report = report;
            self.count(node.why);
        }
        Ok(kept)
    }

    fn object(&mut self, members: &'p Members, room: Room) -> Result<(), FilterError> {
        let (mut keys, met) = (self.keys.open(), self.met.len());
        self.met.resize(met + members.names.len().div_ceil(64), 0);
        let mut stay = self.open();
        while self.next(b'}', &mut stay)? {
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
                    self.keys.push(key, &mut keys)?;
                    row
                }
            };
            let truths = if members.conditions.is_empty() { 0 } else { self.truths(&members.conditions, None, room)? };
            let target = members.target(row, truths).ok_or(FilterError::NotJson)?;
            let stays = self.value(target, room)?;
            self.close(stays, &mut stay)?;
        }
        self.met.truncate(met);
        self.keys.close(keys)
    }

    fn array(&mut self, elements: &'p Elements, room: Room) -> Result<(), FilterError> {
        let length = if elements.needs_length { self.cursor.count(room)? } else { i64::MAX };
        let mut stay = self.open();
        let mut index = 0;
        while self.next(b']', &mut stay)? {
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
            let stays = self.value(target, room)?;
            self.close(stays, &mut stay)?;
        }
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
