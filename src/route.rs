//! Request line to operation.
