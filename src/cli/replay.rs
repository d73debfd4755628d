//! `replay`: line protocol -> rows on stdout, through the engine that `run` uses; no state, no sink.

use super::columns;
use super::load::{ConfigFile, load};
use super::moment;
use crate::driver::jobs::replay;
use crate::driver::owner::status;
use crate::engine::aggregate::row::Cell;
use crate::engine::precision::Precision;
use crate::engine::schema::{Schema, Summary};
use crate::engine::zone::WindowKind;
use crate::sink::memory::MemorySink;
use crate::sink::port::RowRecord;
use crate::sink::sql::{dialect, literal, times, upsert};
use crate::text::TextReader;
use crate::words::verb;
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
#[command(
    after_help = "Without --now nothing is late, every window is final, and hours without a sample are shown up to the newest \
    point that counts. With it, every line is judged as if it arrived at that time, and such hours are shown up to then.\n\nExamples:\n  telegraf-rollup replay --config rollup.toml metrics.influx\n  \
    zcat old.gz | telegraf-rollup replay --config rollup.toml --format csv - > rows.csv\n  \
    telegraf --test | telegraf-rollup replay --config rollup.toml -\n  \
    telegraf-rollup replay --config rollup.toml --precision s export.lp"
)]
pub struct ReplayArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// Judge every line as if it arrived at this time: 2026-01-31 or '2026-01-31 12:00' in the configuration's zone, or
    /// 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    now: Option<String>,
    /// The unit of the timestamps, as for InfluxDB's import
    #[arg(long, value_enum, default_value_t = Unit::Ns)]
    precision: Unit,
    /// How the rows are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Files with line protocol; - is stdin
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Unit {
    /// Nanoseconds, as Telegraf writes them
    Ns,
    /// Microseconds
    Us,
    /// Milliseconds
    Ms,
    /// Seconds
    S,
}

impl Unit {
    fn precision(self) -> Precision {
        match self {
            Unit::Ns => Precision::Nanoseconds,
            Unit::Us => Precision::Microseconds,
            Unit::Ms => Precision::Milliseconds,
            Unit::S => Precision::Seconds,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Aligned columns for people, a block for each table
    Table,
    /// One header for all tables; an empty cell is NULL, - is a column that the table does not have
    Csv,
    /// One object for each row and line
    Json,
}

impl ReplayArgs {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let config = load(&self.config.path)?;
        let now = match &self.now {
            None => None,
            Some(text) => Some(moment::parse("--now", text, &config.schema.zone)?),
        };
        if let Some(now) = now {
            eprintln!("every line is judged as if it arrived at {}", moment::shown(now, &config.schema.zone));
        }
        let mut replay = replay::Replay::new(&config.schema, now).with_precision(self.precision.precision());
        for path in &self.files {
            let name = path.display();
            let input: Box<dyn io::Read> = if path.as_os_str() == "-" {
                Box::new(io::stdin().lock())
            } else {
                Box::new(File::open(path).with_context(|| format!("cannot read {name}"))?)
            };
            let mut input = TextReader::new(input);
            replay.feed(&mut input).with_context(|| format!("cannot read {name}"))?;
            if let Some(shown) = input.foreign() {
                eprintln!(
                    "{name} is not all UTF-8 (is it Latin-1 or another code page?), as in `{shown}`: such lines count, and \
                     devices are shown with \\xNN for each such byte; convert it, for example by `iconv -f WINDOWS-1252 -t UTF-8`"
                );
            }
        }
        let schema = replay.schema().clone();
        let (columns, hints, too_large) = (replay.columns(), replay.hints(), replay.too_large());
        let (rows, counters) = replay.finish().map_err(|e| anyhow::anyhow!("{e}"))?;
        let mut out = BufWriter::new(io::stdout().lock());
        match self.format {
            Format::Table => table(&mut out, &schema, &rows)?,
            Format::Csv => csv(&mut out, &schema, &rows)?,
            Format::Json => json(&mut out, &schema, &rows)?,
        }
        out.flush()?;
        let said = |is_loss: bool, words: &str| {
            let reasons = counters.reasons().filter(|reason| reason.count > 0 && reason.is_loss == is_loss);
            let list: Vec<String> = reasons.map(|reason| format!("{} {}", reason.count, reason.words())).collect();
            if list.is_empty() { String::new() } else { format!("; {words}: {}", list.join(", ")) }
        };
        eprintln!(
            "{} {}, {} of them {} a column, {} {} counted{}{}",
            counters.lines,
            verb(counters.lines, "line", "lines"),
            counters.fed,
            verb(counters.fed, "feeds", "feed"),
            counters.points,
            verb(counters.points, "point", "points"),
            said(true, "not counted"),
            said(false, "counted all the same")
        );
        if counters.matched > counters.fed {
            let lines = verb(counters.matched, "line matches", "lines match");
            eprintln!("{} {lines} a source by measurement and tags", counters.matched);
        }
        columns::table(&status::columns(&columns)).iter().for_each(|line| eprintln!("{line}"));
        hints.iter().for_each(|hint| eprintln!("hint: {hint}"));
        if too_large > 0 {
            let name = self.precision.precision().name();
            let times = verb(too_large, "timestamp is", "timestamps are");
            let they = verb(too_large, "it is", "they are");
            eprintln!("{too_large} {times} too large for --precision {name}: name the unit that {they} in");
        }
        if counters.matched == 0 && counters.lines > 0 {
            eprintln!("no line matches a source: `telegraf-rollup check --explain LINE` shows what a line would need");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Calls `each` for every table with its rows in order of key and window.
fn each_table(
    schema: &Schema,
    rows: &MemorySink,
    mut each: impl FnMut(&Summary, WindowKind, &[RowRecord]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for summary in &schema.summaries {
        for kind in &summary.windows {
            each(summary, *kind, &rows.table(summary, *kind))?;
        }
    }
    Ok(())
}

/// A cell as text; a float always shows that it is one.
fn text(cell: &Cell) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Integer(value) => value.to_string(),
        Cell::Float(value) => format!("{value:?}"),
    }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_string() }
}

fn csv(out: &mut impl Write, schema: &Schema, rows: &MemorySink) -> anyhow::Result<()> {
    let mut names: Vec<&str> = Vec::new();
    for summary in &schema.summaries {
        for name in summary.key.iter().chain(summary.columns.iter().map(|c| &c.name)) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    let header: Vec<_> = names.iter().map(|n| quoted(n)).collect();
    writeln!(out, "table,window_start,local,{},samples,coverage,first_seen,last_seen", header.join(","))?;
    each_table(schema, rows, |summary, kind, rows| {
        for row in rows {
            let mut line = vec![
                dialect::row_table_name(summary, kind),
                times::datetime(row.span.start),
                times::local(&row.zone, kind, row.span.start),
            ];
            for name in &names {
                let key = summary.key.iter().position(|k| k == name).map(|i| quoted(&row.key[i]));
                let column =
                    || summary.columns.iter().position(|c| c.name == *name).map(|i| text(&row.summed.cells[i]));
                line.push(key.or_else(column).unwrap_or_else(|| "-".to_string()));
            }
            line.push(row.summed.samples.to_string());
            line.push(format!("{:?}", row.summed.coverage));
            let seen = |at: Option<i64>| at.map(times::milliseconds).unwrap_or_default();
            line.push(seen(row.summed.seen.map(|s| s.0)));
            line.push(seen(row.summed.seen.map(|s| s.1)));
            writeln!(out, "{}", line.join(","))?;
        }
        Ok(())
    })
}

fn json(out: &mut impl Write, schema: &Schema, rows: &MemorySink) -> anyhow::Result<()> {
    each_table(schema, rows, |summary, kind, rows| {
        for row in rows {
            let mut object = serde_json::Map::new();
            object.insert("table".to_string(), dialect::row_table_name(summary, kind).into());
            for (name, bound) in upsert::bind_row(summary, kind, row, 0) {
                if name == "updated_at" {
                    continue;
                }
                let value = match bound {
                    literal::Bound::Null => serde_json::Value::Null,
                    literal::Bound::Integer(value) => value.into(),
                    literal::Bound::Float(value) => value.into(),
                    literal::Bound::Text(text) => text.into(),
                };
                object.insert(name.to_string(), value);
            }
            writeln!(out, "{}", serde_json::Value::Object(object))?;
        }
        Ok(())
    })
}

fn table(out: &mut impl Write, schema: &Schema, rows: &MemorySink) -> anyhow::Result<()> {
    let mut any = false;
    each_table(schema, rows, |summary, kind, rows| {
        if any {
            writeln!(out)?;
        }
        any = true;
        writeln!(out, "{} ({} rows, zone {})", dialect::row_table_name(summary, kind), rows.len(), schema.zone.name())?;
        let mut header: Vec<&str> = vec![dialect::local_column(kind)];
        header.extend(summary.key.iter().map(String::as_str));
        header.extend(summary.columns.iter().map(|c| c.name.as_str()));
        header.extend(["samples", "coverage", "is_final"]);
        let mut lines: Vec<Vec<String>> = vec![header.into_iter().map(str::to_string).collect()];
        // Of a run of windows without a sample the first is shown, and how many follow.
        let mut skipped = Vec::new();
        let mut previous: Option<&RowRecord> = None;
        for row in rows {
            let same = |p: &RowRecord| p.key == row.key && p.summed.samples == 0 && row.summed.samples == 0;
            if previous.replace(row).is_some_and(same) {
                match skipped.last_mut() {
                    Some((after, count)) if *after == lines.len() => *count += 1,
                    _ => skipped.push((lines.len(), 1)),
                }
                continue;
            }
            let mut line = vec![times::local(&row.zone, kind, row.span.start)];
            line.extend(row.key.iter().map(|k| k.escape_debug().to_string()));
            line.extend(row.summed.cells.iter().map(|cell| match cell {
                Cell::Null => "-".to_string(),
                Cell::Float(value) => format!("{value:.3}"),
                Cell::Integer(value) => value.to_string(),
            }));
            line.push(row.summed.samples.to_string());
            line.push(format!("{:.3}", row.summed.coverage));
            line.push(if row.is_final { "yes" } else { "no" }.to_string());
            lines.push(line);
        }
        let text_columns = 1 + summary.key.len();
        let width = |i: usize| lines.iter().map(|line| line[i].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
        let mut skipped = skipped.into_iter().peekable();
        for (number, line) in lines.iter().enumerate() {
            if let Some((_, count)) = skipped.next_if(|(after, _)| *after == number) {
                writeln!(out, "  ... {count} more windows without a sample")?;
            }
            let mut shown = String::new();
            for (i, (cell, width)) in line.iter().zip(&widths).enumerate() {
                let pad = " ".repeat(width - cell.chars().count());
                shown += &if i < text_columns { format!("  {cell}{pad}") } else { format!("  {pad}{cell}") };
            }
            writeln!(out, "{}", shown.trim_end())?;
        }
        if let Some((_, count)) = skipped.next() {
            writeln!(out, "  ... {count} more windows without a sample")?;
        }
        Ok(())
    })?;
    if !any {
        bail!("the configuration has no tables");
    }
    Ok(())
}
