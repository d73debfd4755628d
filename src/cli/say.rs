//! Lines on stdout.

/// Prints a line; a reader that has gone away is an error that the caller hands on.
macro_rules! say {
    ($($text:tt)*) => { writeln!(std::io::stdout(), $($text)*)? };
}

pub(super) use say;
