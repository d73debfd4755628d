//! The engine, the journal, the stored state and the sink's protocol in one seeded world where everything fails.
//!
//! What runs is the product: [`Shared`], [`Keeper`], the journal and the flush; while a flush waits for the sink, everything else
//! goes on. What fails are its ports: the disk, the
//! store, the server, the clock, and the process itself, which dies at any call of a port.
//!
//! [`Shared`]: telegraf_rollup::driver::intake::shared::Shared
//! [`Keeper`]: telegraf_rollup::driver::owner::keeper::Keeper
// Allowed because not every file of tests uses all of it.
#![allow(dead_code)]

pub mod chance;
pub mod disk;
pub mod lives;
pub mod points;
pub mod server;
pub mod store;
pub mod world;

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mutant {
    /// None is.
    #[default]
    None,
    /// A batch is forwarded while its lines are in the memory of the process.
    JournalIsBuffered,
    /// A sync does nothing.
    JournalIsNotSynced,
    /// A checkpoint does not move the position of the journal.
    PositionIsForgotten,
    /// Checkpoints hold no memory of duplicates.
    DuplicatesAreForgotten,
    /// Checkpoints hold no pending points.
    PendingIsForgotten,
    /// The journal is removed before the checkpoint that covers it.
    JournalIsRemovedFirst,
    /// A lower `rev` replaces a higher one.
    PartialsAreNotGuarded,
    /// All processes of a state write in one name.
    RunsAreOne,
    /// A lower `revision` replaces a higher one.
    RowsAreNotGuarded,
    /// A lost statement counts as carried out.
    AcknowledgedBeforeWritten,
    /// A flush begins before the journal is safe.
    FlushIsNotSecured,
    /// Windows that wait in stored state are not fetched for a flush.
    WaitingIsNotFetched,
    /// A flush does not read what other writers have.
    OthersAreNotRead,
    /// A thread that comes back from the disk takes whatever stream is parked.
    TicketIsNotCompared,
    /// The keeper waits for a flush.
    FlusherIsWaitedFor,
    /// What a panicked checkpoint took out is not saved again.
    PanicIsNotSavedAgain,
    /// A state directory is claimed that another process owns.
    ClaimIsNotHeld,
    /// A flush that was abandoned is answered by the next owner's keeper.
    FlushNumberStays,
}
