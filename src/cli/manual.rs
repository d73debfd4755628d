//! `completions` and `man`: what shells and readers of manuals want, made from the definition of the commands.

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    telegraf-rollup completions bash > /usr/share/bash-completion/completions/telegraf-rollup\n  \
    telegraf-rollup completions zsh > /usr/share/zsh/vendor-completions/_telegraf-rollup\n  \
    telegraf-rollup completions powershell >> $PROFILE")]
pub struct CompletionsArgs {
    /// The shell that completes
    #[arg(value_enum)]
    shell: Shell,
}

impl CompletionsArgs {
    /// Prints the script for a shell.
    pub fn run(&self, mut program: Command) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        let name = program.get_name().to_string();
        clap_complete::generate(self.shell, &mut program, name, &mut script);
        std::io::stdout().write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    telegraf-rollup man | man -l -\n  \
    telegraf-rollup man --output /usr/local/share/man/man1")]
pub struct ManArgs {
    /// A folder for the pages of all commands; without it the page of the program goes to stdout
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

impl ManArgs {
    /// Prints a page of the manual, or writes all of them.
    pub fn run(&self, program: Command) -> anyhow::Result<ExitCode> {
        match &self.output {
            None => {
                let mut page = Vec::new();
                clap_mangen::Man::new(program).render(&mut page)?;
                std::io::stdout().write_all(&page)?;
            }
            Some(folder) => {
                std::fs::create_dir_all(folder)
                    .and_then(|()| clap_mangen::generate_to(program, folder))
                    .with_context(|| format!("cannot write the pages into {}", folder.display()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
