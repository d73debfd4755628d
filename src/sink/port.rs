//! The port to a database that holds partials and rows; see the head of [`super`].

use crate::engine::aggregate::row::Summed;
use crate::engine::ids::Key;
use crate::engine::schema::{Schema, Summary};
use crate::engine::zone::{Span, WindowKind, Zone};
use std::sync::Arc;

/// What one run has seen of a base window of a device, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialRecord {
    /// The text of the key tags.
    pub key: Key,
    /// Start of the window, nanoseconds since the epoch.
    pub window_start: i64,
    /// The state directory that the run belongs to.
    pub writer: Arc<str>,
    pub run: Arc<str>,
    /// Points folded in: a lower number never replaces a higher one.
    pub rev: u64,
    /// JSON; see [`crate::engine::aggregate::partial`].
    pub state: String,
}

impl PartialRecord {
    /// The record as it is found by one who asks for `states`.
    pub fn found(&self, states: States<'_>) -> FoundPartial {
        FoundPartial {
            key: self.key.clone(),
            window_start: self.window_start,
            writer: self.writer.clone(),
            run: self.run.clone(),
            rev: self.rev,
            state: states.wants(&self.run).then(|| self.state.clone()),
        }
    }
}

/// A stored partial, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPartial {
    pub key: Key,
    /// Start of the window, nanoseconds since the epoch.
    pub window_start: i64,
    pub writer: Arc<str>,
    pub run: Arc<str>,
    pub rev: u64,
    /// JSON; `None` if it was not asked for.
    pub state: Option<String>,
}

/// Names that are the same in very many records, shared while they are read.
#[derive(Default)]
pub struct Names(Vec<Arc<str>>);

/// So many names are shared: of the writers and runs of a batch there are few.
const NAMES_MAX: usize = 16;

impl Names {
    /// A name, shared with those before it.
    pub fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.iter().find(|known| ***known == *name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        if self.0.len() < NAMES_MAX {
            self.0.push(name.clone());
        }
        name
    }
}

/// Which states are asked for together with the keys and revisions of partials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum States<'a> {
    All,
    None,
    /// All but those of these runs, of which the caller has them.
    Except(&'a [String]),
}

impl States<'_> {
    /// True if the state of a run is asked for.
    pub fn wants(&self, run: &str) -> bool {
        match self {
            States::All => true,
            States::None => false,
            States::Except(runs) => !runs.iter().any(|known| known == run),
        }
    }
}

/// A record or row that the database does not take: neither now nor later, unless something changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which of those that were given.
    pub index: usize,
    pub reason: String,
}

/// The base windows of one device that start in `span`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialRange {
    pub key: Key,
    pub span: Span,
}

impl PartialRange {
    /// The one window that starts at `start`.
    pub fn exact(key: &Key, start: i64) -> PartialRange {
        PartialRange { key: key.clone(), span: Span { start, end: start + 1 } }
    }
}

/// One row of a summary table.
#[derive(Clone, Debug, PartialEq)]
pub struct RowRecord {
    pub key: Key,
    pub span: Span,
    /// The zone that cut the window.
    pub zone: Arc<Zone>,
    pub summed: Summed,
    /// The window's end plus the allowed lateness has passed.
    pub is_final: bool,
    /// Sum of the partials' `rev`.
    pub revision: u64,
    /// Writers with at least one partial in the window.
    pub writers: u32,
}

/// Why a sink could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// It may work later: the server is away, busy, or the connection was lost.
    #[error("{0}")]
    Temporary(String),
    /// A person has to change something; the text says what.
    #[error("{0}")]
    Setup(String),
    /// What was there could not be read any more and has been set aside: everything that is still known is to be put again.
    #[error("{0}")]
    Emptied(String),
}

/// What `check` shows of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableInfo {
    pub name: String,
    /// Rows, and the start of the newest window; `None` if the table does not exist yet.
    pub content: Option<(u64, Option<String>)>,
}

/// A database that holds partials and rows.
pub trait Sink {
    /// Connects, and creates or completes the tables. Called before the first step of every flush; cheap when nothing
    /// has changed.
    ///
    /// # Errors
    /// The database is away, or its tables do not fit and may not be changed.
    fn prepare(&mut self, schema: &Schema) -> Result<(), SinkError>;

    /// Step 1. Returns those that were refused; the others are written.
    ///
    /// # Errors
    /// Some or all records may not have been written: put them again.
    fn put_partials(&mut self, summary: &Summary, records: &[PartialRecord]) -> Result<Vec<Refused>, SinkError>;

    /// Step 2. The order of the answer is not defined.
    ///
    /// # Errors
    /// Nothing was read.
    fn read_partials(
        &mut self,
        summary: &Summary,
        ranges: &[PartialRange],
        states: States<'_>,
    ) -> Result<Vec<FoundPartial>, SinkError>;

    /// Step 3. `now` (nanoseconds since the epoch) becomes `updated_at`. Returns those that were refused; the others
    /// are written.
    ///
    /// # Errors
    /// Some or all rows may not have been written: compute and put them again.
    fn put_rows(
        &mut self,
        summary: &Summary,
        kind: WindowKind,
        rows: &[RowRecord],
        now: i64,
    ) -> Result<Vec<Refused>, SinkError>;

    /// Deletes rows (`kind`), or partials (`None`), of windows that started longer ago than `age` nanoseconds, by the clock of the
    /// database if it has one, else by `now`. Returns how many are gone; there may be more for the next time.
    ///
    /// # Errors
    /// Some may be gone.
    fn purge(&mut self, summary: &Summary, kind: Option<WindowKind>, age: i64, now: i64) -> Result<u64, SinkError>;

    /// Ends the connection; the next [`Sink::prepare`] makes a new one.
    fn disconnect(&mut self);

    /// Ends the use of the database for longer than from one flush to the next: a file is left as others can read it best.
    fn close(&mut self) {
        self.disconnect();
    }

    /// Looks at the tables without changing anything.
    ///
    /// # Errors
    /// The database is away.
    fn inspect(&mut self, schema: &Schema) -> Result<Vec<TableInfo>, SinkError>;
}
