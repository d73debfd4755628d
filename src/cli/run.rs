//! `run`: what Telegraf starts.

use super::load::ConfigFile;
use crate::driver::{run, stderr};
use crate::inspect::snippet::Meant;
use clap::Args;
use log::LevelFilter;
use std::process::ExitCode;

#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    config: ConfigFile,
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
    /// What the arguments ask for, for those who only judge them.
    pub fn meant(self) -> Meant {
        Meant::Run { config: self.config.path, output: self.output }
    }

    /// Runs until stdin ends.
    pub fn run(self) -> ExitCode {
        let level = match (self.verbose, self.output) {
            (true, _) => LevelFilter::Debug,
            // Telegraf logs every line of an output's child as an error.
            (false, true) => LevelFilter::Warn,
            (false, false) => LevelFilter::Info,
        };
        stderr::start(level);
        ExitCode::from(run::run(self.config.path, !self.output, !self.copy))
    }
}
