//! Who the process is, once it has opened what only root may open.
//!
//! A proxy that is started as root opens its listeners and then becomes an ordinary user, for good. The engine's socket
//! is opened anew for every connection, so what the user needs to open it has to stay: its group, and nothing else, is
//! kept as the only supplementary group. No part of the program stays behind as root to open sockets for the rest.
//!
//! The system changes the identity of one thread, not of a process. So this happens before there is a second thread, and
//! is refused when there is one: threads inherit who they are from the one that starts them.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::process::{Gid, Uid, getegid, geteuid, getgroups};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::config::compat::RunAs;
use crate::socket::Address;

/// Why the process is not who it was to be.
#[derive(Debug)]
pub enum Error {
    /// The folder of a listener could not be given away.
    Folder(PathBuf, io::Error),
    /// There is no engine whose group could be kept.
    NoEngine(PathBuf, io::Error),
    /// Only the owner of the engine's socket may open it.
    OwnerOnly(PathBuf, RunAs),
    /// Threads are running that would stay who they are.
    Threads,
    /// The system refused.
    Refused(RunAs, io::Error),
    /// The way back is open.
    Undone(RunAs),
    /// The engine's socket cannot be opened by who the process is.
    Engine {
        /// The socket.
        path: PathBuf,
        /// Its user and group.
        owner: (u32, u32),
        /// Who we are.
        now: (u32, u32),
        /// Who we were to be.
        wanted: u32,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path, error) => write!(f, "cannot give {} away: {error}", path.display()),
            Self::NoEngine(path, error) => {
                write!(f, "cannot look at {}, the socket of the engine: {error}; is it mounted?", path.display())
            }
            Self::OwnerOnly(path, RunAs { user, group }) => write!(
                f,
                "only its owner may open {}, the socket of the engine: let its group open it, or {user}:{group} never will",
                path.display()
            ),
            Self::Threads => f.write_str("cannot change the user of a process with several threads"),
            Self::Refused(RunAs { user, group }, error) => write!(
                f,
                "cannot become {user}:{group}: {error}; started as root, it takes the capabilities CHOWN, SETGID and SETUID"
            ),
            Self::Undone(RunAs { user, group }) => write!(f, "became {user}:{group}, but could become root again"),
            Self::Engine { path, owner, now, wanted } => write!(
                f,
                "{path} belongs to {}:{} and cannot be opened by {}:{}; in the compose file, put\n    \
                 user: \"{wanted}:{group}\"\nto run as an ordinary user of its group, or\n    user: \"{}:{group}\"\nto \
                 start as its owner",
                owner.0,
                owner.1,
                now.0,
                now.1,
                owner.0,
                path = path.display(),
                group = owner.1,
            ),
        }
    }
}

/// Makes the folder of a Unix socket and gives it to `who`, so that the socket can be taken away in the end.
///
/// # Errors
/// [`Error::Folder`].
pub(super) fn give_folder(who: RunAs, listener: &Address) -> Result<(), Error> {
    let Address::Unix(path) = listener else { return Ok(()) };
    let Some(folder) = path.parent().filter(|_| geteuid().is_root()) else { return Ok(()) };
    std::fs::create_dir_all(folder)
        .and_then(|()| std::os::unix::fs::chown(folder, Some(who.user), Some(who.group)))
        .map_err(|error| Error::Folder(folder.to_owned(), error))
}

/// Becomes `who` for good, if this is root; anybody else stays who it is.
///
/// # Errors
/// [`Error`]; the process is then in between and must end.
pub(super) fn become_user(who: RunAs, engine: &Address) -> Result<(), Error> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let threads = std::fs::read_dir("/proc/self/task").map(Iterator::count);
    if !matches!(threads, Ok(1)) {
        return Err(Error::Threads);
    }
    let groups = match engine {
        Address::Unix(path) => groups_for(path, who)?,
        Address::Tcp { .. } => Vec::new(),
    };
    let (user, group) = (Uid::from_raw(who.user), Gid::from_raw(who.group));
    set_thread_groups(&groups)
        .and_then(|()| set_thread_res_gid(group, group, group))
        .and_then(|()| set_thread_res_uid(user, user, user))
        .and_then(|()| set_no_new_privs(true))
        .map_err(|error| Error::Refused(who, error.into()))?;
    let root = Uid::ROOT;
    if !user.is_root() && set_thread_res_uid(root, root, root).is_ok() {
        return Err(Error::Undone(who));
    }
    Ok(())
}

/// The groups without which `who` could not open the socket.
fn groups_for(path: &Path, who: RunAs) -> Result<Vec<Gid>, Error> {
    let found = std::fs::metadata(path).map_err(|error| Error::NoEngine(path.to_owned(), error))?;
    // Writing is what it takes to connect.
    let may = |bit: u32| found.mode() & bit != 0;
    if found.uid() == who.user && may(0o200) || found.gid() == who.group && may(0o020) || may(0o002) {
        return Ok(Vec::new());
    }
    if may(0o020) { Ok(vec![Gid::from_raw(found.gid())]) } else { Err(Error::OwnerOnly(path.to_owned(), who)) }
}

/// Whether the engine's socket can be opened. That nobody listens on it yet is no reason to end.
///
/// # Errors
/// [`Error::Engine`], with the line that puts it right.
pub(super) fn check_engine(engine: &Address, run_as: Option<RunAs>) -> Result<(), Error> {
    let Address::Unix(path) = engine else { return Ok(()) };
    let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    match (UnixStream::connect(path), std::fs::metadata(path)) {
        (Err(error), Ok(found)) if denied(&error) => {
            let now = (geteuid().as_raw(), getegid().as_raw());
            Err(Error::Engine {
                path: path.clone(),
                owner: (found.uid(), found.gid()),
                now,
                wanted: run_as.map_or(now.0, |who| who.user),
            })
        }
        (Ok(_) | Err(_), _) => Ok(()),
    }
}

/// Who the process is, for the log.
pub(super) fn description() -> String {
    let groups: Vec<String> = getgroups().unwrap_or_default().iter().map(|group| group.as_raw().to_string()).collect();
    let groups = if groups.is_empty() { "none".to_owned() } else { groups.join(", ") };
    format!("user {}, group {}, further groups: {groups}", geteuid().as_raw(), getegid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_stays_who_it_is() {
        if geteuid().is_root() {
            let who = RunAs { user: 1000, group: 1000 };
            // The harness runs tests in threads.
            let became = become_user(who, &"tcp://127.0.0.1:1".parse().unwrap());
            assert!(matches!(became, Err(Error::Threads)), "{became:?}");
            assert!(geteuid().is_root());
        }
    }

    #[test]
    fn the_group_of_the_socket_is_kept_only_where_it_is_needed() {
        let path = std::env::temp_dir().join(format!("dockveil-identity-{}", std::process::id()));
        std::fs::write(&path, "").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        mode(0o660);
        let found = std::fs::metadata(&path).unwrap();
        let groups = |user, group| -> Vec<u32> {
            groups_for(&path, RunAs { user, group }).unwrap().iter().map(|group| group.as_raw()).collect()
        };
        assert_eq!(groups(found.uid() + 1, found.gid() + 1), [found.gid()]);
        assert!(groups(found.uid(), found.gid() + 1).is_empty());
        assert!(groups(found.uid() + 1, found.gid()).is_empty());
        mode(0o666);
        assert!(groups(found.uid() + 1, found.gid() + 1).is_empty());
        mode(0o600);
        let stranger = RunAs { user: found.uid() + 1, group: found.gid() + 1 };
        assert!(matches!(groups_for(&path, stranger), Err(Error::OwnerOnly(..))));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(groups_for(&path, RunAs { user: 1, group: 1 }), Err(Error::NoEngine(..))));
    }

    #[test]
    fn the_message_has_the_line_that_puts_it_right() {
        let error =
            Error::Engine { path: "/run/docker.sock".into(), owner: (0, 991), now: (65532, 65532), wanted: 1000 };
        let text = error.to_string();
        assert!(text.contains("user: \"1000:991\"") && text.contains("user: \"0:991\""), "{text}");
    }
}
