//! A strict reader over a parsed TOML document that collects problems instead of stopping at the first.
//!
//! Which keys there are, and of which type, says [`super::keys`]: [`Table::finish`] reports all others, with the nearest
//! one that is known. What is read and what that table lists cannot part: a build with assertions stops at the first
//! difference. Strings have `${NAME}` and `${NAME:-default}` replaced from the environment.

use super::keys::{self, KeyType};
use super::meant::syntax::TELEGRAF;
use super::meant::{amount, key as meant_key, toml_text, value as meant_value};
use super::report::{Problem, Problems};
use super::units;
use std::cell::RefCell;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// Returns the value of an environment variable.
pub type Environment<'e> = dyn Fn(&str) -> Option<String> + 'e;

/// What all tables of one document share.
pub struct Document<'e> {
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
    environment: &'e Environment<'e>,
    problems: RefCell<Vec<Problem>>,
    /// What is allowed, but most likely not meant.
    warnings: RefCell<Vec<String>>,
}

/// A value with the place where it stands.
#[derive(Clone, Debug)]
pub struct At<T> {
    /// What was read.
    pub value: T,
    /// Where it stands, in bytes from the start of the document.
    pub offset: usize,
    /// Where it stands, in words: `summary[0].column[2].method`.
    pub path: String,
}

impl<'e> Document<'e> {
    /// Begins with a text in which no problem has been found.
    pub fn new(text: &str, environment: &'e Environment<'e>) -> Document<'e> {
        let (problems, warnings) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let newlines = memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1);
        let lines = std::iter::once(0).chain(newlines).collect();
        Document { text: text.to_string(), lines, environment, problems, warnings }
    }

    /// Returns the line, from 1, that holds a byte offset.
    fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset).max(1)
    }

    /// Notes a problem.
    pub fn problem(&self, offset: usize, path: &str, message: impl Into<String>) {
        let problem = Problem { line: self.line(offset), path: path.to_string(), message: message.into() };
        self.problems.borrow_mut().push(problem);
    }

    /// Notes what is allowed, but most likely not meant.
    pub fn warning_at<T>(&self, at: &At<T>, message: impl std::fmt::Display) {
        let warning = format!("line {}: {}: {message}", self.line(at.offset), at.path);
        self.warnings.borrow_mut().push(warning);
    }

    /// Returns what was noted as most likely not meant.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.borrow().clone()
    }

    /// Returns true if the document has this sign at an offset.
    fn has_at(&self, offset: usize, sign: char) -> bool {
        self.text.get(offset..).is_some_and(|rest| rest.starts_with(sign))
    }

    /// Returns a variable of the environment.
    pub fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }

    /// Notes a problem with a value that was read.
    pub fn problem_at<T>(&self, at: &At<T>, message: impl Into<String>) {
        self.problem(at.offset, &at.path, message);
    }

    /// Returns all problems in order of line; `None` if there are none.
    pub fn report(&self) -> Option<Problems> {
        let mut problems = self.problems.borrow().clone();
        problems.sort_by_key(|p| p.line);
        problems.dedup();
        (!problems.is_empty()).then_some(Problems(problems))
    }

    /// Replaces `${NAME}` and `${NAME:-default}`. Anything else that starts with a dollar sign is left alone.
    fn expand(&self, text: &str, offset: usize, path: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            out.push_str(&rest[..start]);
            let Some(length) = rest[start..].find('}') else {
                self.problem(offset, path, "`${` without `}`: write ${NAME}");
                return text.to_string();
            };
            let inside = &rest[start + 2..start + length];
            let (name, default) = inside.split_once(":-").map_or((inside, None), |(n, d)| (n, Some(d)));
            match (self.environment)(name).or_else(|| default.map(str::to_string)) {
                Some(value) => out.push_str(&value),
                None => self.problem(
                    offset,
                    path,
                    format!("the environment variable {name} is not set: set it, or write ${{{name}:-default}}"),
                ),
            }
            rest = &rest[start + length + 1..];
        }
        out + rest
    }
}

/// A table that is being read.
pub struct Table<'d, 'i> {
    /// The document that it is part of.
    pub document: &'d Document<'d>,
    /// Where it stands: `summary[0].column[2]`; empty for the root.
    pub path: String,
    /// Where it stands, in bytes from the start of the document.
    pub offset: usize,
    /// Where its keys stand in the table of keys: `summary.column`; empty for the root.
    section: String,
    table: &'d DeTable<'i>,
    /// The keys that were asked for.
    asked: RefCell<Vec<&'static str>>,
}

impl<'d, 'i> Table<'d, 'i> {
    /// Begins to read a document.
    pub fn root(document: &'d Document<'d>, table: &'d DeTable<'i>) -> Table<'d, 'i> {
        let asked = RefCell::new(Vec::new());
        Table { document, path: String::new(), offset: 0, section: String::new(), table, asked }
    }

    /// Begins to read the table that is the value of a key, or one of them.
    fn below(&self, key: &str, path: String, offset: usize, table: &'d DeTable<'i>) -> Table<'d, 'i> {
        let section = if self.section.is_empty() { key.to_string() } else { format!("{}.{key}", self.section) };
        Table { document: self.document, path, offset, section, table, asked: RefCell::new(Vec::new()) }
    }

    fn path_of(&self, key: &str) -> String {
        let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let key = if plain { key.to_string() } else { toml_text::quoted(key) };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    fn get(&self, key: &'static str) -> Option<&'d Spanned<DeValue<'i>>> {
        debug_assert!(keys::names(&self.section).contains(&key), "[{}] {key}: not in the table of keys", self.section);
        self.asked.borrow_mut().push(key);
        self.table.iter().find(|(k, _)| k.get_ref() == key).map(|(_, v)| v)
    }

    /// Returns the value of a key that is read as a type.
    fn get_as(&self, key: &'static str, key_type: KeyType) -> Option<&'d Spanned<DeValue<'i>>> {
        let value = self.get(key);
        let listed = keys::find(&self.section, key).map(|key| key.key_type);
        debug_assert_eq!(listed, Some(key_type), "[{}] {key}: the table of keys has another type", self.section);
        value
    }

    fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let found = value.get_ref().type_str();
        let remedy = match keys::find(&self.section, key) {
            Some(known) => meant_value::instead(known, value.get_ref()),
            None => meant_value::entry(key, value.get_ref()),
        };
        let message = format!("expected {wanted}, found {} {found}: {remedy}", article(found));
        self.document.problem(value.span().start, &self.path_of(key), message);
    }

    /// Notes that a key is missing.
    pub fn missing(&self, key: &str, example: &str) {
        let message = format!("missing key `{key}`: write, for example, {example}");
        let path = if self.path.is_empty() { key.trim_matches(['[', ']']) } else { &self.path };
        self.document.problem(self.offset, path, message);
    }

    /// Notes a problem with the value of a key; with the table if it is not there.
    pub fn problem(&self, key: &'static str, message: impl Into<String>) {
        self.document.problem(self.offset_of(key), &self.path_of(key), message);
    }

    /// Returns true if the value of a key is a list that holds nothing.
    pub fn is_empty_list(&self, key: &'static str) -> bool {
        self.get(key).is_some_and(|value| value.get_ref().as_array().is_some_and(|items| items.is_empty()))
    }

    /// Warns of a `$` that was most likely meant for a variable of the environment.
    pub fn warn_of_dollars(&self, key: &'static str) {
        let Some(value) = self.get(key) else { return };
        let DeValue::String(text) = value.get_ref() else { return };
        let is_name = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if text.match_indices('$').any(|(at, _)| is_name(&text[at + 1..])) {
            let at = At { value: (), offset: value.span().start, path: self.path_of(key) };
            let message = "a `$` without braces stands for itself: write ${NAME} for a variable of the environment";
            self.document.warning_at(&at, message);
        }
    }

    /// Returns true if the key is there.
    pub fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// Returns the offset of a key's value, or of the table.
    pub fn offset_of(&self, key: &'static str) -> usize {
        self.get(key).map_or(self.offset, |v| v.span().start)
    }

    fn text(&self, path: String, value: &Spanned<DeValue<'_>>) -> Option<At<String>> {
        let offset = value.span().start;
        match value.get_ref() {
            DeValue::String(text) => Some(At { value: self.document.expand(text, offset, &path), offset, path }),
            _ => None,
        }
    }

    /// Returns a string.
    pub fn string(&self, key: &'static str) -> Option<At<String>> {
        self.text_as(key, KeyType::Text)
    }

    /// Returns the text of a key of a type that stands in quotes.
    fn text_as(&self, key: &'static str, key_type: KeyType) -> Option<At<String>> {
        let value = self.get_as(key, key_type)?;
        let text = self.text(self.path_of(key), value);
        if text.is_none() {
            self.wrong_type(key, value, "a string in quotes");
        }
        text
    }

    /// Returns a string that must be there and not be empty.
    pub fn required(&self, key: &'static str, example: &str) -> Option<At<String>> {
        if !self.has(key) {
            self.missing(key, example);
            return None;
        }
        let text = self.string(key)?;
        if text.value.is_empty() {
            self.document.problem_at(&text, format!("must not be empty: write, for example, {example}"));
            return None;
        }
        Some(text)
    }

    /// Returns a list of strings.
    pub fn strings(&self, key: &'static str) -> Option<Vec<At<String>>> {
        let value = self.get_as(key, KeyType::TextList)?;
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(key, value, "a list of strings");
            return None;
        };
        let mut out = Vec::new();
        for (i, item) in items.iter().enumerate() {
            match self.text(format!("{}[{i}]", self.path_of(key)), item) {
                Some(text) => out.push(text),
                None => {
                    let found = item.get_ref().type_str();
                    let remedy = keys::find(&self.section, key)
                        .map_or_else(String::new, |known| meant_value::instead(known, value.get_ref()));
                    let message = format!("expected a string in quotes, found {} {found}: {remedy}", article(found));
                    self.document.problem(item.span().start, &format!("{}[{i}]", self.path_of(key)), message);
                }
            }
        }
        Some(out)
    }

    /// Returns a number; whole numbers are taken too.
    pub fn float(&self, key: &'static str) -> Option<f64> {
        let value = self.get_as(key, KeyType::Number)?;
        match number(value) {
            Some(number) if number.is_finite() => Some(number),
            _ => {
                self.wrong_type(key, value, "a finite number, as in 1.5");
                None
            }
        }
    }

    /// Returns the lowest and the highest of a range, of which either may be infinite; there is a number between them.
    pub fn range(&self, key: &'static str) -> Option<(f64, f64)> {
        const EXAMPLE: &str = "as in [0, 120]; inf and -inf stand for no limit";
        let value = self.get_as(key, KeyType::Range)?;
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(key, value, "the lowest and the highest value in brackets");
            return None;
        };
        let report = |offset, message: String| {
            self.document.problem(offset, &self.path_of(key), message);
            None
        };
        let mut numbers = Vec::new();
        for item in items {
            let offset = item.span().start;
            match number(item) {
                Some(number) if !number.is_nan() => numbers.push(number + 0.0),
                Some(_) => return report(offset, format!("nan is no limit: write two numbers, {EXAMPLE}")),
                None => {
                    let found = item.get_ref().type_str();
                    return report(
                        offset,
                        format!("expected a number, found {} {found}: write two numbers, {EXAMPLE}", article(found)),
                    );
                }
            }
        }
        let offset = value.span().start;
        match numbers[..] {
            [low, high] if low > high => {
                report(offset, format!("the lowest value is above the highest: write [{high}, {low}]"))
            }
            [low, high] if low == f64::INFINITY || high == f64::NEG_INFINITY => {
                report(offset, format!("no value is in it: write two numbers, {EXAMPLE}"))
            }
            [low, high] => Some((low, high)),
            _ => report(
                offset,
                format!(
                    "must hold two numbers, not {}: write the lowest and the highest value, {EXAMPLE}",
                    numbers.len()
                ),
            ),
        }
    }

    /// Returns a whole number that is not negative.
    pub fn count(&self, key: &'static str) -> Option<At<usize>> {
        let value = self.get_as(key, KeyType::WholeNumber)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => integer(number).and_then(|n| usize::try_from(n).ok()),
            _ => None,
        };
        match number {
            Some(number) => Some(At { value: number, offset: value.span().start, path: self.path_of(key) }),
            None => {
                self.wrong_type(key, value, "a whole number that is not negative");
                None
            }
        }
    }

    /// Returns a duration in nanoseconds: a number with a unit, several may be joined (`1h30m`).
    pub fn duration(&self, key: &'static str) -> Option<At<i64>> {
        let text = self.text_as(key, KeyType::Duration)?;
        self.duration_of(key, text, false)
    }

    /// Returns a duration in nanoseconds, or `None` for the word `forever`.
    pub fn duration_or_forever(&self, key: &'static str) -> Option<At<Option<i64>>> {
        let text = self.text_as(key, KeyType::DurationOrForever)?;
        if text.value == "forever" {
            return Some(At { value: None, offset: text.offset, path: text.path });
        }
        self.duration_of(key, text, true).map(|at| At { value: Some(at.value), offset: at.offset, path: at.path })
    }

    fn duration_of(&self, key: &str, text: At<String>, forever: bool) -> Option<At<i64>> {
        match units::duration(&text.value) {
            Some(value) => Some(At { value, offset: text.offset, path: text.path }),
            None => {
                let default = keys::find(&self.section, key).map_or("", |known| known.default);
                let unit = if default.ends_with('d') { "d" } else { "s" };
                let remedy = amount::duration(&text.value, unit, forever);
                self.document.problem_at(&text, format!("{:?} is not a duration: {remedy}", text.value));
                None
            }
        }
    }

    /// Returns a size in bytes: a number and a unit, as in `1GiB`.
    pub fn bytes(&self, key: &'static str) -> Option<At<u64>> {
        let text = self.text_as(key, KeyType::Size)?;
        match units::bytes(&text.value) {
            Some(value) => Some(At { value, offset: text.offset, path: text.path }),
            None => {
                let message = format!("{:?} is not a size: {}", text.value, amount::size(&text.value));
                self.document.problem_at(&text, message);
                None
            }
        }
    }

    /// Returns a sub-table. A missing one is `None`.
    pub fn table(&self, key: &'static str) -> Option<Table<'d, 'i>> {
        self.table_as(key, KeyType::Section)
    }

    fn table_as(&self, key: &'static str, key_type: KeyType) -> Option<Table<'d, 'i>> {
        let value = self.get_as(key, key_type)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(self.below(key, self.path_of(key), value.span().start, table)),
            other => {
                self.wrong_type(key, value, "a table");
                // [[sink]] in place of [sink]: what stands in it is looked at all the same.
                let DeValue::Array(items) = other else { return None };
                let table =
                    items.iter().find_map(|item| item.get_ref().as_table().map(|table| (item.span().start, table)));
                table
                    .filter(|_| key_type == KeyType::Section)
                    .map(|(at, table)| self.below(key, self.path_of(key), at, table))
            }
        }
    }

    /// Reads a section that may be missing and reports its unknown keys.
    pub fn section<T>(&self, key: &'static str, read: impl FnOnce(Option<&Table<'d, 'i>>) -> T) -> T {
        let table = self.table(key);
        let value = read(table.as_ref());
        if let Some(table) = table {
            table.finish();
        }
        value
    }

    /// Returns a list of tables. A missing one is empty.
    pub fn tables(&self, key: &'static str) -> Vec<Table<'d, 'i>> {
        let Some(value) = self.get_as(key, KeyType::SectionList) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            let offset = value.span().start;
            let remedy = match keys::find(&self.section, key) {
                Some(_) if self.document.has_at(offset, '{') => {
                    format!("write {key} = [{{ ... }}] with brackets around it")
                }
                Some(known) => meant_value::instead(known, value.get_ref()),
                None => String::new(),
            };
            self.document.problem(offset, &self.path_of(key), format!("must be a list of tables: {remedy}"));
            // What stands in the one table is looked at all the same.
            let table = value.get_ref().as_table();
            return table
                .map(|table| self.below(key, format!("{}[0]", self.path_of(key)), offset, table))
                .into_iter()
                .collect();
        };
        let mut out = Vec::new();
        for (i, item) in items.iter().enumerate() {
            match item.get_ref() {
                DeValue::Table(table) => {
                    let path = format!("{}[{i}]", self.path_of(key));
                    out.push(self.below(key, path, item.span().start, table));
                }
                _ => self.wrong_type(key, item, "a table in { }"),
            }
        }
        out
    }

    /// Returns a sub-table whose keys the user chooses, as strings. A missing one is empty.
    pub fn entries(&self, key: &'static str) -> Vec<(String, At<String>)> {
        let Some(free) = self.table_as(key, KeyType::FreeTable) else { return Vec::new() };
        let mut out = Vec::new();
        for (key, value) in free.table {
            match free.text(free.path_of(key.get_ref()), value) {
                Some(text) => out.push((key.get_ref().to_string(), text)),
                None => free.wrong_type(key.get_ref(), value, "a string in quotes"),
            }
        }
        out
    }

    /// Reports the keys that the table of keys does not have.
    pub fn finish(&self) {
        let known = keys::names(&self.section);
        let asked = self.asked.borrow();
        for name in &known {
            debug_assert!(asked.contains(name), "[{}] {name}: in the table of keys, but nobody reads it", self.section);
        }
        let mut unlike = Vec::new();
        let mut of_telegraf = Vec::new();
        let mut looked_at = 0;
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            // Nobody reads what is said of very many keys, and each is compared with all that are known.
            looked_at += 1;
            let remedy = if looked_at <= LOOKED_MAX { meant_key::unknown(&self.section, name) } else { None };
            match remedy {
                _ if self.section.is_empty() && TELEGRAF.contains(&name) => of_telegraf.push(key),
                Some(remedy) => {
                    self.document.problem(key.span().start, &self.path_of(name), format!("unknown key: {remedy}"));
                }
                None => unlike.push(key),
            }
        }
        if let Some(first) = of_telegraf.iter().min_by_key(|key| key.span().start) {
            let message =
                format!("belongs to Telegraf's own configuration: remove {} from this file", listed(&of_telegraf));
            self.document.problem(first.span().start, &self.path_of(first.get_ref()), message);
        }
        let keys = keys::listed(&self.section).join(", ");
        match unlike.iter().min_by_key(|key| key.span().start) {
            // A table of something else: one message says it.
            Some(first) if unlike.len() > UNLIKE_MAX => {
                let message = format!("unknown keys: remove {}; known here are {keys}", listed(&unlike));
                self.document.problem(first.span().start, &self.path_of(first.get_ref()), message);
            }
            _ => unlike.iter().for_each(|key| {
                let message = format!("unknown key: remove it; known here are {keys}");
                self.document.problem(key.span().start, &self.path_of(key.get_ref()), message);
            }),
        }
    }
}

/// So many unknown keys of one table are compared with those that are known.
const LOOKED_MAX: usize = 100;
/// More keys of one table that are like no known one are told as one problem.
const UNLIKE_MAX: usize = 3;
/// So many of them are named.
const LISTED_MAX: usize = 5;

/// Names keys, in the order of the document.
fn listed(keys: &[&Spanned<DeString<'_>>]) -> String {
    let mut sorted = keys.to_vec();
    sorted.sort_by_key(|key| key.span().start);
    let shown = |key: &&Spanned<DeString<'_>>| format!("`{}`", key.get_ref());
    let named: Vec<String> = sorted.iter().take(LISTED_MAX).map(shown).collect();
    let more = keys.len().saturating_sub(LISTED_MAX);
    if more > 0 { format!("{} and {more} more", named.join(", ")) } else { named.join(", ") }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// A number of any kind; whole ones too.
fn number(value: &Spanned<DeValue<'_>>) -> Option<f64> {
    match value.get_ref() {
        // TOML writes "+nan", which Rust does not read.
        DeValue::Float(number) => number.as_str().replace('_', "").trim_start_matches('+').parse().ok(),
        DeValue::Integer(number) => integer(number).map(|n| n as f64),
        _ => None,
    }
}

fn integer(number: &toml::de::DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
}
