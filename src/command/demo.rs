//! `demo`: a scripted engine inside the program, which needs no Docker, and the real proxy in front of it.
//!
//! The engine replays recorded answers, with events, logs and statistics that look live. The comparison is real: the demo
//! fetches one container twice, once from that engine and once through the proxy.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::colour::{Colour, Tone};
use super::{CommandError, OK};
use crate::api::ApiRange;
use crate::config::{
    Config, ConfigFileSet, Filters, LOOPBACK_HOSTS, Limits, Listener, Observability, Startup, Timeouts,
};
use crate::embedded::text;
use crate::server::{self, Running, Signals};
use crate::socket::{Address, Keepalive};
use crate::yaml::Location;

/// A container of the engine.
struct Container {
    /// Its name, without the slash.
    name: &'static str,
    /// The file with the answer to an inspection.
    inspect: &'static str,
    /// The file with the lines it has printed; empty if there are none.
    logs: &'static str,
}

/// All containers of the engine.
const CONTAINERS: [Container; 4] = [
    Container { name: "shop-web-1", inspect: "demo/container_inspect.web.json", logs: "demo/container_logs.web.txt" },
    Container { name: SHOWN, inspect: "demo/container_inspect.api.json", logs: "" },
    Container { name: "shop-db-1", inspect: "demo/container_inspect.db.json", logs: "" },
    Container {
        name: "shop-worker-1",
        inspect: "demo/container_inspect.worker.json",
        logs: "demo/container_logs.worker.txt",
    },
];
/// The other answers that are one document, each with its file.
const DOCUMENTS: [(&str, &str); 6] = [
    ("/version", "demo/version.json"),
    ("/info", "demo/info.json"),
    ("/containers/json", "demo/container_list.json"),
    ("/images/json", "demo/image_list.json"),
    ("/networks", "demo/network_list.json"),
    ("/volumes", "demo/volume_list.json"),
];
const STATS: &str = "demo/container_stats.ndjson";
const EVENTS: &str = "demo/system_events.ndjson";

/// The profile of the demo.
const PROFILE: &str = "dashboard";
/// The container of the comparison.
const SHOWN: &str = "shop-api-1";
/// The rows of the comparison: a heading, and the JSON pointer of its value.
const FIELDS: [(&str, &str); 13] = [
    ("Name", "/Name"),
    ("Image", "/Config/Image"),
    ("Status", "/State/Status"),
    ("Health", "/State/Health/Status"),
    ("Network", "/HostConfig/NetworkMode"),
    ("IPAddress", "/NetworkSettings/Networks/shop_default/IPAddress"),
    ("Env", "/Config/Env"),
    ("Cmd", "/Config/Cmd"),
    ("Healthcheck", "/Config/Healthcheck/Test"),
    ("Health log", "/State/Health/Log/0/Output"),
    ("Binds", "/HostConfig/Binds"),
    ("Log driver", "/HostConfig/LogConfig/Config"),
    ("Labels", "/Config/Labels"),
];
/// The width of the headings in the comparison, in characters.
const HEADINGS: usize = 11;
/// The width of each of its two columns, in characters: with two spaces between them, a row fits 80 columns.
const COLUMN: usize = 32;

/// A request that the demo suggests.
struct Example {
    /// The method and the target.
    request: (&'static str, &'static str),
    /// The status of the answer.
    status: u16,
    /// A comment on the answer.
    about: &'static str,
}

/// The requests that the demo suggests.
const EXAMPLES: [Example; 9] = [
    Example { request: ("GET", "/containers/json"), status: 200, about: "filtered" },
    Example { request: ("GET", "/containers/shop-db-1/json"), status: 200, about: "no password" },
    Example { request: ("GET", "/events"), status: 200, about: "event by event" },
    Example { request: ("GET", "/containers/shop-web-1/stats"), status: 200, about: "one by one" },
    Example { request: ("GET", "/v1.24/%63ontainers/shop-db-1/json"), status: 200, about: "filtered too" },
    Example { request: ("GET", "/containers//json"), status: 400, about: "malformed" },
    Example { request: ("GET", "/containers/shop-web-1/logs?stdout=1"), status: 403, about: "denied" },
    Example { request: ("POST", "/containers/shop-web-1/stop"), status: 403, about: "denied" },
    Example { request: ("GET", "/events?filters={%22label%22:[%22a=b%22]}"), status: 403, about: "guesses a label" },
];

/// The media type of logs in frames, each with the name of its stream and its length.
const FRAMED: &str = "application/vnd.docker.multiplexed-stream";
/// The media type of every other answer except a ping.
const JSON: &str = "application/json";

/// Runs the demo until a signal stops the process.
///
/// # Errors
/// [`CommandError`].
pub fn run(colour: Colour, out: &mut dyn Write) -> Result<u8, CommandError> {
    let signals = Signals::listen()?;
    let demo = Demo::start(std::env::temp_dir().join(format!("dockveil-demo-{}", std::process::id())))?;
    demo.compare(colour, out)?;
    demo.suggest(colour, out)?;
    demo.running.run_until_signal(signals);
    Ok(OK)
}

/// The engine and the proxy, both running.
struct Demo {
    folder: Folder,
    running: Running,
}

/// A folder that only this user can read. Dropping it removes it.
struct Folder(PathBuf);

impl Folder {
    /// Makes the folder, in place of one that a killed process with the same id left behind.
    fn new(path: PathBuf) -> io::Result<Self> {
        let make = || std::fs::DirBuilder::new().mode(0o700).create(&path);
        let made = make();
        if made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
            std::fs::remove_dir_all(&path)?;
            make()?;
        } else {
            made?;
        }
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // If this fails, the system cleans up its folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Demo {
    /// Starts both, with their sockets in a new folder. The system chooses the port.
    fn start(folder: PathBuf) -> Result<Self, CommandError> {
        let folder = Folder::new(folder)?;
        let engine = folder.0.join("engine.sock");
        let listener = UnixListener::bind(&engine)?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(&stream));
            }
        });
        let filters = Filters::built_in()?;
        let policy = filters.policy(PROFILE, &Location::file("demo"), Limits::default())?;
        let listen = |address, hosts: &[&str]| Listener {
            hosts: hosts.iter().map(|name| (*name).to_owned()).collect(),
            ..Listener::new(address, policy.clone())
        };
        let tcp = Address::Tcp { host: "127.0.0.1".to_owned(), port: 0 };
        let socket = Address::Unix(folder.0.join("docker.sock"));
        let config = Config {
            observability: Observability::default(),
            files: ConfigFileSet::default(),
            upstream: Address::Unix(engine).into(),
            listeners: vec![listen(socket, &[]), listen(tcp, &LOOPBACK_HOSTS)],
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            keepalive: Keepalive::default(),
            api: ApiRange::default(),
            startup: Startup::default(),
        };
        Ok(Self { running: server::start(config)?, folder })
    }

    /// Prints one container as the engine answers, and as the client sees it.
    fn compare(&self, colour: Colour, out: &mut dyn Write) -> Result<(), CommandError> {
        let target = format!("/v1.51/containers/{SHOWN}/json");
        let before = fetch(&self.folder.0.join("engine.sock"), &target)?;
        let after = fetch(&self.folder.0.join("docker.sock"), &target)?;
        let headings = format!("{:HEADINGS$}  {:COLUMN$}  through dockveil", "", "from the engine");
        writeln!(out, "\nGET {target}  (profile {PROFILE})\n")?;
        writeln!(out, "{}", colour.paint(Tone::Heading, &headings))?;
        writeln!(out, "{:-<HEADINGS$}  {:-<COLUMN$}  {:-<COLUMN$}", "", "", "")?;
        for (heading, pointer) in FIELDS {
            let mut heading = heading;
            for (left, right) in rows(before.pointer(pointer), after.pointer(pointer)) {
                let tone = if left == right { Tone::Shown } else { Tone::Hidden };
                let cell = colour.paint(tone, &format!("{left:COLUMN$}"));
                let line = format!("{heading:HEADINGS$}  {cell}  {}", colour.paint(Tone::Shown, &right));
                writeln!(out, "{}", line.trim_end())?;
                heading = "";
            }
        }
        let count = |document: &Value| document.to_string().matches("canary-").count();
        writeln!(
            out,
            "\nPlanted secrets (canary-…): {} from the engine, {} through dockveil.",
            count(&before),
            count(&after)
        )?;
        Ok(())
    }

    /// Prints what to try while the demo runs.
    fn suggest(&self, colour: Colour, out: &mut dyn Write) -> Result<(), CommandError> {
        let url = self.running.addresses().iter().find_map(|address| match address {
            Address::Tcp { host, port } => Some(format!("http://{host}:{port}")),
            Address::Unix(_) => None,
        });
        writeln!(out, "\nTry it in another shell while this runs (Ctrl-C ends it):\n")?;
        writeln!(out, "  D={}", url.unwrap_or_default())?;
        for example in &EXAMPLES {
            let comment = format!("# {}, {}", example.status, example.about);
            writeln!(out, "  {:54}  {}", example.command(), colour.paint(Tone::Heading, &comment))?;
        }
        writeln!(out, "\nOr point any client at the socket:\n")?;
        writeln!(out, "  DOCKER_HOST=unix://{} docker ps\n", self.folder.0.join("docker.sock").display())?;
        out.flush()?;
        Ok(())
    }
}

impl Example {
    /// The command line that sends the request to `$D`.
    fn command(&self) -> String {
        let (method, target) = self.request;
        let method = if method == "GET" { String::new() } else { format!("-X {method} ") };
        let quote = if target.contains(['?', '{']) { "\"" } else { "" };
        // `-g`: curl leaves braces alone.
        let options = if target.contains('{') { "-sg" } else { "-s" };
        format!("curl {options} {method}{quote}$D{target}{quote}")
    }
}

/// The rows of one field: each entry before, beside the entry of the same name after.
fn rows(before: Option<&Value>, after: Option<&Value>) -> Vec<(String, String)> {
    let (left, mut right) = (entries(before), entries(after));
    let mut rows: Vec<(String, String)> = Vec::new();
    for (name, text) in left {
        let at = right.iter().position(|(other, _)| *other == name);
        rows.push((text, at.map_or_else(String::new, |at| right.remove(at).1)));
    }
    let mut free = rows.iter_mut().filter(|(_, right)| right.is_empty());
    let mut more = Vec::new();
    for (_, text) in right {
        match free.next() {
            Some((_, cell)) => *cell = text,
            None => more.push((String::new(), text)),
        }
    }
    rows.extend(more);
    rows
}

/// A value as lines of a column, each with its name: the member of an object, the variable of `NAME=value`.
fn entries(value: Option<&Value>) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), |text| text.trim_end().to_owned());
    match value {
        None => vec![(String::new(), "(absent)".to_owned())],
        Some(Value::Array(items)) if !items.is_empty() => {
            let named = |text: String| (text.split('=').next().unwrap_or_default().to_owned(), cut(&text));
            items.iter().map(text).map(named).collect()
        }
        Some(Value::Object(members)) if !members.is_empty() => {
            members.iter().map(|(name, value)| (name.clone(), member(name, &text(value)))).collect()
        }
        Some(Value::String(text)) if text.is_empty() => vec![(String::new(), "\"\"".to_owned())],
        Some(value) => vec![(String::new(), cut(&text(value)))],
    }
}

/// `name: value`, without the first parts of a dotted name where the line is too long.
fn member(name: &str, value: &str) -> String {
    let (mut line, mut rest) = (format!("{name}: {value}"), name);
    while line.chars().count() > COLUMN
        && let Some((_, tail)) = rest.split_once('.')
    {
        line = format!("…{tail}: {value}");
        rest = tail;
    }
    cut(&line)
}

/// The text as far as it fits a column.
fn cut(text: &str) -> String {
    if text.chars().count() <= COLUMN {
        return text.to_owned();
    }
    text.chars().take(COLUMN - 1).chain(['…']).collect()
}

/// Fetches a document over a Unix socket. The request is HTTP/1.0, so that the answer is not in chunks.
fn fetch(socket: &Path, target: &str) -> Result<Value, CommandError> {
    let mut stream = UnixStream::connect(socket)?;
    write!(stream, "GET {target} HTTP/1.0\r\nHost: demo\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).map_err(|error| CommandError::Io(error.into()))
}

/// Answers the requests of one connection. The proxy sends them, so heads are well-formed and there are no bodies.
fn serve(stream: &UnixStream) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut line, mut first, mut last) = (String::new(), String::new(), false);
        while reader.read_line(&mut line).is_ok_and(|read| read > 0) && line != "\r\n" {
            if first.is_empty() {
                first.clone_from(&line);
            }
            last |= line.eq_ignore_ascii_case("connection: close\r\n");
            line.clear();
        }
        let mut words = first.split_ascii_whitespace();
        let (Some(method), Some(target)) = (words.next(), words.next()) else { return };
        let mut out = stream;
        if answer(method, target, &mut out).is_err() || last {
            return;
        }
    }
}

fn answer(method: &str, target: &str, out: &mut dyn Write) -> io::Result<()> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = match path.strip_prefix("/v1.") {
        Some(rest) => rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or(path),
        None => path,
    };
    if path == "/_ping" {
        let body = if method == "HEAD" { "" } else { "OK" };
        return write!(out, "{}Content-Length: 2\r\n\r\n{body}", head("text/plain"));
    }
    if let Some((_, document)) = DOCUMENTS.iter().find(|(known, _)| *known == path) {
        return whole(JSON, text(document).as_bytes(), out);
    }
    let Some((name, what)) = path.strip_prefix("/containers/").and_then(|rest| rest.split_once('/')) else {
        return match path {
            "/events" => live(JSON, text(EVENTS), Duration::from_millis(1500), fresh_event, out),
            _ => missing(out),
        };
    };
    let found = CONTAINERS.iter().find(|container| {
        container.name == name || (name.len() >= 12 && text(container.inspect).contains(&format!("\"Id\": \"{name}")))
    });
    let Some(container) = found else { return missing(out) };
    let says = |texts: [&str; 2]| query.split('&').any(|pair| texts.contains(&pair));
    match what {
        "json" => whole(JSON, text(container.inspect).as_bytes(), out),
        "stats" if says(["stream=0", "stream=false"]) => {
            whole(JSON, text(STATS).lines().next().unwrap_or_default().as_bytes(), out)
        }
        "stats" => live(JSON, text(STATS), Duration::from_secs(1), line_of, out),
        "logs" if says(["follow=1", "follow=true"]) => {
            live(FRAMED, text(container.logs), Duration::from_secs(1), frame, out)
        }
        "logs" => whole(FRAMED, &text(container.logs).lines().flat_map(frame).collect::<Vec<u8>>(), out),
        _ => missing(out),
    }
}

fn head(media_type: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nDocker-Experimental: false\r\nOstype: linux\r\nContent-Type: {media_type}\r\n"
    )
}

/// Answers with a body of known length.
fn whole(media_type: &str, body: &[u8], out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{}Content-Length: {}\r\n\r\n", head(media_type), body.len())?;
    out.write_all(body)
}

fn missing(out: &mut dyn Write) -> io::Result<()> {
    let body = r#"{"message":"not part of the demo"}"#;
    let length = body.len();
    write!(
        out,
        "HTTP/1.1 404 Not Found\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// A line of a log in the frame of the engine: standard output, and the length.
fn frame(line: &str) -> Vec<u8> {
    let length = u32::try_from(line.len() + 1).unwrap_or(0);
    let mut frame = vec![1, 0, 0, 0];
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(line.as_bytes());
    frame.push(b'\n');
    frame
}

/// A document on a line of its own.
fn line_of(line: &str) -> Vec<u8> {
    [line.as_bytes(), b"\n"].concat()
}

/// A stream that repeats the lines, one at a time. It ends at once if there are none.
fn live(
    media_type: &str,
    lines: &str,
    pause: Duration,
    piece: fn(&str) -> Vec<u8>,
    out: &mut dyn Write,
) -> io::Result<()> {
    write!(out, "{}Transfer-Encoding: chunked\r\n\r\n", head(media_type))?;
    for line in lines.lines().filter(|line| !line.is_empty()).cycle() {
        let bytes = piece(line);
        write!(out, "{:x}\r\n", bytes.len())?;
        out.write_all(&bytes)?;
        out.write_all(b"\r\n")?;
        std::thread::sleep(pause);
    }
    out.write_all(b"0\r\n\r\n")
}

/// The event, with the time of now.
fn fresh_event(line: &str) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let Ok(Value::Object(mut event)) = serde_json::from_str(line) else { return line_of(line) };
    event.insert("time".to_owned(), now.as_secs().into());
    event.insert("timeNano".to_owned(), u64::try_from(now.as_nanos()).unwrap_or(u64::MAX).into());
    line_of(&Value::Object(event).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::Environment;
    use crate::time_limit::within_time_limit;

    /// A demo for the test called `name`.
    fn start(name: &str) -> Demo {
        Demo::start(std::env::temp_dir().join(format!("dockveil-demo-{name}-{}", std::process::id()))).unwrap()
    }

    /// What a started demo prints.
    fn printed(demo: &Demo, colour: Colour) -> String {
        let mut out = Vec::new();
        demo.compare(colour, &mut out).unwrap();
        demo.suggest(colour, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn secrets_are_on_the_left_only() {
        within_time_limit(|| {
            let demo = start("secrets");
            let output = printed(&demo, Colour::Never);
            let comparison = output.split("\nPlanted").next().unwrap();
            let split = HEADINGS + 2 + COLUMN;
            let left: Vec<String> = comparison.lines().map(|line| line.chars().take(split).collect()).collect();
            let right: Vec<String> = comparison.lines().map(|line| line.chars().skip(split).collect()).collect();
            assert!(left.concat().matches("canary").count() > 3, "{output}");
            assert_eq!(right.concat().matches("canary").count(), 0, "{output}");
            assert!(output.contains("13 from the engine, 0 through dockveil"), "{output}");
            let documents = DOCUMENTS.iter().map(|(path, document)| ((*path).to_owned(), *document));
            let inspects = CONTAINERS.iter().map(|one| (format!("/containers/{}/json", one.name), one.inspect));
            for (target, document) in documents.chain(inspects) {
                let seen = fetch(&demo.folder.0.join("docker.sock"), &target).unwrap();
                assert!(!seen.to_string().contains("canary"), "{target}: {seen}");
                assert!(text(document).contains("canary") || target == "/version", "{target}");
            }
            let Demo { folder, running } = demo;
            running.stop();
            let path = folder.0.clone();
            drop(folder);
            assert!(!path.exists());
        });
    }

    #[test]
    fn lines_fit_80_columns_and_colour_changes_no_text() {
        within_time_limit(|| {
            let demo = start("width");
            let plain = printed(&demo, Colour::Never);
            for line in plain.lines() {
                // The path of the socket is as long as that of the folder for temporary files.
                assert!(line.chars().count() <= 80 || line.contains("DOCKER_HOST"), "{line}");
            }
            assert!(!plain.contains('\x1b'), "{plain}");
            let coloured = printed(&demo, Colour::Ansi);
            assert!(coloured.contains("\x1b[31mJWT_SECRET=canary-api-jwt-secret"), "{coloured}");
            let mut stripped = coloured.clone();
            for code in ["\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[32m"] {
                stripped = stripped.replace(code, "");
            }
            let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
            assert_eq!(trimmed(&stripped), trimmed(&plain));
            demo.running.stop();
        });
    }

    #[test]
    fn colour_is_for_terminals_whose_user_did_not_refuse_it() {
        let choose = |terminal, variables: &[(&str, &str)]| {
            let variables = variables.iter().copied().collect();
            Colour::choose(terminal, &Environment { variables, ..Environment::default() })
        };
        assert_eq!(choose(true, &[("TERM", "xterm"), ("NO_COLOR", "")]), Colour::Ansi);
        assert_eq!(choose(false, &[("TERM", "xterm")]), Colour::Never);
        assert_eq!(choose(true, &[("NO_COLOR", "1")]), Colour::Never);
        assert_eq!(choose(true, &[("TERM", "dumb")]), Colour::Never);
    }

    #[test]
    fn the_suggested_requests_get_the_printed_status() {
        within_time_limit(|| {
            let demo = start("suggestions");
            for Example { request: (method, target), status, .. } in EXAMPLES {
                let mut stream = UnixStream::connect(demo.folder.0.join("docker.sock")).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                write!(stream, "{method} {target} HTTP/1.1\r\nHost: demo\r\nContent-Length: 0\r\n\r\n").unwrap();
                let mut line = String::new();
                BufReader::new(stream).read_line(&mut line).unwrap();
                assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {target}: {line}");
            }
            demo.running.stop();
        });
    }

    #[test]
    fn rows_pair_entries_by_name() {
        #[track_caller]
        fn check(before: Value, after: Value, expected: &[(&str, &str)]) {
            let found = rows(Some(&before), Some(&after));
            let found: Vec<(&str, &str)> = found.iter().map(|(left, right)| (&**left, &**right)).collect();
            assert_eq!(found, expected);
        }
        check(json!(["A=1", "B=2"]), json!(["B=[redacted]"]), &[("A=1", ""), ("B=2", "B=[redacted]")]);
        check(json!(["A=1", "B=2"]), json!([]), &[("A=1", "[]"), ("B=2", "")]);
        check(json!({"a": "1", "b": 2}), json!({"b": 2, "c": 3}), &[("a: 1", "c: 3"), ("b: 2", "b: 2")]);
        check(json!("text"), json!(""), &[("text", "\"\"")]);
        check(json!([]), json!(["A=1"]), &[("[]", "A=1")]);
        assert_eq!(rows(Some(&json!(true)), None), [("true".to_owned(), "(absent)".to_owned())]);
        let name = "com.docker.compose.project.working_dir";
        check(json!({name: "/srv/shop"}), json!({}), &[("…project.working_dir: /srv/shop", "{}")]);
    }

    #[test]
    fn a_new_folder_replaces_one_that_a_killed_process_left() {
        let path = std::env::temp_dir().join(format!("dockveil-demo-test-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("engine.sock"), "").unwrap();
        let folder = Folder::new(path.clone()).unwrap();
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn logs_belong_to_the_container() {
        let answered = |target: &str| {
            let mut out = Vec::new();
            answer("GET", target, &mut out).unwrap();
            String::from_utf8_lossy(&out).into_owned()
        };
        let worker = answered("/v1.51/containers/874d90fabc16/logs?stdout=1");
        assert!(worker.contains("worker 2.4.1 starting") && worker.contains(FRAMED), "{worker}");
        assert!(answered("/containers/shop-db-1/logs?stdout=1&follow=1").ends_with("\r\n\r\n0\r\n\r\n"));
        assert!(answered("/containers/nobody/logs").starts_with("HTTP/1.1 404"));
    }
}
