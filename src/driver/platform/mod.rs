//! What differs by platform: reading stdin with a time limit, and knowing the pipe behind stdout.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use unix::{Input, Output, Progress, input_is_closed, progress};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub use windows::{Input, Output, Progress, input_is_closed, progress};

#[cfg(target_os = "linux")]
mod bypass;
#[cfg(target_os = "linux")]
pub use bypass::Bypass;

/// A way around copies that this platform does not have.
#[cfg(not(target_os = "linux"))]
pub enum Bypass {}

#[cfg(not(target_os = "linux"))]
impl Bypass {
    pub fn new(_: &Input, _: &Output) -> Option<Bypass> {
        None
    }

    pub fn is_taken(&self) -> bool {
        match *self {}
    }

    pub fn consider(&mut self, _: &[u8]) {
        match *self {}
    }

    pub fn leave(&mut self) {
        match *self {}
    }

    pub fn read(&mut self, _: &mut Input, _: &mut [u8], _: Option<std::time::Duration>) -> std::io::Result<Read> {
        match *self {}
    }

    pub fn forward(&mut self, _: &mut Output, _: usize) -> std::io::Result<bool> {
        match *self {}
    }
}

/// What a read of stdin gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes, at least one.
    Bytes(usize),
    /// The time limit passed without a byte.
    Timeout,
    /// The other side has closed the pipe.
    End,
}
