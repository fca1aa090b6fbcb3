//! Rules applied to one JSON document.
