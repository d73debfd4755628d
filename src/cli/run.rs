//! `run`: what Telegraf starts.

use crate::driver::{run, stderr};
use clap::Args;
use log::LevelFilter;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub struct RunArgs {
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

impl RunArgs {
    /// Runs until stdin ends.
    pub fn run(self) -> ExitCode {
        let level = match (self.verbose, self.output) {
            (true, _) => LevelFilter::Debug,
            // Telegraf logs every line of an output's child as an error.
            (false, true) => LevelFilter::Warn,
            (false, false) => LevelFilter::Info,
        };
        stderr::start(level);
        ExitCode::from(run::run(self.config, !self.output, !self.copy))
    }
}
