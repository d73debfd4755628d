//! The files of Telegraf's configuration on this machine.
//!
//! Files are read as the user that runs Telegraf reads them. One that cannot be parsed here is named and left out: Telegraf's own
//! reader may take it.

use super::process::RunningTelegraf;
use super::rights::{Denial, Eyes, Wish};
use super::system;
use crate::finding::Finding;
use crate::text::{self, TextError};
use regex::Regex;
use std::io;
use std::path::{Path, PathBuf};

/// Where Telegraf's configuration is.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// They were named by a person or by a process, and so must be there.
    pub is_certain: bool,
    /// Addresses that Telegraf fetches its configuration from.
    pub remote: Vec<String>,
    /// There is a Telegraf here.
    pub is_installed: bool,
}

/// One file of Telegraf's configuration.
#[derive(Clone, Debug)]
pub struct AgentFile {
    pub path: PathBuf,
    pub table: toml::Table,
}

/// The values of a flag, as Go's libraries read it: one or two dashes, `=` or the next argument.
fn values<'a>(arguments: &'a [String], flag: &str) -> Vec<&'a str> {
    let mut out = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let Some(text) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else { continue };
        match text.split_once('=') {
            Some((name, value)) if name == flag => out.push(value),
            None if text == flag => out.extend(rest.next().map(String::as_str)),
            _ => {}
        }
    }
    out
}

/// Says where Telegraf's configuration is: where somebody says, else where a running Telegraf reads it, else in the usual places.
pub fn places(named: &[PathBuf], running: Option<&RunningTelegraf>) -> Places {
    if !named.is_empty() {
        return Places { paths: named.to_vec(), is_certain: true, is_installed: true, ..Places::default() };
    }
    let usual: Vec<PathBuf> = match cfg!(windows) {
        true => ["C:\\Program Files\\Telegraf", "C:\\Program Files\\InfluxData\\telegraf"]
            .iter()
            .flat_map(|folder| ["telegraf.conf", "telegraf.d"].map(|name| Path::new(folder).join(name)))
            .collect(),
        false => ["/etc/telegraf/telegraf.conf", "/etc/telegraf/telegraf.d"].map(system::at).to_vec(),
    };
    let programs = ["/usr/bin/telegraf", "/usr/local/bin/telegraf", "/opt/telegraf/telegraf"];
    let is_there = |path: &PathBuf| path.exists();
    let is_installed = running.is_some() || usual.iter().chain(&programs.map(system::at)).any(is_there);
    let mut places = Places { is_installed, ..Places::default() };
    if let Some(telegraf) = running {
        let named = ["config", "config-directory"].iter().flat_map(|flag| values(&telegraf.arguments, flag));
        for value in named {
            match value.contains("://") {
                true => places.remote.push(value.to_string()),
                false => places.paths.push(telegraf.folder.as_deref().unwrap_or(Path::new("/")).join(value)),
            }
        }
        places.is_certain = !places.paths.is_empty();
    }
    if places.paths.is_empty() && places.remote.is_empty() {
        places.paths = usual.into_iter().filter(is_there).collect();
    }
    places
}

/// Reads all files of the places; what is to be said of them goes to `found`.
pub fn read(places: &Places, eyes: &Eyes<'_>, found: &mut Vec<Finding>) -> Vec<AgentFile> {
    for address in &places.remote {
        // It may hold a token.
        let address = address.split(['?', '#']).next().unwrap_or_default();
        let address = address.split_once('@').map_or(address, |(_, host)| host);
        found.push(Finding::fine(
            "telegraf.file",
            format!("not looked at: the part of Telegraf's configuration at {address}"),
        ));
    }
    let mut files = Vec::new();
    for place in &places.paths {
        let shown = place.display();
        match std::fs::metadata(place) {
            Ok(there) if there.is_dir() => walk(place, &mut files, found),
            Ok(_) => files.push(place.clone()),
            Err(e) if e.kind() == io::ErrorKind::NotFound && places.is_certain => found.push(Finding::failure(
                "telegraf.file",
                format!("Telegraf's configuration {shown} does not exist"),
                "correct the path behind --telegraf, or that of Telegraf's service",
            )),
            Err(e) => {
                found.push(Finding::fine(
                    "telegraf.file",
                    format!("not looked at: Telegraf's configuration {shown}: {e}"),
                ));
            }
        }
    }
    files.into_iter().filter_map(|path| file(path, eyes, found)).collect()
}

/// The files of a folder that Telegraf reads, and those of the folders in it.
fn walk(folder: &Path, files: &mut Vec<PathBuf>, found: &mut Vec<Finding>) {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) => {
            found.push(Finding::fine("telegraf.file", format!("not looked at: the folder {}: {e}", folder.display())));
            return;
        }
    };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !name.starts_with("..") => walk(&entry.path(), files, found),
            Ok(kind) if !kind.is_dir() && name.len() > ".conf".len() && name.ends_with(".conf") => {
                files.push(entry.path())
            }
            _ => {}
        }
    }
}

/// Reads one file.
fn file(path: PathBuf, eyes: &Eyes<'_>, found: &mut Vec<Finding>) -> Option<AgentFile> {
    const SUBJECT: &str = "telegraf.file";
    let shown = path.display();
    let name = &eyes.account.name;
    let is_refused = match eyes.may(&path, Wish::Read) {
        Err(Denial::Closed(_)) => true,
        Err(Denial::By(e)) => e.kind() == io::ErrorKind::PermissionDenied,
        _ => false,
    };
    if is_refused {
        found.push(match eyes.account.is_oneself() && !eyes.runs_telegraf() {
            true => Finding::fine(SUBJECT, format!("not looked at: {shown}, which {name} cannot read; root can")),
            false => Finding::failure(
                SUBJECT,
                format!("{shown} cannot be read by {name}: such a file stops Telegraf from starting"),
                format!("as root: `chmod 644 {}`, and no secrets in it", crate::durable::user::quoted(&path)),
            ),
        });
        return None;
    }
    let text = match text::read(&path) {
        Ok(text) => text,
        Err(TextError::Foreign(foreign)) => {
            found.push(Finding::failure(SUBJECT, format!("Telegraf cannot read {shown}"), foreign.to_string()));
            return None;
        }
        Err(e @ (TextError::Unreadable(_) | TextError::Folder | TextError::TooLarge)) => {
            found.push(Finding::fine(SUBJECT, format!("not looked at: {shown}: {e}")));
            return None;
        }
    };
    match parse(&text) {
        Ok(table) => Some(AgentFile { path, table }),
        Err(e) => {
            let line = e.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count()) + 1;
            let why = e.message().lines().next().unwrap_or_default();
            let text = format!(
                "not looked at: {shown}: it is not TOML from line {line} on ({why}); `telegraf config check` says more"
            );
            found.push(Finding::fine(SUBJECT, text));
            None
        }
    }
}

/// Parses Telegraf's TOML: where it fails, with variables without quotes as texts.
fn parse(text: &str) -> Result<toml::Table, toml::de::Error> {
    text.parse::<toml::Table>().or_else(|error| {
        let Ok(bare) = Regex::new(r"(?m)^(\s*[\w.-]+\s*=\s*)(\$[{\w][^\s#]*)[ \t]*(#.*)?$") else { return Err(error) };
        bare.replace_all(text, "$1'$2'").parse::<toml::Table>().map_err(|_| error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_as_telegraf_reads_them() {
        let arguments: Vec<String> =
            ["-config", "/a.conf", "--config=/b.conf", "--debug", "--config-directory", "/c.d", "x"]
                .map(String::from)
                .into();
        assert_eq!(values(&arguments, "config"), ["/a.conf", "/b.conf"]);
        assert_eq!(values(&arguments, "config-directory"), ["/c.d"]);
    }

    #[test]
    fn variables_without_quotes_are_read_over() {
        let table = parse("[agent]\n  interval = ${EVERY} # s\n  x = 1\n[[outputs.file]]\n").expect("a table");
        assert_eq!(table["agent"]["interval"].as_str(), Some("${EVERY}"));
        assert!(parse("[agent]\n x = = 1\n").is_err());
    }
}
