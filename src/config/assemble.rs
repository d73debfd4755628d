//! Columns and rules as written -> the columns and numbered accumulators of the engine.

use super::anomaly::{AnomalyDraft, Condition};
use super::column::ColumnDraft;
use super::nearest::nearest;
use super::read::Table;
use crate::engine::ids::DefIndex;
use crate::engine::schema::{AccumulatorDef, Column, Group, Method, Rule, Source, ZScore};
use std::collections::BTreeSet;

/// Accumulators of one summary are numbered with 16 bits.
const ACCUMULATORS_MAX: usize = u16::MAX as usize;

/// Says which column a rule can watch in place of one that is not there.
fn another_column(name: &str, drafts: &[ColumnDraft]) -> String {
    let with_sources = drafts.iter().filter(|d| d.method != Method::Anomalies);
    let names: Vec<&str> = with_sources.map(|d| d.name.value.as_str()).collect();
    match nearest(name, &names) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("write one of {names:?}, or a `source` in place of `column`"),
    }
}

/// Numbers the accumulators that the columns need.
pub fn assemble(
    table: &Table<'_, '_>,
    drafts: &[ColumnDraft],
    rules: &[AnomalyDraft],
    used: &mut BTreeSet<String>,
) -> Option<(Vec<Column>, Vec<AccumulatorDef>)> {
    let document = table.document;
    let mut accumulators: Vec<AccumulatorDef> = Vec::new();
    let mut columns = Vec::new();
    let mut complete = true;
    let mut number = |source: &Source, method: Method, rule: Option<Rule>| -> DefIndex {
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
                let names: Vec<&str> = rules.iter().map(|rule| rule.name.value.as_str()).collect();
                let remedy = match nearest(&name.value, &names) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => "add it, or correct the name".to_string(),
                };
                let message = format!("there is no [[anomaly]] with the name {:?}: {remedy}", name.value);
                document.problem_at(name, message);
                complete = false;
                continue;
            };
            let (sources, watched) = match (&rule.column, &rule.source) {
                (Some(column), _) => {
                    let is_watched = |d: &ColumnDraft| d.name.value == column.value && d.method != Method::Anomalies;
                    let Some(place) = drafts.iter().position(is_watched) else {
                        let message = format!(
                            "{:?} is not a column with sources of the summary whose column {:?} uses this rule: {}",
                            column.value,
                            draft.name.value,
                            another_column(&column.value, drafts)
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
                    Condition::When(when) => Rule::When(when),
                    Condition::ZScore { threshold, baseline } => {
                        let moments = number(source, Method::Stddev, None);
                        Rule::ZScore(ZScore { threshold, baseline, moments })
                    }
                };
                defs.push(number(source, Method::Anomalies, Some(rule)));
            }
            groups.push(Group { chosen_by: watched.unwrap_or_else(|| defs.clone()), defs });
        }
        columns.push(Column { name: draft.name.value.clone(), unit: draft.unit.clone(), method: draft.method, groups });
    }
    if accumulators.len() > ACCUMULATORS_MAX {
        document.problem(
            table.offset,
            &table.path,
            format!("has more than {ACCUMULATORS_MAX} sources: divide it into several"),
        );
        return None;
    }
    complete.then_some((columns, accumulators))
}
