//! An answer that is cut short upstream is seen to be cut short downstream, whatever its framing.

use std::time::Duration;

use crate::support::client::status;
use crate::support::daemon::Reply;
use crate::support::proxy::Bench;

/// How a daemon says where a body ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Framing {
    Length,
    Chunked,
    Close,
}

const FRAMINGS: [Framing; 3] = [Framing::Length, Framing::Chunked, Framing::Close];

/// The start of an answer of which more was to come.
fn half(media_type: &str, framing: Framing, body: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\n");
    match framing {
        Framing::Length => format!("{head}Content-Length: 1000\r\n\r\n{body}"),
        Framing::Chunked => format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n", body.len()),
        Framing::Close => format!("{head}\r\n{body}"),
    }
    .into_bytes()
}

/// What a client gets that asks for `target` while the daemon answers with half of `body` and closes a little later.
fn answer(target: &str, version: &str, media_type: &'static str, framing: Framing, body: &'static str) -> String {
    let bench = Bench::start(move |_| {
        let later = Duration::from_millis(50);
        Reply::Then(half(media_type, framing, body), Box::new(move |_| std::thread::sleep(later)))
    });
    let mut client = bench.client();
    client.send(format!("GET {target} {version}\r\nHost: d\r\nConnection: close\r\n\r\n"));
    client.rest()
}

#[test]
fn half_a_document_is_withheld() {
    for framing in FRAMINGS {
        for body in ["", "{\"Id\":", "{\"Id\":\"1\",\"State\":{}"] {
            let answer = answer("/containers/web/json", "HTTP/1.1", "application/json", framing, body);
            assert_eq!(status(&answer), 502, "{framing:?} {body:?}: {answer}");
            assert!(!answer.contains("\"Id\""), "{answer}");
        }
    }
    // All of a document, but less than was announced.
    for framing in [Framing::Length, Framing::Chunked] {
        let answer = answer("/containers/web/json", "HTTP/1.1", "application/json", framing, "{\"Id\":\"1\"}");
        assert_eq!(status(&answer), 502, "{framing:?}: {answer}");
    }
}

#[test]
fn half_a_list_is_not_ended() {
    const ELEMENT: &str = r#"{"Id":"1","Command":"","State":"running"}"#;
    for framing in FRAMINGS {
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            let body = r#"[{"Id":"1","Command":"canary","State":"running"},"#;
            let answer = answer("/containers/json", version, "application/json", framing, body);
            assert!(answer.contains(ELEMENT), "{framing:?}: {answer}");
            assert!(!answer.ends_with("0\r\n\r\n") && !answer.contains(']'), "{framing:?}: {answer}");
        }
        let answer = answer("/containers/json", "HTTP/1.1", "application/json", framing, "[{\"Id\":");
        assert_eq!(status(&answer), 502, "{framing:?}: {answer}");
    }
    // All of a list, but less than was announced.
    for framing in [Framing::Length, Framing::Chunked] {
        let answer = answer("/containers/json", "HTTP/1.1", "application/json", framing, "[{\"Id\":\"1\"}]");
        assert!(!answer.ends_with("0\r\n\r\n"), "{framing:?}: {answer}");
    }
}

#[test]
fn half_an_archive_is_not_ended() {
    for framing in FRAMINGS {
        let answer = answer("/containers/web/export", "HTTP/1.1", "application/x-tar", framing, "half");
        match framing {
            Framing::Length => assert!(answer.to_lowercase().contains("content-length: 1000"), "{answer}"),
            Framing::Chunked => assert!(answer.ends_with("4\r\nhalf\r\n"), "{answer}"),
            // Nobody could tell half of it from all of it.
            Framing::Close => assert_eq!(status(&answer), 502, "{answer}"),
        }
        assert_eq!(answer.contains("half"), framing != Framing::Close, "{answer}");
    }
    // Neither could a client of HTTP/1.0, which knows no chunks.
    let answer = answer("/containers/web/export", "HTTP/1.0", "application/x-tar", Framing::Chunked, "half");
    assert_eq!(status(&answer), 505, "{answer}");
}

#[test]
fn half_a_stream_is_not_ended() {
    for framing in FRAMINGS {
        let answer = answer("/containers/web/logs?stdout=1", "HTTP/1.1", "application/octet-stream", framing, "half");
        let head = answer.split("\r\n\r\n").next().unwrap().to_lowercase();
        assert_eq!(status(&answer), 200);
        assert_eq!(head.contains("content-length: 1000"), framing == Framing::Length, "{answer}");
        assert_eq!(head.contains("transfer-encoding: chunked"), framing == Framing::Chunked, "{answer}");
        assert!(!answer.ends_with("0\r\n\r\n") && answer.contains("half"), "{answer}");
    }
}
