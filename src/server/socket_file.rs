//! The file of a Unix socket that the program listens on.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, Gid, Mode, OFlags, Uid};
use rustix::fs::{chmodat, chownat, fstat, mkdirat, openat, renameat, statat, unlinkat};
use rustix::net::{SocketAddrUnix, bind, listen};
use rustix::process::geteuid;

use crate::socket::{Address, SocketFolder, SocketOwner, connect_at_once, new_unix_socket};

/// The permissions of a socket without a `mode`.
const DEFAULT_MODE: u32 = 0o660;
/// The permissions of the directory of a socket that is not ready.
const PRIVATE_MODE: Mode = Mode::RWXU;
/// The permissions of a directory that is made for a socket, less those that the umask takes away.
const DIRECTORY_MODE: u32 = 0o755;
/// How a directory is opened in which files are only named.
#[cfg(target_os = "linux")]
const SEARCH: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const SEARCH: OFlags = OFlags::RDONLY;

/// What a socket file is made with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SocketFileSettings {
    /// Its permissions; 0660 if `None`.
    pub(super) mode: Option<u32>,
    /// Its owner.
    pub(super) owner: SocketOwner,
    /// Whose its directory must be.
    pub(super) folder: SocketFolder,
}

/// The file of a socket. It is removed when dropped, unless another file has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode. They tell the file from the socket of a successor.
    identity: (u64, u64),
    folder: SocketFolder,
    /// Device and inode of its directory, if that was made with it.
    made: Option<(u64, u64)>,
}

impl SocketFile {
    /// Whether its path does not lead to it any more: somebody has removed it, and another file may have taken its place. As long
    /// as the socket is open, that has another number.
    pub(super) fn is_lost(&self) -> bool {
        match fs::symlink_metadata(&self.path) {
            Ok(found) => (found.dev(), found.ino()) != self.identity,
            Err(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        }
    }

    /// The path of its directory.
    pub(super) fn directory(&self) -> &Path {
        parent(&self.path)
    }

    /// Whether a file is in its directory, and that was made with the socket or is for it.
    pub(super) fn may_give_directory_of(&self, path: &Path) -> bool {
        parent(path) == self.directory() && (self.folder == SocketFolder::ForSocket || self.made.is_some())
    }

    /// Its directory, if `user` may become the owner: it was made with the socket or is for it, it belongs to this user, and
    /// nothing in it belongs to anyone but `user`. `None` if not.
    ///
    /// # Errors
    /// The error of the system.
    pub(super) fn directory_to_give(&self, user: u32) -> io::Result<Option<OwnedFd>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match openat(CWD, self.directory(), flags, Mode::empty()) {
            // It is a link.
            Err(rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => return Ok(None),
            opened => opened?,
        };
        let found = fstat(&directory)?;
        let is_for_it = self.folder == SocketFolder::ForSocket || self.made == Some(identity(&directory, ".")?);
        let is_sticky = found.st_mode & 0o1000 != 0;
        if !is_for_it || is_sticky || found.st_uid != geteuid().as_raw() {
            return Ok(None);
        }
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?.st_uid != user {
                return Ok(None);
            }
        }
        Ok(Some(directory))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // What is looked at and what is removed are in one directory, whatever becomes of the path.
        let Some(name) = self.path.file_name() else { return };
        let Ok(directory) = open_directory(parent(&self.path), OFlags::empty()) else { return };
        if identity(&directory, name).is_ok_and(|found| found == self.identity) {
            // Somebody else may remove it at the same time.
            let _ = unlinkat(&directory, name, AtFlags::empty());
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

/// Device and inode of a file in a directory.
fn identity(directory: &OwnedFd, name: impl rustix::path::Arg) -> io::Result<(u64, u64)> {
    let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok((found.st_dev as u64, found.st_ino as u64))
}

/// The directory of a path.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Listens at `path`, with room for `backlog` connections that wait.
///
/// The socket never has other permissions than it should. It is made in a directory that is open to this user alone. It leaves
/// that when it has its owner and its mode and accepts connections. So nobody else can put another file in its place meanwhile,
/// whoever may write the directory of `path`.
///
/// # Errors
/// The error of the system; `AddrInUse` if another process listens there.
pub(super) fn open(path: &Path, settings: SocketFileSettings, backlog: i32) -> io::Result<(UnixListener, SocketFile)> {
    let name = file_name(path)?;
    let (directory, is_made) = match settings.folder {
        SocketFolder::Any | SocketFolder::ForSocket => made_directory(parent(path), OFlags::empty())?,
        SocketFolder::Own => own_directory(parent(path))?,
    };
    // Clients connect to it by this path.
    SocketAddrUnix::new(path).map_err(|_| too_long())?;
    check_unused(path)?;
    let private = PrivateDirectory::make(&directory, name)?;
    let socket = private.bind(parent(path))?;
    let made = if is_made { Some(identity(&directory, ".")?) } else { None };
    let identity = identity(&private.directory, name)?;
    let file = SocketFile { path: path.to_owned(), identity, folder: settings.folder, made };
    // First the mode: a process that may give files away need not be one that may change those of others.
    let mode = Mode::from_raw_mode(settings.mode.unwrap_or(DEFAULT_MODE) as _);
    chmodat(&private.directory, name, mode, AtFlags::empty())?;
    if settings.owner != SocketOwner::default() {
        let (user, group) = (settings.owner.user.map(Uid::from_raw), settings.owner.group.map(Gid::from_raw));
        chownat(&private.directory, name, user, group, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| io::Error::new(error.kind(), format!("its owner cannot be set: {error}")))?;
    }
    listen(&socket, backlog)?;
    renameat(&private.directory, name, &directory, name)?;
    Ok((UnixListener::from(socket), file))
}

/// Checks what can be told of a socket without making anything: that nothing but a socket is at its path, and no file in the place of
/// its directory. What this user may is not asked: another one may make it. Nor whether somebody listens there: that may end.
///
/// # Errors
/// [`open`] would fail.
pub(super) fn check_place(path: &Path, folder: SocketFolder) -> io::Result<()> {
    file_name(path)?;
    SocketAddrUnix::new(path).map_err(|_| too_long())?;
    let unknown = [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied];
    match check_kind(path) {
        Err(error) if !unknown.contains(&error.kind()) => return Err(error),
        Ok(()) | Err(_) => {}
    }
    if folder == SocketFolder::Own {
        match check_own(parent(path), open_directory(parent(path), OFlags::NOFOLLOW).map_err(io::Error::from)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            checked => drop(checked?),
        }
    }
    Ok(())
}

/// The name of the file at a path.
fn file_name(path: &Path) -> io::Result<&OsStr> {
    let text = path.as_os_str().as_encoded_bytes();
    let is_directory = text.ends_with(b"/") || text.ends_with(b"/.");
    let name = path.file_name().filter(|_| !is_directory);
    name.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "expected the path of a file"))
}

/// A directory in which a socket is made, open to this user alone. It is removed when dropped, with a socket that is still there.
///
/// The system tells a socket by the path at which it was made: all but this directory is that of the socket.
struct PrivateDirectory<'d> {
    /// Where it is.
    outer: &'d OwnedFd,
    name: String,
    /// The name of the socket.
    socket: &'d OsStr,
    directory: OwnedFd,
}

impl<'d> PrivateDirectory<'d> {
    /// Makes one in `outer` for a socket with a name.
    fn make(outer: &'d OwnedFd, socket: &'d OsStr) -> io::Result<Self> {
        let name = format!(".{}", std::process::id());
        match mkdirat(outer, &name, PRIVATE_MODE) {
            // A killed process with our process ID may have left it.
            Err(rustix::io::Errno::EXIST) => {
                if let Ok(left) = openat(outer, &name, directory_flags(OFlags::NOFOLLOW), Mode::empty()) {
                    let _ = unlinkat(&left, socket, AtFlags::empty());
                }
                let _ = unlinkat(outer, &name, AtFlags::REMOVEDIR);
                let _ = unlinkat(outer, &name, AtFlags::empty());
                mkdirat(outer, &name, PRIVATE_MODE)?;
            }
            made => made?,
        }
        let directory = openat(outer, &name, directory_flags(OFlags::NOFOLLOW), Mode::empty())?;
        // Who may write `outer` may have put another one in its place.
        let found = fstat(&directory)?;
        if found.st_uid != geteuid().as_raw() || found.st_mode & 0o077 != 0 {
            return Err(moved());
        }
        Ok(Self { outer, name, socket, directory })
    }

    /// Makes a socket in it that does not listen yet. `outer` is the path of the directory that it is in.
    fn bind(&self, outer: &Path) -> io::Result<OwnedFd> {
        let socket = new_unix_socket()?;
        bind(&socket, &self.address(outer)?)?;
        // The path may lead elsewhere by now.
        identity(&self.directory, self.socket).map_err(|_| moved())?;
        Ok(socket)
    }

    /// The address of the socket: its path, or a shorter name of that if it is too long for an address.
    fn address(&self, outer: &Path) -> io::Result<SocketAddrUnix> {
        let path = outer.join(&self.name).join(self.socket);
        let short = PathBuf::from(format!("/proc/self/fd/{}", self.directory.as_raw_fd())).join(self.socket);
        let short = cfg!(target_os = "linux").then_some(short);
        let mut usable = [Some(path), short].into_iter().flatten().filter_map(|path| SocketAddrUnix::new(&path).ok());
        usable.next().ok_or_else(too_long)
    }
}

impl Drop for PrivateDirectory<'_> {
    fn drop(&mut self) {
        // The socket has left it unless something failed.
        let _ = unlinkat(&self.directory, self.socket, AtFlags::empty());
        let _ = unlinkat(self.outer, &self.name, AtFlags::REMOVEDIR);
    }
}

/// The error if somebody has moved a directory while a socket was made in it.
fn moved() -> io::Error {
    io::Error::other("somebody else changes its directory at the same time")
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the path is too long")
}

/// Flags to open a directory with.
fn directory_flags(more: OFlags) -> OFlags {
    SEARCH | OFlags::DIRECTORY | OFlags::CLOEXEC | more
}

/// Opens a directory to name files in it.
fn open_directory(path: &Path, more: OFlags) -> rustix::io::Result<OwnedFd> {
    openat(CWD, path, directory_flags(more), Mode::empty())
}

/// Opens a directory; makes it, and those above it, if it is missing. Only its owner may then add files. Returns whether it was
/// made.
fn made_directory(path: &Path, more: OFlags) -> io::Result<(OwnedFd, bool)> {
    match open_directory(path, more) {
        Err(rustix::io::Errno::NOENT) => {
            let is_made = make_directory(path)?;
            let more = if is_made { OFlags::NOFOLLOW } else { more };
            Ok((open_directory(path, more)?, is_made))
        }
        opened => Ok((opened?, false)),
    }
}

/// As [`made_directory`], for one that anybody could have made before. It must be a directory of this user that only he may write:
/// whoever else may write it can put a socket of his own in place of ours.
fn own_directory(path: &Path) -> io::Result<(OwnedFd, bool)> {
    let (directory, is_made) = match made_directory(path, OFlags::NOFOLLOW) {
        Ok((directory, is_made)) => (Ok(directory), is_made),
        Err(error) => (Err(error), false),
    };
    Ok((check_own(path, directory)?, is_made))
}

/// Checks that a directory that was opened, but not by a link, belongs to this user and that only he may write it.
fn check_own(path: &Path, opened: io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    let wrong = |found: &str| {
        let message = format!(
            "its directory {} {found}, expected a directory of this user that only he may write: remove it, or choose \
             another socket with --listen",
            path.display()
        );
        io::Error::new(io::ErrorKind::PermissionDenied, message)
    };
    let directory = opened.map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::NOTDIR.raw_os_error() => wrong("is a link or a file"),
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => wrong("is a link"),
        Some(_) | None => error,
    })?;
    let found = fstat(&directory)?;
    if found.st_uid != geteuid().as_raw() {
        return Err(wrong(&format!("belongs to user {}", found.st_uid)));
    }
    if found.st_mode & 0o022 != 0 {
        return Err(wrong(&format!("has the mode {:04o}", found.st_mode & 0o7777)));
    }
    Ok(directory)
}

/// Makes a directory for a socket, and those above it. Only its owner may add files. Returns whether it was made: somebody else may
/// have done so meanwhile.
fn make_directory(directory: &Path) -> io::Result<bool> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(parent(directory))?;
    match DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        made => made.map(|()| true),
    }
}

/// Checks that a socket can be made at `path`: nothing is there, or the socket of a process that has ended.
fn check_unused(path: &Path) -> io::Result<()> {
    match check_kind(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        checked => checked?,
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

/// Checks that what is at a path is a socket.
///
/// # Errors
/// It is something else, or nothing.
fn check_kind(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is not a socket exists there"))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

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
        let (_, file) = open(&path, SocketFileSettings::default(), 1).unwrap();
        fs::rename(&path, directory.0.join("moved")).unwrap();
        let (_, successor) = open(&path, SocketFileSettings::default(), 1).unwrap();
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
            let (_socket, file) = open(&path, SocketFileSettings::default(), 1).unwrap();
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
        let outer = open_directory(&directory.0, OFlags::empty()).unwrap();
        let private = PrivateDirectory::make(&outer, OsStr::new("s")).unwrap();
        let _socket = private.bind(&directory.0).unwrap();
        let path = directory.0.join(&private.name);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        let refused = connect_at_once(&path.join("s")).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 1);
        drop(private);
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 0);
    }

    /// Somebody who may write the directory of a socket puts links and other directories in place of all that is made there, again
    /// and again. Nothing that these lead to gets another mode or owner.
    #[test]
    fn what_others_put_in_the_place_of_a_socket_is_not_changed() {
        within_time_limit(nothing_in_the_place_of_a_socket_is_changed);
    }

    fn nothing_in_the_place_of_a_socket_is_changed() {
        let directory = Directory::new("swapped");
        let [shared, theirs] = ["shared", "theirs"].map(|name| directory.0.join(name));
        fs::create_dir(&shared).unwrap();
        DirBuilder::new().mode(0o700).create(&theirs).unwrap();
        let file = theirs.join("socket");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let path = shared.join("socket");
        let settings = SocketFileSettings { mode: Some(0o666), ..SocketFileSettings::default() };
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let swapping = {
            let (directory, shared, theirs, file) = (directory.0.clone(), shared.clone(), theirs.clone(), file.clone());
            std::thread::spawn(move || {
                let mut number = 0;
                while stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
                    for entry in fs::read_dir(&shared).unwrap().flatten().filter(|entry| entry.file_name() != "socket")
                    {
                        number += 1;
                        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
                        let target = if is_directory { &theirs } else { &file };
                        let link = directory.join(format!("link-{number}"));
                        std::os::unix::fs::symlink(target, &link).unwrap();
                        let _ = fs::rename(entry.path(), directory.join(format!("moved-{number}")));
                        let _ = fs::rename(&link, entry.path());
                    }
                }
            })
        };
        for _ in 0..500 {
            // It may fail: others may always keep a socket from being made in their directory.
            drop(open(&path, settings, 1));
            let _ = fs::remove_file(&path);
        }
        drop(stop);
        swapping.join().unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::metadata(&theirs).unwrap().mode() & 0o7777, 0o700);
    }

    #[test]
    fn a_directory_that_must_be_our_own_is_refused_if_others_may_write_it() {
        type Make = fn(&Path);
        let cases: [(&str, Make, Option<&str>); 8] = [
            ("missing", |_| {}, None),
            ("our own", |path| DirBuilder::new().mode(0o755).create(path).unwrap(), None),
            ("closed", |path| DirBuilder::new().mode(0o700).create(path).unwrap(), None),
            ("of a group", |path| with_mode(path, 0o775), Some("has the mode 0775")),
            ("of all", |path| with_mode(path, 0o707), Some("has the mode 0707")),
            ("sticky", |path| with_mode(path, 0o1777), Some("has the mode 1777")),
            ("a file", |path| fs::write(path, "").unwrap(), Some("is a link or a file")),
            (
                "a link to our own",
                |path| {
                    let elsewhere = path.with_extension("elsewhere");
                    fs::create_dir(&elsewhere).unwrap();
                    std::os::unix::fs::symlink(elsewhere, path).unwrap();
                },
                Some("is a link"),
            ),
        ];
        for (what, make, expected) in cases {
            let directory = Directory::new("own");
            let folder = directory.0.join("folder");
            make(&folder);
            let settings = SocketFileSettings { folder: SocketFolder::Own, ..SocketFileSettings::default() };
            match (open(&folder.join("socket"), settings, 1), expected) {
                (Ok(_), None) => {}
                (Err(error), Some(expected)) => assert!(error.to_string().contains(expected), "{what}: {error}"),
                (opened, _) => panic!("{what}: {opened:?}"),
            }
            // Elsewhere, the operator says who may write it.
            if folder.is_dir() {
                open(&folder.join("socket"), SocketFileSettings::default(), 1).unwrap();
            }
        }
    }

    fn with_mode(path: &Path, mode: u32) {
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_path_of_any_length_that_an_address_holds_will_do() {
        let directory = Directory::new("length");
        let room = 107 - directory.0.as_os_str().len() - 1;
        for length in [1, room - 4, room] {
            let path = directory.0.join("s".repeat(length));
            let (_, file) = open(&path, SocketFileSettings::default(), 1).unwrap();
            assert!(path.exists(), "{length}");
            drop(file);
        }
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_is_open_to_its_owner_only() {
        let directory = Directory::new("mode");
        assert!(make_directory(&directory.0.join("a/b")).unwrap());
        assert!(!make_directory(&directory.0.join("a/b")).unwrap());
        for made in ["a", "a/b"] {
            let mode = fs::metadata(directory.0.join(made)).unwrap().mode();
            assert_eq!(mode & 0o777 & !DIRECTORY_MODE, 0, "{made}: {mode:o}");
        }
    }
}
