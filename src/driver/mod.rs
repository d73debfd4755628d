//! The edge: the only clock, the threads, the pipes, the log.
//!
//! Two threads. The main thread is the stream ([`stream`]): it reads, frames, feeds the engine ([`ingest`]) and writes.
//! The courier ([`courier`]) reads the configuration and flushes ([`flush`]). They share the engine behind a lock that
//! the courier takes for short slices only and never holds across input or output.
//!
//! The end: Telegraf closes stdin, waits 5 s, then kills. We flush once more if the sink is quick, wait until Telegraf has
//! read what we wrote (it drops what it has not read when we exit), and are gone within [`END_MAX`]. SIGTERM and SIGINT
//! mean nothing by themselves: Telegraf closes stdin when it stops, and until then lines arrive.

pub mod clock;
pub mod courier;
pub mod flush;
pub mod ingest;
pub mod journaling;
pub mod keeper;
pub mod platform;
pub mod replay;
pub mod rows;
pub mod shared;
pub mod stderr;
pub mod stream;

use courier::Courier;
use ingest::Ingest;
use platform::{Input, Output};
use shared::Shared;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stream::Ended;

/// From the end of the stream to our exit: Telegraf's patience is 5 s.
const END_MAX: Duration = Duration::from_millis(3_800);
/// How long the reader may take to read what we wrote last.
const DRAIN_MAX: Duration = Duration::from_millis(2_000);

/// Runs as a child of Telegraf until stdin ends. With `forward` false nothing is written to stdout. Gives the exit code.
pub fn run(config: PathBuf, forward: bool) -> u8 {
    // The first thing that happens must be that lines can flow. An error leaves the default handling in place, which
    // ends the process on a signal: not what we want, but no reason to stop.
    if let Err(e) = ctrlc::set_handler(|| log::info!("asked to stop: going on until the input ends")) {
        log::warn!("signals end the process at once: {e}");
    }
    let engine = Arc::new(Shared::starting());
    let courier = Courier::start(config, engine.clone());
    let mut input = Input::new();
    let mut output = forward.then(Output::new);
    let mut ingest = Ingest::new(engine.clone(), courier.waker());
    let ended = stream::run(&mut input, &mut output, &mut ingest);
    let since = Instant::now();
    let code = match &ended {
        Ended::EndOfInput => 0,
        Ended::OutputGone(e) => {
            log::error!("stdout is gone, nobody reads the stream: {e}");
            1
        }
        Ended::InputGone(e) => {
            log::error!("stdin cannot be read: {e}");
            1
        }
    };
    // Reading goes on while the courier writes.
    let is_read = matches!(ended, Ended::EndOfInput);
    let drained = std::thread::spawn(move || !is_read || output.is_none_or(|mut output| output.drain(DRAIN_MAX)));
    if !courier.finish(END_MAX.saturating_sub(since.elapsed())) {
        log::error!("the last flush was not done in time: the rows of the last minutes are incomplete");
    }
    while !drained.is_finished() && since.elapsed() < END_MAX {
        std::thread::sleep(Duration::from_millis(1));
    }
    code
}
