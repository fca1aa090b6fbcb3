//! A part of a catalogue that is unpacked when it is first asked for.

use std::sync::{Arc, OnceLock};

/// A value that is unpacked when it is first asked for. Threads that ask at the same time wait for one of them.
#[derive(Clone, Debug)]
pub(super) struct OnDemand<T> {
    /// The value as `build.rs` has packed it; `None` if it was never packed.
    packed: Option<&'static [u8]>,
    /// `None` inside if the packed form is damaged.
    value: OnceLock<Option<Arc<T>>>,
}

impl<T> OnDemand<T> {
    /// A value that is there already.
    pub(super) fn read(value: T) -> Self {
        Self { packed: None, value: OnceLock::from(Some(Arc::new(value))) }
    }

    /// A packed value.
    pub(super) fn packed(packed: &'static [u8]) -> Self {
        Self { packed: Some(packed), value: OnceLock::new() }
    }

    /// The value. `None` if its packed form is damaged.
    pub(super) fn get(&self, unpack: impl FnOnce(&'static [u8]) -> Option<T>) -> Option<&T> {
        self.value.get_or_init(|| self.packed.and_then(unpack).map(Arc::new)).as_deref()
    }

    /// The same, but not unpacked. A value that was never packed is shared.
    pub(super) fn still_packed(&self) -> Self {
        match self.packed {
            Some(packed) => Self::packed(packed),
            None => Self { packed: None, value: self.value.clone() },
        }
    }
}
