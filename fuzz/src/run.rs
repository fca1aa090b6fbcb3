//! The loop of a run on stable Rust.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dockveil::properties::{ALL, Outcome, Property, property};

use crate::corpus;
use crate::mutate::{Random, mutation};

/// How many inputs that a property accepted are kept beside the seeds, to be mutated further.
const KEPT: usize = 512;
/// How long one input may take.
const SLOW: Duration = Duration::from_secs(20);
/// How long a failing input is made shorter.
const SHRINKING: Duration = Duration::from_secs(5);

const USAGE: &str = "usage: [--seconds N] [--seed N] [--input FILE] [TARGET...]

  --seconds N   run for N seconds in all, divided among the targets (10)
  --seed N      where the mutations start; the same seed makes the same inputs (1)
  --input FILE  check this one input and nothing else";

/// What the arguments say.
struct Arguments {
    seconds: u64,
    seed: u64,
    input: Option<String>,
    targets: Vec<&'static Property>,
}

/// What is being checked, for the thread that watches over it.
static CURRENT: Mutex<Option<(Instant, &'static str, Vec<u8>)>> = Mutex::new(None);

/// Runs the target called `only`, or those that the arguments name, or all.
pub fn main(only: Option<&'static str>) -> ExitCode {
    let arguments = match arguments(only) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(64);
        }
    };
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn arguments(only: Option<&'static str>) -> Result<Arguments, String> {
    let mut found = Arguments { seconds: 10, seed: 1, input: None, targets: Vec::new() };
    let named = |name: &str| property(name).ok_or_else(|| format!("there is no target {name:?}"));
    if let Some(name) = only {
        found.targets.push(named(name)?);
    }
    let mut rest = std::env::args().skip(1);
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{argument} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{text:?} is not a number"));
        match argument.as_str() {
            "--seconds" => found.seconds = number(value()?)?,
            "--seed" => found.seed = number(value()?)?,
            "--input" => found.input = Some(value()?),
            name if name.starts_with('-') => return Err(format!("unknown argument {name}")),
            name if only.is_none() => found.targets.push(named(name)?),
            name => return Err(format!("unexpected argument {name}")),
        }
    }
    if found.targets.is_empty() {
        found.targets.extend(ALL);
    }
    Ok(found)
}

/// Runs the targets; whether every promise was kept.
fn run(arguments: &Arguments) -> io::Result<bool> {
    if let Some(file) = &arguments.input {
        let input = std::fs::read(file)?;
        for target in &arguments.targets {
            println!("{}: {:?}", target.name, (target.check)(&input));
        }
        return Ok(true);
    }
    std::thread::spawn(watch);
    let count = u32::try_from(arguments.targets.len()).unwrap_or(u32::MAX);
    let time = Duration::from_secs(arguments.seconds) / count;
    let mut kept = true;
    for target in &arguments.targets {
        kept &= fuzz(target, time, arguments.seed)?;
    }
    Ok(kept)
}

/// How many inputs came to what.
#[derive(Default)]
struct Count {
    accepted: u64,
    refused: u64,
    unusable: u64,
}

impl Count {
    fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Accepted => self.accepted += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Unusable => self.unusable += 1,
        }
    }

    fn all(&self) -> u64 {
        self.accepted + self.refused + self.unusable
    }
}

/// Checks the seeds of a target and then mutations of them, for `time`. Whether its promise was kept.
fn fuzz(target: &'static Property, time: Duration, seed: u64) -> io::Result<bool> {
    let started = Instant::now();
    let seeds = corpus::seeds(target.name)?;
    if seeds.is_empty() {
        return Err(io::Error::other(format!("{} has no corpus", target.name)));
    }
    let words = corpus::words(target.name)?;
    let mut random = Random::new(seed);
    let mut count = Count::default();
    let mut pool = Vec::new();
    for input in &seeds {
        let Some(outcome) = outcome(target, input) else { return failed(target, input, seed, 0) };
        count.add(outcome);
        pool.push(input.clone());
    }
    while started.elapsed() < time {
        let input = mutation(&mut random, &pool, &words);
        let Some(outcome) = outcome(target, &input) else { return failed(target, &input, seed, count.all()) };
        count.add(outcome);
        if outcome == Outcome::Accepted {
            if pool.len() < seeds.len() + KEPT {
                pool.push(input);
            } else if let Some(known) = pool.get_mut(seeds.len() + random.below(KEPT)) {
                *known = input;
            }
        }
    }
    println!(
        "{:>9}: {:>8} inputs in {:.1} s, {} accepted, {} refused, {} unusable; seed {seed}",
        target.name,
        count.all(),
        started.elapsed().as_secs_f64(),
        count.accepted,
        count.refused,
        count.unusable
    );
    io::stdout().flush()?;
    Ok(true)
}

/// What a property makes of an input; `None` if it panics.
fn outcome(target: &'static Property, input: &[u8]) -> Option<Outcome> {
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    *current = Some((Instant::now(), target.name, input.to_vec()));
    drop(current);
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.check)(input))).ok();
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = None;
    outcome
}

/// Shortens an input that breaks a promise, writes it to a file and says how to go on.
fn failed(target: &'static Property, input: &[u8], seed: u64, number: u64) -> io::Result<bool> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let shortest = shortened(target, input);
    std::panic::set_hook(hook);
    let file = corpus::keep(target.name, &format!("seed-{seed}-input-{number}"), &shortest)?;
    eprintln!(
        "{}: input {number} of seed {seed} breaks the promise. Shortened to {} bytes: {:?}\n\
         It is in {}. To see it again:\n  cargo test --test fuzz -- --input {} {}\n\
         When it is fixed, move it to fuzz/regressions/{}, under a name that says what it contains.",
        target.name,
        shortest.len(),
        String::from_utf8_lossy(&shortest),
        file.display(),
        file.display(),
        target.name,
        target.name,
    );
    Ok(false)
}

/// An input that still panics, with as many parts left out as the time allows.
fn shortened(target: &'static Property, input: &[u8]) -> Vec<u8> {
    let started = Instant::now();
    let mut shortest = input.to_vec();
    let mut size = shortest.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < shortest.len() {
            if started.elapsed() > SHRINKING {
                return shortest;
            }
            let mut shorter = shortest.clone();
            shorter.drain(at..(at + size).min(shorter.len()));
            if outcome(target, &shorter).is_none() {
                shortest = shorter;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    shortest
}

/// Ends the process when one input takes too long, and writes that input to a file.
fn watch() {
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((started, target, input)) = &*current
            && started.elapsed() > SLOW
        {
            match corpus::keep(target, "slow", input) {
                Ok(file) => eprintln!("{target}: an input takes more than {SLOW:?}: it is in {}", file.display()),
                Err(error) => eprintln!("{target}: an input takes more than {SLOW:?}: {error}"),
            }
            std::process::exit(1);
        }
    }
}
