//! Whole exchanges through the release binary, beside HAProxy and beside no proxy, in one run.
//!
//! ```text
//! cargo bench --bench exchange [-- [PART…] [--runs N] [--binary FILE] [--beside FILE] [--haproxy FILE]]
//! ```
//!
//! A PART is (a piece of) `ping`, `inspect`, `list`, `large`, `logs`, `events`, `idle`, `leave`, `start`, `objects`, `tls` or
//! `observed`; none means all. `tls` measures listeners with TLS and certificates of clients beside plain ones, and beside HAProxy
//! with the same. `objects` measures a profile that shows every second container beside the same one that shows all. `observed`
//! measures what the metrics and the line of an exchange cost, as a part of a ping.
//! `--binary` measures another build, such as the static one. `--beside` measures a second build of dockveil in the same
//! rounds of `ping`, `inspect`, `list`, `logs` and `idle`: a change is judged by the ratio within one run. Sockets are in a
//! temporary folder and on loopback. The run ends by itself, within [`LIMIT`], and ends only what it started.
//!
//! The engine and the load are this program again, as processes of their own. CPU time is the user and system time of the
//! proxy's process. All proxies log each exchange to a file; `quiet` is without a log. The documents have all labels that the profile
//! shows, 29: a list of 100 has 371 kB, one of 10,000 has 37 MB.
//!
//! | row | what it is |
//! |---|---|
//! | `exchange/…` | dockveil with the built-in profile `dashboard-live` as it is: `dashboard`, with logs and events that pass |
//! | `relay/…` | the same process with `show: all` |
//! | `plain/…`, `matched/…` | the same with `mask-values: false`; with a `match()` rule on every mount |
//! | `beside/…` | the second build |
//! | `haproxy/…` | HAProxy as configured in its image for Docker sockets, but with upstream connections kept, which is its best |
//! | `tecnativa/…` | the same with a new connection to the engine for each request, as that image sets it |
//! | `direct/…` | no proxy |
//!
//! After the table, each figure that has a goal has a line that says whether it is met.

#![expect(clippy::unwrap_used, reason = "a bench stops at the first surprise")]
#![expect(clippy::indexing_slicing, reason = "a bench stops at the first surprise")]
#![expect(clippy::print_stdout, reason = "a bench is there to print")]

mod support;

use std::error::Error;
use std::fs;
use std::io::{BufRead, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dockveil::metrics::{ExchangeMetrics, ExchangeResult, Metrics};
use rustix::time::{ClockId, clock_gettime};
use support::engine;
use support::figures::{self, Figures, Goal};
use support::load;
use support::objects;
use support::process::{self, Folder, Process, ourselves};
use support::valgrind;
use support::wire::Location;

/// When a run is ended that does not end by itself.
const LIMIT: Duration = Duration::from_secs(900);
/// Requests for each of the two whose latencies are compared. Each takes a tick of 10 ms.
const LATENCIES: u64 = 10_000;
/// Requests before a measurement, to warm up.
const WARM: u64 = 400;
/// The limit of descriptors for each process.
const DESCRIPTORS: u64 = 20_000;
/// Silent streams that a proxy must hold with that limit.
const STREAMS: u64 = 9_400;

/// The built-in profile that hides, as it is. It allows the streams that the bench measures.
const HIDING: &str = "dashboard-live";
/// Profiles beside it: one that hides nothing, one that masks nothing, and one with a pattern that hides no mount.
const BESIDE: [(&str, &str); 3] = [
    (
        "relay",
        "\
profile: bench-relay
about: Shows everything, to tell what hiding costs.
allow: [Ping, SystemVersion, ContainerList, ContainerInspect, ContainerStats, ContainerLogs, SystemEvents]
show: all
",
    ),
    ("plain", "profile: bench-plain\nextends: dashboard-live\nmask-values: false\n"),
    (
        "matched",
        "\
profile: bench-matched
extends: dashboard-live
rules:
  - {on: ContainerSummary, remove: \"$.Mounts[?match(@.Source, '/no/such/.*')]\"}
",
    ),
];

/// The profile of the part about objects, and what is added to show some containers.
const OBJECTS: &str = "allow: [SystemDataUsage]\nevents: filtered\n";
const SOME: &str = "containers: {only: [{label: bench.show}]}\n";

/// What HAProxy does with a connection to the engine after an answer.
#[derive(Clone, Copy)]
enum Upstream {
    /// It stays, for any client.
    Kept,
    /// It ends.
    Closed,
}

/// What a proxy logs.
#[derive(Clone, Copy)]
enum Log {
    /// Each exchange.
    Each,
    /// Nothing.
    Off,
}

impl Log {
    /// A command of dockveil with this log.
    fn of_dockveil(self, mut command: Command) -> Command {
        command.env(
            "DOCKVEIL_LOG",
            match self {
                Log::Each => "info",
                Log::Off => "off",
            },
        );
        command
    }
}

/// A proxy with its process, or the engine itself.
struct Peer {
    name: &'static str,
    unix: Location,
    tcp: Option<Location>,
    /// Another listener: in the part about TLS, the port with TLS; in the part about objects, the one that shows all.
    other: Option<Location>,
    process: Option<Process>,
    /// The time from its start to its first answer.
    started: Duration,
}

/// What is asked of proxies in turn.
struct Asked<'a> {
    /// What the rows are called.
    name: &'a str,
    target: &'a str,
    connections: u64,
    /// Requests in a round.
    total: u64,
}

/// One of the proxies, or a listener of one, that is asked.
struct Subject<'a> {
    /// The row.
    name: &'static str,
    process: &'a Process,
    location: Location,
}

impl<'a> Subject<'a> {
    /// A proxy by its first listener.
    fn of(peer: &'a Peer) -> Result<Self, Failed> {
        Self::at(peer, peer.unix.clone())
    }

    /// A proxy by another listener.
    fn at(peer: &'a Peer, location: Location) -> Result<Self, Failed> {
        Ok(Self { name: peer.name, process: peer.process.as_ref().ok_or("no process")?, location })
    }
}

/// A goal for the ratio of two rows, ours and the other.
type Ratio = (&'static str, &'static str, Goal);

/// Relayed, where nothing is hidden.
const RELAYED: Ratio = ("relay", "haproxy", Goal::AtMost(1.3, 1.0));

/// The arguments of the bench, and its figures.
struct Bench {
    folder: PathBuf,
    engine: PathBuf,
    binary: PathBuf,
    /// The second build.
    beside: Option<PathBuf>,
    haproxy: Option<PathBuf>,
    runs: usize,
    figures: Figures,
}

/// Any error.
type Failed = Box<dyn Error>;
/// One part of the bench.
type Part = fn(&mut Bench) -> Result<(), Failed>;

/// What is measured, and how often.
struct Arguments {
    parts: Vec<String>,
    binary: PathBuf,
    beside: Option<PathBuf>,
    haproxy: Option<PathBuf>,
    runs: usize,
}

impl Arguments {
    fn parse(arguments: &[String]) -> Result<Self, Failed> {
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_dockveil"));
        let haproxy = Some(PathBuf::from("/usr/sbin/haproxy"));
        let mut parsed = Self { parts: Vec::new(), binary, beside: None, haproxy, runs: 5 };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--binary" => parsed.binary = words.next().ok_or("--binary FILE")?.into(),
                "--beside" => parsed.beside = Some(words.next().ok_or("--beside FILE")?.into()),
                "--haproxy" => parsed.haproxy = Some(words.next().ok_or("--haproxy FILE")?.into()),
                "--runs" => parsed.runs = words.next().ok_or("--runs N")?.parse()?,
                // What Cargo itself adds.
                "--bench" => {}
                part => parsed.parts.push(part.to_owned()),
            }
        }
        parsed.haproxy = parsed.haproxy.filter(|binary| binary.exists());
        Ok(parsed)
    }
}

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("__objects") => return Ok(objects::run(Path::new(&arguments[1]), arguments[2].parse()?)?),
        Some("__engine") => return Ok(engine::run(Path::new(&arguments[1]))?),
        Some("__load") => return Ok(load::run(&arguments[1..])?),
        _ => {}
    }
    let Arguments { parts, binary, beside, haproxy, runs } = Arguments::parse(&arguments)?;
    process::limit_descriptors(DESCRIPTORS)?;
    let folder = Folder::new()?;
    process::watchdog(LIMIT, folder.0.clone());
    println!("cargo bench --bench exchange -- {}", arguments.join(" "));
    println!("{}", figures::machine());
    println!("dockveil: {}", binary.display());
    println!("beside: {}", haproxy.as_deref().map_or("no HAProxy here".into(), version));

    let path = folder.0.join("engine.sock");
    let mut bench =
        Bench { folder: folder.0.clone(), engine: path, binary, beside, haproxy, runs, figures: Figures::default() };
    let mut engine = Process::start(&mut ourselves("__engine", &[&bench.engine.to_string_lossy()]))?;
    engine.first_answer(&bench.engine)?;

    let all: [(&str, Part); 12] = [
        ("ping", Bench::ping),
        ("inspect", Bench::inspect),
        ("list", Bench::list),
        ("large", Bench::large),
        ("logs", Bench::logs),
        ("events", Bench::events),
        ("idle", Bench::idle),
        ("leave", Bench::leave),
        ("start", Bench::start),
        ("objects", Bench::objects),
        ("tls", Bench::tls),
        ("observed", Bench::observed),
    ];
    let start = Instant::now();
    for (name, part) in all {
        if parts.is_empty() || parts.iter().any(|wanted| name.contains(wanted.as_str())) {
            part(&mut bench).map_err(|error| format!("{name}: {error}"))?;
        }
    }
    drop(engine);
    println!("\n{}\n{}\n{:.0?}, {}", bench.figures.table(), bench.figures.goals(), start.elapsed(), figures::machine());
    Ok(())
}

/// The parts.
impl Bench {
    /// `/_ping` over 64 connections, on both kinds of socket.
    fn ping(&mut self) -> Result<(), Failed> {
        for (kind, log) in [("unix", Log::Each), ("tcp", Log::Each), ("quiet", Log::Off)] {
            let dockveil = self.dockveil(log)?;
            let others = [self.haproxy(log, Upstream::Kept)?, self.haproxy(log, Upstream::Closed)?, self.beside(log)?];
            let peers = std::iter::once(&dockveil).chain(others.iter().flatten());
            let subjects = peers.map(|peer| {
                let tcp = peer.tcp.clone().ok_or("no port")?;
                Subject::at(peer, if kind == "tcp" { tcp } else { peer.unix.clone() })
            });
            let mut subjects = subjects.collect::<Result<Vec<_>, _>>()?;
            if kind == "unix" {
                subjects.push(Subject { name: "relay", ..Subject::at(&dockveil, self.listener("relay"))? });
            }
            let name = format!("ping/{kind}/64");
            let asked = Asked { name: &name, target: "/_ping", connections: 64, total: 50_000 };
            self.cpu(&asked, &subjects, &[("exchange", "haproxy", Goal::AtMost(1.0, 0.8))])?;
        }
        Ok(())
    }

    /// What it costs to count an exchange and to write its line, as a part of a ping. A ping has no line at this level, so the line is
    /// that of `/version`, with and without a log.
    fn observed(&mut self) -> Result<(), Failed> {
        const COUNTS: u32 = 100_000;
        let (quiet, logging) = (self.dockveil(Log::Off)?, self.build(&self.binary, "logging", Log::Each)?);
        let metrics = Arc::new(Metrics::new("bench")?);
        let counter = ExchangeMetrics::new(&metrics, "unix:///run/dockveil/docker.sock", HIDING, "unix:///engine");
        let (mut pings, mut counted, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.runs {
            pings.push(self.cost(&quiet, "/_ping", 50_000)?);
            let line = self.cost(&logging, "/version", 30_000)? - self.cost(&quiet, "/version", 30_000)?;
            lines.push(line.max(0.0));
            let before = thread_time();
            for number in 0..COUNTS {
                counter.count(&ExchangeResult {
                    operation: "SystemPing",
                    decision: "relay",
                    status: 200,
                    own: Duration::from_micros(50),
                    engine: Duration::from_micros(u64::from(number % 1000)),
                    received: 0,
                    sent: 2,
                    hidden: None,
                });
            }
            counted.push((thread_time() - before) / f64::from(COUNTS) * 1e4);
        }
        self.figures.add("ping without a log", "CPU-s/10k", pings.clone(), Goal::None);
        self.figures.add_ratio("count of an exchange ÷ ping", &counted, &pings, Goal::AtMost(0.1, 0.05));
        self.figures.add_ratio("line of an exchange ÷ ping", &lines, &pings, Goal::None);
        let both: Vec<f64> = counted.iter().zip(&lines).map(|(counted, line)| counted + line).collect();
        self.figures.add_ratio("count and line ÷ ping", &both, &pings, Goal::AtMost(0.2, 0.1));
        Ok(())
    }

    /// CPU seconds of a proxy for 10,000 requests over 64 connections, after some to warm up.
    fn cost(&self, peer: &Peer, target: &str, total: u64) -> Result<f64, Failed> {
        self.load("requests", &peer.unix, target, &[64, WARM])?;
        let process = peer.process.as_ref().ok_or("no process")?;
        let before = process.cpu();
        self.load("requests", &peer.unix, target, &[64, total])?;
        Ok((process.cpu() - before) / total as f64 * 1e4)
    }

    /// One container over 10 and over 64 connections.
    fn inspect(&mut self) -> Result<(), Failed> {
        for connections in [10, 64] {
            let name = format!("container_inspect/10k/{connections}");
            let asked = Asked { name: &name, target: "/containers/web/json", connections, total: 10_000 };
            self.filtered(&asked, &[], &[("exchange", "haproxy", Goal::AtMost(1.5, 1.0)), RELAYED])?;
        }
        Ok(())
    }

    /// Lists of 5, 100 and 1,000 over 10 connections.
    fn list(&mut self) -> Result<(), Failed> {
        let few = [("exchange", "haproxy", Goal::AtMost(1.5, 1.0)), RELAYED];
        let hundred =
            [("exchange", "haproxy", Goal::AtMost(3.0, 1.5)), RELAYED, ("exchange", "plain", Goal::AtMost(1.10, 1.03))];
        let matched = [("matched", "exchange", Goal::AtMost(1.5, 1.2))];
        let asked = |name, target, total| Asked { name, target, connections: 10, total };
        self.filtered(&asked("container_list/5", "/containers/json?limit=5", 20_000), &[], &few)?;
        let hundred_containers = asked("container_list/100", "/containers/json?limit=100", 3_000);
        self.filtered(&hundred_containers, &["plain"], &hundred)?;
        // Expressions look at trees, which take memory: of ten such lists at a time, some are answered with 503.
        let fewer = Asked { name: "container_list/100/4", connections: 4, ..hundred_containers };
        self.filtered(&fewer, &["matched"], &matched)?;
        self.filtered(&asked("container_list/1000", "/containers/json?limit=1000", 300), &[], &[RELAYED])
    }

    /// A list of 10,000: over 4 connections, and once with its last element late.
    fn large(&mut self) -> Result<(), Failed> {
        let target = "/containers/json?limit=10000";
        let asked = Asked { name: "container_list/10000", target, connections: 4, total: 12 };
        self.filtered(&asked, &[], &[RELAYED])?;
        let (mut peak, mut lead, mut first) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.runs.min(3) {
            let dockveil = self.alone(&self.binary, "dashboard")?;
            let process = dockveil.process.as_ref().ok_or("no process")?;
            self.load("requests", &dockveil.unix, target, &[4, 8])?;
            peak.push(process.memory().1 / 1024.0);
            let times = self.load("document", &dockveil.unix, "/containers/json?limit=10000&all=1", &[])?;
            first.push(times[0] * 1e3);
            lead.push((times[1] - times[0]) * 1e3);
        }
        self.figures.add("exchange/container_list/10000 peak RSS", "MiB", peak, Goal::AtMost(12.0, 12.0));
        self.figures.add("exchange/container_list/10000 first byte", "ms", first, Goal::None);
        let delay = engine::DELAY.as_secs_f64() * 1e3 * 0.9;
        let lead_goal = Goal::AtLeast(delay, delay);
        self.figures.add("exchange/container_list/10000 first before last", "ms", lead, lead_goal);
        Ok(())
    }

    /// Log streams: two frame sizes, with many frames in a chunk and with one.
    fn logs(&mut self) -> Result<(), Failed> {
        let (dockveil, direct) = (self.dockveil(Log::Each)?, self.direct());
        let (haproxy, beside) = (self.haproxy(Log::Each, Upstream::Kept)?, self.beside(Log::Each)?);
        let (large, small) = (Goal::AtMost(0.60, 0.30), Goal::AtMost(0.32, 0.30));
        for (framing, goal) in
            [("16k-batched", large), ("16k-single", large), ("128-batched", small), ("128-single", small)]
        {
            // A chunk of one small frame costs everyone several times as much; the run stays as long.
            let megabytes = if framing == "128-single" { 256 } else { 768 };
            let target = format!("/containers/{framing}/logs?follow=1&stdout=1&tail={megabytes}");
            let peers: Vec<&Peer> = [&dockveil, &direct].into_iter().chain(&haproxy).chain(&beside).collect();
            let mut speeds: Vec<Vec<f64>> = vec![Vec::new(); peers.len()];
            let mut costs = speeds.clone();
            for _ in 0..self.runs.min(3) {
                for (at, peer) in peers.iter().enumerate() {
                    let before = peer.process.as_ref().map(Process::cpu);
                    let numbers = self.load("requests", &peer.unix, &target, &[1, 1])?;
                    speeds[at].push(numbers[1] / numbers[0] / 1e9);
                    if let (Some(before), Some(process)) = (before, peer.process.as_ref()) {
                        costs[at].push((process.cpu() - before) / numbers[1] * 1e9);
                    }
                }
            }
            for (at, peer) in peers.iter().enumerate() {
                self.figures.add(format!("{}/logs/{framing}", peer.name), "GB/s", speeds[at].clone(), Goal::None);
                if !costs[at].is_empty() {
                    let name = format!("{}/logs/{framing} CPU", peer.name);
                    self.figures.add(name, "s/GB", costs[at].clone(), Goal::None);
                }
                if at > 0 {
                    let name = format!("exchange ÷ {}/logs/{framing}", peer.name);
                    self.figures.add_ratio(name, &speeds[0], &speeds[at], Goal::None);
                }
                if let Some(goal) = match peer.name {
                    "haproxy" => Some(goal),
                    "beside" => Some(Goal::None),
                    _ => None,
                } {
                    let name = format!("exchange ÷ {}/logs/{framing} CPU", peer.name);
                    self.figures.add_ratio(name, &costs[0], &costs[at], goal);
                }
            }
        }
        Ok(())
    }

    /// The delay that a proxy adds to an event, and to the head of a stream without events.
    fn events(&mut self) -> Result<(), Failed> {
        let (dockveil, direct) = (self.dockveil(Log::Each)?, self.direct());
        let haproxy = self.haproxy(Log::Each, Upstream::Kept)?;
        let peers: Vec<&Peer> = [&direct, &dockveil].into_iter().chain(haproxy.as_ref()).collect();
        let mut lines: Vec<Vec<Vec<f64>>> = vec![Vec::new(); peers.len()];
        let mut heads = lines.clone();
        for _ in 0..self.runs {
            for (at, peer) in peers.iter().enumerate() {
                lines[at].push(self.load("lines", &peer.unix, "/events?since=800", &[])?);
                heads[at].push(self.load("heads", &peer.unix, "/events", &[20])?);
            }
        }
        let column = |runs: &[Vec<f64>], at: usize| -> Vec<f64> { runs.iter().map(|run| run[at]).collect() };
        let added = |runs: &[Vec<f64>], base: &[Vec<f64>], at: usize| -> Vec<f64> {
            runs.iter().zip(base).map(|(run, base)| run[at] - base[at]).collect()
        };
        self.figures.add("direct/events line p50", "µs", column(&lines[0], 0), Goal::None);
        self.figures.add("direct/events line p99", "µs", column(&lines[0], 1), Goal::None);
        self.figures.add("direct/events silent head", "µs", column(&heads[0], 0), Goal::None);
        for (at, peer) in peers.iter().enumerate().skip(1) {
            let ours = |goal| if at == 1 { goal } else { Goal::None };
            let (p50, p99) = (ours(Goal::AtMost(100.0, 60.0)), ours(Goal::AtMost(2_000.0, 1_000.0)));
            let head = ours(Goal::AtMost(5_000.0, 1_000.0));
            self.figures.add(
                format!("{}/events line added p50", peer.name),
                "µs",
                added(&lines[at], &lines[0], 0),
                p50,
            );
            self.figures.add(
                format!("{}/events line added p99", peer.name),
                "µs",
                added(&lines[at], &lines[0], 1),
                p99,
            );
            self.figures.add(format!("{}/events line worst", peer.name), "µs", column(&lines[at], 2), Goal::None);
            self.figures.add(format!("{}/events silent head", peer.name), "µs", column(&heads[at], 0), head);
            self.figures.add(
                format!("{}/events silent head worst", peer.name),
                "µs",
                column(&heads[at], 1),
                Goal::None,
            );
        }
        Ok(())
    }

    /// Idle memory, memory per silent stream, and the behaviour when descriptors run out.
    fn idle(&mut self) -> Result<(), Failed> {
        let (mut rest, mut each, mut full, mut theirs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut held, mut refused, mut other) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.runs.min(3) {
            let (streams, idle, memory) = self.held(&self.binary, 2_000)?;
            rest.push(idle / 1024.0);
            each.push((memory - idle) / streams[0]);
            if let Some(second) = &self.beside {
                let (streams, idle, memory) = self.held(second, 2_000)?;
                theirs.push((memory - idle) / streams[0]);
            }
            // Another proxy, because a process keeps the memory it has used.
            let (streams, idle, memory) = self.held(&self.binary, DESCRIPTORS / 2 + 200)?;
            full.push((memory - idle) / streams[0]);
            held.push(streams[0]);
            refused.push(streams[1]);
            other.push(streams[2]);
        }
        if !theirs.is_empty() {
            self.figures.add("beside/idle RSS per stream, 2000", "KiB", theirs, Goal::None);
        }
        self.figures.add("exchange/idle RSS", "MiB", rest, Goal::AtMost(6.0, 4.0));
        self.figures.add("exchange/idle RSS per stream, 2000", "KiB", each, Goal::AtMost(4.6, 3.0));
        self.figures.add("exchange/idle RSS per stream, all", "KiB", full, Goal::AtMost(4.6, 3.0));
        let enough = Goal::AtLeast(STREAMS as f64, STREAMS as f64);
        self.figures.add(format!("exchange/idle held at {DESCRIPTORS}"), "streams", held, enough);
        self.figures.add("exchange/idle past the limit: 503", "streams", refused, Goal::AtLeast(1.0, 1.0));
        self.figures.add("exchange/idle past the limit: not 503", "streams", other, Goal::AtMost(0.0, 0.0));
        if let Some(haproxy) = self.haproxy(Log::Each, Upstream::Kept)? {
            let idle = haproxy.process.as_ref().unwrap().memory().0;
            let (streams, held_at) = self.hold(&haproxy, 1_500)?;
            self.figures.add("haproxy/idle RSS", "MiB", vec![idle / 1024.0], Goal::None);
            self.figures.add(
                "haproxy/idle RSS per stream, 1500",
                "KiB",
                vec![(held_at - idle) / streams[0]],
                Goal::None,
            );
        }
        Ok(())
    }

    /// The time from a client leaving a silent stream to the engine noticing.
    fn leave(&mut self) -> Result<(), Failed> {
        let (dockveil, haproxy) = (self.dockveil(Log::Each)?, self.haproxy(Log::Each, Upstream::Kept)?);
        for peer in [Some(&dockveil), haproxy.as_ref()].into_iter().flatten() {
            let mut delays = Vec::new();
            for _ in 0..if peer.name == "exchange" { 10 } else { 1 } {
                let text = self.text("leave", &peer.unix, "/events", &[])?;
                let left: u128 = text.trim().parse()?;
                let deadline = Instant::now() + Duration::from_secs(3);
                let closed = loop {
                    let (open, closed) = self.streams()?;
                    if open == 0 {
                        break Some(closed);
                    }
                    if Instant::now() > deadline {
                        break None;
                    }
                    std::thread::sleep(Duration::from_millis(1));
                };
                delays.push(closed.map_or(f64::INFINITY, |closed| closed.saturating_sub(left) as f64 / 1e6));
            }
            let goal = if peer.name == "exchange" { Goal::AtMost(1_000.0, 100.0) } else { Goal::None };
            self.figures.add(format!("{}/leave upstream closed after", peer.name), "ms", delays, goal);
        }
        Ok(())
    }

    /// The size of the binary, and the time to its first answer.
    fn start(&mut self) -> Result<(), Failed> {
        let bytes = fs::read(&self.binary)?;
        let kind = if support::process::is_static(&bytes) { "static" } else { "dynamic" };
        let size = bytes.len() as f64 / 1024.0 / 1024.0;
        self.figures.add(format!("exchange/start binary, {kind}"), "MiB", vec![size], Goal::AtMost(8.0, 5.0));
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            ours.push(self.alone(&self.binary, "dashboard")?.started.as_secs_f64() * 1e3);
            let haproxy = self.haproxy(Log::Each, Upstream::Kept)?;
            theirs.extend(haproxy.map(|peer| peer.started.as_secs_f64() * 1e3));
        }
        self.figures.add("exchange/start to first answer", "ms", ours, Goal::AtMost(6.0, 3.0));
        if !theirs.is_empty() {
            self.figures.add("haproxy/start to first answer", "ms", theirs, Goal::None);
        }
        self.start_instructions()
    }

    /// The instructions in user space before the first answer, with those of a stop, which are few.
    fn start_instructions(&mut self) -> Result<(), Failed> {
        if let Some(program) = valgrind::missing() {
            println!("exchange/start instructions: NOT COUNTED, there is no {program}");
            return Ok(());
        }
        let (counts, socket) = (self.folder.join("counts"), self.folder.join("counted.sock"));
        let command = valgrind::counting(&self.binary, &counts, 0);
        let (process, _) = self.launch(self.arguments(command, &socket, "dashboard"), &socket, "counted")?;
        process.stop()?;
        let millions = valgrind::counted(&counts) as f64 / 1e6;
        self.figures.add("exchange/start instructions", "millions", vec![millions], Goal::AtMost(20.0, 8.0));
        Ok(())
    }
}

/// TLS beside plain TCP, ours beside HAProxy's.
impl Bench {
    /// `/_ping` and one container over 64 connections that stay, and `/_ping` over a new connection each.
    fn tls(&mut self) -> Result<(), Failed> {
        support::tls::write_certificates(&self.folder)?;
        let peers: Vec<Peer> = [Some(self.dockveil_tls()?), self.haproxy_tls()?].into_iter().flatten().collect();
        for (what, target, role, [connections, total]) in [
            ("ping", "/_ping", "requests", [64, 30_000]),
            ("container_inspect/10k", "/containers/web/json", "requests", [10, 8_000]),
            ("new connection", "/_ping", "connections", [16, 2_000]),
        ] {
            // For each proxy, plain and with TLS, in turn.
            let mut costs = vec![[Vec::new(), Vec::new()]; peers.len()];
            for run in 0..self.runs {
                for (peer, costs) in peers.iter().zip(&mut costs) {
                    let process = peer.process.as_ref().ok_or("no process")?;
                    let plain = peer.tcp.clone().ok_or("no port")?;
                    let secure = peer.other.clone().ok_or("no port with TLS")?;
                    for (location, costs) in [plain, secure].iter().zip(costs) {
                        if run == 0 {
                            self.load(role, location, target, &[connections, WARM])?;
                        }
                        let before = process.cpu();
                        self.load(role, location, target, &[connections, total])?;
                        costs.push((process.cpu() - before) / total as f64 * 1e6);
                    }
                }
            }
            for (peer, [plain, secure]) in peers.iter().zip(&costs) {
                self.figures.add(format!("{}/tls/{what} plain", peer.name), "CPU-µs", plain.clone(), Goal::None);
                self.figures.add(format!("{}/tls/{what}", peer.name), "CPU-µs", secure.clone(), Goal::None);
                self.figures.add_ratio(format!("{}/tls/{what} ÷ plain", peer.name), secure, plain, Goal::None);
            }
            if let [ours, theirs] = costs.as_slice() {
                self.figures.add_ratio(format!("exchange ÷ haproxy/tls/{what}"), &ours[1], &theirs[1], Goal::None);
            }
        }
        Ok(())
    }

    /// Dockveil with a plain port, and one with TLS and certificates of clients.
    fn dockveil_tls(&self) -> Result<Peer, Failed> {
        let socket = self.folder.join("tls.sock");
        let (tcp, secure) = (free_port()?, free_port()?);
        let at = |name: &str| self.folder.join(name).display().to_string();
        let config = self.folder.join("tls.yaml");
        let text = format!(
            "upstream: unix://{}\nlisteners:\n  - {{listen: \"unix://{}\", profile: {HIDING}}}\n  - {{listen: \"{tcp}\", profile: {HIDING}}}\n  \
             - listen: \"{secure}\"\n    profile: {HIDING}\n    tls: {{certificate: {}, key: {}, client_ca: {}}}\n",
            self.engine.display(),
            socket.display(),
            at("server.pem"),
            at("server.key"),
            at("ca.pem")
        );
        fs::write(&config, text)?;
        let mut command = Command::new(&self.binary);
        command.arg("serve").arg("--config").arg(&config).env("DOCKVEIL_LOG", "off");
        let (process, started) = self.launch(command, &socket, "tls")?;
        let relay = Some(self.with_tls(&secure)?);
        Ok(Peer {
            name: "exchange",
            unix: Location::Unix(socket),
            tcp: Some(tcp),
            other: relay,
            process: Some(process),
            started,
        })
    }

    /// HAProxy with the same.
    fn haproxy_tls(&self) -> Result<Option<Peer>, Failed> {
        let Some(binary) = &self.haproxy else { return Ok(None) };
        let socket = self.folder.join("haproxy-tls.sock");
        let (tcp, secure) = (free_port()?, free_port()?);
        let (Location::Tcp(plain), Location::Tcp(port)) = (&tcp, &secure) else { return Err("not a port".into()) };
        let at = |name: &str| self.folder.join(name).display().to_string();
        let config = self.folder.join("haproxy-tls.cfg");
        let text = format!(
            "global\n  maxconn 4000\n  ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets\n  tune.ssl.cachesize 0\n\
             defaults\n  mode http\n  http-reuse always\n  timeout connect 10s\n  timeout client 10m\n  timeout server 10m\n  \
             timeout http-request 10s\n  timeout http-keep-alive 10s\n\
             frontend docker\n  bind unix@{socket}\n  bind {plain}\n  bind {port} ssl crt {crt} ca-file {ca} verify required\n  \
             http-request deny unless METH_GET\n  \
             http-request allow if {{ path,url_dec -m reg -i ^(/v[\\d\\.]+)?/_ping }}\n  \
             http-request allow if {{ path,url_dec -m reg -i ^(/v[\\d\\.]+)?/containers }}\n  \
             http-request deny\n  default_backend engine\n\
             backend engine\n  server engine unix@{engine}\n",
            socket = socket.display(),
            crt = at("server-both.pem"),
            ca = at("ca.pem"),
            engine = self.engine.display(),
        );
        fs::write(&config, text)?;
        let mut command = Command::new(binary);
        command.arg("-db").arg("-f").arg(&config);
        let (process, started) = self.launch(command, &socket, "haproxy-tls")?;
        let relay = Some(self.with_tls(&secure)?);
        Ok(Some(Peer {
            name: "haproxy",
            unix: Location::Unix(socket),
            tcp: Some(tcp),
            other: relay,
            process: Some(process),
            started,
        }))
    }

    /// A port with TLS.
    fn with_tls(&self, location: &Location) -> Result<Location, Failed> {
        let Location::Tcp(address) = location else { return Err("not a port".into()) };
        Ok(Location::Tls(*address, self.folder.clone()))
    }
}

/// Some containers beside all.
impl Bench {
    /// Requests to engines with few and with many containers, of which every second one is hidden: CPU time beside that of the
    /// same profile without `containers`, and requests of the engine. How long hidden and absent ones take. Memory.
    fn objects(&mut self) -> Result<(), Failed> {
        for count in [10, 1_000] {
            let (_engine, path) = self.hiding_engine(count)?;
            let peer = self.some_and_all(&path)?;
            let lists = if count == 10 { 4_000 } else { 80 };
            let (visible, hidden) = (objects::name(2), objects::name(3));
            let inspect = |name: &str| format!("/containers/{name}/json");
            for (name, target, total, status) in [
                ("list", "/containers/json".to_owned(), lists, [200, 200]),
                ("inspect visible", inspect(&visible), 8_000, [200, 200]),
                ("inspect hidden", inspect(&hidden), 8_000, [404, 200]),
                ("inspect absent", inspect("absent"), 8_000, [404, 404]),
                ("system/df", "/system/df".to_owned(), lists, [200, 200]),
                ("events line", "/events?since=20000".to_owned(), 4, [200, 200]),
            ] {
                let lines = if name == "events line" { 20_000.0 } else { 1.0 };
                self.some_beside_all(
                    &format!("objects/{count}/{name}"),
                    &peer,
                    &path,
                    (&target, total, status),
                    lines,
                )?;
            }
            if count == 10 {
                self.hidden_beside_absent(&peer.unix)?;
            }
        }
        self.known_containers()
    }

    /// CPU time for each request, or each line of one, and requests of the engine for each.
    fn some_beside_all(
        &mut self,
        name: &str,
        peer: &Peer,
        engine: &Path,
        (target, total, status): (&str, u64, [u64; 2]),
        lines: f64,
    ) -> Result<(), Failed> {
        let process = peer.process.as_ref().ok_or("no process")?;
        let locations = [peer.unix.clone(), peer.other.clone().ok_or("no second listener")?];
        let (mut costs, mut asked) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        for _ in 0..self.runs.min(3) {
            for at in 0..2 {
                let (cpu, requests) = (process.cpu(), requests_of(engine)?);
                // Hidden and absent ones wait for a tick, which costs time and no work.
                let connections = match (status[at], target) {
                    (404, _) => 64,
                    // A long document needs much of the memory for documents.
                    (_, "/system/df") => 1,
                    _ => 4,
                };
                self.load("requests", &locations[at], target, &[connections, total, status[at]])?;
                costs[at].push((process.cpu() - cpu) / total as f64 / lines * 1e6);
                asked[at].push((requests_of(engine)? - requests - 1) as f64 / total as f64);
            }
        }
        for (at, which) in ["some", "all"].into_iter().enumerate() {
            self.figures.add(format!("{which}/{name}"), "CPU-µs", costs[at].clone(), Goal::None);
            self.figures.add(format!("{which}/{name} to engine"), "requests", asked[at].clone(), Goal::None);
        }
        self.figures.add_ratio(format!("some ÷ all/{name}"), &costs[0], &costs[1], Goal::None);
        Ok(())
    }

    /// 10,000 requests for a hidden and for an absent container, in turn.
    fn hidden_beside_absent(&mut self, location: &Location) -> Result<(), Failed> {
        let targets = format!("/containers/{}/json|/containers/{}/json", objects::name(3), objects::name(99_999));
        let numbers = self.load("pair", location, &targets, &[LATENCIES])?;
        for (at, name) in
            ["hidden p50", "hidden p90", "hidden p99", "absent p50", "absent p90", "absent p99"].iter().enumerate()
        {
            self.figures.add(format!("some/objects/{name}"), "µs", vec![numbers[at]], Goal::None);
        }
        // What two samples of one distribution exceed once in a hundred times.
        let limit = 1.63 * (2.0 / LATENCIES as f64).sqrt();
        self.figures.add(
            "some/objects/distance of distributions",
            "share",
            vec![numbers[6]],
            Goal::AtMost(limit, limit),
        );
        Ok(())
    }

    /// How much more memory a proxy has in use that has seen 10,000 containers of a list, and once more.
    fn known_containers(&mut self) -> Result<(), Failed> {
        let (_engine, path) = self.hiding_engine(10_000)?;
        for which in 0..2 {
            let mut growth = Vec::new();
            for _ in 0..self.runs.min(3) {
                let peer = self.some_and_all(&path)?;
                let location =
                    if which == 0 { peer.unix.clone() } else { peer.other.clone().ok_or("no second listener")? };
                let process = peer.process.as_ref().ok_or("no process")?;
                let before = process.memory().0;
                self.load("requests", &location, "/containers/json", &[1, 4])?;
                growth.push((process.memory().0 - before) / 1024.0);
            }
            let name = ["some", "all"][which];
            self.figures.add(format!("{name}/objects/10000 RSS growth"), "MiB", growth, Goal::None);
        }
        Ok(())
    }

    /// Starts an engine with some containers.
    fn hiding_engine(&self, count: usize) -> Result<(Process, PathBuf), Failed> {
        let path = self.folder.join(format!("objects-{count}.sock"));
        let mut engine = Process::start(&mut ourselves("__objects", &[&path.to_string_lossy(), &count.to_string()]))?;
        engine.first_answer(&path)?;
        Ok((engine, path))
    }

    /// Starts dockveil with a listener that shows some containers, and one that shows all.
    fn some_and_all(&self, engine: &Path) -> Result<Peer, Failed> {
        let filters = self.folder.join("filters/profile");
        fs::create_dir_all(&filters)?;
        for (name, more) in [("bench-some", SOME), ("bench-every", "")] {
            fs::write(
                filters.join(format!("{name}.yaml")),
                format!("profile: {name}\nextends: {HIDING}\n{OBJECTS}{more}"),
            )?;
        }
        let (socket, all) = (self.folder.join("some.sock"), self.folder.join("every.sock"));
        let (unix, relay) = (Location::Unix(socket.clone()), Location::Unix(all));
        let config = self.folder.join("objects.yaml");
        let text = format!(
            "upstream: unix://{}\nlisteners:\n  - {{listen: \"{unix}\", profile: bench-some}}\n  - {{listen: \"{relay}\", profile: bench-every}}\n",
            engine.display()
        );
        fs::write(&config, text)?;
        let mut command = Command::new(&self.binary);
        command.arg("serve").arg("--config").arg(&config).arg("--filters").arg(self.folder.join("filters"));
        command.env("DOCKVEIL_LOG", "off");
        let (process, started) = self.launch(command, &socket, "objects")?;
        Ok(Peer { name: "some", unix, tcp: None, other: Some(relay), process: Some(process), started })
    }
}

/// Shared by the parts.
impl Bench {
    /// A filtered operation, beside our own unfiltered listener, HAProxy as its best and as its image sets it, the second build, and
    /// `more` of the listeners of [`BESIDE`].
    fn filtered(&mut self, asked: &Asked, more: &[&str], ratios: &[Ratio]) -> Result<(), Failed> {
        let dockveil = self.dockveil(Log::Each)?;
        self.check_lengths(asked.target)?;
        let mut subjects = vec![Subject::of(&dockveil)?];
        for (name, _) in BESIDE {
            if name == "relay" || more.contains(&name) {
                subjects.push(Subject { name, ..Subject::at(&dockveil, self.listener(name))? });
            }
        }
        let others = [
            self.haproxy(Log::Each, Upstream::Kept)?,
            self.haproxy(Log::Each, Upstream::Closed)?,
            self.beside(Log::Each)?,
        ];
        for peer in others.iter().flatten() {
            subjects.push(Subject::of(peer)?);
        }
        self.cpu(asked, &subjects, ratios)
    }

    /// Makes sure that something is hidden, and nothing where everything is shown. Dockveil has been started.
    fn check_lengths(&self, target: &str) -> Result<(), Failed> {
        let bytes = |location: Location| Ok::<_, Failed>(self.load("requests", &location, target, &[1, 1])?[1]);
        let (whole, shown) = (bytes(self.direct().unix)?, bytes(self.listener("relay"))?);
        let hidden = bytes(self.listener("exchange"))?;
        // The line end after a document may be missing.
        if whole - shown > 1.0 || shown > whole || hidden >= whole {
            return Err(format!("{target}: {whole} bytes, {shown} unfiltered, {hidden} filtered").into());
        }
        Ok(())
    }

    /// CPU seconds per 10,000 requests of the subjects in turn, and what the first of them takes beside each other one. A ratio of
    /// `ratios` has a goal.
    fn cpu(&mut self, asked: &Asked, subjects: &[Subject], ratios: &[Ratio]) -> Result<(), Failed> {
        let Asked { name, target, connections, total } = *asked;
        let mut costs: Vec<Vec<f64>> = vec![Vec::new(); subjects.len()];
        let mut rates = costs.clone();
        for run in 0..self.runs {
            for (at, Subject { process, location, .. }) in subjects.iter().enumerate() {
                if run == 0 {
                    self.load("requests", location, target, &[connections, WARM.min(total)])?;
                }
                let before = process.cpu();
                let numbers = self.load("requests", location, target, &[connections, total])?;
                costs[at].push((process.cpu() - before) / total as f64 * 1e4);
                rates[at].push(total as f64 / numbers[0]);
            }
        }
        for (at, Subject { name: peer, .. }) in subjects.iter().enumerate() {
            self.figures.add(format!("{peer}/{name}"), "CPU-s/10k", costs[at].clone(), Goal::None);
            self.figures.add(format!("{peer}/{name} rate"), "req/s", rates[at].clone(), Goal::None);
        }
        let first = subjects.first().map_or("", |subject| subject.name);
        let without = subjects.iter().skip(1).map(|subject| (first, subject.name, Goal::None));
        let without = without.filter(|(_, other, _)| !ratios.iter().any(|ratio| (ratio.0, ratio.1) == (first, *other)));
        for (ours, other, goal) in ratios.iter().copied().chain(without) {
            let found = |name| subjects.iter().position(|subject| subject.name == name);
            if let (Some(ours_at), Some(other_at)) = (found(ours), found(other)) {
                let row = format!("{ours} ÷ {other}/{name}");
                self.figures.add_ratio(row, &costs[ours_at], &costs[other_at], goal);
            }
        }
        Ok(())
    }

    /// Runs the load in a role; returns what it printed.
    fn text(&self, role: &str, location: &Location, target: &str, numbers: &[u64]) -> Result<String, Failed> {
        let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
        let mut arguments = vec![role, target];
        let location = location.to_string();
        arguments.insert(1, &location);
        arguments.extend(numbers.iter().map(String::as_str));
        let output = Process::start(&mut ourselves("__load", &arguments))?.output();
        Ok(output.map_err(|error| format!("{role} {location} {target}: {error}"))?)
    }

    /// Runs the load in a role; returns the numbers it printed.
    fn load(&self, role: &str, location: &Location, target: &str, numbers: &[u64]) -> Result<Vec<f64>, Failed> {
        let text = self.text(role, location, target, numbers)?;
        Ok(text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
    }

    /// Opens silent streams through a new dockveil: the numbers answered with 200, 503 and otherwise, and its memory before
    /// and meanwhile, in KiB.
    fn held(&self, binary: &Path, count: u64) -> Result<(Vec<f64>, f64, f64), Failed> {
        let dockveil = self.alone(binary, HIDING)?;
        let idle = dockveil.process.as_ref().ok_or("no process")?.memory().0;
        let (streams, memory) = self.hold(&dockveil, count)?;
        Ok((streams, idle, memory))
    }

    /// Opens silent streams: the numbers answered with 200, 503 and otherwise, and the proxy's memory meanwhile, in KiB.
    fn hold(&self, peer: &Peer, count: u64) -> Result<(Vec<f64>, f64), Failed> {
        let arguments = ["hold", &peer.unix.to_string(), "/events", &count.to_string()];
        let mut clients = Process::start(&mut ourselves("__load", &arguments))?;
        let (input, mut output) = clients.pipes();
        let mut line = String::new();
        output.read_line(&mut line)?;
        let memory = peer.process.as_ref().ok_or("no process")?.memory().0;
        drop(input);
        clients.output_ended(output)?;
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.streams()?.0 > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok((line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?, memory))
    }

    /// The engine's silent streams: the number that are open, and the time at which the last one closed.
    fn streams(&self) -> Result<(usize, u128), Failed> {
        let mut stream = UnixStream::connect(&self.engine)?;
        stream.write_all(b"GET /bench/streams HTTP/1.1\r\n\r\n")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let mut numbers = answer.rsplit("\r\n").next().unwrap_or_default().split(' ');
        let (open, closed) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        Ok((open.parse()?, closed.parse()?))
    }

    /// No proxy.
    fn direct(&self) -> Peer {
        let unix = Location::Unix(self.engine.clone());
        Peer { name: "direct", unix, tcp: None, other: None, process: None, started: Duration::ZERO }
    }

    /// Starts dockveil.
    fn dockveil(&self, log: Log) -> Result<Peer, Failed> {
        self.build(&self.binary, "exchange", log)
    }

    /// Starts the second build, if there is one.
    fn beside(&self, log: Log) -> Result<Option<Peer>, Failed> {
        self.beside.as_ref().map(|binary| self.build(binary, "beside", log)).transpose()
    }

    /// The socket of one of dockveil's listeners: `exchange`, or one of [`BESIDE`].
    fn listener(&self, name: &str) -> Location {
        Location::Unix(self.folder.join(format!("{name}.sock")))
    }

    /// Starts a build of dockveil, with a port and with the listeners of [`BESIDE`]. Those of the second build have other names.
    fn build(&self, binary: &Path, name: &'static str, log: Log) -> Result<Peer, Failed> {
        let filters = self.folder.join("filters/profile");
        fs::create_dir_all(&filters)?;
        let (unix, tcp) = (self.listener(name), free_port()?);
        let mut text = format!(
            "upstream: unix://{}\nlisteners:\n  - {{listen: \"{unix}\", profile: {HIDING}}}\n  - {{listen: \"{tcp}\", profile: {HIDING}}}\n",
            self.engine.display()
        );
        let mine = if name == "exchange" { "" } else { "-of-another" };
        for (profile, file) in BESIDE {
            fs::write(filters.join(format!("bench-{profile}.yaml")), file)?;
            let location = self.listener(&format!("{profile}{mine}"));
            text.push_str(&format!("  - {{listen: \"{location}\", profile: bench-{profile}}}\n"));
        }
        let config = self.folder.join(format!("{name}.yaml"));
        fs::write(&config, text)?;
        let mut command = Command::new(binary);
        command.arg("serve").arg("--config").arg(&config);
        command.arg("--filters").arg(self.folder.join("filters"));
        let socket = self.folder.join(format!("{name}.sock"));
        let (process, started) = self.launch(log.of_dockveil(command), &socket, name)?;
        Ok(Peer { name, unix, tcp: Some(tcp), other: None, process: Some(process), started })
    }

    /// Starts dockveil with one listener.
    fn alone(&self, binary: &Path, profile: &str) -> Result<Peer, Failed> {
        let socket = self.folder.join("alone.sock");
        let command = Log::Each.of_dockveil(self.arguments(Command::new(binary), &socket, profile));
        let (process, started) = self.launch(command, &socket, "alone")?;
        Ok(Peer {
            name: "exchange",
            unix: Location::Unix(socket),
            tcp: None,
            other: None,
            process: Some(process),
            started,
        })
    }

    /// The arguments for one listener.
    fn arguments(&self, mut command: Command, socket: &Path, profile: &str) -> Command {
        command.arg("--upstream").arg(format!("unix://{}", self.engine.display()));
        command.arg("--listen").arg(format!("unix://{}", socket.display())).args(["--profile", profile]);
        command
    }

    /// Starts HAProxy, if there is one.
    fn haproxy(&self, log: Log, upstream: Upstream) -> Result<Option<Peer>, Failed> {
        let Some(binary) = &self.haproxy else { return Ok(None) };
        let (name, reuse) = match upstream {
            Upstream::Kept => ("haproxy", "http-reuse always"),
            Upstream::Closed => ("tecnativa", "option http-server-close"),
        };
        let socket = self.folder.join(format!("{name}.sock"));
        let (unix, tcp) = (Location::Unix(socket.clone()), free_port()?);
        let Location::Tcp(port) = tcp else { return Err("not a port".into()) };
        let config = self.folder.join(format!("{name}.cfg"));
        let log = match log {
            Log::Each => "log stdout format raw daemon info",
            Log::Off => "",
        };
        let text = format!(
            "global\n  maxconn 4000\n  {log}\ndefaults\n  log global\n  mode http\n  option httplog\n  {reuse}\n  timeout connect 10s\n  timeout client 10m\n  \
             timeout server 10m\n  timeout http-request 10s\n  timeout http-keep-alive 10s\n\
             frontend docker\n  bind unix@{socket}\n  bind {port}\n  http-request deny unless METH_GET\n  \
             http-request allow if {{ path,url_dec -m reg -i ^(/v[\\d\\.]+)?/_ping }}\n  \
             http-request allow if {{ path,url_dec -m reg -i ^(/v[\\d\\.]+)?/version }}\n  \
             http-request allow if {{ path,url_dec -m reg -i ^(/v[\\d\\.]+)?/events }}\n  \
             http-request allow if {{ path,url_dec -m reg -i ^(/v[\\d\\.]+)?/containers }}\n  \
             http-request deny\n  default_backend engine\n\
             backend engine\n  server engine unix@{engine}\n",
            socket = socket.display(),
            engine = self.engine.display(),
        );
        fs::write(&config, text)?;
        let mut command = Command::new(binary);
        command.arg("-db").arg("-f").arg(&config);
        let (process, started) = self.launch(command, &socket, name)?;
        Ok(Some(Peer { name, unix, tcp: Some(tcp), other: None, process: Some(process), started }))
    }

    /// Starts a proxy and waits for its first answer. Its log goes to a file, which is printed if there is no answer.
    fn launch(&self, mut command: Command, socket: &Path, name: &str) -> Result<(Process, Duration), Failed> {
        fs::remove_file(socket).unwrap_or_default();
        let log = self.folder.join(format!("{name}.log"));
        let file = fs::File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let mut process = Process::start(&mut command)?;
        match process.first_answer(socket) {
            Ok(started) => Ok((process, started)),
            Err(error) => Err(format!("{name}: {error}\n{}", fs::read_to_string(&log)?).into()),
        }
    }
}

/// How many requests an engine of the part about objects has had.
fn requests_of(engine: &Path) -> Result<i64, Failed> {
    let mut stream = UnixStream::connect(engine)?;
    stream.write_all(b"GET /bench/requests HTTP/1.1\r\n\r\n")?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.rsplit("\r\n").next().unwrap_or_default().parse()?)
}

/// The CPU time of this thread, in seconds.
fn thread_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// A TCP port that nothing listens on.
fn free_port() -> Result<Location, Failed> {
    Ok(Location::Tcp(TcpListener::bind("127.0.0.1:0")?.local_addr()?))
}

/// The first line that a program says about itself.
fn version(binary: &Path) -> String {
    let output = Command::new(binary).arg("-v").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}
