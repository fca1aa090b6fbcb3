//! The docker command and the SDK for Python over TLS, with the certificates that Docker's own clients use: `ca.pem`, `cert.pem`
//! and `key.pem` in a directory.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use crate::harness::{Outcome, Test, tests};
use crate::support::authority::{Authority, Identity, Names};
use crate::support::process::Folder;
use crate::support::proxy::Proxy;
use crate::support::{cli, client, engine, installed, loopback, seed};

pub(crate) const TESTS: &[Test] = tests![
    the_docker_command_works_over_tls,
    the_docker_command_without_the_right_certificate_gets_nothing,
    the_sdk_for_python_works_over_tls,
    an_engine_with_tlsverify_is_reached_with_the_right_certificate_only,
];

/// The program with TLS at a port, and its authority.
struct TlsProxy {
    proxy: Proxy,
    authority: Authority,
    port: u16,
}

impl TlsProxy {
    /// In front of an engine, for clients called `web`, which may do what sessions in a container take.
    fn start(engine: &Path) -> Self {
        let authority = Authority::new();
        // The command refuses certificates that are for no name of the server.
        let port = TcpListener::bind((loopback(1), 0)).unwrap().local_addr().unwrap().port();
        let Identity { certificate, key, .. } = authority.server();
        let files = [("server-cert.pem", certificate), ("server-key.pem", key), ("ca.pem", authority.pem())];
        let proxy = Proxy::start_configured(|socket| {
            let folder = socket.parent().unwrap();
            for (name, text) in &files {
                fs::write(folder.join(name), text).unwrap();
            }
            format!(
                "upstream: unix://{}\nlisteners:\n  - listen: tcp://127.0.0.1:{port}\n    tls: {{certificate: server-cert.pem, key: \
                 server-key.pem, client_ca: ca.pem}}\n    clients: [{{certificate: {{cn: web}}, profile: session}}]\nprofiles:\n  - \
                 profile: session\n    allow: [Ping, SystemVersion, SystemEvents, ContainerList, ContainerInspect, ContainerLogs, \
                 ContainerExec, ExecStart, ExecInspect, ExecResize, ContainerResize, ContainerAttach, ContainerTop]\n    show: \
                 [identity, state, host]\n",
                engine.display()
            )
        });
        Self { proxy, authority, port }
    }

    /// The directory of a client with these certificates, for `DOCKER_CERT_PATH`.
    fn client(&self, name: &str, identity: Option<&Identity>) -> String {
        let folder = self.proxy.folder().join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("ca.pem"), self.authority.pem()).unwrap();
        if let Some(Identity { certificate, key, .. }) = identity {
            fs::write(folder.join("cert.pem"), certificate).unwrap();
            fs::write(folder.join("key.pem"), key).unwrap();
        }
        folder.display().to_string()
    }

    /// What starts a program with the certificates in a directory.
    fn environment(&self, certificates: &str) -> Vec<String> {
        // The authorities of these variables would take the place of `ca.pem`, in the SDK for Python.
        let words = "env --unset REQUESTS_CA_BUNDLE --unset CURL_CA_BUNDLE DOCKER_TLS_VERIFY=1";
        let own = [format!("DOCKER_CERT_PATH={certificates}"), format!("DOCKER_HOST=tcp://127.0.0.1:{}", self.port)];
        words.split(' ').map(str::to_owned).chain(own).collect()
    }

    /// Runs the docker command with the certificates in a directory.
    fn docker(&self, certificates: &str, arguments: &[&str], input: &str) -> Output {
        let environment = self.environment(certificates);
        let environment: Vec<&str> = environment.iter().map(String::as_str).collect();
        // The variable is that of the environment of `env`.
        cli::run(&self.proxy.socket(), &[&environment, &["docker"][..], arguments].concat(), input)
    }
}

const WEB: Names<'_> = Names { cn: "web", dns: &[], uris: &[] };

fn the_docker_command_works_over_tls() -> Outcome {
    let engine = engine::read_write()?;
    let socket = engine.socket();
    let tls = TlsProxy::start(&socket);
    let certificates = tls.client("client", Some(&tls.authority.client(WEB)));
    let name = "over-tls";
    let ticking = ["sh", "-c", "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.1; done"];
    seed::start(&socket, name, &seed::detached(&ticking));
    let shown = |arguments: &[&str]| {
        let output = tls.docker(&certificates, arguments, "");
        assert!(output.status.success(), "{arguments:?}: {}\n{}", cli::outputs(&output), tls.proxy.log());
        cli::outputs(&output)
    };
    assert!(shown(&["version"]).contains("Server:"));
    assert!(shown(&["ps"]).contains(name));
    assert_eq!(shown(&["exec", name, "echo", "hello"]).trim(), "hello");
    // A tunnel whose ends close on their own.
    let typed = tls.docker(&certificates, &["exec", "--interactive", name, "cat"], "typed\n");
    assert_eq!(String::from_utf8_lossy(&typed.stdout), "typed\n", "{}", cli::outputs(&typed));
    assert_eq!(tls.docker(&certificates, &["exec", name, "sh", "-c", "exit 7"], "").status.code(), Some(7));
    // A terminal.
    let words = tls.environment(&certificates).join(" ");
    let mut terminal = cli::Running::in_terminal(&socket, &format!("{words} docker exec -it {name} sh -c 'tty; cat'"));
    terminal.expect(&["/dev/pts/"]);
    terminal.send("through the terminal\n");
    terminal.expect(&["through the terminal"]);
    drop(terminal);
    // Streams that go on.
    let mut logs = cli::Running::program(&socket, &words, &["docker", "logs", "--follow", "--tail", "1", name]);
    for _ in 0..3 {
        logs.expect(&["line "]);
    }
    let mut events = cli::Running::program(&socket, &words, &["docker", "events", "--since", "1s"]);
    shown(&["exec", name, "true"]);
    events.expect(&["exec_start"]);
    drop((logs, events));
    // When the container is gone, the stream ends.
    let mut logs = cli::Running::program(&socket, &words, &["docker", "logs", "--follow", "--tail", "1", name]);
    logs.expect(&["line "]);
    seed::remove(&socket, name);
    assert_eq!(logs.end(), Some(0));
    // What the profile does not allow is denied over TLS, too.
    let denied = cli::outputs(&tls.docker(&certificates, &["stop", "web"], ""));
    assert!(denied.contains("does not allow ContainerStop"), "{denied}");
    assert!(tls.proxy.log().contains("client=\"certificate web 127.0.0.1:"));
    Ok(())
}

fn the_docker_command_without_the_right_certificate_gets_nothing() -> Outcome {
    let engine = engine::read_write()?;
    let tls = TlsProxy::start(&engine.socket());
    let (authority, other) = (&tls.authority, Authority::new());
    for (name, identity, expected) in [
        ("another", Some(other.client(WEB)), "tls: "),
        ("expired", Some(authority.expired(WEB)), "tls: "),
        ("misused", Some(authority.misused(WEB)), "tls: "),
        ("none", None, "tls: "),
        // Of the right authority, but not listed.
        ("unnamed", Some(authority.client(Names { cn: "other", ..WEB })), "no line of `clients` names this client"),
    ] {
        let certificates = tls.client(name, identity.as_ref());
        let output = tls.docker(&certificates, &["ps"], "");
        let text = cli::outputs(&output);
        assert!(!output.status.success() && text.contains(expected), "{name}: {text}\n{}", tls.proxy.log());
        assert!(!text.contains("CONTAINER ID"), "{name}: {text}");
    }
    // Without TLS, and with a server whose certificate is of another authority.
    let plain =
        cli::run(&tls.proxy.socket(), &["docker", "--host", &format!("tcp://127.0.0.1:{}", tls.port), "ps"], "");
    assert!(!plain.status.success(), "{}", cli::outputs(&plain));
    let certificates = tls.client("distrusting", Some(&authority.client(WEB)));
    fs::write(Path::new(&certificates).join("ca.pem"), other.pem()).unwrap();
    let text = cli::outputs(&tls.docker(&certificates, &["ps"], ""));
    assert!(text.contains("certificate"), "{text}");
    assert!(client::get(&engine.socket(), "/_ping").status() == 200);
    Ok(())
}

/// What the SDK does with its own variables.
const PYTHON: &str = r#"
import sys, docker
engine = docker.from_env()
container = engine.containers.get(sys.argv[1])
print(engine.version()["ApiVersion"] > "1.24", container.name)
print(container.exec_run(["echo", "hello"]).output.decode().strip())
for line in container.logs(stream=True, follow=True, tail=1):
    print(line.decode().split()[0])
    break
"#;

fn the_sdk_for_python_works_over_tls() -> Outcome {
    let python = installed::client("python/bin/python")?;
    let engine = engine::read_write()?;
    let socket = engine.socket();
    let tls = TlsProxy::start(&socket);
    let name = "over-tls-python";
    seed::start(&socket, name, &seed::detached(&["sh", "-c", "while :; do echo line; sleep 0.1; done"]));
    let run = |certificates: &str| {
        let environment = tls.environment(certificates);
        let environment: Vec<&str> = environment.iter().map(String::as_str).collect();
        cli::run(&socket, &[&environment, &[&python, "-c", PYTHON, name][..]].concat(), "")
    };
    let done = run(&tls.client("client", Some(&tls.authority.client(WEB))));
    assert_eq!(String::from_utf8_lossy(&done.stdout), format!("True {name}\nhello\nline\n"), "{}", cli::outputs(&done));
    let expired = run(&tls.client("expired", Some(&tls.authority.expired(WEB))));
    assert!(!expired.status.success() && cli::outputs(&expired).contains("SSL"), "{}", cli::outputs(&expired));
    seed::remove(&socket, name);
    Ok(())
}

/// Both sides over TLS would be two tests in one: clients come over a Unix socket here.
fn an_engine_with_tlsverify_is_reached_with_the_right_certificate_only() -> Outcome {
    let (authority, other, files) = (Authority::new(), Authority::called("other"), Folder::new("engine-certificates"));
    let write = |name: &str, ca: &Authority, identity: &Identity| {
        let folder = files.path().join(name);
        fs::create_dir(&folder).unwrap();
        for (name, text) in [("ca.pem", &ca.pem()), ("cert.pem", &identity.certificate), ("key.pem", &identity.key)] {
            fs::write(folder.join(name), text).unwrap();
        }
        folder.display().to_string()
    };
    let engine = engine::with_tls("with-tls", Path::new(&write("engine", &authority, &authority.server())))?;
    seed::import(&engine.socket());
    let name = "behind-tls";
    seed::start(&engine.socket(), name, &seed::detached(&["sh", "-c", "while :; do echo line; sleep 0.1; done"]));
    let start = |certificates: &str| {
        Proxy::start_inside(&engine, |socket| {
            format!(
                "upstream: {{address: \"tcp://127.0.0.1:2376\", ca: {certificates}/ca.pem, cert: {certificates}/cert.pem, key: \
                 {certificates}/key.pem}}\nlisteners: [{{listen: \"unix://{}\", profile: session}}]\nprofiles:\n  - profile: session\n    \
                 allow: [Ping, SystemVersion, SystemEvents, ContainerList, ContainerInspect, ContainerLogs, ContainerExec, ExecStart, \
                 ExecInspect]\n    show: [identity, state, host]\n",
                socket.display()
            )
        })
    };
    let right = write("right", &authority, &authority.client(WEB));
    let proxy = start(&right);
    let socket = proxy.socket();
    assert!(cli::stdout(&socket, &["docker", "ps"]).contains(name), "{}", proxy.log());
    assert!(cli::stdout(&socket, &["docker", "version"]).contains("Server:"));
    let typed = cli::docker(&socket, &["exec", "--interactive", name, "sh", "-c", "cat; echo end"], "typed\n");
    assert_eq!(String::from_utf8_lossy(&typed.stdout), "typed\nend\n", "{}", cli::outputs(&typed));
    let mut logs = cli::Running::docker(&socket, &["logs", "--follow", "--tail", "1", name]);
    logs.expect(&["line"]);
    seed::remove(&engine.socket(), name);
    assert_eq!(logs.end(), Some(0));
    drop(proxy);
    for (what, certificates, expected) in [
        ("another authority", write("distrusting", &other, &authority.client(WEB)), "no authority in `ca` has issued"),
        ("a stranger", write("stranger", &authority, &other.client(WEB)), "refuses our certificate"),
        ("expired", write("expired", &authority, &authority.expired(WEB)), "refuses our certificate"),
    ] {
        let proxy = start(&certificates);
        let answer = client::get(&proxy.socket(), "/containers/json");
        assert_eq!(answer.status(), 502, "{what}: {}", answer.text());
        assert!(proxy.log().contains(expected), "{what}: {}", proxy.log());
    }
    Ok(())
}
