//! Arguments and environment, as typed.
