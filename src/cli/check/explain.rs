//! `check --explain`: which column takes a line, or what came nearest and what to write.
//!
//! A column has many sources, of which most are for other machines: only those that got furthest are named (measurement, tags, field,
//! number). Lines that get the same answers are one, with how many they are.

use crate::cli::say::say;
use crate::config::Config;
use crate::engine::line::decode::{Point, decode};
use crate::engine::line::frame::Framer;
use crate::engine::line::token::Value;
use crate::engine::pattern::Pattern;
use crate::engine::schema::{AccumulatorDef, Column, Method, Rule, Source, Summary, Valid};
use crate::text::without_mark;
use anyhow::Context;
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::ExitCode;

/// What stands before each line of `telegraf --test`.
const PROMPT: &[u8] = b"> ";
/// So much of a line is shown, in characters.
const SHOWN_CHARS_MAX: usize = 200;
/// So many sources are named where several came equally near.
const NEAREST_MAX: usize = 3;
/// So many values of a tag are named in which lines differ that are alike else.
const OTHERS_MAX: usize = 20;

/// How far a source got with a line that it does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    /// The measurement is another one.
    Nothing,
    /// A tag is missing or another one; so many are right.
    Tags(usize),
    /// The tags are right, the field is missing.
    Field,
    /// There is a value that the column does not take.
    Number,
}

/// Why a source does not take a line.
struct Obstacle {
    reached: Reached,
    reason: String,
    /// The tag whose value is another one, and that value: lines that differ in it alone are alike.
    instead: Option<(String, String)>,
}

/// What becomes of a line in one column.
enum ColumnAnswer {
    /// A source takes it: what is said of it, and the same without the value.
    Takes { text: String, shape: String },
    /// A source would take it, but the line lacks a tag of the key.
    NoKey { text: String, shape: String },
    /// The nearest sources of the column of this name do not.
    Misses {
        column: String,
        reached: Reached,
        reason: String,
        instead: Option<(String, String)>,
        write: Option<String>,
    },
}

/// What is said of a line.
#[derive(Default)]
struct LineAnswer {
    answers: Vec<String>,
    /// The same without what differs from device to device: lines of one shape are alike.
    shape: Vec<String>,
    /// The tag that keeps sources from it, and its value.
    instead: Option<(String, String)>,
}

/// Lines that get the same answers.
struct Alike {
    shown: String,
    first: LineAnswer,
    count: usize,
    /// Other values of that tag.
    others: BTreeSet<String>,
}

/// Explains lines: one, those of `@FILE`, or those of stdin (`-`).
pub fn explain(config: &Config, lines: &OsStr) -> anyhow::Result<ExitCode> {
    let bytes = lines.as_encoded_bytes();
    let text = match bytes {
        b"-" => {
            let mut text = Vec::new();
            std::io::stdin().lock().read_to_end(&mut text).context("cannot read stdin")?;
            text
        }
        [b'@', ..] => {
            let path = lines.to_str().map_or(lines, |name| OsStr::new(&name[1..]));
            let path = std::path::Path::new(path);
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?
        }
        line => line.to_vec(),
    };
    if let Some(foreign) = crate::text::utf16(&text) {
        anyhow::bail!("the lines cannot be read: {foreign}");
    }
    let text = without_mark(&text);
    let columns: Vec<(&Summary, &Column)> = config
        .schema
        .summaries
        .iter()
        .flat_map(|summary| summary.columns.iter().map(move |column| (summary, column)))
        .collect();
    let mut taken = vec![false; columns.len()];
    let mut groups: Vec<Alike> = Vec::new();
    let mut known: HashMap<Vec<String>, usize> = HashMap::new();
    let (mut points, mut hits, mut skipped) = (0, 0, 0);
    let is_prompted = frames(text).any(|line| line.starts_with(PROMPT));
    for line in frames(text) {
        let bare = line.strip_prefix(PROMPT).unwrap_or(line);
        let is_log = bare.len() == line.len() && (is_prompted || is_of_a_log(line));
        let spoken = match decode(bare) {
            _ if is_log => {
                skipped += 1;
                continue;
            }
            Ok(None) => continue,
            Err(at) => {
                let reason = format!(
                    "the line is not line protocol: Telegraf's parser gives up at byte {at}, {:?}",
                    cut(&String::from_utf8_lossy(&bare[at.min(bare.len())..]), 20)
                );
                LineAnswer { answers: vec![reason], shape: vec!["not line protocol".to_string()], instead: None }
            }
            Ok(Some(point)) => {
                points += 1;
                let all: Vec<ColumnAnswer> =
                    columns.iter().map(|(summary, column)| answer(&point, summary, column)).collect();
                let takes = all.iter().map(|answer| matches!(answer, ColumnAnswer::Takes { .. }));
                takes.clone().zip(&mut taken).for_each(|(takes, taken)| *taken |= takes);
                hits += usize::from(takes.into_iter().any(|takes| takes));
                spoken(&point, config, &all)
            }
        };
        match known.get(&spoken.shape) {
            Some(place) => groups[*place].add(spoken),
            None => {
                known.insert(spoken.shape.clone(), groups.len());
                groups.push(Alike { shown: shown(bare), first: spoken, count: 1, others: BTreeSet::new() });
            }
        }
    }
    let is_alone = groups.len() == 1 && groups[0].count == 1 && skipped == 0;
    for group in &groups {
        say!("{}", group.shown);
        for answer in &group.first.answers {
            say!("  {answer}");
        }
        if group.count > 1 {
            let others = group.others();
            say!("  and {} like it{others}", counted(group.count - 1, "more line", "more lines"));
        }
    }
    if groups.is_empty() {
        say!("there is no line of line protocol here: nothing is counted");
    }
    if !is_alone {
        say!("");
        let log = if skipped > 0 {
            format!("; {} no metric and left out", counted(skipped, "line is", "lines are"))
        } else {
            String::new()
        };
        let feed = if hits == 1 { "feeds" } else { "feed" };
        say!("{}, {hits} of them {feed} a column{log}", counted(points, "line", "lines"));
        let silent: Vec<String> = columns
            .iter()
            .zip(&taken)
            .filter(|(_, taken)| !**taken)
            .map(|((summary, column), _)| format!("{}.{}", summary.name, column.name))
            .collect();
        match silent.is_empty() {
            true => say!("every column takes some of it"),
            false => say!("columns that take nothing of all this: {}", silent.join(", ")),
        }
    }
    Ok(ExitCode::from(u8::from(hits == 0)))
}

impl Alike {
    /// Adds another line of the shape.
    fn add(&mut self, spoken: LineAnswer) {
        self.count += 1;
        if spoken.instead != self.first.instead {
            self.others.extend(spoken.instead.map(|(_, value)| value));
        }
    }

    /// Names the values of the tag in which the lines differ.
    fn others(&self) -> String {
        let Some((tag, _)) = self.first.instead.as_ref().filter(|_| !self.others.is_empty()) else {
            return String::new();
        };
        let values: Vec<String> = self.others.iter().take(OTHERS_MAX).map(|value| format!("{value:?}")).collect();
        let more = self.others.len().saturating_sub(OTHERS_MAX);
        let more = if more > 0 { format!(" and {more} others") } else { String::new() };
        format!(", with {tag} = {}{more}", values.join(", "))
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The lines of a text, by the grammar: a string may hold a newline. Each without the newline behind it.
fn frames(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        // The prompt is no part of the line, and must not be framed as one.
        let prompt = if rest.starts_with(PROMPT) { PROMPT.len() } else { 0 };
        let length = prompt + Framer::default().line(&rest[prompt..]).unwrap_or(rest.len() - prompt);
        let (line, behind) = rest.split_at(length);
        rest = behind;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    })
}

/// True for a line of Telegraf's log, as in `2026-11-30T12:00:00Z I! Starting Telegraf`.
fn is_of_a_log(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let is_time = words.next().is_some_and(|word| {
        word.len() >= "2026-11-30T12:00:00Z".len()
            && word[..4].iter().all(u8::is_ascii_digit)
            && word[4] == b'-'
            && word[10] == b'T'
    });
    is_time && words.next().is_some_and(|word| matches!(word, [b'D' | b'I' | b'W' | b'E', b'!']))
}

/// A line for people: its beginning, without control characters.
fn shown(line: &[u8]) -> String {
    cut(&String::from_utf8_lossy(line).replace(char::is_control, "?"), SHOWN_CHARS_MAX)
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

/// What is said of a line.
fn spoken(point: &Point<'_>, config: &Config, answers: &[ColumnAnswer]) -> LineAnswer {
    let mut out = LineAnswer::default();
    let is_taken = answers.iter().any(|answer| matches!(answer, ColumnAnswer::Takes { .. }));
    // A rule watches the sources of another column: what both say is said once.
    let mut misses: Vec<(Vec<&str>, &str, Option<&String>)> = Vec::new();
    for answer in answers {
        match answer {
            ColumnAnswer::Takes { text, shape } | ColumnAnswer::NoKey { text, shape } => {
                out.shape.push(shape.clone());
                out.answers.push(text.clone());
            }
            ColumnAnswer::Misses { column, reached, reason, instead, write } => {
                // Where the line feeds a column, what is said of the others is only what is surely not meant.
                let is_told = *reached == Reached::Number || (!is_taken && *reached != Reached::Nothing);
                if !is_told {
                    continue;
                }
                match misses.iter_mut().find(|(_, known, _)| known == reason) {
                    Some((columns, ..)) => columns.push(column),
                    None => misses.push((vec![column], reason, write.as_ref())),
                }
                let value = instead.as_ref().map(|(_, value)| format!("{value:?}"));
                let same = value.map_or_else(|| reason.clone(), |value| reason.replace(&value, "?"));
                out.shape.push(format!("{column}: {same}"));
                if out.instead.is_none() {
                    out.instead = instead.clone();
                }
            }
        }
    }
    let is_lost = out.answers.is_empty();
    if is_lost {
        out.answers.push("no column takes this line".to_string());
    }
    if is_lost && misses.is_empty() {
        let name = String::from_utf8_lossy(&point.head.measurement).into_owned();
        out.answers[0] += &format!(": no source asks for the measurement {name:?}");
        out.shape.push(format!("measurement {name:?}"));
        let write =
            proposal(point, config).map(|source| format!("to take it, write in `sources` of a column: {source}"));
        out.answers.extend(write);
        return out;
    }
    for (columns, reason, write) in misses {
        let verb = if columns.len() == 1 { "does" } else { "do" };
        out.answers.push(format!("{} {verb} not take it: {reason}", columns.join(" and ")));
        out.answers.extend(write.map(|write| format!("  to take it, write in its `sources`: {write}")));
    }
    out
}

/// The answer of one column.
fn answer(point: &Point<'_>, summary: &Summary, column: &Column) -> ColumnAnswer {
    let name = format!("{}.{}", summary.name, column.name);
    let missing: Vec<String> = summary
        .key
        .iter()
        .filter(|key| point.head.tag(key.as_bytes()).is_none())
        .map(|key| format!("{key:?}"))
        .collect();
    let mut obstacles: Vec<(&AccumulatorDef, Obstacle)> = Vec::new();
    let mut taken: Option<(String, String)> = None;
    for def in column.groups.iter().flat_map(|group| &group.defs) {
        let accumulator = &summary.accumulators[def.at()];
        match verdict(point, accumulator, column.method) {
            Ok(value) => {
                let source = format!("{}:{}", accumulator.source.measurement.text(), accumulator.source.field);
                // Of several the first one has priority; a rule that flags says more than one that does not.
                let is_better =
                    taken.as_ref().is_none_or(|(known, _)| !known.contains(", flagged") && value.contains(", flagged"));
                if is_better {
                    taken = Some((format!("{source} = {value}"), source));
                }
            }
            Err(obstacle) => obstacles.push((accumulator, obstacle)),
        }
    }
    if let Some((text, source)) = taken {
        let tags = missing.join(", ");
        let s = if missing.len() == 1 { "" } else { "s" };
        return match missing.is_empty() {
            true => {
                ColumnAnswer::Takes { text: format!("{name} takes {text}"), shape: format!("{name} takes {source}") }
            }
            false => ColumnAnswer::NoKey {
                text: format!("{name} would take {source}, but the line lacks the key tag{s} {tags}"),
                shape: format!("{name} lacks {tags} {source}"),
            },
        };
    }
    let reached = obstacles.iter().map(|(_, obstacle)| obstacle.reached).max().unwrap_or(Reached::Nothing);
    let mut reasons: Vec<String> = Vec::new();
    let mut nearest: Option<&AccumulatorDef> = None;
    let mut instead = None;
    for (accumulator, obstacle) in obstacles.iter().filter(|(_, obstacle)| obstacle.reached == reached) {
        if nearest.is_none() {
            (nearest, instead) = (Some(*accumulator), obstacle.instead.clone());
        }
        if !reasons.contains(&obstacle.reason) {
            reasons.push(obstacle.reason.clone());
        }
    }
    let more = reasons.len().saturating_sub(NEAREST_MAX);
    reasons.truncate(NEAREST_MAX);
    let more = if more > 0 { format!("; or {more} more") } else { String::new() };
    let reason = format!("{}{more}", reasons.join("; or "));
    let write = nearest.and_then(|accumulator| correction(point, accumulator, reached));
    ColumnAnswer::Misses { column: name, reached, reason, instead, write }
}

/// The value that a source takes from a point, or the first thing that does not fit.
fn verdict(point: &Point<'_>, accumulator: &AccumulatorDef, method: Method) -> Result<String, Obstacle> {
    let source = &accumulator.source;
    let obstacle = |reached, reason| Err(Obstacle { reached, reason, instead: None });
    if !source.measurement.matches(&point.head.measurement) {
        return obstacle(Reached::Nothing, format!("measurement is not {:?}", source.measurement.text()));
    }
    let fits =
        |(key, pattern): &(String, Pattern)| point.head.tag(key.as_bytes()).is_some_and(|value| pattern.matches(value));
    let right = source.tags.iter().filter(|tag| fits(tag)).count();
    if let Some((key, pattern)) = source.tags.iter().find(|tag| !fits(tag)) {
        return match point.head.tag(key.as_bytes()) {
            None => {
                obstacle(Reached::Tags(right), format!("there is no tag {key:?}, it asks for {:?}", pattern.text()))
            }
            Some(value) => {
                let value = String::from_utf8_lossy(value);
                let reason = format!("tag {key:?} is {value:?}, not {:?}", pattern.text());
                Err(Obstacle {
                    reached: Reached::Tags(right),
                    reason,
                    instead: Some((key.clone(), value.into_owned())),
                })
            }
        };
    }
    let Some((_, value)) = point.fields.iter().find(|(key, _)| *key == source.field.as_bytes()) else {
        return obstacle(Reached::Field, format!("there is no field {:?}", source.field));
    };
    let number = match value {
        Value::Float(v) => *v,
        Value::Integer(v) => *v as f64,
        Value::Unsigned(v) => *v as f64,
        Value::Boolean(v) => f64::from(u8::from(*v)),
        Value::Text(_) if method == Method::Count => return Ok("a text, counted".to_string()),
        Value::Text(_) => {
            return obstacle(Reached::Number, format!("field {:?} is a text, not a number", source.field));
        }
    };
    let scaled = number * source.scale + source.offset + 0.0;
    if !scaled.is_finite() && method != Method::Count {
        return obstacle(Reached::Number, format!("{number} is not a finite number after scale and offset"));
    }
    if !source.valid.contains(scaled) {
        let Valid { low, high } = source.valid;
        return obstacle(Reached::Number, format!("{scaled} is outside of `valid`, which is {low} to {high}"));
    }
    let flagged = match accumulator.rule {
        None => "",
        Some(Rule::When(when)) if when.holds(scaled) => ", flagged",
        Some(Rule::When(_)) => ", not flagged",
        Some(Rule::ZScore(_)) => ", compared with the hours before",
    };
    Ok(format!("{scaled}{flagged}"))
}

/// The source that would take a line which the nearest one does not; `None` if no source can.
fn correction(point: &Point<'_>, accumulator: &AccumulatorDef, reached: Reached) -> Option<String> {
    let Source { tags, field, scale, offset, .. } = &accumulator.source;
    let is_there = point.fields.iter().any(|(key, _)| key == field.as_bytes());
    let (field, numbers) = match reached {
        Reached::Nothing | Reached::Number => return None,
        Reached::Tags(_) if is_there => (field.clone(), (*scale, *offset)),
        // Another field has another scale.
        Reached::Tags(_) | Reached::Field => (first_number(point)?, (1.0, 0.0)),
    };
    let mut wanted = Vec::new();
    for (key, _) in tags {
        if let Some(value) = point.head.tag(key.as_bytes()) {
            wanted.push((key.clone(), std::str::from_utf8(value).ok()?.to_string()));
        }
    }
    written(&point.head.measurement, &wanted, &field, numbers)
}

/// A source for a measurement that no source asks for: with all tags but those that name a device.
fn proposal(point: &Point<'_>, config: &Config) -> Option<String> {
    let is_key =
        |tag: &[u8]| config.schema.summaries.iter().any(|summary| summary.key.iter().any(|key| key.as_bytes() == tag));
    let mut tags = Vec::new();
    for (key, value) in point.head.tags.iter().filter(|(key, _)| !is_key(key) && key != b"host") {
        tags.push((std::str::from_utf8(key).ok()?.to_string(), std::str::from_utf8(value).ok()?.to_string()));
    }
    written(&point.head.measurement, &tags, &first_number(point)?, (1.0, 0.0))
}

fn first_number(point: &Point<'_>) -> Option<String> {
    let is_number = |value: &Value<'_>| !matches!(value, Value::Text(_));
    let (key, _) = point.fields.iter().find(|(_, value)| is_number(value))?;
    std::str::from_utf8(key).ok().map(str::to_string)
}

/// A source as it is written in the configuration.
fn written(measurement: &[u8], tags: &[(String, String)], field: &str, (scale, offset): (f64, f64)) -> Option<String> {
    let text = |text: &str| toml::Value::String(text.to_string()).to_string();
    let key = |key: &str| {
        let is_bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if is_bare { key.to_string() } else { text(key) }
    };
    let mut out = format!("{{ measurement = {}", text(std::str::from_utf8(measurement).ok()?));
    if !tags.is_empty() {
        let tags: Vec<String> = tags.iter().map(|(tag, value)| format!("{} = {}", key(tag), text(value))).collect();
        out += &format!(", tags = {{ {} }}", tags.join(", "));
    }
    out += &format!(", field = {}", text(field));
    if scale != 1.0 {
        out += &format!(", scale = {scale:?}");
    }
    if offset != 0.0 {
        out += &format!(", offset = {offset:?}");
    }
    Some(out + " }")
}
