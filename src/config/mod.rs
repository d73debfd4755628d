//! The configuration: as written (TOML, strict) -> as checked (typed, cannot be invalid) -> or a report of all problems.
//!
//! [`keys`] is the table of all keys. [`read`] walks the document by it and collects problems; each section has a file of
//! its own that makes the checked type of what stands there; [`check`] calls them all; [`report`] shows what is wrong.
//! Deliberately absent: opening files or sockets; the text and the environment are arguments, so that `check`, `run` and
//! the tests judge alike.

pub mod address;
pub mod anomaly;
pub mod assemble;
pub mod check;
pub mod column;
pub mod durability;
pub mod flush;
pub mod keys;
pub mod lateness;
pub mod limits;
pub mod meant;
pub mod missing;
pub mod mysql;
pub mod names;
pub mod nearest;
pub mod path;
pub mod read;
pub mod report;
pub mod retention;
pub mod root;
pub mod sink;
pub mod source;
pub mod summary;
pub mod units;

pub use self::check::Config;
pub use self::durability::Durability;
pub use self::flush::Flush;
pub use self::mysql::{MySql, Password, Tls};
pub use self::retention::Retention;
pub use self::sink::SinkConfig;
