//! Partials of all writers -> base windows. The order of merging is fixed, so every writer computes the same row.

use crate::engine::aggregate::partial::Partial;
use crate::engine::schema::Summary;
use crate::sink::port::FoundPartial;
use std::collections::{BTreeMap, BTreeSet};

/// What one run has seen of a base window, wherever it is.
pub struct Piece<'a> {
    pub window_start: i64,
    pub writer: &'a str,
    pub run: &'a str,
    pub state: PieceState<'a>,
}

/// Where the state of a piece is.
pub enum PieceState<'a> {
    /// As stored.
    Stored(&'a str),
    /// As the engine has copied it.
    InMemory(&'a Partial),
}

/// Base windows in the order of time, each merged over all writers.
///
/// # Errors
/// A partial that cannot be read, and why.
pub fn hours(summary: &Summary, key: &[String], mut pieces: Vec<Piece<'_>>) -> Result<BTreeMap<i64, Partial>, String> {
    // In one order: sums of doubles are the same whoever computes the row.
    pieces.sort_by(|a, b| (a.window_start, a.writer, a.run).cmp(&(b.window_start, b.writer, b.run)));
    let mut hours: BTreeMap<i64, Partial> = BTreeMap::new();
    for piece in pieces {
        let hour = hours.entry(piece.window_start).or_default();
        match piece.state {
            PieceState::InMemory(partial) => hour.merge(partial),
            PieceState::Stored(text) => hour.merge(
                &Partial::from_json(text, summary)
                    .map_err(|e| format!("the partial of writer {} for {key:?} is not readable: {e}", piece.writer))?,
            ),
        }
    }
    Ok(hours)
}

/// True if an answer holds all that an earlier one had of the same windows: nobody takes a partial back.
pub fn holds(answer: &[FoundPartial], earlier: &[FoundPartial]) -> bool {
    let has = |e: &FoundPartial| {
        answer.iter().any(|f| f.run == e.run && f.window_start == e.window_start && f.key == e.key && f.rev >= e.rev)
    };
    earlier.iter().all(has)
}

impl<'f> Piece<'f> {
    /// A piece whose state was read from the sink.
    pub fn stored(found: &'f FoundPartial) -> Piece<'f> {
        let state = PieceState::Stored(found.state.as_deref().unwrap_or_default());
        Piece { window_start: found.window_start, writer: &found.writer, run: &found.run, state }
    }
}

/// Merges the pieces of one base window. Returns an empty partial if there are none.
///
/// # Errors
/// A partial that cannot be read, and why.
pub fn hour(summary: &Summary, key: &[String], pieces: Vec<Piece<'_>>) -> Result<Partial, String> {
    Ok(hours(summary, key, pieces)?.pop_first().map(|(_, hour)| hour).unwrap_or_default())
}

/// Returns the revision of a row: the sum of those of its partials.
pub fn revision(found: &[&FoundPartial]) -> u64 {
    found.iter().fold(0, |sum, f| sum.saturating_add(f.rev))
}

/// Returns how many writers have a partial among these.
pub fn writers(found: &[&FoundPartial]) -> u32 {
    let writers: BTreeSet<&str> = found.iter().map(|f| &*f.writer).collect();
    u32::try_from(writers.len()).unwrap_or(u32::MAX)
}
