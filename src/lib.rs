//! telegraf-rollup: hourly and daily per-device summaries of the Telegraf metric stream.
//!
//! Layers, top to bottom; imports point down only. `src/README.md` is the map.
//!
//! - [`cli`]: arguments -> command -> exit code
//! - [`inspect`]: what `check` looks at on this machine
//! - [`driver`]: the only clock, threads, pipes and log
//! - [`config`]: as written -> as checked -> report of all errors
//! - [`durable`]: journal, stored state, recovery, and who owns them
//! - [`report`]: pure; rows in, a page of HTML out
//! - [`sink`]: partials and rows in SQLite and MySQL
//! - [`engine`]: pure; bytes and time in, state and rows out
//!
//! Beside them: [`text`], by which all but the engine read text files of the world; [`places`], where the packages put things;
//! [`finding`], the form of what `check` finds; `users`, the names of a Unix machine's users and groups;
//! [`words`], numbers and lengths of time as people read them.

pub mod cli;
pub mod config;
pub mod config_file;
pub mod driver;
pub mod durable;
pub mod engine;
pub mod finding;
pub mod inspect;
pub mod places;
pub mod report;
pub mod sink;
pub mod text;
#[cfg(unix)]
pub mod users;
pub mod words;
