//! What a client reads of an error of the engine, from `filters/errors.yaml`.
//!
//! The engine's own text can name hosts, paths, options and other containers. Where a profile hides it, a client reads a
//! constant part of a known text, or the status and nothing else. Clients act on these words: some pull an image only if
//! the error says `No such image`, and the docker command chooses its exit code by them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::operations::{Operation, operation, unknown_operation};
use super::version::ApiVersion;
use crate::embedded;
use crate::packed::{Packer, Unpacker};
use crate::schema::{Phrase, Phrases};
use crate::yaml::{Diagnostics, Members, Node};

/// The schema of the engine's error documents.
pub const SCHEMA: &str = "Error";
/// The path of the text in them.
pub const TEXT: &str = "$.message";

/// The file of the built-in table. The checked table is packed, because it takes long to check that no two patterns contradict each
/// other.
pub const FILE: &str = "errors.yaml";

/// The built-in table, unpacked once.
static BUILT_IN: LazyLock<Result<ErrorTable, Diagnostics>> =
    LazyLock::new(|| Ok(embedded::table(FILE, ErrorTable::unpack)?));

/// Returns the built-in table.
///
/// # Errors
/// The program is damaged. A test makes sure that it is not.
pub fn built_in() -> Result<&'static ErrorTable, Diagnostics> {
    BUILT_IN.as_ref().map_err(Clone::clone)
}

/// The built-in table. It is unpacked when the first text is looked up. If the program is damaged, no text is known.
pub fn table() -> &'static ErrorTable {
    static NOTHING: ErrorTable =
        ErrorTable { errors: Phrases::NONE, warnings: Phrases::NONE, missing: BTreeMap::new() };
    BUILT_IN.as_ref().unwrap_or(&NOTHING)
}

/// The engine's known texts, and the kinds of objects that operations are about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorTable {
    /// Errors.
    errors: Phrases,
    /// Warnings in answers that are no errors.
    warnings: Phrases,
    /// What is said if an object does not exist, by the id of the operation.
    missing: BTreeMap<&'static str, String>,
}

impl ErrorTable {
    /// Reads the table from its file.
    ///
    /// # Errors
    /// Every error in the file.
    pub fn read(document: &Node) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let what = "errors, warnings and missing objects";
        let members = diagnostics.members(document, what, &["errors", "warnings", "missing"]);
        let table = members.map(|members| Self {
            errors: phrases(members, "errors", &mut diagnostics),
            warnings: phrases(members, "warnings", &mut diagnostics),
            missing: missing(members, &mut diagnostics),
        });
        diagnostics.finish_option(table)
    }

    /// Writes the table in compact form.
    pub fn pack(&self, packer: &mut Packer) {
        self.errors.pack(packer);
        self.warnings.pack(packer);
        packer.list(self.missing.iter(), |packer, (id, says)| {
            packer.text(id);
            packer.text(says);
        });
    }

    /// Reads a table that was packed. Nothing is checked again.
    fn unpack(packed: &[u8]) -> Option<Self> {
        let mut packed = Unpacker::new(packed);
        let (errors, warnings) = (Phrases::unpack(&mut packed)?, Phrases::unpack(&mut packed)?);
        let missing = packed.list(|packed| Some((operation(packed.text()?)?.id, packed.text()?.to_owned())))?;
        packed.finish(Self { errors, warnings, missing: missing.into_iter().collect() })
    }

    /// The constant part of a known error text.
    pub fn known(&self, text: &str) -> Option<&str> {
        self.errors.say(text)
    }

    /// The engine's known warnings.
    pub fn warnings(&self) -> &Phrases {
        &self.warnings
    }

    /// What is said of an error text that is hidden: its constant part if it is known, or the status. For a missing object
    /// it is its kind, because some clients search for that.
    pub fn phrase(&self, status: u16, operation: &Operation, text: Option<&str>) -> String {
        let missing = || self.missing.get(operation.id).filter(|_| status == 404);
        if let Some(refusal) = text.and_then(refused_version) {
            return refusal;
        }
        match text.and_then(|text| self.known(text)).or_else(|| missing().map(String::as_str)) {
            Some(known) => known.to_owned(),
            None => format!("the engine answered {status}; its text is hidden by the profile"),
        }
    }
}

/// The text for a client that asks for a newer API version than the engine's. Its words are the engine's.
pub fn too_new(client: ApiVersion, engine: ApiVersion) -> String {
    format!("client version {client} is too new. Maximum supported API version is {engine}")
}

/// The text for a client that asks for an older API version than the engine serves. Its words are the engine's.
pub fn too_old(client: ApiVersion, engine: ApiVersion) -> String {
    format!(
        "client version {client} is too old. Minimum supported API version is {engine}, please upgrade your client to a \
         newer version"
    )
}

/// The engine's text for an API version that it does not serve, made again from its numbers.
fn refused_version(text: &str) -> Option<String> {
    let mut versions = text.split([' ', ',']).filter_map(|word| word.trim_end_matches('.').parse::<ApiVersion>().ok());
    let (client, engine) = (versions.next()?, versions.next()?);
    [too_new(client, engine), too_old(client, engine)].into_iter().find(|known| known == text)
}

/// What an error in a stream says whose text is hidden and unknown. The status of such an answer is a success.
pub const HIDDEN_IN_STREAM: &str = "the engine failed; its text is hidden by the profile";

/// One entry of a list of the file.
struct TextEntry<'n> {
    /// What is said.
    says: &'n str,
    /// What the entry is about; `None` if it says the whole of a text.
    of: Option<&'n Node>,
    node: &'n Node,
}

/// The entries of one member of the file.
fn entries<'n>(members: Members<'n>, name: &str, diagnostics: &mut Diagnostics) -> Vec<TextEntry<'n>> {
    let list = members.get(name).and_then(|node| diagnostics.ok(node.list("a list of texts")));
    let mut entries = Vec::new();
    for node in list.unwrap_or_default() {
        let Some(members) = diagnostics.members(node, "a text and what it is about", &["says", "of"]) else { continue };
        match members.get("says").map(|says| says.text("a text")) {
            Some(Ok(says)) => entries.push(TextEntry { says, of: members.get("of"), node }),
            Some(Err(error)) => diagnostics.push(error),
            None => diagnostics.push(node.diagnostic("expected `says`")),
        }
    }
    entries
}

/// The patterns of one member of the file.
fn phrases(members: Members<'_>, name: &str, diagnostics: &mut Diagnostics) -> Phrases {
    let mut phrases = Phrases::default();
    for TextEntry { says, of, node } in entries(members, name, diagnostics) {
        let patterns = match of {
            Some(of) => diagnostics.texts(of, "patterns"),
            None => vec![(says, node)],
        };
        for (pattern, node) in patterns {
            let added = Phrase::new(pattern, says).and_then(|phrase| phrases.add(phrase));
            if let Err(error) = added {
                diagnostics.push(node.diagnostic(format!("{pattern:?}: {error}")));
            }
        }
    }
    phrases
}

/// What is said of missing objects, by the id of the operation.
fn missing(members: Members<'_>, diagnostics: &mut Diagnostics) -> BTreeMap<&'static str, String> {
    let mut missing = BTreeMap::new();
    for TextEntry { says, of, node } in entries(members, "missing", diagnostics) {
        let Some(of) = of else {
            diagnostics.push(node.diagnostic("expected `of`"));
            continue;
        };
        for (id, node) in diagnostics.texts(of, "operation ids") {
            let Some(operation) = operation(id) else {
                diagnostics.push(node.diagnostic(unknown_operation(id)));
                continue;
            };
            if missing.insert(operation.id, says.to_owned()).is_some() {
                diagnostics.push(node.diagnostic(format!("duplicate operation {id}")));
            }
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::OPERATIONS;

    /// The file, parsed.
    fn document() -> Node {
        crate::yaml::parse("errors.yaml", include_str!("../../filters/errors.yaml")).unwrap()
    }

    /// The patterns of errors, each with what is said.
    fn patterns() -> Vec<(String, String)> {
        let document = document();
        let mut diagnostics = Diagnostics::default();
        let members = diagnostics.members(&document, "", &["errors", "warnings", "missing"]).unwrap();
        let mut found = Vec::new();
        for name in ["errors", "warnings"] {
            for TextEntry { says, of, .. } in entries(members, name, &mut Diagnostics::default()) {
                let of: Vec<&str> =
                    of.map_or(vec![says], |of| diagnostics.texts(of, "").into_iter().map(|(text, _)| text).collect());
                found.extend(of.into_iter().map(|pattern| (pattern.to_owned(), says.to_owned())));
            }
        }
        found
    }

    /// A pattern with something in its holes, and a word in its words.
    fn filled(pattern: &str, hole: &str, word: &str) -> String {
        pattern.split("{}").collect::<Vec<_>>().join(hole).replace("{word}", word)
    }

    fn table() -> &'static ErrorTable {
        built_in().unwrap()
    }

    #[test]
    fn the_built_in_table_has_no_errors() {
        let errors = |errors: Diagnostics| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let table = ErrorTable::read(&document()).map_err(errors).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(table.errors.len() > 200, "{}", table.errors.len());
        assert_eq!(built_in(), Ok(&table));
    }

    /// Whatever stands in a hole, even the whole of another text of the table.
    #[test]
    fn nothing_in_a_hole_changes_what_is_said() {
        let patterns = patterns();
        let mut fillers: Vec<String> = patterns.iter().map(|(pattern, _)| filled(pattern, "a", "a")).collect();
        fillers.extend(patterns.iter().flat_map(|(pattern, _)| pattern.split("{}").map(str::to_owned)));
        fillers.extend(patterns.iter().flat_map(|(pattern, _)| pattern.split("{word}").map(str::to_owned)));
        fillers.extend(["canary", "", "\n", "\u{0}", "é", "{}"].map(str::to_owned));
        fillers.sort();
        fillers.dedup();
        // A word is a part of a text between spaces and quotes.
        let words: Vec<&str> = fillers.iter().flat_map(|text| text.split([' ', '\n', '"', '\'', '`'])).collect();
        let words: BTreeSet<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let is_warning = |text: &str| table().warnings.say(text).is_some();
        for (pattern, says) in patterns.iter().filter(|(pattern, _)| !is_warning(&filled(pattern, "a", "a"))) {
            let whole = fillers.iter().map(|filler| filled(pattern, filler, "a"));
            let words = words.iter().filter(|_| pattern.contains("{word}")).map(|word| filled(pattern, "a b", word));
            for text in whole.chain(words) {
                assert_eq!(table().known(&text), Some(says.as_str()), "{pattern}: {text:?}");
            }
        }
    }

    /// What is said stands in the constant part of one of the texts: this file makes up no words.
    #[test]
    fn what_is_said_is_a_constant_part_of_the_text() {
        let words = |text: &str| -> Vec<String> {
            let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
            words.map(str::to_ascii_lowercase).collect()
        };
        let mut by_says: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (pattern, says) in patterns() {
            by_says.entry(says).or_default().push(pattern);
        }
        for (says, patterns) in by_says {
            let is_part = |pattern: &String| {
                let constant = words(&filled(pattern, " ", " "));
                words(&says).iter().all(|word| constant.contains(word))
            };
            assert!(patterns.iter().any(is_part), "{says:?}: {patterns:?}");
        }
    }

    #[track_caller]
    fn check(status: u16, id: &str, text: Option<&str>, expected: &str) {
        assert_eq!(table().phrase(status, operation(id).unwrap(), text), expected);
    }

    #[test]
    fn a_hidden_text_is_said_as_far_as_it_is_constant() {
        check(404, "ContainerCreate", Some("No such image: canary:1"), "No such image");
        check(404, "ContainerCreate", Some("No such container: canary"), "No such container");
        check(404, "NetworkConnect", Some("network canary not found"), "network not found");
        let start = |end: &str| {
            format!(
                "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create \
                 failed: unable to start container process: error during container init: exec: \"canary\": {end}"
            )
        };
        for (end, expected) in [
            ("executable file not found in $PATH: unknown", "exec: executable file not found in $PATH"),
            ("stat canary: no such file or directory", "exec: no such file or directory"),
            ("permission denied: unknown", "exec: permission denied"),
            ("canary", "the engine answered 400; its text is hidden by the profile"),
        ] {
            check(400, "ContainerStart", Some(&start(end)), expected);
        }
        let swarm = "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and join another one.";
        check(503, "SwarmInit", Some(swarm), swarm);
        check(409, "ContainerExec", Some("Container canary is not running"), "container is not running");
    }

    #[test]
    fn an_unknown_text_gives_the_kind_of_the_object_or_the_status() {
        for text in [None, Some(""), Some("canary"), Some("No such Container: canary")] {
            check(404, "ContainerInspect", text, "No such container");
            check(404, "ContainerCreate", text, "No such image");
            check(404, "NetworkConnect", text, "network or container not found");
            check(404, "ExecStart", text, "No such exec instance");
            check(404, "SystemInfo", text, "the engine answered 404; its text is hidden by the profile");
            check(500, "ContainerInspect", text, "the engine answered 500; its text is hidden by the profile");
        }
    }

    #[test]
    fn every_operation_with_a_name_in_its_path_has_a_kind() {
        let without = ["DebugPprofNamed", "StrayPprofNamed"];
        for operation in OPERATIONS.iter().filter(|operation| operation.takes_name()) {
            assert!(table().missing.contains_key(operation.id) || without.contains(&operation.id), "{}", operation.id);
        }
    }

    #[test]
    fn the_versions_in_a_text_pass_as_numbers() {
        let (old, new) = (ApiVersion::new(24), ApiVersion::new(57));
        for text in [too_old(old, ApiVersion::new(44)), too_new(new, ApiVersion::new(51))] {
            check(400, "ContainerList", Some(&text), &text);
            let hidden = "the engine answered 400; its text is hidden by the profile";
            check(400, "ContainerList", Some(&format!("{text} canary")), hidden);
            check(400, "ContainerList", Some(&text.replace("client", "canary")), hidden);
        }
    }

    /// Every error that real engines answered in `fixtures/engine-errors.tsv`, whose names are all canaries.
    #[test]
    fn most_of_what_engines_answer_is_known_and_no_name_is_said() {
        let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for line in include_str!("../../fixtures/engine-errors.tsv").lines().filter(|line| !line.starts_with('#')) {
            let [engine, id, status, place, text] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            if place.starts_with("Warning") {
                continue;
            }
            let text: String = serde_json::from_str(&format!("\"{text}\"")).unwrap();
            let said = table().phrase(status.parse().unwrap(), operation(id).unwrap(), Some(&text));
            assert!(!said.to_ascii_lowercase().contains("canary") && !said.contains("/engine"), "{text} → {said}");
            let count = counts.entry(engine).or_default();
            count.0 += usize::from(!said.contains("hidden by the profile"));
            count.1 += 1;
        }
        assert_eq!(counts.len(), 5);
        for (engine, (known, all)) in counts {
            let share = if engine.starts_with("docker") { 95 } else { 93 };
            assert!(all > 100 && known * 100 >= all * share, "{engine}: {known} of {all}");
        }
    }
}
