//! What keeps a server from being used, as one sentence: which server, the cause, and what helps.

use super::port::SinkError;
use std::fmt;

/// What keeps a server from being used.
#[derive(Clone, Debug)]
pub struct SinkTrouble {
    /// What it is about, as `check` names it.
    pub subject: &'static str,
    /// It may pass by itself.
    pub is_passing: bool,
    /// Which server, and the cause.
    pub cause: String,
    /// What helps; empty: nothing is known.
    pub remedy: String,
}

impl SinkTrouble {
    /// SinkTrouble that may pass by itself.
    pub fn passing(subject: &'static str, cause: impl Into<String>, remedy: impl Into<String>) -> SinkTrouble {
        SinkTrouble { subject, is_passing: true, cause: cause.into(), remedy: remedy.into() }
    }

    /// SinkTrouble that lasts until somebody changes something.
    pub fn lasting(subject: &'static str, cause: impl Into<String>, remedy: impl Into<String>) -> SinkTrouble {
        SinkTrouble { subject, is_passing: false, cause: cause.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for SinkTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, ": {}", self.remedy) }
    }
}

impl From<SinkTrouble> for SinkError {
    fn from(trouble: SinkTrouble) -> SinkError {
        match trouble.is_passing {
            true => SinkError::Temporary(trouble.to_string()),
            false => SinkError::Setup(trouble.to_string()),
        }
    }
}
