//! `[[summary]]`, `[[summary.column]]` and `[[anomaly]]` -> the engine's summaries.

use super::read::{At, Table, nearest};
use crate::engine::ids::DefIndex;
use crate::engine::pattern::Pattern;
use crate::engine::schema::{self, AccumulatorDef, Column, Group, Method, Operator, Source, Summary, When, ZScore};
use crate::engine::zone::WindowKind;
use std::collections::BTreeSet;

/// Columns that every summary table has.
pub const FIXED_COLUMNS: [&str; 12] = [
    "window_start",
    "datetime",
    "date",
    "zone",
    "samples",
    "coverage",
    "is_final",
    "revision",
    "writers",
    "first_seen",
    "last_seen",
    "updated_at",
];
/// Columns that the table of partials has beside the key.
const PARTIAL_COLUMNS: [&str; 5] = ["writer", "run", "rev", "base", "state"];

/// Longest name of a summary: `<name>_hourly_partial` must fit the 64 characters of an identifier.
const SUMMARY_NAME_MAX: usize = 48;
const COLUMN_NAME_MAX: usize = 64;
/// Key tags of one summary: 191 characters each must fit an index of 3072 bytes.
const KEY_TAGS_MAX: usize = 3;
/// Accumulators of one summary are numbered with 16 bits.
const ACCUMULATORS_MAX: usize = u16::MAX as usize;

const SECOND: i64 = 1_000_000_000;

/// Finished windows that a z-score is made from, unless the rule says another number, and at most (a month).
const BASELINE: u16 = 24;
const BASELINE_MAX: u16 = 720;

/// What a rule flags, as written.
#[derive(Clone, Copy)]
enum Judge {
    When(When),
    ZScore { threshold: f64, baseline: u16 },
}

/// A rule as written.
struct Rule {
    name: At<String>,
    column: Option<At<String>>,
    source: Option<Source>,
    judge: Option<Judge>,
}

/// A column as written.
struct Draft {
    name: At<String>,
    method: Method,
    sources: Vec<Source>,
    rules: Vec<At<String>>,
}

pub fn summaries(root: &Table<'_, '_>, warnings: &mut Vec<String>) -> Option<Vec<Summary>> {
    let rules = rules(root);
    let mut used = BTreeSet::new();
    let mut out: Vec<Summary> = Vec::new();
    let tables = root.tables("summary");
    if tables.is_empty() {
        root.missing("[[summary]]", "[[summary]] name = \"device_summary\", key = [\"host\"] and its columns");
    }
    let complete = tables.len();
    for table in &tables {
        if let Some(summary) = summary(table, &rules, &mut used) {
            if let Some(other) = out.iter().find(|s| s.name.eq_ignore_ascii_case(&summary.name)) {
                let message = format!("there is a summary {:?} already: names must differ", other.name);
                table.document.problem(table.offset_of("name"), &format!("{}.name", table.path), message);
            }
            out.push(summary);
        }
        table.finish();
    }
    for rule in &rules {
        if !used.contains(&rule.name.value) {
            warnings.push(format!("the anomaly {:?} is in no column's rules: nothing counts it", rule.name.value));
        }
    }
    (complete == out.len() && !out.is_empty()).then_some(out)
}

fn summary(table: &Table<'_, '_>, rules: &[Rule], used: &mut BTreeSet<String>) -> Option<Summary> {
    let document = table.document;
    let name = table.required("name", "name = \"device_summary\"");
    if let Some(name) = &name {
        let word = name.value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !word || name.value.starts_with(|c: char| c.is_ascii_digit()) || name.value.len() > SUMMARY_NAME_MAX {
            let message =
                format!("is part of table names: letters, digits and _, at most {SUMMARY_NAME_MAX} characters");
            document.problem_at(name, message);
        }
    }
    let timezone_tag = table.string("timezone_tag").map(|tag| tag.value);
    let key = key(table);
    let windows = windows(table);
    let expect_every = match table.duration("expect_every") {
        None => 60 * SECOND,
        Some(at) => {
            if at.value < SECOND || at.value > 24 * 3600 * SECOND {
                document.problem_at(&at, "must be from \"1s\" to \"24h\"");
            }
            at.value.max(SECOND)
        }
    };
    let column_tables = table.tables("column");
    if column_tables.is_empty() {
        table.missing("column", "[[summary.column]] name = \"avg_cpu\", method = \"avg\" and its sources");
    }
    let drafts: Vec<_> = column_tables.iter().map(draft).collect();
    let taken = names_differ(table, key.as_deref().unwrap_or_default(), drafts.iter().flatten());
    let drafts: Vec<Draft> = drafts.into_iter().collect::<Option<_>>()?;
    let (columns, accumulators) = assemble(table, &drafts, rules, used)?;
    if !taken {
        return None;
    }
    let score = |(def, accumulator): (usize, &AccumulatorDef)| match accumulator.rule {
        // A summary has at most 65,536 accumulators: `assemble` sees to it.
        Some(schema::Rule::ZScore(score)) => Some((DefIndex::of(def), score)),
        _ => None,
    };
    let scores = accumulators.iter().enumerate().filter_map(score).collect();
    Some(Summary {
        name: name?.value,
        key: key?.into_iter().map(|k| k.value).collect(),
        windows: windows?,
        expect_every,
        columns,
        accumulators,
        timezone_tag,
        scores,
    })
}

fn key(table: &Table<'_, '_>) -> Option<Vec<At<String>>> {
    let document = table.document;
    let Some(key) = table.strings("key") else {
        if !table.has("key") {
            table.missing("key", "key = [\"host\"]");
        }
        return None;
    };
    if key.is_empty() || key.len() > KEY_TAGS_MAX {
        let message = format!("must name 1 to {KEY_TAGS_MAX} tags, as in [\"host\"]");
        document.problem(table.offset_of("key"), &format!("{}.key", table.path), message);
        return None;
    }
    key.iter().for_each(|tag| column_name(table, tag));
    Some(key)
}

fn windows(table: &Table<'_, '_>) -> Option<Vec<WindowKind>> {
    let Some(names) = table.strings("windows") else {
        return (!table.has("windows")).then(|| vec![WindowKind::Hourly, WindowKind::Daily]);
    };
    let mut windows = BTreeSet::new();
    for name in &names {
        match name.value.as_str() {
            "hourly" => windows.insert(WindowKind::Hourly),
            "daily" => windows.insert(WindowKind::Daily),
            _ => {
                table.document.problem_at(name, "write \"hourly\" or \"daily\"");
                return None;
            }
        };
    }
    if windows.is_empty() {
        let path = format!("{}.windows", table.path);
        table.document.problem(table.offset_of("windows"), &path, "must name \"hourly\", \"daily\" or both");
        return None;
    }
    Some(windows.into_iter().collect())
}

/// Reports a name that cannot be a column of a table.
fn column_name(table: &Table<'_, '_>, name: &At<String>) {
    let text = &name.value;
    let fits = !text.is_empty() && text.chars().count() <= COLUMN_NAME_MAX && text.trim_end() == text;
    if !fits || text.chars().any(|c| c.is_control() || c > '\u{ffff}' || matches!(c, '`' | '"' | '\\')) {
        let message = format!(
            "is the name of a column: 1 to {COLUMN_NAME_MAX} characters, no quotes, emoji or control characters"
        );
        table.document.problem_at(name, message);
    }
}

/// Reports column names that stand twice. True if there are none.
fn names_differ<'a>(table: &Table<'_, '_>, key: &'a [At<String>], drafts: impl Iterator<Item = &'a Draft>) -> bool {
    let mut taken: BTreeSet<String> = FIXED_COLUMNS.iter().chain(&PARTIAL_COLUMNS).map(|c| c.to_string()).collect();
    let mut differ = true;
    for name in key.iter().chain(drafts.map(|draft| &draft.name)) {
        if !taken.insert(name.value.to_lowercase()) {
            let fixed = FIXED_COLUMNS.iter().chain(&PARTIAL_COLUMNS).any(|c| name.value.eq_ignore_ascii_case(c));
            let message = if fixed {
                format!("every table has a column {:?} of its own: choose another name", name.value)
            } else {
                format!("there is a column {:?} already: names must differ, also from the key tags", name.value)
            };
            table.document.problem_at(name, message);
            differ = false;
        }
    }
    differ
}

fn draft(table: &Table<'_, '_>) -> Option<Draft> {
    let document = table.document;
    let name = table.required("name", "name = \"avg_cpu\"");
    if let Some(name) = &name {
        column_name(table, name);
    }
    let method = table.required("method", "method = \"avg\"").and_then(|text| {
        let known = Method::of(&text.value);
        if known.is_none() {
            let words: Vec<&str> = Method::ALL.iter().map(|(word, _)| *word).collect();
            let hint = match nearest(&text.value, &words) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("write one of {}, or a percentile as in \"p95\"", words.join(", ")),
            };
            let message = format!("unknown method {:?}: {hint}", text.value);
            document.problem_at(&text, message);
        }
        known
    });
    // For people; nothing is computed from it.
    let _ = table.string("unit");
    let has_sources = table.has("sources");
    let sources: Vec<_> = table.tables("sources").iter().map(source).collect();
    let has_rules = table.has("rules");
    let rules = table.strings("rules").unwrap_or_default();
    for (i, rule) in rules.iter().enumerate() {
        if rules[..i].iter().any(|earlier| earlier.value == rule.value) {
            document.problem_at(rule, "stands twice: it would count twice; keep one");
        }
    }
    table.finish();
    match method {
        Some(Method::Anomalies) => {
            if has_sources {
                let path = format!("{}.sources", table.path);
                let message = "an anomalies column has `rules`, not sources: a rule names the column that it watches";
                document.problem(table.offset_of("sources"), &path, message);
            }
            if rules.is_empty() {
                table.missing("rules", "rules = [\"overheat\"] and an [[anomaly]] of that name");
            }
        }
        Some(_) => {
            if has_rules {
                let path = format!("{}.rules", table.path);
                document.problem(
                    table.offset_of("rules"),
                    &path,
                    "only a column with method = \"anomalies\" has rules",
                );
            }
            if sources.is_empty() {
                table.missing("sources", "sources = [{ measurement = \"cpu\", field = \"usage_idle\" }]");
            }
        }
        None => {}
    }
    Some(Draft { name: name?, method: method?, sources: sources.into_iter().collect::<Option<_>>()?, rules })
}

fn source(table: &Table<'_, '_>) -> Option<Source> {
    let measurement = table.required("measurement", "measurement = \"cpu\"");
    let field = table.required("field", "field = \"usage_idle\"");
    let tags = table.table("tags").map(|tags| tags.entries()).unwrap_or_default();
    let scale = table.float("scale").unwrap_or(1.0);
    let offset = table.float("offset").unwrap_or(0.0);
    table.finish();
    Some(Source {
        measurement: Pattern::new(&measurement?.value),
        tags: tags.into_iter().map(|(key, value)| (key, Pattern::new(&value.value))).collect(),
        field: field?.value,
        scale,
        offset,
    })
}

fn rules(root: &Table<'_, '_>) -> Vec<Rule> {
    let document = root.document;
    let mut out: Vec<Rule> = Vec::new();
    for table in root.tables("anomaly") {
        let name = table.required("name", "name = \"overheat\"");
        let column = table.string("column");
        let has_source = table.has("source");
        let source = table.table("source").and_then(|s| source(&s));
        let when = table.string("when").and_then(|text| {
            let when = when(&text.value);
            if when.is_none() {
                let message =
                    format!("{:?} is not a condition: write an operator and a number, as in \"> 80\"", text.value);
                document.problem_at(&text, message);
            }
            when
        });
        let judge = match (table.has("when"), table.has("zscore") || table.has("baseline")) {
            (true, false) => when.map(Judge::When),
            (false, true) => zscore(&table),
            (true, true) => {
                let message = "has both `when` and a z-score: keep one, or make two rules";
                document.problem(table.offset, &table.path, message);
                None
            }
            (false, false) => {
                table.missing("when", "when = \"> 80\", or zscore = 3.0");
                None
            }
        };
        if column.is_some() == has_source {
            let message = "needs either `column` (watch that column's values) or `source` (watch values of its own)";
            document.problem(table.offset, &table.path, message);
        }
        table.finish();
        let Some(name) = name else { continue };
        if out.iter().any(|rule| rule.name.value == name.value) {
            document.problem_at(&name, "there is an anomaly of this name already: names must differ");
        }
        out.push(Rule { name, column, source, judge });
    }
    out
}

/// Reads `zscore` and `baseline`.
fn zscore(table: &Table<'_, '_>) -> Option<Judge> {
    let document = table.document;
    if !table.has("zscore") {
        table.missing("zscore", "zscore = 3.0");
    }
    let threshold = table.float("zscore");
    let path = |key: &str| format!("{}.{key}", table.path);
    if threshold.is_some_and(|t| t <= 0.0) {
        let message = "must be above 0: how many deviations from the mean are an anomaly, as in 3.0";
        document.problem(table.offset_of("zscore"), &path("zscore"), message);
    }
    let baseline = table.count("baseline");
    let number = baseline.as_ref().map_or(Some(BASELINE), |at| u16::try_from(at.value).ok());
    let number = number.filter(|n| (1..=BASELINE_MAX).contains(n));
    if let (None, Some(at)) = (number, &baseline) {
        let message = format!("must be from 1 to {BASELINE_MAX}: how many finished hours a value is compared with");
        document.problem_at(at, message);
    }
    Some(Judge::ZScore { threshold: threshold?, baseline: number? })
}

/// Reads a condition: `> 80`, `<= -1.5`, `!= 0`.
fn when(text: &str) -> Option<When> {
    let text = text.trim();
    let (spelling, operator) = Operator::ALL.into_iter().find(|(spelling, _)| text.starts_with(spelling))?;
    let number = text[spelling.len()..].trim();
    // Rust also reads "inf", "nan" and "+5"; a threshold is a plain number.
    let plain = number.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'e' | b'E'));
    let threshold: f64 = number.parse().ok().filter(|t: &f64| plain && t.is_finite())?;
    Some(When { operator, threshold })
}

/// Numbers the accumulators that the columns need.
fn assemble(
    table: &Table<'_, '_>,
    drafts: &[Draft],
    rules: &[Rule],
    used: &mut BTreeSet<String>,
) -> Option<(Vec<Column>, Vec<AccumulatorDef>)> {
    let document = table.document;
    let mut accumulators: Vec<AccumulatorDef> = Vec::new();
    let mut columns = Vec::new();
    let mut complete = true;
    let mut number = |source: &Source, method: Method, rule: Option<schema::Rule>| -> DefIndex {
        let def = AccumulatorDef::new(method.kind(), source.clone(), rule);
        // Columns that need the same of a source share it.
        let known = accumulators.iter().position(|known: &AccumulatorDef| known.hash == def.hash);
        let place = known.unwrap_or_else(|| {
            accumulators.push(def);
            accumulators.len() - 1
        });
        DefIndex::of(place.min(ACCUMULATORS_MAX))
    };
    let plain: Vec<Vec<DefIndex>> = drafts
        .iter()
        .map(|d| {
            let sources = d.sources.iter().filter(|_| d.method != Method::Anomalies);
            sources.map(|source| number(source, d.method, None)).collect()
        })
        .collect();
    for (draft, defs) in drafts.iter().zip(&plain) {
        let mut groups = Vec::new();
        if draft.method != Method::Anomalies {
            groups.push(Group { defs: defs.clone(), chosen_by: defs.clone() });
        }
        for name in &draft.rules {
            used.insert(name.value.clone());
            let Some(rule) = rules.iter().find(|rule| rule.name.value == name.value) else {
                let message = format!("there is no [[anomaly]] with the name {:?}", name.value);
                document.problem_at(name, message);
                complete = false;
                continue;
            };
            let (sources, watched) = match (&rule.column, &rule.source) {
                (Some(column), _) => {
                    let is_watched = |d: &Draft| d.name.value == column.value && d.method != Method::Anomalies;
                    let Some(place) = drafts.iter().position(is_watched) else {
                        let message = format!(
                            "{:?} is not a column with sources of the summary whose column {:?} uses this rule",
                            column.value, draft.name.value
                        );
                        document.problem_at(column, message);
                        complete = false;
                        continue;
                    };
                    (drafts[place].sources.as_slice(), Some(plain[place].clone()))
                }
                (None, Some(source)) => (std::slice::from_ref(source), None),
                (None, None) => {
                    complete = false;
                    continue;
                }
            };
            let Some(judge) = rule.judge else {
                complete = false;
                continue;
            };
            let mut defs = Vec::new();
            for source in sources {
                let rule = match judge {
                    Judge::When(when) => schema::Rule::When(when),
                    Judge::ZScore { threshold, baseline } => {
                        let moments = number(source, Method::Stddev, None);
                        schema::Rule::ZScore(ZScore { threshold, baseline, moments })
                    }
                };
                defs.push(number(source, Method::Anomalies, Some(rule)));
            }
            groups.push(Group { chosen_by: watched.unwrap_or_else(|| defs.clone()), defs });
        }
        columns.push(Column { name: draft.name.value.clone(), method: draft.method, groups });
    }
    if accumulators.len() > ACCUMULATORS_MAX {
        document.problem(table.offset, &table.path, format!("has more than {ACCUMULATORS_MAX} sources: split it"));
        return None;
    }
    complete.then_some((columns, accumulators))
}
