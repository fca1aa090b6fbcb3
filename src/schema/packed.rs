//! The catalogue in compact form: that inside the program.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::on_demand::OnDemand;
use super::variant::Formats;
use super::{Blank, Catalogue, Class, Entries, Field, NameList, Presence, SchemaEntry, TypeSet};
use super::{ValueFormat, VariantKind, VariantWords, Variants};
use crate::packed::{Packer, Unpacker};
use crate::yaml::Location;

/// What a field has, as bits of its first number.
const CLASS: u32 = 1;
const KEY_CLASS: u32 = 1 << 1;
const OPAQUE: u32 = 1 << 2;
const ANY_MEMBER: u32 = 1 << 3;
const ELEMENTS: u32 = 1 << 4;
const NESTED: u32 = 1 << 5;
const LIST: u32 = 1 << 6;
const ALWAYS: u32 = 1 << 7;
/// Above these, the blank in two bits, and the types.
const BLANK_SHIFT: u32 = 8;
const TYPES_SHIFT: u32 = 10;

/// Every blank, by its number.
const BLANKS: [Blank; 4] = [Blank::OfType, Blank::Time, Blank::Unknown, Blank::Absent];

impl Catalogue {
    /// Writes a catalogue.
    pub fn pack(&self, packer: &mut Packer) {
        let mut files = BTreeMap::new();
        self.schemas().for_each(|schema| note_files(schema.root(), &mut files));
        for (number, slot) in (0..).zip(files.values_mut()) {
            *slot = number;
        }
        packer.list(files.keys(), |packer, file| packer.text(file));
        packer.list(self.schemas.iter(), |packer, (name, entry)| {
            packer.text(name);
            packer.list(entry.inner.iter(), |packer, name| packer.text(name));
            packer.count(entry.size);
            let mut fields = Packer::default();
            self.schema(name).iter().for_each(|schema| pack_field(&schema.root, &files, &mut fields));
            packer.raw(&fields.finish());
        });
        packer.list(self.lists.iter(), |packer, (name, list)| {
            packer.text(name);
            packer.count(list.index());
        });
        packer.list(self.variants.keys(), |packer, name| {
            packer.text(name);
            let mut variants = Packer::default();
            self.variants(name).iter().for_each(|found| found.pack(&mut variants));
            packer.raw(&variants.finish());
        });
    }

    /// Reads a catalogue, but not yet what is in its schemas. `lists` are the lists that its fields belong to, in the order of
    /// their indexes.
    pub fn unpack(packed: &'static [u8], lists: &'static [NameList]) -> Option<Self> {
        let mut packed = Unpacker::new(packed);
        let files = packed.list(|packed| packed.text().map(Arc::from))?;
        let schemas = packed.list(|packed| {
            let name = packed.text()?;
            let inner = packed.list(|packed| packed.text().map(Cow::Borrowed))?;
            let (size, schema) = (packed.count()?, OnDemand::packed(packed.raw()?));
            Some((Cow::Borrowed(name), SchemaEntry { inner, size, schema }))
        })?;
        let members = packed.list(|packed| Some((owned(packed)?, *lists.get(packed.count()?)?)))?;
        let variants = packed.list(|packed| Some((Cow::Borrowed(packed.text()?), OnDemand::packed(packed.raw()?))))?;
        packed.finish(Self {
            schemas: schemas.into_iter().collect(),
            variants: variants.into_iter().collect(),
            lists: members.into_iter().collect(),
            unpacker: Arc::new(FieldUnpacker { files, lists }),
        })
    }
}

/// Adds the names of the files that classify a field and those below it.
fn note_files<'f>(field: &'f Field, files: &mut BTreeMap<&'f str, u32>) {
    let classes = [&field.class, &field.key_class, &field.opaque];
    files.extend(classes.into_iter().flatten().map(|(_, location)| (&*location.file, 0)));
    field.fields_below().for_each(|below| note_files(below, files));
}

/// Writes a field and those below it.
fn pack_field(field: &Field, files: &BTreeMap<&str, u32>, packer: &mut Packer) {
    let parts = [
        (field.class.is_some(), CLASS),
        (field.key_class.is_some(), KEY_CLASS),
        (field.opaque.is_some(), OPAQUE),
        (field.any_member.is_some(), ANY_MEMBER),
        (field.elements.is_some(), ELEMENTS),
        (field.nested.is_some(), NESTED),
        (field.list.is_some(), LIST),
        (field.presence == Presence::Always, ALWAYS),
    ];
    let bits = parts.into_iter().filter(|(has, _)| *has).fold(0, |bits, (_, bit)| bits | bit);
    let blank = (0..).zip(BLANKS).find(|(_, blank)| *blank == field.blank).map_or(0, |(number, _)| number);
    packer.number(bits | (blank << BLANK_SHIFT) | (u32::from(field.types.bits()) << TYPES_SHIFT));
    for (class, location) in [&field.class, &field.key_class, &field.opaque].into_iter().flatten() {
        packer.count(class.index());
        packer.number(files.get(&*location.file).copied().unwrap_or_default());
        packer.number(location.line);
        packer.number(location.column);
    }
    if let Some(nested) = &field.nested {
        packer.text(nested);
    }
    if let Some(list) = field.list {
        packer.count(list.index());
    }
    packer.list(field.members.iter(), |packer, (name, member)| {
        packer.text(name);
        pack_field(member, files, packer);
    });
    for below in field.any_member.iter().chain(&field.elements) {
        pack_field(below, files, packer);
    }
}

impl Variants {
    /// Writes how documents differ by kind.
    fn pack(&self, packer: &mut Packer) {
        [&self.schema, &self.tag, &self.action].into_iter().for_each(|text| packer.text(text));
        packer.list(self.words.members.iter(), |packer, text| packer.text(text));
        packer.count(self.words.rest.index());
        packer.list(self.words.whole.iter(), |packer, text| packer.text(text));
        self.entries.path.iter().for_each(|text| packer.text(text));
        packer.count(self.entries.list.index());
        packer.count(self.entries.class.index());
        packer.list(self.kinds.iter(), |packer, (name, kind)| {
            packer.text(name);
            packer.list(kind.about.iter(), |packer, class| packer.count(class.index()));
            pack_formats(&kind.members, packer);
            packer.list(kind.actions.iter(), |packer, (word, formats)| {
                packer.text(word);
                pack_formats(formats, packer);
            });
        });
    }

    /// Reads how documents differ by kind.
    fn unpack(packed: &mut Unpacker<'_>, lists: &[NameList]) -> Option<Self> {
        let (schema, tag, action) = (owned(packed)?, owned(packed)?, owned(packed)?);
        let members = packed.list(owned)?;
        let rest = class(packed)?;
        let words = VariantWords { members, rest, whole: packed.list(owned)? };
        let path = [owned(packed)?, owned(packed)?];
        let entries = Entries { path, list: *lists.get(packed.count()?)?, class: class(packed)? };
        let kinds = packed.list(|packed| {
            let name = owned(packed)?;
            let about = packed.list(class)?.first().copied();
            let members = unpack_formats(packed)?;
            let actions = packed.list(|packed| Some((owned(packed)?, unpack_formats(packed)?)))?;
            Some((name, VariantKind { about, members, actions: actions.into_iter().collect() }))
        })?;
        Some(Self { schema, tag, action, words, entries, kinds: kinds.into_iter().collect() })
    }
}

/// Writes members and the formats of their values.
fn pack_formats(formats: &Formats, packer: &mut Packer) {
    packer.list(formats.iter(), |packer, (name, format)| {
        packer.text(name);
        packer.count(ValueFormat::ALL.iter().position(|(_, known)| known == format).unwrap_or_default());
    });
}

/// Reads members and the formats of their values.
fn unpack_formats(packed: &mut Unpacker<'_>) -> Option<Formats> {
    let formats = packed.list(|packed| Some((owned(packed)?, ValueFormat::ALL.get(packed.count()?)?.1)))?;
    Some(formats.into_iter().collect())
}

/// Reads a text.
fn owned(packed: &mut Unpacker<'_>) -> Option<String> {
    packed.text().map(str::to_owned)
}

/// Reads a class.
fn class(packed: &mut Unpacker<'_>) -> Option<Class> {
    Class::ALL.get(packed.count()?).copied()
}

/// Reads what is in schemas.
#[derive(Debug, Default)]
pub(super) struct FieldUnpacker {
    /// The files that classify fields.
    files: Vec<Arc<str>>,
    /// The lists that fields belong to.
    lists: &'static [NameList],
}

impl FieldUnpacker {
    /// Reads the fields of a schema.
    pub(super) fn root(&self, packed: &[u8]) -> Option<Field> {
        let mut packed = Unpacker::new(packed);
        let root = self.field(&mut packed)?;
        packed.finish(root)
    }

    /// Reads how documents differ by kind.
    pub(super) fn variants(&self, packed: &[u8]) -> Option<Variants> {
        let mut packed = Unpacker::new(packed);
        let variants = Variants::unpack(&mut packed, self.lists)?;
        packed.finish(variants)
    }

    /// Reads a field and those below it.
    fn field(&self, packed: &mut Unpacker<'_>) -> Option<Field> {
        let bits = packed.number()?;
        let has = |bit| bits & bit != 0;
        let class = if has(CLASS) { Some(self.class_and_line(packed)?) } else { None };
        let key_class = if has(KEY_CLASS) { Some(self.class_and_line(packed)?) } else { None };
        let opaque = if has(OPAQUE) { Some(self.class_and_line(packed)?) } else { None };
        let nested = if has(NESTED) { Some(packed.text()?.to_owned()) } else { None };
        let list = if has(LIST) { Some(*self.lists.get(packed.count()?)?) } else { None };
        let members = packed.list(|packed| Some((packed.text()?.to_owned(), self.field(packed)?)))?;
        Some(Field {
            class,
            key_class,
            members: members.into_iter().collect(),
            any_member: if has(ANY_MEMBER) { Some(Box::new(self.field(packed)?)) } else { None },
            elements: if has(ELEMENTS) { Some(Box::new(self.field(packed)?)) } else { None },
            opaque,
            nested,
            blank: *BLANKS.get((bits >> BLANK_SHIFT) as usize % BLANKS.len())?,
            list,
            types: TypeSet::of_bits(u8::try_from(bits >> TYPES_SHIFT).ok()?),
            presence: if has(ALWAYS) { Presence::Always } else { Presence::Sometimes },
        })
    }

    /// Reads a class and the line that sets it.
    fn class_and_line(&self, packed: &mut Unpacker<'_>) -> Option<(Class, Location)> {
        let class = class(packed)?;
        let file = self.files.get(packed.count()?)?.clone();
        let (line, column) = (packed.number()?, packed.number()?);
        Some((class, Location { file, line, column, is_argument: false }))
    }
}
