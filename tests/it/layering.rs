//! Which module may use which: compares the map in `lib.rs` with the paths that each module uses.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::harness::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    modules_use_only_those_below_them,
    a_client_is_written_to_in_one_place,
    bodies_are_made_in_one_place,
    third_party_crates_come_in_by_their_doors,
    a_word_is_found_inside_a_name,
    the_filter_engine_names_nothing_of_docker,
    no_two_types_share_a_name,
    unit_tests_that_wait_have_a_time_limit,
    values_of_a_configuration_are_quoted_in_one_place
];

/// The map of `lib.rs`: each module, and those that it may use.
fn map() -> BTreeMap<String, Vec<String>> {
    let mut modules = BTreeMap::new();
    for row in include_str!("../../src/lib.rs").lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [module, _, _, uses, ""] = cells[..] else { panic!("a row of four cells: {row}") };
        let uses = uses.split(", ").filter(|used| !used.is_empty()).map(str::to_owned).collect();
        modules.insert(module.trim_matches(['[', '`', ']']).to_owned(), uses);
    }
    modules
}

/// A third-party crate and the files that may name it.
const DOORS: &[(&str, &[&str])] = &[
    ("jsonpath_rust", &["src/filter/selector", "src/properties"]),
    ("hyper", &["src/server", "src/proxy", "src/upstream"]),
    ("saphyr_parser", &["src/yaml"]),
    ("clap", &["src/cli"]),
    ("miniz_oxide", &["src/embedded"]),
    ("httparse", &["src/properties"]),
    ("rustls", &["src/tls", "src/server/tls", "src/upstream/tls"]),
    ("x509_cert", &["src/tls"]),
    ("prometheus", &["src/metrics"]),
];

fn files(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_str().unwrap().to_owned();
            found.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 20);
    found
}

/// The top-level module that a file belongs to.
fn module(file: &str) -> &str {
    file.strip_prefix("src/").unwrap().split(['/', '.']).next().unwrap()
}

fn modules_use_only_those_below_them() {
    let mut wrong = BTreeSet::new();
    let modules = map();
    for (file, text) in sources() {
        let module = module(&file);
        if module == "lib" || file.ends_with("/tests.rs") {
            continue;
        }
        let allowed = modules.get(module).unwrap_or_else(|| panic!("{module} is not in the map"));
        let prefix = if module == "main" { "dockveil::" } else { "crate::" };
        let tested = text.find("#[cfg(test)]").unwrap_or(text.len());
        for (start, _) in text[..tested].match_indices(prefix) {
            let used =
                text[start + prefix.len()..].split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap();
            if used != module && !allowed.iter().any(|allowed| allowed == used) && !used.is_empty() {
                wrong.insert(format!("{file}: {module} uses {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The part of a file that is not for tests, without comments.
fn code(text: &str) -> String {
    let tested = text.find("#[cfg(test)]").unwrap_or(text.len());
    text[..tested].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn a_client_is_written_to_in_one_place() {
    // hyper writes `Filtered` bodies through the request reader; everything else leaves through `Downstream`, which takes
    // only what `proxy/body.rs` makes. Elsewhere in `proxy`, a socket is the engine's.
    const WRITES: [&str; 3] = [".write_all(", ".try_write(", ".poll_write("];
    let allowed = |file: &str, line: &str| match file {
        "src/server/request_reader.rs" => line.contains(".poll_write("),
        "src/proxy/downstream.rs" => line.contains("self.socket."),
        file if file.starts_with("src/proxy") => line.contains("engine."),
        _ => false,
    };
    let (mut found, mut wrong) = (0, BTreeSet::new());
    for (file, text) in sources() {
        if !file.starts_with("src/server") && !file.starts_with("src/proxy") {
            continue;
        }
        for line in code(&text).lines().filter(|line| WRITES.iter().any(|write| line.contains(write))) {
            found += 1;
            if !allowed(&file, line) {
                wrong.insert(format!("{file}: {}", line.trim()));
            }
        }
    }
    assert!(found >= 6, "found only {found} writes: has the code moved?");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn bodies_are_made_in_one_place() {
    let mut wrong = BTreeSet::new();
    for (file, text) in sources() {
        let is_body = code(&text).lines().any(|line| line.starts_with("impl") && line.contains("Body for "));
        // The second is the engine's answer, and the third goes to the engine: the server's HTTP writer accepts neither.
        if is_body && !["src/proxy/body.rs", "src/upstream.rs", "src/upstream/client_body.rs"].contains(&file.as_str())
        {
            wrong.insert(file);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn third_party_crates_come_in_by_their_doors() {
    let mut wrong = BTreeSet::new();
    for (file, text) in sources() {
        for (name, doors) in DOORS {
            let named = text.contains(&format!("{name}::")) || text.contains(&format!("use {name}"));
            if named && !doors.iter().any(|door| file.starts_with(door)) {
                wrong.insert(format!("{file}: {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Words of Docker, in lower case. The filter engine works on any JSON, so none of them belongs in it.
const DOCKER: &[&str] = &[
    "docker",
    "podman",
    "swarm",
    "compose",
    "container",
    "containers",
    "image",
    "images",
    "volume",
    "volumes",
    "network",
    "networks",
    "service",
    "services",
    "label",
    "labels",
    "env",
    "environment",
    "annotation",
    "annotations",
    "mounts",
    "daemon",
    "exec",
    "actor",
    "attributes",
];

/// The part of a file that is not compiled for tests only.
fn product(file: &str, text: &str) -> String {
    if file.ends_with("/tests.rs") {
        return String::new();
    }
    text[..text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len())].to_owned()
}

/// The words of a line in lower case; `ContainerInspect` is two.
fn words(line: &str) -> impl Iterator<Item = String> {
    let mut spaced = String::new();
    for c in line.chars() {
        if c.is_ascii_uppercase() {
            spaced.push(' ');
        }
        spaced.push(c);
    }
    let words: Vec<String> = spaced.split(|c: char| !c.is_ascii_alphabetic()).map(str::to_ascii_lowercase).collect();
    words.into_iter()
}

fn a_word_is_found_inside_a_name() {
    let found: Vec<String> = words("fn of(ContainerInspect, \"$.HostConfig\") // a_label").collect();
    for word in ["container", "inspect", "host", "config", "label"] {
        assert!(found.iter().any(|found| found == word), "{word}");
    }
}

fn the_filter_engine_names_nothing_of_docker() {
    let mut wrong = BTreeSet::new();
    for (file, text) in sources().iter().filter(|(file, _)| file.starts_with("src/filter")) {
        // The shapes of credentials are texts of programs and companies, whatever their names.
        let is_shape = file.starts_with("src/filter/credential/");
        for (number, line) in product(file, text).lines().enumerate() {
            let line = if is_shape { line.split('"').step_by(2).collect() } else { line.to_owned() };
            for word in words(&line).filter(|word| DOCKER.contains(&word.as_str())) {
                wrong.insert(format!("{file}:{}: {word}", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The type that a line defines. Associated types, which a trait names, are none: they are the indented `type` lines.
fn defined_type(line: &str) -> Option<&str> {
    let start = line.trim_start();
    let after_visibility = match start.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.strip_prefix(' ')?,
        None => start,
    };
    let (kind, rest) = after_visibility.split_once(' ')?;
    let defines = ["struct", "enum", "union", "trait"].contains(&kind) || (kind == "type" && start.len() == line.len());
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    rest.get(..end).filter(|name| defines && name.starts_with(|c: char| c.is_ascii_uppercase()))
}

fn no_two_types_share_a_name() {
    for (line, name) in [
        ("pub(super) struct Members<'d>(Vec<Member>);", Some("Members")),
        ("    enum Step {", Some("Step")),
        ("pub type Shared = Arc<Plan>;", Some("Shared")),
        ("    type Data = Bytes;", None),
        ("/// A struct Of this kind.", None),
    ] {
        assert_eq!(defined_type(line), name, "{line}");
    }
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            if let Some(name) = defined_type(line) {
                places.entry(name.to_owned()).or_default().push(format!("{file}:{}", number + 1));
            }
        }
    }
    assert!(places.len() > 200, "found only {} types", places.len());
    places.retain(|_, places| places.len() > 1);
    assert!(places.is_empty(), "{places:#?}");
}

/// What a test can wait for: sockets, threads, processes, async code.
const WAITS: &[&str] =
    &["TcpListener", "TcpStream", "UnixListener", "UnixStream", "thread::", "mpsc", "Command::new", "tokio"];

fn unit_tests_that_wait_have_a_time_limit() {
    let (mut limited, mut wrong) = (0, BTreeSet::new());
    for (file, text) in sources() {
        let tested = if file.ends_with("/tests.rs") { Some(0) } else { text.find("#[cfg(test)]\nmod tests") };
        let Some(tests) = tested.and_then(|start| text.get(start..)) else { continue };
        let waits: Vec<&str> = WAITS.iter().copied().filter(|word| tests.contains(word)).collect();
        if tests.contains("within_time_limit(") {
            limited += 1;
        } else if !waits.is_empty() {
            wrong.insert(format!("{file}: its tests use {}", waits.join(", ")));
        }
    }
    assert!(limited >= 3, "found only {limited} files: has the code moved?");
    assert!(wrong.is_empty(), "wrap them in `within_time_limit`: {wrong:#?}");
}

/// The modules whose messages quote what an operator has written.
const QUOTING: &[&str] = &[
    "api",
    "cli",
    "clients",
    "command",
    "config",
    "endpoint",
    "filter",
    "profile",
    "schema",
    "socket",
    "visibility",
    "yaml",
];

/// What is between quotes and no such value: characters, names that the program knows, and texts of files inside it.
const QUOTED: &[(&str, &str)] = &[
    ("src/api/errors.rs", "{pattern:?}: {error}"),
    // A rule that is accepted.
    ("src/command/exposure.rs", "the dot in the pattern {pattern:?}"),
    ("src/command/healthcheck.rs", "unexpected answer {:?}"),
    // Nothing is meant by a text that may hold a password.
    ("src/config/hosts.rs", "; did you mean {meant:?}?"),
    ("src/filter/reach.rs", "did you mean {near:?}?"),
    ("src/filter/selector.rs", "found {c:?} outside quotes"),
    ("src/profile/raw.rs", "found {c:?} in {:?}"),
    ("src/schema/phrase.rs", "a pattern that says {other:?}"),
    ("src/yaml/nearest.rs", "did you mean {near:?}?"),
];

/// A password in the wrong place is in no message only if each message takes its values from there.
fn values_of_a_configuration_are_quoted_in_one_place() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (name, text) in sources() {
        let (_, inner) = name.split_once("src/").unwrap();
        let module = inner.split(['/', '.']).next().unwrap();
        if !QUOTING.contains(&module) || inner.ends_with("tests.rs") {
            continue;
        }
        let text = text.split("#[cfg(test)]").next().unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(":?}")) {
            count += 1;
            let is_known = QUOTED.iter().any(|(file, part)| name.ends_with(file) && line.contains(part));
            // A value is behind its message, or a variable of this name before it.
            let is_value = |line: &&str| ["quoting::value(", "quoting::image("].iter().any(|call| line.contains(call));
            let behind = lines[number..].iter().take(4).any(is_value);
            let before = lines[..number]
                .iter()
                .rev()
                .take(16)
                .any(|line| line.contains("found") && line.contains("quoting::value("));
            let is_quoted = line.contains("{:?}") && behind || line.contains("{found:?}") && before;
            if !is_known && !is_quoted {
                wrong.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty() && count > 40, "{count} {wrong:#?}");
}
