//! The single walk of a plan and a document.
//!
//! The walk reads the text once, checks that it is JSON, and builds no tree. What is shown is written in runs, each from
//! the end of one change to the start of the next: where nothing is hidden, nothing is copied member by member.

use std::borrow::Cow;

use super::action::REDACTED;
use super::credential::{self, Arguments};
use super::json::{Cursor, DepthBudget, JsonString, KeySet, NOT_JSON, OpenObject, Stop};
use super::plan::{Cause, Condition, Effect, ElementTable, HiddenForm, KeyDigest, Listing, MemberTable, Plan, State};
use super::selector::{Pick, Question};
use super::value::TextValue;
use super::{FilterError, Report};

/// A place in a document of which a plan leaves something else, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alteration {
    /// Where the value begins in the text.
    pub(super) start: usize,
    /// What stands in its place: the text of a JSON value, or nothing.
    pub(super) left: Option<Box<[u8]>>,
}

impl Plan {
    /// The places of a document that filtering it alters, in their order. None of them is inside another.
    ///
    /// # Errors
    /// As [`Plan::apply`].
    pub(super) fn alterations(&self, document: &[u8]) -> Result<Vec<Alteration>, FilterError> {
        self.check_size(document)?;
        let (mut out, mut found) = (Vec::new(), Vec::new());
        self.run(document, &mut out, |walk| {
            walk.alterations = Some(Vec::new());
            walk.document()?;
            walk.finish()?;
            found = walk.alterations.take().unwrap_or_default();
            Ok(())
        })
        .map(|_| found)
    }

    /// Filters one whole document and appends what is left to `out`, which an error leaves as it was.
    ///
    /// # Errors
    /// [`FilterError`]: the document must be withheld.
    pub fn apply(&self, document: &[u8], out: &mut Vec<u8>) -> Result<Report, FilterError> {
        self.check_size(document)?;
        self.run(document, out, |walk| {
            walk.document()?;
            walk.finish()
        })
    }

    /// Filters a whole array whose elements are documents; `null` instead of an array stays. The size limit holds for each
    /// element.
    ///
    /// # Errors
    /// [`FilterError`]: the array must be withheld; `out` is as it was.
    pub fn apply_array(&self, documents: &[u8], out: &mut Vec<u8>) -> Result<Report, FilterError> {
        self.run(documents, out, |walk| {
            walk.documents()?;
            walk.finish()
        })
    }

    /// Filters the value at the start of `bytes`, appends what is left to `out`, and returns the number of bytes read,
    /// including whitespace before the value. Nothing is left of a value that a rule removes. Returns `None` and changes nothing if `bytes` end before the value does. A
    /// scalar that touches the end may go on, so it has not ended.
    ///
    /// Each call reads `bytes` from the start: call again when they have grown by a good part, not by a little.
    ///
    /// # Errors
    /// [`FilterError`]: the value must be withheld with all that follows.
    pub fn apply_next(
        &self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        report: &mut Report,
    ) -> Result<Option<usize>, FilterError> {
        let mut end = 0;
        let found = self.run(bytes, out, |walk| {
            walk.value_or_nothing()?;
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
            // The limit is the value's; whitespace before it does not count.
            Err(Stop::End) => self.check_size(bytes.trim_ascii_start()).map(|()| None),
            Err(Stop::Wrong(error)) => Err(error),
        }
    }

    fn check_size(&self, document: &[u8]) -> Result<(), FilterError> {
        let limit = self.limits.size;
        if document.len() > limit { Err(FilterError::TooLarge { limit }) } else { Ok(()) }
    }

    /// Walks `text` with `walk`, and takes back what was written if that fails.
    fn run<E: From<Stop>>(
        &self,
        text: &[u8],
        out: &mut Vec<u8>,
        walk: impl FnOnce(&mut Walk<'_, '_, '_>) -> Result<(), Stop>,
    ) -> Result<Report, E> {
        let before = out.len();
        let mut running = Walk::new(self, text, out);
        let result = walk(&mut running);
        let report = running.report;
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
    /// The start of the text that is shown and not written yet.
    unwritten: usize,
    report: Report,
    keys: KeySet,
    /// The names of the tables that occurred in the open objects, a bit each, the innermost object last.
    seen: Vec<u64>,
    /// Whether something was shown by name since the start of the innermost composite that is shown only for it.
    has_named: bool,
    /// The value that filter expressions are about, once the first one is evaluated.
    question: Option<Question<'d>>,
    /// The start of the document.
    start: usize,
    /// What was altered so far, if anybody wants to know.
    alterations: Option<Vec<Alteration>>,
}

/// What names a value, for masking.
enum Naming<'n, 'd> {
    /// Nothing: it is the document.
    Nothing,
    /// The key of the member that it is, and the table that the key was found in, with its row.
    Member(&'n JsonString<'d>, &'n MemberTable, usize),
    /// The elements before it.
    Element(&'n mut Arguments),
}

impl Naming<'_, '_> {
    /// Whether it is certain that the value is not masked because of its name.
    #[inline]
    fn is_harmless(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Member(key, members, row) => {
                members.is_harmless(*row) || key.plain().is_some_and(|name| !credential::may_name_credential(name))
            }
            Self::Element(_) => false,
        }
    }
}

/// How much of the composite (object or array) under way is shown.
struct Progress {
    /// The end of the last item that is shown; just past the opening bracket if none is.
    end: usize,
    /// Whether an item is shown.
    any: bool,
    /// Whether the last item is not.
    gap: bool,
    /// The length of the output, and `unwritten`, at the start of the last item.
    before: (usize, usize),
}

/// An object under way.
struct OpenMembers {
    /// Its keys that are no names of its table.
    keys: OpenObject,
    /// The index of its bits in [`Walk::seen`].
    seen: usize,
    /// The row of the last key that is a name of its table.
    last: Option<usize>,
}

impl<'p, 'd, 'o> Walk<'p, 'd, 'o> {
    fn new(plan: &'p Plan, text: &'d [u8], out: &'o mut Vec<u8>) -> Self {
        let cursor = Cursor::new(text);
        let (report, keys) = (Report::default(), KeySet::default());
        Self {
            plan,
            cursor,
            out,
            unwritten: 0,
            report,
            keys,
            seen: Vec::new(),
            has_named: false,
            question: None,
            start: 0,
            alterations: None,
        }
    }

    /// Walks the document at the cursor. Writes `null` if nothing of it stays.
    fn document(&mut self) -> Result<(), Stop> {
        if !self.value_or_nothing()? {
            self.out.extend_from_slice(b"null");
        }
        Ok(())
    }

    /// Walks the document at the cursor. Returns whether anything of it stays; if not, nothing is written.
    fn value_or_nothing(&mut self) -> Result<bool, Stop> {
        self.cursor.token()?;
        (self.start, self.unwritten) = (self.cursor.at(), self.cursor.at());
        let before = self.out.len();
        let root = self.plan.state(self.plan.root).ok_or(NOT_JSON)?;
        let stays = self.value(root, Naming::Nothing, DepthBudget::new(self.plan.limits.depth))?;
        if !stays {
            self.out.truncate(before);
            self.unwritten = self.cursor.at();
        }
        self.write_until(self.cursor.at())?;
        Ok(stays)
    }

    /// Walks the array of documents at the cursor.
    fn documents(&mut self) -> Result<(), Stop> {
        let depth = DepthBudget::new(self.plan.limits.depth);
        let found = self.cursor.token()?;
        self.unwritten = self.cursor.at();
        match found {
            b'[' => {
                let root = self.plan.state(self.plan.root).ok_or(NOT_JSON)?;
                let (mut progress, mut goes_on) = self.first(b']')?;
                while goes_on {
                    (self.start, self.question) = (self.cursor.at(), None);
                    let is_shown = self.value(root, Naming::Nothing, depth)?;
                    self.plan.check_size(self.cursor.since(self.start)?)?;
                    self.end_item(is_shown, &mut progress)?;
                    goes_on = self.next(b']', &mut progress)?;
                }
            }
            b'n' => self.cursor.skip(depth)?,
            _ => {
                self.cursor.skip(depth)?;
                self.cursor.finish()?;
                return Err(FilterError::NotAnArray.into());
            }
        }
        self.write_until(self.cursor.at())
    }

    /// Checks that the text ends here.
    fn finish(&mut self) -> Result<(), Stop> {
        self.cursor.finish()?;
        self.write_until(self.cursor.at())
    }

    /// Writes the text that is shown, up to `end`.
    #[inline]
    fn write_until(&mut self, end: usize) -> Result<(), Stop> {
        self.out.extend_from_slice(self.cursor.between(self.unwritten, end)?);
        self.unwritten = end;
        Ok(())
    }

    /// Moves to the first item of the composite at the cursor, or past its end. Returns whether there is one.
    #[inline]
    fn first(&mut self, closing: u8) -> Result<(Progress, bool), Stop> {
        let end = self.cursor.at() + 1;
        let goes_on = self.cursor.first(closing)?;
        Ok((Progress { end, any: false, gap: false, before: (self.out.len(), self.unwritten) }, goes_on))
    }

    /// Moves to the next item of the composite, or past its end. Returns whether there is one.
    #[inline]
    fn next(&mut self, closing: u8, progress: &mut Progress) -> Result<bool, Stop> {
        self.cursor.token()?;
        let comma = self.cursor.at();
        let more = self.cursor.more(closing)?;
        if std::mem::take(&mut progress.gap) {
            // After a gap the text goes on with the comma, the next item, or the closing bracket.
            self.unwritten = if progress.any || !more { comma } else { self.cursor.at() };
        }
        progress.before = (self.out.len(), self.unwritten);
        Ok(more)
    }

    /// Ends an item, which is shown or not.
    #[inline]
    fn end_item(&mut self, is_shown: bool, progress: &mut Progress) -> Result<(), Stop> {
        if is_shown {
            (progress.any, progress.end) = (true, self.cursor.at());
            return Ok(());
        }
        let (written, unwritten) = progress.before;
        self.out.truncate(written);
        self.unwritten = unwritten;
        if unwritten < progress.end {
            self.write_until(progress.end)?;
        }
        progress.gap = true;
        Ok(())
    }

    /// Walks the value at the cursor. Returns whether anything is shown in its place; if not, the caller takes back what
    /// was written.
    #[inline(always)]
    fn value(&mut self, state: &'p State, naming: Naming<'_, 'd>, depth: DepthBudget) -> Result<bool, Stop> {
        let start = self.cursor.at();
        let effect = match self.cursor.peek()? {
            b'{' => return self.composite_value(state, state.object, depth),
            b'[' => return self.composite_value(state, state.array, depth),
            b'"' => state.string,
            b't' | b'f' => state.boolean,
            b'n' => state.null,
            _ => state.number,
        };
        match effect {
            Effect::Copy => self.cursor.checked_scalar()?,
            Effect::Hide => {
                self.cursor.skip_scalar()?;
                if !self.hide(state, start)? {
                    return Ok(false);
                }
                return Ok(self.shown(state.is_kept));
            }
            Effect::Mask => self.masked(state, naming)?,
            Effect::Act | Effect::Walk | Effect::WalkForNamed => return self.composite_value(state, effect, depth),
        }
        Ok(self.shown(state.is_kept || state.is_listed))
    }

    /// [`Self::value`] for an object or array, or where a rule acts.
    fn composite_value(&mut self, state: &'p State, effect: Effect, depth: DepthBudget) -> Result<bool, Stop> {
        match effect {
            Effect::Copy => self.cursor.checked(depth, &mut self.keys)?,
            Effect::Hide => {
                let start = self.cursor.at();
                self.cursor.skip(depth)?;
                if !self.hide(state, start)? {
                    return Ok(false);
                }
                return Ok(self.shown(state.is_kept));
            }
            Effect::Act => self.act(state, depth)?,
            Effect::Mask => self.cursor.skip(depth)?,
            Effect::Walk => self.composite(state, depth)?,
            Effect::WalkForNamed => return self.composite_if_named(state, depth),
        }
        Ok(self.shown(state.is_kept || state.is_listed))
    }

    /// Notes that something is shown, and whether by name.
    #[inline]
    fn shown(&mut self, by_name: bool) -> bool {
        self.has_named |= by_name;
        true
    }

    /// Writes what a rule makes of the value at the cursor.
    fn act(&mut self, state: &State, depth: DepthBudget) -> Result<(), Stop> {
        self.write_until(self.cursor.at())?;
        let text = self.skipped(depth)?;
        let action = self.plan.actions.get(state.action).ok_or(NOT_JSON)?;
        let (start, written) = (self.cursor.at() - text.len(), self.out.len());
        action.write(text, &self.plan.key, self.out);
        self.unwritten = self.cursor.at();
        self.note(start, Some(written));
        self.count(state.cause);
        Ok(())
    }

    /// Writes what stands for the hidden value from `start` to the cursor. Returns `false` if nothing does.
    #[inline]
    fn hide(&mut self, state: &State, start: usize) -> Result<bool, Stop> {
        self.count(state.cause);
        match &state.hidden {
            HiddenForm::Absent => {
                self.note(start, None);
                Ok(false)
            }
            HiddenForm::Text(text) => {
                self.write_until(start)?;
                let written = self.out.len();
                self.out.extend_from_slice(text);
                self.unwritten = self.cursor.at();
                self.note(start, Some(written));
                Ok(true)
            }
        }
    }

    /// Writes a fixed text in place of the value at the cursor, whatever that is: only its name is shown.
    fn name_only(&mut self, state: &State, depth: DepthBudget) -> Result<(), Stop> {
        let start = self.cursor.at();
        self.write_until(start)?;
        self.cursor.skip(depth)?;
        let written = self.out.len();
        self.out.extend_from_slice(REDACTED);
        self.unwritten = self.cursor.at();
        self.note(start, Some(written));
        self.count(state.cause);
        self.has_named = true;
        Ok(())
    }

    /// Notes that the value from `start` is altered: to what the output has from `written` on, or to nothing.
    #[inline]
    fn note(&mut self, start: usize, written: Option<usize>) {
        if let Some(alterations) = &mut self.alterations {
            let left = written.map(|from| self.out.get(from..).unwrap_or_default().into());
            alterations.push(Alteration { start, left });
        }
    }

    /// Skips the value at the cursor and returns its text.
    #[inline]
    fn skipped(&mut self, depth: DepthBudget) -> Result<&'d [u8], Stop> {
        let start = self.cursor.at();
        self.cursor.skip(depth)?;
        self.cursor.since(start)
    }

    /// Shows a scalar without what looks like a credential.
    #[inline]
    fn masked(&mut self, state: &State, naming: Naming<'_, 'd>) -> Result<(), Stop> {
        let start = self.cursor.at();
        if self.cursor.peek()? != b'"' {
            return self.cursor.skip_scalar();
        }
        let string = self.cursor.string()?;
        if let Some(text) = string.plain()
            && naming.is_harmless()
            && (string.chunk(self.cursor).is_some_and(|chunk| credential::is_short_word(chunk, text.len()))
                || credential::is_clean(text))
        {
            return Ok(());
        }
        self.mask(state, naming, string, start)
    }

    /// Writes a string, which begins at `start`, without what looks like a credential.
    fn mask(
        &mut self,
        state: &State,
        naming: Naming<'_, 'd>,
        string: JsonString<'d>,
        start: usize,
    ) -> Result<(), Stop> {
        let text = string.text()?;
        let masked = match naming {
            Naming::Nothing => credential::mask("", &text),
            Naming::Member(key, ..) => credential::mask(&key.text()?, &text),
            Naming::Element(arguments) => credential::mask_element(arguments, &text),
        };
        if let Cow::Owned(masked) = masked {
            self.write_until(start)?;
            let written = self.out.len();
            serde_json::to_writer(&mut *self.out, &masked).map_err(|_| NOT_JSON)?;
            self.unwritten = self.cursor.at();
            self.note(start, Some(written));
            self.count(state.cause);
        }
        Ok(())
    }

    fn composite(&mut self, state: &'p State, depth: DepthBudget) -> Result<(), Stop> {
        match (self.cursor.peek()?, &state.members, &state.elements) {
            (b'{', Some(members), _) => self.object(members, depth.inside()?),
            (b'[', _, Some(elements)) => self.array(elements, depth.inside()?),
            _ => Err(NOT_JSON),
        }
    }

    /// Walks a composite that is shown only if something in it is shown by name.
    fn composite_if_named(&mut self, state: &'p State, depth: DepthBudget) -> Result<bool, Stop> {
        let start = self.cursor.at();
        self.write_until(start)?;
        let (report, written) = (self.report, self.out.len());
        let noted = self.alterations.as_ref().map_or(0, Vec::len);
        let outside = std::mem::replace(&mut self.has_named, false);
        self.composite(state, depth)?;
        if std::mem::replace(&mut self.has_named, outside) {
            self.has_named = true;
            return Ok(true);
        }
        self.out.truncate(written);
        if let Some(alterations) = &mut self.alterations {
            alterations.truncate(noted);
        }
        (self.report, self.unwritten) = (report, start);
        self.hide(state, start)
    }

    fn object(&mut self, members: &'p MemberTable, depth: DepthBudget) -> Result<(), Stop> {
        let mut open = OpenMembers { keys: self.keys.open(), seen: self.seen.len(), last: None };
        self.seen.resize(open.seen + members.names.len().div_ceil(64), 0);
        let (mut progress, mut goes_on) = self.first(b'}')?;
        while goes_on {
            let (row, key) = self.member(members, &mut open)?;
            let truths = if members.conditions.is_empty() { 0 } else { self.truths(&members.conditions, None, depth)? };
            let target = members.target(row, truths).ok_or(NOT_JSON)?;
            let name = || key.text().map_or_else(|_| String::new(), Cow::into_owned);
            let state = self.plan.state(target).ok_or(NOT_JSON)?;
            let is_shown = if members.shows_name_only(row, state, name, self.plan) {
                self.name_only(state, depth)?;
                true
            } else {
                self.value(state, Naming::Member(&key, members, row), depth)?
            };
            self.end_item(is_shown, &mut progress)?;
            goes_on = self.next(b'}', &mut progress)?;
        }
        self.seen.truncate(open.seen);
        self.keys.close(self.cursor, open.keys)
    }

    /// Passes the key at the cursor. Returns its row in the table, and checks that it is new.
    #[inline]
    fn member(&mut self, members: &MemberTable, open: &mut OpenMembers) -> Result<(usize, JsonString<'d>), Stop> {
        if let Some((row, key)) = members.names.follower(open.last)
            && let Some(key) = self.cursor.expected_key(key)?
        {
            self.see(row, open)?;
            return Ok((row, key));
        }
        let key = self.cursor.key()?;
        let decoded;
        let name = match key.plain() {
            Some(name) => name,
            None => {
                decoded = key.text()?;
                decoded.as_bytes()
            }
        };
        let digest = KeyDigest::of(name);
        match members.names.find_digest(digest, name) {
            Some(row) => {
                members.names.follows(open.last, row);
                self.see(row, open)?;
                Ok((row, key))
            }
            None => {
                self.keys.push(key, digest.hash(), self.cursor, &mut open.keys)?;
                Ok((members.other_row(digest, name, self.plan), key))
            }
        }
    }

    /// Notes that the name in `row` occurs.
    #[inline]
    fn see(&mut self, row: usize, open: &mut OpenMembers) -> Result<(), Stop> {
        let bit = 1 << (row % 64);
        let word = self.seen.get_mut(open.seen + row / 64).ok_or(NOT_JSON)?;
        if *word & bit != 0 {
            return Err(FilterError::DuplicateKey.into());
        }
        *word |= bit;
        open.last = Some(row);
        Ok(())
    }

    fn array(&mut self, elements: &'p ElementTable, depth: DepthBudget) -> Result<(), Stop> {
        let length = if elements.needs_length { self.cursor.count(depth)? } else { i64::MAX };
        let mut index = 0;
        let mut arguments = Arguments::default();
        let (mut progress, mut goes_on) = self.first(b']')?;
        while goes_on {
            let listed = match elements.list {
                Some(list) => self.is_listed(list)?,
                None => false,
            };
            let truths = if elements.conditions.is_empty() {
                0
            } else {
                self.truths(&elements.conditions, Some((index, length)), depth)?
            };
            index += 1;
            let target = elements.target(listed, truths).ok_or(NOT_JSON)?;
            let state = self.plan.state(target).ok_or(NOT_JSON)?;
            let is_shown = self.value(state, Naming::Element(&mut arguments), depth)?;
            self.end_item(is_shown, &mut progress)?;
            goes_on = self.next(b']', &mut progress)?;
        }
        Ok(())
    }

    /// Whether the element at the cursor is a text `name=value` whose name is one that is shown.
    fn is_listed(&self, list: Listing) -> Result<bool, Stop> {
        let mut ahead = self.cursor;
        if ahead.peek()? != b'"' {
            return Ok(false);
        }
        // What no reader can decode has no name.
        let Ok(text) = ahead.string()?.text() else { return Ok(false) };
        let name = text.split_once('=').map_or(&*text, |(name, _)| name);
        Ok(self.plan.lists(list, KeyDigest::of(name.as_bytes()), name.as_bytes()))
    }

    /// The conditions that are true of the value at the cursor, a bit each. `element` is its index and the array's length.
    #[inline(never)]
    fn truths(
        &mut self,
        conditions: &'p [Condition],
        element: Option<(i64, i64)>,
        depth: DepthBudget,
    ) -> Result<usize, Stop> {
        let mut truths = 0;
        let mut is_asked = false;
        for (number, condition) in conditions.iter().enumerate() {
            for pick in &condition.picks {
                let is_true = match (pick, element) {
                    (Pick::Index(index), Some((at, _))) if *index >= 0 => *index == at,
                    (Pick::Index(index), Some((at, length))) => length.checked_add(*index) == Some(at),
                    (Pick::Slice(slice), Some((at, length))) => slice.contains(at, length),
                    (Pick::Test(test), _) => {
                        if !is_asked {
                            self.ask(depth)?;
                            is_asked = true;
                        }
                        match &self.question {
                            Some(question) => test.is_true(question)?,
                            None => return Err(FilterError::Expression.into()),
                        }
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

    /// Makes the value at the cursor the one that filter expressions are about.
    fn ask(&mut self, depth: DepthBudget) -> Result<(), Stop> {
        let question = match &mut self.question {
            Some(question) => question,
            none @ None => {
                let mut document = self.cursor.back_to(self.start);
                if self.plan.is_absolute {
                    document.checked(DepthBudget::new(self.plan.limits.depth), &mut self.keys)?;
                }
                none.insert(Question::new(TextValue::new(document.since(self.start)?)))
            }
        };
        question.ask(self.cursor, depth, &mut self.keys)
    }

    fn count(&mut self, cause: Cause) {
        match cause {
            Cause::Class(class) => self.report.count_class(class),
            Cause::Unknown => self.report.unknown = self.report.unknown.saturating_add(1),
            Cause::Rule => self.report.by_rule = self.report.by_rule.saturating_add(1),
        }
    }
}
