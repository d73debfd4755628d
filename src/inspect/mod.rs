//! What `check` looks at on this machine: files by the rights of the user that runs Telegraf, and Telegraf's own configuration.
//!
//! [`account`] says who that user is, and acts as it; [`rights`] asks what it may; [`files`] judges what the configuration
//! names. [`process`] finds a running Telegraf; [`agent`] reads its files; [`snippet`] judges what stands there of us, [`filters`] what Telegraf
//! lets through, by the semantics of [`glob`]. Deliberately absent: writing, printing, and the sink, which `sink::probe` looks at.

pub mod account;
pub mod agent;
pub mod files;
pub mod filters;
pub mod glob;
pub mod process;
pub mod rights;
pub mod snippet;
pub mod system;
pub mod volume;
