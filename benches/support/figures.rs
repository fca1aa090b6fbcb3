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

    /// The figures that have a goal, a line each: whether it is met.
    pub(crate) fn goals(&self) -> String {
        self.0.iter().filter_map(Figure::reached).collect::<Vec<_>>().join("\n")
    }
}

impl Figure {
    /// The median, the goal, and whether it is met; `None` without a goal.
    fn reached(&self) -> Option<String> {
        let median = self.median()?;
        let (sign, least, aim) = match self.goal {
            Goal::None => return None,
            Goal::AtMost(least, aim) => ("≤", least, aim),
            Goal::AtLeast(least, aim) => ("≥", least, aim),
        };
        let (is_met, is_aim) = self.goal.is_met(median);
        let verdict = match (is_met, is_aim) {
            (_, true) => "met, and the aim",
            (true, false) => "met",
            (false, false) => "MISSED",
        };
        let (name, unit) = (&self.name, if self.unit == "ratio" { "" } else { self.unit });
        let figure = format!("{} {unit}", short(median));
        Some(format!("{name}: {} (goal {sign} {}, aim {}) {verdict}", figure.trim(), short(least), short(aim)))
    }

    /// The median of the runs, which decides.
    fn median(&self) -> Option<f64> {
        let mut runs = self.runs.clone();
        runs.sort_by(f64::total_cmp);
        runs.get(runs.len() / 2).copied()
    }

    /// One line of the table.
    fn row(&self) -> String {
        let Some(median) = self.median() else {
            return format!("{:<46} {:<10} not measured", self.name, self.unit);
        };
        let (min, max) = self.runs.iter().fold((f64::MAX, f64::MIN), |(min, max), run| (run.min(min), run.max(max)));
        let (least, aim) = match self.goal {
            Goal::None => (String::new(), String::new()),
            Goal::AtMost(least, aim) | Goal::AtLeast(least, aim) => (short(least), short(aim)),
        };
        let verdict = match (self.goal, self.goal.is_met(median)) {
            (Goal::None, _) => "",
            (_, (_, true)) => "aim",
            (_, (true, false)) => "ok",
            (_, (false, false)) => "MISSED",
        };
        let (min, median, max) = (short(min), short(median), short(max));
        let row =
            format!("{:<46} {:<10} {min:>9} {median:>9} {max:>9} {least:>9} {aim:>9}  {verdict}", self.name, self.unit);
        row.trim_end().to_owned()
    }
}

impl Goal {
    /// Whether a figure is acceptable, and whether it reaches the aim.
    fn is_met(self, figure: f64) -> (bool, bool) {
        match self {
            Goal::None => (true, true),
            Goal::AtMost(least, aim) => (figure <= least, figure <= aim),
            Goal::AtLeast(least, aim) => (figure >= least, figure >= aim),
        }
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
