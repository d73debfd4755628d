//! `[[summary.column]]`: what one column of the tables shows.

use super::names::column_name;
use super::nearest::nearest;
use super::read::{At, Table};
use super::source::source;
use crate::engine::schema::{Method, Source, Valid};

/// A column as written.
pub struct ColumnDraft {
    /// `name`
    pub name: At<String>,
    /// `unit`
    pub unit: String,
    /// `method`
    pub method: Method,
    /// `sources`, by priority.
    pub sources: Vec<Source>,
    /// `rules`: names of anomalies.
    pub rules: Vec<At<String>>,
}

/// Reads one column; `None` if there is a problem, which is reported.
pub fn column(table: &Table<'_, '_>) -> Option<ColumnDraft> {
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
    let unit = table.string("unit").map_or_else(String::new, |unit| unit.value);
    let has_valid = table.has("valid");
    let valid = table.range("valid").map_or(Valid::ANY, |(low, high)| Valid { low, high });
    let has_sources = table.has("sources");
    let of_column = |source: Source| Source { valid, ..source };
    let sources: Vec<_> = table.tables("sources").iter().map(|table| source(table).map(of_column)).collect();
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
            if has_valid {
                let path = format!("{}.valid", table.path);
                let message =
                    "an anomalies column has no values of its own: write `valid` in the column that the rule watches";
                document.problem(table.offset_of("valid"), &path, message);
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
    Some(ColumnDraft {
        name: name?,
        unit,
        method: method?,
        sources: sources.into_iter().collect::<Option<_>>()?,
        rules,
    })
}
