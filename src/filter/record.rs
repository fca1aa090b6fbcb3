//! What happens to each record of a stream.

use std::sync::Arc;

use super::{EventFilter, FilterError, Plan, Report};

/// Applied to one record after another. Immutable, shared between exchanges.
#[derive(Clone, Debug)]
pub enum RecordFilter {
    /// Each is an event.
    Event(Arc<EventFilter>),
    /// Each is a document of one schema.
    Document(Arc<Plan>),
}

impl RecordFilter {
    /// Filters one record and adds what is left to `out`, which an error leaves as it was. Answers whether anything
    /// is left.
    ///
    /// # Errors
    /// [`FilterError`], and the record is to be withheld with all that follow.
    pub fn apply(&self, record: &[u8], out: &mut Vec<u8>, report: &mut Report) -> Result<bool, FilterError> {
        match self {
            Self::Event(filter) => filter.apply(record, out, report),
            Self::Document(plan) => {
                report.add(&plan.apply(record, out)?);
                Ok(true)
            }
        }
    }
}
