//! What a client sees of answers: of the objects that the profile shows, the fields that it shows.

use std::sync::Arc;

use serde::de::IgnoredAny;

use super::objects::LeasedView;
use crate::filter::{ExpressionWork, FilterError, Plan, RecordFilter, Report};
use crate::visibility::{ElementSeen, ObjectView};

/// Filters documents, and elements of arrays.
#[derive(Clone, Debug)]
pub(super) struct DocumentFilter {
    /// What is shown of each.
    pub(super) plan: Arc<Plan>,
    /// Which objects are shown. `None`: all.
    pub(super) view: Option<LeasedView>,
}

impl DocumentFilter {
    /// Whether it leaves every document as it comes.
    pub(super) fn shows_everything(&self) -> bool {
        self.view.is_none() && self.plan.copies_everything()
    }

    /// How the work of the plan's filter expressions grows with the length of a document.
    pub(super) fn expressions(&self) -> ExpressionWork {
        self.plan.expressions()
    }

    /// The most memory that filtering documents of `length` bytes in all takes, in bytes.
    pub(super) fn memory(&self, length: usize) -> usize {
        self.plan.memory(length).saturating_add(if self.view.is_some() { ObjectView::memory(length) } else { 0 })
    }

    /// Filters a document and appends what is left to `out`.
    ///
    /// # Errors
    /// [`FilterError`]: the document must be withheld.
    pub(super) fn apply(&self, document: &[u8], out: &mut Vec<u8>) -> Result<Report, FilterError> {
        let Some(LeasedView { view, .. }) = &self.view else { return self.plan.apply(document, out) };
        let seen = view.document(document).ok_or(FilterError::NotJson)?;
        self.plan.apply(&seen, out)
    }

    /// Filters the element of an array at the start of `bytes`, as [`Plan::apply_next`] does. Of an object that is hidden, nothing
    /// is left.
    ///
    /// # Errors
    /// [`FilterError`]: the element must be withheld with all that follow.
    pub(super) fn apply_next(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        report: &mut Report,
    ) -> Result<Option<usize>, FilterError> {
        let Some(LeasedView { view, .. }) = &mut self.view else { return self.plan.apply_next(bytes, out, report) };
        let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
        let end = match values.next() {
            Some(Ok(_)) => values.byte_offset(),
            None => return self.plan.apply_next(bytes, out, report),
            Some(Err(error)) if error.is_eof() => return self.plan.apply_next(bytes, out, report),
            Some(Err(_)) => return Err(FilterError::NotJson),
        };
        match view.element(bytes.get(..end).unwrap_or_default()) {
            ElementSeen::Hidden => Ok(Some(end)),
            ElementSeen::Whole => self.plan.apply_next(bytes, out, report),
            ElementSeen::Rewritten(element) => {
                report.add(&self.plan.apply(&element, out)?);
                Ok(Some(end))
            }
        }
    }
}

/// Filters the records of a stream.
#[derive(Clone, Debug)]
pub(super) struct StreamFilter {
    /// What is shown of each.
    pub(super) filter: RecordFilter,
    /// Which objects are shown. `None`: all.
    pub(super) view: Option<LeasedView>,
}

impl StreamFilter {
    /// How the work of its filter expressions grows with the length of a record.
    pub(super) fn expressions(&self) -> ExpressionWork {
        self.filter.expressions()
    }

    /// The most memory that filtering records of `length` bytes in all takes, in bytes.
    pub(super) fn memory(&self, length: usize) -> usize {
        self.filter.memory(length).saturating_add(if self.view.is_some() { ObjectView::memory(length) } else { 0 })
    }

    /// Filters a record, as [`RecordFilter::apply`] does. Of an object that is hidden, nothing is left.
    ///
    /// # Errors
    /// [`FilterError`]: the record must be withheld with all that follow.
    pub(super) fn apply(&mut self, record: &[u8], out: &mut Vec<u8>, report: &mut Report) -> Result<bool, FilterError> {
        match self.view.as_mut().map(|leased| leased.view.event(record)) {
            Some(ElementSeen::Hidden) => Ok(false),
            Some(ElementSeen::Rewritten(record)) => self.filter.apply(&record, out, report),
            Some(ElementSeen::Whole) | None => self.filter.apply(record, out, report),
        }
    }
}
