//! Instructions in user space, counted by valgrind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::thread::{CpuSet, sched_getaffinity};

/// What the image sets, and that `memcpy` copies by vectors: valgrind counts each byte of one `rep movsb` as an instruction.
const TUNABLES: &str = "glibc.malloc.mmap_threshold=131072:glibc.cpu.hwcaps=-ERMS,-FSRM";

/// The program that is missing, if one is.
pub(crate) fn missing() -> Option<&'static str> {
    let runs = |program: &&str| {
        let status = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        !status.is_ok_and(|status| status.success())
    };
    ["valgrind", "taskset"].into_iter().find(runs)
}

/// `program` under valgrind, which writes to `counts`. It has one processor, and so one worker; `turn` is for runs that go on at the
/// same time to have different ones. It has no variables but `PATH`.
pub(crate) fn counting(program: &Path, counts: &Path, turn: usize) -> Command {
    let allowed = sched_getaffinity(None).unwrap();
    let processors: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|number| allowed.is_set(*number)).collect();
    let processor = processors.get(turn % processors.len()).unwrap();
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &processor.to_string(), "valgrind", "--quiet", "--tool=callgrind"]);
    // With the address of each instruction.
    command.args(["--dump-instr=yes", "--compress-pos=no"]);
    command.arg(format!("--callgrind-out-file={}", counts.display())).arg(program);
    let path = std::env::vars_os().find(|(name, _)| name == "PATH");
    command.env_clear().envs(path).env("GLIBC_TUNABLES", TUNABLES);
    command
}

/// How many instructions valgrind has counted.
pub(crate) fn counted(counts: &Path) -> u64 {
    let text = fs::read_to_string(counts).unwrap();
    let sum = text.lines().find_map(|line| line.strip_prefix("summary: ").or(line.strip_prefix("totals: ")));
    sum.unwrap().trim().parse().unwrap()
}
