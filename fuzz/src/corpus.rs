//! The files of a target: its corpus, its regressions and its dictionary.

use std::io;
use std::path::{Path, PathBuf};

/// The seeds of a target, sorted by name, so that a run can be repeated.
///
/// # Errors
/// If a file or folder cannot be read. A target without regressions has no folder for them.
pub(crate) fn seeds(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut files = Vec::new();
    for folder in ["corpus", "regressions"] {
        let folder = root().join(folder).join(target);
        if folder.is_dir() {
            for entry in std::fs::read_dir(folder)? {
                files.push(entry?.path());
            }
        }
    }
    files.sort();
    files.iter().map(std::fs::read).collect()
}

/// The words of a target's dictionary, which is written as libFuzzer reads it: a word in quotes per line.
///
/// # Errors
/// If there is a dictionary and it cannot be read.
pub(crate) fn words(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let file = root().join("dictionaries").join(format!("{target}.dict"));
    if !file.is_file() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(file)?;
    Ok(text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"')).map(word).collect())
}

/// A word with its escapes: `\\`, `\"` and `\xNN`.
fn word(text: &str) -> Vec<u8> {
    let mut word = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            word.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'x') => {
                let digits: String = bytes.by_ref().take(2).map(char::from).collect();
                word.extend(u8::from_str_radix(&digits, 16));
            }
            other => word.extend(other),
        }
    }
    word
}

/// Writes an input that broke a promise, and returns where.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn keep(target: &str, name: &str, input: &[u8]) -> io::Result<PathBuf> {
    let folder = root().join("artifacts").join(target);
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(name);
    std::fs::write(&file, input)?;
    Ok(file)
}

/// The folder that has everything.
fn root() -> &'static Path {
    Path::new(crate::FOLDER)
}
