//! The measurements and their table.

use std::fmt::Write as _;
use std::fs;

/// The goal of a figure: the least acceptable value, and the aim.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// There is none.
    None,
    /// No more than.
    AtMost(f64, f64),
    /// No less than.
    AtLeast(f64, f64),
}

/// One measurement, with the result of every run.
struct Figure {
    name: String,
    unit: &'static str,
    runs: Vec<f64>,
    goal: Goal,
}

/// All measurements, in order.
#[derive(Default)]
pub(crate) struct Figures(Vec<Figure>);

impl Figures {
    /// Adds a measurement and prints it at once, because the whole takes minutes.
    pub(crate) fn add(&mut self, name: impl Into<String>, unit: &'static str, runs: Vec<f64>, goal: Goal) {
        let figure = Figure { name: name.into(), unit, runs, goal };
        eprintln!("{}", figure.row());
        self.0.push(figure);
    }

    /// Adds the ratio of `ours` to `beside`, run by run.
    pub(crate) fn add_ratio(&mut self, name: impl Into<String>, ours: &[f64], beside: &[f64], goal: Goal) {
        let ratios = ours.iter().zip(beside).map(|(ours, beside)| ours / beside).collect();
        self.add(name, "ratio", ratios, goal);
    }

    /// The table.
    pub(crate) fn table(&self) -> String {
        let mut out = format!(
            "{:<46} {:<10} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
            "measure", "unit", "min", "median", "max", "at least", "aim"
        );
        for figure in &self.0 {
            writeln!(out, "{}", figure.row()).unwrap();
        }
        out
    }
}

impl Figure {
    /// One line of the table. The median decides the verdict.
    fn row(&self) -> String {
        let mut runs = self.runs.clone();
        runs.sort_by(f64::total_cmp);
        let (Some(min), Some(max)) = (runs.first(), runs.last()) else {
            return format!("{:<46} {:<10} not measured", self.name, self.unit);
        };
        let median = runs[runs.len() / 2];
        let (least, aim, verdict) = match self.goal {
            Goal::None => (String::new(), String::new(), ""),
            Goal::AtMost(least, aim) => (short(least), short(aim), verdict(median <= least, median <= aim)),
            Goal::AtLeast(least, aim) => (short(least), short(aim), verdict(median >= least, median >= aim)),
        };
        let (min, median, max) = (short(*min), short(median), short(*max));
        let row =
            format!("{:<46} {:<10} {min:>9} {median:>9} {max:>9} {least:>9} {aim:>9}  {verdict}", self.name, self.unit);
        row.trim_end().to_owned()
    }
}

/// The verdict on a figure.
fn verdict(least: bool, aim: bool) -> &'static str {
    match (least, aim) {
        (_, true) => "aim",
        (true, false) => "ok",
        (false, false) => "MISSED",
    }
}

/// A number with a sensible number of digits.
fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

/// The machine, in one line.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg");
    format!(
        "{} × {}, Linux {}, load average {}",
        cores,
        model.trim_start_matches(['\t', ' ', ':']),
        read("/proc/sys/kernel/osrelease").trim(),
        load.split(' ').next().unwrap_or_default()
    )
}
