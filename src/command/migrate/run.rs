//! Commands that run a container: `docker run`, `docker create`, and those of Podman.

use std::path::Path;

use super::container::{Located, Mount, ProxyContainer, PublishedPort, SourceForm};
use super::environment_file;
use super::interpolate::Interpolation;
use super::lines::UNBALANCED;
use crate::quoting;
use crate::yaml::{Diagnostics, Location};

/// The programs that run containers.
const PROGRAMS: [&str; 3] = ["docker", "podman", "nerdctl"];

/// The options without a value. Every other one has a value.
const FLAGS: [&str; 17] = [
    "--detach",
    "--disable-content-trust",
    "--help",
    "--init",
    "--interactive",
    "--no-healthcheck",
    "--no-hosts",
    "--oom-kill-disable",
    "--privileged",
    "--publish-all",
    "--quiet",
    "--read-only",
    "--replace",
    "--rm",
    "--sig-proxy",
    "--tty",
    "--use-api-socket",
];
/// The options of one letter without a value.
const SHORT_FLAGS: &str = "ditPq";

/// Whether a text has a command that runs a container.
pub(super) fn is_here(text: &str) -> bool {
    commands(text).iter().any(|(line, _)| options_of(line.split_whitespace()).is_some())
}

/// The commands of a script, each with the number of its first line. A backslash at the end continues a line.
fn commands(text: &str) -> Vec<(String, u32)> {
    let mut commands: Vec<(String, u32)> = Vec::new();
    let mut continues = false;
    for (line, number) in text.lines().zip(1_u32..) {
        match commands.last_mut().filter(|_| continues) {
            Some((command, _)) => {
                command.push('\n');
                command.push_str(line);
            }
            None => commands.push((line.to_owned(), number)),
        }
        continues = line.trim_end().ends_with('\\') && !line.trim_start().starts_with('#');
    }
    commands
}

/// The words behind `docker run`; `None` if these are not the words of such a command.
fn options_of<'w>(words: impl Iterator<Item = &'w str>) -> Option<Vec<&'w str>> {
    let mut words = words.skip_while(|word| *word == "sudo" || *word == "exec" || *word == "$").peekable();
    let program = words.next()?.rsplit('/').next()?;
    if !PROGRAMS.contains(&program) {
        return None;
    }
    words.next_if(|word| *word == "container");
    let action = words.next()?;
    ["run", "create"].contains(&action).then(|| words.collect())
}

/// Reads every command of a script in `folder` that runs a container. Other commands are skipped.
pub(super) fn containers(file: &str, text: &str, folder: Option<&Path>) -> Vec<(ProxyContainer, Diagnostics)> {
    let mut found = Vec::new();
    for (command, number) in commands(text) {
        // A backslash and a line feed are nothing for a shell.
        let joined = command.replace("\\\r\n", " ").replace("\\\n", " ");
        if options_of(joined.split_whitespace()).is_none() {
            continue;
        }
        let start = Location::line(file, number);
        let mut diagnostics = Diagnostics::default();
        let Some(words) = shlex::split(&joined) else {
            diagnostics.report(&start, UNBALANCED);
            found.push((ProxyContainer::new(SourceForm::Run, "docker run", start), diagnostics));
            continue;
        };
        let words = options_of(words.iter().map(String::as_str)).unwrap_or_default();
        let mut reader = RunReader {
            container: ProxyContainer::new(SourceForm::Run, "docker run", start),
            values: Interpolation::default(),
            environment_files: Vec::new(),
            lines: command.lines().zip(number..).collect(),
        };
        reader.read(&words, &mut diagnostics);
        let container = reader.finish(folder, &mut diagnostics);
        found.push((container, diagnostics));
    }
    found
}

/// Reads the words of one command.
struct RunReader<'t> {
    container: ProxyContainer,
    values: Interpolation,
    /// The files of `--env-file`.
    environment_files: Vec<Located>,
    /// The lines of the command that are not behind, with their numbers.
    lines: Vec<(&'t str, u32)>,
}

impl RunReader<'_> {
    /// Reads options, the image and the arguments of its program.
    fn read(&mut self, words: &[&str], diagnostics: &mut Diagnostics) {
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            if !word.starts_with('-') || word == "-" {
                self.container.image = Some(self.values.resolve(word, "image"));
                for word in words.by_ref() {
                    let located = self.located(word, "the arguments");
                    self.container.arguments.push(located);
                }
                return;
            }
            match split_option(word) {
                (name, Some(value)) => self.option(name, value),
                (name, None) if is_flag(name) => self.flag(name),
                (name, None) => match words.next() {
                    Some(value) => self.option(name, value),
                    None => {
                        let location = self.located(name, name).location;
                        diagnostics.report(&location, format!("{}: expected a value", quoting::value(name)));
                    }
                },
            }
        }
        diagnostics.report(&self.container.location, "expected an image");
    }

    /// An option without a value.
    fn flag(&mut self, name: &str) {
        self.container.privileged |= name == "--privileged";
    }

    /// An option with a value.
    fn option(&mut self, name: &str, value: &str) {
        let located = self.located(value, name);
        let text = located.text.clone();
        let container = &mut self.container;
        match name {
            "-e" | "--env" => match text.split_once('=') {
                Some((name, value)) => {
                    let value = Located { text: value.to_owned(), location: located.location };
                    container.variables.push((name.to_owned(), value));
                }
                None => container
                    .notes
                    .push(format!("{}: its value is set outside this file, and missing here", quoting::value(&text))),
            },
            "--env-file" => self.environment_files.push(located),
            "-v" | "--volume" => container.mounts.extend(Mount::parse(&text)),
            "--mount" => container.mounts.extend(Mount::parse_options(&text)),
            "-p" | "--publish" => container.ports.extend(PublishedPort::parse(&text)),
            "--name" => {
                container.name.clone_from(&text);
                container.given_name = Some(text.clone());
                container.names.push(text);
            }
            "-h" | "--hostname" | "--network-alias" | "--net-alias" => container.names.push(text),
            "-l" | "--label" => {
                let (name, value) = text.split_once('=').unwrap_or((&text, ""));
                let value = Located { text: value.to_owned(), location: located.location };
                container.labels.push((name.to_owned(), value));
            }
            "--health-cmd" if text != "none" => container.probe = Some(text),
            "--network" | "--net" if text == "host" => container.share_network(),
            "--restart" => container.restarts = true,
            "--privileged" => container.privileged = text == "true",
            _ => {}
        }
    }

    /// A word, resolved, with the line that it is in.
    fn located(&mut self, word: &str, what: &str) -> Located {
        // Quotes are gone: the longest part without any finds the line.
        let part = word.split(['"', '\'', '\\', ' ']).max_by_key(|part| part.len()).unwrap_or_default();
        if let Some(at) = self.lines.iter().position(|(line, _)| line.contains(part)) {
            self.lines.drain(..at);
        }
        let line = self.lines.first().map_or(self.container.location.line, |(_, number)| *number);
        let location = Location::line(&self.container.location.file, line);
        Located { text: self.values.resolve(word, what), location }
    }

    /// The container, with the variables of its files, and what is uncertain about its values.
    fn finish(mut self, folder: Option<&Path>, diagnostics: &mut Diagnostics) -> ProxyContainer {
        environment_file::add_raw(&mut self.container, &self.environment_files, folder, diagnostics);
        for note in self.values.notes {
            self.container.note(note);
        }
        self.container
    }
}

/// Splits an option into its name and a value that is part of the same word.
fn split_option(word: &str) -> (&str, Option<&str>) {
    if word.starts_with("--") {
        return word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    }
    // `-dp 1:1` is `-d -p 1:1`, and `-eA=1` is `-e A=1`.
    let flags = word.chars().skip(1).take_while(|c| SHORT_FLAGS.contains(*c)).count();
    let Some((_, rest)) = word.split_at_checked(1 + flags) else { return (word, None) };
    let Some(letter) = rest.chars().next() else { return (word, None) };
    let name = match letter {
        'e' => "-e",
        'v' => "-v",
        'p' => "-p",
        'h' => "-h",
        'l' => "-l",
        _ => "-other",
    };
    let value = rest.get(letter.len_utf8()..).unwrap_or_default();
    (name, Some(value.strip_prefix('=').unwrap_or(value)).filter(|value| !value.is_empty()))
}

/// Whether an option has no value.
fn is_flag(name: &str) -> bool {
    FLAGS.contains(&name) || name.strip_prefix('-').is_some_and(|rest| rest.chars().all(|c| SHORT_FLAGS.contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn one(text: &str) -> ProxyContainer {
        assert!(is_here(text), "{text}");
        let mut found = containers("f", text, None);
        assert_eq!(found.len(), 1, "{text}");
        let (container, diagnostics) = found.remove(0);
        assert!(diagnostics.is_empty(), "{diagnostics}");
        container
    }

    fn pairs(container: &ProxyContainer) -> Vec<(&str, &str, u32)> {
        let variables = container.variables.iter();
        variables.map(|(name, value)| (name.as_str(), value.text.as_str(), value.location.line)).collect()
    }

    #[test]
    fn a_command_over_several_lines_is_read() {
        let container =
            one("#!/bin/sh\n# docker run x\ndocker network create a\nsudo docker container run -d --privileged \\\n  \
             --name proxy -eA=1 -e \"B=x y\" \\\n  --env=C=${D:-2} -dp 127.0.0.1:2375:2375 \\\n  -v /a.sock:/b.sock:ro \
             --env-file x.env --restart=always -u 0:1 \\\n  ghcr.io/a/b:1 -x --y=1\necho $?\n");
        assert_eq!(container.image.as_deref(), Some("ghcr.io/a/b:1"));
        assert_eq!((container.name.as_str(), container.location.line), ("proxy", 4));
        assert_eq!(pairs(&container), [("A", "1", 5), ("B", "x y", 5), ("C", "2", 6)]);
        assert_eq!(container.ports, [PublishedPort { host: Some("127.0.0.1".into()), ports: (2375, 2375) }]);
        assert_eq!(container.mounts, [Mount { source: "/a.sock".into(), target: "/b.sock".into() }]);
        let arguments: Vec<&str> = container.arguments.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(arguments, ["-x", "--y=1"]);
        assert!(container.privileged && container.restarts);
        assert!(container.notes.iter().any(|note| note.contains("x.env was not read")));
    }

    #[test]
    fn every_command_of_a_script_is_read() {
        let found = containers("f", "podman run a\r\ndocker create --name b \\\r\n  c\r\nnerdctl run \"d\n", None);
        assert_eq!(found.len(), 3);
        let errors: Vec<String> = found.iter().flat_map(|(_, errors)| errors.iter()).map(ToString::to_string).collect();
        assert_eq!(errors, [format!("f:4: {UNBALANCED}")]);
        let errors = containers("f", "docker run --name\ndocker run -it\n", None);
        let errors: Vec<String> =
            errors.iter().flat_map(|(_, errors)| errors.iter()).map(ToString::to_string).collect();
        assert_eq!(errors, ["f:1: --name: expected a value", "f:1: expected an image", "f:2: expected an image"]);
    }

    #[test]
    fn other_texts_run_nothing() {
        for text in
            ["", "docker ps", "docker", "# docker run a", "CONTAINERS=1", "dockerize run", "docker container ls"]
        {
            assert!(!is_here(text), "{text}");
        }
    }
}
