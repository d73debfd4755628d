//! `status`: what the running process says of itself.

use super::columns;
use super::load::{ConfigFile, load};
use super::say::say;
use crate::driver::owner::status;
use crate::engine::Counters;
use anyhow::Context;
use clap::Args;
use serde_json::Value;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// A status that is older than this was left behind.
const STALE_AFTER: Duration = Duration::from_secs(35);

#[derive(Args)]
#[command(
    after_help = "Reads status.json in state_dir, which `run` writes every 10 s. Exit code 0: it runs and its last flush \
    went well; 1: it does not run, its last flush failed, or rows are set aside.\n\nExamples:\n  \
    telegraf-rollup status --config rollup.toml\n  \
    telegraf-rollup status --config rollup.toml --json | jq .flush"
)]
pub struct StatusArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// Print the file as it is
    #[arg(long)]
    json: bool,
}

impl StatusArgs {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let config = load(&self.config.path)?;
        let path = status::path(&config.state_dir);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("cannot read {}: has `run` counted a line with this configuration yet?", path.display())
        })?;
        let json: Value = serde_json::from_str(&text).with_context(|| format!("{} is not a status", path.display()))?;
        let age = status::age(&json).with_context(|| format!("{} has no time", path.display()))?;
        let is_well =
            age < STALE_AFTER && json["flush"]["error"].is_null() && json["set_aside"]["count"].as_u64() == Some(0);
        if self.json {
            say!("{}", text.trim_end());
        } else {
            show(&json, age)?;
        }
        Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn show(json: &Value, age: Duration) -> anyhow::Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or("never").to_string();
    match age < STALE_AFTER {
        true => say!("running: process {}, since {}", json["pid"], text(&json["started_at"])),
        false => say!("not running: this was written {} s ago, by process {}", age.as_secs(), json["pid"]),
    }
    let lines = &json["lines"];
    say!(
        "lines: {} seen, {} of them match a source, {} feed a column, {} points counted",
        lines["seen"],
        lines["matched"],
        lines["fed"],
        lines["points"]
    );
    let counters = Counters::default();
    for (is_loss, words) in [(true, "not counted"), (false, "counted all the same")] {
        let reasons = counters.reasons().filter(|reason| reason.is_loss == is_loss);
        let some = reasons.filter(|reason| lines[reason.name].as_u64().unwrap_or(0) > 0);
        let some: Vec<String> = some.map(|reason| format!("{} {}", reason.name, lines[reason.name])).collect();
        if !some.is_empty() {
            say!("  {words}, by reason: {}", some.join(", "));
        }
    }
    let table = columns::table(&json["columns"]);
    if !table.is_empty() {
        say!("columns:");
        for line in table {
            say!("{line}");
        }
    }
    say!("devices: {}, series: {}", json["devices"], json["series"]);
    let windows = &json["windows"];
    say!(
        "windows: {} in memory, {} not in the sink as they are, {} waiting on disk",
        windows["in_memory"],
        windows["unacknowledged"],
        windows["waiting_on_disk"]
    );
    say!("sink: {}", text(&json["sink"]));
    let flush = &json["flush"];
    match flush["error"].as_str() {
        Some(error) => say!(
            "  last flush at {} FAILED: {}; the last one that wrote everything: {}",
            text(&flush["at"]),
            // It may quote what a line has said.
            error.replace(char::is_control, " "),
            text(&flush["last_complete_at"])
        ),
        None => say!(
            "  last flush at {}: {} hourly and {} daily rows in {} ms",
            text(&flush["at"]),
            flush["hourly_rows"],
            flush["daily_rows"],
            flush["milliseconds"]
        ),
    }
    let aside = &json["set_aside"];
    let (count, shown) = (aside["count"].as_u64().unwrap_or(0), aside["first"].as_array());
    let shown = shown.map(Vec::as_slice).unwrap_or_default();
    for row in shown {
        let (table, key, start) = (text(&row["table"]), &row["key"], text(&row["window_start"]));
        let reason = text(&row["reason"]);
        say!(
            "  set aside since {}: {table} {key} {start}: {}",
            text(&row["since"]),
            reason.replace(char::is_control, " ")
        );
    }
    if count > shown.len() as u64 {
        say!("  and {} more rows are set aside", count - shown.len() as u64);
    }
    if count > 0 {
        say!("  `telegraf-rollup resend` tries them at once; otherwise every 10 minutes, or with their next point");
    }
    Ok(())
}
