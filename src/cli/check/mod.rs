//! `check`: one place that knows whether everything is right: the configuration, the files by the rights of the user that runs
//! Telegraf, the sink, and Telegraf's snippet. With `--explain`: which column takes a line. Nothing is written.

mod explain;
mod report;

use super::load::{ConfigFile, load};
use crate::config::Config;
use crate::config::report::Problem;
use crate::driver::clock;
use crate::engine::zone::utc_datetime;
use crate::finding::Finding;
use crate::inspect::account::{self, ServiceAccount};
use crate::inspect::process::{self, RunningTelegraf};
use crate::inspect::rights::Eyes;
use crate::inspect::snippet::{self, SnippetScene, Understand};
use crate::inspect::{agent, files};
use crate::sink::probe;
use crate::text;
use clap::Args;
use report::Report;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
#[command(after_help = "Nothing is written: tables are made when `run` starts.\n\n\
    Exit codes: 0 everything is fine, 1 it works, with warnings, 2 it does not work.\n\
    With --explain: 0 some column takes something, 1 none does.\n\n\
    Examples:\n  \
    telegraf-rollup check --config rollup.toml\n  \
    sudo telegraf-rollup check --as telegraf\n  \
    telegraf-rollup check --json\n  \
    telegraf-rollup check --explain 'cpu,cpu=cpu-total,host=pc-1 usage_idle=93.5'\n  \
    telegraf --test | telegraf-rollup check --explain -")]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// Judge files by the rights of this user (a name or a number); without it that of the running Telegraf, else that of its
    /// systemd unit, else your own. Needs root for another user than yourself
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
    /// Look for the snippet in this file or folder of Telegraf (may be repeated); without it where a running Telegraf reads its
    /// configuration, else in the usual places; `none` for nowhere
    #[arg(long, value_name = "FILE|DIR")]
    telegraf: Vec<PathBuf>,
    /// Print one JSON object, for programs
    #[arg(long, conflicts_with = "explain")]
    json: bool,
    /// Show which column takes a line of line protocol, and do nothing else: LINE, or lines from @FILE, or from stdin with -,
    /// as `telegraf --test` prints them
    #[arg(long, value_name = "LINE|@FILE|-")]
    explain: Option<OsString>,
}

impl CheckArgs {
    /// Runs the command; `understand` reads arguments of this program as the program does.
    pub fn run(&self, understand: Understand) -> anyhow::Result<ExitCode> {
        let path = &self.config.path;
        let config = match load(path) {
            Ok(config) => config,
            Err(error) => return self.broken(&error),
        };
        if let Some(lines) = &self.explain {
            return explain::explain(&config, lines);
        }
        let report = self.look(&config, understand);
        self.show(&report)
    }

    fn show(&self, report: &Report<'_>) -> anyhow::Result<ExitCode> {
        match self.json {
            true => report.print_json()?,
            false => report.print()?,
        }
        Ok(report.exit_code())
    }

    /// Answers a configuration that cannot be used.
    fn broken(&self, error: &anyhow::Error) -> anyhow::Result<ExitCode> {
        let path = &self.config.path;
        let variables = |name: &str| std::env::var(name).ok();
        let problems: Vec<Problem> = match text::read(path).map(|text| Config::check(&text, &variables)) {
            Ok(Err(problems)) => problems.0,
            _ => Vec::new(),
        };
        let count = problems.len().max(1);
        let mut report = Report::new(path, None);
        if problems.is_empty() {
            report.findings.push(Finding::failure("config", format!("{error:#}"), "name another file behind --config"));
        }
        report.problems = problems;
        if self.json {
            return self.show(&report);
        }
        report.print_first_line(&format!("{} cannot be used", path.display()), count)?;
        eprintln!("error: {error:#}");
        Ok(report.exit_code())
    }

    fn look(&self, config: &Config, understand: Understand) -> Report<'_> {
        let path = &self.config.path;
        let is_anywhere = self.telegraf.iter().all(|place| place.as_os_str() != "none");
        let running = if is_anywhere { process::running() } else { Vec::new() };
        let first = running.first();
        let mut report = Report::new(path, Some(config.sink.name()));
        report.findings.extend(configuration(path, config));
        let (account, trouble) = match account::find(self.user.as_deref(), first) {
            Ok(account) => (account, None),
            Err(reason) => (ServiceAccount::oneself(), Some(reason)),
        };
        report.account = Some((account.name.clone(), account.words()));
        if let Some(reason) = trouble {
            report.findings.push(Finding::failure("account", reason, "`getent passwd` lists those that there are"));
        }
        if let [one, _, ..] = &running[..] {
            report.findings.push(Finding::fine(
                "account",
                format!(
                    "{} Telegrafs run here: process {} was looked at; --as and --telegraf choose",
                    running.len(),
                    one.pid
                ),
            ));
        }
        let places = if is_anywhere { self.telegraf.as_slice() } else { &[] };
        let here = Here { path, config, account: &account, first, places, is_anywhere, understand };
        match account::act_as(&account, || here.look(false)) {
            Ok(found) => report.findings.extend(found),
            Err(_) => {
                let name = &account.name;
                report.findings.push(Finding::fine(
                    "account",
                    format!("not looked at: what {name} really may; root is needed for that, and the modes of files were read instead"),
                ));
                report.findings.extend(here.look(true));
            }
        }
        report
    }
}

/// What is looked at with the rights of the user.
struct Here<'a> {
    path: &'a Path,
    config: &'a Config,
    account: &'a ServiceAccount,
    first: Option<&'a RunningTelegraf>,
    places: &'a [PathBuf],
    is_anywhere: bool,
    understand: Understand,
}

impl Here<'_> {
    fn look(&self, by_modes: bool) -> Vec<Finding> {
        let Here { path, config, first, .. } = *self;
        let eyes = Eyes { account: self.account, by_modes };
        let mut found = files::look(path, config, &eyes);
        // What this user may not read says nothing of the other one.
        match files::hidden(config).filter(|_| by_modes) {
            Some(file) => found.push(Finding::fine(
                "sink",
                format!("not looked at: {} is hidden from you; root sees more", file.display()),
            )),
            None => found.extend(probe::probe(&config.sink, &config.schema)),
        }
        if !self.is_anywhere {
            return found;
        }
        let places = agent::places(self.places, first);
        let files = agent::read(&places, &eyes, &mut found);
        let scene = SnippetScene {
            config,
            path,
            places: &places,
            files: &files,
            running: first,
            eyes,
            understand: self.understand,
        };
        found.extend(snippet::judge(&scene));
        if cfg!(windows) {
            found.push(Finding::fine(
                "telegraf",
                "not looked at: the arguments of the Windows service; it reads telegraf.d only if it was installed with \
                 --config-directory, which `sc.exe qc telegraf` shows",
            ));
        }
        found
    }
}

/// What the configuration says.
fn configuration(path: &Path, config: &Config) -> Vec<Finding> {
    let zone = &config.schema.zone;
    let now = clock::now();
    let local = zone.local(now);
    let minutes = local.duration_since(utc_datetime(now)).as_mins();
    let offset = format!("{}{:02}:{:02}", if minutes < 0 { '-' } else { '+' }, minutes.abs() / 60, minutes.abs() % 60);
    let clock = local.strftime("%Y-%m-%d %H:%M");
    let mut found = vec![
        Finding::fine("config", format!("{} is valid", path.display())),
        Finding::fine("config.zone", format!("zone {}: it is {clock} there now (UTC{offset})", zone.name())),
    ];
    for summary in &config.schema.summaries {
        let column = |column: &crate::engine::schema::Column| {
            let sources: usize = column.groups.iter().map(|group| group.defs.len()).sum();
            let plural = if sources == 1 { "" } else { "s" };
            format!("{} ({} of {sources} source{plural})", column.name, column.method.name())
        };
        let columns: Vec<String> = summary.columns.iter().map(column).collect();
        let text =
            format!("summary {}: one row for each {}: {}", summary.name, summary.key.join(", "), columns.join(", "));
        found.push(Finding::fine("config.summary", text));
    }
    found.extend(config.warnings.iter().map(|warning| Finding::warning("config", warning, "")));
    found
}
