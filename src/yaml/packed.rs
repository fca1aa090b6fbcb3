//! Trees in compact form: those of the files inside the program.

use std::sync::Arc;

use super::{Key, Location, Node, Value};
use crate::packed::{Packer, Unpacker};

/// What a node is, in the lowest bits of its first number. Those above them are its line, counted from that of the node before it.
const NULL: u32 = 0;
const PLAIN: u32 = 1;
const QUOTED: u32 = 2;
const SEQUENCE: u32 = 3;
const MAPPING: u32 = 4;
const KIND_BITS: u32 = 3;

impl Node {
    /// Writes a tree. The name of the file is not written.
    pub fn pack(&self, packer: &mut Packer) {
        self.pack_after(&mut 0, packer);
    }

    /// Reads the tree of the file called `file`.
    pub fn unpack(file: &str, packed: &[u8]) -> Option<Self> {
        let mut unpacker = Unpacker::new(packed);
        let node = TreeUnpacker { file: file.into(), line: 0, packed: &mut unpacker }.node()?;
        unpacker.finish(node)
    }

    /// Writes a tree behind a node on the line `line`, which is then that of its last node.
    fn pack_after(&self, line: &mut u32, packer: &mut Packer) {
        let kind = match &self.value {
            Value::Null => NULL,
            Value::Scalar { quoted: false, .. } => PLAIN,
            Value::Scalar { quoted: true, .. } => QUOTED,
            Value::Sequence(_) => SEQUENCE,
            Value::Mapping(_) => MAPPING,
        };
        pack_location(&self.location, line, kind, packer);
        match &self.value {
            Value::Null => {}
            Value::Scalar { text, .. } => packer.text(text),
            Value::Sequence(items) => packer.list(items.iter(), |packer, item| item.pack_after(line, packer)),
            Value::Mapping(entries) => packer.list(entries.iter(), |packer, (key, node)| {
                pack_location(&key.location, line, NULL, packer);
                packer.text(&key.name);
                node.pack_after(line, packer);
            }),
        }
    }
}

/// Writes where a node is, and what it is. Nodes come in the order of their lines.
fn pack_location(location: &Location, line: &mut u32, kind: u32, packer: &mut Packer) {
    packer.number((location.line.wrapping_sub(*line) << KIND_BITS) | kind);
    packer.number(location.column);
    *line = location.line;
}

/// Reads a tree.
struct TreeUnpacker<'u, 'p> {
    file: Arc<str>,
    /// The line of the last node.
    line: u32,
    packed: &'u mut Unpacker<'p>,
}

impl TreeUnpacker<'_, '_> {
    fn node(&mut self) -> Option<Node> {
        let (location, kind) = self.location()?;
        let value = match kind {
            NULL => Value::Null,
            PLAIN | QUOTED => Value::Scalar { text: self.packed.text()?.to_owned(), quoted: kind == QUOTED },
            SEQUENCE => {
                let count = self.packed.count()?;
                Value::Sequence((0..count).map(|_| self.node()).collect::<Option<_>>()?)
            }
            MAPPING => {
                let count = self.packed.count()?;
                Value::Mapping((0..count).map(|_| self.entry()).collect::<Option<_>>()?)
            }
            _ => return None,
        };
        Some(Node { location, value })
    }

    fn entry(&mut self) -> Option<(Key, Node)> {
        let (location, _) = self.location()?;
        let name = self.packed.text()?.to_owned();
        Some((Key { location, name }, self.node()?))
    }

    fn location(&mut self) -> Option<(Location, u32)> {
        let (first, column) = (self.packed.number()?, self.packed.number()?);
        self.line = self.line.checked_add(first >> KIND_BITS)?;
        let location = Location { file: self.file.clone(), line: self.line, column, is_argument: false };
        Some((location, first & ((1 << KIND_BITS) - 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::parse;

    #[test]
    fn a_tree_is_unpacked_as_it_was_parsed() {
        for text in [
            "",
            "a",
            "'1'",
            "a: 1\nb:\n  - x\n  - 'y'\n  -\n\n\n\nc: {d: [], e: {}, 'f g': é}\nlong: |\n  one\n  two\nlast: ~\n",
            "- - - deep\n    - er\n-\n  a: >\n    folded\n    text\n",
        ] {
            let parsed = parse("f.yaml", text).unwrap();
            let mut packer = Packer::default();
            parsed.pack(&mut packer);
            let packed = packer.finish();
            assert_eq!(Node::unpack("f.yaml", &packed), Some(parsed), "{text}");
            assert!((0..packed.len()).all(|end| Node::unpack("f.yaml", &packed[..end]).is_none()), "{text}");
        }
    }
}
