//! Requests of clients, byte for byte: `fixtures/clients/<profile>.http`. `fixtures/README.md` describes the files.

use std::path::Path;
use std::sync::LazyLock;

/// The requests of one client.
pub(crate) struct Recorded {
    /// The profile for it.
    pub(crate) profile: String,
    /// What it is called.
    pub(crate) client: String,
    /// Its release, and those of the libraries that write its requests.
    pub(crate) release: String,
    /// Whether the client was run to record them. Otherwise they are written as its source makes them.
    pub(crate) was_run: bool,
    /// The requests.
    pub(crate) requests: Vec<Request>,
}

/// One request.
pub(crate) struct Request {
    /// The place in the source where it is made, or the command that makes it.
    pub(crate) place: String,
    /// The status of the answer through the profile.
    pub(crate) status: u16,
    /// What the engine answers: the name of a recording, with or without its kind, or of one of the answers in
    /// `tests/it/clients.rs`.
    pub(crate) answer: String,
    /// The paths of what the client reads in the answer. A stream of records is an array of them.
    pub(crate) reads: Vec<String>,
    /// The head and the body, as the client sends them.
    pub(crate) bytes: Vec<u8>,
}

impl Request {
    /// The request line, for messages.
    pub(crate) fn line(&self) -> String {
        let end = self.bytes.iter().position(|byte| *byte == b'\r').unwrap();
        String::from_utf8_lossy(&self.bytes[..end]).into_owned()
    }

    /// Whether it has this method.
    pub(crate) fn has_method(&self, method: &str) -> bool {
        self.bytes.strip_prefix(method.as_bytes()).is_some_and(|rest| rest.starts_with(b" "))
    }
}

/// The files, in the order of their profiles.
pub(crate) fn all() -> &'static [Recorded] {
    static ALL: LazyLock<Vec<Recorded>> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/clients");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let read = |file: std::path::PathBuf| read(&file.display().to_string(), &std::fs::read(&file).unwrap());
        let mut all: Vec<Recorded> = files.map(read).collect();
        all.sort_by(|one, other| one.profile.cmp(&other.profile));
        all
    });
    &ALL
}

/// Splits bytes before each occurrence of `marker`.
fn split<'b>(mut bytes: &'b [u8], marker: &[u8]) -> Vec<&'b [u8]> {
    let mut parts = Vec::new();
    let find = |bytes: &[u8]| bytes.windows(marker.len()).position(|window| window == marker);
    while let Some(at) = find(bytes) {
        parts.push(&bytes[..at]);
        bytes = &bytes[at + marker.len()..];
    }
    parts.push(bytes);
    parts
}

/// The value of the first line `key: value`.
#[track_caller]
fn value<'t>(text: &'t str, key: &str, file: &str) -> &'t str {
    let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("{file}: no {key} in {text:?}"))
}

/// Reads a file: a head, and then each request with a head of its own.
fn read(file: &str, bytes: &[u8]) -> Recorded {
    let mut sections = split(bytes.strip_suffix(b"\n").unwrap(), b"\n=== ").into_iter();
    let head = str::from_utf8(sections.next().unwrap()).unwrap();
    let requests = sections.map(|section| request(file, section)).collect();
    let how = value(head, "requests", file);
    assert!(["recorded", "written from the source"].contains(&how), "{file}: {how}");
    Recorded {
        profile: value(head, "profile", file).to_owned(),
        client: value(head, "client", file).to_owned(),
        release: value(head, "release", file).to_owned(),
        was_run: how == "recorded",
        requests,
    }
}

/// Reads one request.
fn request(file: &str, section: &[u8]) -> Request {
    let parts = split(section, b"\n---\n");
    let [head, bytes] = parts.as_slice() else { panic!("{file}: {}", String::from_utf8_lossy(section)) };
    let head = str::from_utf8(head).unwrap();
    let expected = head.lines().next().unwrap();
    let (status, answer) = expected.split_once(' ').unwrap_or((expected, ""));
    assert!(split(bytes, b"\r\n\r\n").len() >= 2, "{file}: the head has no end: {head}");
    Request {
        place: value(head, "from", file).to_owned(),
        status: status.parse().unwrap_or_else(|_| panic!("{file}: {expected}")),
        answer: answer.to_owned(),
        reads: head.lines().filter_map(|line| Some(line.strip_prefix("reads: ")?.to_owned())).collect(),
        bytes: bytes.to_vec(),
    }
}
