//! The memory of documents: it has a limit, past which requests wait and are then refused.

use std::io::Read;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use dockveil::config::{ByteLimit, Config, DocumentMemory, Limits};

use crate::harness::{Ignored, Outcome, Test, note, tests};
use crate::support::client::{Client, PATIENCE, body, closing_get, get, status};
use crate::support::daemon::{Daemon, Reply, handing, json};
use crate::support::program::{Program, command, free_port};
use crate::support::proxy::{Bench, Folder, policy_of};

pub(crate) const TESTS: &[Test] = tests![
    three_hundred_large_documents_fit_into_a_small_control_group,
    clients_that_take_nothing_fit_into_a_small_control_group,
    a_stream_is_fast_in_a_small_control_group,
    past_the_budget_a_document_waits_and_is_then_refused,
    small_documents_pass_while_large_ones_have_all_the_memory,
    bodies_that_do_not_end_keep_no_answer_waiting,
    a_body_is_leased_until_the_engine_has_answered,
    a_body_for_which_there_is_never_room_is_too_long,
    a_document_that_the_check_warns_of_is_withheld_and_no_other,
    memory_that_comes_back_is_given_to_those_that_wait,
    an_exchange_that_waits_for_memory_ends_with_its_client,
    a_document_that_needs_more_than_the_budget_is_withheld,
    a_document_whose_worst_case_needs_more_takes_the_whole_budget,
    a_record_that_needs_more_than_the_budget_breaks_its_stream,
    a_list_that_needs_more_than_the_budget_is_withheld_and_small_elements_pass,
    clients_that_list_at_once_with_expressions_all_get_their_lists,
    a_look_up_without_memory_is_refused_and_says_nothing_of_objects,
    no_answer_takes_more_memory_than_is_leased_for_it,
    a_silent_stream_keeps_little
];

/// About this much of an answer is in the sockets if nobody reads it, in bytes; a test has far more.
const DOCUMENT: usize = 1 << 20;

/// One document that is filtered takes four of it, and one that waits to be read takes one. A sixth is for bodies of requests.
const BUDGET_OF_TWO: usize = (5 * DOCUMENT + DOCUMENT / 2) * 6 / 5;

/// Two documents that nobody reads use up this budget.
fn budget_of_two(config: &mut Config) {
    config.limits.element = ByteLimit::new(4 << 20);
    config.limits.memory = Some(ByteLimit::new(BUDGET_OF_TWO));
}

fn large_document() -> String {
    format!(r#"{{"Id":"{}"}}"#, "x".repeat(DOCUMENT))
}

/// Clients that have got the start of their documents and read no more.
fn slow_readers(bench: &Bench) -> Vec<UnixStream> {
    let readers = (0..2).map(|_| {
        let mut client = bench.client();
        client.send(get("/containers/web/json"));
        assert_eq!(status(&client.read_until("\r\n\r\n")), 200);
        client.0
    });
    readers.collect()
}

fn past_the_budget_a_document_waits_and_is_then_refused() {
    let document = large_document();
    let bench = Bench::with(
        move |_| json(&document),
        |config| {
            budget_of_two(config);
            config.timeouts.response = Duration::from_millis(300);
        },
    );
    let readers = slow_readers(&bench);
    let start = Instant::now();
    let answer = bench.ask(get("/containers/web/json"));
    assert!(start.elapsed() >= Duration::from_millis(300), "refused at once");
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(answer.contains("retry-after: 5\r\n") && answer.contains(r#"{"message":"too many large"#), "{answer}");
    // What needs no memory is answered.
    assert_eq!(status(&bench.ask(get("/_ping"))), 200);
    drop(readers);
    // The program notices at some time that they are gone.
    while status(&bench.ask(get("/containers/web/json"))) != 200 {}
}

/// What a daemon answers that has one large container and others that are small.
fn document_for<'d>(asked: &str, large: &'d str) -> &'d str {
    match asked {
        _ if asked.contains("/web/") => large,
        _ if asked.contains("/containers/json") => r#"[{"Id":"small"}]"#,
        _ => r#"{"Id":"small"}"#,
    }
}

fn small_documents_pass_while_large_ones_have_all_the_memory() {
    let large = large_document();
    let bench = Bench::with(move |asked| json(document_for(asked, &large)), budget_of_two);
    let readers = slow_readers(&bench);
    // One waits, and there is no room for the others in which to wait.
    let others: Vec<Client> = (0..10)
        .map(|_| {
            let mut client = bench.client();
            client.send(closing_get("/containers/web/json"));
            client
        })
        .collect();
    let targets = ["/containers/json", "/containers/small/json"];
    std::thread::scope(|scope| {
        for target in targets.iter().cycle().take(8) {
            let bench = &bench;
            scope.spawn(move || {
                let answer = bench.ask(closing_get(target));
                assert_eq!(status(&answer), 200, "{answer}");
            });
        }
    });
    drop(readers);
    let statuses: Vec<u16> = others.into_iter().map(|mut client| status(&client.rest())).collect();
    assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
}

/// Bodies of many sizes, more than have room, are held open by clients that ask again as soon as they are refused.
fn bodies_that_do_not_end_keep_no_answer_waiting() {
    const OPEN: &str = "profile: test\nallow: [all]\nshow: [identity, state]\n";
    let restricted = format!("{OPEN}containers: {{never: [{{label: hide}}]}}\n");
    for (profile, length) in [(restricted.as_str(), 20_000), (&restricted, 200), (OPEN, 20_000), (OPEN, 0)] {
        let document = r#"{"Id":"small","Name":"/small","Config":{"Labels":{}}}"#;
        let bench = Bench::with(
            move |asked| json(if asked.contains("/containers/json") { "[]" } else { document }),
            |config| {
                config.listeners[0].policy = policy_of(profile);
                config.limits.memory = Some(ByteLimit::new(4 << 20));
            },
        );
        let unfinished = || {
            let mut client = bench.client();
            let head = "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n";
            client.send(format!("{head}Content-Length: 1000000\r\n\r\n{{\"Image\":\"{}", "x".repeat(length)));
            client
        };
        let held: Vec<Client> = (0..200).map(|_| unfinished()).collect();
        let mut slowest = Duration::ZERO;
        for target in ["/containers/json", "/containers/small/json"].iter().cycle().take(10) {
            let start = Instant::now();
            let answer = bench.ask(closing_get(target));
            slowest = slowest.max(start.elapsed());
            assert_eq!(status(&answer), 200, "{profile} {length} {target}: {answer}");
        }
        assert!(slowest < Duration::from_secs(3), "{profile} {length}: {slowest:?}");
        drop(held);
    }
}

const RESTRICTED: &str = "profile: test\nallow: [all]\nshow: all\ncontainers: {never: [{label: hide}]}\n";

/// A request that creates a container, with a label of this length.
fn creation(length: usize) -> String {
    let body = format!(r#"{{"Labels":{{"a":"{}"}}}}"#, "x".repeat(length));
    let head = "POST /containers/create HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: application/json\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// An engine that hangs holds some; the others wait, and are refused before it is given up.
fn a_body_is_leased_until_the_engine_has_answered() {
    let bench = Bench::with(
        |_| Reply::Keep(Vec::new()),
        |config| {
            config.listeners[0].policy = policy_of(RESTRICTED);
            config.limits.memory = Some(ByteLimit::new(4 << 20));
            config.timeouts.response = Duration::from_secs(7);
        },
    );
    let codes: Vec<u16> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..20).map(|_| scope.spawn(|| status(&bench.ask(creation(100_000))))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let of = |code: u16| codes.iter().filter(|one| **one == code).count();
    assert!(of(504) > 0 && of(503) >= 10 && of(504) + of(503) == 20, "{codes:?}");
}

fn a_body_for_which_there_is_never_room_is_too_long() {
    let bench = Bench::with(
        |_| json(r#"{"Id":"a"}"#),
        |config| {
            config.listeners[0].policy = policy_of(RESTRICTED);
            config.limits.memory = Some(ByteLimit::new(4 << 20));
        },
    );
    for (length, code) in [(100_000, 200), (500_000, 413), (2_000_000, 413)] {
        let answer = bench.ask(creation(length));
        assert_eq!(status(&answer), code, "{length}: {answer}");
        assert!(code == 200 || answer.contains("limits.memory"), "{answer}");
    }
}

/// The warning counts with the division of the memory.
fn a_document_that_the_check_warns_of_is_withheld_and_no_other() {
    let limits = Limits { memory: Some(ByteLimit::new(8 << 20)), ..Limits::default() };
    let longest = DocumentMemory::of(&limits).longest_document();
    for (length, code) in [(longest, 200), (longest + 64, 502)] {
        let head = r#"{"Id":""#;
        let document = format!("{head}{}\"}}", "x".repeat(length - head.len() - 2));
        let bench = Bench::with(
            move |_| json(&document),
            |config| (config.limits.memory, config.limits.element) = (limits.memory, ByteLimit::new(8 << 20)),
        );
        let answer = bench.ask(closing_get("/containers/web/json"));
        assert_eq!(status(&answer), code, "{length}: {}", &answer[..answer.len().min(300)]);
    }
}

fn memory_that_comes_back_is_given_to_those_that_wait() {
    let document = large_document();
    let bench = Bench::with(move |_| json(&document), budget_of_two);
    let readers = slow_readers(&bench);
    let mut waiting = bench.client();
    waiting.send(closing_get("/containers/web/json"));
    waiting.0.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(waiting.0.read(&mut [0]).is_err(), "it does not wait");
    drop(readers);
    waiting.0.set_read_timeout(Some(PATIENCE)).unwrap();
    let answer = waiting.rest();
    assert_eq!(status(&answer), 200);
    assert!(answer.len() > DOCUMENT);
}

fn an_exchange_that_waits_for_memory_ends_with_its_client() {
    let folder = Folder::new();
    let document = large_document();
    let _daemon = Daemon::start(&folder.path("engine"), move |_| json(&document));
    let limits = format!("limits: {{element: 4MiB, memory: {}KiB}}\n", BUDGET_OF_TWO >> 10);
    let program = Program::start(configured(&folder, &limits));
    program.listening();
    let open = || {
        let mut client = Client::connect(&folder.path("listener"));
        client.send(get("/containers/web/json"));
        client
    };
    let mut readers = [open(), open()];
    for reader in &mut readers {
        assert_eq!(status(&reader.read_until("\r\n\r\n")), 200);
    }
    let mut waiting = open();
    waiting.0.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(waiting.0.read(&mut [0]).is_err(), "it does not wait");
    drop(waiting);
    let is_about_it = |line: &String| line.contains("aborted by the client") || line.contains(" status=503 ");
    let line = std::iter::repeat_with(|| program.line()).find(is_about_it).unwrap();
    // Without an answer: it was not refused first.
    assert!(line.contains(" status=0 "), "{line}");
}

fn a_document_that_needs_more_than_the_budget_is_withheld() {
    let document = format!(r#"{{"Id":"{}canary"}}"#, "x".repeat(4 * DOCUMENT - 4096));
    let bench = Bench::with(move |_| json(&document), budget_of_two);
    let answer = bench.ask(get("/containers/web/json"));
    assert!(status(&answer) == 502 && !answer.contains("canary"), "{}", &answer[..answer.len().min(500)]);
}

fn a_document_whose_worst_case_needs_more_takes_the_whole_budget() {
    let document = large_document();
    let bench = Bench::with(
        move |_| json(&document),
        |config| {
            budget_of_two(config);
            config.limits.memory = Some(ByteLimit::new(3 * DOCUMENT));
        },
    );
    for _ in 0..2 {
        let answer = bench.ask(closing_get("/containers/web/json"));
        assert_eq!(status(&answer), 200, "{}", &answer[..answer.len().min(300)]);
    }
}

fn a_record_that_needs_more_than_the_budget_breaks_its_stream() {
    let profile = "profile: test\nallow: [SystemEvents]\nshow: all\nevents: filtered\n";
    for (length, passes) in [(DOCUMENT / 2, true), (4 * DOCUMENT - 4096, false)] {
        let record = format!(r#"{{"Type":"container","Action":"start","id":"{}"}}"#, "x".repeat(length));
        let bench = Bench::with(
            move |_| {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
                Reply::Close(format!("{head}{:x}\r\n{record}\n\r\n0\r\n\r\n", record.len() + 1).into_bytes())
            },
            |config| {
                budget_of_two(config);
                config.listeners[0].policy = policy_of(profile);
            },
        );
        let mut client = bench.client();
        client.send(get("/events"));
        let answer = client.rest();
        assert_eq!(answer.ends_with("0\r\n\r\n"), passes, "{length}: {} bytes", answer.len());
        assert_eq!(answer.len() > length, passes);
    }
}

/// Neither is an object absent that could not be looked up, nor is anything shown or done without a look-up.
fn a_look_up_without_memory_is_refused_and_says_nothing_of_objects() {
    let profile = "profile: test\nabout: Shows some containers.\nallow: [ContainerList, ContainerInspect, ContainerTop, ContainerStart, \
                   SystemInfo]\nshow: [identity, state]\ncontainers: {only: [{name: \"web*\"}]}\n";
    let (id, large, many) = ("a".repeat(64), "x".repeat(DOCUMENT), many_containers());
    let web = format!(r#"{{"Id":"{id}","Name":"/web","Image":"{large}","Config":{{"Image":"a"}}}}"#);
    // To read it takes more than the readers leave, and no more than there is.
    let larger = web.replace("/web", "/web2").replace(&large, &large.repeat(2));
    let path_of_web = format!("/{id}/json");
    let bench = Bench::with(
        move |asked| match asked.split(' ').nth(1).unwrap() {
            target if target.contains("/web/json") || target.contains(&path_of_web) => json(&web),
            target if target.contains("/web2/json") => json(&larger),
            target if target.contains("/containers/json") => json(&many),
            _ => json("{}"),
        },
        |config| {
            budget_of_two(config);
            config.timeouts.response = Duration::from_millis(300);
            config.listeners[0].policy = policy_of(profile);
        },
    );
    let readers = slow_readers(&bench);
    let requests = [
        ("GET", "/info", "/info"),
        ("GET", "/containers/web2/top", "/top"),
        ("POST", "/containers/web2/start", "/start"),
    ];
    let ask = |(method, target, _): (&str, &str, &str)| {
        bench.ask(format!("{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
    };
    for request in requests {
        let answer = ask(request);
        assert_eq!(status(&answer), 503, "{request:?}: {answer}");
        assert!(answer.contains(r#"{"message":"too many large"#), "{answer}");
        let forwarded = bench.daemon.requests().iter().any(|sent| sent.contains(request.2));
        assert!(!forwarded, "{request:?} went up: {:?}", bench.daemon.requests());
    }
    drop(readers);
    // The program notices at some time that they are gone.
    while status(&ask(requests[0])) == 503 {}
    let statuses = requests.map(|request| status(&ask(request)));
    assert_eq!(statuses, [200, 200, 200]);
}

/// A list of so many visible containers that what is kept of them takes all memory.
fn many_containers() -> String {
    let container = |number: usize| {
        let (id, name) = (format!("{number:064x}"), format!("/web{}", "y".repeat(4_000)));
        format!(r#"{{"Id":"{id}","Names":["{name}"],"Image":"a","ImageID":"{number}{name}","State":"running"}}"#)
    };
    format!("[{}]", (0..1_000).map(container).collect::<Vec<_>>().join(","))
}

fn a_list_that_needs_more_than_the_budget_is_withheld_and_small_elements_pass() {
    let element = |length: usize| format!(r#"{{"Id":"{}"}}"#, "x".repeat(length));
    for (elements, expected) in [(vec![element(10 << 10); 800], 200), (vec![element(4 * DOCUMENT - 4096)], 502)] {
        let list = format!("[{}]", elements.join(","));
        let length = list.len();
        let bench = Bench::with(move |_| json(&list), budget_of_two);
        let answer = bench.ask(closing_get("/containers/json"));
        assert_eq!(status(&answer), expected);
        assert_eq!(answer.len() > length, expected == 200);
        assert_eq!(answer.ends_with("0\r\n\r\n"), expected == 200);
    }
}

/// A container of a list, as long as those of real engines, with two mounts: one in between these, which a rule hides.
fn container_with_mounts(number: usize, secret: &str) -> String {
    let labels: Vec<String> =
        (0..29).map(|at| format!(r#""com.example.label-{at}":"{}""#, "value".repeat(15))).collect();
    let mounts = format!(
        r#"{{"Type":"bind","Source":"/srv/data/{number}","RW":true}}{secret},{{"Type":"volume","Name":"v","RW":false}}"#
    );
    format!(r#"{{"Id":"{number:064x}","Labels":{{{}}},"Mounts":[{mounts}]}}"#, labels.join(","))
}

/// With the memory that a program has if nothing sets a limit, and with so little that most must wait for their turn.
fn clients_that_list_at_once_with_expressions_all_get_their_lists() {
    let list = |secret: &str| {
        let containers: Vec<String> = (0..100).map(|number| container_with_mounts(number, secret)).collect();
        format!("[{}]", containers.join(","))
    };
    let (sent, expected) = (list(r#",{"Type":"bind","Source":"/secret/canary","RW":true}"#), list(""));
    for (expression, clients, memory) in [
        ("match(@.Source, '/secret/.*')", 10, 64 << 20),
        ("match(@.Source, '/secret/.*')", 64, 64 << 20),
        ("match(@.Source, '/secret/.*')", 24, 4 << 20),
        // It looks at everything in a mount, and at a part of the container.
        ("count(@..*) == 3 && search(@.Source, '^/secret/') && @.Source != $.Id", 32, 16 << 20),
    ] {
        let profile = format!(
            "profile: test\nallow: [ContainerList]\nshow: all\nmask-values: false\nrules:\n  - {{on: ContainerSummary, \
             remove: \"$.Mounts[?{expression}]\"}}\n"
        );
        let list = sent.clone();
        let bench = Bench::with(
            move |_| json(&list),
            |config| {
                config.listeners[0].policy = policy_of(&profile);
                config.limits.element = ByteLimit::new(16 << 20);
                config.limits.memory = Some(ByteLimit::new(memory));
            },
        );
        std::thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| {
                    let answer = bench.ask(closing_get("/containers/json"));
                    assert_eq!(status(&answer), 200, "{expression}: {}", &answer[..answer.len().min(300)]);
                    let (body, is_whole) = body(&answer);
                    assert!(is_whole && body == expected, "{expression}: another list");
                });
            }
        });
    }
}

/// The program between the sockets of a folder, with these lines in its configuration.
fn configured(folder: &Folder, lines: &str) -> std::process::Command {
    let [engine, listener, file] = ["engine", "listener", "dockveil.yaml"].map(|name| folder.path(name));
    let (engine, listener) = (engine.display(), listener.display());
    let text = format!("upstream: unix://{engine}\nlisteners:\n  - listen: unix://{listener}\n{lines}");
    std::fs::write(&file, text).unwrap();
    command(&[("DOCKVEIL_LOG", "info")], &["--config", file.to_str().unwrap()])
}

/// A control group with a limit of memory. It is removed when the test ends.
struct ControlGroup {
    folder: PathBuf,
    peak: &'static str,
}

impl ControlGroup {
    /// Makes one, with either version of the interface.
    fn new(limit: usize) -> Result<Self, Ignored> {
        let missing = |error: std::io::Error| Ignored::Missing(format!("no control group can be made: {error}"));
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("dockveil-it-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let is_first = Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists();
        let (root, file, peak) = if is_first {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes")
        } else {
            ("/sys/fs/cgroup", "memory.max", "memory.peak")
        };
        let group = Self { folder: Path::new(root).join(name), peak };
        std::fs::create_dir(&group.folder).map_err(missing)?;
        if !is_first {
            // It may be on already.
            let _ = std::fs::write(Path::new(root).join("cgroup.subtree_control"), "+memory");
        }
        std::fs::write(group.folder.join(file), limit.to_string()).map_err(missing)?;
        // What is swapped out would not count.
        for file in ["memory.memsw.limit_in_bytes", "memory.swap.max"] {
            let _ = std::fs::write(group.folder.join(file), if is_first { limit.to_string() } else { "0".to_owned() });
        }
        Ok(group)
    }

    /// Starts a program in it.
    fn start(&self, program: &std::process::Command) -> Program {
        let mut enter = std::process::Command::new("/bin/sh");
        enter.env_clear().env("DOCKVEIL_LOG", "info");
        enter.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]).arg(&self.folder);
        enter.arg(program.get_program()).args(program.get_args());
        Program::start(enter)
    }

    /// The most memory that its processes have used at a time, in bytes.
    fn peak(&self) -> usize {
        std::fs::read_to_string(self.folder.join(self.peak)).unwrap().trim().parse().unwrap()
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.folder);
    }
}

/// The resident memory of a process, in bytes.
fn resident(process: u32) -> usize {
    memory_of(process, "VmRSS:")
}

/// A figure of a process, in bytes.
fn memory_of(process: u32, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    kib.unwrap_or_else(|| panic!("the process has ended")) * 1024
}

/// How much more memory a process takes at most during `work` than before, in bytes.
fn taken(process: u32, work: impl FnOnce()) -> usize {
    // From here on the peak is counted anew: proc_pid_clear_refs(5).
    std::fs::write(format!("/proc/{process}/clear_refs"), "5").unwrap();
    let before = memory_of(process, "VmRSS:");
    work();
    memory_of(process, "VmHWM:").saturating_sub(before)
}

/// Text of about `length` bytes: a part again and again, with a number in place of `#`.
fn repeated(length: usize, part: &str) -> String {
    let mut text = String::new();
    for number in 0.. {
        if text.len() >= length {
            break;
        }
        text.push_str(if number == 0 { "" } else { "," });
        text.push_str(&part.replace('#', &format!("{number:x}")));
    }
    text
}

/// What looks at answers by hand, beside the filter: warnings, versions, lookups by name, errors in a stream of progress.
fn no_answer_takes_more_memory_than_is_leased_for_it() {
    const LENGTH: usize = 1 << 20;
    let many = |part: &str| repeated(LENGTH, part);
    let create = "POST /v1.44/containers/create";
    let pull = "POST /v1.44/images/create?fromImage=a";
    let cases = [
        ("members", create, format!(r#"{{"Id":"a",{}}}"#, many(r##""#":0"##))),
        ("warnings", create, format!(r#"{{"Id":"a","Warnings":[{}]}}"#, many(r#""""#))),
        ("members of versions", "GET /v1.44/version", format!("{{{}}}", many(r##""#":0"##))),
        ("components", "GET /v1.44/version", format!(r#"{{"Components":[{}]}}"#, many("{}"))),
        (
            "versions",
            "GET /v1.44/version",
            format!(r#"{{"Components":[{{"Details":{{{}}}}}]}}"#, many(r#""ApiVersion":"1.99""#)),
        ),
        ("names", "GET /v1.44/images/web/json", format!(r#"{{"RepoTags":["web:latest",{}]}}"#, many(r#""""#))),
        ("details of an error", pull, format!(r#"{{"errorDetail":[{}]}}"#, many("{}"))),
        ("a text of an error", pull, format!(r#"{{"error":"{}"}}"#, "\\n".repeat(LENGTH / 2))),
    ];
    let folder = Folder::new();
    let next = Arc::new(Mutex::new(String::new()));
    let answer = next.clone();
    let _daemon = Daemon::start(&folder.path("engine"), move |_| json(&answer.lock().unwrap()));
    let profile = "profile: hostile\nabout: For tests.\nallow: [Ping, SystemVersion, ContainerCreate, ImageInspect, \
                   ImageCreate]\nshow: [state, topology]\n";
    std::fs::create_dir_all(folder.path("filters/profile")).unwrap();
    std::fs::write(folder.path("filters/profile/hostile.yaml"), profile).unwrap();
    let filters = format!("    profile: hostile\nfilters: [{}]\n", folder.path("filters").display());
    let mut command = configured(&folder, &filters);
    // What is freed goes back at once, so that it counts again.
    command.env("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=4096:glibc.malloc.mmap_threshold=65536");
    let program = Program::start(command);
    program.listening();
    for (name, request, body) in cases {
        let length = body.len();
        *next.lock().unwrap() = body;
        let taken = taken(program.id(), || {
            let mut client = Client::connect(&folder.path("listener"));
            client.send(format!("{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"));
            let answer = client.rest();
            assert_eq!(status(&answer), 200, "{name}: {}", &answer[..answer.len().min(300)]);
        });
        note(&format!("{name}: {} KiB of a document of {} KiB", taken >> 10, length >> 10));
        assert!(taken <= 4 * length + (1 << 20), "{name}: {taken} bytes of a document of {length} bytes");
    }
    program.stop();
}

/// Streams of events are often silent for days.
fn a_silent_stream_keeps_little() {
    const COUNT: usize = 300;
    /// In bytes. It takes 3,900 to 4,200.
    const LIMIT: usize = 4_700;
    let folder = Folder::new();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (answer, connections) = handing(head);
    let _daemon = Daemon::start(&folder.path("engine"), answer);
    let program = Program::start(configured(&folder, "    profile: dashboard-live\n"));
    program.listening();
    let opened = |count: usize| -> Vec<(Client, UnixStream)> {
        let open = |_| {
            let mut client = Client::connect(&folder.path("listener"));
            client.send(get("/events"));
            client.read_until("\r\n\r\n");
            (client, connections.next())
        };
        (0..count).map(open).collect()
    };
    // What the first ones take is there for all.
    let first = opened(20);
    let before = memory_of(program.id(), "RssAnon:");
    let streams = opened(COUNT);
    let each = (memory_of(program.id(), "RssAnon:") - before) / COUNT;
    note(&format!("{each} bytes for each of {COUNT} silent streams"));
    assert!(each <= LIMIT, "{each} bytes for each of {COUNT} silent streams, more than {LIMIT}");
    drop((first, streams));
    program.stop();
}

/// The status of an answer, once all of it has been read; 0 if it was cut off.
fn ask(listener: &Path) -> u16 {
    let mut client = UnixStream::connect(listener).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = closing_get("/containers/web/json");
    // If there is no room, the answer is there already.
    let _ = std::io::Write::write_all(&mut client, request.as_bytes());
    let (mut start, mut block, mut length) = (Vec::new(), vec![0; 64 << 10], 0);
    while let Ok(count @ 1..) = client.read(&mut block) {
        start.extend_from_slice(&block[..count.min(32_usize.saturating_sub(start.len()))]);
        length += count;
    }
    let status = if start.is_empty() { 0 } else { status(&String::from_utf8_lossy(&start)) };
    if status == 200 && length < 3 << 20 { 0 } else { status }
}

fn three_hundred_large_documents_fit_into_a_small_control_group() -> Outcome {
    const CLIENTS: usize = 300;
    let group = ControlGroup::new(128 << 20)?;
    let folder = Folder::new();
    let answer = {
        let body = format!(r#"{{"Id":"{}"}}"#, "x".repeat(3 << 20));
        let head =
            "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked";
        format!("{head}\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).into_bytes()
    };
    let _daemon = Daemon::start(&folder.path("engine"), move |_| Reply::Keep(answer.clone()));
    // Those that have no turn in two seconds are refused: the test need not last longer.
    let program = group.start(&configured(&folder, "timeouts: {response: 2s}\n"));
    let listener = folder.path("listener");
    let lines = program.listening();
    assert!(
        lines.iter().any(|line| line.contains("64 MiB for all documents; the control group may use 128 MiB")),
        "{lines:?}"
    );
    assert_eq!(ask(&listener), 200);
    let idle = resident(program.id());

    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| ask(&listener))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    note(&format!("{} of {CLIENTS} answered with 200, {} with 503", count(200), count(503)));
    note(&format!("peak of the group {} MiB, idle {} MiB", group.peak() >> 20, idle >> 20));
    // A daemon on a busy machine may be too slow for two seconds.
    assert_eq!(count(200) + count(503) + count(504), CLIENTS, "{statuses:?}");
    assert!(count(200) > 0, "{statuses:?}");
    // What is kept is the heap of the connections, not the documents. It was 800 MiB when they were on the heap, too.
    let deadline = Instant::now() + PATIENCE;
    while resident(program.id()) > idle + (40 << 20) {
        assert!(Instant::now() < deadline, "{} MiB are kept, {} MiB before", resident(program.id()) >> 20, idle >> 20);
        std::thread::yield_now();
    }
    note(&format!("afterwards {} MiB", resident(program.id()) >> 20));
    assert_eq!(ask(&listener), 200);
    let (ended, _) = program.stop();
    assert!(ended.success());
    Ok(())
}

/// What a daemon answers that has much to say: lists, documents and logs, and connections of which it reads nothing.
fn talkative(asked: &str) -> Reply {
    static LIST: LazyLock<String> = LazyLock::new(many_containers);
    static LOG: [u8; 1 << 20] = [b'.'; 1 << 20];
    let endless = |head: &str| {
        let send = move |mut stream: UnixStream| while std::io::Write::write_all(&mut stream, &LOG).is_ok() {};
        Reply::Then(head.as_bytes().to_vec(), Box::new(send))
    };
    match asked.split(' ').nth(1).unwrap() {
        target if target.contains("/attach") => {
            endless("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        }
        // It reads no body, and does not answer.
        target if target.contains("/images/load") => {
            let hold = |stream: UnixStream| {
                std::thread::sleep(PATIENCE / 2);
                drop(stream);
            };
            Reply::Then(Vec::new(), Box::new(hold))
        }
        target if target.contains("/logs") => {
            endless("HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n")
        }
        target => {
            let (before, after) = if target.contains("/containers/json") { ("", "") } else { (r#"{"a":"#, "}") };
            let length = before.len() + LIST.len() + after.len();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ";
            let send = move |mut stream: UnixStream| {
                // The client may be gone.
                let mut parts = [before, &LIST, after].into_iter();
                let _ = parts.try_for_each(|part| std::io::Write::write_all(&mut stream, part.as_bytes()));
            };
            Reply::Then(format!("{head}{length}\r\n\r\n").into_bytes(), Box::new(send))
        }
    }
}

/// Each client has the system hold as much as it can, and what it sends beside: the program must not be killed for it.
fn clients_that_take_nothing_fit_into_a_small_control_group() -> Outcome {
    const CLIENTS: usize = 300;
    let group = ControlGroup::new(64 << 20)?;
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), talkative);
    let profile = "profile: open\nabout: For tests.\nallow: [all]\nshow: all\nmask-values: false\n";
    std::fs::create_dir_all(folder.path("filters/profile")).unwrap();
    std::fs::write(folder.path("filters/profile/open.yaml"), profile).unwrap();
    let (open, filters) = (folder.path("open"), folder.path("filters"));
    let lines = format!(
        "    profile: dashboard-live\n  - {{listen: \"unix://{}\", profile: open}}\nfilters: [{}]\n",
        open.display(),
        filters.display()
    );
    let mut program = group.start(&configured(&folder, &lines));
    program.listening();
    let field = format!("X-Field: {}\r\n", "x".repeat(70_000));
    let upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
    let sent = "x".repeat(1 << 20);
    let request = |line: &str, fields: &str| format!("{line} HTTP/1.1\r\nHost: d\r\n{fields}\r\n");
    for (name, listener, bytes) in [
        ("lists", "listener", request("GET /v1.44/containers/json", "")),
        ("lists after long heads", "listener", request("GET /v1.44/containers/json", &field)),
        ("documents as they come", "open", request("GET /v1.44/containers/web/json", &field)),
        ("lists as they come", "open", request("GET /v1.44/containers/json", &field)),
        ("logs", "listener", request("GET /v1.44/containers/web/logs?stdout=1", "")),
        ("logs after long heads", "open", request("GET /v1.44/containers/web/logs?stdout=1", &field)),
        ("tunnels", "open", request("POST /v1.44/containers/web/attach?stream=1&stdin=1&stdout=1", upgrade) + &sent),
        (
            "bodies",
            "open",
            request("POST /v1.44/images/load", &format!("Transfer-Encoding: chunked\r\n{field}"))
                + "ffffff\r\n"
                + &sent,
        ),
        ("unfinished heads", "listener", format!("GET /v1.44/containers/json HTTP/1.1\r\n{field}")),
    ] {
        let mut clients: Vec<(UnixStream, &[u8])> = (0..CLIENTS)
            .filter_map(|_| {
                let client = UnixStream::connect(folder.path(listener)).ok()?;
                client.set_nonblocking(true).unwrap();
                Some((client, bytes.as_bytes()))
            })
            .collect();
        // As long as any of them gets more, or can send more.
        let mut progress = || {
            let moved = clients.iter_mut().map(|(client, rest)| {
                let sent = std::io::Write::write(client, rest).unwrap_or_default();
                *rest = &rest[sent..];
                rustix::io::ioctl_fionread(client).unwrap_or_default() + rest.len() as u64
            });
            moved.sum::<u64>()
        };
        let deadline = Instant::now() + PATIENCE;
        let mut before = u64::MAX;
        while program.is_running() && Instant::now() < deadline {
            let now = progress();
            if now == before {
                break;
            }
            before = now;
            std::thread::sleep(Duration::from_millis(500));
        }
        assert!(program.is_running(), "{name}: the program has ended");
        let peak = group.peak() >> 20;
        note(&format!("{name}: peak of the group {peak} MiB"));
        assert!(clients.len() > CLIENTS / 2, "{name}: {} clients", clients.len());
        let mut other = Client::connect(&folder.path(listener));
        other.send(closing_get("/_ping"));
        assert_eq!(status(&other.rest()), 200, "{name}");
        drop(clients);
    }
    let (ended, _) = program.stop();
    assert!(ended.success());
    Ok(())
}

/// The system holds little for each connection. If that is less than a segment, each waits until the one before is acknowledged.
fn a_stream_is_fast_in_a_small_control_group() -> Outcome {
    const LENGTH: usize = 48 << 20;
    /// It takes a tenth of a second. With a pause of 40 ms for each segment, it takes fifteen.
    const LIMIT: Duration = Duration::from_secs(6);
    let group = ControlGroup::new(64 << 20)?;
    let folder = Folder::new();
    let _daemon = Daemon::start(&folder.path("engine"), talkative);
    let port = free_port();
    let lines = format!(
        "    profile: dashboard-live\n  - {{listen: \"tcp://127.0.0.1:{port}\", insecure: true, profile: dashboard-live}}\n"
    );
    let program = group.start(&configured(&folder, &lines));
    program.listening();
    let take = |mut client: Box<dyn ReadWrite>| {
        let started = Instant::now();
        client
            .write_all(get("/v1.44/containers/web/logs?stdout=1").replace("Host: d", "Host: localhost").as_bytes())
            .unwrap();
        let (mut block, mut length) = (vec![0; 256 << 10], 0);
        while length < LENGTH {
            let count = client.read(&mut block).unwrap();
            assert!(count > 0, "the stream has ended after {length} bytes");
            length += count;
        }
        started.elapsed()
    };
    let over_unix = take(Box::new(UnixStream::connect(folder.path("listener")).unwrap()));
    let over_tcp = take(Box::new(TcpStream::connect(("127.0.0.1", port)).unwrap()));
    note(&format!("{} MiB took {over_unix:?} over a Unix socket and {over_tcp:?} over TCP", LENGTH >> 20));
    assert!(over_unix < LIMIT && over_tcp < LIMIT, "{over_unix:?} {over_tcp:?}");
    let (ended, _) = program.stop();
    assert!(ended.success());
    Ok(())
}

/// A connection of either kind.
trait ReadWrite: Read + std::io::Write {}
impl<T: Read + std::io::Write> ReadWrite for T {}
