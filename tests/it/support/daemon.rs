//! A scripted daemon on a Unix socket: what it is asked is recorded, what it answers is said by the test.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One answer.
pub(crate) enum Reply {
    /// These bytes, and the connection stays open.
    Keep(Vec<u8>),
    /// These bytes, and the connection ends.
    Close(Vec<u8>),
    /// These bytes, and then whatever the test does with the connection.
    Then(Vec<u8>, Box<dyn FnOnce(UnixStream) + Send>),
}

/// A daemon that is up.
pub(crate) struct Daemon {
    /// Where it listens.
    pub(crate) path: PathBuf,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
}

impl Daemon {
    /// Starts one at `path`. It answers pings by itself; everything else is for `answer`, which gets head and body.
    pub(crate) fn start(path: &Path, answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::speaking(path, 51, answer)
    }

    /// As [`Daemon::start`], speaking API 1.`version`.
    pub(crate) fn speaking(path: &Path, version: u16, answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).unwrap();
        let (requests, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let answer = Arc::new(answer);
        let (log, count) = (requests.clone(), connections.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, answer) = (log.clone(), answer.clone());
                *count.lock().unwrap() += 1;
                std::thread::spawn(move || serve(stream.unwrap(), &log, version, &*answer));
            }
        });
        Self { path: path.to_owned(), requests, connections }
    }

    /// What it was asked, pings left out: head and body of each request.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// How many connections it has taken.
    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

fn serve(mut stream: UnixStream, log: &Mutex<Vec<String>>, version: u16, answer: &dyn Fn(&str) -> Reply) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    loop {
        let Some(request) = read_request(&mut stream) else { return };
        if request.contains("/_ping HTTP/1.1\r\n") {
            let head = format!("HTTP/1.1 200 OK\r\nApi-Version: 1.{version}\r\nContent-Length: 2\r\n\r\nOK");
            stream.write_all(head.as_bytes()).unwrap();
            continue;
        }
        log.lock().unwrap().push(request.clone());
        // Who asked may be gone already.
        match answer(&request) {
            Reply::Keep(bytes) => drop(stream.write_all(&bytes)),
            Reply::Close(bytes) => return drop(stream.write_all(&bytes)),
            Reply::Then(bytes, then) => {
                let _ = stream.write_all(&bytes);
                return then(stream);
            }
        }
    }
}

/// Reads a head and the body it announces, and not a byte more.
fn read_request(stream: &mut UnixStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length: ").map(|n| n.trim().parse::<usize>().unwrap())
        })
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8(body).unwrap())
}

/// A whole JSON answer.
pub(crate) fn json(body: &str) -> Reply {
    with_status("200 OK", body)
}

/// A whole JSON answer with this status.
pub(crate) fn with_status(status: &str, body: &str) -> Reply {
    Reply::Keep(
        format!(
            "HTTP/1.1 {status}\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
    )
}
