//! `replay`: line protocol -> rows on stdout, through the engine that `run` uses; no state, no sink.

use super::load;
use crate::driver::clock;
use crate::driver::flush::Shared;
use crate::driver::flush::{self};
use crate::engine::Engine;
use crate::engine::frame::Framer;
use crate::engine::row::Cell;
use crate::engine::schema::{Lateness, Schema, Summary};
use crate::engine::zone::WindowKind;
use crate::sink::statements;
use crate::sink::{PartialRange, PartialRecord, RowRecord, Sink, SinkError, TableInfo};
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

/// Bytes of one read.
const READ_BYTES: usize = 1 << 20;

#[derive(Args)]
#[command(after_help = "Without --now nothing is late and every window is final. With it, every line is judged as if it \
    arrived at that time.\n\nExamples:\n  telegraf-rollup replay --config rollup.toml metrics.influx\n  \
    zcat old.gz | telegraf-rollup replay --config rollup.toml --format csv - > rows.csv")]
pub struct Replay {
    /// The configuration file; its sink and state_dir are not used
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Judge every line as if it arrived at this time, as in 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    now: Option<String>,
    /// How the rows are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Files with line protocol; - is stdin
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
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

impl Replay {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let config = load(&self.config)?;
        let now = match &self.now {
            None => None,
            Some(text) => Some(instant(text)?),
        };
        let mut schema = Schema::clone(&config.schema);
        if now.is_none() {
            schema.lateness = Lateness { max: i64::MAX, future: i64::MAX, ..schema.lateness };
        }
        let schema = Arc::new(schema);
        let mut engine = Engine::new(schema.clone());
        for file in &self.files {
            feed(&mut engine, file, now)?;
        }
        let counters = engine.counters();
        let shared: Shared = Mutex::new(Some(engine));
        let mut rows = Memory::default();
        // Half of the range leaves room for adding to it: every window has ended and is final.
        let judged = now.unwrap_or(i64::MAX / 2);
        flush::flush(&shared, &mut rows, "replay", judged, true).map_err(|e| anyhow::anyhow!("{e}"))?;
        let mut out = BufWriter::new(io::stdout().lock());
        match self.format {
            Format::Table => table(&mut out, &schema, &rows)?,
            Format::Csv => csv(&mut out, &schema, &rows)?,
            Format::Json => json(&mut out, &schema, &rows)?,
        }
        out.flush()?;
        let mut left = Vec::new();
        for (count, what) in [
            (counters.malformed, "malformed lines"),
            (counters.no_key, "lines without a key tag"),
            (counters.over_limit, "lines over a limit"),
            (counters.late, "late points"),
            (counters.future, "points in the future"),
            (counters.duplicates, "duplicates"),
            (counters.conflicts, "conflicts"),
            (counters.not_finite, "values that are not finite"),
        ] {
            if count > 0 {
                left.push(format!("{count} {what}"));
            }
        }
        eprintln!(
            "{} lines, {} of them feed a column, {} points counted{}",
            counters.lines,
            counters.matched,
            counters.points,
            if left.is_empty() { String::new() } else { format!("; not counted: {}", left.join(", ")) }
        );
        if counters.matched == 0 && counters.lines > 0 {
            eprintln!("no line matches a source: `telegraf-rollup check --explain LINE` shows what a line would need");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads a time: RFC 3339, or seconds since the epoch.
fn instant(text: &str) -> anyhow::Result<i64> {
    let nanoseconds = match text.parse::<jiff::Timestamp>() {
        Ok(at) => i64::try_from(at.as_nanosecond()).ok(),
        Err(_) => text.parse::<i64>().ok().and_then(|s| s.checked_mul(1_000_000_000)),
    };
    nanoseconds.with_context(|| format!("{text:?} is not a time: write, for example, 2026-01-31T12:00:00Z"))
}

fn feed(engine: &mut Engine, path: &PathBuf, now: Option<i64>) -> anyhow::Result<()> {
    let name = path.display();
    let mut input: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).with_context(|| format!("cannot read {name}"))?)
    };
    let arrival = now.unwrap_or_else(clock::now);
    let mut framer = Framer::default();
    let mut buffer: Vec<u8> = Vec::new();
    let (mut line, mut filled) = (0, 0);
    loop {
        if buffer.len() - filled < READ_BYTES {
            buffer.copy_within(line..filled, 0);
            (filled, line) = (filled - line, 0);
            buffer.resize(filled + 2 * READ_BYTES, 0);
        }
        let read = match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e).with_context(|| format!("cannot read {name}")),
        };
        filled += read;
        while let Some(length) = framer.line(&buffer[line..filled]) {
            engine.ingest(&buffer[line..line + length], arrival);
            line += length;
        }
    }
    // A file may end without a newline; unlike a pipe it is not torn.
    if filled > line {
        engine.ingest(&buffer[line..filled], arrival);
    }
    Ok(())
}

/// A sink that keeps everything: `replay` takes the same way as `run`.
#[derive(Default)]
struct Memory {
    partials: BTreeMap<(String, Vec<String>, i64), PartialRecord>,
    rows: BTreeMap<(String, WindowKind), Vec<RowRecord>>,
}

impl Sink for Memory {
    fn prepare(&mut self, _: &Schema) -> Result<(), SinkError> {
        Ok(())
    }

    fn put_partials(&mut self, summary: &Summary, records: &[PartialRecord], _: i64) -> Result<(), SinkError> {
        for record in records {
            let key = (summary.name.clone(), record.key.clone(), record.window_start);
            self.partials.insert(key, record.clone());
        }
        Ok(())
    }

    fn read_partials(&mut self, summary: &Summary, ranges: &[PartialRange]) -> Result<Vec<PartialRecord>, SinkError> {
        let mut out = Vec::new();
        for PartialRange { key, span } in ranges {
            let key = |at: i64| (summary.name.clone(), key.clone(), at);
            out.extend(self.partials.range(key(span.start)..key(span.end)).map(|(_, record)| record.clone()));
        }
        Ok(out)
    }

    fn put_rows(
        &mut self,
        _: &Schema,
        summary: &Summary,
        kind: WindowKind,
        rows: &[RowRecord],
        _: i64,
    ) -> Result<(), SinkError> {
        self.rows.entry((summary.name.clone(), kind)).or_default().extend(rows.iter().cloned());
        Ok(())
    }

    fn disconnect(&mut self) {}

    fn inspect(&mut self, _: &Schema) -> Result<Vec<TableInfo>, SinkError> {
        Ok(Vec::new())
    }
}

/// Calls `each` for every table with its rows in order of key and window.
fn each_table(
    schema: &Schema,
    rows: &Memory,
    mut each: impl FnMut(&Summary, WindowKind, &[RowRecord]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for summary in &schema.summaries {
        for kind in &summary.windows {
            let mut rows = rows.rows.get(&(summary.name.clone(), *kind)).cloned().unwrap_or_default();
            rows.sort_by(|a, b| (&a.key, a.span).cmp(&(&b.key, b.span)));
            each(summary, *kind, &rows)?;
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

fn csv(out: &mut impl Write, schema: &Schema, rows: &Memory) -> anyhow::Result<()> {
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
                statements::row_table_name(summary, kind),
                statements::datetime(row.span.start),
                statements::local(schema, kind, row.span.start),
            ];
            for name in &names {
                let key = summary.key.iter().position(|k| k == name).map(|i| quoted(&row.key[i]));
                let column = || summary.columns.iter().position(|c| c.name == *name).map(|i| text(&row.summed.cells[i]));
                line.push(key.or_else(column).unwrap_or_else(|| "-".to_string()));
            }
            line.push(row.summed.samples.to_string());
            line.push(format!("{:?}", row.summed.coverage));
            let seen = |at: Option<i64>| at.map(statements::milliseconds).unwrap_or_default();
            line.push(seen(row.summed.seen.map(|s| s.0)));
            line.push(seen(row.summed.seen.map(|s| s.1)));
            writeln!(out, "{}", line.join(","))?;
        }
        Ok(())
    })
}

fn json(out: &mut impl Write, schema: &Schema, rows: &Memory) -> anyhow::Result<()> {
    each_table(schema, rows, |summary, kind, rows| {
        for row in rows {
            let mut object = serde_json::Map::new();
            object.insert("table".to_string(), statements::row_table_name(summary, kind).into());
            for (name, bound) in statements::bind_row(schema, summary, kind, row, 0) {
                if name == "updated_at" {
                    continue;
                }
                let value = match bound {
                    statements::Bound::Null => serde_json::Value::Null,
                    statements::Bound::Integer(value) => value.into(),
                    statements::Bound::Float(value) => value.into(),
                    statements::Bound::Text(text) => text.into(),
                };
                object.insert(name.to_string(), value);
            }
            writeln!(out, "{}", serde_json::Value::Object(object))?;
        }
        Ok(())
    })
}

fn table(out: &mut impl Write, schema: &Schema, rows: &Memory) -> anyhow::Result<()> {
    let mut any = false;
    each_table(schema, rows, |summary, kind, rows| {
        if any {
            writeln!(out)?;
        }
        any = true;
        writeln!(out, "{} ({} rows, zone {})", statements::row_table_name(summary, kind), rows.len(), schema.zone.name())?;
        let mut header: Vec<&str> = vec![statements::local_column(kind)];
        header.extend(summary.key.iter().map(String::as_str));
        header.extend(summary.columns.iter().map(|c| c.name.as_str()));
        header.extend(["samples", "coverage", "is_final"]);
        let mut lines: Vec<Vec<String>> = vec![header.into_iter().map(str::to_string).collect()];
        for row in rows {
            let mut line = vec![statements::local(schema, kind, row.span.start)];
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
        for line in &lines {
            let mut shown = String::new();
            for (i, (cell, width)) in line.iter().zip(&widths).enumerate() {
                let pad = " ".repeat(width - cell.chars().count());
                shown += &if i < text_columns { format!("  {cell}{pad}") } else { format!("  {pad}{cell}") };
            }
            writeln!(out, "{}", shown.trim_end())?;
        }
        Ok(())
    })?;
    if !any {
        bail!("the configuration has no tables");
    }
    Ok(())
}
