//! `report`: the summary tables as a page for people.

use super::load::{ConfigFile, load};
use super::moment;
use super::pages::{self, Written};
use super::progress::ProgressLine;
use super::say::say;
use crate::driver::clock;
use crate::driver::jobs::report::{ReportOrder, gather};
use crate::engine::pattern::Pattern;
use crate::engine::zone::WindowKind;
use crate::report::html::{self, Imprint};
use crate::report::rows::SummaryRows;
use crate::sink::{open, sql::times};
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
#[command(
    after_help = "The page needs nothing but a browser: it works from a disk, in a mail and on paper, and loads nothing. \
    It reads the tables and writes nothing into them; it may run beside `run`, as a user who may read the sink.\n\nExamples:\n  \
    telegraf-rollup report                              rollup-report.html in this folder\n  \
    telegraf-rollup report --output /var/www/rollup/    a page for each device, index.html first\n  \
    telegraf-rollup report --device 'lab-*' --output -  | mail ...\n  \
    telegraf-rollup report --from 2026-10-01 --to 2026-11-01"
)]
pub struct ReportArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// The page; a folder for a page of each device, if it is one or ends in a slash; - is stdout
    #[arg(long, value_name = "FILE", default_value = "rollup-report.html")]
    output: PathBuf,
    /// Only devices whose name matches, as in 'lab-*'; several key tags are joined by ` / `
    #[arg(long, value_name = "GLOB")]
    device: Option<String>,
    /// Charts begin at this time, a date in the zone of the configuration or RFC 3339; without it, 14 days of hours and a year of days
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only rows that start before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// The heading of the page
    #[arg(long, value_name = "TEXT", default_value = "Devices")]
    title: String,
}

impl ReportArgs {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let config = load(&self.config.path)?;
        let zone = &config.schema.zone;
        let date =
            |name: &str, text: &Option<String>| text.as_deref().map(|text| moment::parse(name, text, zone)).transpose();
        let order = ReportOrder {
            device: self.device.as_deref().map(Pattern::new),
            from: date("--from", &self.from)?,
            to: date("--to", &self.to)?,
        };
        if let (Some(from), Some(to)) = (order.from, order.to) {
            anyhow::ensure!(from < to, "--from is not before --to: nothing lies between them");
        }
        let mut reader = open::reader(&config.sink);
        let mut progress = ProgressLine::new("reading devices");
        let summaries = gather(&mut reader, &config.schema, &order, &mut |done, all| progress.show(done, all))
            .map_err(|e| anyhow::anyhow!("{e}"))?;
        progress.end();
        let devices: usize = summaries.iter().map(|summary| summary.devices.len()).sum();
        if devices == 0 {
            match &self.device {
                Some(glob) => anyhow::bail!("no device in {} matches {glob:?}", config.sink.name()),
                None => anyhow::bail!(
                    "there is no row in {} yet: `telegraf-rollup status` says when the first ones are written",
                    config.sink.name()
                ),
            }
        }
        let now = clock::now();
        let made = format!("made {} {}", times::local(zone, WindowKind::Hourly, now), zone.name());
        let imprint = imprint(&self.title, made);
        self.write(&imprint, &summaries)
    }

    fn write(&self, imprint: &Imprint, summaries: &[SummaryRows]) -> anyhow::Result<ExitCode> {
        if self.output.as_os_str() == "-" {
            let page = html::one(imprint, summaries)?;
            std::io::stdout().write_all(page.html.as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        let written = match is_folder(&self.output) {
            true => pages::folder(&self.output, imprint, summaries)?,
            false => pages::one(&self.output, imprint, summaries)?,
        };
        let shown = if is_folder(&self.output) { self.output.join("index.html") } else { self.output.clone() };
        say!("{}: {}", shown.display(), size(written));
        if written.left_out > 0 {
            let left = written.left_out;
            let (noun, verb) = if left == 1 { ("device", "has") } else { ("devices", "have") };
            say!("{left} {noun} {verb} no section of their own there: `--output FOLDER/` makes a page of each");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What the pages of a report say of themselves.
pub fn imprint(title: &str, made: String) -> Imprint {
    Imprint { title: title.to_string(), made, version: env!("CARGO_PKG_VERSION").to_string() }
}

/// Pages and bytes in words.
pub fn size(written: Written) -> String {
    let pages = if written.pages == 1 { "1 page".to_string() } else { format!("{} pages", written.pages) };
    format!("{pages}, {} KiB", written.bytes.div_ceil(1024))
}

/// True if a path names a folder.
fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().to_string_lossy().ends_with(['/', std::path::MAIN_SEPARATOR])
}
