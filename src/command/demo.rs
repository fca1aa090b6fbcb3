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
use crate::config::{Config, Filters, Limits, Listener, Timeouts};
use crate::server::{self, Running};
use crate::socket::Address;
use crate::yaml::Place;

/// The containers by name: what `inspect` says of each.
const CONTAINERS: [(&str, &str); 4] = [
    ("shop-web-1", include_str!("../../fixtures/demo/container_inspect.web.json")),
    ("shop-api-1", include_str!("../../fixtures/demo/container_inspect.api.json")),
    ("shop-db-1", include_str!("../../fixtures/demo/container_inspect.db.json")),
    ("shop-worker-1", include_str!("../../fixtures/demo/container_inspect.worker.json")),
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
const LOGS: &str = include_str!("../../fixtures/demo/container_logs.web.txt");
/// The container that is shown side by side, and what of it.
const SHOWN: &str = "shop-web-1";
const FIELDS: [&str; 12] = [
    "/Name",
    "/Config/Image",
    "/State/Status",
    "/State/Health/Status",
    "/NetworkSettings/Ports",
    "/Config/Env",
    "/Args",
    "/Config/Cmd",
    "/HostConfig/Binds",
    "/HostConfig/LogConfig",
    "/State/Health/Log/0/Output",
    "/Config/Labels",
];
/// How wide a column of the comparison is.
const COLUMN: usize = 46;

/// Runs the demonstration until the process is told to stop.
///
/// # Errors
/// [`Error`].
pub fn run(out: &mut dyn Write) -> Result<u8, Error> {
    let demo = Demo::start(2375).or_else(|_| Demo::start(0))?;
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

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it is for the system to clean up.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Demo {
    fn start(port: u16) -> Result<Self, Error> {
        let folder = std::env::temp_dir().join(format!("dockveil-demo-{}-{port}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let folder = Folder(folder);
        let engine = folder.0.join("engine.sock");
        let listener = UnixListener::bind(&engine)?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(&stream));
            }
        });
        let filters = Filters::load(&[])?;
        let policy = filters.policy("dashboard-live", &Place::file("demo"), Limits::default())?;
        let listen = |address| Listener {
            address,
            mode: None,
            owner: None,
            policy: policy.clone(),
            origins: Vec::new(),
            hosts: Vec::new(),
        };
        let tcp = Address::Tcp { host: "127.0.0.1".to_owned(), port };
        let config = Config {
            upstream: Address::Unix(engine),
            listeners: vec![listen(Address::Unix(folder.0.join("docker.sock"))), listen(tcp)],
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        };
        Ok(Self { running: server::start(config)?, folder })
    }

    fn show(&self, out: &mut dyn Write) -> Result<(), Error> {
        let target = format!("/v1.51/containers/{SHOWN}/json");
        let before = fetch(&self.folder.0.join("engine.sock"), &target)?;
        let after = fetch(&self.folder.0.join("docker.sock"), &target)?;
        writeln!(out, "\nGET {target}\n")?;
        writeln!(out, "{:26}  {:COLUMN$}  through dockveil (dashboard-live)", "", "what the engine says")?;
        writeln!(out, "{:-<26}  {:-<COLUMN$}  {:-<COLUMN$}", "", "", "")?;
        for field in FIELDS {
            let side = |document: &Value| document.pointer(field).map_or_else(|| vec!["(gone)".to_owned()], lines);
            let (left, right) = (side(&before), side(&after));
            for number in 0..left.len().max(right.len()) {
                let name = if number == 0 { field.trim_start_matches('/').replace('/', ".") } else { String::new() };
                let at = |lines: &[String]| lines.get(number).cloned().unwrap_or_default();
                writeln!(out, "{name:26}  {:COLUMN$}  {}", at(&left), at(&right))?;
            }
        }
        let tcp = self.running.addresses().iter().find_map(|address| match address {
            Address::Tcp { host, port } => Some(format!("http://{host}:{port}")),
            Address::Unix(_) => None,
        });
        let url = tcp.unwrap_or_default();
        writeln!(out, "\nTry it while this runs (end it with Ctrl-C):\n")?;
        for (line, what) in [
            (format!("curl -s {url}/containers/json"), "the list, filtered"),
            (format!("curl -s {url}/containers/shop-db-1/json"), "a database without its password"),
            (format!("curl -s {url}/v1.24/%63ontainers/shop-db-1/json"), "another spelling, another version: the same"),
            (format!("curl -sN {url}/events"), "a stream, untouched, as it happens"),
            (format!("curl -sN '{url}/containers/{SHOWN}/logs?stdout=1&follow=1' --output -"), "logs, untouched"),
            (format!("curl -s '{url}/containers/{SHOWN}/stats?stream=false'"), "one sample of stats"),
            (format!("curl -s {url}/containers//json"), "refused: 400"),
            (format!("curl -s -X POST {url}/containers/{SHOWN}/stop"), "refused: 403"),
            (
                format!("curl -s '{url}/containers/json?filters=%7B%22label%22%3A%5B%22a%3Db%22%5D%7D'"),
                "refused: it reads labels",
            ),
            (format!("DOCKER_HOST=unix://{} docker ps", self.folder.0.join("docker.sock").display()), "any client"),
        ] {
            writeln!(out, "  {line:86}  # {what}")?;
        }
        writeln!(out)?;
        out.flush()?;
        Ok(())
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

/// Fetches a document over a Unix socket.
fn fetch(socket: &Path, target: &str) -> Result<Value, Error> {
    let mut stream = UnixStream::connect(socket)?;
    write!(stream, "GET {target} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n")?;
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
        return whole(document, out);
    }
    let Some((name, what)) = path.strip_prefix("/containers/").and_then(|rest| rest.split_once('/')) else {
        return match path {
            "/events" => live(EVENTS, Duration::from_millis(1500), fresh_event, out),
            _ => missing(out),
        };
    };
    let found = CONTAINERS.iter().find(|(known, document)| {
        *known == name || (name.len() >= 12 && document.contains(&format!("\"Id\": \"{name}")))
    });
    let Some((_, document)) = found else { return missing(out) };
    match what {
        "json" => whole(document, out),
        "stats" if query.contains("stream=0") || query.contains("stream=false") => {
            whole(STATS.lines().next().unwrap_or_default(), out)
        }
        "stats" => live(STATS, Duration::from_secs(1), str::to_owned, out),
        "logs" if query.contains("follow=1") || query.contains("follow=true") => {
            live(LOGS, Duration::from_secs(1), str::to_owned, out)
        }
        "logs" => {
            let body: Vec<u8> = LOGS.lines().flat_map(frame).collect();
            write!(out, "{}Content-Length: {}\r\n\r\n", head("application/vnd.docker.multiplexed-stream"), body.len())?;
            out.write_all(&body)
        }
        _ => missing(out),
    }
}

fn head(media_type: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nDocker-Experimental: false\r\nOstype: linux\r\nContent-Type: {media_type}\r\n"
    )
}

fn whole(document: &str, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{}Content-Length: {}\r\n\r\n{document}", head("application/json"), document.len())
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

/// A stream without an end: the lines over and over, one at a time.
fn live(lines: &str, pause: Duration, fresh: fn(&str) -> String, out: &mut dyn Write) -> io::Result<()> {
    let framed = lines == LOGS;
    let media_type = if framed { "application/vnd.docker.multiplexed-stream" } else { "application/json" };
    write!(out, "{}Transfer-Encoding: chunked\r\n\r\n", head(media_type))?;
    for line in lines.lines().filter(|line| !line.is_empty()).cycle() {
        let bytes = if framed { frame(line) } else { (fresh(line) + "\n").into_bytes() };
        write!(out, "{:x}\r\n", bytes.len())?;
        out.write_all(&bytes)?;
        out.write_all(b"\r\n")?;
        std::thread::sleep(pause);
    }
    Ok(())
}

/// An event that happens now.
fn fresh_event(line: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let Ok(Value::Object(mut event)) = serde_json::from_str(line) else { return line.to_owned() };
    event.insert("time".to_owned(), now.as_secs().into());
    event.insert("timeNano".to_owned(), u64::try_from(now.as_nanos()).unwrap_or(u64::MAX).into());
    Value::Object(event).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_on_the_left_only() {
        let demo = Demo::start(0).unwrap();
        let mut out = Vec::new();
        demo.show(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let left: String =
            text.lines().map(|line| line.chars().take(26 + 2 + COLUMN).collect::<String>() + "\n").collect();
        let right: String =
            text.lines().map(|line| line.chars().skip(26 + 2 + COLUMN).collect::<String>() + "\n").collect();
        assert!(left.matches("canary").count() > 3, "{text}");
        assert_eq!(right.matches("canary").count(), 0, "{text}");
        for (name, document) in CONTAINERS {
            let filtered = fetch(&demo.folder.0.join("docker.sock"), &format!("/containers/{name}/json")).unwrap();
            assert!(document.contains("canary"), "{name}");
            assert!(!filtered.to_string().contains("canary"), "{name}: {filtered}");
        }
        demo.running.stop();
    }
}
