//! The files that a configuration is read from.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

/// No file of a configuration is longer, in bytes. What is behind that is not looked at.
const LONGEST_FILE: u64 = 16 << 20;
/// The most links to what does not exist that are followed.
const LINK_LIMIT: usize = 40;

/// The files that a configuration is read from. They are read again when one of them changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigFileSet {
    /// The configuration file, and those that it names.
    pub files: Vec<PathBuf>,
    /// Folders of filter files.
    pub folders: Vec<PathBuf>,
    /// Whether changes are noticed.
    pub is_watched: bool,
    /// Of their names and bytes when they were read.
    digest: [u8; 32],
}

impl ConfigFileSet {
    /// These files as they are now.
    pub fn new(files: Vec<PathBuf>, folders: Vec<PathBuf>, is_watched: bool) -> Self {
        let digest = digest_of(&files, &folders);
        Self { files, folders, is_watched, digest }
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.folders.is_empty()
    }

    /// A file that cannot be read twice, as a pipe.
    pub fn pipe(&self) -> Option<&Path> {
        self.files.iter().map(PathBuf::as_path).find(|path| is_read_once(path))
    }

    /// The file that a path leads to, if that is one of them or in one of the folders. The folder, if it would be made there.
    pub(super) fn reading(&self, path: &Path) -> Option<PathBuf> {
        let (place, identity) = (resolved(path), identity(path));
        let is_same = |file: &Path| resolved(file) == place || identity.is_some() && self::identity(file) == identity;
        let in_folders = self.folders.iter().flat_map(|folder| tree(folder));
        let file = self.files.iter().cloned().chain(in_folders).find(|file| is_same(file));
        file.or_else(|| self.folders.iter().find(|folder| place.starts_with(resolved(folder))).cloned())
    }

    /// Whether others have the same names.
    pub fn has_same_names(&self, other: &Self) -> bool {
        (&self.files, &self.folders, self.is_watched) == (&other.files, &other.folders, other.is_watched)
    }

    /// Whether the bytes of a file are not those of before. They are what counts from now on.
    pub fn look_again(&mut self) -> bool {
        let found = digest_of(&self.files, &self.folders);
        std::mem::replace(&mut self.digest, found) != found
    }
}

/// Whether a file cannot be read twice, as a pipe.
pub(crate) fn is_read_once(path: &Path) -> bool {
    path.exists() && !path.is_file() && !path.is_dir()
}

/// Whether two paths lead to one place, as those in `/run` and `/var/run` do. What is there need not exist.
pub(super) fn is_same_path(one: &Path, other: &Path) -> bool {
    one == other || resolved(one) == resolved(other)
}

/// Device and inode of the file that a path leads to, if there is one. They tell that two names are those of one file.
fn identity(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|found| (found.dev(), found.ino()))
}

/// A path from the root, without links and `..`, as far as it exists. Behind that, it is what its text says.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    resolved_within(path, &mut { LINK_LIMIT })
}

/// As [`resolved`]. Follows no more than `links` links to what does not exist, those in their targets included.
fn resolved_within(path: &Path, links: &mut usize) -> PathBuf {
    let mut found = PathBuf::new();
    for part in std::path::absolute(path).unwrap_or(path.to_owned()).components() {
        match part {
            // What is before it has no link.
            Component::ParentDir => _ = found.pop(),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => found.push(part),
        }
        if let Ok(whole) = found.canonicalize() {
            found = whole;
        } else if *links > 0
            && let Ok(target) = found.read_link()
        {
            *links -= 1;
            found.pop();
            found = resolved_within(&found.join(target), links);
        }
    }
    found
}

/// Reads a file that a configuration names.
///
/// # Errors
/// It cannot be read, it is longer than 16 MiB, or it is no regular file: a pipe would be waited for, and with it the reload that
/// reads it.
pub(super) fn read_named(path: &Path) -> io::Result<Vec<u8>> {
    // Without this flag, opening a pipe waits for its other end.
    let file = std::fs::OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    // Reading a folder has an error of its own.
    let metadata = file.metadata()?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    read_limited(file)
}

/// Reads all of a file, or of what else there is to read.
///
/// # Errors
/// It cannot be read, or it is longer than 16 MiB.
pub(crate) fn read_limited(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LONGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST_FILE {
        let message = format!("it is longer than {} MiB", LONGEST_FILE >> 20);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(bytes)
}

/// A folder, and everything in it, in the order of the names. A folder that is linked is not entered twice.
pub(crate) fn tree(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        if !folder.canonicalize().is_ok_and(|whole| seen.insert(whole)) {
            continue;
        }
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in entries.collect::<BTreeSet<PathBuf>>() {
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
        found.push(folder);
    }
    found
}

/// A digest of the names and bytes of all files. One that cannot be read is as good as none.
fn digest_of(files: &[PathBuf], folders: &[PathBuf]) -> [u8; 32] {
    let mut digest = Sha256::new();
    let in_folders = folders.iter().flat_map(|folder| tree(folder));
    for path in files.iter().cloned().chain(in_folders) {
        let name = path.as_os_str().as_encoded_bytes();
        digest.update(name.len().to_le_bytes());
        digest.update(name);
        // Whoever opens a pipe waits for its other end.
        if !path.is_file() {
            continue;
        }
        let bytes = std::fs::File::open(&path).and_then(|file| {
            let mut bytes = Vec::new();
            file.take(LONGEST_FILE).read_to_end(&mut bytes).map(|_| bytes)
        });
        if let Ok(bytes) = bytes {
            digest.update(bytes.len().to_le_bytes());
            digest.update(bytes);
        }
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_one_place_whatever_links_and_dots_are_on_the_way() {
        let folder = std::env::temp_dir().join(format!("dockveil-paths-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("a/b")).unwrap();
        for (target, name) in
            [("a/b", "link"), ("second", "dangling"), ("a/later", "second"), ("loop", "loop"), ("more/more", "more")]
        {
            std::os::unix::fs::symlink(target, folder.join(name)).unwrap();
        }
        for (one, other, expected) in [
            ("a/x", "a/x", true),
            ("a/../a/x", "a/x", true),
            ("link/x", "a/b/x", true),
            ("link/../x", "a/x", true),
            ("link/../x", "x", false),
            ("new/../x", "x", true),
            ("link/new/./x", "a/b/new/x", true),
            ("a/x", "a/y", false),
            ("dangling", "a/later", true),
            ("dangling/x", "a/later/x", true),
            ("loop", "loop", true),
            ("loop/x", "a/x", false),
            // Each follows two of them, which takes no time.
            ("more", "a/x", false),
        ] {
            assert_eq!(is_same_path(&folder.join(one), &folder.join(other)), expected, "{one} {other}");
            assert_eq!(is_same_path(&folder.join(other), &folder.join(one)), expected, "{other} {one}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn only_regular_files_of_some_length_are_read() {
        let folder = std::env::temp_dir().join(format!("dockveil-files-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let (file, link, pipe, long) =
            (folder.join("file"), folder.join("link"), folder.join("pipe"), folder.join("long"));
        std::fs::write(&file, "text").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        std::fs::File::create(&long).unwrap().set_len(LONGEST_FILE + 1).unwrap();
        let found = |path: &Path| read_named(path).map_err(|error| error.to_string());
        assert_eq!(found(&file), Ok(b"text".to_vec()));
        assert_eq!(found(&link), Ok(b"text".to_vec()));
        assert_eq!(found(&pipe), Err("it is not a regular file".to_owned()));
        assert_eq!(found(Path::new("/dev/zero")), Err("it is not a regular file".to_owned()));
        assert_eq!(found(&long), Err("it is longer than 16 MiB".to_owned()));
        assert_eq!(found(&folder), Err("Is a directory (os error 21)".to_owned()));
        assert_eq!(found(&folder.join("none")), Err("No such file or directory (os error 2)".to_owned()));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
