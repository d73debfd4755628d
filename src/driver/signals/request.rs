//! What a signal asks for.

/// What a signal asks for. Windows has Ctrl-C alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(windows, allow(dead_code))]
pub enum Request {
    /// The rows are to be written now.
    Flush,
    /// Somebody has pressed Ctrl-C.
    Interrupt,
    /// The process is to end.
    End,
    /// Something that means nothing here.
    Other,
}
