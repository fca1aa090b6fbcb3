//! Invariants that tests and fuzz targets share.
