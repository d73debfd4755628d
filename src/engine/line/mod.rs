//! Line protocol: bytes -> lines -> tokens, exactly as Telegraf's own parser reads it.
//!
//! Deliberately absent: what a line means to a summary; see [`crate::engine::series`].

pub mod decode;
pub mod frame;
pub mod head;
pub mod number;
pub mod scan;
pub mod token;
