//! The file of a Unix socket that the program listens on.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::net::{SocketAddrUnix, bind, listen};

use crate::socket::{Address, SocketOwner, connect_at_once, new_unix_socket};

/// The permissions of a socket without a `mode`.
const DEFAULT_MODE: u32 = 0o660;
/// The permissions of a socket that is not ready.
const PRIVATE_MODE: u32 = 0o600;
/// The permissions of a directory that is made for a socket, less those that the umask takes away.
const DIRECTORY_MODE: u32 = 0o755;

/// The file of a socket. It is removed when dropped, unless another file has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode. They tell the file from the socket of a successor.
    identity: (u64, u64),
}

impl SocketFile {
    /// The file at `path`, which this process has just made.
    fn at(path: PathBuf) -> io::Result<Self> {
        let identity = identity(&path)?;
        Ok(Self { path, identity })
    }

    /// Whether its path does not lead to it any more: somebody has removed it, and another file may have taken its place. As long
    /// as the socket is open, that has another number.
    pub(super) fn is_lost(&self) -> bool {
        match identity(&self.path) {
            Ok(found) => found != self.identity,
            Err(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        }
    }

    /// Gives the file another name. A file of that name is replaced.
    fn rename(&mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        path.clone_into(&mut self.path);
        Ok(())
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // Somebody else may remove it at the same time.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Logs that a socket has been made again.
pub(super) fn log_made_again(address: &Address) {
    tracing::warn!(%address, "the path of a socket did not lead to it any more: the socket is made again");
}

/// Logs that a socket cannot be reached, and why it is not made again.
pub(super) fn log_not_made_again(address: &Address, error: &io::Error) {
    tracing::error!(%address, %error, "the path of a socket does not lead to it any more, and it cannot be made again");
}

/// Device and inode of a file.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// Listens at `path`, with room for `backlog` connections that wait.
///
/// The socket never has other permissions than it should. It is made for this process alone, under another name. It gets
/// that name when it has its owner and its mode and accepts connections.
///
/// # Errors
/// The error of the system; `AddrInUse` if another process listens there.
pub(super) fn open(
    path: &Path,
    mode: Option<u32>,
    owner: SocketOwner,
    backlog: i32,
) -> io::Result<(UnixListener, SocketFile)> {
    check_unused(path)?;
    if let Some(directory) = path.parent() {
        make_directory(directory)?;
    }
    let (socket, mut file) = bind_private(path)?;
    if owner != SocketOwner::default() {
        let wrong = |error: io::Error| io::Error::new(error.kind(), format!("its owner cannot be set: {error}"));
        std::os::unix::fs::chown(&file.path, owner.user, owner.group).map_err(wrong)?;
    }
    fs::set_permissions(&file.path, Permissions::from_mode(mode.unwrap_or(DEFAULT_MODE)))?;
    listen(&socket, backlog)?;
    file.rename(path)?;
    Ok((UnixListener::from(socket), file))
}

/// Makes a socket beside `path` to which only this user could connect. It does not listen yet.
fn bind_private(path: &Path) -> io::Result<(OwnedFd, SocketFile)> {
    let socket = File::from(new_unix_socket()?);
    // On Linux, the file gets the mode that its socket has before it is bound. Elsewhere a socket has none.
    if cfg!(target_os = "linux") {
        socket.set_permissions(Permissions::from_mode(PRIVATE_MODE))?;
    }
    let socket = OwnedFd::from(socket);
    let (temporary, address) = temporary_name(path)?;
    // A killed process with our process ID may have left it.
    let _ = fs::remove_file(&temporary);
    bind(&socket, &address)?;
    if !cfg!(target_os = "linux") {
        fs::set_permissions(&temporary, Permissions::from_mode(PRIVATE_MODE))?;
    }
    Ok((socket, SocketFile::at(temporary)?))
}

/// Makes a directory for a socket, and those above it. Only its owner may add files.
///
/// # Errors
/// The error of the system.
pub(super) fn make_directory(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)
}

/// Checks that a socket can be made at `path`: nothing is there, or the socket of a process that has ended.
fn check_unused(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is not a socket exists there"));
        }
        Ok(_) => {}
    }
    match connect_at_once(path).map_err(|error| (error.kind(), error)) {
        // Its queue is full if it would have to be waited for.
        Ok(_) | Err((io::ErrorKind::WouldBlock, _)) => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"))
        }
        Err((io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound, _)) => Ok(()),
        Err((kind, error)) => {
            Err(io::Error::new(kind, format!("cannot tell whether another process listens there: {error}")))
        }
    }
}

/// The name beside `path` under which the socket is made: a short one if the other is too long for an address.
fn temporary_name(path: &Path) -> io::Result<(PathBuf, SocketAddrUnix)> {
    let process = format!(".{}", std::process::id());
    let mut long = path.as_os_str().to_owned();
    long.push(&process);
    let names = [PathBuf::from(long), path.with_file_name(process)];
    let mut usable =
        names.into_iter().filter_map(|name| SocketAddrUnix::new(&name).ok().map(|address| (name, address)));
    usable.next().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time_limit::within_time_limit;

    /// A new directory, removed when dropped.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("dockveil-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn only_the_file_that_was_made_is_removed() {
        let directory = Directory::new("identity");
        let path = directory.0.join("socket");
        let (_, file) = open(&path, None, SocketOwner::default(), 1).unwrap();
        fs::rename(&path, directory.0.join("moved")).unwrap();
        let (_, successor) = open(&path, None, SocketOwner::default(), 1).unwrap();
        drop(file);
        assert!(path.exists());
        drop(successor);
        assert!(!path.exists());
    }

    /// What may be done to the path of a socket, and whether it still leads there.
    #[test]
    fn a_path_that_leads_elsewhere_is_noticed() {
        within_time_limit(each_path_that_leads_elsewhere_is_noticed);
    }

    fn each_path_that_leads_elsewhere_is_noticed() {
        type Change = fn(&Path);
        let changes: [(&str, Change, bool); 8] = [
            ("nothing", |_| {}, false),
            ("a new mode", |path| fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap(), false),
            ("removed", |path| fs::remove_file(path).unwrap(), true),
            ("moved", |path| fs::rename(path, path.with_extension("moved")).unwrap(), true),
            (
                "a file",
                |path| {
                    fs::remove_file(path).unwrap();
                    fs::write(path, "").unwrap();
                },
                true,
            ),
            (
                "a folder",
                |path| {
                    fs::remove_file(path).unwrap();
                    fs::create_dir(path).unwrap();
                },
                true,
            ),
            (
                "the socket of another process",
                |path| {
                    fs::remove_file(path).unwrap();
                    drop(UnixListener::bind(path).unwrap());
                },
                true,
            ),
            (
                "a link to it",
                |path| {
                    let moved = path.with_extension("moved");
                    fs::rename(path, &moved).unwrap();
                    std::os::unix::fs::symlink(moved, path).unwrap();
                },
                true,
            ),
        ];
        for (what, change, is_lost) in changes {
            let directory = Directory::new("lost");
            let path = directory.0.join("socket");
            let (_socket, file) = open(&path, None, SocketOwner::default(), 1).unwrap();
            change(&path);
            assert_eq!(file.is_lost(), is_lost, "{what}");
            let is_there = path.symlink_metadata().is_ok();
            drop(file);
            assert_eq!(path.symlink_metadata().is_ok(), is_there && is_lost, "{what}: what is not ours stays");
        }
    }

    #[test]
    fn a_socket_that_is_not_ready_is_private() {
        let directory = Directory::new("private");
        let (_socket, file) = bind_private(&directory.0.join("socket")).unwrap();
        assert_eq!(fs::metadata(&file.path).unwrap().mode() & 0o777, PRIVATE_MODE);
        assert_eq!(connect_at_once(&file.path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert!(!directory.0.join("socket").exists());
    }

    #[test]
    fn a_path_of_any_length_that_an_address_holds_will_do() {
        let directory = Directory::new("length");
        let room = 107 - directory.0.as_os_str().len() - 1;
        for length in [1, room - 4, room] {
            let path = directory.0.join("s".repeat(length));
            let (_, file) = open(&path, None, SocketOwner::default(), 1).unwrap();
            assert!(path.exists(), "{length}");
            drop(file);
        }
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_is_open_to_its_owner_only() {
        let directory = Directory::new("mode");
        make_directory(&directory.0.join("a/b")).unwrap();
        for made in ["a", "a/b"] {
            let mode = fs::metadata(directory.0.join(made)).unwrap().mode();
            assert_eq!(mode & 0o777 & !DIRECTORY_MODE, 0, "{made}: {mode:o}");
        }
    }
}
