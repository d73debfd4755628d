//! `schema`: the tables of a configuration, as SQL or made in the sink.

use super::load::load;
use super::say::say;
use crate::config::SinkConfig;
use crate::driver::deliver::delivery::make_tables;
use crate::sink;
use crate::sink::sql::ddl;
use crate::sink::sql::dialect::Dialect;
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::PathBuf;
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
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
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
        let mut config = load(&self.config)?;
        if self.apply {
            if let SinkConfig::MySql(mysql) = &mut config.sink {
                // Whoever types this means it.
                mysql.migrate = true;
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
}
