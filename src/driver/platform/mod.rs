//! What differs by platform: reading stdin with a time limit, and knowing the pipe behind stdout.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use unix::{Input, Output, Progress, input_is_closed, progress};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub use windows::{Input, Output, Progress, input_is_closed, progress};

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
