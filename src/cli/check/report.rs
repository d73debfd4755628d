//! What `check` says, for people and for programs.
//!
//! Invariant: the first line, the exit code and the verdict in JSON say the same.

use crate::cli::say::say;
use crate::config::report::Problem;
use crate::finding::{Finding, Weight};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Everything that was found.
pub struct Report<'a> {
    config: &'a Path,
    /// The name of the user that files were judged by, and how it was found.
    pub account: Option<(String, String)>,
    /// The sink's name; `None` if the configuration cannot be used.
    sink: Option<String>,
    pub findings: Vec<Finding>,
    /// What is wrong with the configuration.
    pub problems: Vec<Problem>,
}

/// The groups of findings: what their subjects begin with, and what stands above them.
const GROUPS: [(&[&str], &str); 4] = [
    (&["config"], "configuration"),
    (&["account", "file", "state_dir"], "files"),
    (&["sink"], "sink"),
    (&["telegraf"], "Telegraf"),
];

impl<'a> Report<'a> {
    /// A report of nothing yet.
    pub fn new(config: &'a Path, sink: Option<String>) -> Report<'a> {
        Report { config, account: None, sink, findings: Vec::new(), problems: Vec::new() }
    }

    fn count(&self, weight: Weight) -> usize {
        self.findings.iter().filter(|finding| finding.weight == weight).count()
    }

    fn verdict(&self) -> Weight {
        match self.problems.is_empty() {
            true => self.findings.iter().map(|finding| finding.weight).max().unwrap_or(Weight::Fine),
            false => Weight::Failure,
        }
    }

    /// 0: fine, 1: it works, with warnings, 2: it does not work.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.verdict() {
            Weight::Fine => 0,
            Weight::Warning => 1,
            Weight::Failure => 2,
        })
    }

    /// Prints the line that says that it does not work, and how many things are to be corrected.
    ///
    /// # Errors
    /// Nobody reads.
    pub fn print_first_line(&self, what: &str, count: usize) -> anyhow::Result<()> {
        say!("does not work: {} to correct: {what}", counted(count, "thing"));
        Ok(())
    }

    /// Prints it for people.
    ///
    /// # Errors
    /// Nobody reads.
    pub fn print(&self) -> anyhow::Result<()> {
        let sink = self.sink.as_deref().unwrap_or("nowhere");
        let warnings = counted(self.count(Weight::Warning), "warning");
        match self.verdict() {
            Weight::Fine => say!("ready: rows will go to {sink}"),
            Weight::Warning => say!("works, with {warnings}: rows will go to {sink}"),
            Weight::Failure => {
                let first = self.findings.iter().find(|finding| finding.weight == Weight::Failure);
                let first = first.map_or_else(String::new, |finding| finding.text.clone());
                self.print_first_line(&first, self.count(Weight::Failure))?;
            }
        }
        for (subjects, title) in GROUPS {
            let is_in = |finding: &&Finding| subjects.iter().any(|subject| finding.subject.starts_with(subject));
            let findings: Vec<&Finding> = self.findings.iter().filter(is_in).collect();
            if findings.is_empty() {
                continue;
            }
            match title {
                "files" => {
                    let words = self.account.as_ref().map_or("nobody", |(_, words)| words.as_str());
                    say!("\n{title}, as {words}");
                }
                "sink" => say!("\n{title}: {sink}"),
                _ => say!("\n{title}"),
            }
            for Finding { weight, text, remedy, .. } in findings {
                let mark = match weight {
                    Weight::Fine => "- ",
                    Weight::Warning => "W!",
                    Weight::Failure => "E!",
                };
                say!("  {mark} {text}");
                if let Some(remedy) = remedy.as_ref().filter(|remedy| !remedy.is_empty()) {
                    say!("     -> {remedy}");
                }
            }
        }
        Ok(())
    }

    /// Prints it for programs.
    ///
    /// # Errors
    /// Nobody reads.
    pub fn print_json(&self) -> anyhow::Result<()> {
        let finding = |finding: &Finding| {
            json!({
                "weight": finding.weight.name(),
                "subject": finding.subject,
                "text": finding.text,
                "remedy": finding.remedy.as_ref().filter(|remedy| !remedy.is_empty()),
            })
        };
        let problem =
            |problem: &Problem| json!({ "line": problem.line, "path": problem.path, "message": problem.message });
        let verdict = match self.verdict() {
            Weight::Fine => "ready",
            Weight::Warning => "warnings",
            Weight::Failure => "failure",
        };
        let document = json!({
            "version": 1,
            "config": self.config.display().to_string(),
            "as": self.account.as_ref().map(|(name, _)| name),
            "verdict": verdict,
            "findings": self.findings.iter().map(finding).collect::<Vec<Value>>(),
            "problems": self.problems.iter().map(problem).collect::<Vec<Value>>(),
        });
        say!("{document}");
        Ok(())
    }
}

fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}
