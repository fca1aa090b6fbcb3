//! Bytes that go from one socket to another without being copied, because nobody looks at them.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;

use super::{Moved, Socket};

/// How many bytes a pipe is asked to hold. The system counts whole pages, however little is in each of them.
const PIPE_SIZE: usize = 1 << 20;

thread_local! {
    // All sockets of a thread share one pipe. Between two moves it is empty.
    static PIPE: Cell<Option<Pipe>> = const { Cell::new(None) };
}

/// Moves up to `limit` bytes that have arrived at one socket to another.
///
/// # Errors
/// `WouldBlock` if nothing has arrived; why the first socket cannot be read.
pub(super) fn try_move(from: &Socket, to: &Socket, limit: usize) -> io::Result<Moved> {
    let Some(pipe) = PIPE.take().or_else(|| Pipe::new().ok()) else { return Ok(Moved::Unsupported) };
    let moved = pipe.carry(from, to, limit);
    // If that failed, bytes may be left in it.
    if moved.is_ok() || moved.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
        PIPE.set(Some(pipe));
    }
    moved
}

/// Where bytes are on their way.
#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipe {
    fn new() -> rustix::io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A user may have only so many pages in pipes. A pipe as it comes will do, with more moves.
        let _ = fcntl_setpipe_size(&write, PIPE_SIZE);
        Ok(Self { read, write })
    }

    /// As [`try_move`]. After `WouldBlock`, and if it succeeds, the pipe is empty again.
    fn carry(&self, from: &Socket, to: &Socket, limit: usize) -> io::Result<Moved> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let taken = from.try_io(Interest::READABLE, || Ok(splice(from, None, &self.write, None, limit, flags)?));
        let taken = match taken.as_ref().map_err(Errno::from_io_error) {
            // Not with this socket, or not here.
            Err(Some(Errno::INVAL | Errno::NOSYS | Errno::PERM)) => return Ok(Moved::Unsupported),
            Err(_) | Ok(_) => taken?,
        };
        let mut sent = 0;
        while sent < taken {
            let more = to.try_io(Interest::WRITABLE, || Ok(splice(&self.read, None, to, None, taken - sent, flags)?));
            match more {
                Ok(1..) => sent += more?,
                // There is no room, or the write of what is left will say what is wrong.
                Ok(0) | Err(_) => break,
            }
        }
        Ok(Moved::Bytes { taken, unsent: self.read(taken - sent)? })
    }

    /// The next `count` bytes in it.
    fn read(&self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            if rustix::io::read(&self.read, spare_capacity(&mut bytes))? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(bytes)
    }
}
