//! Writes lines whole, as far as the system lets.

use std::io::{self, Write};
use std::time::Duration;

/// How long to wait until a pipe is tried again that its reader has filled, and that does not wait by itself.
const FULL_PIPE_TIME: Duration = Duration::from_millis(5);

/// Writes lines; returns how many are written as a whole, and the error. Behind a part of a line, a new line begins.
pub(crate) fn write_lines(out: &mut impl Write, lines: &[u8], is_in_line: &mut bool) -> (u64, Option<io::Error>) {
    if lines.is_empty() {
        return (0, None);
    }
    if *is_in_line {
        match out.write(b"\n") {
            Ok(1..) => *is_in_line = false,
            Ok(_) => return (0, Some(io::ErrorKind::WriteZero.into())),
            Err(error) => return (0, Some(error)),
        }
    }
    let mut written = 0;
    while let Some(rest) = lines.get(written..).filter(|rest| !rest.is_empty()) {
        let error = match out.write(rest) {
            Ok(0) => io::ErrorKind::WriteZero.into(),
            Ok(count) => {
                written += count;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        let done = lines.get(..written).unwrap_or_default();
        *is_in_line = done.last().is_some_and(|byte| *byte != b'\n');
        return (count_lines(done), Some(error));
    }
    (count_lines(lines), None)
}

/// How many lines end in these bytes.
pub(crate) fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// A writer that waits for room, although the one inside does not: who started the program may have made standard error so.
#[derive(Debug)]
pub(super) struct WaitingWriter<W>(pub(super) W);

impl<W: Write> Write for WaitingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(FULL_PIPE_TIME),
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with so much room, of which every second write has to wait.
    struct Disk {
        room: usize,
        text: Vec<u8>,
        is_full: bool,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.is_full = !self.is_full;
            if self.is_full {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = bytes.len().min(self.room).min(5);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= count;
            self.text.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_costs_lines_and_none_that_comes_later() {
        let mut disk = WaitingWriter(Disk { room: 14, text: Vec::new(), is_full: false });
        let mut is_in_line = false;
        let mut write = |disk: &mut WaitingWriter<Disk>, lines: &str| {
            let (written, error) = write_lines(disk, lines.as_bytes(), &mut is_in_line);
            (written, error.map(|error| error.kind()))
        };
        assert_eq!(write(&mut disk, "{\"a\":1}\n"), (1, None));
        assert_eq!(write(&mut disk, "{\"b\":1}\n{\"c\":1}\n"), (0, Some(io::ErrorKind::StorageFull)));
        assert_eq!(write(&mut disk, "{\"d\":1}\n"), (0, Some(io::ErrorKind::StorageFull)));
        disk.0.room = 100;
        assert_eq!(write(&mut disk, "{\"e\":1}\n{\"f\":1}\n"), (2, None));
        assert_eq!(String::from_utf8(disk.0.text).unwrap(), "{\"a\":1}\n{\"b\":1\n{\"e\":1}\n{\"f\":1}\n");
    }
}
