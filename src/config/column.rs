//! `[[summary.column]]`: what one column of the tables shows.

use super::meant::method as meant_method;
use super::names::column_name;
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
        match known {
            None => {
                let message = format!("unknown method {:?}: {}", text.value, meant_method::method(&text.value));
                document.problem_at(&text, message);
            }
            Some(_) => {
                meant_method::doubtful(&text.value).iter().for_each(|warning| document.warning_at(&text, warning));
            }
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
            document.problem_at(rule, format!("{:?} stands twice and would count twice: keep one", rule.value));
        }
    }
    table.finish();
    let of_name = name.as_ref().map_or("the column".to_string(), |name| format!("the column {:?}", name.value));
    match method {
        Some(Method::Anomalies) => {
            if has_sources {
                let message = "an anomalies column has `rules`, not sources: remove them; a rule names the column that it watches";
                table.problem("sources", message);
            }
            if has_valid {
                let message =
                    "an anomalies column has no values of its own: write `valid` in the column that the rule watches";
                table.problem("valid", message);
            }
            if table.is_empty_list("rules") {
                table.problem(
                    "rules",
                    format!(
                        "is empty: {of_name} counts nothing; write rules = [\"overheat\"], the name of an [[anomaly]]"
                    ),
                );
            } else if !has_rules {
                table.missing("rules", "rules = [\"overheat\"] and an [[anomaly]] of that name");
            }
        }
        Some(_) => {
            if has_rules {
                table.problem(
                    "rules",
                    "only a column with method = \"anomalies\" has rules: remove them, or write that method",
                );
            }
            if table.is_empty_list("sources") {
                table.problem("sources", format!("is empty: {of_name} takes nothing; write sources = [{{ measurement = \"cpu\", field = \"usage_idle\" }}]"));
            } else if !has_sources {
                table.missing("sources", "sources = [{ measurement = \"cpu\", field = \"usage_idle\" }]");
            }
        }
        None => {}
    }
    let sources: Vec<Source> = sources.into_iter().collect::<Option<_>>()?;
    let (name, method) = (name?, method?);
    // Reported above.
    let is_complete = if method == Method::Anomalies { !rules.is_empty() } else { !sources.is_empty() };
    is_complete.then_some(ColumnDraft { name, unit, method, sources, rules })
}
