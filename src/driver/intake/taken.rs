//! What became of a batch of lines.

use super::journaling::Journaling;
use crate::durable::journal::frame::Frame;

/// What became of a batch.
pub enum Taken {
    /// Nothing of it matched, or there is nothing to journal it with.
    Nothing,
    /// Kept until the configuration has been read: it is settled when that is done.
    Kept,
    /// To be written to the journal: it is settled when that is done.
    Journal(Journaling, Frame),
    /// The journal cannot take it; it would go on at a position.
    Unjournaled(Journaling, u64),
}
