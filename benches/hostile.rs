//! What hostile images, engines and clients cost, and what the other clients notice of it.
//!
//! ```text
//! cargo bench --bench hostile [-- [PART…] [--runs N] [--binary FILE] [--seconds N]]
//! ```
//!
//! A PART is (a piece of) `cost`, `expression`, `event`, `ping` or `soak`. None means all but `soak`, which takes `--seconds`
//! (600). Sockets are in a temporary folder. The run ends by itself, and ends only what it started.
//!
//! - `cost/…`: CPU time of each case of `properties::cost`, and how much more twice the input costs: about 2.
//! - `expression/…`: a list of 100 with a rule that has a pattern, beside the same list without the rule.
//! - `event/…`: one event of a container with 600,000 labels.
//! - `ping/…`: the 99th percentile of the pings of another client while the answer goes through the program. The program
//!   may use one processor only (`taskset`), so that it has one worker and one helper, and both want that processor.
//! - `soak/…`: how fast resident memory and descriptors grow under a mix of requests.

#![expect(clippy::unwrap_used, reason = "a bench stops at the first surprise")]
#![expect(clippy::indexing_slicing, reason = "a bench stops at the first surprise")]
#![expect(clippy::print_stdout, reason = "a bench is there to print")]

#[expect(dead_code, reason = "events are for the bench of exchanges")]
#[path = "support/documents.rs"]
mod documents;
#[expect(dead_code, reason = "no figure of this bench has a lower limit")]
#[path = "support/figures.rs"]
mod figures;
#[path = "support/hostile.rs"]
mod hostile;
#[expect(dead_code, reason = "pipes and peaks are for the bench of exchanges")]
#[path = "support/process.rs"]
mod process;

use std::error::Error;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dockveil::filter::{Plan, RecordFilter, Report};
use dockveil::policy::{Decision, Policy};
use dockveil::profile::Profiles;
use dockveil::properties::cost::{CASES, CostCase};
use figures::{Figures, Goal};
use process::{Folder, Process};
use rustix::time::{ClockId, clock_gettime};

/// How long a run may take beside a soak.
const LIMIT: Duration = Duration::from_secs(300);
/// How many times larger the inputs are than those of the tests. A text of over 256 KiB would be masked as a whole, which is
/// other work.
const LARGER: usize = 4;
/// How long a hostile answer is asked for again and again.
const MEANWHILE: Duration = Duration::from_secs(2);
/// The pause between two pings.
const PAUSE: Duration = Duration::from_millis(1);
/// The pause of each client of a soak between two exchanges: the machine is to do other work as well.
const SOAK_PAUSE: Duration = Duration::from_millis(20);
/// How often a soak looks at the process, and how long it runs before it does.
const SAMPLE: Duration = Duration::from_secs(5);
const WARM: Duration = Duration::from_secs(60);

/// A profile that shows labels, masks them, and filters events.
const PLAIN: &str = "\
profile: plain
about: Shows labels, masked.
allow: [Ping, SystemVersion, ContainerList, ContainerInspect, SystemEvents]
events: filtered
show: [identity, state, topology, free-text]
";
/// The same with patterns in expressions.
const RULED: &str = "\
profile: ruled
about: Shows labels that no pattern hides.
allow: [Ping, SystemVersion, ContainerList, ContainerInspect, SystemEvents]
events: filtered
show: [identity, state, topology, free-text]
rules:
  - {on: ContainerSummary, remove: \"$.Labels[?search(@, 'no.such.*label|x{20}y')]\"}
  - {on: ContainerSummary, remove: \"$.Mounts[?match(@.Source, '/srv/.*')]\"}
  - {on: ContainerInspect, remove: \"$.Config.Labels[?search(@, 'no.such.*label|x{20}y')]\"}
  - {on: Event, remove: \"$.Actor.Attributes[?search(@, 'no.such.*label|x{20}y')]\"}
";

/// Any error.
type Failed = Box<dyn Error>;
/// One part of the bench.
type Part = fn(&mut Bench) -> Result<(), Failed>;

struct Bench {
    folder: PathBuf,
    binary: PathBuf,
    runs: usize,
    seconds: u64,
    figures: Figures,
}

fn main() -> Result<(), Failed> {
    let (mut parts, mut words) = (Vec::new(), std::env::args().skip(1));
    let (mut binary, mut runs, mut seconds) = (PathBuf::from(env!("CARGO_BIN_EXE_dockveil")), 3, 600);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--binary" => binary = words.next().ok_or("--binary FILE")?.into(),
            "--runs" => runs = words.next().ok_or("--runs N")?.parse()?,
            "--seconds" => seconds = words.next().ok_or("--seconds N")?.parse()?,
            // What Cargo itself adds.
            "--bench" => {}
            _ => parts.push(word),
        }
    }
    let folder = Folder::new()?;
    process::watchdog(LIMIT + Duration::from_secs(seconds), folder.0.clone());
    println!("{}\n{}", figures::machine(), binary.display());
    let mut bench = Bench { folder: folder.0.clone(), binary, runs, seconds, figures: Figures::default() };
    let all: [(&str, Part); 5] = [
        ("cost", Bench::cost),
        ("expression", Bench::expression),
        ("event", Bench::event),
        ("ping", Bench::ping),
        ("soak", Bench::soak),
    ];
    for (name, part) in all {
        let is_asked = parts.iter().any(|wanted| name.contains(wanted.as_str()));
        if is_asked || (parts.is_empty() && name != "soak") {
            part(&mut bench).map_err(|error| format!("{name}: {error}"))?;
        }
    }
    println!("\n{}\n{}\n{}", bench.figures.table(), bench.figures.goals(), figures::machine());
    Ok(())
}

/// The CPU time that this thread has used, in milliseconds.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// The CPU time of `work` in milliseconds, the least of three.
fn measured(mut work: impl FnMut()) -> f64 {
    let mut once = || {
        let start = cpu();
        work();
        cpu() - start
    };
    (0..3).map(|_| once()).fold(f64::MAX, f64::min)
}

/// The policy of one of the profiles.
fn policy(file: &str, name: &str) -> Policy {
    let catalogue = dockveil::api::catalogue::built_in().unwrap();
    let profiles = Profiles::parse(&[("bench.yaml", file)], &catalogue).unwrap();
    Policy::compile(profiles.get(name).unwrap(), &catalogue).unwrap()
}

/// The plan of lists, and the filter of events.
fn filters(file: &str, name: &str) -> (std::sync::Arc<Plan>, RecordFilter) {
    let policy = policy(file, name);
    match (policy.decide_operation("ContainerList"), policy.decide_operation("SystemEvents")) {
        (Decision::Filter(list), Decision::Records(events)) => (list, events),
        _ => unreachable!("the profile filters both"),
    }
}

/// The parts without the program.
impl Bench {
    fn cost(&mut self) -> Result<(), Failed> {
        for CostCase { name, size, prepare } in CASES {
            // A target has a limit of 8 KiB, and a profile one of states.
            let is_bounded = name.starts_with("target/") || name.starts_with("profile/");
            let size = if is_bounded { *size } else { size * LARGER };
            let (mut one, mut two) = (prepare(size), prepare(size * 2));
            let once: Vec<f64> = (0..self.runs).map(|_| measured(&mut one)).collect();
            let twice: Vec<f64> = (0..self.runs).map(|_| measured(&mut two)).collect();
            self.figures.add(format!("cost/{name}"), "ms", once.clone(), Goal::None);
            self.figures.add_ratio(format!("cost/{name} ×2"), &twice, &once, Goal::AtMost(3.0, 2.4));
        }
        Ok(())
    }

    fn expression(&mut self) -> Result<(), Failed> {
        let (list, mut out) = (documents::list(100), Vec::new());
        let mut apply = |plan: &Plan| {
            measured(|| {
                out.clear();
                plan.apply_array(&list, &mut out).unwrap();
            })
        };
        let (plain, ruled) = (filters(PLAIN, "plain").0, filters(RULED, "ruled").0);
        let without: Vec<f64> = (0..self.runs).map(|_| apply(&plain)).collect();
        let with: Vec<f64> = (0..self.runs).map(|_| apply(&ruled)).collect();
        self.figures.add("expression/list of 100 without the rules", "ms", without.clone(), Goal::None);
        self.figures.add("expression/list of 100 with two patterns", "ms", with.clone(), Goal::None);
        self.figures.add_ratio("expression/with ÷ without", &with, &without, Goal::AtMost(2.0, 1.5));
        Ok(())
    }

    fn event(&mut self) -> Result<(), Failed> {
        let event = hostile::event(600_000);
        for (name, file) in [("plain", PLAIN), ("ruled", RULED)] {
            let filter = filters(file, name).1;
            let apply = || measured(|| _ = filter.apply(&event, &mut Vec::new(), &mut Report::default()).unwrap());
            let runs = (0..self.runs).map(|_| apply()).collect();
            self.figures.add(format!("event/600,000 labels, {name}"), "ms", runs, Goal::AtMost(1_000.0, 500.0));
        }
        Ok(())
    }
}

/// The parts with the program.
impl Bench {
    /// Starts the program, on one processor or on all. Returns it with its sockets: one for each profile.
    fn dockveil(&self, is_pinned: bool) -> Result<(Process, [PathBuf; 2]), Failed> {
        let path = |name: &str| self.folder.join(name);
        fs::create_dir_all(path("filters/profile"))?;
        fs::write(path("filters/profile/plain.yaml"), PLAIN)?;
        fs::write(path("filters/profile/ruled.yaml"), RULED)?;
        let (engine, plain, ruled) = (path("engine.sock"), path("plain.sock"), path("ruled.sock"));
        if !engine.exists() {
            hostile::engine(&engine)?;
        }
        let config = format!(
            "upstream: unix://{}\nlisteners:\n  - {{listen: \"unix://{}\", profile: plain}}\n  - {{listen: \"unix://{}\", profile: \
             ruled}}\n",
            engine.display(),
            plain.display(),
            ruled.display(),
        );
        fs::write(path("config.yaml"), config)?;
        let mut command = if is_pinned { Command::new("taskset") } else { Command::new(&self.binary) };
        if is_pinned {
            command.args(["--cpu-list", "0"]).arg(&self.binary);
        }
        command.arg("serve").arg("--config").arg(path("config.yaml")).arg("--filters").arg(path("filters"));
        let log = fs::File::create(path("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).env("DOCKVEIL_LOG", "off");
        // As in the image and in the unit of systemd.
        command.env("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=131072");
        let mut process = Process::start(&mut command)?;
        match process.first_answer(&plain) {
            Ok(_) => Ok((process, [plain, ruled])),
            Err(error) => Err(format!("{error}\n{}", fs::read_to_string(path("log"))?).into()),
        }
    }

    fn ping(&mut self) -> Result<(), Failed> {
        let (process, [plain, ruled]) = self.dockveil(true)?;
        let idle = (0..self.runs).map(|_| percentile(&plain, || thread::sleep(Duration::from_millis(500))));
        self.figures.add("ping/nothing else", "ms p99", idle.collect(), Goal::None);
        for (name, target) in hostile::TARGETS {
            for (socket, profile) in [(&plain, "plain"), (&ruled, "ruled")] {
                let (mut delays, mut costs) = (Vec::new(), Vec::new());
                for _ in 0..self.runs {
                    let (before, mut count) = (process.cpu(), 0_u32);
                    delays.push(percentile(&plain, || {
                        let start = Instant::now();
                        while count == 0 || start.elapsed() < MEANWHILE {
                            answer(socket, target).unwrap();
                            count += 1;
                        }
                    }));
                    costs.push((process.cpu() - before) * 1e3 / f64::from(count));
                }
                self.figures.add(format!("ping/{name}, {profile}"), "ms p99", delays, Goal::AtMost(50.0, 20.0));
                self.figures.add(format!("ping/{name}, {profile}: CPU"), "ms", costs, Goal::None);
            }
        }
        Ok(())
    }

    fn soak(&mut self) -> Result<(), Failed> {
        let (process, [plain, ruled]) = self.dockveil(false)?;
        let (stop, exchanges, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        let mut samples = Vec::new();
        thread::scope(|scope| {
            for (client, socket) in [&plain, &ruled, &plain, &ruled].into_iter().enumerate() {
                let (stop, exchanges, refused) = (&stop, &exchanges, &refused);
                scope.spawn(move || {
                    for round in client.. {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let is_refused = hostile::soak(socket, round).unwrap();
                        refused.fetch_add(u64::from(is_refused), Ordering::Relaxed);
                        thread::sleep(SOAK_PAUSE);
                        exchanges.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(self.seconds) {
                thread::sleep(SAMPLE);
                if start.elapsed() > WARM.min(Duration::from_secs(self.seconds / 4)) {
                    let open = descriptors(&process) as f64;
                    samples.push((start.elapsed().as_secs_f64() / 60.0, process.memory().0, open));
                    eprintln!("{:.1?}: {:.0} KiB, {open} descriptors", start.elapsed(), process.memory().0);
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        // What the clients had open has gone.
        thread::sleep(Duration::from_secs(2));
        let (memory, open) = (process.memory().0, descriptors(&process));
        let slope_of = |of: fn(&(f64, f64, f64)) -> f64| slope(&samples, of);
        let exchanges = exchanges.load(Ordering::Relaxed) as f64;
        self.figures.add("soak/exchanges", "count", vec![exchanges], Goal::None);
        let refused = refused.load(Ordering::Relaxed) as f64;
        self.figures.add(
            "soak/refused for want of memory, of 1,000",
            "count",
            vec![refused * 1e3 / exchanges],
            Goal::AtMost(1.0, 0.1),
        );
        self.figures.add(
            "soak/resident memory grows",
            "KiB/min",
            vec![slope_of(|sample| sample.1)],
            Goal::AtMost(256.0, 64.0),
        );
        self.figures.add("soak/descriptors grow", "1/min", vec![slope_of(|sample| sample.2)], Goal::AtMost(0.5, 0.1));
        self.figures.add("soak/resident memory at the end", "KiB", vec![memory], Goal::None);
        self.figures.add("soak/descriptors at the end", "count", vec![open as f64], Goal::None);
        Ok(())
    }
}

/// How many descriptors a process has open.
fn descriptors(process: &Process) -> usize {
    fs::read_dir(process.folder().join("fd")).unwrap().count()
}

/// The slope of the line of least squares, by minute.
fn slope(samples: &[(f64, f64, f64)], of: fn(&(f64, f64, f64)) -> f64) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: &dyn Fn(&(f64, f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (time, value) = (mean(&|sample| sample.0), mean(&of));
    let above: f64 = samples.iter().map(|sample| (sample.0 - time) * (of(sample) - value)).sum();
    above / samples.iter().map(|sample| (sample.0 - time).powi(2)).sum::<f64>()
}

/// The 99th percentile of the pings of one client while `meanwhile` runs, in milliseconds.
fn percentile(socket: &Path, meanwhile: impl FnOnce()) -> f64 {
    let is_over = AtomicBool::new(false);
    let mut delays = thread::scope(|scope| {
        let pings = scope.spawn(|| {
            let mut client = UnixStream::connect(socket).unwrap();
            let (mut delays, mut buffer) = (Vec::new(), [0; 1024]);
            while !is_over.load(Ordering::Relaxed) {
                let start = Instant::now();
                client.write_all(b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n").unwrap();
                let mut answer = Vec::new();
                while !answer.ends_with(b"OK") {
                    let read = client.read(&mut buffer).unwrap();
                    assert!(read > 0, "the connection stays open");
                    answer.extend_from_slice(&buffer[..read]);
                }
                delays.push(start.elapsed().as_secs_f64() * 1e3);
                thread::sleep(PAUSE);
            }
            delays
        });
        meanwhile();
        is_over.store(true, Ordering::Relaxed);
        pings.join().unwrap()
    });
    delays.sort_by(f64::total_cmp);
    delays[(delays.len() - 1) * 99 / 100]
}

/// Requests a target and reads the whole answer, which must be a success. Returns its length.
fn answer(socket: &Path, target: &str) -> io::Result<u64> {
    let mut client = UnixStream::connect(socket)?;
    client.write_all(format!("GET {target} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut status = [0; 12];
    client.read_exact(&mut status)?;
    if !status.ends_with(b"200") {
        return Err(io::Error::other(format!("{target}: {}", String::from_utf8_lossy(&status))));
    }
    io::copy(&mut client, &mut io::sink())
}
