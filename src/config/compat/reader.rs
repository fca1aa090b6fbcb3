//! Reads the values of variables and records errors.

use std::collections::BTreeSet;

use super::table::{Means, Table, Variable};
use super::{CONTAINERS, ENV, ExtraShow, LABELS, SHOW, Switches};
use crate::api::objects::ObjectKind;
use crate::cli::Variables;
use crate::quoting;
use crate::schema::Class;
use crate::visibility::{ObjectSelector, Restriction};
use crate::yaml::{Diagnostic, Diagnostics, Location};

/// Reads the variables of one table.
pub(super) struct VariableReader<'r> {
    pub(super) table: &'static Table,
    pub(super) variables: &'r Variables,
    pub(super) diagnostics: &'r mut Diagnostics,
}

impl VariableReader<'_> {
    /// The switches that are on.
    pub(super) fn switches(&self) -> Switches {
        let on = |(name, variable): &(&str, &Variable)| {
            // If it is empty it is off, as for the other proxy.
            variable.is_on(self.variables.get(name).unwrap_or(&variable.default))
        };
        let table = self.table;
        let on: BTreeSet<&'static str> = table.switches().filter(on).map(|(name, _)| name).collect();
        Switches { table, on }
    }

    /// Reports switches that are on and cannot be.
    pub(super) fn check_refused(&mut self, switches: &Switches) {
        for (name, variable) in self.table.switches().filter(|(_, variable)| variable.means == Means::Refused) {
            if switches.is_on(name) {
                self.diagnostics.report(&Location::file(name), variable.verdict.words().1);
            }
        }
    }

    /// The value of the variable with this meaning. If it is empty, it counts as not set.
    pub(super) fn value<T>(&mut self, means: Means, read: impl Fn(&str) -> Result<T, &'static str>) -> Option<T> {
        let (name, variable) = self.table.meaning(means)?;
        let text = self.variables.get(name).filter(|text| !text.is_empty()).unwrap_or(&variable.default);
        self.diagnostics.ok(read(text).map_err(|expected| unexpected(name, text, expected)))
    }

    /// What is shown in addition to the base profile.
    pub(super) fn extra(&mut self) -> ExtraShow {
        let (labels, env, containers) = (self.names(LABELS), self.names(ENV), self.containers());
        let mut extra = ExtraShow { labels, env, containers, ..ExtraShow::default() };
        for item in self.list(SHOW) {
            match item.parse::<Class>() {
                Ok(class) => extra.classes = extra.classes.with(class),
                Err(_) if item == "all" => extra.all = true,
                Err(_) => {
                    let names: Vec<&str> = Class::ALL.iter().map(|class| class.as_str()).collect();
                    let expected = format!("`all` or classes: {}", names.join(", "));
                    let error = self.unexpected(SHOW, &item, &expected);
                    self.diagnostics.push(error);
                }
            }
        }
        extra
    }

    /// The names in a list, in which `*` stands for any text. A name behind `!` is an exclusion.
    fn names(&mut self, variable: &str) -> Vec<String> {
        let names = self.list(variable);
        let is_special = |c: char| "?[]{}=!".contains(c) || c.is_whitespace();
        let is_wrong = |item: &&String| {
            let name = item.strip_prefix('!').unwrap_or(item);
            name.is_empty() || name.contains(is_special)
        };
        for name in names.iter().filter(is_wrong) {
            let expected = "a name in which only `*`, and `!` before it, are special";
            let error = self.unexpected(variable, name, expected);
            self.diagnostics.push(error);
        }
        names
    }

    /// The containers that are shown: what one of the selectors in the list selects. None of those behind `!` is.
    fn containers(&mut self) -> Option<Restriction> {
        let (mut only, mut never) = (Vec::new(), Vec::new());
        let items = self.list(CONTAINERS);
        for item in &items {
            let (text, list) = match item.strip_prefix('!') {
                Some(text) => (text, &mut never),
                None => (item.as_str(), &mut only),
            };
            let selector = ObjectSelector::parse(ObjectKind::Container, text);
            let error = |message| match quoting::holds_secret(self.variables.get(CONTAINERS).unwrap_or_default()) {
                true => unexpected(CONTAINERS, quoting::HIDDEN, "KEY=PATTERN"),
                false => Diagnostic::new(&Location::file(CONTAINERS), message),
            };
            list.extend(self.diagnostics.ok(selector.map_err(error)));
        }
        (!items.is_empty()).then(|| Restriction::selected(only, never))
    }

    /// The error of a part of a list. A comma may be within a password.
    fn unexpected(&self, variable: &str, part: &str, expected: &str) -> Diagnostic {
        let is_secret = quoting::holds_secret(self.variables.get(variable).unwrap_or_default());
        unexpected(variable, if is_secret { quoting::HIDDEN } else { part }, expected)
    }

    /// The items of a list that is separated by commas.
    fn list(&self, variable: &str) -> Vec<String> {
        let text = self.variables.get(variable).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(ToOwned::to_owned).collect()
    }
}

/// The error of a variable with a bad value.
fn unexpected(variable: &str, text: &str, expected: &str) -> Diagnostic {
    Diagnostic::new(&Location::file(variable), format!("found {:?}, expected {expected}", quoting::value(text)))
}
