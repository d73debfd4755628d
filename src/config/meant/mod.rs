//! What was meant by what stands in a configuration and is not understood: from a text to what to write instead.
//!
//! All of it is pure. Nothing here decides what is valid: the section that reads a value does, and asks here only for what
//! to say. Deliberately absent: a correction that is taken without asking. No message holds a value of `[sink]`, which may
//! be a password.

pub mod amount;
pub mod key;
pub mod method;
pub mod syntax;
pub mod toml_text;
pub mod value;
pub mod zone;
