//! One of `sources` of a column, or `source` of an anomaly: where values come from.

use super::read::Table;
use crate::engine::pattern::Pattern;
use crate::engine::schema::{Source, Valid};

/// Reads one source; `None` if there is a problem, which is reported.
pub fn source(table: &Table<'_, '_>) -> Option<Source> {
    let measurement = table.required("measurement", "measurement = \"cpu\"");
    let field = table.required("field", "field = \"usage_idle\"");
    let tags = table.entries("tags");
    let scale = table.float("scale").unwrap_or(1.0);
    let offset = table.float("offset").unwrap_or(0.0);
    table.finish();
    Some(Source {
        measurement: Pattern::new(&measurement?.value),
        tags: tags.into_iter().map(|(key, value)| (key, Pattern::new(&value.value))).collect(),
        field: field?.value,
        scale,
        offset,
        valid: Valid::ANY,
    })
}
