//! `demo`: a made-up month of five computers, and the page that shows it.

use super::pages;
use super::report::{imprint, size};
use super::say::say;
use crate::config::Config;
use crate::driver::jobs::demo;
use crate::driver::jobs::report::{ReportOrder, gather};
use crate::sink::reader::RowReader;
use crate::sink::reader::sqlite::SqliteInquirer;
use crate::sink::sqlite::Sqlite;
use anyhow::Context;
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// What a demo leaves in its folder.
const FILES: [&str; 3] = ["rollup.toml", "summary.db", "report.html"];

#[derive(Args)]
#[command(
    after_help = "Nothing outside of that folder is touched, and no Telegraf or database is needed.\n\nExamples:\n  \
    telegraf-rollup demo\n  \
    telegraf-rollup demo --output /tmp/rollup-demo"
)]
pub struct DemoArgs {
    /// The folder for its files
    #[arg(long, value_name = "FOLDER", default_value = "rollup-demo")]
    output: PathBuf,
}

impl DemoArgs {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let begun = Instant::now();
        let folder = &self.output;
        refuse_foreign(folder)?;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let path = |name: &str| folder.join(name);
        for name in FILES {
            match std::fs::remove_file(path(name)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(e).with_context(|| format!("cannot replace {}", path(name).display()));
                }
                _ => {}
            }
        }
        let database = std::path::absolute(path("summary.db"))?;
        let text = format!(
            "{}\n# Where its rows are, for `telegraf-rollup report --config`.\n[sink]\nurl = 'sqlite://{}'\n",
            demo::CONFIG,
            database.display()
        );
        std::fs::write(path("rollup.toml"), &text).with_context(|| format!("cannot write {}", folder.display()))?;
        let config = Config::check(demo::CONFIG, &|_| None).map_err(|report| anyhow::anyhow!("{report}"))?;
        let mut sink = Sqlite::new(database.clone());
        let lines = demo::write(&config, &mut sink).map_err(|e| anyhow::anyhow!("{e}"))?;
        let mut reader = RowReader::new(Box::new(SqliteInquirer::new(database)));
        let order = ReportOrder { device: None, from: None, to: None };
        let summaries =
            gather(&mut reader, &config.schema, &order, &mut |_, _| ()).map_err(|e| anyhow::anyhow!("{e}"))?;
        drop(reader);
        let page = path("report.html");
        let written = pages::one(&page, &imprint("Five made-up computers", "the demo".to_string()), &summaries)?;
        let hosts = demo::HOSTS.join(", ");
        say!("{lines} lines of {hosts} became rows in {:.1} s.", begun.elapsed().as_secs_f64());
        say!("");
        say!("  the page      {}  ({})", page.display(), size(written));
        say!("  the tables    {}  (SQLite: device_summary_hourly, device_summary_daily)", path("summary.db").display());
        say!("");
        say!(
            "Open the page in a browser and find out: which computer ran hot in the last week? Which one is off at night?"
        );
        say!("Which day had 25 hours? Which sensor has vanished? Which numbers are provisional?");
        say!("");
        say!("The same page again:  telegraf-rollup report --config {}", path("rollup.toml").display());
        say!("Away with it:         {} {}", if cfg!(windows) { "rmdir /s" } else { "rm -r" }, folder.display());
        Ok(ExitCode::SUCCESS)
    }
}

/// Refuses a folder with anything else in it than an earlier demo.
fn refuse_foreign(folder: &Path) -> anyhow::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e).with_context(|| format!("cannot look into {}", folder.display())),
    };
    for entry in entries {
        let name = entry?.file_name();
        let is_ours = FILES.iter().any(|ours| name == *ours);
        anyhow::ensure!(
            is_ours,
            "{} holds {:?}, which is not of a demo: name another folder with --output",
            folder.display(),
            name
        );
    }
    let config = folder.join("rollup.toml");
    let is_demo = std::fs::read_to_string(&config).is_ok_and(|text| text.starts_with(demo::CONFIG));
    let is_empty = FILES.iter().all(|name| !folder.join(name).exists());
    anyhow::ensure!(
        is_demo || is_empty,
        "{} is not the configuration of a demo: name another folder with --output",
        config.display()
    );
    Ok(())
}
