//! Documents that are lists of objects: volumes, and disk usage.
//!
//! They are as long as there are objects, so they are written anew element by element. A tree of the whole would take many times
//! their length in memory.

use super::ElementSeen;
use super::answers::ObjectView;
use crate::api::objects::{ObjectAnswer, ObjectKind};
use crate::members::{UnexpectedShape, Written, keep, rewrite_array, rewrite_members, rewrite_object};

/// What becomes of a member of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MemberSeen {
    /// It stays as it is.
    Whole,
    /// It is left out.
    Hidden,
    /// Of a list of objects, the visible ones stay.
    Visible(ObjectKind),
    /// Of an object, the list `Items` stays with its visible objects. The totals stay if `has_totals`.
    Items {
        /// What it has a list of.
        kind: ObjectKind,
        /// Whether its totals tell of no hidden object.
        has_totals: bool,
    },
    /// A list of nothing is in its place.
    Empty,
    /// Nothing stays of an object.
    EmptyObject,
}

impl ObjectView {
    /// Writes what is seen of a document of lists.
    ///
    /// # Errors
    /// [`UnexpectedShape`]: it cannot be read.
    pub(super) fn lists(&self, document: &str, out: &mut String) -> Written {
        rewrite_members(document, out, |name, value, out| self.value(self.member(name), value, out))
    }

    /// What becomes of a member at the top, where old and new versions of the API have their lists.
    fn member(&self, name: &str) -> MemberSeen {
        let restricts = |kind| self.visibility.restricts(kind);
        let items = |kind| {
            let has_totals = !restricts(kind) && !restricts(ObjectKind::Container);
            MemberSeen::Items { kind, has_totals }
        };
        let is_of_volumes = self.answer == ObjectAnswer::Volumes;
        let hides_layers = restricts(ObjectKind::Image);
        match name {
            "Volumes" => MemberSeen::Visible(ObjectKind::Volume),
            _ if is_of_volumes => MemberSeen::Whole,
            "Images" => MemberSeen::Visible(ObjectKind::Image),
            "Containers" | "ContainerUsage" if !restricts(ObjectKind::Container) => MemberSeen::Whole,
            "Containers" => MemberSeen::Visible(ObjectKind::Container),
            "ImageUsage" => items(ObjectKind::Image),
            "ContainerUsage" => items(ObjectKind::Container),
            "VolumeUsage" => items(ObjectKind::Volume),
            "LayersSize" | "BuilderSize" if hides_layers => MemberSeen::Hidden,
            "BuildCache" if hides_layers => MemberSeen::Empty,
            "BuildCacheUsage" if hides_layers => MemberSeen::EmptyObject,
            _ => MemberSeen::Whole,
        }
    }

    /// Writes what is seen of a member.
    fn value(&self, seen: MemberSeen, value: &str, out: &mut String) -> Written {
        match seen {
            MemberSeen::Visible(kind) if value.starts_with('[') => {
                rewrite_array(value, out, |element, out| self.of_list(kind, element, out))
            }
            MemberSeen::Items { kind, has_totals } if value.starts_with('{') => {
                rewrite_object(value, out, |name, value, out| match name {
                    "Items" => self.value(MemberSeen::Visible(kind), value, out),
                    _ if has_totals => keep(value, out),
                    _ => Ok(false),
                })
            }
            MemberSeen::Whole => keep(value, out),
            MemberSeen::Hidden => Ok(false),
            MemberSeen::Empty => keep("[]", out),
            MemberSeen::EmptyObject => keep("{}", out),
            // Neither a list nor an object has no objects to tell of. An engine writes null for an empty list.
            MemberSeen::Visible(_) | MemberSeen::Items { .. } => keep("null", out),
        }
    }

    /// Writes what is seen of an element of a list.
    fn of_list(&self, kind: ObjectKind, element: &str, out: &mut String) -> Written {
        let bytes = element.as_bytes();
        let seen = match kind {
            ObjectKind::Image => self.image_of_list(bytes),
            ObjectKind::Volume => self.volume_of_list(bytes),
            ObjectKind::Container => self.container_of_list(bytes),
            ObjectKind::Network | ObjectKind::Service => ElementSeen::Hidden,
        };
        match seen {
            ElementSeen::Hidden => Ok(false),
            ElementSeen::Whole => keep(element, out),
            ElementSeen::Rewritten(bytes) => {
                out.push_str(std::str::from_utf8(&bytes).map_err(|_| UnexpectedShape)?);
                Ok(true)
            }
        }
    }
}
