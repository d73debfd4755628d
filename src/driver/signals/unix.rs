//! Signals on Unix: all that would end a process are handled.

use super::request::Request;
use crate::driver::threads;
use signal_hook::consts::signal::{
    SIGBUS, SIGCHLD, SIGCONT, SIGFPE, SIGILL, SIGINT, SIGKILL, SIGPIPE, SIGQUIT, SIGSEGV, SIGSTOP, SIGTERM, SIGTSTP,
    SIGTTIN, SIGTTOU, SIGURG, SIGUSR1, SIGWINCH,
};
use signal_hook::iterator::Signals;
use signal_hook::low_level::signal_name;
use std::io;
use std::ops::RangeInclusive;

/// Every number that a signal may have, the real-time ones too.
const NUMBERS: RangeInclusive<i32> = 1..=64;
/// Those that are left alone. Two cannot be caught. Four report a fault of the program itself: a handler that returned would meet it
/// again for ever. A broken pipe is an error of the write. The others end nothing.
const LEFT_ALONE: [i32; 14] = [
    SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGPIPE, SIGCHLD, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG,
    SIGWINCH,
];

/// Signals that end nothing from now on, and wait to be listened to.
pub struct Caught(io::Result<Signals>);

impl Caught {
    /// Catches all signals that would end the process. Those that the system does not give away (the C library's own) are left.
    pub fn new() -> Caught {
        let caught = Signals::new(std::iter::empty::<i32>());
        if let Ok(signals) = &caught {
            for number in NUMBERS.filter(|number| !LEFT_ALONE.contains(number)) {
                let _ = signals.add_signal(number);
            }
        }
        Caught(caught)
    }

    /// Calls `hear` with the name of each signal and what it asks for, in a thread of its own.
    ///
    /// # Errors
    /// Signals cannot be caught, or no thread can be had.
    pub(super) fn listen(self, mut hear: impl FnMut(&str, Request) + Send + 'static) -> io::Result<()> {
        let mut signals = self.0?;
        let listen = move || {
            for number in signals.forever() {
                let request = match number {
                    SIGUSR1 => Request::Flush,
                    SIGINT => Request::Interrupt,
                    SIGTERM | SIGQUIT => Request::End,
                    _ => Request::Other,
                };
                match signal_name(number) {
                    Some(name) => hear(name, request),
                    None => hear(&format!("signal {number}"), request),
                }
            }
        };
        threads::start("signals", listen).map(drop)
    }
}
