//! Signals: no signal ends the process before the input does.
//!
//! Telegraf closes stdin when it stops, and until then lines arrive. People signal by name (`pkill -HUP telegraf` matches
//! ours too), and systemd signals the whole group. So TERM, INT and whatever else would end us mean nothing by themselves; USR1,
//! by which Telegraf flushes its outputs, has the rows written now. Where a person sits at a terminal as our input, a second
//! Ctrl-C ends it as the end of the input does.
//!
//! Signals are handled, not ignored: a program that we start would inherit what is ignored.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as platform;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as platform;

mod request;

pub use platform::Caught;

use request::Request;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What ends the input at a terminal.
const END_OF_INPUT: &str = if cfg!(windows) { "Ctrl-Z and Enter" } else { "Ctrl-D" };

/// What a signal leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    GoOn,
    Flush,
    SayHowToEnd,
    End,
}

/// Whether a person is at the other end of the input, and what that person has asked for.
#[derive(Clone, Copy, Debug)]
struct Listener {
    is_terminal: bool,
    was_interrupted: bool,
}

impl Listener {
    fn answer(&mut self, request: Request) -> Answer {
        match request {
            Request::Flush => Answer::Flush,
            Request::Interrupt if self.is_terminal && !std::mem::replace(&mut self.was_interrupted, true) => {
                Answer::SayHowToEnd
            }
            Request::Interrupt | Request::End if self.is_terminal => Answer::End,
            Request::Interrupt | Request::End | Request::Other => Answer::GoOn,
        }
    }
}

/// What has been asked for by signals.
#[derive(Clone, Default)]
pub struct Asked(Arc<AtomicBool>);

impl Asked {
    /// True if a person at a terminal wants the process to end.
    pub fn to_end(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Listens to signals from now on. `flush` is called for one that asks for it, and must not wait. A person at a terminal is told
/// what is waited for.
pub fn listen(caught: Caught, flush: impl Fn() + Send + 'static) -> Asked {
    let asked = Asked::default();
    let mut listener = Listener { is_terminal: std::io::stdin().is_terminal(), was_interrupted: false };
    if listener.is_terminal {
        log::warn!(
            "the input is a terminal: waiting for line protocol; {END_OF_INPUT} ends the input, and so does Ctrl-C twice"
        );
    }
    let to_end = asked.0.clone();
    let heard = caught.listen(move |name, request| match listener.answer(request) {
        Answer::GoOn => log::info!("{name}: going on until the input ends"),
        Answer::SayHowToEnd => {
            log::warn!(
                "{name}: waiting for line protocol; Ctrl-C again, or {END_OF_INPUT}, ends it and writes the rows"
            );
        }
        Answer::Flush => {
            log::info!("{name}: a flush is asked for");
            flush();
        }
        Answer::End => {
            log::warn!("{name}: ending, as at the end of the input");
            to_end.store(true, Ordering::Relaxed);
        }
    });
    if let Err(e) = heard {
        log::error!("no thread can be started ({e}): signals do nothing; the stream ends with its input");
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_never_ended_by_a_signal() {
        let mut listener = Listener { is_terminal: false, was_interrupted: false };
        for request in [Request::Interrupt, Request::Interrupt, Request::End, Request::Other, Request::Interrupt] {
            assert_eq!(listener.answer(request), Answer::GoOn);
        }
        assert_eq!(listener.answer(Request::Flush), Answer::Flush);
    }

    #[test]
    fn a_terminal_is_told_once_and_ended_by_the_second_interrupt() {
        let mut listener = Listener { is_terminal: true, was_interrupted: false };
        assert_eq!(listener.answer(Request::Other), Answer::GoOn);
        assert_eq!(listener.answer(Request::Flush), Answer::Flush);
        assert_eq!(listener.answer(Request::Interrupt), Answer::SayHowToEnd);
        assert_eq!(listener.answer(Request::Interrupt), Answer::End);
        let mut listener = Listener { is_terminal: true, was_interrupted: false };
        assert_eq!(listener.answer(Request::End), Answer::End);
    }
}
