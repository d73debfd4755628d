//! What reading stdin comes to.

/// The outcome of a read of stdin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes, at least one.
    Bytes(usize),
    /// The time limit passed without a byte.
    Timeout,
    /// The other side has closed the pipe.
    End,
}
