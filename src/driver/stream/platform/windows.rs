//! Pipes on Windows.
//!
//! An anonymous pipe can be neither polled nor asked how much room it has. A thread reads stdin, so that the reader of
//! its channel can have a time limit; what is written goes out in pieces of whole lines up to the pipe's default size.
//! A console is read through the standard library, which knows Ctrl-Z for the end, and Ctrl-C for what it is: a plain read
//! returns nothing for both.

use super::read::Read;
use std::fs::File;
use std::io::{self, IsTerminal, Read as _, Write as _};
use std::os::windows::io::{AsHandle, OwnedHandle};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;
/// Reads that may wait for us.
const READS_MAX: usize = 4;
/// What Windows gives a pipe whose maker asked for no size.
const PIPE_BYTES: usize = 4096;

/// Whether the other side of stdin is closed cannot be known before all of it is read.
pub fn input_is_closed() -> bool {
    false
}

/// How far stdout has come: not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress;

/// How far stdout has come.
pub fn progress() -> Progress {
    Progress
}

/// Stdin.
pub struct Input {
    chunks: Receiver<io::Result<Vec<u8>>>,
    /// What of the last chunk has not been handed out.
    rest: Vec<u8>,
}

impl Input {
    /// Takes stdin.
    pub fn new() -> Input {
        let (sender, chunks) = sync_channel(READS_MAX);
        std::thread::spawn(move || {
            let stdin: io::Result<Box<dyn io::Read>> = match io::stdin().is_terminal() {
                true => Ok(Box::new(io::stdin().lock())),
                false => io::stdin().as_handle().try_clone_to_owned().map(|pipe| Box::new(File::from(pipe)) as _),
            };
            let mut stdin = match stdin {
                Ok(stdin) => stdin,
                Err(e) => {
                    let _ = sender.send(Err(e));
                    return;
                }
            };
            loop {
                let mut chunk = vec![0; READ_BYTES];
                let read = match stdin.read(&mut chunk) {
                    // The writer is gone: the end.
                    Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(0),
                    other => other,
                };
                let done = !matches!(read, Ok(n) if n > 0);
                let message = read.map(|n| {
                    chunk.truncate(n);
                    chunk
                });
                if sender.send(message).is_err() || done {
                    return;
                }
            }
        });
        Input { chunks, rest: Vec::new() }
    }

    /// Bytes that the pipe holds: not known, and timers are too coarse here to be of use for it.
    pub fn capacity(&self) -> Option<usize> {
        None
    }

    /// Reads what there is, waiting at most `limit` for the first byte (`None`: for ever).
    ///
    /// # Errors
    /// Stdin cannot be read.
    pub fn read(&mut self, buffer: &mut [u8], limit: Option<Duration>) -> io::Result<Read> {
        if self.rest.is_empty() {
            let chunk = match limit {
                None => self.chunks.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(limit) => self.chunks.recv_timeout(limit),
            };
            self.rest = match chunk {
                Ok(chunk) => chunk?,
                Err(RecvTimeoutError::Timeout) => return Ok(Read::Timeout),
                Err(RecvTimeoutError::Disconnected) => return Ok(Read::End),
            };
            if self.rest.is_empty() {
                return Ok(Read::End);
            }
        }
        let n = self.rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.rest[..n]);
        self.rest.drain(..n);
        Ok(Read::Bytes(n))
    }
}

impl Default for Input {
    fn default() -> Input {
        Input::new()
    }
}

/// Stdout.
pub struct Output {
    file: io::Result<File>,
}

impl Output {
    /// Takes stdout.
    pub fn new() -> Output {
        let handle: io::Result<OwnedHandle> = io::stdout().as_handle().try_clone_to_owned();
        Output { file: handle.map(File::from) }
    }

    /// Bytes that can be written at once: whole lines up to the pipe's size.
    pub fn room(&mut self) -> usize {
        PIPE_BYTES
    }

    /// Bytes that are written at once without asking for room.
    pub fn atomic(&self) -> usize {
        PIPE_BYTES
    }

    /// True: there will never be more room than now.
    pub fn is_drained(&self) -> bool {
        true
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// Stdout is gone.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Ok(file) => file.write_all(bytes),
            Err(e) => Err(io::Error::new(e.kind(), e.to_string())),
        }
    }

    /// Waits until the reader has taken everything, at most `limit`. True if it has.
    pub fn drain(&mut self, limit: Duration) -> bool {
        let Some(file) = self.file.as_ref().ok().and_then(|f| f.try_clone().ok()) else { return true };
        let (sender, done) = sync_channel(1);
        std::thread::spawn(move || {
            // This is FlushFileBuffers, which returns when the pipe has been read; on anything else it does not matter.
            let _ = file.sync_all();
            let _ = sender.send(());
        });
        done.recv_timeout(limit).is_ok()
    }
}

impl Default for Output {
    fn default() -> Output {
        Output::new()
    }
}
