//! The configuration of `run`: read again and again until it is valid, and looked at while it is in use.
//!
//! Deliberately absent: taking over an edited configuration in place. Telegraf's reload starts this process again, with the state.

use crate::config::Config;
use crate::config::report::Problems;
use crate::config_file::{self, ConfigFileError};
use crate::driver::intake::shared::Shared;
use crate::driver::troubles::{Trouble, Troubles};
use crate::words;
use log::Level;
use std::path::PathBuf;
use std::time::SystemTime;

/// How an edited configuration comes into use.
const RELOAD: &str =
    if cfg!(windows) { "restart Telegraf's service" } else { "reload Telegraf (`systemctl reload telegraf`)" };

/// What of a file shows whether it has changed.
type Stamp = (SystemTime, u64);

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] ConfigFileError),
    #[error("is not valid: {}", first(.0))]
    Invalid(Problems),
}

/// The first problem, and how many more there are.
fn first(problems: &Problems) -> String {
    let more = problems.0.len().saturating_sub(1) as u64;
    let more = if more == 0 { String::new() } else { format!(" (and {})", words::some(more, "more problem")) };
    format!("{}{more}", problems.0.first().map(ToString::to_string).unwrap_or_default())
}

/// The file, and the text that is in use.
pub struct Configuring {
    path: PathBuf,
    /// The text that is in use.
    text: Option<String>,
    /// The file when it was read last.
    seen: Option<Stamp>,
    /// What is said of a file that was edited since, and is not in use.
    edited: Option<(Level, String)>,
}

impl Configuring {
    /// Of a file, which has not been read yet.
    pub fn new(path: PathBuf) -> Configuring {
        Configuring { path, text: None, seen: None, edited: None }
    }

    fn stamp(&self) -> Option<Stamp> {
        let found = std::fs::metadata(&self.path).ok()?;
        Some((found.modified().ok()?, found.len()))
    }

    fn check(&self) -> Result<(String, Config), Unfit> {
        let text = config_file::read(&self.path)?;
        let config = Config::check(&text, &|name| std::env::var(name).ok()).map_err(Unfit::Invalid)?;
        Ok((text, config))
    }

    /// Reads it to be used. If it cannot be, the log says why, and lines pass uncounted.
    pub fn read(&mut self, shared: &Shared) -> Option<Config> {
        // Before the text: what is written in between is seen as a change.
        self.seen = self.stamp();
        let path = self.path.display();
        let troubles = shared.troubles();
        match self.check() {
            Ok((text, config)) => {
                troubles.over(Trouble::Configuration, |lasted, _| {
                    let passed = words::some(shared.takes_passed(), "line");
                    format!(
                        "{path} is valid now, after {lasted}: lines are counted from here on; {passed} passed uncounted"
                    )
                });
                config.warnings_of_run().for_each(|warning| log::warn!("{path}: {warning}"));
                self.text = Some(text);
                Some(config)
            }
            Err(unfit) => {
                shared.switch_off();
                let (what, until, lines) = match unfit {
                    Unfit::Unreadable(e) => (e.to_string(), "it can be read", Vec::new()),
                    Unfit::Invalid(problems) => {
                        let until = if problems.0.len() == 1 { "it is corrected" } else { "they are corrected" };
                        (format!("{path} has {}", problems.count()), until, problems.lines())
                    }
                };
                let text = format!(
                    "{what}; lines pass through, nothing is counted until {until}; it is read again every 10 s"
                );
                if troubles.hold(Trouble::Configuration, Level::Error, &text) {
                    lines.iter().for_each(|line| log::error!("{path}: {line}"));
                }
                None
            }
        }
    }

    /// Looks whether the file was edited while the text that was read first is in use.
    pub fn look(&mut self, troubles: &Troubles) {
        let stamp = self.stamp();
        if stamp != self.seen || stamp.is_none() {
            self.seen = stamp;
            self.edited = self.judge();
        }
        match &self.edited {
            Some((level, text)) => {
                troubles.hold(Trouble::Edited, *level, text);
            }
            None => troubles.over(Trouble::Edited, |_, _| {
                format!("{} says again what is in use: nothing to do", self.path.display())
            }),
        }
    }

    /// What is to be said of the file as it is now; `None` if it says what is in use.
    fn judge(&self) -> Option<(Level, String)> {
        let path = self.path.display();
        match self.check() {
            Ok((text, _)) => {
                let table = |text: &str| toml::from_str::<toml::Table>(text).ok();
                let is_same = self.text.as_deref().is_some_and(|used| used == text || table(used) == table(&text));
                (!is_same).then(|| {
                    (Level::Warn, format!("{path} has changed and is valid: {RELOAD} to use it; until then the one from the start is in use"))
                })
            }
            Err(unfit) => {
                let text = format!(
                    "{path} has changed and {unfit}; the one from the start stays in use until Telegraf is started again, and then \
                     nothing is counted: correct it now, `telegraf-rollup check` shows every problem"
                );
                Some((Level::Error, text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "[[summary]]\nname = \"s\"\nkey = [\"host\"]\n\
                         column = [{ name = \"c\", method = \"max\", sources = [{ measurement = \"m\", field = \"v\" }] }]\n";

    /// What is open on the board after the file was given a text.
    fn after(configuring: &mut Configuring, troubles: &Troubles, text: &str) -> String {
        std::fs::write(&configuring.path, text).expect("written");
        // Two edits may come within one tick of the file system's clock.
        configuring.seen = None;
        configuring.look(troubles);
        troubles.open().into_iter().map(|open| open.text).collect()
    }

    #[test]
    fn an_edit_is_said_if_it_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut configuring = Configuring::new(folder.path().join("rollup.toml"));
        let shared = Shared::starting(1, || 1);
        assert!(configuring.read(&shared).is_none());
        assert!(shared.troubles().open()[0].text.contains("cannot read the configuration"));
        std::fs::write(&configuring.path, VALID).expect("written");
        assert!(configuring.read(&shared).is_some());
        let troubles = shared.troubles().clone();
        assert_eq!(after(&mut configuring, &troubles, VALID), "");
        assert_eq!(after(&mut configuring, &troubles, &format!("# a remark\n\n{VALID}")), "", "nothing that counts");
        let text = after(&mut configuring, &troubles, &format!("timezone = \"Asia/Seoul\"\n{VALID}"));
        assert!(text.contains("has changed and is valid") && text.contains("eload"), "{text}");
        let text = after(&mut configuring, &troubles, &format!("timezone = 7\nodd = 1\n{VALID}"));
        assert!(text.contains("has changed and is not valid: line ") && text.contains("1 more problem"), "{text}");
        std::fs::remove_file(&configuring.path).expect("removed");
        configuring.look(&troubles);
        assert!(troubles.open()[0].text.contains("has changed and cannot be read"), "{:?}", troubles.open());
        assert_eq!(after(&mut configuring, &troubles, VALID), "", "it is as it was");
    }

    /// Lines that came before the configuration was found to be wrong have passed, too.
    #[test]
    fn lines_that_waited_for_a_configuration_count_as_passed() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut configuring = Configuring::new(folder.path().join("rollup.toml"));
        let shared = Shared::starting(1, || 1);
        shared.batch([&b"m,host=a v=1\n"[..], b"m,host=a v=2\n"].into_iter(), 1);
        assert!(configuring.read(&shared).is_none());
        shared.batch([&b"m,host=a v=3\n"[..]].into_iter(), 1);
        assert_eq!(shared.takes_passed(), 3);
    }
}
