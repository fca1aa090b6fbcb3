//! The single pass: a plan and the text of a document, walked together.
//!
//! What is shown is copied as the bytes it came in, each member with its key in one piece. What is hidden is read only
//! as far as it takes to find its end, and to be certain that it is JSON.

use serde_json::Value;

use super::action::blank;
use super::plan::{Condition, Elements, List, Members, Node, NodeId, Outcome, Why};
use super::scan::{Seen, Stop, Text, decoded};
use super::selector::{Pick, Question};
use super::{FilterError, Plan, Report};

impl Plan {
    /// Appends to `out` what is left of `document`, one JSON value.
    ///
    /// # Errors
    /// [`FilterError`]; `out` is then as it was.
    pub fn apply(&self, document: &[u8], out: &mut Vec<u8>) -> Result<Report, FilterError> {
        whole(
            document,
            out,
            |text, report, out| {
                let at = text.space(0);
                let before = out.len();
                let (end, written) = self.value(text, at, out, report)?;
                if written == Written::Removed {
                    out.truncate(before);
                    out.extend_from_slice(b"null");
                }
                Ok(end)
            },
            self,
        )
    }

    /// As [`Plan::apply`], for an array whose elements are each one document; `null` stays `null`.
    ///
    /// # Errors
    /// [`FilterError`]; `out` is then as it was.
    pub fn apply_array(&self, document: &[u8], out: &mut Vec<u8>) -> Result<Report, FilterError> {
        whole(
            document,
            out,
            |text, report, out| {
                let at = text.space(0);
                match text.byte(at)? {
                    b'[' => {}
                    b'n' => {
                        let end = text.word(at)?;
                        out.extend_from_slice(b"null");
                        return Ok(end);
                    }
                    _ => return Err(Stop::Wrong(FilterError::NotAnArray)),
                }
                out.push(b'[');
                let mut next = text.space(at + 1);
                if text.byte(next)? == b']' {
                    out.push(b']');
                    return Ok(next + 1);
                }
                let mut first = true;
                loop {
                    let before = out.len();
                    if !first {
                        out.push(b',');
                    }
                    let (end, written) = self.value(text, text.space(next), out, report)?;
                    match written {
                        Written::Removed => out.truncate(before),
                        Written::Shown | Written::Kept => first = false,
                    }
                    let end = text.space(end);
                    match text.byte(end)? {
                        b',' => next = end + 1,
                        b']' => {
                            out.push(b']');
                            return Ok(end + 1);
                        }
                        _ => return Err(Stop::Wrong(FilterError::NotJson)),
                    }
                }
            },
            self,
        )
    }

    /// Appends what is left of the value at the start of `bytes` and answers how long that value is, or `None`, `out`
    /// untouched, if `bytes` end before it does.
    ///
    /// # Errors
    /// [`FilterError`]; `out` is then as it was.
    pub fn apply_next(
        &self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        report: &mut Report,
    ) -> Result<Option<usize>, FilterError> {
        let text = Text { bytes, depth: self.limits.depth };
        let before = out.len();
        let mut found = Report::default();
        match self.value(text, text.space(0), out, &mut found) {
            // A number may go on behind the text; any other value is its own end.
            Ok((end, _)) if end == bytes.len() && bytes.last().is_some_and(u8::is_ascii_digit) => {
                out.truncate(before);
                Ok(None)
            }
            Ok((end, written)) => {
                if written == Written::Removed {
                    out.truncate(before);
                }
                if let Err(error) = self.check_text(text.slice(0, end)) {
                    out.truncate(before);
                    return Err(error);
                }
                report.add(&found);
                Ok(Some(end))
            }
            Err(stop) => {
                out.truncate(before);
                match stop {
                    Stop::End if bytes.len() > self.limits.size => {
                        Err(FilterError::TooLarge { limit: self.limits.size })
                    }
                    Stop::End => Ok(None),
                    Stop::Wrong(error) => Err(error),
                }
            }
        }
    }

    /// Whether a value is within the limit and UTF-8.
    fn check_text(&self, bytes: &[u8]) -> Result<(), FilterError> {
        if bytes.len() > self.limits.size {
            return Err(FilterError::TooLarge { limit: self.limits.size });
        }
        std::str::from_utf8(bytes).map(|_| ()).map_err(|_| FilterError::NotJson)
    }

    /// Walks the value at `at` from the root of the plan.
    fn value(
        &self,
        text: Text<'_>,
        at: usize,
        out: &mut Vec<u8>,
        report: &mut Report,
    ) -> Result<(usize, Written), Stop> {
        let mut walk = Walk { plan: self, text, out, report, question: None };
        if self.absolute {
            let end = text.skip(at, 0)?;
            walk.question = Some(Question::new(parsed(text.slice(at, end))?));
        }
        walk.value(self.root, at, at, 0)
    }
}

/// Reads `document` as one value and nothing behind it.
fn whole(
    document: &[u8],
    out: &mut Vec<u8>,
    read: impl FnOnce(Text<'_>, &mut Report, &mut Vec<u8>) -> Result<usize, Stop>,
    plan: &Plan,
) -> Result<Report, FilterError> {
    plan.check_text(document)?;
    let text = Text { bytes: document, depth: plan.limits.depth };
    let (before, mut report) = (out.len(), Report::default());
    let error = match read(text, &mut report, out) {
        Ok(end) if text.space(end) == document.len() => return Ok(report),
        Ok(_) | Err(Stop::End) => FilterError::NotJson,
        Err(Stop::Wrong(error)) => error,
    };
    out.truncate(before);
    Err(error)
}

fn parsed(value: &[u8]) -> Result<Value, Stop> {
    serde_json::from_slice(value).map_err(|_| Stop::Wrong(FilterError::NotJson))
}

/// What became of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// It is not there any more.
    Removed,
    /// Something stands in its place.
    Shown,
    /// Something stands in its place because a rule wants it.
    Kept,
}

struct Walk<'p, 't, 'o> {
    plan: &'p Plan,
    text: Text<'t>,
    out: &'o mut Vec<u8>,
    report: &'o mut Report,
    /// For filter expressions; made when the first one is met.
    question: Option<Question>,
}

impl<'t> Walk<'_, 't, '_> {
    /// Writes what is left of the value at `at`, and before it what stands from `start` to it: its key.
    ///
    /// Answers where the value ends. When it is removed nothing of it or its key is written.
    fn value(&mut self, id: NodeId, start: usize, at: usize, depth: usize) -> Result<(usize, Written), Stop> {
        let plan = self.plan;
        let Some(node) = plan.node(id) else { return Err(Stop::Wrong(FilterError::NotJson)) };
        let outcome = match self.text.byte(at)? {
            b'{' => node.object,
            b'[' => node.array,
            b'n' => node.null,
            _ => node.scalar,
        };
        let end = match outcome {
            Outcome::Copy => {
                let end = self.text.check(at, depth)?;
                self.out.extend_from_slice(self.text.slice(start, end));
                end
            }
            Outcome::Remove => {
                let end = self.text.skip(at, depth)?;
                self.count(node.why);
                return Ok((end, Written::Removed));
            }
            Outcome::Blank => {
                let end = self.text.skip(at, depth)?;
                self.out.extend_from_slice(self.text.slice(start, at));
                blank(self.text.slice(at, end), self.out);
                self.count(node.why);
                end
            }
            Outcome::Act => {
                let end = self.text.skip(at, depth)?;
                self.out.extend_from_slice(self.text.slice(start, at));
                if let Some(action) = plan.actions.get(node.action) {
                    action.write(self.text.slice(at, end), &plan.key, self.out);
                }
                self.count(node.why);
                end
            }
            Outcome::Walk => return self.container(node, start, at, depth),
        };
        Ok((end, if node.kept { Written::Kept } else { Written::Shown }))
    }

    fn container(&mut self, node: &Node, start: usize, at: usize, depth: usize) -> Result<(usize, Written), Stop> {
        let before = self.out.len();
        self.out.extend_from_slice(self.text.slice(start, at));
        let (end, kept) = match (self.text.byte(at)?, &node.members, &node.elements) {
            (b'{', Some(members), _) => self.members(members, at, depth)?,
            (b'[', _, Some(elements)) => self.elements(elements, at, depth)?,
            // Nothing is to be said about what is inside: the empty shape stays.
            _ => {
                let end = self.text.skip(at, depth)?;
                blank(self.text.slice(at, end), self.out);
                self.count(node.why);
                (end, false)
            }
        };
        if kept || node.kept {
            return Ok((end, Written::Kept));
        }
        if node.probe {
            self.out.truncate(before);
            self.count(node.why);
            return Ok((end, Written::Removed));
        }
        Ok((end, Written::Shown))
    }

    fn members(&mut self, members: &Members, at: usize, depth: usize) -> Result<(usize, bool), Stop> {
        let mut next = self.text.space(self.text.deeper(at, depth)?);
        self.out.push(b'{');
        if self.text.byte(next)? == b'}' {
            self.out.push(b'}');
            return Ok((next + 1, false));
        }
        let mut named = Rows::default();
        let mut seen = Seen::default();
        let (mut first, mut kept) = (true, false);
        loop {
            let start = self.text.space(next);
            let key = self.text.string(start)?;
            let value = self.text.space(self.text.expect(key.end, b':')?);
            let row = match members.names.find(self.text.slice(start + 1, key.end - 1)).filter(|_| !key.escaped) {
                Some(row) => row,
                None => {
                    let name = self.text.key(start, key)?;
                    match members.names.find(name.as_bytes()) {
                        Some(row) => row,
                        None => {
                            let row = members.other_row(&name, self.plan);
                            seen.add(name)?;
                            row
                        }
                    }
                }
            };
            if row < members.names.len() && !named.add(row) {
                return Err(Stop::Wrong(FilterError::DuplicateKey));
            }
            let truths = self.truths(&members.conditions, value, depth + 1, None)?;
            let Some(target) = members.target(row, truths) else { return Err(Stop::Wrong(FilterError::NotJson)) };
            let before = self.out.len();
            if !first {
                self.out.push(b',');
            }
            let (end, written) = self.value(target, start, value, depth + 1)?;
            match written {
                Written::Removed => self.out.truncate(before),
                Written::Shown => first = false,
                Written::Kept => (first, kept) = (false, true),
            }
            let end = self.text.space(end);
            match self.text.byte(end)? {
                b',' => next = end + 1,
                b'}' => {
                    self.out.push(b'}');
                    return Ok((end + 1, kept));
                }
                _ => return Err(Stop::Wrong(FilterError::NotJson)),
            }
        }
    }

    fn elements(&mut self, elements: &Elements, at: usize, depth: usize) -> Result<(usize, bool), Stop> {
        let mut next = self.text.space(self.text.deeper(at, depth)?);
        self.out.push(b'[');
        if self.text.byte(next)? == b']' {
            self.out.push(b']');
            return Ok((next + 1, false));
        }
        let length = if elements.needs_length { self.length(next, depth)? } else { 0 };
        let (mut first, mut kept, mut index) = (true, false, 0_i64);
        loop {
            let start = self.text.space(next);
            let truths = self.truths(&elements.conditions, start, depth + 1, Some((index, length)))?;
            let listed = elements.list == Some(List::Env) && self.is_listed(start)?;
            let Some(target) = elements.target(listed, truths) else { return Err(Stop::Wrong(FilterError::NotJson)) };
            let before = self.out.len();
            if !first {
                self.out.push(b',');
            }
            let (end, written) = self.value(target, start, start, depth + 1)?;
            match written {
                Written::Removed => self.out.truncate(before),
                Written::Shown => first = false,
                Written::Kept => (first, kept) = (false, true),
            }
            index += 1;
            let end = self.text.space(end);
            match self.text.byte(end)? {
                b',' => next = end + 1,
                b']' => {
                    self.out.push(b']');
                    return Ok((end + 1, kept));
                }
                _ => return Err(Stop::Wrong(FilterError::NotJson)),
            }
        }
    }

    /// How many elements there are, the first of which is at `next`.
    fn length(&self, mut next: usize, depth: usize) -> Result<i64, Stop> {
        let mut length = 0;
        loop {
            let end = self.text.space(self.text.skip(self.text.space(next), depth + 1)?);
            length += 1;
            match self.text.byte(end)? {
                b',' => next = end + 1,
                b']' => return Ok(length),
                _ => return Err(Stop::Wrong(FilterError::NotJson)),
            }
        }
    }

    /// Whether the element at `at` is a variable in the allow-list.
    fn is_listed(&self, at: usize) -> Result<bool, Stop> {
        if self.text.byte(at)? != b'"' {
            return Ok(false);
        }
        let quoted = self.text.string(at)?;
        let variable = decoded(self.text.slice(at, quoted.end), quoted.escaped)?;
        let name = variable.split('=').next().unwrap_or_default();
        Ok(self.plan.globs(List::Env).matches(name))
    }

    /// Which of the conditions are true of the value at `at`, as bits; `place` is its index and the array's length.
    fn truths(
        &mut self,
        conditions: &[Condition],
        at: usize,
        depth: usize,
        place: Option<(i64, i64)>,
    ) -> Result<usize, Stop> {
        if conditions.is_empty() {
            return Ok(0);
        }
        let mut asked = false;
        let mut truths = 0;
        for (number, condition) in conditions.iter().enumerate() {
            for pick in &condition.picks {
                let holds = match (pick, place) {
                    (Pick::Index(wanted), Some((index, length))) => {
                        index == if *wanted < 0 { length.saturating_add(*wanted) } else { *wanted }
                    }
                    (Pick::Slice(slice), Some((index, length))) => {
                        // An array whose length is not needed is as long as it has to be.
                        slice.contains(index, if slice.needs_length() { length } else { i64::MAX })
                    }
                    (Pick::Test(test), _) => {
                        if !asked {
                            let end = self.text.skip(at, depth)?;
                            let value = parsed(self.text.slice(at, end))?;
                            self.question.get_or_insert_with(|| Question::new(Value::Null)).ask(value);
                            asked = true;
                        }
                        self.question.as_ref().is_some_and(|question| test.is_true(question))
                    }
                    (Pick::Name(_) | Pick::Any | Pick::Index(_) | Pick::Slice(_), _) => false,
                };
                if holds {
                    truths |= 1 << number;
                    break;
                }
            }
        }
        Ok(truths)
    }

    fn count(&mut self, why: Why) {
        match why {
            Why::Class(class) => self.report.hid_class(class),
            Why::Unknown => self.report.unknown += 1,
            Why::Rule => self.report.by_rule += 1,
        }
    }
}

/// Which rows of a table have been met.
#[derive(Debug, Default)]
struct Rows {
    low: [u64; 4],
    high: Vec<usize>,
}

impl Rows {
    /// Takes the next row; `false` if it was met before.
    fn add(&mut self, row: usize) -> bool {
        let Some(bits) = self.low.get_mut(row / 64) else {
            let new = !self.high.contains(&row);
            self.high.push(row);
            return new;
        };
        let bit = 1 << (row % 64);
        let new = *bits & bit == 0;
        *bits |= bit;
        new
    }
}
