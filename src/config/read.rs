//! A strict reader over a parsed TOML document that collects problems instead of stopping at the first.
//!
//! Every getter notes the key as known; [`Table::finish`] then reports the keys that nobody asked for, with the nearest
//! known one. Strings have `${NAME}` and `${NAME:-default}` replaced from the environment.

use super::report::{Problem, Report};
use std::cell::RefCell;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Gives the value of an environment variable.
pub type Environment<'e> = dyn Fn(&str) -> Option<String> + 'e;

/// What all tables of one document share.
pub struct Document<'e> {
    text: String,
    environment: &'e Environment<'e>,
    problems: RefCell<Vec<Problem>>,
}

/// A value with the place where it stands.
#[derive(Clone, Debug)]
pub struct At<T> {
    pub value: T,
    pub offset: usize,
    pub path: String,
}

impl<'e> Document<'e> {
    pub fn new(text: &str, environment: &'e Environment<'e>) -> Document<'e> {
        Document { text: text.to_string(), environment, problems: RefCell::new(Vec::new()) }
    }

    /// The line, from 1, that holds a byte offset.
    fn line(&self, offset: usize) -> usize {
        self.text.as_bytes()[..offset.min(self.text.len())].iter().filter(|b| **b == b'\n').count() + 1
    }

    /// Notes a problem.
    pub fn problem(&self, offset: usize, path: &str, message: impl Into<String>) {
        let problem = Problem { line: self.line(offset), path: path.to_string(), message: message.into() };
        self.problems.borrow_mut().push(problem);
    }

    /// A variable of the environment.
    pub fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }

    /// Notes a problem with a value that was read.
    pub fn problem_at<T>(&self, at: &At<T>, message: impl Into<String>) {
        self.problem(at.offset, &at.path, message);
    }

    /// All problems in order of line; `None` if there are none.
    pub fn report(&self) -> Option<Report> {
        let mut problems = self.problems.borrow().clone();
        problems.sort_by_key(|p| p.line);
        problems.dedup();
        (!problems.is_empty()).then_some(Report(problems))
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
    pub document: &'d Document<'d>,
    pub path: String,
    pub offset: usize,
    table: &'d DeTable<'i>,
    known: RefCell<Vec<&'static str>>,
}

impl<'d, 'i> Table<'d, 'i> {
    pub fn new(document: &'d Document<'d>, path: String, offset: usize, table: &'d DeTable<'i>) -> Table<'d, 'i> {
        Table { document, path, offset, table, known: RefCell::new(Vec::new()) }
    }

    fn path_of(&self, key: &str) -> String {
        let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let key = if plain { key.to_string() } else { format!("{key:?}") };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    fn get(&self, key: &'static str) -> Option<&'d Spanned<DeValue<'i>>> {
        self.known.borrow_mut().push(key);
        self.table.iter().find(|(k, _)| k.get_ref() == key).map(|(_, v)| v)
    }

    fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let found = value.get_ref().type_str();
        let message = format!("expected {wanted}, found {} {found}", article(found));
        self.document.problem(value.span().start, &self.path_of(key), message);
    }

    /// Notes that a key is missing.
    pub fn missing(&self, key: &str, example: &str) {
        let message = format!("missing key `{key}`: write, for example, {example}");
        self.document.problem(self.offset, &self.path, message);
    }

    /// True if the key is there.
    pub fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// The offset of a key's value, or of the table.
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

    /// A string.
    pub fn string(&self, key: &'static str) -> Option<At<String>> {
        let value = self.get(key)?;
        let text = self.text(self.path_of(key), value);
        if text.is_none() {
            self.wrong_type(key, value, "a string in quotes");
        }
        text
    }

    /// A string that must be there and not be empty.
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

    /// A list of strings.
    pub fn strings(&self, key: &'static str) -> Option<Vec<At<String>>> {
        let value = self.get(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(key, value, "a list of strings, as in [\"a\", \"b\"]");
            return None;
        };
        let mut out = Vec::new();
        for (i, item) in items.iter().enumerate() {
            match self.text(format!("{}[{i}]", self.path_of(key)), item) {
                Some(text) => out.push(text),
                None => self.wrong_type(key, item, "a string in quotes"),
            }
        }
        Some(out)
    }

    /// A number; whole numbers are taken too.
    pub fn float(&self, key: &'static str) -> Option<f64> {
        let value = self.get(key)?;
        let number = match value.get_ref() {
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            DeValue::Integer(number) => integer(number).map(|n| n as f64),
            _ => None,
        };
        match number {
            Some(number) if number.is_finite() => Some(number),
            _ => {
                self.wrong_type(key, value, "a finite number, as in 1.5");
                None
            }
        }
    }

    /// A whole number that is not negative.
    pub fn count(&self, key: &'static str) -> Option<At<usize>> {
        let value = self.get(key)?;
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

    /// A duration in nanoseconds: a number with a unit, several may be joined (`1h30m`).
    pub fn duration(&self, key: &'static str) -> Option<At<i64>> {
        let text = self.string(key)?;
        match duration(&text.value) {
            Some(value) => Some(At { value, offset: text.offset, path: text.path }),
            None => {
                let message =
                    format!("{:?} is not a duration: write a number and ms, s, m, h or d, as in \"10m\"", text.value);
                self.document.problem_at(&text, message);
                None
            }
        }
    }

    /// A size in bytes: a number and a unit, as in `1GiB`.
    pub fn bytes(&self, key: &'static str) -> Option<At<u64>> {
        let text = self.string(key)?;
        match bytes(&text.value) {
            Some(value) => Some(At { value, offset: text.offset, path: text.path }),
            None => {
                let message =
                    format!("{:?} is not a size: write a number and KiB, MiB or GiB, as in \"1GiB\"", text.value);
                self.document.problem_at(&text, message);
                None
            }
        }
    }

    /// A sub-table. A missing one is `None`.
    pub fn table(&self, key: &'static str) -> Option<Table<'d, 'i>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(Table::new(self.document, self.path_of(key), value.span().start, table)),
            _ => {
                self.wrong_type(key, value, &format!("a table, as in [{key}]"));
                None
            }
        }
    }

    /// An array of tables. A missing one is empty.
    pub fn tables(&self, key: &'static str) -> Vec<Table<'d, 'i>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            let message = format!("must be a list of tables: write [[{key}]] with two brackets");
            self.document.problem(value.span().start, &self.path_of(key), message);
            return Vec::new();
        };
        let mut out = Vec::new();
        for (i, item) in items.iter().enumerate() {
            match item.get_ref() {
                DeValue::Table(table) => {
                    let path = format!("{}[{i}]", self.path_of(key));
                    out.push(Table::new(self.document, path, item.span().start, table));
                }
                _ => self.wrong_type(key, item, "a table in { }"),
            }
        }
        out
    }

    /// All entries as strings: a table whose keys the user chooses.
    pub fn entries(&self) -> Vec<(String, At<String>)> {
        let mut out = Vec::new();
        for (key, value) in self.table {
            match self.text(self.path_of(key.get_ref()), value) {
                Some(text) => out.push((key.get_ref().to_string(), text)),
                None => self.wrong_type(key.get_ref(), value, "a string in quotes"),
            }
        }
        out
    }

    /// Reports the keys that nobody asked for.
    pub fn finish(&self) {
        let known = self.known.borrow();
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let mut options: Vec<_> = known.iter().copied().collect();
            options.sort_unstable();
            options.dedup();
            let message = match nearest(name, &options) {
                Some(near) => format!("unknown key: did you mean `{near}`?"),
                None => format!("unknown key: remove it; known here are {}", options.join(", ")),
            };
            self.document.problem(key.span().start, &self.path_of(name), message);
        }
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

fn integer(number: &toml::de::DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
}

/// Nanoseconds of a text like `90s`, `1h30m` or `7d`; `None` if it is something else or does not fit.
pub fn duration(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let mut total: i64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |n| digits + n);
        let unit: i64 = match rest[digits..unit_end].trim() {
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[unit_end..];
    }
    Some(total)
}

/// Bytes of a text like `64MiB`; `None` if it is something else or does not fit.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let unit = match text[digits..].trim() {
        "B" => 1,
        "KiB" | "KB" => 1 << 10,
        "MiB" | "MB" => 1 << 20,
        "GiB" | "GB" => 1 << 30,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

/// The known word that is most like `word`, if one is near enough to be what was meant.
pub fn nearest<'o>(word: &str, options: &[&'o str]) -> Option<&'o str> {
    let near = |option: &&&str| distance(word, option) <= 1 + option.len().min(word.len()) / 3;
    options.iter().filter(near).min_by_key(|option| distance(word, option)).copied()
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("10m"), Some(600_000_000_000));
        assert_eq!(duration("1h30m"), Some(5_400_000_000_000));
        assert_eq!(duration("0s"), Some(0));
        assert_eq!(duration("250ms"), Some(250_000_000));
        assert_eq!(duration("36500d"), Some(36_500 * 86_400_000_000_000));
        for bad in ["", "10", "m", "10x", "-1s", "1.5h", "999999999d"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn suggestions_are_near() {
        assert_eq!(nearest("methid", &["method", "name"]), Some("method"));
        assert_eq!(nearest("colour", &["method", "name"]), None);
    }
}
