//! The Compose files of `deploy/`, read by Compose itself.

use std::path::Path;
use std::process::Command;

use super::support::installed;

/// Variables that the files ask for.
const VARIABLES: [(&str, &str); 4] =
    [("DOCKER_GID", "999"), ("KEY", "key"), ("DD_API_KEY", "key"), ("SECRET_ENCRYPTION_KEY", "key")];

/// Has Compose read every file of a folder and resolve it.
fn check_read(program: &str, folder: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    assert!(!files.is_empty());
    for file in files {
        let read = Command::new(program).arg("--file").arg(&file).args(["config", "--quiet"]).envs(VARIABLES).output();
        let read = read.unwrap();
        assert!(read.status.success(), "{program} {}: {}", file.display(), installed::told(&read));
    }
}

#[test]
fn compose_v2_reads_every_file() {
    if let Some(program) = installed::client("docker-compose") {
        check_read(&program, "compose");
        check_read(&program, "swarm");
    }
}

#[test]
fn compose_of_the_system_reads_every_file() {
    if let Some(program) = installed::of_the_system("docker-compose") {
        check_read(&program, "compose");
    }
}
