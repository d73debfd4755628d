//! `docs/troubleshooting.md` against the source: every error and warning of the program is in it, and nothing else.
//!
//! A message is a string in `src/`. What its code fills in is `…` in the document, and code marks (backticks) are left out on
//! both sides. With `ROLLUP_BLESS=1` missing messages are added below "To be sorted in", with a TODO that the test refuses, and rows
//! of messages that are gone are removed: write their second column, and move them to where they belong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const PAGE: &str = "docs/troubleshooting.md";
const NEW: &str = "## To be sorted in";
const TODO: &str = "TODO: what it means, and what to do";

/// Where texts are made that are passed on to the log: hints, reasons, errors of the sink. The errors of a configuration have a page
/// of their own.
const PASSED_ON: [&str; 6] = [
    "src/cli/misunderstood.rs",
    "src/driver/",
    "src/durable/state_error.rs",
    "src/durable/user.rs",
    "src/engine/counters.rs",
    "src/sink/",
];

/// Texts that say cause and remedy themselves: what `check` finds, and why a server cannot be reached, of which `docs/sink.md` has a
/// table with the test of each.
const FINDINGS: [&str; 5] =
    ["src/sink/account", "src/sink/connect", "src/sink/explain", "src/sink/password", "src/sink/probe"];

/// What a string must have to be read as a sentence.
const WORDS_MIN: usize = 4;

/// Sentences that nobody reads: they are unreachable, or stand in a statement, or in another message as one of its words.
const UNSEEN: [&str; 9] = [
    "there is no connection",
    "d.summary IN",
    "not a guest any more",
    "the state has been given back",
    "our own pipe is empty",
    "utf8mb4_nopad_bin",
    "an upsert of",
    "the list of",
    "the settings of the session",
];

/// A string of the source.
#[derive(Debug)]
struct Literal {
    /// What stands before it, back to the last statement.
    before: String,
    text: String,
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// All files of the source, with their text but for the tests in them.
fn sources() -> Vec<(String, String)> {
    let (mut folders, mut found) = (vec![repository("src")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("text");
                let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_string();
                let name = path.strip_prefix(repository("")).expect("below").to_string_lossy().replace('\\', "/");
                found.push((name, text));
            }
        }
    }
    found.sort();
    found
}

/// The strings of a file, without those in comments.
fn literals(text: &str) -> Vec<Literal> {
    let chars: Vec<char> = text.chars().collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < chars.len() {
        let rest = |n: usize| chars.get(at + n).copied().unwrap_or('\0');
        match chars[at] {
            '/' if rest(1) == '/' => at += chars[at..].iter().take_while(|c| **c != '\n').count(),
            // A character, or a lifetime.
            '\'' if rest(1) == '\\' => at += 2 + chars[at + 2..].iter().take_while(|c| **c != '\'').count() + 1,
            '\'' if rest(2) == '\'' => at += 3,
            '"' => {
                let raw = at > 1 && chars[at - 1] == '#' && chars[at - 2] == 'r';
                let before: String = chars[at.saturating_sub(80)..at].iter().collect();
                let mut string = String::new();
                at += 1;
                loop {
                    match chars[at] {
                        '"' if !raw || chars[at + 1] == '#' => break,
                        '\\' if !raw && chars[at + 1] == '\n' => {
                            at += 1 + chars[at + 1..].iter().take_while(|c| c.is_whitespace()).count();
                        }
                        '\\' if !raw => {
                            string.push(if chars[at + 1] == 'n' { '\n' } else { chars[at + 1] });
                            at += 2;
                        }
                        c => {
                            string.push(c);
                            at += 1;
                        }
                    }
                }
                at += 1;
                found.push(Literal { before, text: string });
            }
            _ => at += 1,
        }
    }
    found
}

/// A message as the document writes it: `…` for what is filled in, no code marks, single blanks.
fn normal(text: &str) -> String {
    let (mut out, mut chars) = (String::new(), text.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '{' if chars.peek() == Some(&'{') => {
                chars.next();
                out.push('{');
            }
            '}' if chars.peek() == Some(&'}') => {
                chars.next();
                out.push('}');
            }
            '{' => {
                chars.by_ref().take_while(|c| *c != '}').for_each(drop);
                out.push('…');
            }
            '`' => {}
            // A row of a table ends a cell with it.
            '|' => out.push('/'),
            c => out.push(c),
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Words of its own, not of what is filled in.
fn words(message: &str) -> usize {
    let is_word = |w: &&str| w.len() > 1 && w.bytes().all(|b| b.is_ascii_lowercase());
    message.split(|c: char| !c.is_alphanumeric() && c != '_').filter(is_word).count()
}

fn is_statement(message: &str) -> bool {
    let first = message.split_whitespace().find(|w| *w != "…").unwrap_or_default();
    let is_upper = first.len() > 2 && first.bytes().all(|b| b.is_ascii_uppercase());
    is_upper || [" SELECT ", "(SELECT ", " WHERE ", " KEY UPDATE "].iter().any(|word| message.contains(word))
}

/// The messages that the document must have, each with its file; and all strings of the source, one of which each row must be.
fn messages() -> (BTreeMap<String, String>, BTreeSet<String>) {
    let (mut wanted, mut all) = (BTreeMap::new(), BTreeSet::new());
    for (file, text) in sources() {
        for Literal { before, text } in literals(&text) {
            let message = normal(&text);
            let call = before.rsplit([';', '}', '{']).next().unwrap_or_default().trim_end();
            let ends = |names: &[&str]| names.iter().any(|name| call.ends_with(name));
            let is_logged = ends(&["error!(", "warn!("]) && words(&message) > 1;
            let is_inside = [
                "info!(",
                "debug!(",
                "trace!(",
                "expect(",
                "panic!(",
                "unreachable!(",
                "assert!(",
                "assert_eq!(",
                "assert_ne!(",
                "println!(",
            ];
            let is_place = |places: &[&str]| places.iter().any(|place| file.starts_with(place));
            let is_passed_on = is_place(&PASSED_ON)
                && !is_place(&FINDINGS)
                && words(&message) >= WORDS_MIN
                && !is_inside.iter().any(|name| call.contains(name))
                && !call.ends_with("reason =")
                // The log says the sentences of that table; its names are for lists.
                && (!file.ends_with("counters.rs") || call.contains("say("))
                && message.contains(' ')
                && !is_statement(&message)
                && !UNSEEN.iter().any(|unseen| message.contains(unseen));
            if is_logged || is_passed_on {
                wanted.insert(message.clone(), file.clone());
            }
            all.insert(message);
        }
    }
    (wanted, all)
}

/// The messages that a row of the document is about: its first cell, and whether the second one says something.
fn row(line: &str) -> Option<(String, bool)> {
    let (message, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
    Some((normal(message), words(rest) > 2 && !rest.contains("TODO")))
}

#[test]
fn every_error_and_warning_is_in_the_document_and_no_other() {
    let (wanted, all) = messages();
    assert!(wanted.len() > 120, "only {} messages are found", wanted.len());
    let mut page = std::fs::read_to_string(repository(PAGE)).expect("the document");
    let rows: Vec<(String, bool)> = page.lines().filter_map(row).collect();
    let named: BTreeSet<&String> = rows.iter().map(|(message, _)| message).collect();
    let missing: Vec<_> = wanted.iter().filter(|(message, _)| !named.contains(message)).collect();
    let gone: Vec<_> = named.iter().filter(|message| !all.contains(**message)).collect();
    if std::env::var_os("ROLLUP_BLESS").is_some() && !(missing.is_empty() && gone.is_empty()) {
        let is_gone = |line: &&str| row(line).is_some_and(|(message, _)| gone.iter().any(|g| **g == &message));
        let mut text: String = page.lines().filter(|line| !is_gone(line)).map(|line| format!("{line}\n")).collect();
        if !missing.is_empty() && !text.contains(NEW) {
            text += &format!("\n{NEW}\n\n| message | what it means, and what to do |\n|---|---|\n");
        }
        missing.iter().for_each(|(message, file)| text += &format!("| `{message}` | {TODO} ({file}) |\n"));
        std::fs::write(repository(PAGE), &text).expect("writable");
        page = text;
    }
    assert!(missing.is_empty(), "not in {PAGE} (ROLLUP_BLESS=1 adds them):\n{missing:#?}");
    assert!(gone.is_empty(), "in {PAGE}, but not in the source (ROLLUP_BLESS=1 removes them):\n{gone:#?}");
    let silent: Vec<_> = rows.iter().filter(|(_, says)| !says).collect();
    assert!(silent.is_empty(), "these rows of {PAGE} do not say what to do:\n{silent:#?}");
    assert!(!page.contains("TODO"), "{PAGE} has something to do");
    assert_eq!(named.len(), rows.len(), "a message stands twice in {PAGE}");
}

#[test]
fn strings_are_read_as_the_compiler_reads_them() {
    let text = "// \"no\"\nlog::warn!(\n    \"{a} is `b` \\\n     and c\"\n); let c = '\"'; x(r#\"raw \"one\"\"#, \"{{d}} \\\"e\\\"\")";
    let found: Vec<String> = literals(text).iter().map(|l| normal(&l.text)).collect();
    assert_eq!(found, ["… is b and c", "raw \"one\"", "{d} \"e\""]);
}
