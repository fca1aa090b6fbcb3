//! Arguments and filter files made into one checked, immutable `Config`.
