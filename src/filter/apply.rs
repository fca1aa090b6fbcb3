//! The single walk of a plan and a document.
//!
//! The walk reads the text once, checks that it is JSON, and builds no tree. What is shown is written in runs, each from
//! the end of one change to the start of the next: where nothing is hidden, nothing is copied member by member.

use std::borrow::Cow;

use super::action::REDACTED;
use super::credential::{self, Arguments};
use super::json::{Cursor, DepthBudget, KeySet, NOT_JSON, OpenObject, Stop};
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
    /// including whitespace before the value. Nothing is left of a value that a rule removes. Returns `None` and changes
    /// nothing if `bytes` end before the value does. A scalar that touches the end may go on, so it has not ended.
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
            Err(stop) => Err(stop.into()),
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
    /// The names of the tables that occurred in the open objects, a bit each, the innermost object last. Those of the first
    /// [`SEEN`] names of a table are in [`OpenMembers::seen`].
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
enum Naming<'n> {
    /// Nothing: it is the document.
    Nothing,
    /// Its key, which begins here in the text, and the table that the key was found in, with its row.
    Member(usize, &'n MemberTable, usize),
    /// The elements before it.
    Element(&'n mut Arguments),
}

impl Naming<'_> {
    /// Whether it is certain that the value is not masked because of its name.
    #[inline(always)]
    fn is_harmless(&self, cursor: Cursor<'_>) -> bool {
        match self {
            Self::Nothing => true,
            Self::Member(key, members, row) => members.is_harmless(*row) || is_harmless_key(cursor.back_to(*key)),
            Self::Element(_) => false,
        }
    }
}

/// Whether it is certain that the key at the cursor names no credential.
#[inline(never)]
fn is_harmless_key(mut cursor: Cursor<'_>) -> bool {
    let name = cursor.string().ok().and_then(|key| key.plain());
    name.is_some_and(|name| !credential::may_name_credential(name))
}

/// How much of the composite (object or array) under way is shown.
struct Progress {
    /// The end of the last item that is shown; just past the opening bracket if none is.
    end: usize,
    /// Whether an item is shown.
    any: bool,
    /// Whether the last item is not.
    gap: bool,
}

/// An object under way.
struct OpenMembers {
    /// The first [`SEEN`] names of its table that occurred, a bit each.
    seen: u64,
    /// The index of the bits of the other names in [`Walk::seen`].
    more_seen: usize,
    /// One more than the row of the last key that is a name of its table; zero if there is none.
    last: usize,
}

/// How many names of a table an object under way notes itself.
const SEEN: usize = 64;

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
        let stays = self.value(root, || Naming::Nothing, DepthBudget::new(self.plan.limits.depth))?;
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
                    let is_shown = self.value(root, || Naming::Nothing, depth)?;
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
        Ok((Progress { end, any: false, gap: false }, goes_on))
    }

    /// Moves to the next item of the composite, or past its end. Returns whether there is one.
    #[inline(always)]
    fn next(&mut self, closing: u8, progress: &mut Progress) -> Result<bool, Stop> {
        let at = self.cursor.at();
        let (more, comma) = if self.cursor.passes_comma() {
            (true, at)
        } else if self.cursor.passes(closing) {
            (false, at)
        } else {
            self.cursor.more_at(closing)?
        };
        if progress.gap {
            progress.gap = false;
            // After a gap the text goes on with the comma, the next item, or the closing bracket.
            self.unwritten = if progress.any || !more { comma } else { self.cursor.at() };
        }
        Ok(more)
    }

    /// Ends an item, which is shown or not.
    #[inline(always)]
    fn end_item(&mut self, is_shown: bool, progress: &mut Progress) -> Result<(), Stop> {
        if is_shown {
            (progress.any, progress.end) = (true, self.cursor.at());
            return Ok(());
        }
        if self.unwritten < progress.end {
            self.write_until(progress.end)?;
        }
        progress.gap = true;
        Ok(())
    }

    /// Walks the value at the cursor, or behind whitespace there. Returns whether anything is shown in its place; if not,
    /// nothing was written.
    #[inline(always)]
    fn value<'n>(
        &mut self,
        state: &'p State,
        naming: impl FnOnce() -> Naming<'n>,
        depth: DepthBudget,
    ) -> Result<bool, Stop> {
        match self.cursor.peek()? {
            b'"' => {}
            b'{' => return self.composite_value(state, state.object, depth),
            b'[' => return self.composite_value(state, state.array, depth),
            b' ' | b'\t' | b'\n' | b'\r' => return self.value_behind_space(state, naming(), depth),
            found => return self.word(state, found, depth),
        }
        let start = self.cursor.at();
        let Some(text) = self.cursor.plain_string() else { return self.escaped(state, naming(), depth) };
        match state.string {
            Effect::Copy => {}
            Effect::Hide => return self.hide(state, start),
            Effect::Mask => {
                let naming = naming();
                if !naming.is_harmless(self.cursor) || !self.is_clean(text, start) {
                    self.cursor = self.cursor.back_to(start);
                    self.mask(state, naming)?;
                }
            }
            Effect::Act | Effect::Walk | Effect::WalkForNamed => {
                self.cursor = self.cursor.back_to(start);
                return self.composite_value(state, state.string, depth);
            }
        }
        Ok(self.shown(state.is_kept || state.is_listed))
    }

    /// [`Self::value`] where whitespace stands before it.
    #[inline(never)]
    fn value_behind_space(&mut self, state: &'p State, naming: Naming<'_>, depth: DepthBudget) -> Result<bool, Stop> {
        self.cursor.token()?;
        self.value(state, || naming, depth)
    }

    /// [`Self::value`] for a string that has escapes or bytes that are not ASCII, or is near the end of the text.
    #[inline(never)]
    fn escaped(&mut self, state: &'p State, naming: Naming<'_>, depth: DepthBudget) -> Result<bool, Stop> {
        match state.string {
            Effect::Mask => {
                self.mask(state, naming)?;
                Ok(self.shown(state.is_kept || state.is_listed))
            }
            Effect::Copy => {
                self.cursor.checked_scalar()?;
                Ok(self.shown(state.is_kept || state.is_listed))
            }
            Effect::Hide => {
                let start = self.cursor.at();
                self.cursor.skip_scalar()?;
                self.hide(state, start)
            }
            effect @ (Effect::Act | Effect::Walk | Effect::WalkForNamed) => self.composite_value(state, effect, depth),
        }
    }

    /// [`Self::value`] for a number or a literal, which begins with `first`.
    #[inline(never)]
    fn word(&mut self, state: &'p State, first: u8, depth: DepthBudget) -> Result<bool, Stop> {
        let effect = match first {
            b't' | b'f' => state.boolean,
            b'n' => state.null,
            _ => state.number,
        };
        let start = self.cursor.at();
        match effect {
            Effect::Copy | Effect::Mask => self.cursor.word()?,
            Effect::Hide => {
                self.cursor.word()?;
                return self.hide(state, start);
            }
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
                return self.hide(state, start);
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
        if by_name {
            self.has_named = true;
        }
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
    #[inline(always)]
    fn hide(&mut self, state: &State, start: usize) -> Result<bool, Stop> {
        self.count(state.cause);
        match &state.hidden {
            HiddenForm::Absent => {
                self.note(start, None);
                Ok(false)
            }
            HiddenForm::Text(text) => self.blank(state, text, start),
        }
    }

    /// Writes the text that stands for the hidden value from `start` to the cursor.
    #[inline(never)]
    fn blank(&mut self, state: &State, text: &[u8], start: usize) -> Result<bool, Stop> {
        self.write_until(start)?;
        let written = self.out.len();
        self.out.extend_from_slice(text);
        self.unwritten = self.cursor.at();
        self.note(start, Some(written));
        Ok(self.shown(state.is_kept))
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

    /// Whether the string from `start` to the cursor, which has this text, certainly holds no credential, whatever its name.
    #[inline(always)]
    fn is_clean(&self, text: &[u8], start: usize) -> bool {
        let chunk = self.cursor.chunk_at(start + 1);
        chunk.is_some_and(|chunk| credential::is_short_word(chunk, text.len())) || credential::is_clean(text)
    }

    /// Shows the string at the cursor without what looks like a credential.
    fn mask(&mut self, state: &State, naming: Naming<'_>) -> Result<(), Stop> {
        let start = self.cursor.at();
        let string = self.cursor.string()?;
        let is_clean = string.plain().is_some_and(|text| naming.is_harmless(self.cursor) && self.is_clean(text, start));
        if is_clean {
            return Ok(());
        }
        let text = string.text()?;
        let masked = match naming {
            Naming::Nothing => credential::mask("", &text),
            Naming::Member(key, ..) => credential::mask(&self.cursor.back_to(key).string()?.text()?, &text),
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
        let before = (self.out.len(), self.unwritten);
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
        let stays = self.hide(state, start)?;
        // What stands for it is nothing that is shown by name.
        self.has_named = outside;
        if !stays {
            self.out.truncate(before.0);
            self.unwritten = before.1;
        }
        Ok(stays)
    }

    fn object(&mut self, members: &'p MemberTable, depth: DepthBudget) -> Result<(), Stop> {
        let mut keys = self.keys.open();
        let mut open = OpenMembers { seen: 0, more_seen: self.seen.len(), last: 0 };
        let more_names = members.names.len().saturating_sub(SEEN);
        if more_names > 0 {
            self.seen.resize(open.more_seen + more_names.div_ceil(64), 0);
        }
        let depends_on_values = members.depends_on_values();
        let (mut progress, mut goes_on) = self.first(b'}')?;
        while goes_on {
            let key = self.cursor.at();
            let row = self.member(members, open.last, &mut keys)?;
            if row < members.names.len() {
                self.see(row, &mut open)?;
            }
            let is_shown = if depends_on_values {
                self.questioned(members, row, key, depth)?
            } else {
                let target = members.only_target(row).ok_or(NOT_JSON)?;
                let state = self.plan.state(target).ok_or(NOT_JSON)?;
                self.value(state, || Naming::Member(key, members, row), depth)?
            };
            self.end_item(is_shown, &mut progress)?;
            goes_on = self.next(b'}', &mut progress)?;
        }
        if more_names > 0 {
            self.seen.truncate(open.more_seen);
        }
        if self.keys.has_keys_of(&keys) { self.keys.close(self.cursor, keys) } else { Ok(()) }
    }

    /// Walks the value behind the cursor where its state, or whether its name stays, depends on the value.
    #[inline(never)]
    fn questioned(
        &mut self,
        members: &'p MemberTable,
        row: usize,
        key: usize,
        depth: DepthBudget,
    ) -> Result<bool, Stop> {
        self.cursor.token()?;
        let truths = if members.conditions.is_empty() { 0 } else { self.truths(&members.conditions, None, depth)? };
        let target = members.target(row, truths).ok_or(NOT_JSON)?;
        let state = self.plan.state(target).ok_or(NOT_JSON)?;
        let mut at_key = self.cursor.back_to(key);
        let name = || at_key.string().and_then(|key| key.text()).map_or_else(|_| String::new(), Cow::into_owned);
        if members.shows_name_only(row, state, name, self.plan) {
            self.name_only(state, depth)?;
            return Ok(true);
        }
        self.value(state, || Naming::Member(key, members, row), depth)
    }

    /// Passes the key at the cursor and its colon. Returns its row in the table. `last` is one more than the row of the last
    /// name of the table; zero before the first one. Whether a name of the table is new is not checked.
    #[inline(always)]
    fn member(&mut self, members: &MemberTable, last: usize, keys: &mut OpenObject) -> Result<usize, Stop> {
        if let Some((row, key)) = members.names.follower(last)
            && self.cursor.expected_key(key)
        {
            return Ok(row);
        }
        self.other_member(members, last, keys)
    }

    /// [`Self::member`] for a key that is not the expected one.
    #[inline(never)]
    fn other_member(&mut self, members: &MemberTable, last: usize, keys: &mut OpenObject) -> Result<usize, Stop> {
        let start = self.cursor.at();
        let decoded;
        let name = match self.cursor.plain_key() {
            Some(name) => name,
            None => {
                decoded = self.cursor.key()?.text()?;
                decoded.as_bytes()
            }
        };
        let digest = KeyDigest::of(name);
        if let Some(row) = members.names.find_digest(digest, name) {
            members.names.follows(last, row);
            return Ok(row);
        }
        let row = members.other_row(digest, name, self.plan);
        if !self.is_dropped(members, row) {
            let key = self.cursor.back_to(start).string()?;
            self.keys.push(key, digest.hash(), self.cursor, keys)?;
        }
        Ok(row)
    }

    /// Whether a member in `row` leaves nothing, whatever its value is. Its row follows from its name: so no reader gets a
    /// member of this name, however many there are, and a duplicate is none of what is shown.
    ///
    /// Whoever edits a document puts what is hidden back, so there every duplicate counts.
    #[inline]
    fn is_dropped(&self, members: &MemberTable, row: usize) -> bool {
        let state = members.target(row, 0).and_then(|target| self.plan.state(target));
        !members.depends_on_values() && self.alterations.is_none() && state.is_some_and(|state| state.is_dropped)
    }

    /// Notes that the name in `row` occurs, and checks that it is new.
    #[inline(always)]
    fn see(&mut self, row: usize, open: &mut OpenMembers) -> Result<(), Stop> {
        open.last = row + 1;
        if row >= SEEN {
            return self.see_more(row - SEEN, open.more_seen);
        }
        let bit = 1 << row;
        if open.seen & bit != 0 {
            return Err(Stop::DuplicateKey);
        }
        open.seen |= bit;
        Ok(())
    }

    /// [`Self::see`] for the name number `number` behind the first ones. `from` is the index of their bits.
    #[inline(never)]
    fn see_more(&mut self, number: usize, from: usize) -> Result<(), Stop> {
        let bit = 1 << (number % 64);
        let word = self.seen.get_mut(from + number / 64).ok_or(NOT_JSON)?;
        if *word & bit != 0 {
            return Err(Stop::DuplicateKey);
        }
        *word |= bit;
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
            let is_shown = self.value(state, || Naming::Element(&mut arguments), depth)?;
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

    #[inline(always)]
    fn count(&mut self, cause: Cause) {
        match cause {
            Cause::Class(class) => self.report.count_class(class),
            Cause::Unknown => self.report.unknown = self.report.unknown.saturating_add(1),
            Cause::Rule => self.report.by_rule = self.report.by_rule.saturating_add(1),
        }
    }
}
