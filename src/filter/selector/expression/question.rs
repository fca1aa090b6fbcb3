//! What filter expressions are evaluated on: the value to test, and the whole document if an expression refers to it.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;

use super::NodeQuery;
use crate::filter::FilterError;
use crate::filter::json::{Cursor, DepthBudget, JsonString, KeySet, Stop};
use crate::filter::value::{ChildPlace, TextValue};

/// How much work the expressions of all rules may be for one document, in steps: a value that is looked at, or a few bytes
/// of text. A document of 16 MiB needs a fraction of it; an expression that looks at the whole document for each of its
/// values (`$..`) would need the square.
const WORK_LIMIT: usize = 1 << 26;
/// How many bytes of text that are read make one step.
const BYTES_PER_STEP: usize = 8;
/// The most members of an object that are remembered, so that they are found without reading it again.
const REMEMBERED: usize = 32;
/// For how many there is room from the start.
const USUAL: usize = 12;

/// The input of filter expressions.
#[derive(Debug)]
pub(in crate::filter) struct Question<'d> {
    asked: TextValue<'d>,
    /// The members of the value to test, if it `has_few`.
    members: Vec<AskedMember<'d>>,
    /// Whether it is an object with few members.
    has_few: bool,
    document: TextValue<'d>,
    /// What absolute queries start at, each by its address: that is the same for the whole document.
    starts: RefCell<Vec<(*const NodeQuery, Option<TextValue<'d>>)>>,
    /// How many steps have been made.
    work: Cell<usize>,
}

/// A member of the value to test.
#[derive(Debug)]
struct AskedMember<'d> {
    name: JsonString<'d>,
    value: TextValue<'d>,
}

impl<'d> Question<'d> {
    /// Makes the input for values of `document`, whose text was checked.
    pub(in crate::filter) fn new(document: TextValue<'d>) -> Self {
        let (asked, starts, work) = (TextValue::new(b"null"), RefCell::default(), Cell::new(0));
        Self { asked, members: Vec::new(), has_few: false, document, starts, work }
    }

    /// Sets the value to test to the one at the cursor, and checks it.
    ///
    /// # Errors
    /// As [`Cursor::checked`], and [`FilterError::TooMuchWork`].
    pub(in crate::filter) fn ask(
        &mut self,
        mut cursor: Cursor<'d>,
        depth: DepthBudget,
        keys: &mut KeySet,
    ) -> Result<(), Stop> {
        let (start, members) = (cursor.at(), &mut self.members);
        members.clear();
        self.has_few = cursor.peek()? == b'{';
        if self.has_few {
            members.reserve(USUAL);
            let has_few = &mut self.has_few;
            cursor.checked_members(depth.inside()?, keys, |name, value| {
                *has_few = members.len() < REMEMBERED;
                if *has_few {
                    members.push(AskedMember { name, value: TextValue::new(value) });
                }
            })?;
        } else {
            cursor.checked(depth, keys)?;
        }
        let text = cursor.since(start)?;
        self.asked = TextValue::new(text);
        Ok(self.read(text.len())?)
    }

    /// The value to test.
    pub(super) fn asked(&self) -> TextValue<'d> {
        self.asked
    }

    /// What an absolute query starts at.
    pub(super) fn in_document(&self, query: &NodeQuery) -> Result<Option<TextValue<'d>>, FilterError> {
        let known = self.starts.borrow().iter().find(|(known, _)| std::ptr::eq(*known, query)).map(|(_, start)| *start);
        if let Some(start) = known {
            return Ok(start);
        }
        let start = query.from(self.document, self)?;
        self.starts.borrow_mut().push((query, start));
        Ok(start)
    }

    /// The member of an object with this name.
    pub(super) fn member(&self, value: TextValue<'d>, name: &str) -> Result<Option<TextValue<'d>>, FilterError> {
        if self.has_few && value.is(self.asked) {
            for member in &self.members {
                if member.name.is(name)? {
                    return Ok(Some(member.value));
                }
            }
            return Ok(None);
        }
        self.read(value.length())?;
        value.member(name)
    }

    /// The element of an array at this index.
    pub(super) fn element(&self, value: TextValue<'d>, index: i64) -> Result<Option<TextValue<'d>>, FilterError> {
        self.read(value.length())?;
        value.element(index)
    }

    /// How many elements an array has.
    pub(super) fn elements(&self, value: TextValue<'d>) -> Result<i64, FilterError> {
        self.read(value.length())?;
        value.elements()
    }

    /// Calls `visit` with each child of a value until that says `Break`.
    pub(super) fn below(
        &self,
        value: TextValue<'d>,
        visit: &mut dyn FnMut(ChildPlace<'d>, TextValue<'d>) -> Result<ControlFlow<()>, FilterError>,
    ) -> Result<ControlFlow<()>, FilterError> {
        self.read(value.length())?;
        value.each(visit)
    }

    /// Counts one step.
    pub(super) fn step(&self) -> Result<(), FilterError> {
        self.steps(1)
    }

    /// Counts the reading of a text.
    pub(super) fn read(&self, length: usize) -> Result<(), FilterError> {
        self.steps(length / BYTES_PER_STEP)
    }

    fn steps(&self, count: usize) -> Result<(), FilterError> {
        let work = self.work.get().saturating_add(count);
        self.work.set(work);
        if work > WORK_LIMIT { Err(FilterError::TooMuchWork) } else { Ok(()) }
    }
}
