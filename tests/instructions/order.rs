//! Which pieces of the program are read by a start and by the usual exchanges.
//!
//! The system reads a program in pieces of 64 KB, and a piece is in memory as soon as one of its functions runs. In the order in which
//! functions are compiled, those that run are in nearly all pieces. `.ci/first.ld` tells the linker which of them come first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The size of a piece, in bytes: `fault_around_bytes` of Linux.
const PIECE: u64 = 64 << 10;

/// Of these functions, each processor runs its own variants, and valgrind those of another one.
const VARIANTS: [&str; 2] = ["*libc.a:*(.text.avx .text.avx512 .text.evex .text.evex512)", "*(.text._ZN4sha2*)"];

/// How the linker script begins.
const HEAD: &str = "\
/* The functions that a start runs, and behind them those that the usual exchanges run, before all others. What does not run is then not
   read, and takes no memory. A line that names nothing does no harm. Written by a test: tests/instructions/order.rs. */
SECTIONS { .text : {
";

/// How many bytes the pieces with these addresses have.
pub(crate) fn read(addresses: &BTreeSet<u64>) -> u64 {
    addresses.iter().map(|address| address / PIECE).collect::<BTreeSet<_>>().len() as u64 * PIECE
}

/// The linker script that puts the functions at `started` first, and those at `used` behind them. The linker has written a map beside
/// the program.
pub(crate) fn script(binary: &Path, started: &BTreeSet<u64>, used: &BTreeSet<u64>) -> String {
    let sections = sections(&fs::read_to_string(binary.with_extension("map")).unwrap());
    let patterns = |addresses: &BTreeSet<u64>| -> BTreeSet<&String> {
        addresses.iter().filter_map(|address| sections.range(..=*address).next_back()?.1.as_ref()).collect()
    };
    let started = patterns(started);
    let mut script = HEAD.to_owned();
    for pattern in VARIANTS {
        writeln!(script, "{pattern}").unwrap();
    }
    for pattern in started.iter().chain(patterns(used).difference(&started)) {
        writeln!(script, "{pattern}").unwrap();
    }
    script.push_str("*(.text .text.*)\n} } INSERT BEFORE .init;\n");
    script
}

/// Where each function starts, or each file of the C library, and how a linker script names it if it can.
fn sections(map: &str) -> BTreeMap<u64, Option<String>> {
    let mut sections = BTreeMap::new();
    for line in map.lines() {
        let mut words = line.split_whitespace();
        // Two addresses, a size, and an alignment.
        let numbers = [(); 4].map(|()| words.next().and_then(|word| u64::from_str_radix(word, 16).ok()));
        let section = words.next().and_then(|what| what.strip_suffix(')')?.rsplit_once(":("));
        if let ([Some(start), Some(_), Some(1..), Some(_)], Some((file, section))) = (numbers, section) {
            sections.insert(start, pattern(file, section));
        }
    }
    sections
}

/// How a linker script names a section of a file, if that has code. A function is known by its name, whatever the compiler adds to it.
fn pattern(file: &str, section: &str) -> Option<String> {
    if !section.starts_with(".text") {
        return None;
    }
    if let Some((name, _)) = section.contains("._ZN").then(|| section.rsplit_once("17h")).flatten() {
        return Some(format!("*({name}17h*)"));
    }
    if let Some((prefix, name)) = section.split_once("._R") {
        // `Cs…_` is a number of the crate, and there may be another one behind a dot.
        let mut parts = name.split('.').next().unwrap_or_default().split("Cs");
        let first = format!("{prefix}._R{}", parts.next().unwrap_or_default());
        let name = parts.fold(first, |name, part| name + "Cs*_" + part.split_once('_').unwrap_or_default().1);
        return Some(format!("*({name} {name}.*)"));
    }
    // A file of C or assembly, without versions and hashes. Objects of Rust have a section for each function.
    let file = file.rsplit('/').next().unwrap_or_default();
    let Some((archive, member)) = file.strip_suffix(')').and_then(|file| file.split_once('(')) else {
        let file = if file.ends_with(".rcgu.o") { "" } else { file };
        return Some(format!("*{file}({section})"));
    };
    let without_hash = || member.split_once('-').map(|(_, name)| format!("*-{name}"));
    Some(match archive.split_once('-') {
        Some((name, _)) if archive.ends_with(".rlib") => format!("*{name}-*:{}({section})", without_hash()?),
        Some((name, _)) => format!("*{name}-*:{member}({section})"),
        None => format!("*{archive}:{member}({section})"),
    })
}

/// The addresses of the instructions that callgrind has counted. Each line of its file begins with one.
pub(crate) fn addresses(counts: &Path) -> BTreeSet<u64> {
    let counts = fs::read_to_string(counts).unwrap();
    let words = counts.lines().filter_map(|line| line.split(' ').next()?.strip_prefix("0x"));
    words.filter_map(|word| u64::from_str_radix(word, 16).ok()).collect()
}
