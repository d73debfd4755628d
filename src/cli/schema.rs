//! `schema`: the tables of a configuration, as SQL or made in the sink.

use super::load::{ConfigFile, load};
use super::say::say;
use crate::config::SinkConfig;
use crate::driver::deliver::delivery::make_tables;
use crate::durable::user;
use crate::sink;
use crate::sink::sql::ddl;
use crate::sink::sql::dialect::Dialect;
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

#[derive(Clone, Copy, ValueEnum)]
enum DialectName {
    Sqlite,
    Mysql,
    Mariadb,
}

#[derive(Args)]
#[command(after_help = "`run` makes and completes the tables by itself, unless sink.migrate = \"check\". \
    \n\nExamples:\n  \
    telegraf-rollup schema --config rollup.toml\n  \
    telegraf-rollup schema --config rollup.toml --dialect mariadb | mariadb metrics\n  \
    telegraf-rollup schema --config rollup.toml --apply")]
pub struct SchemaArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// Print the statements (what it does without --apply)
    #[arg(long, conflicts_with = "apply")]
    print: bool,
    /// For which database; without it that of the configured sink
    #[arg(long, value_enum)]
    dialect: Option<DialectName>,
    /// Make the tables in the sink, and add what is missing to those that are there
    #[arg(long, conflicts_with = "dialect")]
    apply: bool,
}

impl SchemaArgs {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let mut config = load(&self.config.path)?;
        if self.apply {
            if let SinkConfig::MySql(mysql) = &mut config.sink {
                // Whoever types this means it.
                mysql.migrate = true;
            }
            if let SinkConfig::Sqlite(path) = &config.sink {
                self.may_make(path)?;
            }
            let mut sink = sink::open::open(&config.sink);
            make_tables(sink.as_mut(), &config.schema)
                .map_err(|e| anyhow::anyhow!("the tables cannot be made: {e}"))?;
            say!("the tables in {} are complete", config.sink.name());
            return Ok(ExitCode::SUCCESS);
        }
        let dialect = match (self.dialect, &config.sink) {
            (Some(DialectName::Sqlite), _) | (None, SinkConfig::Sqlite(_)) => Dialect::Sqlite,
            (Some(DialectName::Mysql), _) | (None, SinkConfig::MySql(_)) => Dialect::MySql,
            (Some(DialectName::Mariadb), _) => Dialect::MariaDb,
        };
        if let (SinkConfig::MySql(mysql), true) = (&config.sink, dialect != Dialect::Sqlite) {
            say!("-- What the user needs: {}\n", ddl::grants(&mysql.user, &mysql.database, mysql.migrate));
        }
        for table in ddl::tables(dialect, &config.schema) {
            for sql in ddl::create_table(dialect, &table) {
                say!("{sql};\n");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
    /// Looks whether a file may be made. What a person makes, often as root, must not keep out the user that runs Telegraf.
    fn may_make(&self, path: &Path) -> anyhow::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let shown = folder.display();
        anyhow::ensure!(
            folder.is_dir(),
            "the folder {shown} does not exist: `run` makes it and the tables in it, as the user that runs Telegraf; to have the \
             tables now, make the folder first and give it to that user"
        );
        if path.exists() {
            return Ok(());
        }
        if let Some(owner) = user::other_owner(folder)? {
            let owner = if owner.chars().all(|c| c.is_ascii_digit()) { format!("'#{owner}'") } else { owner };
            anyhow::bail!(
                "the folder {shown} belongs to another user: run this as that user, `sudo -u {owner} telegraf-rollup schema \
                 --config {} --apply`",
                self.config.path.display()
            );
        }
        Ok(())
    }
}
