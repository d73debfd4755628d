//! Where rows go: the flush protocol's three steps against a database, without locks, transactions or session state.
//!
//! (1) [`Sink::put_partials`] upserts this writer's partials; (2) [`Sink::read_partials`] reads all writers' partials of
//! the same keys; (3) [`Sink::put_rows`] upserts the rows that were merged from them, guarded by their revision. It is
//! right because every writer writes before it reads, and partials only grow: the last writer sees everything, and
//! a row of fewer points never replaces a row of more. Every step can be repeated, reordered or interrupted.
//!
//! A partial belongs to a run: what one process has seen of a window. Only that process adds to it, so of two copies of it
//! the one of the higher `rev` holds the other, whoever writes it: the process itself, one that has recovered its state, or
//! one on a cloned machine. The points of a window are those of all its runs.
//!
//! Deliberately absent: retries, schedules and merging. They belong to the caller, `flush` in the driver.

mod account;
pub mod answer;
pub mod codes;
mod connect;
mod declare;
mod explain;
pub mod memory;
pub mod mysql;
pub mod open;
mod password;
pub mod port;
pub mod probe;
pub mod reader;
pub mod sql;
pub mod sqlite;
mod tls;
mod trouble;
mod wal;
pub mod whole;
