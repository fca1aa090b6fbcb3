//! An answer that is cut short upstream is recognisably cut short downstream, however its end is marked.

use crate::harness::{Test, tests};
use crate::support::client::status;
use crate::support::daemon::handing;
use crate::support::proxy::Bench;

pub(crate) const TESTS: &[Test] =
    tests![half_a_document_is_withheld, half_a_list_has_no_end, half_an_archive_has_no_end, half_a_stream_has_no_end];

/// How a daemon marks the end of a body.
#[derive(Clone, Copy, Debug, PartialEq)]
enum BodyEnd {
    Length,
    Chunk,
    Close,
}

const BODY_ENDS: [BodyEnd; 3] = [BodyEnd::Length, BodyEnd::Chunk, BodyEnd::Close];

/// An answer that announces more than this body.
fn half(media_type: &str, end: BodyEnd, body: &str) -> String {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\n");
    match end {
        BodyEnd::Length => format!("{head}Content-Length: 1000\r\n\r\n{body}"),
        BodyEnd::Chunk => format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n", body.len()),
        BodyEnd::Close => format!("{head}\r\n{body}"),
    }
}

/// What a client gets if the daemon closes the connection in the middle of an answer, after the client has read `arrives`.
fn ask(request: &str, half: &str, arrives: Option<&str>) -> String {
    let (answer, connections) = handing(half);
    let bench = Bench::start(answer);
    let mut client = bench.client();
    client.send(format!("GET {request}\r\nHost: d\r\nConnection: close\r\n\r\n"));
    let daemon = connections.next();
    let first = arrives.map(|marker| client.read_until(marker)).unwrap_or_default();
    drop(daemon);
    first + &client.rest()
}

fn half_a_document_is_withheld() {
    let ask = |end, body| ask("/containers/web/json HTTP/1.1", &half("application/json", end, body), None);
    for end in BODY_ENDS {
        for body in ["", "{\"Id\":", "{\"Id\":\"1\",\"State\":{}"] {
            let answer = ask(end, body);
            assert_eq!(status(&answer), 502, "{end:?} {body:?}: {answer}");
            assert!(!answer.contains("\"Id\""), "{answer}");
        }
    }
    // The document is complete, but shorter than announced.
    for end in [BodyEnd::Length, BodyEnd::Chunk] {
        let answer = ask(end, "{\"Id\":\"1\"}");
        assert_eq!(status(&answer), 502, "{end:?}: {answer}");
    }
}

fn half_a_list_has_no_end() {
    const ELEMENT: &str = r#"{"Id":"1","Command":"","State":"running"}"#;
    let ask = |version, end, body, arrives| {
        ask(&format!("/containers/json {version}"), &half("application/json", end, body), arrives)
    };
    for end in BODY_ENDS {
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            let answer = ask(version, end, r#"[{"Id":"1","Command":"canary","State":"running"},"#, Some(ELEMENT));
            assert!(!answer.ends_with("0\r\n\r\n") && !answer.contains(']'), "{end:?}: {answer}");
        }
        let answer = ask("HTTP/1.1", end, "[{\"Id\":", None);
        assert_eq!(status(&answer), 502, "{end:?}: {answer}");
    }
    // The list is complete, but shorter than announced.
    for end in [BodyEnd::Length, BodyEnd::Chunk] {
        let answer = ask("HTTP/1.1", end, "[{\"Id\":\"1\"}]", None);
        assert!(!answer.ends_with("0\r\n\r\n"), "{end:?}: {answer}");
    }
}

fn half_an_archive_has_no_end() {
    let ask = |version, end, arrives| {
        ask(&format!("/containers/web/export {version}"), &half("application/x-tar", end, "half"), arrives)
    };
    let answer = ask("HTTP/1.1", BodyEnd::Length, Some("half"));
    assert!(answer.to_lowercase().contains("content-length: 1000"), "{answer}");
    let answer = ask("HTTP/1.1", BodyEnd::Chunk, Some("half"));
    assert!(answer.ends_with("4\r\nhalf\r\n"), "{answer}");
    // Half of it looks like all of it.
    let answer = ask("HTTP/1.1", BodyEnd::Close, None);
    assert!(status(&answer) == 502 && !answer.contains("half"), "{answer}");
    // It does so to a client of HTTP/1.0, which knows no chunks.
    let answer = ask("HTTP/1.0", BodyEnd::Chunk, None);
    assert_eq!(status(&answer), 505, "{answer}");
}

fn half_a_stream_has_no_end() {
    for end in BODY_ENDS {
        let half = half("application/octet-stream", end, "half");
        let answer = ask("/containers/web/logs?stdout=1 HTTP/1.1", &half, Some("half"));
        let head = answer.split("\r\n\r\n").next().unwrap().to_lowercase();
        assert_eq!(status(&answer), 200);
        assert_eq!(head.contains("content-length: 1000"), end == BodyEnd::Length, "{answer}");
        assert_eq!(head.contains("transfer-encoding: chunked"), end == BodyEnd::Chunk, "{answer}");
        assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
    }
}
