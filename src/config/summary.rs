//! `[[summary]]`: a pair of tables, its key and its windows.

use super::anomaly::{AnomalyDraft, anomalies};
use super::assemble::assemble;
use super::column::{ColumnDraft, column};
use super::missing::missing_horizon;
use super::names::{column_name, names_differ};
use super::nearest::{folded, nearest};
use super::read::{At, Table};
use super::units::{DAY, MINUTE, SECOND};
use crate::engine::ids::DefIndex;
use crate::engine::schema::{AccumulatorDef, Rule, Summary};
use crate::engine::zone::WindowKind;
use std::collections::BTreeSet;

/// Longest name of a summary: `<name>_hourly_partial` must fit the 64 characters of an identifier.
const SUMMARY_NAME_MAX: usize = 48;
/// Key tags of one summary: 191 characters each must fit an index of 3072 bytes.
const KEY_TAGS_MAX: usize = 3;
/// Columns of one summary with so many key tags, the keys not counted: InnoDB has 8,126 bytes for a row, of which a column
/// takes 8 and a bit, and a key tag up to 766. Measured on MySQL 9.7 and MariaDB 10.11: 888, 793 and 699.
const fn columns_max(key_tags: usize) -> usize {
    970 - 95 * key_tags
}
/// Bytes of all names of columns and key tags of one summary together: MariaDB has 65,535 bytes for the definition of a table,
/// in which each takes [`NAME_MARGIN`] more. What is left is for the columns that every table has.
const NAME_BYTES_MAX: usize = 64_000;
const NAME_MARGIN: usize = 18;

/// Reads all summaries and the anomalies that they refer to; `None` if there is a problem, which is reported. `horizon` is
/// the missing horizon of summaries that have none of their own, in nanoseconds.
/// `later` takes what only later versions act on.
pub fn summaries(
    root: &Table<'_, '_>,
    horizon: i64,
    warnings: &mut Vec<String>,
    later: &mut Vec<String>,
) -> Option<Vec<Summary>> {
    let rules = anomalies(root);
    let mut used = BTreeSet::new();
    let mut out: Vec<Summary> = Vec::new();
    let tables = root.tables("summary");
    if root.is_empty_list("summary") || !root.has("summary") {
        root.missing("[[summary]]", "[[summary]] name = \"device_summary\", key = [\"host\"] and its columns");
    }
    let complete = tables.len();
    for table in &tables {
        if let Some(summary) = summary(table, horizon, &rules, &mut used, later) {
            if let Some(other) = out.iter().find(|s| s.name.eq_ignore_ascii_case(&summary.name)) {
                table.problem("name", format!("there is a summary {:?} already: choose another name", other.name));
            }
            out.push(summary);
        }
        table.finish();
    }
    // Of summaries with a problem the columns are not known.
    let known = out.iter().flat_map(|summary| &summary.columns).map(|column| column.name.as_str());
    let known: BTreeSet<&str> = known.collect();
    for rule in &rules {
        if !used.contains(&rule.name.value) {
            if let Some(column) =
                rule.column.as_ref().filter(|at| complete == out.len() && !known.contains(at.value.as_str()))
            {
                let names: Vec<&str> = known.iter().copied().collect();
                let remedy = match nearest(&column.value, &names) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => "write the name of a column, or a `source` in place of `column`".to_string(),
                };
                root.document.problem_at(column, format!("there is no column {:?}: {remedy}", column.value));
            }
            warnings.push(format!("the anomaly {:?} is in no column's rules: nothing counts it", rule.name.value));
        }
    }
    (complete == out.len() && !out.is_empty()).then_some(out)
}

fn summary(
    table: &Table<'_, '_>,
    horizon: i64,
    rules: &[AnomalyDraft],
    used: &mut BTreeSet<String>,
    later: &mut Vec<String>,
) -> Option<Summary> {
    let document = table.document;
    let name = table.required("name", "name = \"device_summary\"");
    if let Some(name) = &name {
        let word = name.value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if name.value.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("sqlite_")) {
            document.problem_at(name, "begins with sqlite_, which SQLite has for itself: choose another name");
        }
        if !word || name.value.starts_with(|c: char| c.is_ascii_digit()) || name.value.len() > SUMMARY_NAME_MAX {
            let message = format!(
                "is part of table names: write letters, digits and _, no digit first, at most {SUMMARY_NAME_MAX} of \
                 them, as in {:?}",
                table_name(&name.value)
            );
            document.problem_at(name, message);
        }
    }
    let timezone_tag = table.string("timezone_tag").map(|tag| tag.value);
    let key = key(table);
    let windows = windows(table, later);
    let expect_every = match table.duration("expect_every") {
        None => MINUTE,
        Some(at) => {
            if at.value < SECOND || at.value > DAY {
                document
                    .problem_at(&at, "must be from \"1s\" to \"24h\": write how often a device sends, as in \"1m\"");
            }
            at.value.max(SECOND)
        }
    };
    let missing_horizon = missing_horizon(table, horizon);
    let column_tables = table.tables("column");
    if table.is_empty_list("column") || !table.has("column") {
        table.missing("column", "[[summary.column]] name = \"avg_cpu\", method = \"avg\" and its sources");
    }
    let drafts: Vec<_> = column_tables.iter().map(column).collect();
    let names = drafts.iter().flatten().map(|draft| &draft.name);
    let differ = names_differ(table, key.iter().flatten().chain(names));
    let fits = table_fits(table, key.as_deref().unwrap_or_default(), &drafts);
    let drafts: Vec<ColumnDraft> = drafts.into_iter().collect::<Option<_>>()?;
    let (columns, accumulators) = assemble(table, &drafts, rules, used)?;
    if !differ || !fits {
        return None;
    }
    let score = |(def, accumulator): (usize, &AccumulatorDef)| match accumulator.rule {
        // A summary has at most 65,536 accumulators: `assemble` sees to it.
        Some(Rule::ZScore(score)) => Some((DefIndex::of(def), score)),
        _ => None,
    };
    let scores = accumulators.iter().enumerate().filter_map(score).collect();
    Some(Summary {
        name: name?.value,
        key: key?.into_iter().map(|k| k.value).collect(),
        windows: windows?,
        expect_every,
        missing_horizon,
        columns,
        accumulators,
        timezone_tag,
        scores,
    })
}

/// Reports a summary whose tables a server cannot have. The limits hold for every sink, so that a configuration can go
/// from SQLite to a server as it is. Returns true if there is no problem.
fn table_fits(table: &Table<'_, '_>, key: &[At<String>], drafts: &[Option<ColumnDraft>]) -> bool {
    let most = columns_max(key.len().clamp(1, KEY_TAGS_MAX));
    let names = key.iter().chain(drafts.iter().flatten().map(|draft| &draft.name));
    let bytes: usize = names.map(|name| name.value.len() + NAME_MARGIN).sum();
    let message = if drafts.len() > most {
        format!(
            "has {} columns, and a row of MySQL and MariaDB holds at most {most} beside this key: divide the summary",
            drafts.len()
        )
    } else if bytes > NAME_BYTES_MAX {
        "has too many columns with long names for a table of MariaDB: shorten the names, or divide the summary"
            .to_string()
    } else {
        return true;
    };
    table.document.problem(table.offset, &table.path, message);
    false
}

fn key(table: &Table<'_, '_>) -> Option<Vec<At<String>>> {
    let Some(key) = table.strings("key") else {
        if !table.has("key") {
            table.missing("key", "key = [\"host\"]");
        }
        return None;
    };
    if key.is_empty() || key.len() > KEY_TAGS_MAX {
        let message = match key.len() {
            0 => format!("must name 1 to {KEY_TAGS_MAX} tags, and names none: write key = [\"host\"]"),
            count => format!(
                "must name 1 to {KEY_TAGS_MAX} tags, and names {count} (more do not fit the index of a table): keep those that \
                 tell devices apart, remove the others"
            ),
        };
        table.problem("key", message);
        return None;
    }
    key.iter().for_each(|tag| column_name(table, tag));
    Some(key)
}

/// Windows of later versions.
const LATER: [&str; 3] = ["weekly", "monthly", "yearly"];

fn windows(table: &Table<'_, '_>, later: &mut Vec<String>) -> Option<Vec<WindowKind>> {
    let Some(names) = table.strings("windows") else {
        return (!table.has("windows")).then(|| vec![WindowKind::Hourly, WindowKind::Daily]);
    };
    let mut windows = BTreeSet::new();
    let mut complete = true;
    for name in &names {
        match name.value.as_str() {
            "hourly" => windows.insert(WindowKind::Hourly),
            "daily" => windows.insert(WindowKind::Daily),
            word if LATER.contains(&word) => {
                later.push(format!("{word:?} in windows"));
                false
            }
            word => {
                table.document.problem_at(name, format!("{word:?} is not a window: {}", window(word)));
                complete = false;
                false
            }
        };
    }
    if windows.is_empty() && complete {
        let what = if names.is_empty() { "names none" } else { "names only windows that are not built yet" };
        table.problem("windows", format!("{what}: write windows = [\"hourly\", \"daily\"], or one of them"));
    }
    (complete && !windows.is_empty()).then(|| windows.into_iter().collect())
}

/// Says what to write in place of a word that is no window.
fn window(word: &str) -> &'static str {
    let hour = ["hour", "hours", "h", "1h", "60m", "60min", "per_hour", "hr"];
    let day = ["day", "days", "d", "1d", "24h", "date", "per_day"];
    let word = folded(word);
    match nearest(&word, &["hourly", "daily"]) {
        _ if hour.contains(&word.as_str()) => "write \"hourly\"",
        _ if day.contains(&word.as_str()) => "write \"daily\"",
        Some("hourly") => "did you mean \"hourly\"?",
        Some(_) => "did you mean \"daily\"?",
        None => "write \"hourly\" or \"daily\"",
    }
}

/// A name of a summary that is as near as can be to one that tables cannot have.
fn table_name(name: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = name.chars().map(fit).take(SUMMARY_NAME_MAX - "summary_".len()).collect();
    match name.chars().next() {
        Some(first) if !first.is_ascii_digit() && name.bytes().any(|b| b != b'_') => name,
        Some(_) if name.bytes().any(|b| b != b'_') => format!("summary_{name}"),
        _ => "device_summary".to_string(),
    }
}
