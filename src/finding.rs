//! What a look at something has found: one form for `check`, whatever was looked at.
//!
//! A finding says what is so, and what to do if it is not right. It never holds a password.

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// As it should be.
    Fine,
    /// It works, but most likely not as it was meant, or not for long.
    Warning,
    /// It does not work.
    Failure,
}

impl Weight {
    /// Returns the name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Weight::Fine => "fine",
            Weight::Warning => "warning",
            Weight::Failure => "failure",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it weighs.
    pub weight: Weight,
    /// What was looked at, for programs: `state_dir`, `sink.rights`, `telegraf.namepass`.
    pub subject: &'static str,
    /// What is so, in a sentence.
    pub text: String,
    /// What to do; `None`: nothing.
    pub remedy: Option<String>,
}

impl Finding {
    /// Something that is as it should be.
    pub fn fine(subject: &'static str, text: impl Into<String>) -> Finding {
        Finding { weight: Weight::Fine, subject, text: text.into(), remedy: None }
    }

    /// Something that works, but most likely not as it was meant.
    pub fn warning(subject: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { weight: Weight::Warning, subject, text: text.into(), remedy: Some(remedy.into()) }
    }

    /// Something that does not work.
    pub fn failure(subject: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { weight: Weight::Failure, subject, text: text.into(), remedy: Some(remedy.into()) }
    }
}
