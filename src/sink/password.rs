//! The password of a server: where it comes from, and what about it is odd. Nothing here shows it.

use super::trouble::SinkTrouble;
use crate::config::Password;
use crate::text::{self, TextError};
use std::io;
use std::path::Path;

/// A password as it is given to the server.
pub struct Secret {
    /// The password; `None`: there is none.
    pub text: Option<String>,
    /// Where it comes from, or where one would be looked for.
    pub source: String,
    /// What may be wrong with it, if anything; tells nothing of the password.
    pub oddness: Option<&'static str>,
}

/// Reads the password of a configuration, as it is now.
///
/// # Errors
/// A file that is named cannot be read. That systemd has given no credential is no error.
pub fn read(password: &Password) -> Result<Secret, SinkTrouble> {
    let (text, source) = match password {
        Password::None => (None, "nowhere".to_string()),
        Password::Text(text) => (Some(text.clone()), "sink.url".to_string()),
        Password::File(path) => {
            let source = format!("sink.password_file {}", path.display());
            let text = text::read(path).map_err(|e| unreadable("the password file", path, "sink.password_file", &e))?;
            (Some(text.trim_end_matches(['\r', '\n']).to_string()), source)
        }
        Password::Credential(path) => {
            let source = format!("the credential {}", path.display());
            match text::read(path) {
                Ok(text) => (Some(text.trim_end_matches(['\r', '\n']).to_string()), source),
                Err(TextError::Unreadable(e)) if e.kind() == io::ErrorKind::NotFound => (None, source),
                Err(e) => return Err(unreadable("the credential", path, "systemd", &e)),
            }
        }
    };
    let oddness = text.as_deref().and_then(oddness);
    Ok(Secret { text, source, oddness })
}

/// What may be wrong with a password.
fn oddness(text: &str) -> Option<&'static str> {
    let is_quoted = |quote: char| text.len() > 1 && text.starts_with(quote) && text.ends_with(quote);
    if text.is_empty() {
        Some("it is empty")
    } else if text.contains(['\r', '\n']) {
        Some("it has more than one line, and all of them count")
    } else if text.ends_with(char::is_whitespace) {
        Some("it ends in a blank, which counts")
    } else if text.starts_with(char::is_whitespace) {
        Some("it begins with a blank, which counts")
    } else if is_quoted('"') || is_quoted('\'') {
        Some("it stands in quotes, which count")
    } else {
        None
    }
}

/// Says why a file with a password cannot be read, and what helps.
fn unreadable(what: &str, path: &Path, source: &str, error: &TextError) -> SinkTrouble {
    let (why, remedy) = match error {
        TextError::Foreign(foreign) => {
            let text = foreign.to_string();
            let (why, remedy) = text.split_once(": ").unwrap_or((&text, "save it as UTF-8"));
            (why.to_string(), remedy.to_string())
        }
        TextError::Unreadable(e) if e.kind() == io::ErrorKind::NotFound => (
            "there is no such file".to_string(),
            "write the password into it, with nothing else, or correct the path".to_string(),
        ),
        TextError::Unreadable(e) if e.kind() == io::ErrorKind::PermissionDenied => denied(path),
        TextError::Folder | TextError::TooLarge => {
            let text = error.to_string();
            let (why, remedy) = text.split_once(": ").unwrap_or((&text, "name the right file"));
            (why.to_string(), remedy.to_string())
        }
        TextError::Unreadable(e) => (e.to_string(), "look at the file and its disk".to_string()),
    };
    SinkTrouble::lasting("sink.password", format!("cannot read {what} {} ({source}): {why}", path.display()), remedy)
}

/// Who may read a file that this process may not, and the command that changes it.
#[cfg(unix)]
fn denied(path: &Path) -> (String, String) {
    use crate::users;
    use std::os::unix::fs::MetadataExt;
    let user = users::user(rustix::process::geteuid().as_raw());
    let group = users::group(rustix::process::getegid().as_raw());
    // A folder on the way that may not be entered hides what is in it.
    let folders: Vec<&Path> = path.ancestors().skip(1).filter(|f| !f.as_os_str().is_empty()).collect();
    let locked = folders
        .iter()
        .rev()
        .find(|folder| std::fs::metadata(folder.join(".")).is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied));
    let (place, change) = match locked {
        Some(folder) => (*folder, "g+x"),
        None => (path, "g+r"),
    };
    let what = if locked.is_some() { format!("the folder {}", place.display()) } else { "it".to_string() };
    let owner = std::fs::metadata(place).map_or(String::new(), |found| {
        let (owner, of) = (users::user(found.uid()), users::group(found.gid()));
        format!(" belongs to {owner}:{of} with mode {:04o}, and", found.mode() & 0o7777)
    });
    let owner = if owner.is_empty() { " is closed to others, and".to_string() } else { owner };
    let quoted = users::quoted(place);
    (
        format!("permission denied: {what}{owner} this process runs as {user}"),
        format!("run, as root: chgrp {group} {quoted} && chmod {change} {quoted}"),
    )
}

#[cfg(not(unix))]
fn denied(path: &Path) -> (String, String) {
    (
        "permission denied".to_string(),
        format!("let the account that runs Telegraf read it: icacls \"{}\" /grant \"ACCOUNT:R\"", path.display()),
    )
}

/// Returns a warning if other users can read a password file.
#[cfg(unix)]
pub fn exposed(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let mode = std::fs::metadata(path).ok()?.mode();
    (mode & 0o007 != 0).then(|| {
        let path = path.display();
        format!("other users can read the password file {path}: run `chmod 640 {path}`, with the group of the user that runs Telegraf")
    })
}

/// Returns a warning if other users can read a password file: on Windows that is not looked at.
#[cfg(not(unix))]
pub fn exposed(_: &Path) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_odd_about_a_password_is_named() {
        for (text, expected) in [
            ("", Some("empty")),
            ("word ", Some("ends in a blank")),
            ("word\t", Some("ends in a blank")),
            (" word", Some("begins with a blank")),
            ("a\nb", Some("more than one line")),
            ("\"word\"", Some("quotes")),
            ("'word'", Some("quotes")),
            ("word", None),
            ("two words", None),
            ("'", None),
        ] {
            let found = oddness(text);
            assert_eq!(found.is_some(), expected.is_some(), "{text:?}: {found:?}");
            assert!(expected.is_none_or(|part| found.is_some_and(|found| found.contains(part))), "{text:?}: {found:?}");
        }
    }

    #[test]
    fn ends_of_lines_are_no_part_of_a_password() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        for end in ["", "\n", "\r\n", "\n\n"] {
            std::fs::write(&path, format!("word{end}")).expect("written");
            let secret = read(&Password::File(path.clone())).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!((secret.text.as_deref(), secret.oddness), (Some("word"), None), "{end:?}");
        }
        let none = read(&Password::Credential(folder.path().join("absent"))).unwrap_or_else(|e| panic!("{e}"));
        assert!(none.text.is_none());
        let said = read(&Password::File(folder.path().join("absent"))).err().map(|e| e.to_string());
        assert!(said.is_some_and(|said| said.contains("(sink.password_file): there is no such file")));
    }
}
