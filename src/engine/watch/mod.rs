//! What comes in place of what columns ask for, so that a column without values can be explained.
//!
//! A sample of the lines is looked at as a whole, those among them that feed nothing: see [`sighting::Watch`] for which. It is
//! off until somebody asks for it, and costs a line that is not looked at nothing.

pub mod arrivals;
mod look;
pub mod sighting;
