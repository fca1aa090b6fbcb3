//! Schemas whose documents are of several kinds.
//!
//! Field names alone cannot describe some documents. One member, the *tag*, names the kind of the document, and another, the
//! *action*, what it tells. An object inside mixes members that only this kind has, or only this action of this kind, with
//! free entries of a [`NameList`]. Some texts are a word, a colon and free text. [`Variants`] describes such a schema. It is
//! read from a file:
//!
//! ```yaml
//! schema: Measurement
//! tag: Kind
//! action: Step
//! words: {members: [Step], rest: command, whole: ["done: ok"]}
//! entries: {path: [Source, Details], list: tags, class: free-text}
//! kinds:
//!   probe:
//!     about: topology            # without this class, documents of the kind are hidden as a whole
//!     members: {owner: name}
//!     actions:
//!       done: {count: number}    # only if `Step` begins with the word `done`
//! ```

use std::collections::BTreeMap;

use super::{Class, NameList, UnknownClass};
use crate::quoting;
use crate::yaml::{self, Diagnostics, Node};

/// How the documents of one schema differ by kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Variants {
    /// The name of the schema.
    pub schema: String,
    /// The member of the document that names its kind.
    pub tag: String,
    /// The member of the document whose word names its action.
    pub action: String,
    /// The texts that begin with a word.
    pub words: VariantWords,
    /// The object that mixes members of the kind with free entries.
    pub entries: Entries,
    /// The kinds by name. A document of any other kind has free entries only.
    pub kinds: BTreeMap<String, VariantKind>,
}

/// Members of the document whose text is a word, or a word, a colon and free text.
#[derive(Clone, Debug, PartialEq)]
pub struct VariantWords {
    /// The names of the members.
    pub members: Vec<String>,
    /// The class of the free text after the first colon.
    pub rest: Class,
    /// Texts that count as one word although they contain a colon.
    pub whole: Vec<String>,
}

/// An object two levels below the document that mixes members of a kind with free entries.
#[derive(Clone, Debug, PartialEq)]
pub struct Entries {
    /// The names of two members: the outer one, in the document, and the object inside it.
    pub path: [String; 2],
    /// The list to which the free entries belong.
    pub list: NameList,
    /// The class of the free entries.
    pub class: Class,
}

/// The names of members, each with the format of its value.
pub(super) type Formats = BTreeMap<String, ValueFormat>;

/// One kind of document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VariantKind {
    /// A class that a profile must show; without it, every document of this kind is hidden as a whole.
    pub about: Option<Class>,
    /// The members that documents of this kind have among their entries, whatever their action.
    pub members: Formats,
    /// The members that only documents of one action have, by the word of the action.
    pub actions: BTreeMap<String, Formats>,
}

impl VariantKind {
    /// The format of a member, if documents of this kind and action have it. `word` is the word of the action.
    pub fn format(&self, word: &str, name: &str) -> Option<ValueFormat> {
        self.members.get(name).or_else(|| self.actions.get(word)?.get(name)).copied()
    }

    /// The names of all members, whatever the action.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.members.keys().chain(self.actions.values().flat_map(BTreeMap::keys))
    }
}

/// The format of a member's value. A free entry can have the same name; only a value in this format is the member's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueFormat {
    /// Decimal digits, with or without a minus sign.
    Number,
    /// Hexadecimal digits.
    Hex,
    /// A name: letters, digits and `/ . _ : @ + -`.
    Name,
    /// Any text. This is for kinds without free entries.
    Any,
}

impl ValueFormat {
    pub(super) const ALL: [(&'static str, Self); 4] =
        [("number", Self::Number), ("hex", Self::Hex), ("name", Self::Name), ("any", Self::Any)];

    /// Whether a value has this format. An empty value has every format.
    pub fn matches(self, value: &str) -> bool {
        match self {
            Self::Number => value.strip_prefix('-').unwrap_or(value).bytes().all(|byte| byte.is_ascii_digit()),
            Self::Hex => value.bytes().all(|byte| byte.is_ascii_hexdigit()),
            Self::Name => value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._:@+-".contains(&byte)),
            Self::Any => true,
        }
    }
}

impl VariantWords {
    /// The word that a text begins with: the part before the first colon, or the whole text if it counts as one word.
    pub fn word<'t>(&self, text: &'t str) -> &'t str {
        if self.whole.iter().any(|whole| whole == text) {
            return text;
        }
        text.split(':').next().unwrap_or_default()
    }
}

impl Variants {
    /// Reads a file, given as file name and text. `lists` are the lists that it can refer to.
    ///
    /// # Errors
    /// Every error in the file.
    pub fn parse((file, text): (&str, &str), lists: &[NameList]) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let document = yaml::parse(file, text)?;
        let found = Self::read(&document, lists, &mut diagnostics);
        diagnostics.finish_option(found)
    }

    fn read(document: &Node, lists: &[NameList], diagnostics: &mut Diagnostics) -> Option<Self> {
        let members = diagnostics.members(
            document,
            "a description of kinds",
            &["schema", "tag", "action", "words", "entries", "kinds"],
        )?;
        let mut required = |name: &str| {
            let found = members.get(name);
            if found.is_none() {
                diagnostics.push(document.diagnostic(format!("expected `{name}`")));
            }
            found
        };
        let (schema, tag, action) = (required("schema"), required("tag"), required("action"));
        let (words, entries, kinds) = (required("words"), required("entries"), required("kinds"));
        let schema = diagnostics.ok(schema?.text("the name of a schema"))?.to_owned();
        let tag = diagnostics.ok(tag?.text("the name of a member"))?.to_owned();
        let action = diagnostics.ok(action?.text("the name of a member"))?.to_owned();
        let words = VariantWords::read(words?, diagnostics)?;
        let entries = Entries::read(entries?, lists, diagnostics)?;
        let mut by_name = BTreeMap::new();
        for (key, node) in diagnostics.ok(kinds?.mapping("kinds by name"))? {
            by_name.insert(key.name.clone(), VariantKind::read(node, diagnostics)?);
        }
        Some(Self { schema, tag, action, words, entries, kinds: by_name })
    }
}

impl VariantWords {
    fn read(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let members = diagnostics.members(node, "words", &["members", "rest", "whole"])?;
        let texts = |name: &str, diagnostics: &mut Diagnostics| {
            let found = members.get(name).map(|node| diagnostics.texts(node, "texts")).unwrap_or_default();
            found.into_iter().map(|(text, _)| text.to_owned()).collect::<Vec<_>>()
        };
        let (words, whole) = (texts("members", diagnostics), texts("whole", diagnostics));
        let rest = class(members.get("rest").unwrap_or(node), diagnostics)?;
        Some(Self { members: words, rest, whole })
    }
}

impl Entries {
    fn read(node: &Node, lists: &[NameList], diagnostics: &mut Diagnostics) -> Option<Self> {
        let members = diagnostics.members(node, "entries", &["path", "list", "class"])?;
        let path = members.get("path").unwrap_or(node);
        let steps: Vec<String> =
            diagnostics.texts(path, "two names of members").into_iter().map(|(text, _)| text.to_owned()).collect();
        let path = steps.try_into().map_err(|_| path.diagnostic("expected the names of two members"));
        let path = diagnostics.ok(path)?;
        let list = members.get("list").unwrap_or(node);
        let name = diagnostics.ok(list.text("the name of a list"))?;
        let found = lists.iter().copied().find(|known| known.key() == name);
        let list =
            diagnostics.ok(found.ok_or_else(|| list.diagnostic(format!("unknown list {:?}", quoting::value(name)))))?;
        let class = class(members.get("class").unwrap_or(node), diagnostics)?;
        Some(Self { path, list, class })
    }
}

impl VariantKind {
    fn read(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let members = diagnostics.members(node, "a kind", &["about", "members", "actions"])?;
        let about = match members.get("about") {
            Some(node) => Some(class(node, diagnostics)?),
            None => None,
        };
        let of_all = match members.get("members") {
            Some(node) => formats(node, diagnostics)?,
            None => Formats::new(),
        };
        let mut actions = BTreeMap::new();
        if let Some(node) = members.get("actions") {
            for (key, members) in diagnostics.ok(node.mapping("actions by name"))? {
                actions.insert(key.name.clone(), formats(members, diagnostics)?);
            }
        }
        Some(Self { about, members: of_all, actions })
    }
}

/// Reads members, each with the format of its value.
fn formats(node: &Node, diagnostics: &mut Diagnostics) -> Option<Formats> {
    let mut formats = Formats::new();
    for (key, format) in diagnostics.ok(node.mapping("members by name"))? {
        let found = diagnostics.ok(format.one_of("format of a value", &ValueFormat::ALL))?;
        formats.insert(key.name.clone(), found);
    }
    Some(formats)
}

/// Reads the name of a class.
fn class(node: &Node, diagnostics: &mut Diagnostics) -> Option<Class> {
    let name = diagnostics.ok(node.text("the name of a class"))?;
    diagnostics.ok(name.parse().map_err(|error: UnknownClass| node.diagnostic(error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAGS: NameList = NameList::new(0, "tags", "tags");
    const GOOD: &str = "schema: M\ntag: Kind\naction: Step\nwords: {members: [Step], rest: command, whole: ['done: ok']}\n\
                        entries: {path: [Source, Details], list: tags, class: free-text}\n\
                        kinds:\n  probe: {about: topology, members: {count: number}, actions: {done: {owner: name}}}\n\
                        \x20 other: {}\n";

    #[test]
    fn a_file_describes_kinds() {
        let variants = Variants::parse(("v.yaml", GOOD), &[TAGS]).unwrap();
        assert_eq!((variants.schema.as_str(), variants.tag.as_str()), ("M", "Kind"));
        assert_eq!(variants.kinds["probe"].about, Some(Class::Topology));
        let probe = &variants.kinds["probe"];
        assert_eq!([probe.format("done", "count"), probe.format("", "count")], [Some(ValueFormat::Number); 2]);
        assert_eq!((probe.format("done", "owner"), probe.format("begun", "owner")), (Some(ValueFormat::Name), None));
        assert_eq!(probe.names().collect::<Vec<_>>(), ["count", "owner"]);
        assert_eq!(variants.kinds["other"], VariantKind::default());
        assert_eq!(variants.entries.list, TAGS);
    }

    #[track_caller]
    fn check(from: &str, to: &str, expected: &str) {
        let text = GOOD.replace(from, to);
        assert_ne!(text, GOOD);
        let found = Variants::parse(("v.yaml", &text), &[TAGS]).unwrap_err();
        assert!(found.iter().any(|found| found.to_string().contains(expected)), "{found:?}");
    }

    #[test]
    fn every_part_is_checked() {
        check("tag: Kind\n", "", "expected `tag`");
        check("action: Step\n", "", "expected `action`");
        check("{owner: name}", "{owner: names}", "unknown format of a value \"names\", did you mean \"name\"?");
        check("list: tags", "list: others", "unknown list \"others\"");
        check("rest: command", "rest: public", "unknown class \"public\"");
        check("[Source, Details]", "[Source]", "expected the names of two members");
        check("number", "numeral", "unknown format of a value \"numeral\"");
        check("about", "abut", "unknown key \"abut\"");
    }

    #[test]
    fn a_word_ends_at_the_first_colon() {
        let words = Variants::parse(("v.yaml", GOOD), &[TAGS]).unwrap().words;
        for (text, word) in [("a: b: c", "a"), ("done: ok", "done: ok"), ("done: ok: x", "done"), (": x", ""), ("", "")]
        {
            assert_eq!(words.word(text), word);
        }
    }

    #[test]
    fn a_format_tells_values_apart() {
        for (format, good, bad) in [
            (ValueFormat::Number, ["0", "-12", ""], ["1a", "1.5", "--1"]),
            (ValueFormat::Hex, ["0aF", "00", ""], ["0x1", "g", " "]),
            (ValueFormat::Name, ["/web", "r.io:5000/a@sha256:0f", ""], ["a b", "a,b", "{}"]),
        ] {
            for value in good {
                assert!(format.matches(value), "{format:?} {value}");
            }
            for value in bad {
                assert!(!format.matches(value), "{format:?} {value}");
            }
        }
        assert!(ValueFormat::Any.matches("a b, c"));
    }
}
