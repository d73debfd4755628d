//! `resend`: have everything written again that the state holds.

use super::load::{ConfigFile, load};
use super::moment;
use crate::driver::owner::requests;
use crate::durable::claim::{self, Tenancy};
use anyhow::Context;
use clap::Args;
use std::process::ExitCode;

/// The longest day has 25 hours.
const DAY: i64 = 25 * 3_600 * 1_000_000_000;

#[derive(Args)]
#[command(
    after_help = "For a table that was emptied, or a backup that was restored: every row can be written again, as often as \
    one likes. Rows that the sink has refused are tried at once. The state holds windows for as long as lateness.max lets points come; the oldest day may be incomplete then.\n\nExamples:\n  \
    telegraf-rollup resend --config rollup.toml\n  \
    telegraf-rollup resend --config rollup.toml --from 2026-11-01"
)]
pub struct ResendArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// Only windows that end after this time, and the rest of that day: 2026-11-01 or '2026-11-01 12:00' in the configuration's
    /// zone, or 2026-11-01T12:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
}

impl ResendArgs {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let config = load(&self.config.path)?;
        let from = match &self.from {
            None => i64::MIN,
            Some(text) => moment::parse("--from", text, &config.schema.zone)?,
        };
        // A daily row needs all hours of its day.
        let from = from.saturating_sub(DAY);
        let folder = &config.state_dir;
        anyhow::ensure!(
            folder.join("state.db").exists(),
            "there is no state in {}: nothing has been counted that could be written again; `telegraf-rollup status` says why",
            folder.display()
        );
        requests::ask(folder, requests::Resend { from }).with_context(|| {
            format!("cannot write to {}: run this as the user that runs Telegraf", folder.display())
        })?;
        match claim::tenancy(folder) {
            Tenancy::Owned => println!(
                "asked: the process that runs with this state begins within a second; all is written when `telegraf-rollup status` says \
                 that no window waits"
            ),
            Tenancy::Free => {
                println!("asked: nothing runs with this state now; everything is written again when Telegraf starts")
            }
            Tenancy::Unknown => {
                println!("asked: the process that runs with this state begins within a second, or when it starts")
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
