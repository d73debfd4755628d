//! `status`: what the running process says of itself, and what the system says of the process.

use super::columns;
use super::load::{ConfigFile, load};
use super::say::say;
use super::verdict::{Life, Signs, Verdict, moment};
use crate::config::Config;
use crate::driver::clock;
use crate::driver::owner::{processes, status};
use crate::durable::claim::{self, Tenancy};
use crate::durable::user;
use crate::engine::Counters;
use crate::engine::zone::Zone;
use crate::words;
use anyhow::Context;
use clap::Args;
use serde_json::Value;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Who owns the state directory may change while one looks: then it is looked again ...
const LOOKS: u32 = 4;
/// ... after this time.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// How often the view is shown again; the process writes what it says of itself every 10 s.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// Begins at the upper edge of a terminal again, and clears it.
const CLEAR: &str = "\x1b[H\x1b[J";

#[derive(Args)]
#[command(
    after_help = "Reads status.json in state_dir, which `run` writes every 10 s, and looks whether its process lives. The first line \
    begins with `healthy:`, with how many things need you, or with `ended`. Exit code 0: it is healthy, or has ended with everything \
    written; 1: something needs you.\n\nExamples:\n  \
    telegraf-rollup status --config rollup.toml\n  \
    telegraf-rollup status --watch\n  \
    telegraf-rollup status --config rollup.toml --json | jq .verdict"
)]
pub struct StatusArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// Print the file as it is, with the verdict added
    #[arg(long)]
    json: bool,
    /// Show it again every 2 s, in the same place, until Ctrl-C
    #[arg(long, conflicts_with = "json")]
    watch: bool,
}

impl StatusArgs {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let config = load(&self.config.path)?;
        let is_terminal = io::stdout().is_terminal();
        loop {
            if self.watch && is_terminal {
                write!(io::stdout(), "{CLEAR}")?;
            }
            let code = self.once(&config)?;
            if !self.watch {
                return Ok(code);
            }
            if !is_terminal {
                say!("");
            }
            std::thread::sleep(WATCH_EVERY);
        }
    }

    fn once(&self, config: &Config) -> anyhow::Result<ExitCode> {
        let mut found = look(config, &self.config.path)?;
        for _ in 1..LOOKS {
            let Some((status, signs)) = &found else { break };
            if Life::of(status, *signs, clock::now()) != Life::Starts {
                break;
            }
            std::thread::sleep(LOOK_PAUSE);
            found = look(config, &self.config.path)?;
        }
        let zone = &config.schema.zone;
        let now = clock::now();
        let verdict = match &found {
            Some((status, signs)) => Verdict::of(status, *signs, zone, now),
            None => Verdict::of_nothing(nothing(config)),
        };
        if self.json {
            let mut json = found.map_or(Value::Null, |(status, _)| status);
            json["verdict"] = verdict.json();
            say!("{json:#}");
        } else {
            say!("{}", verdict.line);
            for need in &verdict.needs {
                say!("  - {need}");
            }
            if let Some((status, _)) = &found {
                show(status, zone, now)?;
            }
        }
        Ok(if verdict.is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What is written, and what the system says; `None` if nothing is written.
fn look(config: &Config, file: &Path) -> anyhow::Result<Option<(Value, Signs)>> {
    let path = status::path(&config.state_dir);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => {
            let who = who(&config.state_dir, file);
            return Err(e).with_context(|| format!("cannot read {}: run this as {who}, or as root", path.display()));
        }
    };
    let status: Value = serde_json::from_str(&text).with_context(|| {
        format!("{} is not a status: remove it, `run` writes another one within 10 s", path.display())
    })?;
    let is_here = status["namespace"].as_str().is_none_or(|of| Some(of) == processes::namespace().as_deref());
    let lives = status["pid"].as_u64().filter(|_| is_here).and_then(processes::lives);
    Ok(Some((status, Signs { tenancy: claim::tenancy(&config.state_dir), lives })))
}

/// The user that a state directory belongs to, and how to be that one.
fn who(state_dir: &Path, config: &Path) -> String {
    match user::other_owner(state_dir).ok().flatten() {
        None => "the user that runs Telegraf".to_string(),
        Some(owner) => {
            let name = if owner.chars().all(|c| c.is_ascii_digit()) { format!("'#{owner}'") } else { owner.clone() };
            format!("{owner} (`sudo -u {name} telegraf-rollup status --config {}`)", config.display())
        }
    }
}

/// What is said where there is no status.
fn nothing(config: &Config) -> String {
    let state_dir = config.state_dir.display();
    match claim::tenancy(&config.state_dir) {
        Tenancy::Owned => format!("a process owns {state_dir} and has not said anything yet; ask again in 10 s"),
        Tenancy::Free | Tenancy::Unknown => {
            let is = if config.state_dir.exists() { "has no status" } else { "does not exist" };
            format!(
                "nothing has run with this configuration yet; {state_dir} {is}: start or reload Telegraf with the snippet, and look here \
                 again after 10 s; if that changes nothing, look at Telegraf's log"
            )
        }
    }
}

fn show(json: &Value, zone: &Zone, now: i64) -> anyhow::Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or("?").replace(char::is_control, " ");
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let some = |value: &Value, one: &str| words::some(count(value), one);
    let lines = &json["lines"];
    say!(
        "lines: {} seen, {} of them {} a source, {} {} a column, {} counted",
        words::number(count(&lines["seen"])),
        words::number(count(&lines["matched"])),
        words::verb(count(&lines["matched"]), "matches", "match"),
        words::number(count(&lines["fed"])),
        words::verb(count(&lines["fed"]), "feeds", "feed"),
        some(&lines["points"], "point")
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
    let measurements = json["arrivals"]["measurements"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !measurements.is_empty() {
        let named = |m: &Value| format!("{} ({})", text(&m["name"]), words::number(count(&m["lines"])));
        let named: Vec<String> = measurements.iter().map(named).collect();
        let others = count(&json["arrivals"]["others"]);
        let others = if others > 0 { format!(", others ({})", words::number(others)) } else { String::new() };
        say!("  by measurement: {}{others}", named.join(", "));
    }
    let table = columns::table(&json["columns"]);
    if !table.is_empty() {
        say!("columns (times in UTC):");
        for line in table {
            say!("{line}");
        }
    }
    say!(
        "in memory: {}, {} series, {}",
        some(&json["devices"], "device"),
        words::number(count(&json["series"])),
        some(&json["windows"]["in_memory"], "window")
    );
    let windows = &json["windows"];
    match count(&windows["unacknowledged"]) {
        0 => say!("windows: all are written"),
        n => say!(
            "windows: {} {} to be written, {} of them on disk",
            words::some(n, "window"),
            words::verb(n, "waits", "wait"),
            words::number(count(&windows["waiting_on_disk"]))
        ),
    }
    say!("sink: {}", text(&json["sink"]));
    let flush = &json["flush"];
    match (flush["error"].as_str(), flush["at"].is_null()) {
        (Some(error), _) => say!(
            "  last flush, {}: FAILED: {}; the last one that wrote everything: {}",
            moment(&flush["at"], zone, now),
            // It may quote what a line has said.
            error.replace(char::is_control, " "),
            moment(&flush["last_complete_at"], zone, now)
        ),
        (None, true) => say!("  no flush yet"),
        (None, false) => say!(
            "  last flush, {}: {} and {} in {} ms",
            moment(&flush["at"], zone, now),
            some(&flush["hourly_rows"], "hourly row"),
            some(&flush["daily_rows"], "daily row"),
            flush["milliseconds"]
        ),
    }
    if !flush["running_since"].is_null() && json["ended_at"].is_null() {
        say!("  a flush is at work since {}", moment(&flush["running_since"], zone, now));
    }
    let aside = &json["set_aside"];
    let (held, shown) = (count(&aside["count"]), aside["first"].as_array());
    let shown = shown.map(Vec::as_slice).unwrap_or_default();
    for row in shown {
        let (table, key, start) = (text(&row["table"]), &row["key"], text(&row["window_start"]));
        say!("  set aside since {}: {table} {key} {start}: {}", text(&row["since"]), text(&row["reason"]));
    }
    let more = held.saturating_sub(shown.len() as u64);
    if more > 0 {
        say!("  and {} {} set aside", words::some(more, "more row"), words::verb(more, "is", "are"));
    }
    if held > 0 {
        say!("  `telegraf-rollup resend` tries them at once; otherwise every 10 minutes, or with their next point");
    }
    Ok(())
}
