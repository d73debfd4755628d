//! `check --explain`: what becomes of a line, source by source.

use crate::cli::say::say;
use crate::config::Config;
use crate::engine::line::decode::{Point, decode};
use crate::engine::line::token::Value;
use crate::engine::schema::{AccumulatorDef, Method, Rule, Summary, Valid};
use std::ffi::OsStr;
use std::io::Write;
use std::process::ExitCode;

/// Shows, source by source, what becomes of a line.
pub fn explain(config: &Config, line: &OsStr) -> anyhow::Result<ExitCode> {
    let line = line.as_encoded_bytes();
    // Of a line that was copied from a file with a byte order mark.
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let line = line.strip_prefix(b"> ").unwrap_or(line);
    let point = match decode(line) {
        Ok(Some(point)) => point,
        Ok(None) => anyhow::bail!("the line is blank or a comment: nothing is counted"),
        Err(at) => {
            anyhow::bail!(
                "the line is not line protocol: Telegraf's parser gives up at byte {at}, {:?}",
                rest(line, at)
            )
        }
    };
    let mut takers = 0;
    for summary in &config.schema.summaries {
        let missing: Vec<_> = summary.key.iter().filter(|k| point.head.tag(k.as_bytes()).is_none()).collect();
        for column in &summary.columns {
            for def in column.groups.iter().flat_map(|group| &group.defs) {
                let accumulator = &summary.accumulators[def.at()];
                let verdict = verdict(&point, accumulator, column.method);
                if verdict.is_ok() {
                    takers += 1;
                }
                print_verdict(summary, &column.name, accumulator, &verdict, &missing)?;
            }
        }
    }
    if takers == 0 {
        say!("no column takes this line: it is forwarded and nothing else");
    }
    Ok(ExitCode::SUCCESS)
}

fn rest(line: &[u8], at: usize) -> String {
    String::from_utf8_lossy(&line[at.min(line.len())..]).chars().take(20).collect()
}

/// The value that a source takes from a point, or the first thing that does not fit.
fn verdict(point: &Point<'_>, accumulator: &AccumulatorDef, method: Method) -> Result<String, String> {
    let source = &accumulator.source;
    if !source.measurement.matches(&point.head.measurement) {
        return Err(format!("measurement is not {:?}", source.measurement.text()));
    }
    for (key, pattern) in &source.tags {
        match point.head.tag(key.as_bytes()) {
            None => return Err(format!("there is no tag {key:?}")),
            Some(value) if !pattern.matches(value) => {
                let value = String::from_utf8_lossy(value);
                return Err(format!("tag {key:?} is {value:?}, not {:?}", pattern.text()));
            }
            Some(_) => {}
        }
    }
    let Some((_, value)) = point.fields.iter().find(|(key, _)| *key == source.field.as_bytes()) else {
        return Err(format!("there is no field {:?}", source.field));
    };
    let number = match value {
        Value::Float(v) => *v,
        Value::Integer(v) => *v as f64,
        Value::Unsigned(v) => *v as f64,
        Value::Boolean(v) => f64::from(u8::from(*v)),
        Value::Text(_) if method == Method::Count => return Ok("a text, counted".to_string()),
        Value::Text(_) => return Err(format!("field {:?} is a text, not a number", source.field)),
    };
    let scaled = number * source.scale + source.offset + 0.0;
    if !scaled.is_finite() && method != Method::Count {
        return Err(format!("{number} is not a finite number after scale and offset"));
    }
    if !source.valid.contains(scaled) {
        let Valid { low, high } = source.valid;
        return Err(format!("{scaled} is outside of `valid`, which is {low} to {high}"));
    }
    let flagged = match accumulator.rule {
        None => "",
        Some(Rule::When(when)) if when.holds(scaled) => ", flagged",
        Some(Rule::When(_)) => ", not flagged",
        Some(Rule::ZScore(_)) => ", compared with the hours before",
    };
    Ok(format!("{scaled}{flagged}"))
}

fn print_verdict(
    summary: &Summary,
    column: &str,
    accumulator: &AccumulatorDef,
    verdict: &Result<String, String>,
    missing: &[&String],
) -> anyhow::Result<()> {
    let source = format!("{}:{}", accumulator.source.measurement.text(), accumulator.source.field);
    let name = &summary.name;
    match verdict {
        Ok(_) if !missing.is_empty() => {
            let tags: Vec<_> = missing.iter().map(|t| format!("{t:?}")).collect();
            say!("  {name}.{column} would take {source}, but the line lacks the key tag {}", tags.join(", "));
        }
        Ok(value) => say!("  {name}.{column} takes {source} = {value}"),
        Err(reason) => say!("  {name}.{column} does not take {source}: {reason}"),
    }
    Ok(())
}
