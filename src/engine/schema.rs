//! What to compute: summaries, columns, sources and rules, as the engine uses them.
//!
//! Built by `config`, which has checked it: a value of these types cannot be invalid (names are unique, a rule exists,
//! a pattern compiles). Deliberately absent: anything about files, sinks or schedules.

use super::aggregate::kind::Kind;
use super::ids::{DefIndex, SummaryIndex};
use super::pattern::Pattern;
use super::zone::{WindowKind, Zone};
use std::sync::Arc;

/// Everything that decides what the rows say.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The zone that cuts the windows of devices that name none of their own.
    pub zone: Arc<Zone>,
    pub lateness: Lateness,
    pub limits: Limits,
    pub summaries: Vec<Summary>,
    /// A rule of some summary judges by a baseline.
    pub judges: bool,
}

/// Which windows without a sample need a row.
#[derive(Clone, Copy, Debug)]
pub struct GapRule {
    /// They start less than this many nanoseconds after the newest sample before them.
    pub horizon: i64,
    /// The row is provisional until their end plus this many nanoseconds.
    pub allowed: i64,
    /// They have ended at this time, in nanoseconds since the epoch.
    pub now: i64,
}

impl Schema {
    /// Which windows of a summary without a sample need a row at `now` (nanoseconds since the epoch).
    pub fn gap_rule(&self, summary: SummaryIndex, now: i64) -> GapRule {
        GapRule { horizon: self.summaries[summary.at()].missing_horizon, allowed: self.lateness.allowed, now }
    }
}

/// When a point still counts, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lateness {
    /// A window is provisional until its end plus this, on the wall clock.
    pub allowed: i64,
    /// A point older than this when it arrives is forwarded and counted, not aggregated. `i64::MAX`: no limit.
    pub max: i64,
    /// A point further than this in the future is forwarded and counted, not aggregated.
    pub future: i64,
}

/// Bounds on memory. What exceeds one is forwarded, counted by reason and logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Distinct series (and distinct spellings of series) that are remembered.
    pub series: usize,
    /// Devices, over all summaries.
    pub devices: usize,
    /// Counted points that are remembered to recognize a duplicate.
    pub dedupe_points: usize,
}

/// One summary: a pair of tables with a row for each device and window.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Prefix of the table names.
    pub name: String,
    /// The tags that name a device, each a column of the tables.
    pub key: Vec<String>,
    /// Which tables are written, hourly before daily.
    pub windows: Vec<WindowKind>,
    /// Length of a coverage slot in nanoseconds.
    pub expect_every: i64,
    /// A window that ended without a sample gets an empty row while it starts less than this many nanoseconds after the
    /// device's last sample. 0: never.
    pub missing_horizon: i64,
    pub columns: Vec<Column>,
    /// Every accumulator that a partial of this summary may hold; columns refer to them by index.
    pub accumulators: Vec<AccumulatorDef>,
    /// The tag in which a device names its zone.
    pub timezone_tag: Option<String>,
    /// The accumulators that judge by a baseline, each with its rule.
    pub scores: Vec<(DefIndex, ZScore)>,
}

impl Summary {
    /// The windows with values that the rule with the longest baseline compares a value with; 0 without such rules.
    pub fn longest_baseline(&self) -> usize {
        self.scores.iter().map(|(_, score)| usize::from(score.baseline)).max().unwrap_or(0)
    }

    /// Slots in one base window of the given length (nanoseconds); at least 1.
    pub fn slots_in(&self, length: i64) -> u64 {
        length.div_euclid(self.expect_every).unsigned_abs() + u64::from(length % self.expect_every != 0)
    }
}

/// One column of the tables.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    /// Of the values, as people write it; empty if there is none. Nothing is computed from it.
    pub unit: String,
    pub method: Method,
    /// One group for an ordinary column, one for each rule of an anomaly column.
    pub groups: Vec<Group>,
}

/// Sources of which one is chosen for each hour.
#[derive(Clone, Debug)]
pub struct Group {
    /// The accumulators of the sources in order of priority.
    pub defs: Vec<DefIndex>,
    /// Those by whose slots the source is chosen, in the same order: for a rule those of the column that it watches.
    pub chosen_by: Vec<DefIndex>,
}

/// What a column shows of its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Avg,
    Min,
    Max,
    Sum,
    Count,
    First,
    Last,
    Stddev,
    Range,
    Anomalies,
    /// The value below which so many millionths of the values lie.
    Percentile(u32),
}

impl Method {
    /// Every method with a name of its own in the configuration; percentiles are p0 to p100.
    pub const ALL: [(&'static str, Method); 10] = [
        ("avg", Method::Avg),
        ("min", Method::Min),
        ("max", Method::Max),
        ("sum", Method::Sum),
        ("count", Method::Count),
        ("first", Method::First),
        ("last", Method::Last),
        ("stddev", Method::Stddev),
        ("range", Method::Range),
        ("anomalies", Method::Anomalies),
    ];

    /// The name in the configuration.
    pub fn name(self) -> String {
        match self {
            Method::Percentile(millionths) => format!("p{}", f64::from(millionths) / 1e4),
            _ => Method::ALL.iter().find(|(_, m)| *m == self).map_or("", |(name, _)| name).to_string(),
        }
    }

    /// The method of a name.
    pub fn of(name: &str) -> Option<Method> {
        if let Some((_, method)) = Method::ALL.iter().find(|(word, _)| *word == name) {
            return Some(*method);
        }
        let number = name.strip_prefix('p').filter(|n| n.bytes().all(|b| b.is_ascii_digit() || b == b'.'))?;
        let percent: f64 = number.parse().ok().filter(|p| (0.0..=100.0).contains(p))?;
        Some(Method::Percentile((percent * 1e4).round() as u32))
    }

    /// True if the column holds whole numbers (BIGINT), false if it holds DOUBLE.
    pub fn is_integer(self) -> bool {
        matches!(self, Method::Count | Method::Anomalies)
    }

    /// The state that the method needs.
    pub fn kind(self) -> Kind {
        match self {
            Method::Avg | Method::Sum => Kind::Sum,
            Method::Stddev => Kind::Moments,
            Method::Min | Method::Max | Method::Range => Kind::Extreme,
            Method::First | Method::Last => Kind::FirstLast,
            Method::Count => Kind::Count,
            Method::Anomalies => Kind::Flags,
            Method::Percentile(_) => Kind::Sketch,
        }
    }
}

/// Where a column's values come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub measurement: Pattern,
    /// All of these must match; a tag that the line does not have never matches.
    pub tags: Vec<(String, Pattern)>,
    /// The field, exactly.
    pub field: String,
    /// The value is `x * scale`, rounded, `+ offset`, rounded.
    pub scale: f64,
    pub offset: f64,
    /// What is outside, after scale and offset, is no sample.
    pub valid: Valid,
}

/// The values that a column takes, the lowest and the highest included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Valid {
    /// `-inf`: there is no lowest.
    pub low: f64,
    /// `inf`: there is no highest.
    pub high: f64,
}

impl Valid {
    /// Every value.
    pub const ANY: Valid = Valid { low: f64::NEG_INFINITY, high: f64::INFINITY };

    /// True if the value is not outside.
    pub fn contains(self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// True if there is a value outside.
    pub fn is_bounded(self) -> bool {
        self != Valid::ANY
    }
}

/// A comparison of a value with a constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct When {
    pub operator: Operator,
    pub threshold: f64,
}

/// The comparisons that a rule may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Above,
    AtLeast,
    Below,
    AtMost,
    Equal,
    NotEqual,
}

impl Operator {
    /// Every operator with its spelling, the longer ones first so that a prefix is never taken for a whole.
    pub const ALL: [(&'static str, Operator); 6] = [
        (">=", Operator::AtLeast),
        ("<=", Operator::AtMost),
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        (">", Operator::Above),
        ("<", Operator::Below),
    ];

    fn spelling(self) -> &'static str {
        Operator::ALL.iter().find(|(_, o)| *o == self).map_or("", |(text, _)| text)
    }
}

impl When {
    /// True if the value meets the condition.
    #[inline]
    pub fn holds(&self, value: f64) -> bool {
        match self.operator {
            Operator::Above => value > self.threshold,
            Operator::AtLeast => value >= self.threshold,
            Operator::Below => value < self.threshold,
            Operator::AtMost => value <= self.threshold,
            Operator::Equal => value == self.threshold,
            Operator::NotEqual => value != self.threshold,
        }
    }
}

/// What [`Kind::Flags`] counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    When(When),
    ZScore(ZScore),
}

/// Flags a value that lies further from the mean of the source's last finished windows than so many of their deviations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ZScore {
    /// In deviations, above 0.
    pub threshold: f64,
    /// How many windows with values of the source.
    pub baseline: u16,
    /// The accumulator that keeps the moments of the source.
    pub moments: DefIndex,
}

/// One accumulator of a partial: a source, and what is kept of it.
#[derive(Clone, Debug)]
pub struct AccumulatorDef {
    pub kind: Kind,
    pub source: Source,
    /// Of [`Kind::Flags`] only.
    pub rule: Option<Rule>,
    /// Names the definition in stored partials: 16 hex digits.
    pub hash: String,
}

impl AccumulatorDef {
    /// Builds a definition with its hash.
    ///
    /// Everything that changes what the state means is part of the hash, and nothing else: the column's name and its
    /// other sources are not, so a renamed column keeps its history.
    pub fn new(kind: Kind, source: Source, rule: Option<Rule>) -> AccumulatorDef {
        let mut text = format!("{}\0{}\0{}\0", kind.name(), source.measurement.text(), source.field);
        let mut tags: Vec<_> = source.tags.iter().map(|(k, v)| (k.as_str(), v.text())).collect();
        tags.sort_unstable();
        for (key, value) in tags {
            text.push_str(&format!("{key}\0{value}\0"));
        }
        let Valid { low, high } = source.valid;
        let is_bounded = source.valid.is_bounded();
        if kind != Kind::Count || is_bounded {
            text.push_str(&format!("\u{1}{:016x}{:016x}", source.scale.to_bits(), source.offset.to_bits()));
        }
        if is_bounded {
            text.push_str(&format!("\u{4}{:016x}{:016x}", low.to_bits(), high.to_bits()));
        }
        match rule {
            None => {}
            Some(Rule::When(When { operator, threshold })) => {
                text.push_str(&format!("\u{2}{}{:016x}", operator.spelling(), threshold.to_bits()));
            }
            Some(Rule::ZScore(ZScore { threshold, baseline, .. })) => {
                text.push_str(&format!("\u{3}{:016x}{baseline}", threshold.to_bits()));
            }
        }
        AccumulatorDef { kind, source, rule, hash: format!("{:016x}", fnv1a(text.as_bytes())) }
    }
}

/// 64-bit FNV-1a: a hash that stays the same in every version, for names that are stored.
///
/// Source: Fowler, Noll, Vo, "The FNV Non-Cryptographic Hash Algorithm", RFC 9923.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3))
}
