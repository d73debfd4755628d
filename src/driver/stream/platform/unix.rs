//! Pipes on Unix.
//!
//! A write of at most `PIPE_BUF` bytes is atomic. A larger one is not: if the pipe is full half-way, it sleeps there, and
//! a kill leaves half a line at the reader. So more than `PIPE_BUF` is written only if it surely fits. A pipe is a ring
//! of pages; a write of n bytes takes at most ceil(n / page) of them, and a page is free again when its last byte has
//! been read. The pages in use are bounded from above by the writes that are not fully read yet.

use super::read::Read;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::param::page_size;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// `PIPE_BUF`: up to so many bytes a write is atomic on Linux. Pages, which are the places of a pipe, may be larger.
const ATOMIC_BYTES: usize = 4096;
/// Size that we ask for: the largest that an ordinary user gets.
#[cfg(target_os = "linux")]
const PIPE_BYTES_WANTED: usize = 1 << 20;

/// Makes a pipe as large as an ordinary user gets it. Returns the bytes that it holds then; `None` if it is no pipe, or if that
/// is not known.
fn enlarge(fd: rustix::fd::BorrowedFd<'static>) -> Option<usize> {
    #[cfg(target_os = "linux")]
    {
        // A refusal (not a pipe, or a quota) changes nothing but speed.
        let _ = rustix::pipe::fcntl_setpipe_size(fd, PIPE_BYTES_WANTED);
        rustix::pipe::fcntl_getpipe_size(fd).ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = fd;
        None
    }
}

/// Stdin.
pub struct Input {
    fd: rustix::fd::BorrowedFd<'static>,
    /// Bytes that the pipe holds; `None` if stdin is not a pipe.
    capacity: Option<usize>,
}

impl Input {
    /// Takes stdin; a pipe is enlarged if the system allows it.
    pub fn new() -> Input {
        Input::of(rustix::stdio::stdin())
    }

    /// Takes another descriptor than stdin.
    pub(super) fn of(fd: rustix::fd::BorrowedFd<'static>) -> Input {
        Input { fd, capacity: enlarge(fd) }
    }

    /// Bytes that the pipe holds; `None` if stdin is not a pipe, or if that is not known.
    pub fn capacity(&self) -> Option<usize> {
        self.capacity
    }

    /// Where the bytes come from.
    #[cfg(target_os = "linux")]
    pub(super) fn fd(&self) -> rustix::fd::BorrowedFd<'static> {
        self.fd
    }

    /// Waits until there is something to read, or the end of it, or until the limit has passed: false then.
    ///
    /// # Errors
    /// Stdin cannot be waited for.
    #[cfg(target_os = "linux")]
    pub(super) fn wait(&self, limit: Option<Duration>) -> io::Result<bool> {
        wait(self.fd, PollFlags::IN, limit)
    }

    /// Reads what there is, waiting at most `limit` for the first byte (`None`: for ever).
    ///
    /// # Errors
    /// Stdin cannot be read.
    pub fn read(&mut self, buffer: &mut [u8], limit: Option<Duration>) -> io::Result<Read> {
        loop {
            #[cfg(target_os = "linux")]
            if limit == Some(Duration::ZERO) {
                // One call instead of two, where the kernel knows how.
                use rustix::io::{IoSliceMut, ReadWriteFlags, preadv2};
                let into = &mut [IoSliceMut::new(buffer)];
                match preadv2(self.fd, into, u64::MAX, ReadWriteFlags::NOWAIT) {
                    Ok(0) => return Ok(Read::End),
                    Ok(n) => return Ok(Read::Bytes(n)),
                    Err(Errno::AGAIN) => return Ok(Read::Timeout),
                    Err(_) => {}
                }
            }
            if let Some(limit) = limit
                && !wait(self.fd, PollFlags::IN, Some(limit))?
            {
                return Ok(Read::Timeout);
            }
            match rustix::io::read(self.fd, &mut *buffer) {
                Ok(0) => return Ok(Read::End),
                Ok(n) => return Ok(Read::Bytes(n)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    wait(self.fd, PollFlags::IN, None)?;
                }
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl Default for Input {
    fn default() -> Input {
        Input::new()
    }
}

/// Waits until the descriptor is ready or the limit has passed. True if it is ready.
fn wait(fd: rustix::fd::BorrowedFd<'_>, flags: PollFlags, limit: Option<Duration>) -> io::Result<bool> {
    let limit = limit.map(|l| Timespec { tv_sec: l.as_secs() as i64, tv_nsec: i64::from(l.subsec_nanos()) });
    loop {
        let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
        match poll(&mut fds, limit.as_ref()) {
            Ok(n) => return Ok(n > 0),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// True if the other side of stdin is closed, even if there is something left to read.
pub fn input_is_closed() -> bool {
    let mut fds = [PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::HUP)
}

/// Bytes written to stdout so far.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// How far stdout has come: bytes written, and bytes that its reader has not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress(u64, Option<u64>);

/// How far stdout has come.
pub fn progress() -> Progress {
    Progress(WRITTEN.load(Ordering::Relaxed), rustix::io::ioctl_fionread(rustix::stdio::stdout()).ok())
}

/// Stdout.
pub struct Output {
    fd: rustix::fd::BorrowedFd<'static>,
    /// Bytes that the pipe holds; `None` if stdout is not a pipe.
    capacity: Option<usize>,
    /// Bytes written so far.
    written: u64,
    /// Writes that may not be fully read yet: where each ends, and the pages it took at most.
    unread: VecDeque<(u64, usize)>,
}

impl Output {
    /// Takes stdout; a pipe is enlarged if the system allows it.
    pub fn new() -> Output {
        Output::of(rustix::stdio::stdout())
    }

    /// Takes another descriptor than stdout.
    pub(super) fn of(fd: rustix::fd::BorrowedFd<'static>) -> Output {
        let mut output = Output { fd, capacity: enlarge(fd), written: 0, unread: VecDeque::new() };
        // What somebody else has left in the pipe takes places, nobody knows how many.
        if let (Some(places), Some(left)) = (output.places(), output.pending().filter(|left| *left > 0)) {
            output.written = left;
            output.unread.push_back((left, places));
        }
        output
    }

    /// Bytes that can be written at once without any risk that the write stops half-way; `usize::MAX` where writes
    /// cannot stop half-way (a file) or nothing can be known.
    pub fn room(&mut self) -> usize {
        self.places().map_or(usize::MAX, |_| self.free_places() * page_size())
    }

    /// Where the bytes go.
    #[cfg(target_os = "linux")]
    pub(super) fn fd(&self) -> rustix::fd::BorrowedFd<'static> {
        self.fd
    }

    /// Pages that the pipe holds; `None` if stdout is not a pipe.
    pub(super) fn places(&self) -> Option<usize> {
        self.capacity.map(|capacity| capacity / page_size())
    }

    /// Notes that bytes have been moved to stdout, which took so many places of the pipe at most.
    #[cfg(target_os = "linux")]
    pub(super) fn moved(&mut self, bytes: usize, places: usize) {
        self.written += bytes as u64;
        self.unread.push_back((self.written, places));
        WRITTEN.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Places of the pipe that are surely free.
    pub(super) fn free_places(&mut self) -> usize {
        let unread = self.pending().unwrap_or(u64::MAX);
        let read = self.written.saturating_sub(unread);
        while self.unread.front().is_some_and(|(end, _)| *end <= read) {
            self.unread.pop_front();
        }
        let pages: usize = self.unread.iter().map(|(_, pages)| pages).sum();
        self.places().unwrap_or_default().saturating_sub(pages)
    }

    /// Bytes that are always written whole.
    pub fn atomic(&self) -> usize {
        ATOMIC_BYTES
    }

    /// True if the pipe holds nothing that the reader has not taken: there will never be more room than now.
    pub fn is_drained(&self) -> bool {
        self.pending() == Some(0)
    }

    fn pending(&self) -> Option<u64> {
        self.capacity?;
        rustix::io::ioctl_fionread(self.fd).ok()
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// Stdout is gone.
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if self.capacity.is_some() && !bytes.is_empty() {
            self.written += bytes.len() as u64;
            self.unread.push_back((self.written, bytes.len().div_ceil(page_size())));
            // Single lines at a low rate never ask for the room: forget what must have been read by now.
            if self.unread.len() > 4096 {
                self.room();
            }
        }
        while !bytes.is_empty() {
            match rustix::io::write(self.fd, bytes) {
                Ok(n) => {
                    bytes = &bytes[n..];
                    WRITTEN.fetch_add(n as u64, Ordering::Relaxed);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    wait(self.fd, PollFlags::OUT, None)?;
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Waits until the reader has taken everything, at most `limit`. True if it has.
    pub fn drain(&mut self, limit: Duration) -> bool {
        if self.capacity.is_none() {
            return true;
        }
        let step = Duration::from_millis(2);
        for _ in 0..limit.as_millis() / step.as_millis() {
            if self.is_drained() {
                return true;
            }
            std::thread::sleep(step);
        }
        self.is_drained()
    }
}

impl Default for Output {
    fn default() -> Output {
        Output::new()
    }
}
