//! Generated files that are kept in the repository, so that a review shows what changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Whether files are to be written instead of compared.
#[expect(clippy::disallowed_methods, reason = "the program reads its environment in `cli`, a test where it is")]
fn is_writing() -> bool {
    std::env::var_os("DOCKVEIL_GENERATE").is_some()
}

/// Compares the file at `path`, below the package, with `text`. With `DOCKVEIL_GENERATE` set it is written.
#[track_caller]
pub(crate) fn check(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if is_writing() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let differing = text.lines().zip(kept.lines()).find(|(new, old)| new != old);
    let (new, old) = differing.unwrap_or(("its length", "its length"));
    assert!(kept == text, "{path} is out of date: run with DOCKVEIL_GENERATE=1 and review\n- {old}\n+ {new}");
}

/// Compares all files of the folder at `path`, below the package, with `texts`, which are by their paths in the folder.
/// With `DOCKVEIL_GENERATE` set they are written, and all other files there are removed.
#[track_caller]
pub(crate) fn check_folder(path: &str, texts: &BTreeMap<String, String>) {
    for (file, text) in texts {
        check(&format!("{path}/{file}"), text);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    for file in files(&folder) {
        let name = file.strip_prefix(&folder).unwrap().to_str().unwrap();
        if !texts.contains_key(name) {
            assert!(is_writing(), "{path}/{name} belongs to nothing: run with DOCKVEIL_GENERATE=1 and review");
            std::fs::remove_file(&file).unwrap();
        }
    }
}

/// The files in a folder and in the folders below it.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

/// Joins words to lines of at most 120 bytes, unless a single word is longer.
pub(crate) fn wrapped<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let (mut text, mut width) = (String::new(), 0);
    for word in words {
        if width > 0 && width + word.len() >= 120 {
            text.push('\n');
            width = 0;
        } else if width > 0 {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += word.len();
    }
    text
}
