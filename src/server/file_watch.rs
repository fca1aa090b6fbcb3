//! Notices that the files of the configuration change, and that a signal asks for a reload.
//!
//! Editors replace a file, and Kubernetes the folder that it is in: so the folders are watched, and what counts is whether the
//! bytes of the files are different afterwards.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::config::ConfigFileSet;
use crate::config::files;

/// How long nothing may change until the files are read: whoever writes them may not have finished.
const QUIET: Duration = Duration::from_millis(200);
/// After this long, they are read all the same.
const LONGEST_CHANGE: Duration = Duration::from_secs(5);

/// Why the configuration is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReloadReason {
    /// A signal asks for it.
    Signal,
    /// A file has changed.
    Files,
}

impl fmt::Display for ReloadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signal => "SIGHUP",
            Self::Files => "files changed",
        })
    }
}

/// Watches the files of the configuration.
#[derive(Debug)]
pub(super) struct FileWatch {
    /// As they were last seen.
    files: ConfigFileSet,
    /// `None` if nothing is watched, or nothing can be.
    watcher: Option<RecommendedWatcher>,
    /// Has an entry if something has changed in one of the folders.
    changes: mpsc::Receiver<()>,
}

impl FileWatch {
    /// Watches these files from now on; changes since they were read count. If that is not possible, the log says so, and a
    /// signal still asks for a reload.
    pub(super) fn start(files: ConfigFileSet) -> Self {
        let (changed, changes) = mpsc::channel(1);
        let mut watch = Self { files, watcher: None, changes };
        if watch.files.is_watched && !watch.files.is_empty() {
            // One entry says that something has changed, however much. The first one says: look.
            let _ = changed.try_send(());
            let handler = move |event: notify::Result<Event>| {
                // Whoever only reads changes nothing. We do so ourselves, each time.
                if !event.is_ok_and(|event| is_read(event.kind)) {
                    let _ = changed.try_send(());
                }
            };
            watch.watcher = notify::recommended_watcher(handler).map_err(|error| log_unwatched(&error)).ok();
            watch.watch_folders();
        }
        watch
    }

    /// What is watched, or would be.
    pub(super) fn files(&self) -> &ConfigFileSet {
        &self.files
    }

    /// Watches other files, which have just been read.
    pub(super) fn replace(&mut self, files: ConfigFileSet) {
        if files.has_same_names(&self.files) {
            self.files = files;
            // A folder may have come back.
            self.watch_folders();
        } else {
            *self = Self::start(files);
        }
    }

    /// Waits until the bytes of a file are different; for ever if nothing is watched.
    ///
    /// Cancel safety: no change is missed.
    pub(super) async fn changed(&mut self) {
        loop {
            if self.watcher.is_none() || self.changes.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
            // Nobody waits for the next change meanwhile: a log that is written in one of the folders wakes nobody up.
            let more = async {
                loop {
                    tokio::time::sleep(QUIET).await;
                    if self.changes.try_recv().is_err() {
                        break;
                    }
                }
            };
            let _ = tokio::time::timeout(LONGEST_CHANGE, more).await;
            // What has been watched by its name may be another folder now.
            self.watch_folders();
            if self.files.look_again() {
                return;
            }
        }
    }

    fn watch_folders(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        for folder in folders(&self.files) {
            if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
                log_unwatched(&error);
            }
        }
    }
}

fn log_unwatched(error: &notify::Error) {
    tracing::warn!(%error, "files are not watched: send SIGHUP to reload the configuration");
}

/// Whether an event is no change: a file is opened or read, or closed by who did.
fn is_read(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

/// The most links on the way to a file.
const LINK_LIMIT: usize = 40;

/// The folders in which a change may change one of the files: those in which they are, and those in which links on the way to them
/// are. In place of one that does not exist, the nearest that does and in which it may come back.
fn folders(files: &ConfigFileSet) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    for path in files.files.iter().chain(&files.folders) {
        let mut path = path.clone();
        for _ in 0..LINK_LIMIT {
            folders.extend(path.ancestors().skip(1).map(or_here).find(|folder| folder.is_dir()).map(Path::to_path_buf));
            let Some((link, target)) = first_link(&path) else { break };
            folders.extend(link.parent().map(or_here).map(Path::to_path_buf));
            let behind = path.strip_prefix(&link).unwrap_or(Path::new("")).to_path_buf();
            path = link.parent().map(or_here).unwrap_or(Path::new(".")).join(target);
            if behind != Path::new("") {
                path.push(behind);
            }
        }
    }
    for folder in &files.folders {
        folders.extend(files::tree(folder).into_iter().filter(|path| path.is_dir()));
    }
    folders
}

/// The first link on the way to a path, and where it leads.
fn first_link(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut ways: Vec<&Path> = path.ancestors().collect();
    ways.reverse();
    ways.into_iter().find_map(|way| Some((way.to_path_buf(), std::fs::read_link(way).ok()?)))
}

/// A folder by a name that is not empty.
fn or_here(folder: &Path) -> &Path {
    if folder == Path::new("") { Path::new(".") } else { folder }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::time_limit::within_time_limit;

    /// What is done in the folder, and whether that is to be noticed.
    type Step = (fn(&Path), bool);

    /// Changes files in a new folder, and counts how often that is noticed.
    #[track_caller]
    fn check(name: &str, prepare: impl FnOnce(&Path) -> ConfigFileSet, steps: Vec<Step>) {
        let folder = std::env::temp_dir().join(format!("dockveil-watch-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let files = prepare(&folder);
        let inside = folder.clone();
        within_time_limit(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let mut watch = FileWatch::start(files);
                for (number, (step, is_change)) in steps.into_iter().enumerate() {
                    step(&inside);
                    let limit = if is_change { Duration::from_secs(20) } else { 3 * QUIET };
                    let noticed = tokio::time::timeout(limit, watch.changed()).await.is_ok();
                    assert_eq!(noticed, is_change, "step {number}");
                }
            });
        });
        std::fs::remove_dir_all(&folder).unwrap();
    }

    fn set(files: Vec<PathBuf>, folders: Vec<PathBuf>) -> ConfigFileSet {
        ConfigFileSet::new(files, folders, true)
    }

    fn write(folder: &Path, name: &str, text: &str) {
        std::fs::write(folder.join(name), text).unwrap();
    }

    #[test]
    fn a_file_that_is_written_or_replaced_is_noticed_and_others_are_not() {
        check(
            "file",
            |folder| {
                write(folder, "a.yaml", "1");
                set(vec![folder.join("a.yaml"), folder.join("later.pem")], Vec::new())
            },
            vec![
                (|folder| write(folder, "a.yaml", "2"), true),
                (|folder| write(folder, "other.yaml", "3"), false),
                (|folder| write(folder, "a.yaml", "2"), false),
                (
                    |folder| {
                        write(folder, "new", "4");
                        std::fs::rename(folder.join("new"), folder.join("a.yaml")).unwrap();
                    },
                    true,
                ),
                (|folder| write(folder, "later.pem", "5"), true),
                (|folder| std::fs::remove_file(folder.join("a.yaml")).unwrap(), true),
            ],
        );
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_noticed() {
        // As Kubernetes replaces a ConfigMap: the file is a link through a link to a folder.
        check(
            "link",
            |folder| {
                for version in ["v1", "v2"] {
                    std::fs::create_dir(folder.join(version)).unwrap();
                    write(folder, &format!("{version}/a.yaml"), version);
                }
                symlink("v1", folder.join("..data")).unwrap();
                symlink("..data/a.yaml", folder.join("a.yaml")).unwrap();
                set(vec![folder.join("a.yaml")], Vec::new())
            },
            vec![
                (
                    |folder| {
                        symlink("v2", folder.join("..new")).unwrap();
                        std::fs::rename(folder.join("..new"), folder.join("..data")).unwrap();
                    },
                    true,
                ),
                (|folder| write(folder, "v2/a.yaml", "changed"), true),
            ],
        );
    }

    #[test]
    fn every_file_of_a_folder_counts() {
        check(
            "folder",
            |folder| {
                std::fs::create_dir_all(folder.join("filters/own")).unwrap();
                set(Vec::new(), vec![folder.join("filters")])
            },
            vec![
                (|folder| write(folder, "filters/own/a.yaml", "1"), true),
                (|folder| write(folder, "beside.yaml", "1"), false),
                (|folder| std::fs::create_dir(folder.join("filters/more")).unwrap(), true),
                (|folder| write(folder, "filters/more/b.yaml", "1"), true),
                (|folder| std::fs::remove_dir_all(folder.join("filters/own")).unwrap(), true),
            ],
        );
    }

    #[test]
    fn a_folder_that_is_removed_and_made_again_is_watched_again() {
        check(
            "again",
            |folder| {
                std::fs::create_dir_all(folder.join("outer/inner")).unwrap();
                write(folder, "outer/inner/a.yaml", "1");
                set(vec![folder.join("outer/inner/a.yaml")], Vec::new())
            },
            vec![
                (|folder| std::fs::remove_dir_all(folder.join("outer")).unwrap(), true),
                (
                    |folder| {
                        std::fs::create_dir_all(folder.join("outer/inner")).unwrap();
                        write(folder, "outer/inner/a.yaml", "2");
                    },
                    true,
                ),
                (|folder| write(folder, "outer/inner/a.yaml", "3"), true),
            ],
        );
    }

    #[test]
    fn a_link_on_the_way_to_a_file_that_leads_elsewhere_is_noticed() {
        check(
            "way",
            |folder| {
                for version in ["v1", "v2"] {
                    std::fs::create_dir_all(folder.join(version).join("conf")).unwrap();
                    write(folder, &format!("{version}/conf/a.yaml"), version);
                }
                symlink("v1", folder.join("current")).unwrap();
                symlink("current/conf", folder.join("conf")).unwrap();
                set(vec![folder.join("conf/a.yaml")], Vec::new())
            },
            vec![
                (|folder| write(folder, "v2/conf/b.yaml", "beside"), false),
                (
                    |folder| {
                        symlink("v2", folder.join("new")).unwrap();
                        std::fs::rename(folder.join("new"), folder.join("current")).unwrap();
                    },
                    true,
                ),
                (|folder| write(folder, "v2/conf/a.yaml", "changed"), true),
                (|folder| write(folder, "v1/conf/a.yaml", "changed"), false),
            ],
        );
    }

    /// Else each look at the files would ask for the next one.
    #[test]
    fn reading_is_no_change() {
        within_time_limit(|| {
            let folder = std::env::temp_dir().join(format!("dockveil-watch-read-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            write(&folder, "a.yaml", "1");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let mut watch = FileWatch::start(set(vec![folder.join("a.yaml")], Vec::new()));
                assert_eq!(watch.changes.recv().await, Some(()), "at the start, it looks");
                std::fs::read(folder.join("a.yaml")).unwrap();
                watch.watch_folders();
                tokio::time::sleep(QUIET).await;
                assert!(watch.changes.try_recv().is_err());
            });
            std::fs::remove_dir_all(&folder).unwrap();
        });
    }

    #[test]
    fn what_is_not_watched_is_not_noticed() {
        check(
            "off",
            |folder| ConfigFileSet::new(vec![folder.join("a.yaml")], Vec::new(), false),
            vec![(|folder| write(folder, "a.yaml", "1"), false)],
        );
    }
}
