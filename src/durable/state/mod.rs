//! `state.db`: everything that must survive, but for the lines behind its position.

mod columns;
pub mod db;
mod upgrade;
