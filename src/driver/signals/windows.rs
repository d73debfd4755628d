//! Console events on Windows. Telegraf sends none; a person at a console presses Ctrl-C.

use super::request::Request;
use std::io;

/// Events of the console, which end nothing as soon as they are listened to.
pub struct Caught;

impl Caught {
    /// Prepares to listen.
    pub fn new() -> Caught {
        Caught
    }

    /// Calls `hear` with the name of each event and what it asks for, in a thread of its own.
    ///
    /// # Errors
    /// Events cannot be handled.
    pub(super) fn listen(self, mut hear: impl FnMut(&str, Request) + Send + 'static) -> io::Result<()> {
        ctrlc::set_handler(move || hear("Ctrl-C", Request::Interrupt)).map_err(io::Error::other)
    }
}
