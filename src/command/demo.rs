//! `demo`: an engine inside the program, which needs no Docker, and the real proxy before it.
//!
//! The engine replays recorded answers, with events, logs and stats that look alive. What the demonstration prints has
//! been fetched: once from that engine, once through the proxy.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::{Error, OK};
use crate::config::{Config, Filters, Limits, Listener, Sources, Startup, Timeouts};
use crate::server::{self, Running};
use crate::socket::Address;
use crate::yaml::Location;

/// A container of the engine.
struct Container {
    /// Its name, without the slash.
    name: &'static str,
    /// What `inspect` says of it.
    inspect: &'static str,
    /// What it has printed, line by line.
    logs: &'static str,
}

/// All containers of the engine.
const CONTAINERS: [Container; 4] = [
    Container {
        name: SHOWN,
        inspect: include_str!("../../fixtures/demo/container_inspect.web.json"),
        logs: include_str!("../../fixtures/demo/container_logs.web.txt"),
    },
    Container { name: "shop-api-1", inspect: include_str!("../../fixtures/demo/container_inspect.api.json"), logs: "" },
    Container { name: "shop-db-1", inspect: include_str!("../../fixtures/demo/container_inspect.db.json"), logs: "" },
    Container {
        name: "shop-worker-1",
        inspect: include_str!("../../fixtures/demo/container_inspect.worker.json"),
        logs: include_str!("../../fixtures/demo/container_logs.worker.txt"),
    },
];
/// Everything else that answers with one document.
const DOCUMENTS: [(&str, &str); 6] = [
    ("/version", include_str!("../../fixtures/demo/version.json")),
    ("/info", include_str!("../../fixtures/demo/info.json")),
    ("/containers/json", include_str!("../../fixtures/demo/container_list.json")),
    ("/images/json", include_str!("../../fixtures/demo/image_list.json")),
    ("/networks", include_str!("../../fixtures/demo/network_list.json")),
    ("/volumes", include_str!("../../fixtures/demo/volume_list.json")),
];
const STATS: &str = include_str!("../../fixtures/demo/container_stats.ndjson");
const EVENTS: &str = include_str!("../../fixtures/demo/system_events.ndjson");
/// The container that is shown side by side, and what of it.
const SHOWN: &str = "shop-web-1";
const FIELDS: [&str; 14] = [
    "/Name",
    "/Config/Image",
    "/State/Status",
    "/State/Health/Status",
    "/NetworkSettings/Ports",
    "/NetworkSettings/Networks/shop_default/IPAddress",
    "/Config/Env",
    "/Args",
    "/Config/Cmd",
    "/HostConfig/Binds",
    "/Mounts/0/Source",
    "/HostConfig/LogConfig",
    "/State/Health/Log/0/Output",
    "/Config/Labels",
];
/// How wide the names of fields are in the comparison.
const NAMES: usize = 24;
/// How wide a column of the comparison is.
const COLUMN: usize = 41;
/// The media type of logs, of which each piece says whether it is output or error, and its length.
const FRAMED: &str = "application/vnd.docker.multiplexed-stream";
/// The media type of everything else but a ping.
const JSON: &str = "application/json";

/// Runs the demonstration until the process is told to stop.
///
/// # Errors
/// [`Error`].
pub fn run(out: &mut dyn Write) -> Result<u8, Error> {
    let demo = Demo::start()?;
    demo.show(out)?;
    demo.running.until_told()?;
    Ok(OK)
}

/// The engine and the proxy, both up.
struct Demo {
    folder: Folder,
    running: Running,
}

/// A folder of this process alone, which goes in the end.
struct Folder(PathBuf);

impl Folder {
    /// Makes it. One that a process of our number left behind, because it was killed, makes room.
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
        // What is left of it is for the system to clean up.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Demo {
    /// Starts both; the system chooses the port.
    fn start() -> Result<Self, Error> {
        let folder = Folder::new(std::env::temp_dir().join(format!("dockveil-demo-{}", std::process::id())))?;
        let engine = folder.0.join("engine.sock");
        let listener = UnixListener::bind(&engine)?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(&stream));
            }
        });
        let filters = Filters::load(&Sources::default())?;
        let policy = filters.policy("dashboard-live", &Location::file("demo"), Limits::default())?;
        let listen = |address| Listener {
            address,
            mode: None,
            owner: None,
            policy: policy.clone(),
            origins: Vec::new(),
            hosts: Vec::new(),
        };
        let tcp = Address::Tcp { host: "127.0.0.1".to_owned(), port: 0 };
        let config = Config {
            upstream: Address::Unix(engine),
            listeners: vec![listen(Address::Unix(folder.0.join("docker.sock"))), listen(tcp)],
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            startup: Startup::default(),
        };
        Ok(Self { running: server::start(config)?, folder })
    }

    fn show(&self, out: &mut dyn Write) -> Result<(), Error> {
        let target = format!("/v1.51/containers/{SHOWN}/json");
        let before = fetch(&self.folder.0.join("engine.sock"), &target)?;
        let after = fetch(&self.folder.0.join("docker.sock"), &target)?;
        writeln!(out, "\nGET {target}\n")?;
        writeln!(out, "{:NAMES$}  {:COLUMN$}  through dockveil (dashboard-live)", "", "what the engine says")?;
        writeln!(out, "{:-<NAMES$}  {:-<COLUMN$}  {:-<COLUMN$}", "", "", "")?;
        for field in FIELDS {
            let side = |document: &Value| document.pointer(field).map_or_else(|| vec!["(gone)".to_owned()], lines);
            let (left, right) = (side(&before), side(&after));
            let name = label(field);
            for number in 0..left.len().max(right.len()) {
                let name = if number == 0 { name.as_str() } else { "" };
                let at = |lines: &[String]| lines.get(number).cloned().unwrap_or_default();
                let line = format!("{name:NAMES$}  {:COLUMN$}  {}", at(&left), at(&right));
                writeln!(out, "{}", line.trim_end())?;
            }
        }
        let tcp = self.running.addresses().iter().find_map(|address| match address {
            Address::Tcp { host, port } => Some(format!("http://{host}:{port}")),
            Address::Unix(_) => None,
        });
        writeln!(out, "\nTry it in another shell while this runs (end it with Ctrl-C):\n")?;
        writeln!(out, "  D={}", tcp.unwrap_or_default())?;
        for (line, what) in [
            ("curl -s $D/containers/json", "the list, filtered"),
            ("curl -s $D/containers/shop-db-1/json", "a database without its password"),
            ("curl -s $D/v1.24/%63ontainers/shop-db-1/json", "an odd spelling: filtered alike"),
            ("curl -sN $D/events", "a stream, untouched"),
            ("curl -sN \"$D/containers/shop-web-1/logs?stdout=1&follow=1\" --output -", "logs, untouched"),
            ("curl -s \"$D/containers/shop-web-1/stats?stream=false\"", "one sample of stats"),
            ("curl -s $D/containers//json", "an odd spelling: refused, 400"),
            ("curl -s -X POST $D/containers/shop-web-1/stop", "a write: refused, 403"),
            (
                "curl -s \"$D/containers/json?filters=%7B%22label%22%3A%5B%22a%3Db%22%5D%7D\"",
                "reads labels: refused, 403",
            ),
        ] {
            writeln!(out, "  {line:73}  # {what}")?;
        }
        writeln!(out, "\nOr any client, at the socket:\n")?;
        writeln!(out, "  DOCKER_HOST=unix://{} docker ps", self.folder.0.join("docker.sock").display())?;
        writeln!(out)?;
        out.flush()?;
        Ok(())
    }
}

/// The name of a field, from its end as far as it fits: `…ttings.Ports` says more than `NetworkSett…`.
fn label(field: &str) -> String {
    let name = field.trim_start_matches('/').replace('/', ".");
    match name.chars().count().checked_sub(NAMES) {
        None | Some(0) => name,
        Some(over) => ['…'].into_iter().chain(name.chars().skip(over + 1)).collect(),
    }
}

/// A value as lines of a column.
fn lines(value: &Value) -> Vec<String> {
    let texts: Vec<String> = match value {
        Value::String(text) => vec![text.trim_end().to_owned()],
        Value::Array(items) if !items.is_empty() => items.iter().map(plain).collect(),
        Value::Object(members) if !members.is_empty() => {
            members.iter().map(|(name, value)| format!("{name}: {}", plain(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => vec![value.to_string()],
    };
    texts.iter().map(|text| cut(text)).collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn cut(text: &str) -> String {
    if text.chars().count() <= COLUMN {
        return text.to_owned();
    }
    text.chars().take(COLUMN - 1).chain(['…']).collect()
}

/// Fetches a document over a Unix socket, as HTTP/1.0, so that no answer comes in chunks.
fn fetch(socket: &Path, target: &str) -> Result<Value, Error> {
    let mut stream = UnixStream::connect(socket)?;
    write!(stream, "GET {target} HTTP/1.0\r\nHost: demo\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).map_err(|error| Error::Io(error.into()))
}

/// Answers the requests of one connection. Who asks is the proxy: heads are well-formed and bodies do not come.
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
        return whole(JSON, document.as_bytes(), out);
    }
    let Some((name, what)) = path.strip_prefix("/containers/").and_then(|rest| rest.split_once('/')) else {
        return match path {
            "/events" => live(JSON, EVENTS, Duration::from_millis(1500), fresh_event, out),
            _ => missing(out),
        };
    };
    let found = CONTAINERS.iter().find(|container| {
        container.name == name || (name.len() >= 12 && container.inspect.contains(&format!("\"Id\": \"{name}")))
    });
    let Some(container) = found else { return missing(out) };
    let says = |texts: [&str; 2]| query.split('&').any(|pair| texts.contains(&pair));
    match what {
        "json" => whole(JSON, container.inspect.as_bytes(), out),
        "stats" if says(["stream=0", "stream=false"]) => {
            whole(JSON, STATS.lines().next().unwrap_or_default().as_bytes(), out)
        }
        "stats" => live(JSON, STATS, Duration::from_secs(1), line_of, out),
        "logs" if says(["follow=1", "follow=true"]) => live(FRAMED, container.logs, Duration::from_secs(1), frame, out),
        "logs" => whole(FRAMED, &container.logs.lines().flat_map(frame).collect::<Vec<u8>>(), out),
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
    let body = r#"{"message":"not in the demonstration"}"#;
    let length = body.len();
    write!(
        out,
        "HTTP/1.1 404 Not Found\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// A line of a log as the engine frames it: standard output, and its length.
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

/// A stream: the lines over and over, one at a time; it ends at once when there are none.
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

/// An event that happens now.
fn fresh_event(line: &str) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let Ok(Value::Object(mut event)) = serde_json::from_str(line) else { return line_of(line) };
    event.insert("time".to_owned(), now.as_secs().into());
    event.insert("timeNano".to_owned(), u64::try_from(now.as_nanos()).unwrap_or(u64::MAX).into());
    line_of(&Value::Object(event).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_on_the_left_only() {
        let demo = Demo::start().unwrap();
        let mut out = Vec::new();
        demo.show(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let (mut left, mut right) = (String::new(), String::new());
        for line in text.lines() {
            // The path of the socket is as long as the system has it.
            assert!(line.chars().count() <= 110 || line.contains("DOCKER_HOST"), "{line}");
            left.extend(line.chars().take(NAMES + 2 + COLUMN).chain(['\n']));
            right.extend(line.chars().skip(NAMES + 2 + COLUMN).chain(['\n']));
        }
        assert!(left.matches("canary").count() > 3, "{text}");
        assert_eq!(right.matches("canary").count(), 0, "{text}");
        let documents = DOCUMENTS.iter().map(|(path, document)| ((*path).to_owned(), *document));
        let inspects = CONTAINERS.iter().map(|one| (format!("/containers/{}/json", one.name), one.inspect));
        for (target, document) in documents.chain(inspects) {
            let seen = fetch(&demo.folder.0.join("docker.sock"), &target).unwrap();
            assert!(!seen.to_string().contains("canary"), "{target}: {seen}");
            assert!(document.contains("canary") || target == "/version", "{target}");
        }
        let Demo { folder, running } = demo;
        running.stop();
        let path = folder.0.clone();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_a_killed_process_left_makes_room() {
        let path = std::env::temp_dir().join(format!("dockveil-demo-test-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("engine.sock"), "").unwrap();
        let folder = Folder::new(path.clone()).unwrap();
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn logs_are_those_of_the_container() {
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
