//! Arguments that cannot be understood, where stdin is no terminal: the lines pass all the same.
//!
//! Telegraf starts a child that ends again and again, and drops every metric meanwhile: a mistyped flag in its snippet must not
//! cost the raw stream. So the lines go from stdin to stdout byte for byte, stderr says at once and every minute what is wrong, and
//! the exit code is that of wrong arguments when the input ends. A person who pipes into a mistyped command gets the same.
//! At a terminal, and for `--help` and `--version`, nothing is read.

use crate::driver::{run, stderr};
use clap::error::ErrorKind;
use log::LevelFilter;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

/// The exit code of wrong arguments, as the command line library has it.
const EXIT_CODE: u8 = 2;
/// So much of the arguments is shown, in characters.
const SHOWN_MAX: usize = 300;

/// Answers arguments that are no command. Returns when the input has ended; does not return where nothing is to be read.
pub fn answer(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || std::io::stdin().is_terminal() {
        error.exit();
    }
    stderr::start(LevelFilter::Info);
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    // Whoever has typed it wants nothing on stdout: Telegraf would write every line of an output's child into its log.
    let forward = !arguments.iter().any(|argument| argument == "--output");
    let lines = explain(error, &arguments);
    run::pass(forward, || lines.iter().for_each(|line| log::error!("{line}")));
    ExitCode::from(EXIT_CODE)
}

/// What is wrong, what becomes of the lines, and what to do.
fn explain(error: &clap::Error, arguments: &[OsString]) -> [String; 3] {
    let shown: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    let shown: String = format!("telegraf-rollup {}", shown.join(" ")).trim_end().chars().take(SHOWN_MAX).collect();
    [
        format!("the arguments cannot be understood: {}", reason(error)),
        format!("all lines pass through and NOTHING IS COUNTED until this is corrected: `{shown}`"),
        "Telegraf's snippet needs command = [\"telegraf-rollup\", \"run\", \"--config\", FILE], each argument a string of its own; \
         `telegraf-rollup --help` shows all commands"
            .to_string(),
    ]
}

/// What the library says is wrong, in one line and without the usage.
pub fn reason(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "there is no command".to_string();
    }
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty() && !line.starts_with("For more information")).collect();
    lines.join(" ").trim_start_matches("error: ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Command;

    fn explained(arguments: &[&str]) -> [String; 3] {
        let run = Command::new("run").arg(clap::Arg::new("config").long("config").required(true));
        let command =
            Command::new("telegraf-rollup").subcommand(run).subcommand_required(true).arg_required_else_help(true);
        let error = command.try_get_matches_from([&["telegraf-rollup"], arguments].concat()).expect_err("wrong");
        explain(&error, &arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_wrong_is_said_in_short_lines() {
        let lines = explained(&["--config", "/etc/rollup.toml"]);
        assert!(lines[0].contains("unexpected argument '--config' found"), "{lines:?}");
        assert!(lines[1].contains("`telegraf-rollup --config /etc/rollup.toml`"), "{lines:?}");
        let lines = explained(&["run"]);
        assert!(lines[0].contains("were not provided: --config <config>"), "{lines:?}");
        assert!(explained(&["rnu"])[0].contains("unrecognized subcommand 'rnu'"));
        let lines = explained(&[]);
        assert!(lines[0].ends_with("there is no command") && lines[1].ends_with("`telegraf-rollup`"), "{lines:?}");
        let long = explained(&["run", &"x".repeat(100_000)]);
        assert!(long[1].len() < 500 && !long[0].contains("Usage"), "{} bytes", long[1].len());
    }
}
