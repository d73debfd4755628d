//! What the filters of a plugin of Telegraf keep from our sources and keys.
//!
//! Said is only what is certain for every line that a source could take: a tag or a field that the filter's semantics take away, a name
//! that never passes. What depends on tags that no source asks for is said not to have been looked at.

use super::glob::NameFilter;
use crate::engine::schema::{Schema, Source, Summary};
use crate::finding::Finding;
use std::collections::BTreeMap;

/// The filters of one plugin.
#[derive(Clone, Debug, Default)]
pub struct PluginFilters {
    namepass: NameFilter,
    namedrop: NameFilter,
    tagpass: Vec<(String, NameFilter)>,
    tagdrop: Vec<(String, NameFilter)>,
    fieldinclude: NameFilter,
    fieldexclude: NameFilter,
    taginclude: NameFilter,
    tagexclude: NameFilter,
    /// An expression, which nobody evaluates here.
    has_metricpass: bool,
}

/// The texts of a list in a table.
fn texts(table: &toml::Table, keys: &[&str]) -> Vec<String> {
    let lists = keys.iter().filter_map(|key| table.get(*key)?.as_array());
    lists.flatten().filter_map(|item| item.as_str().map(str::to_string)).collect()
}

impl PluginFilters {
    /// Reads the filters of a plugin's table.
    pub fn read(table: &toml::Table) -> PluginFilters {
        let separators = |key: &str| table.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_string();
        let names = |keys: &[&str]| NameFilter::new(texts(table, keys), "");
        let by_tag = |key: &str| -> Vec<(String, NameFilter)> {
            let Some(tags) = table.get(key).and_then(toml::Value::as_table) else { return Vec::new() };
            tags.keys().map(|tag| (tag.clone(), NameFilter::new(texts(tags, &[tag]), ""))).collect()
        };
        PluginFilters {
            namepass: NameFilter::new(texts(table, &["namepass"]), &separators("namepass_separator")),
            namedrop: NameFilter::new(texts(table, &["namedrop"]), &separators("namedrop_separator")),
            tagpass: by_tag("tagpass"),
            tagdrop: by_tag("tagdrop"),
            fieldinclude: names(&["fieldinclude", "fieldpass", "pass"]),
            fieldexclude: names(&["fieldexclude", "fielddrop", "drop"]),
            taginclude: names(&["taginclude"]),
            tagexclude: names(&["tagexclude"]),
            has_metricpass: table.contains_key("metricpass"),
        }
    }

    /// True if fields or tags are taken away, for whatever comes behind a processor too.
    pub fn changes_metrics(&self) -> bool {
        ![&self.fieldinclude, &self.fieldexclude, &self.taginclude, &self.tagexclude]
            .iter()
            .all(|filter| filter.is_empty())
    }

    /// The filter that certainly takes a tag away.
    fn takes_tag(&self, tag: &str) -> Option<&'static str> {
        if !self.taginclude.is_empty() && self.taginclude.matches(tag) == Some(false) {
            return Some("taginclude");
        }
        (self.tagexclude.matches(tag) == Some(true)).then_some("tagexclude")
    }

    /// The filter that certainly takes a field away.
    fn takes_field(&self, field: &str) -> Option<&'static str> {
        if !self.fieldinclude.is_empty() && self.fieldinclude.matches(field) == Some(false) {
            return Some("fieldinclude");
        }
        (self.fieldexclude.matches(field) == Some(true)).then_some("fieldexclude")
    }

    /// The filter that certainly keeps every line away that a source takes, for its tags.
    fn keeps_by_tags(&self, source: &Source) -> Option<&'static str> {
        let wanted = |tag: &str| source.tags.iter().find(|(key, _)| key == tag).map(|(_, pattern)| pattern);
        let never = |(tag, filter): &(String, NameFilter)| {
            wanted(tag).is_some_and(|pattern| filter.meets(pattern) == Some(false))
        };
        if !self.tagpass.is_empty() && self.tagpass.iter().all(never) {
            return Some("tagpass");
        }
        let always = |(tag, filter): &(String, NameFilter)| {
            let exact = wanted(tag).filter(|pattern| !pattern.text().contains(['*', '?', '[']));
            exact.is_some_and(|pattern| filter.matches(pattern.text()) == Some(true))
        };
        self.tagdrop.iter().any(always).then_some("tagdrop")
    }

    /// Judges the filters by what a configuration asks for. `place` says where they stand.
    pub fn judge(&self, schema: &Schema, place: &str) -> Vec<Finding> {
        let mut found = Vec::new();
        self.names(schema, place, &mut found);
        for summary in &schema.summaries {
            let zone = summary.timezone_tag.iter();
            for tag in summary.key.iter().chain(zone) {
                if let Some(filter) = self.takes_tag(tag) {
                    found.push(Finding::warning(
                        "telegraf.tags",
                        format!(
                            "`{filter}` in {place} takes the tag {tag:?} away: no line of {} keeps its device",
                            summary.name
                        ),
                        remedy(filter, tag),
                    ));
                }
            }
        }
        let sources = sources(schema);
        let mut said = Vec::new();
        for (source, columns) in &sources {
            let columns = columns.join(", ");
            let name = source.measurement.text();
            if let Some(filter) = self.takes_field(&source.field) {
                said.push(Finding::warning(
                    "telegraf.fields",
                    format!(
                        "`{filter}` in {place} takes the field {:?} of {name:?} away: {columns} get nothing from it",
                        source.field
                    ),
                    remedy(filter, &source.field),
                ));
            }
            for (tag, _) in &source.tags {
                if let Some(filter) = self.takes_tag(tag) {
                    said.push(Finding::warning(
                        "telegraf.tags",
                        format!(
                            "`{filter}` in {place} takes the tag {tag:?} of {name:?} away, which {columns} ask for"
                        ),
                        remedy(filter, tag),
                    ));
                }
            }
            if let Some(filter) = self.keeps_by_tags(source) {
                said.push(Finding::warning(
                    "telegraf.tags",
                    format!("`{filter}` in {place} keeps all lines of {name:?} away that {columns} ask for"),
                    format!("correct {filter}, or the tags of the source"),
                ));
            }
        }
        for finding in said {
            if !found.contains(&finding) {
                found.push(finding);
            }
        }
        let is_certain = |source: &Source| {
            self.tagpass.iter().any(|(tag, filter)| {
                source.tags.iter().any(|(key, pattern)| key == tag && filter.meets(pattern) == Some(true))
            })
        };
        let unsure: Vec<&str> = sources
            .iter()
            .filter(|(source, _)| {
                !self.tagpass.is_empty() && !is_certain(source) && self.keeps_by_tags(source).is_none()
            })
            .map(|(source, _)| source.measurement.text())
            .collect();
        if !unsure.is_empty() {
            let text = format!(
                "not looked at: whether lines of {} have a tag that `tagpass` in {place} lets in",
                list(&unsure)
            );
            found.push(Finding::fine("telegraf.tags", text));
        }
        if self.has_metricpass {
            found.push(Finding::fine(
                "telegraf.namepass",
                format!("not looked at: what `metricpass` in {place} lets through"),
            ));
        }
        found
    }

    /// Measurements that never get through by their names.
    fn names(&self, schema: &Schema, place: &str, found: &mut Vec<Finding>) {
        let mut measurements: BTreeMap<&str, (Option<&'static str>, Vec<String>)> = BTreeMap::new();
        for (source, columns) in sources(schema) {
            let pattern = &source.measurement;
            let is_exact = !pattern.text().contains(['*', '?', '[']);
            let filter = if !self.namepass.is_empty() && self.namepass.meets(pattern) == Some(false) {
                Some("namepass")
            } else if is_exact && self.namedrop.matches(pattern.text()) == Some(true) {
                Some("namedrop")
            } else {
                None
            };
            let entry = measurements.entry(pattern.text()).or_insert((filter, Vec::new()));
            entry.1.extend(columns);
        }
        for (name, (filter, mut columns)) in measurements {
            columns.sort();
            columns.dedup();
            let columns = columns.join(", ");
            match filter {
                Some("namepass") => found.push(Finding::warning(
                    "telegraf.namepass",
                    format!("`namepass` in {place} never lets {name:?} through: {columns} get nothing from it"),
                    format!("add {name:?} to namepass, or remove the source"),
                )),
                Some(filter) => found.push(Finding::warning(
                    "telegraf.namepass",
                    format!("`{filter}` in {place} keeps {name:?} away: {columns} get nothing from it"),
                    format!("remove what matches {name:?} from {filter}, or remove the source"),
                )),
                None => {}
            }
        }
    }
}

fn remedy(filter: &str, name: &str) -> String {
    match filter.ends_with("include") {
        true => format!("add {name:?} to {filter}"),
        false => format!("remove what matches {name:?} from {filter}"),
    }
}

/// Words in quotes, each once.
fn list(words: &[&str]) -> String {
    let mut words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    words.sort();
    words.dedup();
    words.join(", ")
}

/// Every source of a configuration, with the columns that ask for it.
pub fn sources(schema: &Schema) -> Vec<(&Source, Vec<String>)> {
    let mut out: Vec<(&Source, Vec<String>)> = Vec::new();
    for summary in &schema.summaries {
        for column in &summary.columns {
            for def in column.groups.iter().flat_map(|group| &group.defs) {
                let source = &summary.accumulators[def.at()].source;
                let name = column_name(summary, &column.name);
                let is_same = |known: &Source| {
                    (&known.measurement, &known.tags, &known.field)
                        == (&source.measurement, &source.tags, &source.field)
                };
                match out.iter_mut().find(|(known, _)| is_same(known)) {
                    Some((_, names)) if names.contains(&name) => {}
                    Some((_, names)) => names.push(name),
                    None => out.push((source, vec![name])),
                }
            }
        }
    }
    out
}

fn column_name(summary: &Summary, column: &str) -> String {
    format!("{}.{column}", summary.name)
}
