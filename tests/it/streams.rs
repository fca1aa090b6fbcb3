//! Streams and hijacked connections: byte for byte, and never a tunnel that the daemon's answer does not prove.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::support::client::{get, status};
use crate::support::daemon::{Reply, json};
use crate::support::proxy::Bench;

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nServer: canary\r\nTransfer-Encoding: chunked\r\n\r\n";
const RAW: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";
const UPGRADED: &str = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

fn attach(upgrade: bool) -> String {
    let upgrade = if upgrade { "Connection: Upgrade\r\nUpgrade: tcp\r\n" } else { "" };
    format!("POST /containers/web/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\n{upgrade}\r\n")
}

fn exec(upgrade: bool) -> String {
    let upgrade = if upgrade { "Connection: Upgrade\r\nUpgrade: tcp\r\n" } else { "" };
    format!(
        "POST /exec/abc/start HTTP/1.1\r\nHost: d\r\n{upgrade}Content-Type: application/json\r\nContent-Length: 16\r\n\r\n{{\"Detach\":false}}"
    )
}

#[test]
fn a_stream_passes_byte_for_byte_with_its_chunks() {
    let body = "3\r\nabc\r\n5\r\nd\0e\nf\r\n0\r\n\r\n";
    let bench = Bench::start(move |_| Reply::Close(format!("{CHUNKED}{body}").into_bytes()));
    let mut client = bench.client();
    client.send(get("/containers/web/logs?stdout=1&follow=1"));
    let answer = client.rest();
    assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer:?}");
    assert!(!answer.contains("canary") && answer.contains("Connection: close"), "{answer}");
    assert!(
        bench.daemon.requests()[0]
            .starts_with("GET /v1.51/containers/web/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: docker\r\n")
    );
}

#[test]
fn an_event_is_not_held_back_and_the_head_of_a_silent_stream_neither() {
    let (say, said) = mpsc::channel::<&'static str>();
    let said = std::sync::Mutex::new(Some(said));
    let bench = Bench::start(move |_| {
        let said = said.lock().unwrap().take().unwrap();
        Reply::Then(
            CHUNKED.into(),
            Box::new(move |mut stream| {
                for text in said {
                    stream.write_all(text.as_bytes()).unwrap();
                }
            }),
        )
    });
    let mut client = bench.client();
    client.send(get("/events"));
    client.read_until("\r\n\r\n");
    for _ in 0..5 {
        let sent = Instant::now();
        say.send("3\r\n{}\n\r\n").unwrap();
        client.read_until("{}\n\r\n");
        assert!(sent.elapsed() < Duration::from_millis(200));
    }
}

#[test]
fn a_stream_cut_short_is_seen_to_be() {
    let bench = Bench::start(|_| Reply::Close(format!("{CHUNKED}10\r\nabc").into_bytes()));
    let mut client = bench.client();
    client.send(get("/events"));
    let answer = client.rest();
    assert!(answer.ends_with("10\r\nabc"), "{answer:?}");
}

#[test]
fn the_daemon_is_left_when_the_client_leaves() {
    let (tell, told) = mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let bench = Bench::start(move |_| {
        let tell = tell.lock().unwrap().clone();
        Reply::Then(
            CHUNKED.into(),
            Box::new(move |mut stream| {
                let _ = stream.read(&mut [0]);
                tell.send(Instant::now()).unwrap();
            }),
        )
    });
    for target in ["/events", "/containers/web/logs?stdout=1&follow=1", "/containers/web/stats"] {
        let mut client = bench.client();
        client.send(get(target));
        client.read_until("\r\n\r\n");
        let left = Instant::now();
        drop(client);
        let closed = told.recv_timeout(Duration::from_secs(2)).unwrap();
        assert!(closed - left < Duration::from_millis(500), "{target}");
    }
}

#[test]
fn no_tunnel_without_proof() {
    for refusal in [
        "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"message\":\"canary\"}",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\ncanary",
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\ncanary",
        "HTTP/1.1 409 Conflict\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\ncanary",
    ] {
        for opening in [attach(true), attach(false), exec(true), exec(false)] {
            let bench = Bench::start(move |_| Reply::Keep(refusal.into()));
            let mut client = bench.client();
            client.send(format!("{opening}GET /containers/t1/json HTTP/1.1\r\nHost: d\r\n\r\n"));
            std::thread::sleep(Duration::from_millis(50));
            client.send("GET /containers/t2/json HTTP/1.1\r\nHost: d\r\n\r\n");
            let answer = client.rest();
            assert_eq!(bench.daemon.requests().len(), 1, "{refusal:?} {opening:?}");
            assert!(!answer.contains("canary"), "{answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        }
    }
}

#[test]
fn a_101_that_nobody_asked_for_is_no_tunnel() {
    let bench = Bench::start(|_| Reply::Keep(UPGRADED.into()));
    assert_eq!(status(&bench.ask(attach(false))), 502);
}

#[test]
fn a_tunnel_passes_both_ways_and_each_way_ends_on_its_own() {
    for (upgrade, head) in [(true, UPGRADED), (false, RAW)] {
        for opening in [attach(upgrade), exec(upgrade)] {
            let bench = Bench::start(move |_| {
                Reply::Then(
                    format!("{head}first\n").into(),
                    Box::new(|mut stream| {
                        // All that the client says, and an answer after it has ended its direction.
                        let mut heard = String::new();
                        stream.read_to_string(&mut heard).unwrap();
                        stream.write_all(format!("heard {heard}").as_bytes()).unwrap();
                    }),
                )
            });
            let mut client = bench.client();
            // Early bytes are held until the tunnel is open.
            client.send(format!("{opening}early "));
            let answer = client.read_until("first\n");
            assert_eq!(status(&answer), if upgrade { 101 } else { 200 });
            client.send("late");
            client.0.shutdown(Shutdown::Write).unwrap();
            assert_eq!(client.rest(), "heard early late");
        }
    }
}

#[test]
fn what_the_daemon_says_last_arrives_while_the_client_goes_on() {
    let bench = Bench::start(|_| Reply::Then(format!("{UPGRADED}last").into(), Box::new(drop)));
    let mut client = bench.client();
    client.send(attach(true));
    let started = Instant::now();
    assert!(client.rest().ends_with("last"));
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn the_daemon_may_end_its_direction_and_still_listen() {
    let (tell, told) = mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let bench = Bench::start(move |_| {
        let tell = tell.lock().unwrap().clone();
        Reply::Then(
            format!("{UPGRADED}last").into(),
            Box::new(move |mut stream| {
                stream.shutdown(Shutdown::Write).unwrap();
                let mut heard = String::new();
                stream.read_to_string(&mut heard).unwrap();
                tell.send(heard).unwrap();
            }),
        )
    });
    let mut client = bench.client();
    client.send(attach(true));
    assert!(client.rest().ends_with("last"));
    client.send("heard after the end");
    client.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(told.recv_timeout(Duration::from_secs(5)).unwrap(), "heard after the end");
}

#[test]
fn attach_takes_a_body_and_exec_goes_without_one() {
    let with = attach(true).replace("\r\n\r\n", "\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
    let without = "POST /exec/abc/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".to_owned();
    for (opening, sent) in [(with, "Content-Length: 2\r\n"), (without, "Content-Length: 0\r\n")] {
        let bench = Bench::start(|_| {
            Reply::Then(
                UPGRADED.into(),
                Box::new(|mut stream| {
                    let mut heard = String::new();
                    stream.read_to_string(&mut heard).unwrap();
                    stream.write_all(format!("heard {heard}").as_bytes()).unwrap();
                }),
            )
        });
        let mut client = bench.client();
        client.send(format!("{opening}early"));
        client.0.shutdown(Shutdown::Write).unwrap();
        assert!(client.rest().ends_with("\r\n\r\nheard early"), "{opening:?}");
        let asked = bench.daemon.requests().pop().unwrap();
        assert!(asked.contains(sent) && asked.contains("Upgrade: tcp\r\n"), "{asked}");
    }
}

#[test]
fn silence_has_no_timeout() {
    let wait = Duration::from_millis(1200);
    let short = Duration::from_millis(200);
    for (opening, head) in [(get("/events"), CHUNKED), (attach(true), UPGRADED), (attach(false), RAW)] {
        let bench = Bench::with(
            move |_| {
                Reply::Then(
                    head.into(),
                    Box::new(move |mut stream| {
                        std::thread::sleep(wait);
                        stream.write_all(b"4\r\nlate\r\n").unwrap();
                    }),
                )
            },
            move |config| {
                (config.timeouts.head, config.timeouts.idle, config.timeouts.response) = (short, short, short);
            },
        );
        let mut client = bench.client();
        client.send(opening);
        assert!(client.rest().ends_with("late\r\n"));
    }
}

#[test]
fn the_daemon_is_left_when_the_client_leaves_a_tunnel_or_before_an_answer() {
    let (tell, told) = mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let bench = Bench::start(move |request| {
        let tell = tell.lock().unwrap().clone();
        let head = if request.contains("/attach") { UPGRADED } else { "" };
        Reply::Then(
            head.into(),
            Box::new(move |mut stream| {
                let _ = stream.read(&mut [0]);
                // The end of its input alone could be a half-close: it can no longer be written to either.
                while stream.write_all(b"anybody?").is_ok() {
                    std::thread::sleep(Duration::from_millis(5));
                }
                tell.send(Instant::now()).unwrap();
            }),
        )
    });
    for opening in [attach(true), get("/events"), get("/containers/web/logs?stdout=1&follow=1")] {
        let mut client = bench.client();
        client.send(&opening);
        if opening.contains("attach") {
            client.read_until("\r\n\r\n");
        } else {
            std::thread::sleep(Duration::from_millis(100));
        }
        let left = Instant::now();
        drop(client);
        let closed = told.recv_timeout(Duration::from_secs(5)).unwrap();
        assert!(closed - left < Duration::from_secs(1), "{opening:?}");
    }
}

#[test]
fn a_wait_has_no_timeout() {
    let bench = Bench::start(|_| {
        Reply::Then(
            Vec::new(),
            Box::new(|mut stream| {
                std::thread::sleep(Duration::from_secs(3));
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"StatusCode\":0}").unwrap();
            }),
        )
    });
    let mut client = bench.client();
    client.send("POST /v1.24/containers/web/wait HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n");
    assert!(client.rest().ends_with(r#"{"StatusCode":0}"#));
}

#[test]
fn one_sample_of_stats_is_a_document() {
    let bench = Bench::start(|_| json(r#"{"name":"/web","id":"1","canary":1}"#));
    let mut client = bench.client();
    client.send(get("/containers/web/stats?stream=false"));
    let answer = client.response();
    assert!(answer.ends_with(r#"{"name":"/web","id":"1"}"#), "{answer}");
}

#[test]
fn a_stream_needs_http_1_1() {
    let bench = Bench::start(|_| Reply::Close(CHUNKED.into()));
    assert_eq!(status(&bench.ask("GET /events HTTP/1.0\r\n\r\n")), 505);
}
