//! Writing rows: what is due (from the engine), the protocol (to the sink, which knows no engine), and settling (back to it).

pub mod calendar;
pub mod days;
pub mod due;
pub mod merge;
pub mod pass;
pub mod protocol;
pub mod quarantine;
pub mod settle;
