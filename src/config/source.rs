//! Where the configuration comes from: a file, the variables of another socket proxy, or neither.

use std::path::PathBuf;

use super::compat::{self, Choice, Compat};
use super::filters::FilterSources;
use super::note::Note;
use super::raw::{RawConfig, RawListener, folder_of};
use super::settings::Settings;
use super::upstream::RawUpstream;
use crate::cli::{self, ConfigFiles, Environment};
use crate::quoting;
use crate::socket::{Address, SocketFolder};
use crate::yaml::{Diagnostics, Location, nearest};

/// What standard input is called as a configuration file, in the locations of errors.
pub(crate) const STANDARD_INPUT_NAME: &str = "<stdin>";

/// The configuration as written, and where that was.
#[derive(Debug, Default)]
pub(super) struct ConfigSource {
    /// The configuration file, if there is one and it is not standard input.
    pub(super) file: Option<PathBuf>,
    /// Its contents, or their equivalent.
    pub(super) raw: RawConfig,
    /// The drop-in mode, if the variables of another proxy decide.
    pub(super) compat: Option<Compat>,
    /// The drop-in mode that one variable hints at. It decides nothing, but its profile can be named.
    hinted: Option<Compat>,
    pub(super) notes: Vec<Note>,
}

impl ConfigSource {
    /// Chooses the source: a file that is named, else the variables of another proxy unless a profile is named, else the
    /// default file.
    pub(super) fn find(
        files: &ConfigFiles,
        settings: &Settings,
        environment: &Environment,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let compat = diagnostics.ok(Compat::find(environment)).flatten();
        let profile = settings.profile.as_ref().map(|(name, _)| name.as_str());
        let named = files.config.as_ref().or(environment.config.as_ref());
        let file = named.or(environment.default_config.as_ref());
        let read_once = environment.read_once.as_ref().filter(|once| file == Some(&once.path));
        let is_standard_input = read_once.is_some_and(|once| once.path.as_os_str() == cli::STANDARD_INPUT);
        let name_of = |file: &PathBuf| match is_standard_input {
            true => STANDARD_INPUT_NAME.to_owned(),
            false => file.display().to_string(),
        };
        let preferred =
            named.map(name_of).or(profile.map(ToOwned::to_owned)).map(|text| quoting::value(&text).to_owned());
        let mut notes = Vec::new();
        match (compat, preferred) {
            (Some(compat), None) => return Self::from_variables(compat, environment),
            (Some(compat), Some(preferred)) => {
                notes.push(Note::VariablesIgnored { proxy: &compat.table.about, preferred });
            }
            (None, _) => {}
        }
        let hint = hint(environment);
        if named.is_none() && profile.is_none() {
            notes.extend(hint.map(|hint| Note::Hint { variable: hint.by, table: hint.table }));
        }
        let hinted = hint.and_then(|hint| Compat::read(hint.table, &environment.variables).ok());
        let raw = match (read_once, file) {
            (Some(once), _) => RawConfig::parse(&name_of(&once.path), &once.text, folder_of(&once.path), diagnostics),
            (None, Some(file)) => RawConfig::read(file, diagnostics),
            (None, None) => RawConfig::default(),
        };
        // What came on standard input is kept when the rest is read again.
        let file = file.filter(|_| !is_standard_input).cloned();
        Self { file, raw, compat: None, hinted, notes }
    }

    /// The configuration that the variables of another proxy amount to.
    fn from_variables(compat: Compat, environment: &Environment) -> Self {
        let set = compat.set(&environment.variables).map(ToOwned::to_owned).collect();
        let mut notes = vec![Note::Mode { name: &compat.table.name, set }];
        notes.extend(compat.notes.iter().cloned().map(Note::Compat));
        notes.extend(environment.default_config.iter().cloned().map(Note::DefaultFileIgnored));
        if let Some(run_as) = compat.run_as
            && !may_change_user()
            && rustix::process::geteuid().as_raw() != run_as.user
        {
            notes.push(Note::KeepsUser(run_as));
        }
        Self { file: None, raw: raw_config(&compat), compat: Some(compat), hinted: None, notes }
    }

    /// Where its filters come from, with those of the settings.
    pub(super) fn filter_sources(&self, settings: &Settings) -> FilterSources {
        let of_file = self.raw.filters.iter().map(|(folder, location)| (folder.clone(), Some(location.clone())));
        FilterSources {
            folders: of_file.chain(settings.filters.iter().map(|folder| (folder.clone(), None))).collect(),
            profiles: self.raw.profiles.clone(),
            compat: self.compat.clone().or(self.hinted.clone()),
        }
    }
}

impl FilterSources {
    /// The sources that arguments, environment and configuration name.
    ///
    /// # Errors
    /// Every error in them.
    pub fn find(files: &ConfigFiles, environment: &Environment) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let settings = Settings::of_files(files, environment);
        let source = ConfigSource::find(files, &settings, environment, &mut diagnostics);
        diagnostics.finish(source.filter_sources(&settings))
    }
}

/// Reports what is wrong with the variables of the log, and variables that have our prefix and misspell one of ours: what they should say is not in effect. Others are noted. Kubernetes makes such variables for a service called `dockveil`.
pub(super) fn check_variables(environment: &Environment, diagnostics: &mut Diagnostics) -> Vec<Note> {
    for (name, error) in
        [("DOCKVEIL_LOG", environment.log_level().err()), ("DOCKVEIL_LOG_FORMAT", environment.log_format().err())]
    {
        if let Some(error) = error {
            diagnostics.report(&Location::file(name), error.trim_start_matches(name).trim_start_matches(": "));
        }
    }
    let mut notes = Vec::new();
    for name in environment.variables.names() {
        let Some(rest) = name.strip_prefix(cli::PREFIX).filter(|rest| !cli::VARIABLES.contains(rest)) else { continue };
        let expected = match nearest(rest, cli::VARIABLES) {
            Some(near) => format!("did you mean {}{near}?", cli::PREFIX),
            None => {
                notes.push(Note::Unknown(name.to_owned()));
                continue;
            }
        };
        diagnostics.report(&Location::file(name), format!("unknown variable, {expected}"));
    }
    notes
}

/// The proxy that a variable hints at, if it may as well have been set for something else. Errors are reported by
/// [`Compat::find`].
fn hint(environment: &Environment) -> Option<Choice> {
    let choice = compat::choose(&environment.variables, environment.in_image()).ok().flatten()?;
    (!choice.certain).then_some(choice)
}

/// Whether this process may change its user.
fn may_change_user() -> bool {
    rustix::process::geteuid().is_root()
}

/// The configuration file that says what the variables say.
fn raw_config(compat: &Compat) -> RawConfig {
    let location = Location::file(&compat.profile_name());
    let listener = |address: &Address| {
        // Only the owner may connect, as to the socket of the other proxy. The variable names a folder for the socket alone.
        let (mode, folder) = match address {
            Address::Unix(_) => (Some(0o600), SocketFolder::ForSocket),
            Address::Tcp { .. } => (None, SocketFolder::default()),
        };
        let profile = Some((compat.profile_name(), location.clone()));
        // It is as open as the other proxy was, which whoever runs it knows.
        RawListener { mode, folder, profile, insecure: true, ..RawListener::at(address.clone(), location.clone()) }
    };
    RawConfig {
        upstream: Some(RawUpstream { endpoint: compat.upstream.clone().into(), location: location.clone() }),
        listeners: compat.listeners.iter().map(listener).collect(),
        timeouts: compat.timeouts,
        ..RawConfig::default()
    }
}
