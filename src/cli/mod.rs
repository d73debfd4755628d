//! The command line: arguments -> one command, a file each.

mod check;
mod replay;
mod resend;
mod schema;
mod status;

use crate::driver;
use clap::{Args, Parser, Subcommand};
use log::LevelFilter;
use std::path::PathBuf;
use std::process::ExitCode;

/// Turns the metric stream of Telegraf into hourly and daily rows for each device.
#[derive(Parser)]
#[command(
    name = "telegraf-rollup",
    version,
    about,
    long_about = "Turns the metric stream of Telegraf into hourly and daily rows for each device.\n\n\
        Telegraf runs it as [[processors.execd]]: every line passes through unchanged, and the rows of \
        <summary>_hourly and <summary>_daily are kept up to date in SQLite (the default, nothing to install) or MySQL.",
    after_help = "Start here:\n  \
        telegraf-rollup replay --config rollup.toml metrics.influx   see the rows that recorded lines would make\n  \
        telegraf-rollup check --config rollup.toml                   judge the configuration and look at the sink\n  \
        then let Telegraf run it: see telegraf/processor.conf"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Pass lines from stdin to stdout and keep the summary tables up to date (Telegraf starts this)
    #[command(after_help = "Telegraf's side:\n  [[processors.execd]]\n    \
        command = [\"telegraf-rollup\", \"run\", \"--config\", \"/etc/telegraf-rollup/rollup.toml\"]\n    \
        restart_delay = \"1s\"\n\n\
        A bad configuration, a dead database or a full disk never stop the lines: the log (stderr) says what is wrong.")]
    Run(Run),
    /// Judge a configuration, look at the sink's tables, explain which column takes a line
    Check(check::Check),
    /// Read line protocol from a file and print the rows it makes; touches neither state nor sink
    Replay(replay::Replay),
    /// Show what the running process says of itself: flushes, what waits, what was set aside
    Status(status::Status),
    /// Have everything written again that the state holds (a table was emptied, a backup restored)
    Resend(resend::Resend),
    /// Print the statements that make the tables, or make them
    Schema(schema::Schema),
}

#[derive(Args)]
struct Run {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Run under [[outputs.execd]]: write nothing to stdout
    #[arg(long)]
    output: bool,
    /// Copy every byte, also where Linux could hand on whole pages (tee, splice) of a stream at full speed
    #[arg(long)]
    copy: bool,
    /// Also log every flush
    #[arg(long)]
    verbose: bool,
}

/// Parses the arguments of the process and runs the command.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(run) => {
            let level = match (run.verbose, run.output) {
                (true, _) => LevelFilter::Debug,
                // Telegraf logs every line of an output's child as an error.
                (false, true) => LevelFilter::Warn,
                (false, false) => LevelFilter::Info,
            };
            driver::stderr::start(level);
            ExitCode::from(driver::run::run(run.config, !run.output, !run.copy))
        }
        Command::Check(check) => finish(check.run()),
        Command::Replay(replay) => finish(replay.run()),
        Command::Status(status) => finish(status.run()),
        Command::Resend(resend) => finish(resend.run()),
        Command::Schema(schema) => finish(schema.run()),
    }
}

/// Shows an error with its causes. A reader that has gone away (`| head`) is no error.
fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) => {
            let gone =
                error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe);
            if gone {
                return ExitCode::SUCCESS;
            }
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Reads and checks a configuration; the error lists every problem.
fn load(path: &std::path::Path) -> anyhow::Result<crate::config::Config> {
    use anyhow::Context;
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    crate::config::Config::check(&text, &|name| std::env::var(name).ok()).map_err(|report| {
        let count = report.0.len();
        anyhow::anyhow!("{} has {count} problem{}:\n{report}", path.display(), if count == 1 { "" } else { "s" })
    })
}
