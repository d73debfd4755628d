//! Texts that are no TOML, in plain words: what is wrong on a line, and the line as it should be.
//!
//! The parser goes on after an error and then misunderstands what follows. So each line has one problem, and what is open at
//! the end of the text is told where it was opened, instead of all that follows.

use super::toml_text::{key as key_text, quoted, quoted_list};
use super::value;
use crate::config::keys::{self, ConfigKey, KeyType};
use std::ops::Range;

/// A place that is no TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxProblem {
    /// Where it is, in bytes from the start of the text.
    pub offset: usize,
    /// The section and the key, as they stand there; `the file` if all of it is something else.
    pub path: String,
    /// What is wrong, and what to write.
    pub message: String,
}

/// So many lines of a text are explained. Nobody reads more, and `run` looks at the file again and again.
const LINES_MAX: usize = 500;
/// More problems of one kind than this are told as one.
const OF_A_KIND_MAX: usize = 3;
/// Sections of Telegraf's own configuration.
pub const TELEGRAF: [&str; 7] =
    ["agent", "inputs", "outputs", "processors", "aggregators", "global_tags", "secretstores"];

/// What to say of Telegraf's own configuration.
pub const TELEGRAF_REMEDY: &str = "is a configuration of Telegraf, not of telegraf-rollup: leave it to Telegraf, and give --config \
    the file with [[summary]]; to write one: `telegraf-rollup setup`, or copy telegraf/rollup.toml";

/// The path of a problem that concerns all of a file.
pub const WHOLE_FILE: &str = "the file";

/// Explains the errors of a text, each with its offset and the words of the parser.
pub fn explain(text: &str, mut errors: Vec<(usize, String)>) -> Vec<SyntaxProblem> {
    errors.sort_by_key(|(offset, _)| *offset);
    let lines = lines(text);
    let line_at = |offset: usize| lines.iter().rposition(|line| line.start <= offset).unwrap_or(0);
    if let Some(message) = errors.first().and_then(|_| another_format(text)) {
        let offset = lines.iter().find(|line| !text[(*line).clone()].trim().is_empty()).map_or(0, |line| line.start);
        return vec![SyntaxProblem { offset, path: WHOLE_FILE.to_string(), message }];
    }
    let mut out: Vec<(SyntaxProblem, &'static str)> = Vec::new();
    let mut last = None;
    let opened = unclosed(text, &lines, &errors, &line_at);
    for (offset, words) in &errors {
        let number = line_at(*offset);
        if last == Some(number) || opened.as_ref().is_some_and(|(line, _)| number >= *line) {
            continue;
        }
        last = Some(number);
        if out.len() == LINES_MAX {
            break;
        }
        let bad = BadLine::new(text, &lines, number);
        let (message, kind) = bad.explain(offset - lines[number].start, words);
        out.push((SyntaxProblem { offset: *offset, path: bad.path(), message }, kind));
    }
    if let Some((number, message)) = opened {
        let bad = BadLine::new(text, &lines, number);
        out.push((SyntaxProblem { offset: lines[number].start, path: bad.path(), message }, "unclosed"));
    }
    few_of_a_kind(out)
}

/// Leaves the first of many problems of one kind.
fn few_of_a_kind(all: Vec<(SyntaxProblem, &'static str)>) -> Vec<SyntaxProblem> {
    let count = |kind: &str| all.iter().filter(|(_, other)| *other == kind).count();
    let mut out: Vec<SyntaxProblem> = Vec::new();
    let mut told: Vec<&str> = Vec::new();
    for (problem, kind) in &all {
        let same = count(kind);
        if same <= OF_A_KIND_MAX {
            out.push(problem.clone());
        } else if !told.contains(kind) {
            told.push(kind);
            let more = if all.len() < LINES_MAX { (same - 1).to_string() } else { "many".to_string() };
            let message = format!("{} ({more} more lines are like this one)", problem.message);
            out.push(SyntaxProblem { message, ..problem.clone() });
        }
    }
    out
}

/// The lines of a text, without what ends them.
fn lines(text: &str) -> Vec<Range<usize>> {
    let mut start = 0;
    let mut out = Vec::new();
    for line in text.split_inclusive('\n') {
        out.push(start..start + line.trim_end_matches(['\r', '\n']).len());
        start += line.len();
    }
    if out.is_empty() {
        out.push(0..0);
    }
    out
}

/// Says that a text is of another format than TOML.
fn another_format(text: &str) -> Option<String> {
    const FORM: &str = "write TOML: [section] on a line of its own, key = value below it, texts in quotes; telegraf/rollup.toml is \
                        an example";
    let content = || text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    let first = content().next()?;
    let is_word = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    let is_of_yaml = |line: &&str| {
        let line = line.trim_start_matches("- ");
        line.split_once(':')
            .is_some_and(|(name, rest)| is_word(name.trim()) && (rest.is_empty() || rest.starts_with(' ')))
            || line.starts_with("- ")
    };
    let is_bare = |value: &str| value.trim_start().starts_with(|c: char| c.is_ascii_alphabetic());
    let is_of_ini =
        |line: &str| line.split_once('=').is_some_and(|(name, value)| is_word(name.trim()) && is_bare(value));
    if text.lines().any(|line| line.starts_with(';')) && content().any(is_of_ini) {
        return Some(format!("is INI, not TOML: {FORM}, and # in front of a comment"));
    }
    let has_equals = content().any(|line| line.split_once('=').is_some_and(|(name, _)| is_word(name.trim())));
    if content().any(|line| {
        let inner = line.trim_matches(['[', ']']);
        line.starts_with('[') && TELEGRAF.contains(&inner.split('.').next().unwrap_or_default())
    }) {
        return Some(TELEGRAF_REMEDY.to_string());
    }
    if first.starts_with('{') {
        return Some(format!("is JSON, not TOML: {FORM}"));
    }
    if first.starts_with('<') && !first.starts_with("<<<<") {
        return Some(format!("is XML or HTML, not TOML: {FORM}"));
    }
    if first == "---" || (!has_equals && content().filter(is_of_yaml).count() > 1) {
        return Some(format!("is YAML, not TOML: {FORM}"));
    }
    None
}

/// Finds what is open at the end of the text, or up to the next section: its line, and what to say of it.
fn unclosed(
    text: &str,
    lines: &[Range<usize>],
    errors: &[(usize, String)],
    line_at: &dyn Fn(usize) -> usize,
) -> Option<(usize, String)> {
    let (what, open, close) = errors.iter().find_map(|(_, words)| match words.split(',').next()? {
        "unclosed array" => Some(("list", '[', "]")),
        "unclosed inline table" => Some(("table", '{', "}")),
        "invalid multi-line basic string" => Some(("text", '"', "\"\"\"")),
        "invalid multi-line literal string" => Some(("text", '\'', "'''")),
        _ => None,
    })?;
    let until = line_at(errors.first()?.0);
    let is_opening = |number: &usize| {
        let line = &text[lines[*number].clone()];
        let value = line.split_once('=').map_or("", |(_, value)| value.trim_start());
        let count = |sign: char| line.matches(sign).count();
        match open {
            '[' => value.starts_with('[') && count('[') > count(']'),
            '{' => count('{') > count('}'),
            quote => value.starts_with(&quote.to_string().repeat(3)),
        }
    };
    let number = (0..=until).rev().find(is_opening)?;
    Some((number, format!("the {what} that begins here has no end: write {close} behind its last value")))
}

/// A line with an error, and where it stands.
struct BadLine<'t> {
    text: &'t str,
    lines: &'t [Range<usize>],
    number: usize,
    line: &'t str,
    /// The section above the line, as `summary.column`.
    section: String,
    /// The key in front of `=` or `:`; empty if there is none.
    key: &'t str,
    /// What stands behind that sign.
    value: &'t str,
    /// `=`, `:`, or none.
    sign: Option<char>,
}

impl<'t> BadLine<'t> {
    fn new(text: &'t str, lines: &'t [Range<usize>], number: usize) -> BadLine<'t> {
        let line = text[lines[number].clone()].trim();
        let headers = lines[..number].iter().rev().map(|range| text[range.clone()].trim());
        let header = headers.filter_map(header_name).next().unwrap_or_default();
        // A sign behind something else than a key is part of a value.
        let is_key = |at: &usize| line[..*at].trim().trim_matches(['"', '\'']).bytes().all(is_of_key);
        let sign = line.find(['=', ':']).filter(is_key).filter(|_| !line.starts_with('['));
        let (key, value) = match sign {
            Some(at) => (line[..at].trim(), line[at + 1..].trim()),
            None => ("", ""),
        };
        BadLine {
            text,
            lines,
            number,
            line,
            section: header.to_string(),
            key: key.trim_matches(['"', '\'']),
            value: without_comment(value),
            sign: sign.and_then(|at| line[at..].chars().next()),
        }
    }

    /// Where the line stands, in words.
    fn path(&self) -> String {
        if let Some(name) = header_name(self.line) {
            return name.to_string();
        }
        // A line without a known key could be anything, a password too.
        let first = self.line.split_whitespace().next().unwrap_or_default();
        let name = if self.key.is_empty() && self.find(first).is_some() { first } else { self.key };
        match (self.section.as_str(), name) {
            ("", "") => WHOLE_FILE.to_string(),
            (section, "") => section.to_string(),
            ("", name) => name.to_string(),
            (section, name) => format!("{section}.{name}"),
        }
    }

    /// The key of the line in the table of keys.
    fn known(&self) -> Option<&'static ConfigKey> {
        self.find(self.key)
    }

    /// A key of the section.
    fn find(&self, name: &str) -> Option<&'static ConfigKey> {
        keys::find(&self.section, name)
    }

    /// True if what stands on the line may be, or hold, a password.
    fn is_secret(&self) -> bool {
        let holds = |word: &str| self.line.to_lowercase().contains(word);
        self.section == "sink" || holds("://") || holds("pass") || holds("@")
    }

    /// Says what is wrong on the line, and of which kind it is.
    fn explain(&self, at: usize, words: &str) -> (String, &'static str) {
        let line = self.line;
        if words.starts_with("duplicate key") {
            return (self.duplicate(), "duplicate");
        }
        if ["<<<<<<<", "=======", ">>>>>>>"].iter().any(|mark| line.starts_with(mark)) {
            return (
                "is a mark of a merge conflict: keep one of the two sides, and remove the marks".to_string(),
                "conflict",
            );
        }
        if ["//", "--", ";", "/*", "REM ", "rem "].iter().any(|start| line.starts_with(start)) {
            return ("a comment begins with `#`: write # in front of the line".to_string(), "comment");
        }
        if let Some(odd) = line.chars().find(|c| "“”„‟‘’‚«»".contains(*c)) {
            let straight = line.replace(['“', '”', '„', '‟', '«', '»'], "\"").replace(['‘', '’', '‚'], "'");
            let written = if self.is_secret() { "\" in place of it".to_string() } else { straight };
            return (format!("{odd} is no quote of TOML: write {written}"), "quotes");
        }
        if let Some(odd) = line
            .chars()
            .find(|c| matches!(c, '\u{a0}' | '\u{200b}'..='\u{200f}' | '\u{2028}' | '\u{feff}' | '\u{3000}'))
        {
            let message =
                format!("holds an invisible character (U+{:04X}): remove it, or type the line again", u32::from(odd));
            return (message, "invisible");
        }
        if line.starts_with('[') {
            return (header(line), "header");
        }
        match self.sign {
            Some('=') => {}
            Some(_) => {
                let written = self.written();
                return (format!("a value follows `=`, not `:`: write {written}"), "colon");
            }
            None => return (self.without_sign(), "no value"),
        }
        self.explain_value(at, words)
    }

    /// Says what is wrong with a value.
    fn explain_value(&self, at: usize, words: &str) -> (String, &'static str) {
        let value = self.value;
        let key = key_text(self.key);
        let is_path =
            words.starts_with("missing escaped") || words.starts_with("too few unicode") || words.contains("unicode");
        if let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            let inner = value.trim_matches(quote);
            if is_path {
                // The last quote of "C:\data\" is part of the text.
                let inner = inner.trim_end_matches(['"', '\\']);
                let inner =
                    if value.trim_end_matches('"').ends_with('\\') { format!("{inner}\\") } else { inner.to_string() };
                let written = match self.is_secret() && !is_windows_path(&inner) || inner.contains('\'') {
                    true => "single quotes around it, or each backslash twice".to_string(),
                    false => format!("{key} = '{inner}'"),
                };
                return (format!("a backslash begins an escape between double quotes: write {written}"), "backslash");
            }
            if words.starts_with("invalid basic string") || words.starts_with("invalid literal string") {
                if words.contains("visible") {
                    return (
                        "holds a control character: remove it, or write it as an escape (\\t, \\n)".to_string(),
                        "control",
                    );
                }
                let written = if self.is_secret() {
                    format!("{quote} at the end of it")
                } else {
                    format!("{key} = {quote}{}{quote}", inner.trim_end())
                };
                return (format!("the text has no closing quote: write {written}"), "quote");
            }
            if words.starts_with("unexpected key or value") {
                let line = &self.text[self.lines[self.number].clone()];
                let rest = line.get(at..).unwrap_or_default().trim_start();
                return (behind(rest), "behind");
            }
        }
        if value.is_empty() {
            return (format!("the value is missing: write {key} = {}", self.example()), "no value");
        }
        if words.starts_with("extra `=`") || value.starts_with('=') {
            return (format!("one `=` is enough: write {}", self.written()), "equals");
        }
        if value.starts_with(['[', '{']) {
            let what = if value.starts_with('[') { "list" } else { "table" };
            if words.starts_with("missing comma") || words.starts_with("extra assignment") {
                let example = if what == "list" { "[\"a\", \"b\"]" } else { "{ a = \"b\", c = \"d\" }" };
                return (
                    format!("a comma is missing in the {what}: write , between its values, as in {example}"),
                    "comma",
                );
            }
            if words.starts_with("string values must be quoted") && what == "list" && !self.is_secret() {
                return (format!("texts stand in quotes: write {}", self.written()), "unquoted");
            }
            if words.starts_with("string values must be quoted") {
                return (format!("texts stand in quotes: write \" around each text of the {what}"), "unquoted");
            }
        }
        if words.starts_with("unexpected leading zero")
            || words.starts_with("invalid mantissa")
            || words.starts_with("invalid fraction")
        {
            let number: Option<f64> = value.parse().ok();
            let written =
                number.map_or_else(|| "digits around the point, as in 0.5".to_string(), |n| format!("{key} = {n:?}"));
            return (format!("is no number as TOML has it: write {written}"), "number");
        }
        if words.starts_with("unexpected key or value")
            && value.starts_with(|c: char| c.is_ascii_digit() || "+-".contains(c))
        {
            return (format!("is no number as TOML has it: write {}", self.written()), "number");
        }
        let is_word = [
            "string values must",
            "invalid boolean",
            "invalid float",
            "invalid date",
            "invalid time",
            "unexpected key",
        ];
        if is_word.iter().any(|start| words.starts_with(start)) {
            return (format!("texts stand in quotes: write {}", self.written()), "unquoted");
        }
        let short = words.split(',').next().unwrap_or_default();
        (format!("is no TOML ({short}): write {}", self.written()), "other")
    }

    /// The line as it is most likely meant.
    fn written(&self) -> String {
        let key = key_text(self.key);
        if self.is_secret() || self.value.is_empty() {
            return format!("{key} = {}", self.example());
        }
        format!("{key} = {}", self.meant())
    }

    /// The value as it is most likely meant.
    fn meant(&self) -> String {
        let value = self.value.trim_start_matches('=').trim().trim_end_matches([',', ';']).trim();
        if let Some(inner) = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return quoted_list(
                inner.split(',').map(|item| item.trim().trim_matches(['"', '\''])).filter(|i| !i.is_empty()),
            );
        }
        if value.starts_with(['"', '\'']) && value.len() > 1 && value.ends_with(['"', '\'']) {
            return value.to_string();
        }
        let bare = value.trim_matches(['"', '\'']);
        let is_number = bare.replace('_', "").parse::<f64>().is_ok();
        match self.known().map(|known| (known, known.key_type)) {
            Some((_, KeyType::TextList)) => quoted_list([bare]),
            Some((_, KeyType::Number | KeyType::WholeNumber)) if is_number => bare.to_string(),
            Some((known, KeyType::Number | KeyType::WholeNumber | KeyType::Range)) => value::example(known),
            Some((known, KeyType::FreeTable)) => value::example(known),
            Some((known, _)) if ["true", "yes", "on"].contains(&bare.to_lowercase().as_str()) => value::example(known),
            _ => quoted(bare),
        }
    }

    /// A value that the key takes, or any.
    fn example(&self) -> String {
        self.known().map_or_else(|| "\"text\"".to_string(), value::example)
    }

    /// Says what is wrong with a line without `=`.
    fn without_sign(&self) -> String {
        let mut words = self.line.splitn(2, char::is_whitespace);
        let name = words.next().unwrap_or_default();
        let rest = words.next().unwrap_or_default().trim();
        match self.find(name) {
            Some(known) if !rest.is_empty() && !self.is_secret() => {
                let bad = BadLine { key: name, value: rest, section: self.section.clone(), ..*self };
                format!("`=` is missing: write {} = {}", known.name(), bad.meant())
            }
            Some(known) => format!("the value is missing: write {} = {}", known.name(), value::example(known)),
            None => "is neither a [section] nor key = value: write one of them, or remove it".to_string(),
        }
    }

    /// Says where a key or a section stood before.
    fn duplicate(&self) -> String {
        let earlier = |fits: &dyn Fn(&str) -> bool| {
            let lines = self.lines[..self.number].iter().map(|range| self.text[range.clone()].trim());
            lines.enumerate().filter(|(_, line)| fits(line)).map(|(number, _)| number + 1).last()
        };
        if let Some(name) = header_name(self.line) {
            let is_list = self.line.starts_with("[[");
            let same = earlier(&|line| header_name(line) == Some(name) && line.starts_with("[[") == is_list);
            let other = earlier(&|line| header_name(line) == Some(name));
            let dotted = earlier(&|line| line.split(['=', '.']).next().is_some_and(|key| key.trim() == name));
            return match (same, other, dotted) {
                (Some(line), ..) => format!(
                    "the section [{name}] stands in line {line} already: keep one, and write all its keys there"
                ),
                (_, Some(line), _) => {
                    let first = if is_list { format!("[{name}]") } else { format!("[[{name}]]") };
                    let this = if is_list { format!("[[{name}]]") } else { format!("[{name}]") };
                    format!("line {line} says {first}, this one {this}: write both in the same way")
                }
                (_, _, Some(line)) => format!("{name} is set in line {line} already: keep one of them"),
                _ => format!("[{name}] stands above already: keep one of them"),
            };
        }
        let start = (0..self.number).rev().find(|n| header_name(self.text[self.lines[*n].clone()].trim()).is_some());
        let is_key =
            |line: &str| line.split('=').next().is_some_and(|key| key.trim().trim_matches(['"', '\'']) == self.key);
        match earlier(&is_key).filter(|line| *line > start.map_or(0, |start| start + 1)) {
            Some(line) => format!("{} stands in line {line} already: keep one of them, remove the other", self.key),
            None => "a key stands twice on this line: keep one of them".to_string(),
        }
    }
}

/// The name in a line `[name]` or `[[name]]`, also if brackets are missing at its end.
fn header_name(line: &str) -> Option<&str> {
    let inner = line.strip_prefix('[')?;
    let inner = inner.strip_prefix('[').unwrap_or(inner);
    let inner = inner.split(['#', ']']).next().unwrap_or_default().trim();
    (!inner.is_empty() && inner.bytes().all(is_of_key)).then_some(inner)
}

/// True for what a key may hold without quotes, and the dot between keys.
fn is_of_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// Says what is wrong with the line of a section.
fn header(line: &str) -> String {
    let double = line.starts_with("[[") || without_comment(line).ends_with("]]");
    match header_name(line) {
        Some(name) => {
            let is_list = keys::KEYS.iter().any(|key| key.path == name && key.key_type == KeyType::SectionList);
            let is_one = keys::KEYS.iter().any(|key| key.path == name && key.key_type == KeyType::Section);
            let double = is_list || (double && !is_one);
            let written = if double { format!("[[{name}]]") } else { format!("[{name}]") };
            format!("is not the line of a section: write {written} and nothing else on the line")
        }
        None => "is not the line of a section: write its name in brackets, as in [sink] or [[summary]]".to_string(),
    }
}

/// Says what to do with what stands behind a text.
fn behind(rest: &str) -> String {
    match rest.chars().next() {
        Some(sign @ (',' | ';')) => format!("`{sign}` stands behind the value: remove it"),
        Some('"' | '\'') => {
            "there is a quote too many behind the text: remove it, or write \\\" for a quote within".to_string()
        }
        Some('/' | '-') => "a comment begins with `#`: write # in front of what stands behind the value".to_string(),
        _ if rest.contains('=') => "two keys stand on one line: write each on a line of its own".to_string(),
        _ => "something stands behind the text: remove it, or write \\\" for each quote within the text".to_string(),
    }
}

/// True for a path of Windows, which is no password.
fn is_windows_path(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' && matches!(bytes[2], b'\\' | b'/')
}

/// A value without a comment behind it, as far as that can be told without reading it.
fn without_comment(value: &str) -> &str {
    match value.find(" #") {
        Some(at) if value[..at].matches('"').count() != 1 => value[..at].trim_end(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use toml::de::DeTable;

    fn said(text: &str) -> Vec<String> {
        let (_, errors) = DeTable::parse_recoverable(text);
        let errors = errors.into_iter().map(|e| (e.span().map_or(0, |s| s.start), e.message().to_string())).collect();
        let line = |offset: usize| text.as_bytes()[..offset].iter().filter(|b| **b == b'\n').count() + 1;
        explain(text, errors).iter().map(|p| format!("{}: {}: {}", line(p.offset), p.path, p.message)).collect()
    }

    #[test]
    fn mistakes_of_people_are_told_in_plain_words() {
        for (text, wanted) in [
            ("timezone = \"UTC\nx = 1\n", "1: timezone: the text has no closing quote: write timezone = \"UTC\""),
            ("timezone = UTC\n", "1: timezone: texts stand in quotes: write timezone = \"UTC\""),
            ("timezone: UTC\nx = 1\n", "1: timezone: a value follows `=`, not `:`: write timezone = \"UTC\""),
            ("timezone UTC\n", "1: timezone: `=` is missing: write timezone = \"UTC\""),
            ("timezone =\n", "1: timezone: the value is missing: write timezone = \"UTC\""),
            ("timezone == \"UTC\"\n", "1: timezone: one `=` is enough: write timezone = \"UTC\""),
            ("timezone = \"UTC\";\n", "1: timezone: `;` stands behind the value: remove it"),
            ("timezone = “UTC”\n", "1: timezone: “ is no quote of TOML: write timezone = \"UTC\""),
            ("timezone\u{a0}= \"UTC\"\n", "invisible character (U+00A0)"),
            ("[sink\n", "1: sink: is not the line of a section: write [sink]"),
            ("[[summary]\n", "1: summary: is not the line of a section: write [[summary]]"),
            ("[sink]\n[sink]\n", "2: sink: the section [sink] stands in line 1 already"),
            ("[[summary]]\n[summary]\n", "2: summary: line 1 says [[summary]], this one [summary]: write both"),
            ("[flush]\nevery = \"1m\"\nevery = \"2m\"\n", "3: flush.every: every stands in line 2 already"),
            ("state_dir = \"C:\\Program Files\\x\"\n", "write state_dir = 'C:\\Program Files\\x'"),
            ("state_dir = \"C:\\data\\\"\n", "write state_dir = 'C:\\data\\'"),
            ("[[anomaly]]\nwhen = > 80\n", "2: anomaly.when: texts stand in quotes: write when = \"> 80\""),
            ("[[summary]]\nkey = [host, region]\n", "write key = [\"host\", \"region\"]"),
            ("[[summary]]\nkey = [\"a\" \"b\"]\n", "2: summary.key: a comma is missing in the list"),
            (
                "[[summary]]\nkey = [\"a\",\nname = \"s\"\nwindows = [\"hourly\"]\n",
                "2: summary.key: the list that begins here has no end",
            ),
            ("[flush]\nevery = 1.5h\n", "write every = \"1.5h\""),
            ("[limits]\nseries = 1,000\n", "2: limits.series: is no number as TOML has it: write series = 1000000"),
            ("; comment\ntimezone = \"UTC\"\n", "1: the file: a comment begins with `#`"),
            ("<<<<<<< HEAD\ntimezone = \"UTC\"\n", "merge conflict"),
            ("{ \"timezone\": \"UTC\" }\n", "1: the file: is JSON, not TOML"),
            ("timezone: UTC\nsink:\n  url: x\n", "1: the file: is YAML, not TOML"),
            ("<config/>\n", "1: the file: is XML"),
            ("[agent]\ninterval = ${X}\n[[inputs.cpu]]\n", "1: the file: is a configuration of Telegraf"),
            (
                "[sink]\nurl = mysql://me:secret@db/x\n",
                "2: sink.url: texts stand in quotes: write url = \"mysql://user@db.example.org",
            ),
        ] {
            let said = said(text);
            assert_eq!(said.len(), 1, "{text}: {said:#?}");
            assert!(said[0].contains(wanted), "{text}: {said:#?}");
            assert!(!said[0].contains("secret"), "{said:#?}");
        }
    }

    #[test]
    fn many_of_a_kind_are_one_problem() {
        let text = "a = x\n".to_string() + &(0..30).map(|n| format!("k{n} = word\n")).collect::<String>();
        let said = said(&text);
        assert_eq!(said.len(), 1, "{said:#?}");
        assert!(said[0].contains("(30 more lines are like this one)"), "{said:#?}");
    }

    /// Whatever stands in a file, something is said of it, and nobody panics.
    #[test]
    fn torn_texts_are_told() {
        let whole = "timezone = \"UTC\"\n[sink]\nurl = 'mysql://u@h/ü'\n[[summary]]\nkey = [\"a\", \"b\"]\nx = { a = 1, b = \"\"\"c\"\"\" }\n";
        let signs = ["\"", "'", "[", "]", "{", "}", "=", ":", "\\", "ü", "\u{a0}", "\0", "\n", "#", ",", " "];
        for (at, _) in whole.char_indices() {
            for sign in signs {
                let text = format!("{}{sign}{}", &whole[..at], &whole[at..]);
                let errors = DeTable::parse_recoverable(&text).1;
                assert_eq!(errors.is_empty(), said(&text).is_empty(), "{text}");
            }
            let text = &whole[..at];
            assert_eq!(DeTable::parse_recoverable(text).1.is_empty(), said(text).is_empty(), "{text}");
        }
    }
}
