//! An engine through `ssh`: a real one, to a real `sshd` of its own on loopback, where `docker system dial-stdio` reaches the engine.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Ignored, Outcome, Test, tests};
use crate::support::client::TIMEOUT;
use crate::support::process::{Folder, Process};
use crate::support::proxy::Proxy;
use crate::support::{cli, client, engine, eventually, loopback, seed};

pub(crate) const TESTS: &[Test] = tests![
    the_docker_command_works_through_ssh,
    ssh_that_is_refused_is_502_and_told_to_the_operator,
    ssh_is_asked_exactly_as_by_the_docker_command,
];

/// An `sshd` that lets this user in with one key, and what its clients need.
struct SshServer {
    _process: Process,
    folder: Folder,
    port: u16,
}

impl SshServer {
    /// # Errors
    /// What is missing on this machine.
    #[track_caller]
    fn start(name: &str) -> Result<Self, Ignored> {
        let missing = || Ignored::Missing("no sshd on this machine: openssh-server has it".to_owned());
        let sshd = engine::find("sshd").or(Some(PathBuf::from("/usr/sbin/sshd"))).filter(|path| path.is_file());
        let sshd = sshd.ok_or_else(missing)?;
        let folder = Folder::new(name);
        let at = |name: &str| folder.path().join(name).display().to_string();
        for key in ["host", "client", "stranger"] {
            let arguments = ["-q", "-t", "ed25519", "-N", "", "-f", &at(key)];
            assert!(Command::new("ssh-keygen").args(arguments).status().unwrap().success());
        }
        fs::copy(at("client.pub"), at("authorized")).unwrap();
        // Without it, sshd as root does not start. The package makes it at the start of its service.
        fs::create_dir_all("/run/sshd").unwrap();
        let address = TcpListener::bind((loopback(2), 0)).unwrap().local_addr().unwrap();
        let config = format!(
            "ListenAddress {address}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication \
             no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nSetEnv PATH=/usr/local/bin:/usr/bin:/bin\n",
            at("host"),
            at("authorized")
        );
        fs::write(at("sshd_config"), config).unwrap();
        let host_key = fs::read_to_string(at("host.pub")).unwrap();
        fs::write(at("known_hosts"), format!("[{}]:{} {host_key}", address.ip(), address.port())).unwrap();
        let log = fs::File::create(at("log")).unwrap();
        let mut command = Command::new(sshd);
        command.args(["-D", "-e", "-f", &at("sshd_config")]).stdout(log.try_clone().unwrap()).stderr(log);
        let process = Process::spawn(&mut command, &folder, "sshd");
        let listens = eventually(TIMEOUT, || std::net::TcpStream::connect(address).is_ok());
        assert!(listens, "{}", fs::read_to_string(at("log")).unwrap_or_default());
        Ok(Self { _process: process, folder, port: address.port() })
    }

    /// A folder for the `PATH` whose `ssh` is the real one, with this key and these known hosts.
    fn path(&self, name: &str, key: &str, known_hosts: &str) -> String {
        let folder = self.folder.path().join(format!("path-{name}"));
        fs::create_dir(&folder).unwrap();
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let config = format!(
            "IdentityFile {}\nIdentitiesOnly yes\nIdentityAgent none\nUserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\n",
            at(key),
            at(known_hosts)
        );
        fs::write(folder.join("config"), config).unwrap();
        let real = engine::find("ssh").unwrap();
        stand_in(&folder, &format!("exec {} -F {}/config \"$@\"", real.display(), folder.display()));
        format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display())
    }

    /// Through it, the engine at a socket.
    fn upstream(&self, socket: &Path) -> String {
        format!("ssh://root@{}:{}{}", loopback(2), self.port, socket.display())
    }
}

/// An `ssh` in a folder that is this script.
fn stand_in(folder: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("ssh");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The configuration in front of an engine.
fn configuration(upstream: &str, socket: &Path) -> String {
    format!(
        "upstream: \"{upstream}\"\nlisteners: [{{listen: \"unix://{}\", profile: session}}]\nprofiles:\n  - profile: session\n    allow: \
         [Ping, SystemVersion, SystemEvents, ContainerList, ContainerInspect, ContainerLogs, ContainerExec, ExecStart, ExecInspect, \
         ExecResize, ContainerResize, ContainerAttach]\n    show: [identity, state, host]\n",
        socket.display()
    )
}

fn the_docker_command_works_through_ssh() -> Outcome {
    let engine = engine::read_write()?;
    let server = SshServer::start("sshd")?;
    let path = server.path("bin", "client", "known_hosts");
    let proxy = Proxy::start_with_path(&path, |socket| configuration(&server.upstream(&engine.socket()), socket));
    let socket = proxy.socket();
    let name = "over-ssh";
    let ticking = ["sh", "-c", "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.1; done"];
    seed::start(&engine.socket(), name, &seed::detached(&ticking));
    let shown = |arguments: &[&str]| {
        let output = cli::docker(&socket, arguments, "");
        assert!(output.status.success(), "{arguments:?}: {}\n{}", cli::outputs(&output), proxy.log());
        cli::outputs(&output)
    };
    assert!(shown(&["ps"]).contains(name));
    assert_eq!(shown(&["exec", name, "echo", "hello"]).trim(), "hello");
    // A tunnel: what is typed ends on its own, and the answer comes all the same.
    let typed = cli::docker(&socket, &["exec", "--interactive", name, "sh", "-c", "cat; echo end"], "typed\n");
    assert_eq!(String::from_utf8_lossy(&typed.stdout), "typed\nend\n", "{}\n{}", cli::outputs(&typed), proxy.log());
    assert_eq!(cli::docker(&socket, &["exec", name, "sh", "-c", "exit 7"], "").status.code(), Some(7));
    let mut terminal = cli::Running::in_terminal(&socket, &format!("docker exec -it {name} sh -c 'tty; cat'"));
    terminal.expect(&["/dev/pts/"]);
    terminal.send("through the terminal\n");
    terminal.expect(&["through the terminal"]);
    drop(terminal);
    let mut events = cli::Running::docker(&socket, &["events", "--since", "1s"]);
    shown(&["exec", name, "true"]);
    events.expect(&["exec_start"]);
    drop(events);
    // A stream ends when the container is gone.
    let mut logs = cli::Running::docker(&socket, &["logs", "--follow", "--tail", "1", name]);
    for _ in 0..3 {
        logs.expect(&["line "]);
    }
    seed::remove(&engine.socket(), name);
    assert_eq!(logs.end(), Some(0));
    // Those of the streams have ended. Some are kept for documents.
    let idle = eventually(TIMEOUT, || proxy.children() <= 4);
    assert!(idle, "{} processes are left", proxy.children());
    Ok(())
}

fn ssh_that_is_refused_is_502_and_told_to_the_operator() -> Outcome {
    let engine = engine::read_write()?;
    let server = SshServer::start("sshd-refusing")?;
    fs::write(server.folder.path().join("nobody"), "").unwrap();
    for (name, key, known_hosts, expected) in [
        ("stranger", "stranger", "known_hosts", "Permission denied (publickey)"),
        ("unknown", "client", "nobody", "Host key verification failed."),
    ] {
        let path = server.path(name, key, known_hosts);
        let proxy = Proxy::start_with_path(&path, |socket| configuration(&server.upstream(&engine.socket()), socket));
        let answer = client::get(&proxy.socket(), "/containers/json");
        assert_eq!(
            (answer.status(), answer.json()["message"].as_str()),
            (502, Some("no SSH connection to the docker daemon"))
        );
        let is_told = |line: &str| line.contains("engine: ssh: ") && line.contains(expected);
        let told = eventually(TIMEOUT, || proxy.log().lines().any(is_told));
        assert!(told && proxy.log().contains("exit status 255"), "{expected}: {}", proxy.log());
    }
    // The engine is asked for at a path where there is none: what the other side says is what ssh says last.
    let path = server.path("nowhere", "client", "known_hosts");
    let proxy =
        Proxy::start_with_path(&path, |socket| configuration(&server.upstream(Path::new("/nowhere.sock")), socket));
    assert_eq!(client::get(&proxy.socket(), "/containers/json").status(), 502);
    assert!(proxy.log().contains("/nowhere.sock"), "{}", proxy.log());
    Ok(())
}

fn ssh_is_asked_exactly_as_by_the_docker_command() -> Outcome {
    // Older ones do not quote what the other side's shell reads.
    let docker = engine::newest_root()?.join("usr/bin/docker");
    if !docker.is_file() {
        return Err(Ignored::Missing("no newer docker command, which .ci/engines unpacks".to_owned()));
    }
    let folder = Folder::new("ssh-arguments");
    let at = |name: &str| folder.path().join(name);
    stand_in(
        folder.path(),
        &format!("printf '%s\\n' \"$@\" > {}/$(ls {0} | wc -l)\necho no >&2\nexit 255", at("asked").display()),
    );
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", folder.path().display());
    let asked = || {
        let first =
            fs::read_dir(at("asked")).unwrap().next().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
        fs::remove_dir_all(at("asked")).unwrap();
        fs::create_dir(at("asked")).unwrap();
        first
    };
    fs::create_dir(at("asked")).unwrap();
    for address in [
        "ssh://host.example",
        "ssh://me@host.example",
        "ssh://me.too-2_x+y@host_a.example:2222",
        "ssh://[::1]:22",
        "ssh://me@host.example/run/user/1000/docker.sock",
        "ssh://me@host.example/",
    ] {
        let mut command = Command::new("timeout");
        command.arg("20").arg(&docker).args(["--host", address, "version"]).env("PATH", &path);
        let _ = command.env_remove("DOCKER_HOST").env("DOCKER_CONFIG", folder.path()).output().unwrap();
        let of_docker = asked();
        assert!(of_docker.is_some(), "{address}: the docker command does not start ssh");
        let proxy = Proxy::start_with_path(&path, |socket| configuration(address, socket));
        drop(proxy);
        assert_eq!(asked(), of_docker, "{address}");
    }
    Ok(())
}
