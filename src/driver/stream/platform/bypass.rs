//! The bypass: pages of stdin that go on to stdout without being copied (Linux: `tee` and `splice`).
//!
//! What stdin holds is duplicated into a pipe of our own, which costs nothing for each byte, and read as always. The
//! batch that comes of it is then moved from there to stdout. The reference is the buffer: the pipe holds exactly what the
//! buffer has read and not forwarded, so the bypass can be left at any moment, and `write` goes on.
//!
//! A move must not stop half-way, as a write must not: a kill would leave half a line. It takes no more places of the pipe
//! behind stdout than our own has, so it is made only when so many are surely free; all of it happens under the kernel's lock
//! of both then. It pays for large reads alone: lines that come one by one are written as always.

use super::read::Read;
use super::unix::{Input, Output};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::param::page_size;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice, tee};
use std::io;
use std::time::Duration;

/// Bytes that our own pipe holds: a batch, and what is left of the one before.
const PIPE_BYTES: usize = 256 * 1024;
/// A read of so many bytes is large.
const LARGE_BYTES: usize = 64 * 1024;
/// So many large reads one after the other, and the bypass is taken.
const LARGE_READS: u32 = 8;
/// Most bytes that are copied into our own pipe when the bypass is taken.
const REST_BYTES_MAX: usize = 16 * 1024;
/// How long to wait for places in the pipe behind stdout before looking again, and how often.
const ROOM_WAIT: Duration = Duration::from_micros(100);
const ROOM_LOOKS: u32 = 20;

/// A way around the copy from the buffer to stdout.
pub struct Bypass {
    /// Where bytes come out, and where they go in.
    pipe: Option<(OwnedFd, OwnedFd)>,
    /// Places of the pipe.
    places: usize,
    /// Bytes in the pipe.
    held: usize,
    is_taken: bool,
    /// Large reads one after the other.
    large: u32,
}

impl Bypass {
    /// A bypass that is not taken yet; `None` where there is none: stdin or stdout is no pipe, or too small a one.
    pub fn new(input: &Input, output: &Output) -> Option<Bypass> {
        input.capacity().filter(|_| is_new_enough())?;
        let (pipe, places) = (own_pipe()?, PIPE_BYTES / page_size());
        (output.places()? >= 2 * places).then_some(Bypass {
            pipe: Some(pipe),
            places,
            held: 0,
            is_taken: false,
            large: 0,
        })
    }

    /// True while bytes go this way.
    pub fn is_taken(&self) -> bool {
        self.is_taken
    }

    /// Takes the bypass before the next read, if it pays. `rest` is what has been read and not forwarded.
    pub fn consider(&mut self, rest: &[u8]) {
        if self.is_taken && self.large == 0 {
            self.leave();
        }
        if self.is_taken || self.large < LARGE_READS || rest.len() > REST_BYTES_MAX {
            return;
        }
        let Some((_, into)) = &self.pipe else { return };
        let mut copied = 0;
        while copied < rest.len() {
            match rustix::io::write(into, &rest[copied..]) {
                Ok(n) => copied += n,
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.held = copied;
                    return self.leave();
                }
            }
        }
        (self.is_taken, self.held) = (true, rest.len());
    }

    /// Goes back to copying; what is in our own pipe is in the buffer, too.
    pub fn leave(&mut self) {
        if std::mem::take(&mut self.is_taken) || self.held > 0 {
            self.pipe = own_pipe();
        }
        (self.held, self.large) = (0, 0);
    }

    /// Reads what there is, waiting at most `limit` for the first byte, as [`Input::read`] does.
    ///
    /// # Errors
    /// Stdin cannot be read.
    pub fn read(&mut self, input: &mut Input, buffer: &mut [u8], limit: Option<Duration>) -> io::Result<Read> {
        let most = if self.is_taken { self.duplicate(input, buffer.len(), limit)? } else { Some(buffer.len()) };
        let Some(most) = most else { return Ok(Read::Timeout) };
        let read = input.read(&mut buffer[..most], if self.is_taken { None } else { limit })?;
        let Read::Bytes(mut n) = read else { return Ok(read) };
        while self.is_taken && n < most {
            // What was duplicated is there.
            match input.read(&mut buffer[n..most], Some(Duration::ZERO)) {
                Ok(Read::Bytes(more)) => n += more,
                _ => self.leave(),
            }
        }
        self.large = if n >= LARGE_BYTES { self.large.saturating_add(1) } else { 0 };
        Ok(Read::Bytes(n))
    }

    /// Duplicates what stdin holds into our own pipe: how many bytes, which are then to be read. `None` if there are none yet.
    fn duplicate(&mut self, input: &Input, most: usize, limit: Option<Duration>) -> io::Result<Option<usize>> {
        if !input.wait(limit)? {
            return Ok(None);
        }
        let Some((_, into)) = &self.pipe else { return Ok(Some(most)) };
        match tee(input.fd(), into, most, SpliceFlags::NONBLOCK) {
            Ok(n) if n > 0 => {
                self.held += n;
                Ok(Some(n))
            }
            // The end, or no place for it.
            _ => {
                self.leave();
                Ok(Some(most))
            }
        }
    }

    /// Moves bytes to stdout, all of them or none. False if they have to be written.
    ///
    /// # Errors
    /// Stdout is gone.
    pub fn forward(&mut self, output: &mut Output, bytes: usize) -> io::Result<bool> {
        let Some((out, _)) = self.pipe.as_ref().filter(|_| self.is_taken && bytes <= self.held) else {
            return Ok(false);
        };
        let mut looks = 0;
        while output.free_places() < self.places {
            looks += 1;
            if looks > ROOM_LOOKS {
                return Ok(false);
            }
            std::thread::sleep(ROOM_WAIT);
        }
        let mut left = bytes;
        while left > 0 {
            match splice(out, None, output.fd(), None, left, SpliceFlags::empty()) {
                Ok(0) => return Err(io::Error::other("our own pipe is empty")),
                Ok(n) => left -= n,
                Err(Errno::INTR) => {}
                Err(_) if left == bytes => return Ok(false),
                Err(e) => return Err(e.into()),
            }
        }
        output.moved(bytes, self.places);
        self.held -= bytes;
        Ok(true)
    }
}

/// A pipe that holds as much as it should; `None` if the system does not give one. Nothing waits for it to have room.
fn own_pipe() -> Option<(OwnedFd, OwnedFd)> {
    let pipe = pipe_with(PipeFlags::CLOEXEC).ok()?;
    rustix::io::ioctl_fionbio(&pipe.1, true).ok()?;
    fcntl_setpipe_size(&pipe.1, PIPE_BYTES).ok()?;
    (fcntl_getpipe_size(&pipe.1).ok()? == PIPE_BYTES).then_some(pipe)
}

/// Before Linux 5.1, what is written behind a moved page may end up in the page, which others still have.
fn is_new_enough() -> bool {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::{AsFd, BorrowedFd};
    use std::io::{Read as _, Write as _};

    /// A pipe whose ends live for ever, with as many bytes as ours.
    fn pipe() -> (BorrowedFd<'static>, std::fs::File) {
        let (out, into) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        fcntl_setpipe_size(&into, 1 << 20).expect("an ordinary size");
        let out: &'static OwnedFd = Box::leak(Box::new(out));
        (out.as_fd(), std::fs::File::from(into))
    }

    fn bytes(count: usize) -> Vec<u8> {
        (0..count).map(|n| (n * 31 + n / 251) as u8).collect()
    }

    /// What a stream does: reads, forwards a part of what it has, by the bypass where it can. How many bytes went that way.
    fn copy(input: BorrowedFd<'static>, output: std::fs::File, piece: impl Fn(usize) -> usize) -> usize {
        let output: &'static std::fs::File = Box::leak(Box::new(output));
        let (mut input, mut output) = (Input::of(input), Output::of(output.as_fd()));
        let mut bypass = Bypass::new(&input, &output).expect("two pipes");
        let (mut buffer, mut rest, mut moved, mut round) = (vec![0; 600_000], 0, 0, 0);
        loop {
            bypass.consider(&buffer[..rest]);
            let read = bypass.read(&mut input, &mut buffer[rest..rest + 256 * 1024], None).expect("readable");
            let Read::Bytes(n) = read else { break };
            let filled = rest + n;
            // As long as an engine would need: reads are large then.
            std::thread::sleep(Duration::from_micros(100));
            let most = filled - piece(round).min(filled);
            round += 1;
            let is_moved = bypass.is_taken() && bypass.forward(&mut output, most).expect("a reader");
            if is_moved {
                moved += most;
            } else {
                if bypass.is_taken() {
                    bypass.leave();
                }
                output.write(&buffer[..most]).expect("a reader");
            }
            buffer.copy_within(most..filled, 0);
            rest = filled - most;
        }
        output.write(&buffer[..rest]).expect("a reader");
        moved
    }

    /// Sends pieces of these sizes through; gives what has come out, and how much went by the bypass.
    fn send(sizes: &[usize], keep: impl Fn(usize) -> usize + Send + 'static, slow: bool) -> (Vec<u8>, usize) {
        let (from, mut into) = pipe();
        let (out, to) = pipe();
        let all = bytes(sizes.iter().sum());
        let total = all.len();
        let sizes = sizes.to_vec();
        let writer = std::thread::spawn(move || {
            let mut rest = &all[..];
            for size in sizes {
                let (piece, tail) = rest.split_at(size);
                into.write_all(piece).expect("a reader");
                rest = tail;
                if size < 1000 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let copier = std::thread::spawn(move || copy(from, to, keep));
        let mut reader = std::fs::File::from(out.try_clone_to_owned().expect("a descriptor"));
        let mut got = vec![0; total];
        let mut at = 0;
        while at < total {
            let most = if slow { (total - at).min(7_000) } else { total - at };
            at += reader.read(&mut got[at..at + most]).expect("readable");
        }
        writer.join().expect("no panic");
        (got, copier.join().expect("no panic"))
    }

    #[test]
    fn what_is_large_goes_this_way_and_nothing_is_changed() {
        for slow in [false, true] {
            let (got, moved) = send(&[1_000_000; 20], |round| round * 37 % 300, slow);
            assert!(got == bytes(20_000_000), "the bytes were changed");
            assert!(moved > 1_000_000, "{moved} bytes, slow: {slow}");
        }
    }

    #[test]
    fn small_reads_and_long_rests_are_written() {
        let mut sizes = vec![300; 50];
        for _ in 0..5 {
            sizes.push(3_000_000);
            sizes.extend([10, 500, 5_000]);
        }
        // From time to time most of a batch stays back.
        let (got, _) = send(&sizes, |round| if round % 11 == 0 { 100_000 } else { round % 300 }, false);
        assert!(got == bytes(sizes.iter().sum()), "the bytes were changed");
        let (got, moved) = send(&[300; 100], |_| 7, false);
        assert!(got == bytes(30_000), "the bytes were changed");
        assert_eq!(moved, 0);
    }

    #[test]
    fn a_move_is_made_only_if_it_surely_fits() {
        let (from, mut into) = pipe();
        let (_out, to) = pipe();
        assert!(is_new_enough());
        // A move that does not fit fails instead of waiting for ever.
        rustix::io::ioctl_fionbio(&to, true).expect("a pipe");
        let to: &'static std::fs::File = Box::leak(Box::new(to));
        let (mut input, mut output) = (Input::of(from), Output::of(to.as_fd()));
        let mut bypass = Bypass::new(&input, &output).expect("two pipes");
        bypass.large = LARGE_READS;
        bypass.consider(b"");
        let mut buffer = vec![0; 256 * 1024];
        let mut moves = 0;
        // Nobody reads: each move is taken to need as many places as our own pipe has, whatever its size.
        loop {
            into.write_all(&[7; 100_000]).expect("room");
            let read = bypass.read(&mut input, &mut buffer, None).expect("readable");
            assert_eq!(read, Read::Bytes(100_000));
            if !bypass.forward(&mut output, 100_000).expect("a reader") {
                break;
            }
            moves += 1;
        }
        assert_eq!(moves, output.places().expect("a pipe") / bypass.places);
        // What was not moved is not there.
        bypass.leave();
        let unread = rustix::io::ioctl_fionread(to).expect("a pipe");
        assert_eq!(unread, moves as u64 * 100_000);
    }

    #[test]
    fn what_somebody_else_has_left_in_the_pipe_may_take_all_of_it() {
        let (out, mut to) = pipe();
        to.write_all(b"left").expect("room");
        let to: &'static std::fs::File = Box::leak(Box::new(to));
        let mut output = Output::of(to.as_fd());
        assert_eq!(output.room(), 0);
        output.write(b"ours").expect("a reader");
        let mut reader = std::fs::File::from(out.try_clone_to_owned().expect("a descriptor"));
        reader.read_exact(&mut [0; 3]).expect("readable");
        assert_eq!(output.room(), 0);
        reader.read_exact(&mut [0; 1]).expect("readable");
        assert_eq!(output.room(), (output.places().expect("a pipe") - 1) * page_size(), "ours is still there");
    }
}
