//! The edge: the only clock, the threads, the pipes, the log.
//!
//! One thread is the stream ([`stream`]): it reads, frames, feeds the engine ([`ingest`]), writes the journal and writes
//! stdout. Another stands by to take over should the journal's disk be stuck ([`relay`]). The courier ([`courier`]) reads
//! the configuration, saves the state and flushes ([`flush`]). They share the engine behind a lock that the courier takes
//! for short slices only and never holds across input or output.
//!
//! The end: Telegraf closes stdin, waits 5 s, then kills. We flush once more if the sink is quick, wait until Telegraf has
//! read what we wrote (it drops what it has not read when we exit), and are gone within [`END_MAX`]. If stdin is closed but
//! its end cannot be reached, because nobody reads stdout, we are gone within the same time. SIGTERM and SIGINT mean nothing
//! by themselves: Telegraf closes stdin when it stops, and until then lines arrive.

pub mod aside;
pub mod backoff;
mod clock;
pub mod courier;
mod days;
pub mod flush;
pub mod ingest;
pub mod journaling;
pub mod keeper;
mod nap;
pub mod platform;
pub mod relay;
pub mod replay;
pub mod requests;
pub mod rows;
pub mod shared;
pub mod status;
pub mod stderr;
pub mod stream;
mod watch;

use courier::Courier;
use ingest::Ingest;
use platform::{Input, Output};
use shared::Shared;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use stream::{Ended, Stream};

/// From the end of the stream to our exit: Telegraf's patience is 5 s.
const END_MAX: Duration = Duration::from_millis(3_800);
/// Stdin is closed and stdout does not move for this long: nobody will read it. The rest of [`END_MAX`] is for saving.
const STALLED_MAX: Duration = Duration::from_millis(2_000);
/// How often it is looked whether stdin is closed.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the reader may take to read what we wrote last.
const DRAIN_MAX: Duration = Duration::from_millis(2_000);

/// Starts a thread that tools show under this name. Panics, as [`std::thread::spawn`] does, if the system has none left.
fn start_thread<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let thread = std::thread::Builder::new().name(name.to_string()).spawn(work);
    thread.unwrap_or_else(|e| panic!("no thread can be started: {e}"))
}

/// Runs as a child of Telegraf until stdin ends. With `forward` false nothing is written to stdout; with
/// `bypass` false everything that is goes through our own memory. Gives the exit code.
pub fn run(config: PathBuf, forward: bool, bypass: bool) -> u8 {
    // The first thing that happens must be that lines can flow. An error leaves the default handling in place, which
    // ends the process on a signal: not what we want, but no reason to stop.
    if let Err(e) = ctrlc::set_handler(|| log::info!("asked to stop: going on until the input ends")) {
        log::warn!("signals end the process at once: {e}");
    }
    let run = courier::random();
    let engine = Arc::new(Shared::starting(run, courier::random));
    let courier = Courier::start(config, run, engine.clone());
    let stream = Stream::new(Input::new(), forward.then(Output::new), bypass);
    let running = relay::start(stream, Ingest::new(engine, courier.waker()));
    let ended = wait(&running);
    let since = Instant::now();
    let patience = if ended.is_err() { END_MAX - STALLED_MAX } else { END_MAX };
    let (output, code) = match ended {
        Ok(Some((stream, Ended::EndOfInput))) => (stream.into_output(), 0),
        Ok(Some((_, Ended::OutputGone(e)))) => {
            log::error!("stdout is gone, nobody reads the stream: {e}");
            (None, 1)
        }
        Ok(Some((_, Ended::InputGone(e)))) => {
            log::error!("stdin cannot be read: {e}");
            (None, 1)
        }
        Err(NobodyReads) => {
            log::error!("stdin is closed, and nobody reads stdout: leaving with lines that were not forwarded");
            (None, 1)
        }
        Ok(None) => (None, 1),
    };
    // Reading goes on while the courier writes.
    let drained = start_thread("drain", move || output.is_none_or(|mut output| output.drain(DRAIN_MAX)));
    if !courier.finish(patience.saturating_sub(since.elapsed())) {
        log::error!("the last flush was not done in time: the rows of the last minutes are incomplete");
    }
    while !drained.is_finished() && since.elapsed() < patience {
        std::thread::sleep(Duration::from_millis(1));
    }
    log::logger().flush();
    code
}

/// Stdin is closed, and stdout has not moved for [`STALLED_MAX`].
struct NobodyReads;

type Running = Receiver<Option<(Box<Stream>, Ended)>>;

/// Waits until the stream has ended.
fn wait(running: &Running) -> Result<Option<(Box<Stream>, Ended)>, NobodyReads> {
    let mut still: Option<(platform::Progress, Instant)> = None;
    loop {
        match running.recv_timeout(LOOK_EVERY) {
            Ok(ended) => return Ok(ended),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if !platform::input_is_closed() {
            still = None;
            continue;
        }
        let progress = platform::progress();
        match &still {
            Some((before, since)) if *before == progress => {
                if since.elapsed() >= STALLED_MAX {
                    return Err(NobodyReads);
                }
            }
            _ => still = Some((progress, Instant::now())),
        }
    }
}
