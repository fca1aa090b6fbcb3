//! Dropping root privileges.
//!
//! A proxy that is started as root opens its listeners and then becomes an ordinary user, for good. It connects to the
//! engine's socket again and again, so it keeps what the user needs for that: the group of the socket, as the only
//! supplementary group. No part of the program stays root.
//!
//! The system changes the user of a thread, not of a process. So this happens while there is one thread, and is refused
//! when there are more: a new thread inherits the user of the thread that starts it.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::fs::{fchown, fstat};
use rustix::process::{Gid, Uid, getegid, geteuid, getgroups};

use super::ServerError;
use super::socket_file::SocketFile;
use crate::config::compat::RunAs;
use crate::endpoint::EngineEndpoint;
use crate::socket::{SocketOwner, connect_at_once};

/// How often to look whether there is one thread, and how long to wait in between.
const THREAD_CHECKS: u32 = 20;
const THREAD_CHECK_INTERVAL: Duration = Duration::from_millis(1);

/// Why privileges could not be dropped.
#[derive(Debug)]
pub enum PrivilegesError {
    /// The owner of a listener's directory could not be changed.
    Directory(PathBuf, io::Error),
    /// The engine's socket does not exist, so its group is unknown.
    NoEngine(PathBuf, io::Error),
    /// Only the owner of the engine's socket may open it.
    OwnerOnly(PathBuf, RunAs),
    /// Other threads are running, and would stay root.
    Threads,
    /// The system refused.
    Refused(RunAs, io::Error),
    /// The process could become root again.
    Reversible(RunAs),
    /// The user of the process may not open the engine's socket.
    EngineSocket {
        /// The socket.
        path: PathBuf,
        /// Its user and group.
        owner: (u32, u32),
        /// The user and group of the process.
        process: (u32, u32),
        /// The user that it should run as.
        wanted: u32,
        /// Whether it becomes that user if it is started as root.
        becomes: bool,
    },
    /// The engine's socket cannot be opened, whatever its permissions say.
    EngineForbidden {
        /// The socket.
        path: PathBuf,
        /// The user and group of the process.
        process: (u32, u32),
    },
}

impl fmt::Display for PrivilegesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path, error) => write!(f, "cannot change the owner of {}: {error}", path.display()),
            Self::NoEngine(path, error) => {
                write!(f, "cannot find {}, the engine's socket: {error}; is it mounted?", path.display())
            }
            Self::OwnerOnly(path, RunAs { user, group }) => write!(
                f,
                "only its owner may open {}, the engine's socket, so {user}:{group} cannot: allow its group to open it",
                path.display()
            ),
            Self::Threads => f.write_str("cannot change the user of a process with several threads"),
            Self::Refused(RunAs { user, group }, error) => write!(
                f,
                "cannot become {user}:{group}: {error}; a process started as root needs the capabilities CHOWN, SETGID and SETUID"
            ),
            Self::Reversible(RunAs { user, group }) => {
                write!(f, "became {user}:{group}, but could become root again")
            }
            Self::EngineSocket { path, owner, process, wanted, becomes } => {
                let (path, (user, group)) = (path.display(), owner);
                write!(
                    f,
                    "{path} belongs to {user}:{group} and cannot be opened by {}:{}: put `group_add: [\"{group}\"]` in the \
                     Compose file to run as the same user in its group, or `user: \"{wanted}:{group}\"` to run as an ordinary \
                     user of its group",
                    process.0, process.1,
                )?;
                if *becomes {
                    write!(f, ", or `user: \"{user}:{group}\"` to start as its owner")?;
                }
                write!(f, "; with `docker run`, put `--group-add {group}`")
            }
            Self::EngineForbidden { path, process } => write!(
                f,
                "the permissions of {} let {}:{} open it, but the system does not: is it SELinux or AppArmor? Put \
                 `security_opt: [\"label=disable\"]` in the Compose file",
                path.display(),
                process.0,
                process.1,
            ),
        }
    }
}

/// The owner of a Unix socket that this process makes, so that clients of the user that it becomes can connect.
pub(super) fn socket_owner(who: Option<RunAs>) -> SocketOwner {
    match who.filter(|_| geteuid().is_root()) {
        Some(RunAs { user, group }) => SocketOwner { user: Some(user), group: Some(group) },
        None => SocketOwner::default(),
    }
}

/// Directories that have been given away. Those before them are their owners again when this is dropped, unless it is kept.
#[derive(Default)]
struct GivenDirectories(Vec<(OwnedFd, Uid, Gid)>);

impl GivenDirectories {
    /// Gives the directories of `sockets` to `who`, who can then remove the sockets at the end: those that are for them alone.
    ///
    /// # Errors
    /// [`PrivilegesError::Directory`]; nothing has been given.
    fn give(who: RunAs, sockets: &[&SocketFile]) -> Result<Self, PrivilegesError> {
        let mut given = Self::default();
        for socket in sockets {
            let failed = |error| PrivilegesError::Directory(socket.directory().to_owned(), error);
            if let Some(directory) = socket.directory_to_give(who.user).map_err(failed)? {
                let before = fstat(&directory).map_err(|error| failed(error.into()))?;
                fchown(&directory, Some(Uid::from_raw(who.user)), Some(Gid::from_raw(who.group)))
                    .map_err(|error| failed(error.into()))?;
                given.0.push((directory, Uid::from_raw(before.st_uid), Gid::from_raw(before.st_gid)));
            }
        }
        Ok(given)
    }

    /// Keeps them given.
    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for GivenDirectories {
    fn drop(&mut self) {
        for (directory, user, group) in &self.0 {
            // The start has failed, which is reported.
            let _ = fchown(directory, Some(*user), Some(*group));
        }
    }
}

/// Changes the user to `who`, irreversibly, if the process is root. Otherwise does nothing. The groups of the sockets of the
/// `engines` are kept. Directories of `sockets` that are for them alone go to `who`, once `check` has succeeded as that user.
///
/// # Errors
/// [`ServerError::Privileges`], or that of `check`; the process may then have lost some privileges and must end. No directory has
/// another owner.
pub(super) fn drop_privileges(
    who: RunAs,
    engines: &[&EngineEndpoint],
    sockets: &[&SocketFile],
    check: &dyn Fn() -> Result<(), ServerError>,
) -> Result<(), ServerError> {
    if !geteuid().is_root() {
        return Ok(());
    }
    if !has_one_thread() {
        return Err(ServerError::Privileges(PrivilegesError::Threads));
    }
    let mut groups = Vec::new();
    for engine in engines {
        if let Some(path) = engine.socket_path() {
            groups.extend(needed_groups(path, who).map_err(ServerError::Privileges)?);
        }
    }
    try_as_user(who, &groups, check)?;
    // `check` may have started some.
    if !has_one_thread() {
        return Err(ServerError::Privileges(PrivilegesError::Threads));
    }
    let given = GivenDirectories::give(who, sockets).map_err(ServerError::Privileges)?;
    become_user(who).map_err(ServerError::Privileges)?;
    given.keep();
    Ok(())
}

/// Changes the group and the supplementary groups of this thread, calls `check` as the user, and is root again.
#[cfg(target_os = "linux")]
fn try_as_user(who: RunAs, groups: &[Gid], check: &dyn Fn() -> Result<(), ServerError>) -> Result<(), ServerError> {
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

    let (user, group, root) = (Uid::from_raw(who.user), Gid::from_raw(who.group), Uid::ROOT);
    let refused = |error: rustix::io::Errno| ServerError::Privileges(PrivilegesError::Refused(who, error.into()));
    set_thread_groups(groups)
        .and_then(|()| set_thread_res_gid(group, group, group))
        // The saved user lets it become root again.
        .and_then(|()| set_thread_res_uid(user, user, root))
        .map_err(refused)?;
    let checked = check();
    set_thread_res_uid(root, root, root).map_err(refused)?;
    checked
}

/// Elsewhere than on Linux, a process that is started as root is refused: it would stay root.
#[cfg(not(target_os = "linux"))]
fn try_as_user(who: RunAs, _: &[Gid], _: &dyn Fn() -> Result<(), ServerError>) -> Result<(), ServerError> {
    become_user(who).map_err(ServerError::Privileges)
}

/// Changes the user of this thread, irreversibly.
#[cfg(target_os = "linux")]
fn become_user(who: RunAs) -> Result<(), PrivilegesError> {
    use rustix::thread::{set_no_new_privs, set_thread_res_uid};

    let (user, root) = (Uid::from_raw(who.user), Uid::ROOT);
    set_no_new_privs(true)
        .and_then(|()| set_thread_res_uid(user, user, user))
        .map_err(|error| PrivilegesError::Refused(who, error.into()))?;
    if !user.is_root() && set_thread_res_uid(root, root, root).is_ok() {
        return Err(PrivilegesError::Reversible(who));
    }
    Ok(())
}

/// As [`try_as_user`] there.
#[cfg(not(target_os = "linux"))]
fn become_user(who: RunAs) -> Result<(), PrivilegesError> {
    Err(PrivilegesError::Refused(who, io::ErrorKind::Unsupported.into()))
}

/// Checks that this many threads can be started: all are, and end at once.
///
/// # Errors
/// The error of the system.
pub(super) fn check_threads(count: usize) -> io::Result<()> {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock();
    let start = |_| {
        let gate = gate.clone();
        // None ends before the last has started.
        thread::Builder::new().spawn(move || drop(gate.lock()))
    };
    let mut threads = Vec::with_capacity(count);
    let started = (0..count).map(start).try_for_each(|started| started.map(|thread| threads.push(thread)));
    drop(closed);
    threads.into_iter().for_each(|thread| drop(thread.join()));
    started
}

/// Whether the process has one thread. One that has been joined may be listed a moment longer.
fn has_one_thread() -> bool {
    (0..THREAD_CHECKS).any(|check| {
        if check > 0 {
            thread::sleep(THREAD_CHECK_INTERVAL);
        }
        matches!(std::fs::read_dir("/proc/self/task").map(Iterator::count), Ok(1))
    })
}

/// The groups that `who` needs to open the socket.
fn needed_groups(path: &Path, who: RunAs) -> Result<Vec<Gid>, PrivilegesError> {
    let found = std::fs::metadata(path).map_err(|error| PrivilegesError::NoEngine(path.to_owned(), error))?;
    // Connecting takes write permission.
    let may = |bit: u32| found.mode() & bit != 0;
    if found.uid() == who.user && may(0o200) || found.gid() == who.group && may(0o020) || may(0o002) {
        return Ok(Vec::new());
    }
    if may(0o020) {
        Ok(vec![Gid::from_raw(found.gid())])
    } else {
        Err(PrivilegesError::OwnerOnly(path.to_owned(), who))
    }
}

/// Checks that the process may open the engine's socket. The engine need not listen yet.
///
/// # Errors
/// [`PrivilegesError::EngineSocket`], with the line that fixes it.
pub(super) fn check_engine_socket(engine: &EngineEndpoint, run_as: Option<RunAs>) -> Result<(), PrivilegesError> {
    let Some(path) = engine.socket_path() else { return Ok(()) };
    let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    let found = match (connect_at_once(path), std::fs::metadata(path)) {
        (Err(error), Ok(found)) if denied(&error) => found,
        (Ok(_) | Err(_), _) => return Ok(()),
    };
    let process = (geteuid().as_raw(), getegid().as_raw());
    if may_open(&found, process) {
        return Err(PrivilegesError::EngineForbidden { path: path.to_owned(), process });
    }
    let wanted = run_as.map_or(process.0, |who| who.user);
    let owner = (found.uid(), found.gid());
    Err(PrivilegesError::EngineSocket { path: path.to_owned(), owner, process, wanted, becomes: run_as.is_some() })
}

/// Whether the permissions of a socket let this process connect to it.
fn may_open(socket: &Metadata, (user, group): (u32, u32)) -> bool {
    let may = |bit: u32| socket.mode() & bit != 0;
    let groups = getgroups().unwrap_or_default();
    let is_member = socket.gid() == group || groups.iter().any(|group| group.as_raw() == socket.gid());
    // The first that applies decides.
    if user == 0 {
        true
    } else if socket.uid() == user {
        may(0o200)
    } else if is_member {
        may(0o020)
    } else {
        may(0o002)
    }
}

/// The user and groups of the process, for the log.
pub(super) fn description() -> String {
    let groups: Vec<String> = getgroups().unwrap_or_default().iter().map(|group| group.as_raw().to_string()).collect();
    let groups = if groups.is_empty() { "none".to_owned() } else { groups.join(", ") };
    format!("user {}, group {}, supplementary groups {groups}", geteuid().as_raw(), getegid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::one_line;
    use crate::socket::Address;

    #[test]
    fn a_process_with_threads_keeps_its_user() {
        if geteuid().is_root() {
            let who = RunAs { user: 1000, group: 1000 };
            // The harness runs tests in threads.
            let engine = "tcp://127.0.0.1:1".parse::<Address>().unwrap().into();
            let result = drop_privileges(who, &[&engine], &[], &|| Ok(()));
            assert!(matches!(result, Err(ServerError::Privileges(PrivilegesError::Threads))), "{result:?}");
            assert!(geteuid().is_root());
        }
    }

    #[test]
    fn the_group_of_the_socket_is_kept_only_where_it_is_needed() {
        let path = std::env::temp_dir().join(format!("dockveil-privileges-{}", std::process::id()));
        std::fs::write(&path, "").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        mode(0o660);
        let found = std::fs::metadata(&path).unwrap();
        let groups = |user, group| -> Vec<u32> {
            needed_groups(&path, RunAs { user, group }).unwrap().iter().map(|group| group.as_raw()).collect()
        };
        assert_eq!(groups(found.uid() + 1, found.gid() + 1), [found.gid()]);
        assert!(groups(found.uid(), found.gid() + 1).is_empty());
        assert!(groups(found.uid() + 1, found.gid()).is_empty());
        mode(0o666);
        assert!(groups(found.uid() + 1, found.gid() + 1).is_empty());
        mode(0o600);
        let stranger = RunAs { user: found.uid() + 1, group: found.gid() + 1 };
        assert!(matches!(needed_groups(&path, stranger), Err(PrivilegesError::OwnerOnly(..))));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(needed_groups(&path, RunAs { user: 1, group: 1 }), Err(PrivilegesError::NoEngine(..))));
    }

    #[test]
    fn the_error_has_the_line_that_fixes_it() {
        let error = PrivilegesError::EngineSocket {
            path: "/run/docker.sock".into(),
            owner: (0, 991),
            process: (65532, 65532),
            wanted: 1000,
            becomes: true,
        };
        let text = error.to_string();
        for line in ["user: \"1000:991\"", "user: \"0:991\"", "group_add: [\"991\"]", "--group-add 991"] {
            assert!(text.contains(&format!("`{line}`")), "{line}: {text}");
        }
        let forbidden = PrivilegesError::EngineForbidden { path: "/run/docker.sock".into(), process: (1000, 991) };
        // In the log, and in JSON, a text is a line.
        for text in [text, forbidden.to_string()] {
            assert_eq!(one_line(&text), text);
        }
    }
}
