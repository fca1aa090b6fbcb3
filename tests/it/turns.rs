//! Long work for one client: the others have their turn meanwhile.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Barrier, mpsc};
use std::thread::{self, available_parallelism};

use dockveil::config::Listener;
use dockveil::socket::Address;

use crate::callers::ask_from;
use crate::harness::{Test, tests};
use crate::support::client::{Client, ID, PATIENCE, closing_get, get, status};
use crate::support::daemon::{Reply, with_status};
use crate::support::proxy::{Bench, policy_of};

pub(crate) const TESTS: &[Test] = tests![
    a_long_document_leaves_others_their_turn,
    a_long_element_of_a_list_leaves_others_their_turn,
    a_long_event_leaves_others_their_turn,
    records_around_a_long_one_leave_in_their_order,
    look_ups_of_one_client_leave_others_their_turn,
    an_expression_of_too_much_work_withholds_the_document
];

/// Rules whose expression looks at the whole document for each label: the work is the square of their number.
const PROFILE: &str = "profile: test\nallow: [Ping, ContainerInspect, ContainerList, SystemEvents]\nevents: filtered\nshow: \
                       [identity, state, free-text]\nrules:\n  - {on: ContainerInspect, redact: \"$.Config.Labels[?count($..*) == \
                       0]\"}\n  - {on: ContainerSummary, redact: \"$.Labels[?count($..*) == 0]\"}\n  - {on: Event, redact: \
                       \"$.Actor.Attributes[?count($..*) == 0]\"}\n";
/// The work is the square of it: for a thread some tenths of a second, in which others are answered dozens of times.
const LABELS: usize = 1_000;
/// More connections than workers, so that every worker has some.
const OTHERS: usize = 8;

/// So many labels, as an object.
fn labels(count: usize) -> String {
    let members: Vec<String> = (0..count).map(|at| format!("\"l{at}\":\"v\"")).collect();
    format!("{{{}}}", members.join(","))
}

/// An event of a container with so many labels.
fn event(count: usize) -> String {
    format!(r#"{{"Type":"container","Action":"start","Actor":{{"ID":"c{count}","Attributes":{}}}}}"#, labels(count))
}

/// A whole answer in one chunk.
fn chunked(body: &str) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).into_bytes()
}

/// How often each of the others was answered while one client waited for the answer to `target`, and that answer.
fn rounds(target: &str, body: String) -> (usize, String) {
    let (sent, arrived) = mpsc::channel();
    let bench = Bench::profiled(PROFILE, move |_| {
        let sent = sent.clone();
        // The daemon has written the answer when the program has read most of it.
        Reply::Then(chunked(&body), Box::new(move |_| sent.send(()).unwrap()))
    });
    let ping = |client: &mut Client| {
        client.send(get("/_ping"));
        assert_eq!(status(&client.response()), 200);
    };
    let mut others: Vec<Client> = (0..OTHERS).map(|_| bench.client()).collect();
    others.iter_mut().for_each(ping);
    let (done, answer) = mpsc::channel();
    let mut waiting = bench.client();
    let request = closing_get(target);
    let waiter = std::thread::spawn(move || {
        waiting.send(request);
        done.send(waiting.rest()).unwrap();
    });
    arrived.recv().unwrap();
    for round in 0.. {
        if let Ok(answer) = answer.try_recv() {
            waiter.join().unwrap();
            return (round, answer);
        }
        others.iter_mut().for_each(ping);
    }
    unreachable!("the rounds have an end")
}

#[track_caller]
fn check(target: &str, body: String) {
    let (rounds, answer) = rounds(target, body);
    let last = format!("\"l{}\":\"v\"", LABELS - 1);
    assert!(answer.contains(&last), "{target}: {}", answer.get(..300).unwrap_or(&answer));
    assert!(rounds >= 5, "{target}: others were answered {rounds} times meanwhile");
}

fn a_long_document_leaves_others_their_turn() {
    check(&format!("/containers/{ID}/json"), format!(r#"{{"Id":"c","Config":{{"Labels":{}}}}}"#, labels(LABELS)));
}

fn a_long_element_of_a_list_leaves_others_their_turn() {
    check("/containers/json", format!(r#"[{{"Id":"c","Labels":{}}}]"#, labels(LABELS)));
}

fn a_long_event_leaves_others_their_turn() {
    check("/events", event(LABELS));
}

fn records_around_a_long_one_leave_in_their_order() {
    let sizes = [1, 300, 2, 400, 3, 4];
    let events: String = sizes.iter().map(|count| event(*count) + "\n").collect();
    let bench = Bench::profiled(PROFILE, move |_| Reply::Keep(chunked(&events)));
    let mut client = bench.client();
    client.send(get("/events"));
    let answer = client.rest();
    let ids = sizes.map(|count| format!("\"ID\":\"c{count}\""));
    let places: Vec<usize> = ids.iter().map(|id| answer.find(id).unwrap_or_else(|| panic!("{id}"))).collect();
    assert!(places.is_sorted(), "{places:?}");
    assert!(answer.ends_with("\r\n0\r\n\r\n"), "the stream ends whole");
}

/// The expression reads a long text for each label. That is a lot of work by its measure, and little time.
fn an_expression_of_too_much_work_withholds_the_document() {
    let profile = "profile: test\nallow: [ContainerInspect]\nshow: [identity, free-text]\nrules:\n  - {on: ContainerInspect, \
                   redact: \"$.Config.Labels[?length($.Config.User) == 0]\"}\n";
    for (count, expected) in [(100, 200), (1_000, 502)] {
        let user = "x".repeat(900_000);
        let body = format!(r#"{{"Id":"c","Config":{{"User":"{user}","Labels":{}}}}}"#, labels(count));
        let bench = Bench::profiled(profile, move |_| Reply::Keep(chunked(&body)));
        let answer = bench.ask(get(&format!("/containers/{ID}/json")));
        assert_eq!(status(&answer), expected, "{}", answer.get(..300).unwrap_or(&answer));
    }
}

/// Before the container itself, the program asks for the one that is called so, and reads whether the client sees it.
fn look_ups_of_one_client_leave_others_their_turn() {
    const PROFILE: &str =
        "profile: test\nallow: [ContainerInspect]\nshow: [identity]\ncontainers: {only: [{label: shown}]}\n";
    // As many documents are read at a time as there are processors.
    let processors = available_parallelism().map_or(1, usize::from);
    let count = 8 * processors;
    let (sent, has_sent) = mpsc::channel();
    let (read, has_read) = mpsc::channel();
    let gates = Arc::new([Barrier::new(count + 1), Barrier::new(count + 1)]);
    let bench = Bench::with(
        move |request| {
            let name = request.split(['/', ' ']).find(|part| part.starts_with("long") || part.starts_with("short"));
            let Some(name) = name else {
                // The container is known: it is asked for by its id, which begins with an `a` if its document is long.
                read.send(request.contains("/containers/a")).unwrap();
                return with_status("404 Not Found", "{\"message\":\"No such container\"}");
            };
            let (id, members) = match name {
                "short" => ("b".repeat(64), format!(r#""Path":"{}""#, "x".repeat(200_000))),
                _ => ("a".repeat(64), format!(r#""Unknown":[{}]"#, vec!["[]"; 100_000].join(","))),
            };
            let labels =
                if name == "short" { r#"{"shown":""}"#.to_owned() } else { labels(1_000).replacen("l0", "shown", 1) };
            let body = format!(r#"{{"Id":"{id}","Name":"/{name}",{members},"Config":{{"Labels":{labels}}}}}"#);
            // The ends come when the rest is there, that of the short one behind the others: before, the long ones could have been read.
            let (sent, gates, is_short) = (sent.clone(), gates.clone(), name == "short");
            let mut start = chunked(&body);
            let end = start.split_off(start.len() - 10);
            let send_end = move |mut stream: UnixStream| {
                let [all, ended] = &*gates;
                sent.send(()).unwrap();
                all.wait();
                if is_short {
                    ended.wait();
                }
                stream.write_all(&end).unwrap();
                if !is_short {
                    ended.wait();
                }
            };
            Reply::Then(start, Box::new(send_end))
        },
        |config| {
            let address = Address::Tcp { host: "127.0.0.1".to_owned(), port: 0 };
            config.listeners = vec![Listener::new(address, policy_of(PROFILE))];
        },
    );
    let Address::Tcp { port, .. } = bench.addresses()[0] else { panic!("no port") };
    let server = SocketAddr::new("127.0.0.1".parse().unwrap(), port);
    let ask = move |source: &'static str, name: String| {
        thread::spawn(move || ask_from(source, server, &format!("/containers/{name}/json")))
    };
    let mut asking: Vec<_> = (0..count).map(|number| ask("127.0.0.2", format!("long{number}"))).collect();
    for _ in 0..count {
        has_sent.recv_timeout(PATIENCE).unwrap();
    }
    asking.push(ask("127.0.0.3", "short".to_owned()));
    for answer in asking {
        let answer = answer.join().unwrap();
        assert_eq!(status(&answer), 404, "{answer}");
    }
    let order: Vec<bool> = has_read.try_iter().collect();
    assert_eq!(order.len(), count + 1, "each container is asked for when it is known");
    let behind = order.iter().rev().take_while(|is_long| **is_long).count();
    // In the order in which they came, hardly one would be.
    assert!(behind > count / 4, "{behind} of {count} long documents were read after the short one: {order:?}");
}
