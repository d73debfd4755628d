//! The configuration file, as `run` and the commands read it: its text, or why not and what helps.

use crate::durable::user;
use crate::places;
use crate::text::{self, TextError};
use std::io;
use std::path::{Path, PathBuf};

/// Why a configuration file is not read. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFileError {
    #[error(
        "cannot read the configuration {}: there is no such file; to write one: `telegraf-rollup setup`, or copy \
         telegraf/rollup.toml to this place{}", shown(path), if *path == places::config() { "" } else { "; or name another one with --config" }
    )]
    Missing { path: PathBuf },
    #[error("cannot read the configuration {}: user {} may not read it: {denied}", shown(path), user::name())]
    Denied {
        path: PathBuf,
        /// Whose file or folder is in the way, and what to type.
        denied: String,
    },
    #[error("cannot read the configuration {}: {why}", shown(path))]
    // The text says why: whoever shows the causes of an error would say it twice.
    Unfit { path: PathBuf, why: TextError },
}

/// Reads a configuration file.
///
/// # Errors
/// It is missing, may not be read, is no file, is too large, or is no UTF-8.
pub fn read(path: &Path) -> Result<String, ConfigFileError> {
    text::read(path).map_err(|why| {
        let path = path.to_path_buf();
        match &why {
            TextError::Unreadable(e) if e.kind() == io::ErrorKind::NotFound => ConfigFileError::Missing { path },
            TextError::Unreadable(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                let denied = user::in_the_way(&path);
                ConfigFileError::Denied { path, denied }
            }
            _ => ConfigFileError::Unfit { path, why },
        }
    })
}

/// A path as a person can look at it: under Telegraf nobody knows what a relative one begins at.
fn shown(path: &Path) -> String {
    std::path::absolute(path).as_deref().unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_says_how_to_write_one() {
        let said = read(Path::new("/no/such/file.toml")).expect_err("missing").to_string();
        assert!(
            said.contains("/no/such/file.toml: there is no such file; to write one: `telegraf-rollup setup`"),
            "{said}"
        );
        assert!(said.ends_with("or name another one with --config"), "{said}");
        let said = ConfigFileError::Missing { path: places::config() }.to_string();
        assert!(said.ends_with("to this place"), "{said}");
        let folder = tempfile::tempdir().expect("a folder");
        let said = read(folder.path()).expect_err("a folder").to_string();
        assert!(said.ends_with("it is a folder: name the file in it"), "{said}");
    }
}
