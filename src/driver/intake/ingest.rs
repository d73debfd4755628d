//! What the stream hands its lines to: the shared engine, and the journal.

use super::shared::Shared;
use super::taken::Taken;
use super::wake::Wake;
use crate::driver::troubles::Troubles;
use std::sync::Arc;

/// Feeds lines to the shared engine. It does not panic.
pub struct Ingest {
    engine: Arc<Shared>,
    wake: Wake,
}

impl Ingest {
    pub fn new(engine: Arc<Shared>, wake: Wake) -> Ingest {
        Ingest { engine, wake }
    }

    /// Takes whole lines that have arrived at `at` (nanoseconds since the epoch). Does not wait for anything slow.
    pub fn lines<'b>(&self, lines: impl Iterator<Item = &'b [u8]>, at: i64) -> Taken {
        let (taken, first_match) = self.engine.batch(lines, at);
        if first_match {
            self.wake.wake();
        }
        taken
    }

    /// True if [`Ingest::settle`] has something to do, which may take time.
    pub fn needs_settling(&self, taken: &Taken) -> bool {
        match taken {
            Taken::Nothing => false,
            Taken::Kept => !self.engine.is_journal_stuck(),
            Taken::Journal(..) | Taken::Unjournaled(..) => true,
        }
    }

    /// Settles a batch; takes as long as the disk does. False if it is not in the journal.
    pub fn settle(&self, taken: Taken) -> bool {
        match taken {
            Taken::Nothing => true,
            Taken::Kept => {
                self.engine.wait_configured();
                true
            }
            Taken::Journal(journaling, frame) => journaling.append(frame),
            Taken::Unjournaled(journaling, position) => {
                if !self.engine.is_journal_stuck() {
                    journaling.probe(position);
                }
                false
            }
        }
    }

    /// Notes that the lines of a batch are not in the journal.
    pub fn mark_unjournaled<'b>(&self, lines: impl Iterator<Item = &'b [u8]>, at: i64) {
        self.engine.mark_unjournaled(lines, at);
    }

    /// What is wrong for a while.
    pub fn troubles(&self) -> &Troubles {
        self.engine.troubles()
    }

    /// Says whether a thread waits for the journal's disk: until it comes back, nothing is handed to the journal.
    pub fn journal_is_stuck(&self, stuck: bool) {
        self.engine.journal_is_stuck(stuck);
    }
}
