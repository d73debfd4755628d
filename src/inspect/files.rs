//! The files and folders that a configuration names, by the rights of the user that runs Telegraf.
//!
//! Nothing is made and nothing is opened for writing: that the state directory can be made is judged by what is there.

use super::rights::{Denial, Eyes, Wish};
use super::volume::{self, ROOM_MIN, Volume};
use crate::config::{Config, Password, SinkConfig};
use crate::durable::{claim, user};
use crate::finding::Finding;
use crate::sink::mysql::exposed;
use std::io;
use std::path::{Path, PathBuf};

/// Judges all files and folders of a configuration that stands in a file.
pub fn look(path: &Path, config: &Config, eyes: &Eyes<'_>) -> Vec<Finding> {
    let mut found = vec![readable("file.config", "the configuration", path, eyes)];
    if let SinkConfig::MySql(mysql) = &config.sink {
        match &mysql.password {
            Password::File(file) => {
                found.push(readable("file.password", "the password file", file, eyes));
                if let Some(warning) = exposed(file) {
                    let (text, remedy) = warning.split_once(": ").unwrap_or((&warning, ""));
                    found.push(Finding::warning("file.password", text, remedy));
                }
            }
            Password::Credential(file) => found.push(Finding::fine(
                "file.password",
                format!("not looked at: {}, which systemd hands to the service alone", file.display()),
            )),
            Password::None | Password::Text(_) => {}
        }
        if let Some(file) = &mysql.ca_file {
            found.push(readable("file.ca", "the certificate of the authority (sink.ca_file)", file, eyes));
        }
        if let Some((certificate, key)) = &mysql.client {
            found.push(readable("file.client_cert", "the client's certificate (sink.client_cert)", certificate, eyes));
            found.push(readable("file.client_key", "the client's key (sink.client_key)", key, eyes));
        }
    }
    state_dir(&config.state_dir, eyes, &mut found);
    if let SinkConfig::Sqlite(file) = &config.sink {
        sqlite(file, &config.state_dir, eyes, &mut found);
    }
    found
}

/// The first file that the sink needs and this process may not read, whatever the user may.
pub fn hidden(config: &Config) -> Option<PathBuf> {
    let files: Vec<&Path> = match &config.sink {
        SinkConfig::Sqlite(file) => vec![file],
        SinkConfig::MySql(mysql) => {
            let password = match &mysql.password {
                Password::File(file) | Password::Credential(file) => Some(file),
                Password::None | Password::Text(_) => None,
            };
            let client = mysql.client.iter().flat_map(|(certificate, key)| [certificate, key]);
            password.into_iter().chain(&mysql.ca_file).chain(client).map(PathBuf::as_path).collect()
        }
    };
    let is_hidden =
        |file: &&Path| std::fs::File::open(file).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    files.into_iter().find(is_hidden).map(Path::to_path_buf)
}

/// A file that the user has to read.
fn readable(subject: &'static str, what: &str, path: &Path, eyes: &Eyes<'_>) -> Finding {
    let (name, shown) = (&eyes.account.name, path.display());
    let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    if path.is_dir() {
        return Finding::failure(subject, format!("{what} {shown} is a folder"), "name the file in it");
    }
    match eyes.may(path, Wish::Read) {
        Ok(()) => Finding::fine(subject, format!("{what} {shown} can be read by {name}")),
        Err(Denial::Closed(folder)) => Finding::failure(
            subject,
            format!("{what} {shown} cannot be read by {name}: the folder {} is closed for that user", folder.display()),
            format!("move the file to where {name} can read it, {}", let_in(&folder, eyes)),
        ),
        Err(Denial::By(e)) if e.kind() == io::ErrorKind::PermissionDenied => Finding::failure(
            subject,
            format!("{what} {shown} cannot be read by {name}: its mode does not allow it"),
            format!("as root: `chgrp {0} {1} && chmod g+r {1}`", user::group_of(eyes.account.gid), user::quoted(path)),
        ),
        Err(Denial::By(e)) => Finding::failure(
            subject,
            format!("{what} {shown} cannot be read: {e}"),
            "correct the path, or make the file",
        ),
        Err(Denial::Unknown(e)) => not_seen(subject, what, path, &e),
    }
}

/// The command that lets a user into a folder.
fn let_in(folder: &Path, eyes: &Eyes<'_>) -> String {
    format!("or, as root: `chgrp {0} {1} && chmod g+x {1}`", user::group_of(eyes.account.gid), user::quoted(folder))
}

fn not_seen(subject: &'static str, what: &str, path: &Path, error: &io::Error) -> Finding {
    Finding::fine(subject, format!("not looked at: {what} {}: {error}; root sees more", path.display()))
}

fn state_dir(path: &Path, eyes: &Eyes<'_>, found: &mut Vec<Finding>) {
    const SUBJECT: &str = "state_dir";
    let shown = path.display();
    let finding = folder(SUBJECT, "the state directory", path, eyes);
    let (is_there, works) = (path.is_dir(), finding.remedy.is_none());
    match foreign(path, eyes).filter(|_| is_there) {
        Some((thing, owner)) => {
            let account = eyes.account;
            let text =
                format!("{} belongs to another user ({owner}; Telegraf runs as {})", thing.display(), account.name);
            let remedy = match account.is_oneself() || !eyes.by_modes {
                true => user::chown(path),
                false => format!("chown -R {} {}", account.name, user::quoted(path)),
            };
            found.push(Finding::failure(SUBJECT, text, format!("as root: `{remedy}`")));
        }
        None => found.push(finding),
    }
    let Some((kind, room)) = nearest(path).as_deref().and_then(volume::look).filter(|_| works) else { return };
    match kind {
        Volume::Network(name) => found.push(Finding::warning(
            SUBJECT,
            format!("{shown} lies on a network file system ({name}): locks are as good as its server's, and an outage of it stops counting"),
            "put it on a disk of this machine",
        )),
        Volume::Memory(name) => found.push(Finding::fine(
            SUBJECT,
            format!("{shown} lies in memory ({name}): a restart of the machine takes it"),
        )),
        Volume::Usual | Volume::Kernel(_) => {}
    }
    if room < ROOM_MIN {
        found.push(Finding::warning(
            SUBJECT,
            format!("{} MiB are free where {shown} lies: the journal may need more", room >> 20),
            "make room, or put state_dir on another disk",
        ));
    }
}

/// What of a state directory is another user's: it, or what lies in it, and whose it is.
fn foreign(path: &Path, eyes: &Eyes<'_>) -> Option<(PathBuf, String)> {
    if !eyes.by_modes {
        return claim::foreign(path).ok().flatten().map(|foreign| (foreign.path, foreign.owner));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let owner = std::fs::metadata(path).ok()?.uid();
        (owner != eyes.account.uid).then(|| (path.to_path_buf(), user::name_of(owner)))
    }
    #[cfg(not(unix))]
    None
}

/// The first of a path and the folders above it that is there.
fn nearest(path: &Path) -> Option<PathBuf> {
    path.ancestors().find(|path| path.exists()).map(Path::to_path_buf)
}

/// A folder that the user has to fill, and may have to make.
fn folder(subject: &'static str, what: &str, path: &Path, eyes: &Eyes<'_>) -> Finding {
    let (name, shown) = (&eyes.account.name, path.display());
    let refused = |place: &Path, denial: Denial| match denial {
        Denial::Closed(folder) => Finding::failure(
            subject,
            format!("{what} {shown} cannot be used by {name}: the folder {} is closed for that user", folder.display()),
            format!("choose another place, {}", let_in(&folder, eyes)),
        ),
        Denial::By(e) if e.kind() == io::ErrorKind::PermissionDenied && place != path => Finding::failure(
            subject,
            format!("{what} {shown} does not exist, and {name} cannot make it in {}", place.display()),
            format!("as root: `{}`", make(path, eyes)),
        ),
        Denial::By(e) if e.kind() == io::ErrorKind::PermissionDenied => Finding::failure(
            subject,
            format!("{what} {shown} cannot be written by {name}"),
            format!("as root: `chmod u+rwx {}`", user::quoted(path)),
        ),
        Denial::By(e) if e.kind() == io::ErrorKind::ReadOnlyFilesystem => Finding::failure(
            subject,
            format!("{what} {shown} lies on a file system that is read-only"),
            "mount it for writing, or choose another place",
        ),
        Denial::By(e) => {
            Finding::failure(subject, format!("{what} {shown} cannot be used: {e}"), "choose another place")
        }
        Denial::Unknown(e) => not_seen(subject, what, path, &e),
    };
    let is_kernel = |place: &Path| match volume::look(place) {
        Some((Volume::Kernel(name), _)) => Some(name),
        _ => None,
    };
    match std::fs::metadata(path) {
        Ok(there) if !there.is_dir() => {
            Finding::failure(subject, format!("{what} {shown} is a file"), "name a folder, or move the file away")
        }
        Ok(_) => match (eyes.may(path, Wish::Fill), is_kernel(path)) {
            (_, Some(kernel)) => kernel_s_own(subject, what, path, kernel),
            (Ok(()), None) => Finding::fine(subject, format!("{what} {shown} can be written by {name}")),
            (Err(e), None) => refused(path, e),
        },
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            let Some(parent) = nearest(path) else { return refused(path, Denial::By(e)) };
            if !parent.is_dir() {
                let text = format!("{what} {shown} cannot be made: {} is a file", parent.display());
                return Finding::failure(subject, text, "choose another place");
            }
            match (eyes.may(&parent, Wish::Fill), is_kernel(&parent)) {
                (_, Some(kernel)) => kernel_s_own(subject, what, path, kernel),
                (Ok(()), None) => Finding::fine(
                    subject,
                    format!("{what} {shown} will be made by run: {name} can make it in {}", parent.display()),
                ),
                (Err(e), None) => refused(&parent, e),
            }
        }
        Err(e) => match eyes.may(path, Wish::Fill) {
            Err(why) => refused(path, why),
            Ok(()) => refused(path, Denial::Unknown(e)),
        },
    }
}

fn kernel_s_own(subject: &'static str, what: &str, path: &Path, kernel: &str) -> Finding {
    let text = format!(
        "{what} {} cannot be made: {kernel} is the kernel's own, and nobody makes folders there",
        path.display()
    );
    Finding::failure(subject, text, "choose another place, as in /var/lib/telegraf-rollup")
}

/// The command that makes a folder for the user.
fn make(path: &Path, eyes: &Eyes<'_>) -> String {
    match eyes.by_modes {
        true => format!("install -d -o {} {}", eyes.account.name, user::quoted(path)),
        false => user::install(path),
    }
}

/// The SQLite file of the sink: SQLite makes files beside it, too.
fn sqlite(file: &Path, state_dir: &Path, eyes: &Eyes<'_>, found: &mut Vec<Finding>) {
    const SUBJECT: &str = "file.sink";
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
    let Some(parent) = file.parent() else { return };
    if parent != state_dir {
        found.push(folder(SUBJECT, "the folder of the sink's file", parent, eyes));
    }
    match std::fs::metadata(&file) {
        // With the rights of the user, the look at the sink itself says it better.
        Ok(there) if there.is_file() && !eyes.by_modes => {}
        Ok(there) if there.is_file() => match eyes.may(&file, Wish::Write) {
            Err(Denial::By(e)) if e.kind() == io::ErrorKind::PermissionDenied => found.push(Finding::failure(
                SUBJECT,
                format!("{} cannot be written by {}", file.display(), eyes.account.name),
                format!("as root: `chown {} {}*`", eyes.account.name, user::quoted(&file)),
            )),
            _ => {}
        },
        Ok(_) => {
            found.push(Finding::failure(SUBJECT, format!("{} is no file", file.display()), "name a file in sink.url"))
        }
        Err(_) => {}
    }
}
