//! The table of queries in compact form: that inside the program.

use std::collections::BTreeMap;

use super::{GuardedParameter, IdForm, PathName, QueryTable, ReadField, Reads};
use crate::api::operations::operation;
use crate::packed::{Packer, Unpacker};
use crate::schema::{Class, ClassSet};

/// What is read if not fields, by its number from 1 on.
const OTHERS: [Reads; 4] = [Reads::Labels, Reads::Attributes, Reads::Actions, Reads::Unfiltered];

impl QueryTable {
    /// Writes the table.
    pub fn pack(&self, packer: &mut Packer) {
        packer.list(self.parameters.iter(), |packer, parameter| {
            packer.text(&parameter.name);
            packer.list(parameter.operations.iter(), |packer, id| packer.text(id));
            packer.number(u32::from(parameter.is_flag));
            parameter.reads.pack(packer);
        });
        packer.list(self.filters.iter(), |packer, (id, keys)| {
            packer.text(id);
            packer.list(keys.iter(), |packer, (key, reads)| {
                packer.text(key);
                reads.pack(packer);
            });
        });
        packer.list(self.harmless_labels.iter(), |packer, label| packer.text(label));
        packer.list(self.names.iter(), |packer, name| {
            packer.text(&name.path);
            packer.count(IdForm::ALL.iter().position(|(_, form)| *form == name.id).unwrap_or_default());
            pack_fields(&name.ids, packer);
            pack_fields(&name.names, packer);
            packer.list(name.inspect.iter(), |packer, inspect| packer.text(inspect.id));
        });
    }

    /// Reads a table that was packed. Nothing is checked again.
    pub(super) fn unpack(packed: &[u8]) -> Option<Self> {
        let mut packed = Unpacker::new(packed);
        let parameters = packed.list(|packed| {
            let name = packed.text()?.to_owned();
            let operations = packed.list(operation_id)?;
            let is_flag = packed.number()? == 1;
            Some(GuardedParameter { name, operations, is_flag, reads: Reads::unpack(packed)? })
        })?;
        let filters = packed.list(|packed| {
            let id = operation_id(packed)?;
            let keys = packed.list(|packed| Some((packed.text()?.to_owned(), Reads::unpack(packed)?)))?;
            Some((id, keys.into_iter().collect::<BTreeMap<_, _>>()))
        })?;
        let harmless_labels = packed.list(|packed| packed.text().map(str::to_owned))?;
        let names = packed.list(|packed| {
            let (path, id) = (packed.text()?.to_owned(), IdForm::ALL.get(packed.count()?)?.1);
            let (ids, names) = (unpack_fields(packed)?, unpack_fields(packed)?);
            let inspect = packed.list(|packed| operation(packed.text()?))?.first().copied();
            Some(PathName { path, id, ids, names, inspect })
        })?;
        packed.finish(Self { parameters, filters: filters.into_iter().collect(), harmless_labels, names })
    }
}

impl Reads {
    fn pack(&self, packer: &mut Packer) {
        match self {
            Self::Fields { fields, classes } => {
                packer.count(0);
                pack_fields(fields, packer);
                let classes: Vec<Class> = classes.iter().collect();
                packer.list(classes.iter(), |packer, class| packer.count(class.index()));
            }
            Self::Labels | Self::Attributes | Self::Actions | Self::Unfiltered => {
                packer.count(1 + OTHERS.iter().position(|other| other == self).unwrap_or(OTHERS.len()));
            }
        }
    }

    fn unpack(packed: &mut Unpacker<'_>) -> Option<Self> {
        match packed.count()?.checked_sub(1) {
            Some(other) => OTHERS.get(other).cloned(),
            None => {
                let fields = unpack_fields(packed)?;
                let classes = packed.list(|packed| Class::ALL.get(packed.count()?).copied())?;
                Some(Self::Fields { fields, classes: classes.into_iter().collect::<ClassSet>() })
            }
        }
    }
}

/// Writes fields.
fn pack_fields(fields: &[ReadField], packer: &mut Packer) {
    packer.list(fields.iter(), |packer, field| {
        packer.text(&field.schema);
        packer.text(&field.path);
    });
}

/// Reads fields.
fn unpack_fields(packed: &mut Unpacker<'_>) -> Option<Vec<ReadField>> {
    packed.list(|packed| Some(ReadField { schema: packed.text()?.to_owned(), path: packed.text()?.to_owned() }))
}

/// Reads the id of an operation.
fn operation_id(packed: &mut Unpacker<'_>) -> Option<&'static str> {
    operation(packed.text()?).map(|operation| operation.id)
}
