//! Work that a command does from its start to its end.

pub mod demo;
pub mod replay;
pub mod report;
