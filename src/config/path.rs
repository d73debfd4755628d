//! Paths of files and folders: whole ones, since Telegraf's working directory is nobody's.

use super::address::is_absolute;
use super::meant::toml_text::quoted;
use super::read::{At, Table};
use crate::places;
use std::path::{Path, PathBuf};

/// Reads a path. One that is not absolute is reported, with what to write, and returned all the same.
pub fn path(table: &Table<'_, '_>, key: &'static str) -> Option<At<PathBuf>> {
    let text = table.string(key)?;
    if let Some(message) = problem(table, key, &text.value) {
        table.document.problem_at(&text, message);
    }
    Some(At { value: PathBuf::from(text.value), offset: text.offset, path: text.path })
}

/// Says what is wrong with a path; `None` if nothing is.
fn problem(table: &Table<'_, '_>, key: &str, text: &str) -> Option<String> {
    // Who has not understood the key writes the password there.
    if key == "password_file" && !is_absolute(text) {
        return Some(
            "is not the whole path of a file: write, for example, password_file = \"/etc/telegraf-rollup/mysql.password\"; the \
             password stands in that file alone"
                .to_string(),
        );
    }
    if text.is_empty() {
        return Some("must not be empty: write the whole path, or remove the key".to_string());
    }
    if text.chars().any(char::is_control) {
        // "C:\temp" holds a tab.
        let written = text.replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r").replace('\u{8}', "\\b");
        let written = written.replace('\u{c}', "\\f").replace('\u{1b}', "\\e");
        return Some(match written.chars().any(char::is_control) || written.contains('\'') {
            true => "holds a control character: write the path without it, in single quotes".to_string(),
            false => format!("a backslash begins an escape between double quotes: write {key} = '{written}'"),
        });
    }
    if let Some(path) = text.strip_prefix("file://") {
        return Some(format!("is a path, not a url: write {key} = {}", quoted(path)));
    }
    if is_absolute(text) {
        return None;
    }
    if let Some(rest) = text.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with(['/', '\\'])) {
        let home = table.document.variable("HOME").unwrap_or_else(|| "/home/user".to_string());
        return Some(format!("`~` is not replaced: write {key} = {}", quoted(&format!("{home}{rest}"))));
    }
    if let Some((name, rest)) = text.strip_prefix('%').and_then(|rest| rest.split_once('%')) {
        return Some(format!("%{name}% is not replaced: write {key} = {}", quoted(&format!("${{{name}}}{rest}"))));
    }
    if let Some(rest) = text.strip_prefix('$').filter(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic())) {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let written = format!("${{{}}}{}", &rest[..end], &rest[end..]);
        return Some(format!("a `$` without braces stands for itself: write {key} = {}", quoted(&written)));
    }
    let folder = table.document.variable("PWD").filter(|folder| folder.starts_with('/')).map(PathBuf::from);
    let folder = folder.unwrap_or_else(places::state_dir);
    let whole = folder.join(text.trim_start_matches("./").trim_start_matches(".\\"));
    Some(format!(
        "{text:?} is not an absolute path, and nobody knows in which folder Telegraf works: write {key} = {}",
        quoted(&shown(&whole))
    ))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
