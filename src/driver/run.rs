//! Runs as a child of Telegraf until stdin ends.
//!
//! The end: Telegraf closes stdin, waits 5 s, then kills. We flush once more if the sink is quick, wait until Telegraf has
//! read what we wrote (it drops what it has not read when we exit), and are gone within [`END_MAX`]. If stdin is closed but
//! its end cannot be reached, because nobody reads stdout, we are gone within the same time. Signals end nothing
//! ([`super::signals`]), but for a person at a terminal: then the stream is left where it is, and all else is as at the end.

use super::intake::ingest::Ingest;
use super::intake::shared::Shared;
use super::intake::wake::Wake;
use super::names::random;
use super::owner::thread::Owner;
use super::signals::{self, Asked, Caught};
use super::stream::pipe::{Ended, Stream};
use super::stream::platform::{self, Input, Output};
use super::stream::relay;
use super::threads;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// From the end of the stream to our exit: Telegraf's patience is 5 s.
const END_MAX: Duration = Duration::from_millis(3_800);
/// Stdin is closed and stdout does not move for this long: nobody will read it. The rest of [`END_MAX`] is for saving.
const STALLED_MAX: Duration = Duration::from_millis(2_000);
/// How often it is looked whether stdin is closed.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the reader may take to read what we wrote last.
const DRAIN_MAX: Duration = Duration::from_millis(2_000);
/// How often it is said why nothing is counted.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// A thread that could not be started is tried again after this time.
const START_EVERY: Duration = Duration::from_secs(10);

/// Runs until stdin ends. With `forward` false nothing is written to stdout; with `bypass` false everything that is goes
/// through our own memory. Returns the exit code.
pub fn run(config: PathBuf, forward: bool, bypass: bool) -> u8 {
    // The first thing that happens must be that lines can flow, and that no signal ends them.
    let caught = Caught::new();
    let run = random();
    let engine = Arc::new(Shared::starting(run, random));
    let owner = Owner::new(config, run, engine.clone());
    owner.start();
    let asked = signals::listen(caught, owner.flush_now());
    let stream = Stream::new(Input::new(), forward.then(Output::new), bypass);
    let running = relay::start(stream, Ingest::new(engine, owner.waker()));
    let mut is_started = owner.start();
    let mut tried = Instant::now();
    let ended = wait(&running, &asked, || {
        if !is_started && tried.elapsed() >= START_EVERY {
            (is_started, tried) = (owner.start(), Instant::now());
        }
    });
    let since = Instant::now();
    let patience = if matches!(ended, StreamEnd::NobodyReads) { END_MAX - STALLED_MAX } else { END_MAX };
    let (output, code) = ended.judge();
    // Reading goes on while the rows are written.
    let mut output = output;
    let shared = Arc::new(std::sync::Mutex::new(output.take()));
    let drain = {
        let output = shared.clone();
        move || {
            let output = output.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            output.is_none_or(|mut output| output.drain(DRAIN_MAX))
        }
    };
    let drained = threads::start("drain", drain.clone());
    if !owner.finish(patience.saturating_sub(since.elapsed())) {
        log::error!("the state could not be saved in time: the next start finds what came last in the journal");
    }
    match drained {
        Ok(drained) => {
            while !drained.is_finished() && since.elapsed() < patience {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Err(_) => drop(drain()),
    }
    log::logger().flush();
    code
}

/// Passes lines from stdin to stdout until stdin ends, and counts nothing. `complain` is called at once and every
/// [`COMPLAIN_EVERY`]. With `forward` false nothing is written to stdout.
pub fn pass(forward: bool, complain: impl Fn()) {
    let asked = signals::listen(Caught::new(), || ());
    let engine = Arc::new(Shared::starting(random(), random));
    engine.switch_off();
    let stream = Stream::new(Input::new(), forward.then(Output::new), true).uncounted();
    let running = relay::start(stream, Ingest::new(engine, Wake::new(|| ())));
    complain();
    let mut said = Instant::now();
    let ended = wait(&running, &asked, || {
        if said.elapsed() >= COMPLAIN_EVERY {
            complain();
            said = Instant::now();
        }
    });
    if let (Some(mut output), _) = ended.judge() {
        output.drain(DRAIN_MAX);
    }
    log::logger().flush();
}

/// Why the stream is waited for no longer.
enum StreamEnd {
    /// It has ended.
    Stream(Box<Stream>, Ended),
    /// An error that nobody thought of has taken it.
    Lost,
    /// Stdin is closed, and stdout has not moved for [`STALLED_MAX`].
    NobodyReads,
    /// A person at a terminal wants it.
    Asked,
}

impl StreamEnd {
    /// Says what was wrong. Returns stdout, if somebody may still read it, and the exit code.
    fn judge(self) -> (Option<Output>, u8) {
        match self {
            StreamEnd::Stream(stream, Ended::EndOfInput) => return (stream.into_output(), 0),
            StreamEnd::Asked => return (None, 0),
            StreamEnd::Stream(_, Ended::OutputGone(e)) => {
                log::error!("stdout is gone, nobody reads the stream: {e}; Telegraf starts this process again")
            }
            StreamEnd::Stream(_, Ended::InputGone(e)) => {
                log::error!("stdin cannot be read: {e}; Telegraf starts this process again")
            }
            StreamEnd::NobodyReads => {
                log::error!("stdin is closed, and nobody reads stdout: leaving with lines that were not forwarded");
            }
            StreamEnd::Lost => {}
        }
        (None, 1)
    }
}

type Running = Receiver<Option<(Box<Stream>, Ended)>>;

/// Waits until the stream has ended, or is not to be waited for. Calls `meanwhile` again and again.
fn wait(running: &Running, asked: &Asked, mut meanwhile: impl FnMut()) -> StreamEnd {
    let mut still: Option<(platform::Progress, Instant)> = None;
    loop {
        match running.recv_timeout(LOOK_EVERY) {
            Ok(Some((stream, ended))) => return StreamEnd::Stream(stream, ended),
            Ok(None) | Err(RecvTimeoutError::Disconnected) => return StreamEnd::Lost,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if asked.to_end() {
            return StreamEnd::Asked;
        }
        meanwhile();
        if !platform::input_is_closed() {
            still = None;
            continue;
        }
        let progress = platform::progress();
        match &still {
            Some((before, since)) if *before == progress => {
                if since.elapsed() >= STALLED_MAX {
                    return StreamEnd::NobodyReads;
                }
            }
            _ => still = Some((progress, Instant::now())),
        }
    }
}
