//! The upstream of the part about objects: an engine with some containers, of which every second one has the label `bench.show`.
//!
//! | request | answer |
//! |---|---|
//! | `/_ping`, `/version` | as an engine |
//! | `/containers/json` | all containers, in one chunk |
//! | `/containers/NAME/json` | the container with this name or id, if there is one |
//! | `/system/df` | all containers in old and in new shape |
//! | `/events?since=N` | N events, in turn of a visible and of a hidden container |
//! | `/bench/requests` | for the bench only: how many requests came before |

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::LocalSet;

use super::{documents, engine, wire};

/// The label of the containers that clients see, and one as long.
const LABELS: [&str; 2] = ["bench.show", "bench.hide"];

/// What stands in the documents for that label.
const PLACE: &str = "com.docker.compose.oneoff";

/// The prepared answers.
struct Engine {
    ping: Vec<u8>,
    version: Vec<u8>,
    list: Vec<u8>,
    usage: Vec<u8>,
    inspected: HashMap<String, Vec<u8>>,
    requests: Cell<usize>,
}

/// Serves on `path` until standard input ends, which it does when the bench ends.
pub(crate) fn run(path: &Path, count: usize) -> io::Result<()> {
    std::thread::spawn(|| {
        io::copy(&mut io::stdin(), &mut io::sink()).unwrap_or_default();
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let engine = Rc::new(Engine::new(count));
        let listener = UnixListener::bind(path)?;
        loop {
            let (stream, _) = listener.accept().await?;
            let engine = Rc::clone(&engine);
            // An error means that the client went away.
            tokio::task::spawn_local(async move { engine.serve(stream).await.unwrap_or_default() });
        }
    })
}

/// The name of a container. Those with an even number are visible.
pub(crate) fn name(number: usize) -> String {
    documents::name(number)
}

/// A document of the container with this number, with its label.
fn labelled(document: &[u8], number: usize) -> String {
    let text = String::from_utf8_lossy(document);
    assert!(text.contains(PLACE), "no label to replace");
    text.replacen(PLACE, LABELS[number % 2], 1)
}

impl Engine {
    fn new(count: usize) -> Self {
        let summaries: Vec<String> = (0..count).map(|number| labelled(&documents::summary(number), number)).collect();
        let list = format!("[{}]\n", summaries.join(","));
        let all = summaries.join(",");
        let usage = format!(
            r#"{{"LayersSize":1,"Images":[],"Containers":[{all}],"Volumes":[],"BuildCache":[],"ContainerUsage":{{"TotalCount":{count},"Items":[{all}]}}}}"#
        );
        // Inspecting goes over a few: every one is as long as the others.
        let inspected = (0..count.min(10)).flat_map(|number| {
            let answer = engine::chunked(&[labelled(&documents::inspect_of(number), number).as_bytes()]);
            [(name(number), answer.clone()), (documents::id(number), answer)]
        });
        Self {
            ping: engine::ping(),
            version: engine::version(),
            list: engine::chunked(&[list.as_bytes()]),
            usage: engine::chunked(&[usage.as_bytes()]),
            inspected: inspected.collect(),
            requests: Cell::new(0),
        }
    }

    /// Answers the requests of one connection, one after the other.
    async fn serve(&self, mut stream: UnixStream) -> io::Result<()> {
        let (mut buffer, mut filled) = (vec![0; 8192], 0);
        loop {
            let Some(end) = wire::find(&buffer[..filled], b"\r\n\r\n") else {
                match stream.read(&mut buffer[filled..]).await? {
                    0 => return Ok(()),
                    read => filled += read,
                }
                continue;
            };
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            buffer.copy_within(end + 4..filled, 0);
            filled -= end + 4;
            let target = head.split(' ').nth(1).unwrap_or_default();
            self.answer(target, &mut stream).await?;
        }
    }

    async fn answer(&self, target: &str, stream: &mut UnixStream) -> io::Result<()> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let counted = self.requests.get();
        self.requests.set(counted + 1);
        match engine::unversioned(path).trim_start_matches('/').split('/').collect::<Vec<_>>()[..] {
            ["_ping"] => stream.write_all(&self.ping).await,
            ["version"] => stream.write_all(&self.version).await,
            ["containers", "json"] => stream.write_all(&self.list).await,
            ["containers", name, "json"] if self.inspected.contains_key(name) => {
                stream.write_all(&self.inspected[name]).await
            }
            ["system", "df"] => stream.write_all(&self.usage).await,
            ["events"] => {
                let since = query.split('&').find_map(|pair| pair.strip_prefix("since=")?.parse().ok()).unwrap_or(0);
                stream.write_all(engine::chunked_head("application/json").as_bytes()).await?;
                for number in 0..since {
                    let line = documents::event(1).replacen("com.docker.compose.service", LABELS[number % 2], 1);
                    stream.write_all(&engine::chunk(line.as_bytes())).await?;
                }
                stream.write_all(b"0\r\n\r\n").await
            }
            ["bench", "requests"] => {
                let body = counted.to_string();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).await
            }
            _ => {
                let body = r#"{"message":"No such container: absent"}"#;
                let head = "HTTP/1.1 404 Not Found\r\nApi-Version: 1.51\r\nContent-Type: application/json";
                stream.write_all(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await
            }
        }
    }
}
