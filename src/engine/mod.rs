//! The pure core: bytes and time in, state and rows out.
//!
//! Flow of one line ([`ingest`]): [`series`] finds what its head feeds; [`line`] reads the fields that are wanted; the point is
//! judged against `lateness`, passes the duplicate rules, and is folded into the partial of its device's base
//! [`window`]; [`aggregate`] has partials and rows. [`export`] says what is due, [`persist`] what survives, [`rules`] what judges.
//!
//! Architecture invariant: nothing in this folder reads a clock, opens a file or a socket, starts a thread, logs or
//! waits. Time and bytes are arguments. A test reads the sources and enforces it.

pub mod aggregate;
pub mod core;
pub mod counters;
pub mod export;
pub mod ids;
mod ingest;
pub mod line;
pub mod pattern;
pub mod persist;
pub mod precision;
pub mod rules;
pub mod schema;
pub mod series;
pub mod watch;
pub mod window;
pub mod zone;
mod zones;

pub use self::core::Engine;
pub use self::counters::Counters;
