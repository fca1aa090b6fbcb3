//! The life of one exchange, where HTTP meets JSON.
