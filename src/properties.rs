//! Invariants that tests and fuzz targets share, one file per subject.
//!
//! A property takes an input and panics if the promise in its name is broken.

pub mod plan;

mod reference;
