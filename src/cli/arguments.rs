//! Arguments -> one command -> exit code.

use super::{check, demo, manual, misunderstood, replay, report, resend, run, schema, setup, status};
use crate::inspect::snippet::Meant;
use clap::{CommandFactory, Parser, Subcommand};
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
        telegraf-rollup setup                                        put everything in place for Telegraf (Linux)"
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
        A bad configuration, a dead database or a full disk never stop the lines: the log (stderr) says what is wrong. \
        It ends when its input does. SIGUSR1 has the rows written now; no other signal does anything. At a terminal, Ctrl-C twice ends it.")]
    Run(run::RunArgs),
    /// Judge everything before `run` does: configuration, files, sink, Telegraf's snippet; explain which column takes a line
    Check(check::CheckArgs),
    /// Put everything in place for Telegraf on this machine, or take it back (Linux, as root)
    Setup(setup::SetupArgs),
    /// Read line protocol from a file and print the rows it makes; touches neither state nor sink
    Replay(replay::ReplayArgs),
    /// Make a made-up month of five computers and a page that shows it: the first thing to try
    Demo(demo::DemoArgs),
    /// Make a page of HTML with charts of the summary tables
    Report(report::ReportArgs),
    /// Show what the running process says of itself: flushes, what waits, what was set aside
    Status(status::StatusArgs),
    /// Have everything written again that the state holds (a table was emptied, a backup restored)
    Resend(resend::ResendArgs),
    /// Print the statements that make the tables, or make them
    Schema(schema::SchemaArgs),
    /// Print what a shell needs to complete commands and flags
    Completions(manual::CompletionsArgs),
    /// Print the page of the manual, or write the pages of all commands
    Man(manual::ManArgs),
}

/// Parses the arguments of the process and runs the command.
pub fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return misunderstood::answer(&error),
    };
    match command {
        Command::Run(run) => run.run(),
        Command::Check(check) => finish(check.run(understand)),
        Command::Replay(replay) => finish(replay.run()),
        Command::Demo(demo) => finish(demo.run()),
        Command::Report(report) => finish(report.run()),
        Command::Status(status) => finish(status.run()),
        Command::Resend(resend) => finish(resend.run()),
        Command::Schema(schema) => finish(schema.run()),
        Command::Completions(completions) => finish(completions.run(Cli::command())),
        Command::Man(man) => finish(man.run(Cli::command())),
        Command::Setup(setup) => finish(setup.run()),
    }
}

/// Reads arguments of this program, as they stand in Telegraf's snippet behind its name.
fn understand(arguments: &[String]) -> Result<Meant, String> {
    let arguments = std::iter::once("telegraf-rollup").chain(arguments.iter().map(String::as_str));
    match Cli::try_parse_from(arguments) {
        Ok(Cli { command: Command::Run(run) }) => Ok(run.meant()),
        Ok(_) => Ok(Meant::Another),
        Err(error) if !error.use_stderr() => Ok(Meant::Another),
        Err(error) => Err(misunderstood::reason(&error)),
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
