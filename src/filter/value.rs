//! Values as filter expressions see them: pieces of the document's text. Nothing is built of them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::ControlFlow;

use serde_json::Number;

use super::FilterError;
use super::json::{Cursor, DepthBudget, JsonString, Stop, decoded};

/// A value in a document. Its text was checked: it is one JSON value, no object in it has a duplicate key, and its strings decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TextValue<'d> {
    text: &'d [u8],
}

/// Where a value is in the one around it.
#[derive(Clone, Copy, Debug)]
pub(super) enum ChildPlace<'d> {
    /// In an object, under this name.
    Member(JsonString<'d>),
    /// In an array, at this index.
    Element(i64),
}

/// How deep a checked value nests does not matter any more.
const CHECKED: usize = usize::MAX;

impl<'d> TextValue<'d> {
    /// The value with this text, which was checked. There is no white space around it.
    pub(super) fn new(text: &'d [u8]) -> Self {
        Self { text }
    }

    /// The length of its text, in bytes.
    pub(super) fn length(self) -> usize {
        self.text.len()
    }

    /// Whether both are the same piece of a document.
    pub(super) fn is(self, other: Self) -> bool {
        std::ptr::eq(self.text, other.text)
    }

    /// Whether it is an object.
    pub(super) fn is_object(self) -> bool {
        self.text.first() == Some(&b'{')
    }

    /// Whether it is an array.
    pub(super) fn is_array(self) -> bool {
        self.text.first() == Some(&b'[')
    }

    /// The text that it is, with its escapes decoded; `None` if it is no string.
    pub(super) fn string(self) -> Result<Option<Cow<'d, str>>, FilterError> {
        let [b'"', inside @ .., b'"'] = self.text else { return Ok(None) };
        let written = std::str::from_utf8(inside).map_err(|_| FilterError::NotJson)?;
        if memchr::memchr(b'\\', inside).is_none() {
            return Ok(Some(Cow::Borrowed(written)));
        }
        decoded(written).map(|text| Some(Cow::Owned(text))).ok_or(FilterError::NotJson)
    }

    /// The number that it is; `None` if it is none.
    ///
    /// # Errors
    /// [`FilterError::NotJson`] if it is beyond those that can be compared.
    pub(super) fn number(self) -> Result<Option<Number>, FilterError> {
        match self.text.first() {
            Some(b'-' | b'0'..=b'9') => serde_json::from_slice(self.text).map(Some).map_err(|_| FilterError::NotJson),
            Some(_) | None => Ok(None),
        }
    }

    /// Its member with this name, if it is an object that has one.
    pub(super) fn member(self, name: &str) -> Result<Option<Self>, FilterError> {
        if !self.is_object() {
            return Ok(None);
        }
        let mut cursor = Cursor::new(self.text);
        let mut more = cursor.first(b'}')?;
        while more {
            let key = cursor.key()?;
            let value = passed(&mut cursor)?;
            if key.is(name)? {
                return Ok(Some(value));
            }
            more = cursor.more(b'}')?;
        }
        Ok(None)
    }

    /// Its element at this index, which counts from the end if it is negative, if it is an array that has one.
    pub(super) fn element(self, index: i64) -> Result<Option<Self>, FilterError> {
        let wanted = if index < 0 { self.elements()?.checked_add(index) } else { Some(index) };
        let Some(mut before) = wanted.filter(|wanted| *wanted >= 0 && self.is_array()) else { return Ok(None) };
        let mut cursor = Cursor::new(self.text);
        let mut more = cursor.first(b']')?;
        while more {
            let element = passed(&mut cursor)?;
            if before == 0 {
                return Ok(Some(element));
            }
            before -= 1;
            more = cursor.more(b']')?;
        }
        Ok(None)
    }

    /// How many elements it has; none if it is no array.
    pub(super) fn elements(self) -> Result<i64, FilterError> {
        if self.is_array() { Ok(Cursor::new(self.text).count(DepthBudget::new(CHECKED))?) } else { Ok(0) }
    }

    /// How many members it has; none if it is no object.
    pub(super) fn members(self) -> Result<usize, FilterError> {
        if !self.is_object() {
            return Ok(0);
        }
        let (mut cursor, mut count) = (Cursor::new(self.text), 0);
        let mut more = cursor.first(b'}')?;
        while more {
            cursor.key()?;
            passed(&mut cursor)?;
            count += 1;
            more = cursor.more(b'}')?;
        }
        Ok(count)
    }

    /// Calls `visit` with each of its members and elements until that says `Break`.
    pub(super) fn each(
        self,
        visit: &mut dyn FnMut(ChildPlace<'d>, Self) -> Result<ControlFlow<()>, FilterError>,
    ) -> Result<ControlFlow<()>, FilterError> {
        let closing = match self.text.first() {
            Some(b'{') => b'}',
            Some(b'[') => b']',
            Some(_) | None => return Ok(ControlFlow::Continue(())),
        };
        let (mut cursor, mut index) = (Cursor::new(self.text), 0);
        let mut more = cursor.first(closing)?;
        while more {
            let place = if closing == b'}' { ChildPlace::Member(cursor.key()?) } else { ChildPlace::Element(index) };
            let value = passed(&mut cursor)?;
            if visit(place, value)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            index += 1;
            more = cursor.more(closing)?;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Whether both are the same value: numbers as numbers, strings as the texts that they stand for, objects in any order.
    /// `read` counts the bytes of what is looked at.
    ///
    /// # Errors
    /// As [`Self::number`], and those of `read`.
    pub(super) fn equals(
        self,
        other: Self,
        read: &dyn Fn(usize) -> Result<(), FilterError>,
    ) -> Result<bool, FilterError> {
        match (self.text.first(), other.text.first()) {
            (Some(b'"'), Some(b'"')) => {
                read(self.text.len().min(other.text.len()))?;
                self.equals_string(other)
            }
            (Some(b'['), Some(b'[')) => self.equals_array(other, read),
            (Some(b'{'), Some(b'{')) => self.equals_object(other, read),
            (Some(b't' | b'f' | b'n'), _) => Ok(self.text == other.text),
            (Some(_) | None, _) => Ok(self.order_of_numbers(other, read)? == Some(Ordering::Equal)),
        }
    }

    fn equals_string(self, other: Self) -> Result<bool, FilterError> {
        if self.text == other.text {
            return Ok(true);
        }
        // An escape is up to six times as long as what it stands for: a text that is so much longer need not be read.
        let (short, long) = (self.text.len().min(other.text.len()), self.text.len().max(other.text.len()));
        let has_escapes = |value: Self| memchr::memchr(b'\\', value.text).is_some();
        if long > short.saturating_mul(6) || !(has_escapes(self) || has_escapes(other)) {
            return Ok(false);
        }
        Ok(self.string()? == other.string()?)
    }

    fn equals_array(self, other: Self, read: &dyn Fn(usize) -> Result<(), FilterError>) -> Result<bool, FilterError> {
        read(self.text.len().min(other.text.len()))?;
        let (mut left, mut right) = (Cursor::new(self.text), Cursor::new(other.text));
        let mut more = (left.first(b']')?, right.first(b']')?);
        while more == (true, true) {
            if !passed(&mut left)?.equals(passed(&mut right)?, read)? {
                return Ok(false);
            }
            more = (left.more(b']')?, right.more(b']')?);
        }
        Ok(more == (false, false))
    }

    fn equals_object(self, other: Self, read: &dyn Fn(usize) -> Result<(), FilterError>) -> Result<bool, FilterError> {
        read(self.text.len().saturating_add(other.text.len()))?;
        if self.members()? != other.members()? {
            return Ok(false);
        }
        let mut cursor = Cursor::new(self.text);
        let mut more = cursor.first(b'}')?;
        while more {
            let name = cursor.key()?.text()?;
            let value = passed(&mut cursor)?;
            read(other.text.len())?;
            match other.member(&name)? {
                Some(same) if value.equals(same, read)? => {}
                Some(_) | None => return Ok(false),
            }
            more = cursor.more(b'}')?;
        }
        Ok(true)
    }

    /// Whether it is the smaller of two numbers, or of two strings. Nothing else has an order. `read` counts the bytes of what is
    /// looked at.
    ///
    /// # Errors
    /// As [`Self::number`], and those of `read`.
    pub(super) fn is_less(
        self,
        other: Self,
        read: &dyn Fn(usize) -> Result<(), FilterError>,
    ) -> Result<bool, FilterError> {
        match (self.text, other.text) {
            ([b'"', left @ ..], [b'"', right @ ..]) => {
                read(left.len().min(right.len()))?;
                let common = left.iter().zip(right).take_while(|(left, right)| left == right).count();
                let has_escape = |text: &[u8]| memchr::memchr(b'\\', text.get(..=common).unwrap_or(text)).is_some();
                if has_escape(left) || has_escape(right) {
                    read(left.len().saturating_add(right.len()))?;
                    return Ok(self.string()? < other.string()?);
                }
                // The shorter one ends with its quote, before any byte of the longer one.
                let at = |text: &[u8]| if common + 1 < text.len() { text.get(common).copied() } else { None };
                Ok(at(left) < at(right))
            }
            _ => Ok(self.order_of_numbers(other, read)? == Some(Ordering::Less)),
        }
    }

    /// How two numbers compare; `None` if one is none.
    fn order_of_numbers(
        self,
        other: Self,
        read: &dyn Fn(usize) -> Result<(), FilterError>,
    ) -> Result<Option<Ordering>, FilterError> {
        read(self.text.len().saturating_add(other.text.len()))?;
        let (left, right) = (self.number()?, other.number()?);
        Ok(left.zip(right).and_then(|(left, right)| order(&left, &right)))
    }
}

/// Passes the value at the cursor and returns it.
fn passed<'d>(cursor: &mut Cursor<'d>) -> Result<TextValue<'d>, Stop> {
    let start = cursor.at();
    cursor.skip(DepthBudget::new(CHECKED))?;
    cursor.since(start).map(TextValue::new)
}

/// Compares whole numbers exactly, others as floating-point numbers.
pub(super) fn order(left: &Number, right: &Number) -> Option<Ordering> {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        (Some(_) | None, _) => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}
