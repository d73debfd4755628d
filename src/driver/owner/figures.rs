//! The figures of one moment: one snapshot for the log, the status and `status.json`.

use crate::driver::deliver::flusher::FlushReport;
use crate::driver::flush::due::DEVICES_A_SLICE;
use crate::driver::intake::shared::Shared;
use crate::durable::disk::Disk;
use crate::engine::counters::Tally;
use crate::engine::precision::Misread;
use crate::engine::schema::Schema;
use crate::engine::series::columns;
use crate::engine::{Counters, Engine};

/// What became of the values of a column.
#[derive(Clone, Debug, Default)]
pub struct ColumnFigures {
    pub summary: String,
    pub name: String,
    pub tally: Tally,
}

impl ColumnFigures {
    /// Those of columns that have taken nothing.
    pub fn none(schema: &Schema) -> Vec<ColumnFigures> {
        ColumnFigures::of(schema, vec![Tally::default(); columns::columns(schema).count()])
    }

    /// Those of all columns, in the order of the configuration.
    pub fn of(schema: &Schema, tallies: Vec<Tally>) -> Vec<ColumnFigures> {
        let each = columns::columns(schema).zip(tallies).map(|((_, summary, column), tally)| ColumnFigures {
            summary: summary.name.clone(),
            name: column.name.clone(),
            tally,
        });
        each.collect()
    }
}

/// What a process says of itself.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub counters: Counters,
    /// In the order of the configuration.
    pub columns: Vec<ColumnFigures>,
    /// Timestamps that look like another unit than nanoseconds.
    pub misread: Misread,
    pub devices: usize,
    pub series: usize,
    /// Base windows in memory.
    pub windows: usize,
    /// Base windows that the sink does not have as they are.
    pub unacknowledged: u64,
    /// Those of them that wait in stored state.
    pub waiting_on_disk: u64,
    /// Bytes that the journal takes on the disk; `None` if the disk does not say.
    pub journal_bytes: Option<u64>,
    /// The first few heads that fed nothing.
    pub unmatched: Vec<String>,
}

impl Figures {
    /// Takes them, in slices under the engine's lock.
    pub fn take(shared: &Shared, disk: Option<&dyn Disk>) -> Figures {
        let of = |engine: &mut Engine| Figures {
            counters: engine.counters(),
            columns: ColumnFigures::of(engine.schema(), engine.tallies()),
            misread: engine.misread(),
            devices: engine.device_count(),
            series: engine.series_count(),
            waiting_on_disk: engine.away(),
            unmatched: engine.unmatched_heads().to_vec(),
            ..Figures::default()
        };
        let mut figures = shared.with(of).unwrap_or_default();
        let (mut windows, mut due) = (0, 0);
        shared.slices(|engine, from| engine.open_windows(from, DEVICES_A_SLICE, (&mut windows, &mut due)));
        figures.windows = windows;
        figures.unacknowledged = due as u64 + figures.waiting_on_disk;
        figures.journal_bytes = disk.and_then(|disk| disk.bytes().ok());
        figures
    }
}

/// How flushes went.
#[derive(Clone, Debug, Default)]
pub struct FlushFigures {
    /// The last one that has ended; `None`: none has.
    pub last: Option<FlushReport>,
    /// When the last one began that wrote everything; `None`: none has.
    pub complete_at: Option<i64>,
    /// When the one that is at work began, nanoseconds since the epoch; `None`: none is.
    pub running_since: Option<i64>,
}
