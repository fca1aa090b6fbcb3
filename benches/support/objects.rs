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

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use super::upstream::{self, Upstream};
use super::{answers, documents};

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

/// Serves `count` containers on `path` until the bench ends.
pub(crate) fn run(path: &Path, count: usize) -> io::Result<()> {
    upstream::run(path, Engine::new(count))
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
            let answer = answers::chunked(&[labelled(&documents::inspect_of(number), number).as_bytes()]);
            [(name(number), answer.clone()), (documents::id(number), answer)]
        });
        Self {
            ping: answers::ping(),
            version: answers::version(),
            list: answers::chunked(&[list.as_bytes()]),
            usage: answers::chunked(&[usage.as_bytes()]),
            inspected: inspected.collect(),
            requests: Cell::new(0),
        }
    }
}

impl Upstream for Engine {
    async fn answer(&self, _: &str, target: &str, stream: &mut UnixStream) -> io::Result<bool> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let counted = self.requests.get();
        self.requests.set(counted + 1);
        match answers::unversioned(path).trim_start_matches('/').split('/').collect::<Vec<_>>()[..] {
            ["_ping"] => stream.write_all(&self.ping).await,
            ["version"] => stream.write_all(&self.version).await,
            ["containers", "json"] => stream.write_all(&self.list).await,
            ["containers", name, "json"] if self.inspected.contains_key(name) => {
                stream.write_all(&self.inspected[name]).await
            }
            ["system", "df"] => stream.write_all(&self.usage).await,
            ["events"] => {
                let since = query.split('&').find_map(|pair| pair.strip_prefix("since=")?.parse().ok()).unwrap_or(0);
                stream.write_all(answers::chunked_head("application/json").as_bytes()).await?;
                for number in 0..since {
                    let line = documents::event(1).replacen("com.docker.compose.service", LABELS[number % 2], 1);
                    stream.write_all(&answers::chunk(line.as_bytes())).await?;
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
        }?;
        Ok(true)
    }
}
