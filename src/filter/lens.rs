//! Puts an edited view of a document back into the document.
//!
//! A plan shows a part of a document. A client changes what it was shown and writes it back whole. The lens makes the document
//! that the client means: what it changed is changed, and every hidden value whose place it left as it was shown is put back.
//! Two laws hold, and are tested for every schema and profile:
//!
//! - what is written back as it was shown changes nothing;
//! - what is shown of the new document is what was written.
//!
//! What counts as left as it was shown:
//!
//! - a hidden member that is absent, or empty, where it was absent or empty before; some clients leave out what is empty,
//!   others write what is absent as zero;
//! - a text that is what was shown, masks included;
//! - an entry of a map or list that was not shown and is not sent.
//!
//! A value that the plan would hide or change, and that is not what was shown there, fills a hidden place. It is refused unless
//! the lens may set the place. A client that removes an object or an element that it was shown removes it with everything in
//! it.

mod marked;
mod merge;
mod pairing;
mod shape;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use self::marked::{Marked, read};
use self::merge::{Merge, Merged, Side};
use self::shape::Shape;
use super::{Explained, ExpressionWork, FilterError, Plan};
use crate::schema::{Catalogue, ElementKey, FieldPath};

/// Places of a document, each as the members on the way to it.
type Places = &'static [&'static [&'static str]];

/// What the reader of edited documents does with some texts in them. By that, a client could have it show what is hidden.
#[derive(Clone, Copy, Debug)]
pub struct ReaderOfEdits {
    /// The places at and below which it fills in templates. A new one is refused.
    pub templates: Places,
    /// Whether a text is a template.
    pub is_template: fn(&str) -> bool,
    /// The places at and below which a text says where it sends something. One that is not as it was shown is refused, unless the
    /// edit may set it.
    pub destinations: Places,
    /// The places at and below which a text asks for something that may be hidden, and the answer shows. As `destinations`.
    pub questions: Places,
    /// The places of values by which it takes what is beside them for one thing or another: a hidden value that suddenly means something
    /// else would be told in an error. If the plan hides anything beside it, such a value stays.
    pub kinds: Places,
}

/// Puts back what a plan hides in a part of the documents of one schema.
#[derive(Debug)]
pub struct Lens {
    plan: Arc<Plan>,
    /// The names of the members on the way to the part.
    part: Vec<String>,
    shape: Shape,
    reader: ReaderOfEdits,
}

impl Lens {
    /// The lens of a plan for documents of `schema`, for the part at `part`: the names of members. `explained` is what
    /// [`Plan::explain`] says of the plan; `keys` tell the elements of arrays from each other. Returns `None` if the schema has
    /// no such part.
    pub fn new(
        plan: Arc<Plan>,
        catalogue: &Catalogue,
        (schema, part): (&str, &[&str]),
        explained: &[Explained],
        keys: &[ElementKey],
    ) -> Option<Self> {
        let shape = Shape::of(catalogue, schema, part, explained, keys)?;
        Some(Self {
            plan,
            part: part.iter().map(|name| (*name).to_owned()).collect(),
            shape,
            reader: ReaderOfEdits {
                templates: &[],
                is_template: |_| false,
                destinations: &[],
                questions: &[],
                kinds: &[],
            },
        })
    }

    /// Lets edits set what is hidden at a path in the part, and below it. Returns `false` if the schema has no such path.
    pub fn let_set(&mut self, path: &FieldPath) -> bool {
        self.shape.let_set(path)
    }

    /// Says how the part is read.
    pub fn read_by(&mut self, reader: ReaderOfEdits) {
        self.reader = reader;
    }

    /// How the work of the plan's filter expressions grows with the length of a document.
    pub fn expressions(&self) -> ExpressionWork {
        self.plan.expressions()
    }

    /// The most memory that putting an edited part back into a document takes, in bytes. Beside some copies of the texts, each
    /// value in them takes a place in a tree.
    pub fn memory(document: &[u8], edited: &[u8]) -> usize {
        const VALUE: usize = 256;
        let is_separator = |byte: &&u8| matches!(byte, b',' | b'[' | b'{' | b':');
        let values = |text: &[u8]| text.iter().filter(is_separator).count().saturating_add(1);
        // The document, that with the edited part, and the new one, which has at most what is in both.
        let values = values(document).saturating_add(values(edited)).saturating_mul(3);
        let length = document.len().saturating_add(edited.len());
        values.saturating_mul(VALUE).saturating_add(length.saturating_mul(8))
    }

    /// Makes the part that goes into the place of that in `document`, for a client that was shown the document and has sent
    /// `edited`.
    ///
    /// # Errors
    /// [`PutError`]; it holds nothing of either document.
    pub fn put(&self, document: &[u8], edited: &[u8]) -> Result<Vec<u8>, PutError> {
        let depth = self.plan.limits.depth;
        let alterations = self.plan.alterations(document).map_err(PutError::Document)?;
        let original = read(document, &alterations, depth).map_err(PutError::Document)?;
        let known = self.part_of(&original).ok_or(PutError::Document(FilterError::NotJson))?;
        // By itself, so that it cannot end where the document goes on.
        let alone = read(edited, &[], depth).map_err(PutError::Edited)?;
        // The plan says what would be hidden of it at its place.
        let spliced = splice(document, known.value.text, alone.text).ok_or(PutError::Document(FilterError::NotJson))?;
        let alterations = self.plan.alterations(&spliced).map_err(PutError::Edited)?;
        let changed = read(&spliced, &alterations, depth).map_err(PutError::Edited)?;
        let sent = self.part_of(&changed).ok_or(PutError::Edited(FilterError::NotJson))?;
        let merged = Merge::documents(known, sent, &self.shape, self.reader).map_err(PutError::Refused)?;
        let mut out = Vec::with_capacity(document.len());
        merged.write(&mut out);
        self.check(document, known, &merged, &out)?;
        Ok(out)
    }

    /// Checks the second law: what is shown of the new part is what was written. A rule may hide a value because of another, and
    /// a text may be masked because of the one before it. A change of that other one must not show it.
    fn check(&self, document: &[u8], known: Side<'_, '_>, merged: &Merged<'_>, part: &[u8]) -> Result<(), PutError> {
        let new = splice(document, known.value.text, part).ok_or(PutError::Document(FilterError::NotJson))?;
        let alterations = self.plan.alterations(&new).map_err(PutError::Document)?;
        let new = read(&new, &alterations, self.plan.limits.depth).map_err(PutError::Document)?;
        let shown = self.part_of(&new).filter(|side| !side.is_inside_hidden);
        let shown = shown.and_then(|side| side.value.form_of_left());
        let is_empty = |form: &Option<String>| form.as_deref().is_none_or(|form| form == "{}");
        let written = merged.form();
        if shown == written || (is_empty(&shown) && is_empty(&written)) {
            return Ok(());
        }
        Err(PutError::Refused(EditRefusal { path: "$".to_owned(), fault: EditFault::NotAsWritten }))
    }

    /// The part of a document.
    fn part_of<'n, 'd>(&self, document: &'n Marked<'d>) -> Option<Side<'n, 'd>> {
        let mut at = Side { value: document, is_inside_hidden: false };
        for name in &self.part {
            at = at.inside(at.value.member(name)?);
        }
        Some(at)
    }
}

/// Whether the part at `part` of the documents of a schema has a place at `path`.
pub fn has_place(catalogue: &Catalogue, schema: &str, part: &[&str], path: &FieldPath) -> bool {
    Shape::of(catalogue, schema, part, &[], &[]).is_some_and(|mut shape| shape.let_set(path))
}

/// A text with another in the place of a part of it.
fn splice(text: &[u8], part: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let start = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    let (before, after) = (text.get(..start)?, text.get(start.checked_add(part.len())?..)?);
    Some([before, other, after].concat())
}

/// Why an edited document was not put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutError {
    /// The document cannot be filtered, or has no such part.
    Document(FilterError),
    /// The edited document cannot be read with certainty.
    Edited(FilterError),
    /// The edit was refused.
    Refused(EditRefusal),
}

/// An edit that was refused. It tells the place and never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditRefusal {
    /// The place in the edited document. Names of members are those of the schema; any other is `*`.
    pub path: String,
    /// What is wrong there.
    pub fault: EditFault,
}

impl EditRefusal {
    /// The same refusal, if it is about a hidden value, of a member that no schema knows.
    fn unknown(self) -> Self {
        let fault = if self.fault == EditFault::Hidden { EditFault::Unknown } else { self.fault };
        Self { fault, ..self }
    }
}

/// What is wrong with an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditFault {
    /// It sets a value that the plan hides.
    Hidden,
    /// It sets a member that no schema knows.
    Unknown,
    /// It changes a text around a mask, or writes one where none was shown.
    Mask,
    /// It writes a template where none was shown, and what that becomes could show what is hidden.
    Template,
    /// It changes where something is sent that may be hidden.
    Destination,
    /// It asks for what may be hidden, and the outcome would tell.
    Question,
    /// A reader could take the name of a member for another.
    Spelling,
    /// A value is of a type that cannot stand there.
    Type,
    /// Which element of a list is which cannot be told for certain.
    Uncertain,
    /// It says that something is of another kind, of which a part is hidden.
    Kind,
    /// What would be shown of it is not what was written.
    NotAsWritten,
}

impl fmt::Display for EditRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match self.fault {
            EditFault::Hidden => write!(f, "{path} is hidden"),
            EditFault::Unknown => write!(f, "{path} is a member that is not known"),
            EditFault::Mask => write!(f, "the text at {path} is changed around a mask"),
            EditFault::Template => write!(f, "the text at {path} is a template, which could show what is hidden"),
            EditFault::Destination => {
                write!(
                    f,
                    "the text at {path} is changed, and can send what is hidden to somebody: list it in edits.set to allow that"
                )
            }
            EditFault::Question => {
                write!(f, "the text at {path} asks for what is hidden of others: list it in edits.set to allow that")
            }
            EditFault::Spelling => write!(f, "a member of {path} is not spelled as in the API"),
            EditFault::Type => write!(f, "the value at {path} is of another type"),
            EditFault::Kind => write!(f, "{path} is changed, and something beside it is hidden"),
            EditFault::NotAsWritten => write!(f, "what would be shown of {path} is not what was written"),
            EditFault::Uncertain => {
                write!(f, "the elements of {path} cannot be told apart: change fewer of them at a time")
            }
        }
    }
}

impl std::error::Error for PutError {}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(error) => write!(f, "original {error}"),
            Self::Edited(error) => write!(f, "edited {error}"),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}
