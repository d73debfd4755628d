//! What comes while no line matches: which measurements, which key tags are missing, and which line comes closest to a source.
//!
//! Every line is counted by its measurement; the first ones, and a sample of those that follow, are looked at as a whole. All of it
//! is bounded.

use super::look::shown;
use crate::engine::line::decode::decode;
use crate::engine::line::head::Head;
use crate::engine::schema::{Schema, Source};
use crate::engine::series::columns::columns;

/// Measurements that are told apart.
const MEASUREMENTS_MAX: usize = 64;
/// So many lines are looked at one after the other ...
const FIRST_LINES: u32 = 1_000;
/// ... and then one of so many, about.
const EVERY: u32 = 256;
/// A shorter name is not looked for in another one.
const ALIKE_BYTES_MIN: usize = 3;

/// The line that comes closest to what a source asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// Its measurement and tags, for people.
    pub head: String,
    /// The column that has the source: `summary.column`.
    pub column: String,
    pub miss: Miss,
}

/// What is not as the source asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The measurement has a name that is like the one that is asked for.
    Measurement { wanted: String },
    /// The measurement is right; so many tags are, and this one is not. `came` is `None` if it is missing.
    Tag { right: usize, tag: String, wanted: String, came: Option<String> },
}

impl Miss {
    /// The closer, the higher.
    fn score(&self) -> usize {
        match self {
            Miss::Measurement { .. } => 0,
            Miss::Tag { right, came, .. } => 1 + 2 * right + usize::from(came.is_some()),
        }
    }
}

/// What has come while no line has matched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Measurements in the order of their first lines, each with the number of its lines.
    measurements: Vec<(Vec<u8>, u64)>,
    /// Lines of other measurements.
    others: u64,
    /// The measurement of the last line: the next one is often of it.
    last: usize,
    /// Key tags that lines lack which match a source.
    missing: Vec<String>,
    nearest: Option<Nearest>,
    looked: u32,
    wait: u32,
    random: u32,
}

impl Arrivals {
    /// Takes a line that does not match.
    pub fn line(&mut self, schema: &Schema, line: &[u8]) {
        let line = line.trim_ascii();
        if line.is_empty() || line[0] == b'#' {
            return;
        }
        self.count(measurement(line));
        if self.wait > 0 {
            self.wait -= 1;
            return;
        }
        if self.looked < FIRST_LINES {
            self.looked += 1;
        } else {
            // A linear congruence is random enough not to follow the length of a poll.
            self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            self.wait = (self.random >> 8) % (2 * EVERY);
        }
        if let Ok(Some(point)) = decode(line) {
            self.look(schema, &point.head);
        }
    }

    fn count(&mut self, name: &[u8]) {
        let is_it = |known: &(Vec<u8>, u64)| known.0 == name;
        if !self.measurements.get(self.last).is_some_and(is_it) {
            match self.measurements.iter().position(is_it) {
                Some(at) => self.last = at,
                None if self.measurements.len() < MEASUREMENTS_MAX => {
                    self.last = self.measurements.len();
                    self.measurements.push((name.to_vec(), 0));
                }
                None => {
                    self.others += 1;
                    return;
                }
            }
        }
        self.measurements[self.last].1 += 1;
    }

    fn look(&mut self, schema: &Schema, head: &Head) {
        for (_, summary, column) in columns(schema) {
            for def in column.groups.iter().flat_map(|group| &group.defs) {
                match miss(&summary.accumulators[def.at()].source, head) {
                    Ok(()) => {
                        let missing = summary.key.iter().filter(|key| head.tag(key.as_bytes()).is_none());
                        for key in missing {
                            if !self.missing.contains(key) {
                                self.missing.push(key.clone());
                            }
                        }
                    }
                    Err(Some(miss)) if self.nearest.as_ref().is_none_or(|best| best.miss.score() < miss.score()) => {
                        let column = format!("{}.{}", summary.name, column.name);
                        self.nearest = Some(Nearest { head: head.to_string(), column, miss });
                    }
                    Err(_) => {}
                }
            }
        }
    }

    /// The measurements with the most lines, at most `count` of them, and the number of lines that are of none of them.
    pub fn most(&self, count: usize) -> (Vec<(String, u64)>, u64) {
        let mut sorted = self.measurements.clone();
        sorted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let rest = sorted.iter().skip(count).map(|(_, lines)| lines).sum::<u64>() + self.others;
        (sorted.iter().take(count).map(|(name, lines)| (shown(name), *lines)).collect(), rest)
    }

    /// The key tags that lines lack which match a source.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// The line that comes closest to a source, if one does.
    pub fn nearest(&self) -> Option<&Nearest> {
        self.nearest.as_ref()
    }
}

/// The measurement of a line, as it stands there.
fn measurement(line: &[u8]) -> &[u8] {
    let mut at = 0;
    while at < line.len() && !matches!(line[at], b',' | b' ') {
        at += if line[at] == b'\\' { 2 } else { 1 };
    }
    &line[..at.min(line.len())]
}

/// What of a head is not as a source asks for it; `None` if it is not even close.
fn miss(source: &Source, head: &Head) -> Result<(), Option<Miss>> {
    let wanted = source.measurement.text();
    if !source.measurement.matches(&head.measurement) {
        let came = String::from_utf8_lossy(&head.measurement).to_lowercase();
        let asked = wanted.to_lowercase().replace('*', "");
        let holds = |long: &str, short: &str| short.len() >= ALIKE_BYTES_MIN && long.contains(short);
        let is_alike = came == asked || holds(&came, &asked) || holds(&asked, &came);
        return Err(is_alike.then(|| Miss::Measurement { wanted: wanted.to_string() }));
    }
    let is_right = |tag: &str, pattern: &crate::engine::pattern::Pattern| {
        head.tag(tag.as_bytes()).is_some_and(|value| pattern.matches(value))
    };
    let right = source.tags.iter().filter(|(tag, pattern)| is_right(tag, pattern)).count();
    match source.tags.iter().find(|(tag, pattern)| !is_right(tag, pattern)) {
        None => Ok(()),
        Some((tag, pattern)) => Err(Some(Miss::Tag {
            right,
            tag: tag.clone(),
            wanted: pattern.text().to_string(),
            came: head.tag(tag.as_bytes()).map(shown),
        })),
    }
}
