//! Files that a test makes from others and that are kept, so that a reviewer reads what changed.

use std::path::Path;

/// Holds the file at `path`, below the package, against `text`. With `DOCKVEIL_GENERATE` set it is written.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the program reads its environment in `cli`, a test where it is")]
pub(crate) fn check(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("DOCKVEIL_GENERATE").is_some() {
        std::fs::write(&file, text).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let differing = text.lines().zip(kept.lines()).find(|(new, old)| new != old);
    let (new, old) = differing.unwrap_or(("its length", "its length"));
    assert!(kept == text, "{path} is out of date: run with DOCKVEIL_GENERATE=1 and review\n- {old}\n+ {new}");
}

/// Words in lines of at most 120 bytes, where one word has no more.
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
