//! A connection to the engine through the `ssh` of the system: a process for each connection, which ends with it.
//!
//! As with the docker command, the other end runs `docker system dial-stdio`, and the two pipes of the process carry the bytes.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};

use super::UpstreamError;
use crate::endpoint::SshAddress;
use crate::socket::{Carrier, Socket};

/// How long ssh may run once its output or its connection has ended.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// How much of the last line of its errors is told, in characters.
const LINE_LIMIT: usize = 200;
/// How many bytes of its errors are kept: the last line, and what may be before it.
const ERRORS_LIMIT: usize = 4096;
/// What ssh asks for a password or a decision: nobody is there to answer.
const ASKPASS: [(&str, &str); 2] = [("SSH_ASKPASS", "false"), ("SSH_ASKPASS_REQUIRE", "force")];
/// What the service manager tells this process alone (sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3)).
const OF_SERVICE_MANAGER: [&str; 7] =
    ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// Why ssh did not reach the engine, or not any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SshFault {
    /// It could not be started, for this reason.
    NotStarted(String),
    /// It has ended.
    Ended {
        /// Its exit status; `None` if a signal ended it.
        status: Option<i32>,
        /// The last line of its errors, cut and printable.
        said: String,
    },
}

impl fmt::Display for SshFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(why) => write!(f, "ssh: {why}"),
            Self::Ended { status, said } => {
                f.write_str("ssh: ")?;
                f.write_str(if said.is_empty() { "it says nothing" } else { said })?;
                match status {
                    Some(status) => write!(f, " (exit status {status})"),
                    None => f.write_str(" (ended by a signal)"),
                }
            }
        }
    }
}

impl std::error::Error for SshFault {}

/// Starts ssh. Whether it reaches the engine turns out when something is read.
///
/// Cancel safety: it does not wait.
///
/// # Errors
/// [`UpstreamError::Ssh`].
pub(super) fn open(address: &SshAddress) -> Result<Socket, UpstreamError> {
    let not_started = |error: io::Error| {
        let is_missing = error.kind() == io::ErrorKind::NotFound;
        let why = if is_missing {
            "there is no ssh on this machine".to_owned()
        } else {
            format!("cannot be started: {error}")
        };
        UpstreamError::Ssh(SshFault::NotStarted(why))
    };
    let (carried, carrier) = Carrier::new().map_err(not_started)?;
    let mut command = Command::new("ssh");
    command.args(address.arguments()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A signal of the terminal stops this program, which ends its connections itself.
    command.process_group(0).kill_on_drop(true).envs(ASKPASS);
    for name in OF_SERVICE_MANAGER {
        command.env_remove(name);
    }
    let mut child = command.spawn().map_err(not_started)?;
    tracing::debug!(%address, pid = child.id(), "ssh started");
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(input), Some(output), Some(errors)) = pipes else {
        return Err(not_started(io::Error::other("it has no pipes")));
    };
    tokio::spawn(async move {
        let said = Arc::<LastLine>::default();
        let reading = tokio::spawn(read_errors(errors, said.clone()));
        // The pipes are closed when it returns.
        carrier.carry(output, ProcessInput(Some(input)), proper_end(&mut child, &said), Duration::ZERO).await;
        end(child).await;
        reading.abort();
    });
    Ok(carried)
}

/// Waits for the end of ssh once its output has ended. What it has not said by then it says to nobody.
///
/// # Errors
/// [`UpstreamError::Ssh`] if it has failed: its output may have been cut.
async fn proper_end(child: &mut Child, said: &LastLine) -> io::Result<()> {
    match tokio::time::timeout(END_TIMEOUT, child.wait()).await {
        // The engine has ended its direction only.
        Err(_) => Ok(()),
        Ok(ended) => {
            let status = ended?;
            if status.success() {
                return Ok(());
            }
            let _ = tokio::time::timeout(END_TIMEOUT, said.complete()).await;
            let fault = SshFault::Ended { status: status.code(), said: said.text() };
            Err(io::Error::new(io::ErrorKind::ConnectionAborted, UpstreamError::Ssh(fault)))
        }
    }
}

/// Waits until ssh has ended, whose pipes are closed; kills it if that takes too long.
async fn end(mut child: Child) {
    if tokio::time::timeout(END_TIMEOUT, child.wait()).await.is_err() {
        // It fails only if it has ended.
        let _ = child.kill().await;
    }
}

/// The end of what ssh says on standard error.
#[derive(Debug, Default)]
struct LastLine {
    bytes: Mutex<Vec<u8>>,
    complete: tokio::sync::Notify,
}

impl LastLine {
    fn add(&self, more: &[u8]) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.extend_from_slice(more);
        let excess = bytes.len().saturating_sub(ERRORS_LIMIT);
        bytes.drain(..excess);
    }

    /// Waits until ssh has said everything.
    async fn complete(&self) {
        self.complete.notified().await;
    }

    /// The last line that is not empty, cut and printable.
    fn text(&self) -> String {
        printable_end(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The last line of a text that is not empty, with at most [`LINE_LIMIT`] characters. What cannot be printed is `?`.
fn printable_end(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let is_printable =
        |character: char| character == ' ' || character.is_ascii_graphic() || character.is_alphanumeric();
    let mut shown: String =
        line.chars().take(LINE_LIMIT).map(|character| if is_printable(character) { character } else { '?' }).collect();
    if line.chars().nth(LINE_LIMIT).is_some() {
        shown.push('…');
    }
    shown
}

/// Reads what ssh says on standard error to its end.
async fn read_errors(mut errors: ChildStderr, said: Arc<LastLine>) {
    let mut piece = [0; 512];
    while let Ok(count @ 1..) = errors.read(&mut piece).await {
        said.add(piece.get(..count).unwrap_or_default());
    }
    said.complete.notify_one();
}

/// The standard input of a process. It is closed when its direction ends.
struct ProcessInput(Option<ChildStdin>);

impl AsyncWrite for ProcessInput {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Some(input) => Pin::new(input).poll_write(cx, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Some(input) => Pin::new(input).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0 = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_short_and_printable() {
        for (text, expected) in [
            (&b""[..], ""),
            (b"\n \n", ""),
            (b"Warning: x\r\nPermission denied (publickey).\r\n\n", "Permission denied (publickey)."),
            (b"a\x1b[31m\tred\x07\xff", "a?[31m?red??"),
            ("ungültig\u{202e}\u{0}".as_bytes(), "ungültig??"),
        ] {
            assert_eq!(printable_end(text), expected);
        }
        let long = printable_end("x".repeat(10_000).as_bytes());
        assert_eq!(long.chars().count(), LINE_LIMIT + 1);
        let said = LastLine::default();
        (0..100).for_each(|_| said.add(&[b'y'; 1000]));
        assert_eq!(said.bytes.lock().unwrap().len(), ERRORS_LIMIT);
    }
}
