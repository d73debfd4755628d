//! A made-up month of five computers, through the engine and the flush that `run` uses, into a SQLite file.

mod scene;

use super::replay::Replay;
use crate::config::Config;
use crate::sink::port::{Sink, SinkError};

pub use self::scene::HOSTS;

/// The configuration of the demo.
pub const CONFIG: &str = include_str!("rollup.toml");

/// The moment at which the demo is looked at, nanoseconds since the epoch.
pub const NOW: i64 = scene::END * 1_000_000_000;

/// Writes the rows of the demo into a sink that has none yet. Returns the number of lines.
///
/// # Errors
/// Those of the sink.
pub fn write(config: &Config, sink: &mut dyn Sink) -> Result<usize, SinkError> {
    let lines = scene::lines();
    let mut replay = Replay::new(&config.schema, Some(NOW));
    // A text in memory can be read.
    let _ = replay.feed(&mut lines.as_bytes());
    replay.write_to(sink, NOW)?;
    Ok(lines.lines().count())
}
