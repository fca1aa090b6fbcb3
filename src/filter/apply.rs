//! The single walk of a plan and a document.
//!
//! It goes through the text once, makes certain that it is JSON, and keeps no tree. What stays is written in runs, each
//! from behind the last place that was changed to the next one: where nothing is hidden, nothing is copied member by
//! member.

use std::borrow::Cow;

use super::action::blank;
use super::credential;
use super::json::{Cursor, Keys, NOT_JSON, Room, Stop};
use super::plan::{Condition, Elements, List, Members, Node, NodeId, Outcome, Plan, Why};
use super::selector::{Pick, Question};
use super::{Action, FilterError, Report};
use crate::schema::Class;

impl Plan {
    /// Filters one whole document and adds what is left to `out`, which an error leaves as it was.
    ///
    /// # Errors
    /// [`FilterError`], and the document is to be withheld.
    pub fn apply(&self, document: &[u8], out: &mut Vec<u8>) -> Result<Report, FilterError> {
        self.check_size(document)?;
        self.walked(document, out, |walk| {
            walk.document()?;
            walk.finish()
        })
    }

    /// Filters a whole array, each element of which is one document; `null` in its place stays. The limit on size
    /// holds for each element.
    ///
    /// # Errors
    /// [`FilterError`], and the array is to be withheld; `out` is as it was.
    pub fn apply_array(&self, documents: &[u8], out: &mut Vec<u8>) -> Result<Report, FilterError> {
        self.walked(documents, out, |walk| {
            walk.documents()?;
            walk.finish()
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
        let mut end = 0;
        let found = self.walked(bytes, out, |walk| {
            walk.document()?;
            end = walk.cursor.at();
            let value = walk.cursor.since(walk.start)?;
            match (value.first(), bytes.get(end)) {
                (Some(b'{' | b'['), _) => {}
                (_, None) => return Err(Stop::End),
                (Some(b'"'), _) | (_, Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b']' | b'}')) => {}
                (_, Some(_)) => return Err(NOT_JSON),
            }
            Ok(self.check_size(value)?)
        });
        match found {
            Ok(found) => {
                report.add(&found);
                Ok(Some(end))
            }
            Err(Stop::End) => self.check_size(bytes).map(|()| None),
            Err(Stop::Wrong(error)) => Err(error),
        }
    }

    fn check_size(&self, document: &[u8]) -> Result<(), FilterError> {
        let limit = self.limits.size;
        if document.len() > limit { Err(FilterError::TooLarge { limit }) } else { Ok(()) }
    }

    /// Walks through `text`, and takes back what was written if that fails.
    fn walked<E: From<Stop>>(
        &self,
        text: &[u8],
        out: &mut Vec<u8>,
        walk: impl FnOnce(&mut Walk<'_, '_, '_>) -> Result<(), Stop>,
    ) -> Result<Report, E> {
        let before = out.len();
        let mut under_way = Walk::new(self, text, out);
        let result = walk(&mut under_way);
        let report = under_way.report;
        match result {
            Ok(()) => Ok(report),
            Err(stop) => {
                out.truncate(before);
                Err(stop.into())
            }
        }
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
#[derive(Default)]
struct Stay {
    /// Whether its opening bracket is behind the cursor.
    begun: bool,
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
    fn new(plan: &'p Plan, text: &'d [u8], out: &'o mut Vec<u8>) -> Self {
        let cursor = Cursor::new(text);
        let (report, keys) = (Report::default(), Keys::default());
        Self { plan, cursor, out, from: 0, report, keys, met: Vec::new(), kept: false, question: None, start: 0 }
    }

    /// The document at the cursor.
    fn document(&mut self) -> Result<(), Stop> {
        self.cursor.token()?;
        (self.start, self.from) = (self.cursor.at(), self.cursor.at());
        let before = self.out.len();
        if !self.value(self.plan.root, Room::new(self.plan.limits.depth))? {
            self.out.truncate(before);
            self.out.extend_from_slice(b"null");
            self.from = self.cursor.at();
        }
        self.write_until(self.cursor.at())
    }

    /// The array of documents at the cursor.
    fn documents(&mut self) -> Result<(), Stop> {
        let room = Room::new(self.plan.limits.depth);
        let found = self.cursor.token()?;
        self.from = self.cursor.at();
        match found {
            b'[' => {
                let mut stay = Stay::default();
                while self.next(b']', &mut stay)? {
                    (self.start, self.question) = (self.cursor.at(), None);
                    let stays = self.value(self.plan.root, room)?;
                    self.plan.check_size(self.cursor.since(self.start)?)?;
                    self.close(stays, &mut stay)?;
                }
            }
            b'n' => self.cursor.skip(room)?,
            _ => {
                self.cursor.skip(room)?;
                self.cursor.finish()?;
                return Err(FilterError::NotAnArray.into());
            }
        }
        self.write_until(self.cursor.at())
    }

    /// The end of the text.
    fn finish(&mut self) -> Result<(), Stop> {
        self.cursor.finish()?;
        self.write_until(self.cursor.at())
    }

    /// Writes the text that stays, up to here.
    #[inline]
    fn write_until(&mut self, end: usize) -> Result<(), Stop> {
        self.out.extend_from_slice(self.cursor.between(self.from, end)?);
        self.from = end;
        Ok(())
    }

    /// Goes to the next item of the container; behind it, if there is none.
    #[inline]
    fn next(&mut self, closing: u8, stay: &mut Stay) -> Result<bool, Stop> {
        if !stay.begun {
            stay.begun = true;
            stay.end = self.cursor.at() + 1;
            if !self.cursor.first(closing)? {
                return Ok(false);
            }
        } else {
            self.cursor.token()?;
            let comma = self.cursor.at();
            let more = self.cursor.more(closing)?;
            if std::mem::take(&mut stay.gap) {
                // Behind what is gone goes on the comma, the next item, or the closing bracket.
                self.from = if stay.any || !more { comma } else { self.cursor.at() };
            }
            if !more {
                return Ok(false);
            }
        }
        stay.before = (self.out.len(), self.from);
        Ok(true)
    }

    /// Behind an item: it stays, or nothing of it does.
    #[inline]
    fn close(&mut self, stays: bool, stay: &mut Stay) -> Result<(), Stop> {
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
    fn value(&mut self, id: NodeId, room: Room) -> Result<bool, Stop> {
        let node = self.plan.node(id).ok_or(NOT_JSON)?;
        let outcome = match self.cursor.peek()? {
            b'{' => node.object,
            b'[' => node.array,
            b'n' => node.null,
            _ => node.scalar,
        };
        match outcome {
            Outcome::Copy => self.cursor.checked(room, &mut self.keys)?,
            Outcome::Blank => {
                self.write_until(self.cursor.at())?;
                let text = self.skipped(room)?;
                blank(text, node.blank, self.out);
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
                let text = self.skipped(room)?;
                let action = self.plan.actions.get(node.action).ok_or(NOT_JSON)?;
                if *action == Action::Blank {
                    blank(text, node.blank, self.out);
                } else {
                    action.write(text, &self.plan.key, self.out);
                }
                self.from = self.cursor.at();
                self.count(node.why);
            }
            Outcome::Mask => self.masked(node, room)?,
            Outcome::Walk if node.probe => return self.probe(node, room),
            Outcome::Walk => self.container(node, room)?,
        }
        self.kept |= node.kept;
        Ok(true)
    }

    /// Passes the value at the cursor; its text.
    #[inline]
    fn skipped(&mut self, room: Room) -> Result<&'d [u8], Stop> {
        let start = self.cursor.at();
        self.cursor.skip(room)?;
        self.cursor.since(start)
    }

    /// A scalar without what looks like a credential in it.
    fn masked(&mut self, node: &'p Node, room: Room) -> Result<(), Stop> {
        let start = self.cursor.at();
        if self.cursor.peek()? != b'"' {
            return self.cursor.skip(room);
        }
        let text = self.cursor.string()?.name()?;
        if let Cow::Owned(masked) = credential::mask(&text) {
            self.write_until(start)?;
            serde_json::to_writer(&mut *self.out, &masked).map_err(|_| NOT_JSON)?;
            self.from = self.cursor.at();
            self.count(node.why);
        }
        Ok(())
    }

    fn container(&mut self, node: &'p Node, room: Room) -> Result<(), Stop> {
        match (self.cursor.peek()?, &node.members, &node.elements) {
            (b'{', Some(members), _) => self.object(members, room.inside()?),
            (b'[', _, Some(elements)) => self.array(elements, room.inside()?),
            _ => Err(NOT_JSON),
        }
    }

    /// A container that is shown only if a rule keeps something in it.
    fn probe(&mut self, node: &'p Node, room: Room) -> Result<bool, Stop> {
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

    fn object(&mut self, members: &'p Members, room: Room) -> Result<(), Stop> {
        let (mut keys, met) = (self.keys.open(), self.met.len());
        self.met.resize(met + members.names.len().div_ceil(64), 0);
        let mut stay = Stay::default();
        while self.next(b'}', &mut stay)? {
            let quoted = self.cursor.key()?;
            let found = match quoted.plain() {
                Some(name) => members.names.find(name),
                None => members.names.find(quoted.name()?.as_bytes()),
            };
            let row = match found {
                Some(row) => {
                    let bit = 1 << (row % 64);
                    let word = self.met.get_mut(met + row / 64).ok_or(NOT_JSON)?;
                    if *word & bit != 0 {
                        return Err(FilterError::DuplicateKey.into());
                    }
                    *word |= bit;
                    row
                }
                None => {
                    let name = quoted.name()?;
                    let row = members.other_row(&name, self.plan);
                    self.keys.push(name, &mut keys)?;
                    row
                }
            };
            let truths = if members.conditions.is_empty() { 0 } else { self.truths(&members.conditions, None, room)? };
            let target = members.target(row, truths).ok_or(NOT_JSON)?;
            let stays = self.value(target, room)?;
            self.close(stays, &mut stay)?;
        }
        self.met.truncate(met);
        self.keys.close(keys)
    }

    fn array(&mut self, elements: &'p Elements, room: Room) -> Result<(), Stop> {
        let length = if elements.needs_length { self.cursor.count(room)? } else { i64::MAX };
        let mut stay = Stay::default();
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
            let target = elements.target(listed, truths).ok_or(NOT_JSON)?;
            let stays = self.value(target, room)?;
            self.close(stays, &mut stay)?;
        }
        Ok(())
    }

    /// Whether the element at the cursor is a text `NAME=value` whose name is in an allow-list.
    fn is_listed(&self, list: List) -> Result<bool, Stop> {
        let mut ahead = self.cursor;
        if ahead.peek()? != b'"' {
            return Ok(false);
        }
        let text = ahead.string()?.name()?;
        let name = text.split_once('=').map_or(&*text, |(name, _)| name);
        Ok(self.plan.globs(list).matches(name))
    }

    /// Which conditions are true of the value at the cursor, a bit each. `element` is its index and the array's length.
    fn truths(&mut self, conditions: &'p [Condition], element: Option<(i64, i64)>, room: Room) -> Result<usize, Stop> {
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
    fn ask(&mut self, room: Room) -> Result<(), Stop> {
        let mut ahead = self.cursor;
        ahead.checked(room, &mut self.keys)?;
        let text = ahead.since(self.cursor.at())?;
        let question = match &mut self.question {
            Some(question) => question,
            unasked @ None => {
                let document = if self.plan.absolute {
                    let mut whole = self.cursor.back_to(self.start);
                    whole.checked(Room::new(self.plan.limits.depth), &mut self.keys)?;
                    parsed(whole.since(self.start)?)?
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
fn parsed(text: &[u8]) -> Result<serde_json::Value, Stop> {
    serde_json::from_slice(text).map_err(|_| NOT_JSON)
}
