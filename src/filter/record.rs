//! What happens to each record of a stream.

use std::sync::Arc;

use super::variant::VariantFilter;
use super::{CompileError, DocumentLimits, Explained, ExpressionWork, FilterError, Plan, Report, Rule, Show};
use crate::schema::Catalogue;

/// Applied to one record after another. Immutable, shared between exchanges.
#[derive(Clone, Debug)]
pub enum RecordFilter {
    /// Each record is a document of one schema.
    Plain(Arc<Plan>),
    /// Each record is a document of one schema, and documents differ by kind.
    Variant(Arc<VariantFilter>),
}

impl RecordFilter {
    /// Compiles what `show` and `rules` make of records of `schema`.
    ///
    /// # Errors
    /// As [`Plan::compile`].
    pub fn compile(
        catalogue: &Catalogue,
        schema: &str,
        show: &Show,
        rules: &[Rule],
        limits: DocumentLimits,
    ) -> Result<Self, CompileError> {
        Ok(match catalogue.variants(schema) {
            Some(variants) => {
                let filter = VariantFilter::compile(catalogue, variants, show, rules)?;
                Self::Variant(Arc::new(filter.with_limits(limits)))
            }
            None => Self::Plain(Arc::new(Plan::compile(catalogue, schema, show, rules)?.with_limits(limits))),
        })
    }

    /// Explains what a filter with the same arguments does; see [`Plan::explain`].
    ///
    /// # Errors
    /// As [`Plan::compile`].
    pub fn explain(
        catalogue: &Catalogue,
        schema: &str,
        show: &Show,
        rules: &[Rule],
    ) -> Result<Vec<Explained>, CompileError> {
        match catalogue.variants(schema) {
            Some(variants) => VariantFilter::explain(catalogue, variants, show, rules),
            None => Plan::explain(catalogue, schema, show, rules),
        }
    }

    /// How the work of its filter expressions grows with the length of a record.
    pub fn expressions(&self) -> ExpressionWork {
        match self {
            Self::Variant(filter) => filter.expressions(),
            Self::Plain(plan) => plan.expressions(),
        }
    }

    /// The most memory that filtering records of `length` bytes in all takes, in bytes; see [`Plan::memory`].
    pub fn memory(&self, length: usize) -> usize {
        match self {
            Self::Variant(filter) => filter.memory(length),
            Self::Plain(plan) => plan.memory(length),
        }
    }

    /// Filters one record and appends what is left to `out`, which an error leaves as it was. Returns whether anything
    /// is left.
    ///
    /// # Errors
    /// [`FilterError`]: the record must be withheld with all that follow.
    pub fn apply(&self, record: &[u8], out: &mut Vec<u8>, report: &mut Report) -> Result<bool, FilterError> {
        match self {
            Self::Variant(filter) => filter.apply(record, out, report),
            Self::Plain(plan) => {
                report.add(&plan.apply(record, out)?);
                Ok(true)
            }
        }
    }
}
