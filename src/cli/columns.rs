//! What became of the values of each column, as a table for people.

use crate::engine::counters::ColumnReason;
use serde_json::Value;

/// The lines of the table; empty if a status of an earlier version says nothing of columns. `columns` are those of
/// `status.json`.
pub fn table(columns: &Value) -> Vec<String> {
    let columns = columns.as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |column: &Value| format!("{}.{}", text(&column["summary"]), text(&column["name"]));
    let points = |column: &Value| column["points"].as_u64().unwrap_or(0).to_string();
    let widest = |of: &dyn Fn(&Value) -> String| columns.iter().map(|column| of(column).len()).max().unwrap_or(0);
    let (names, counts) = (widest(&name), widest(&points));
    let line = |column: &Value| {
        let last = match column["last_point"].as_str() {
            Some(at) => format!("last {at}"),
            None => "none yet".to_string(),
        };
        let left = |reason: ColumnReason| {
            let count = column[reason.name()].as_u64().filter(|count| *count > 0)?;
            Some(format!("{count} {}", reason.things(count)))
        };
        let left: Vec<String> = ColumnReason::ALL.into_iter().filter_map(left).collect();
        let left = if left.is_empty() { String::new() } else { format!("; {}", left.join(", ")) };
        format!(
            "  {:<names$}  {:>counts$} {}, {last}{left}",
            name(column),
            points(column),
            if points(column) == "1" { "point" } else { "points" }
        )
    };
    columns.iter().map(line).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}
