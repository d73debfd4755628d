//! State that survives: the journal of matched lines, the stored state, and the right to both.
//!
//! ```text
//! state_dir/
//!   lock                    held by the process that owns the directory
//!   state.db                SQLite, private: partials, pending points, memory of duplicates, journal position
//!   journal/…               matched lines behind the checkpoint, see [`journal`]
//!   summary.db              the default sink; not part of the state
//! ```
//!
//! The rule that everything follows from: *what the engine holds is the stored state plus the journal behind its
//! position, through the same engine.* A line is in the journal before it is forwarded, so a kill loses nothing that was
//! forwarded. The journal is synced on a timer and before a flush, so a power loss takes at most what came since, and never
//! something that the sink has. Where the journal cannot be relied on (a sync has failed, a file is not in its place),
//! a flush saves a checkpoint first. A checkpoint is one transaction, synced by itself; what it covers of the journal
//! needs no sync any more.

pub mod claim;
pub mod disk;
pub mod journal;
pub mod private;
pub mod recover;
pub mod state;
pub mod state_error;
pub mod store;
pub mod user;
