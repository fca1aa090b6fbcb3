//! A scripted daemon on a Unix socket. It records what it is asked, and the test decides what it answers.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};

use super::client::{PATIENCE, content_length, read_whole, without_request_id};

/// One answer.
pub(crate) enum Reply {
    /// Sends these bytes and keeps the connection open.
    Keep(Vec<u8>),
    /// Sends these bytes and closes the connection.
    Close(Vec<u8>),
    /// Sends these bytes and hands the connection to the test.
    Then(Vec<u8>, Box<dyn FnOnce(UnixStream) + Send>),
}

/// A running daemon.
pub(crate) struct Daemon {
    /// The socket it listens on.
    pub(crate) path: PathBuf,
    record: Arc<Mutex<Record>>,
}

/// What a daemon has seen.
#[derive(Default)]
struct Record {
    /// The head and body of each request, except pings and those for `/version` without an API version.
    requests: Vec<String>,
    /// The ids of these requests, empty for one that has none.
    ids: Vec<String>,
    /// How many connections it has accepted.
    accepted: usize,
    /// The connections on which it waits for a request, by their numbers.
    waiting: BTreeMap<usize, UnixStream>,
    /// Whether it has been stopped.
    stopped: bool,
}

impl Daemon {
    /// Starts one at `path`. It answers pings and `/version` itself, and everything else with `answer`, which gets head and body.
    pub(crate) fn start(path: &Path, answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::speaking(path, 51, answer)
    }

    /// As [`Daemon::start`], with a daemon that speaks API 1.`version`.
    pub(crate) fn speaking(path: &Path, version: u16, answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::accepting(path, (24, version), answer)
    }

    /// As [`Daemon::start`], with a daemon that accepts the API versions between two minor numbers.
    pub(crate) fn accepting(
        path: &Path,
        versions: (u16, u16),
        answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).unwrap();
        let record = Arc::<Mutex<Record>>::default();
        let (answer, for_all) = (Arc::new(answer), record.clone());
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (stream, record, answer) = (stream.unwrap(), for_all.clone(), answer.clone());
                record.lock().unwrap().accepted += 1;
                std::thread::spawn(move || serve(stream, number, &record, versions, &*answer));
            }
        });
        Self { path: path.to_owned(), record }
    }

    /// The head and body of each request it has received, except pings.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.record.lock().unwrap().requests.clone()
    }

    /// The id of each request in [`Daemon::requests`], which has been taken out there.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.record.lock().unwrap().ids.clone()
    }

    /// How many connections it has accepted.
    pub(crate) fn connections(&self) -> usize {
        self.record.lock().unwrap().accepted
    }

    /// Stops it like a daemon that ends: no connection can be opened any more, and each is closed after its last answer.
    pub(crate) fn stop(&self) {
        std::fs::remove_file(&self.path).unwrap();
        let mut record = self.record.lock().unwrap();
        record.stopped = true;
        for stream in record.waiting.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Serves one connection. As an engine, it does not end one that is idle: the program would take that for a restart.
fn serve(
    mut stream: UnixStream,
    number: usize,
    record: &Mutex<Record>,
    (oldest, newest): (u16, u16),
    answer: &dyn Fn(&str) -> Reply,
) {
    loop {
        let mut seen = record.lock().unwrap();
        if seen.stopped {
            return;
        }
        seen.waiting.insert(number, stream.try_clone().unwrap());
        drop(seen);
        let request = read_request(&mut stream);
        record.lock().unwrap().waiting.remove(&number);
        let Some((request, id)) = request else { return };
        if request.contains("/_ping HTTP/1.1\r\n") {
            // As Docker: the answer to HEAD has no body, and announces none.
            let body = if request.starts_with("HEAD ") { "" } else { "OK" };
            let length = body.len();
            let pong = format!("HTTP/1.1 200 OK\r\nApi-Version: 1.{newest}\r\nContent-Length: {length}\r\n\r\n{body}");
            let _ = stream.write_all(pong.as_bytes());
            continue;
        }
        // A request of the program's own: those of clients have a version.
        if request.starts_with("GET /version HTTP/1.1\r\n") {
            let body = format!(r#"{{"ApiVersion":"1.{newest}","MinAPIVersion":"1.{oldest}"}}"#);
            let head = format!("HTTP/1.1 200 OK\r\nApi-Version: 1.{newest}\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes());
            continue;
        }
        let mut seen = record.lock().unwrap();
        seen.requests.push(request.clone());
        seen.ids.push(id);
        drop(seen);
        // The client may be gone already.
        match answer(&request) {
            Reply::Keep(bytes) => drop(stream.write_all(&bytes)),
            Reply::Close(bytes) => return drop(stream.write_all(&bytes)),
            Reply::Then(bytes, then) => {
                let _ = stream.write_all(&bytes);
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                return then(stream);
            }
        }
    }
}

/// Answers each request with `head` and hands the connection to the test, which receives it.
pub(crate) fn handing(head: &str) -> (impl Fn(&str) -> Reply + Send + Sync + 'static, Connections) {
    let (sender, receiver) = mpsc::channel();
    let (sender, head) = (Mutex::new(sender), head.to_owned());
    let answer = move |_: &str| {
        let sender = sender.lock().unwrap().clone();
        let hand_over = move |stream: UnixStream| {
            // A test that has ended takes none.
            let _ = sender.send(stream);
        };
        Reply::Then(head.clone().into_bytes(), Box::new(hand_over))
    };
    (answer, Connections(receiver))
}

/// The connections on which a daemon has answered; made by [`handing`].
pub(crate) struct Connections(mpsc::Receiver<UnixStream>);

impl Connections {
    /// Waits for the next one.
    #[track_caller]
    pub(crate) fn next(&self) -> UnixStream {
        self.0.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("the daemon is not asked: {error}"))
    }
}

/// Waits until the other side has closed a connection altogether: what is sent to it is not taken any more.
pub(crate) fn wait_until_closed(mut stream: UnixStream) {
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let error = loop {
        if let Err(error) = stream.write_all(&[b'.'; 4096]) {
            break error;
        }
    };
    assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
}

/// How much of a body a daemon reads before it answers, in bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// Reads a head and the body it announces, up to a limit, and not a byte more; returns them, and the id that the head had. `None`
/// if the connection ends before.
fn read_request(stream: &mut UnixStream) -> Option<(String, String)> {
    let (head, true) = read_whole(stream, "\r\n\r\n").ok()? else { return None };
    let is_id = |line: &&str| line.starts_with("x-request-id: ");
    let whole = String::from_utf8_lossy(&head);
    let id = whole.lines().find(is_id).map(|line| line[14..].to_owned()).unwrap_or_default();
    let head = without_request_id(&head);
    let head = String::from_utf8(head).unwrap();
    let mut body = vec![0; content_length(&head).unwrap_or(0).min(BODY_LIMIT)];
    stream.read_exact(&mut body).ok()?;
    Some((head + &String::from_utf8(body).unwrap(), id))
}

/// A complete JSON answer.
pub(crate) fn json(body: &str) -> Reply {
    with_status("200 OK", body)
}

/// A complete JSON answer with this status.
pub(crate) fn with_status(status: &str, body: &str) -> Reply {
    Reply::Keep(
        format!(
            "HTTP/1.1 {status}\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
    )
}
