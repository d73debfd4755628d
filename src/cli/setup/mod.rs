//! `setup`: puts everything in place for Telegraf on Linux, and takes it back.
//!
//! [`plan`](self) looks at everything first; if something is not clear, nothing is changed. Then one step after the other is done and
//! told. Deliberately absent: installing Telegraf, making accounts, reloading Telegraf (the command is printed), and changing a file
//! that somebody else has made.

#[cfg(target_os = "linux")]
mod account;
#[cfg(target_os = "linux")]
mod difference;
#[cfg(target_os = "linux")]
mod heal;
#[cfg(target_os = "linux")]
mod manifest;
#[cfg(target_os = "linux")]
mod plan;
#[cfg(target_os = "linux")]
mod remove;
#[cfg(target_os = "linux")]
mod tree;
#[cfg(target_os = "linux")]
mod zone;

use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
#[command(after_help = "It makes, each only if it is missing:\n  \
    /etc/telegraf-rollup/rollup.toml                the configuration, with the system's zone\n  \
    /var/lib/telegraf-rollup                        state_dir, for the user of Telegraf\n  \
    /usr/bin/telegraf-rollup                        this program\n  \
    /etc/telegraf/telegraf.d/telegraf-rollup.conf   Telegraf's snippet, last of all\n\n\
    A file that is there is never changed. A program that setup has put there is replaced by a newer one. What root has left in the \
    state directory (`telegraf --once`) is given to the user of Telegraf. If something is not clear, nothing is done at all. It ends \
    with what to type next.\n\n\
    --remove takes back what setup has made, the snippet first, and names what stays: what was edited, the state, the rows.\n\n\
    Exit codes: 0 done, or nothing to do; 1 not done, or not all of it.\n\n\
    Examples:\n  \
    sudo target/release/telegraf-rollup setup --dry-run\n  \
    sudo target/release/telegraf-rollup setup && sudo systemctl reload telegraf\n  \
    sudo telegraf-rollup setup --remove")]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux is set up"))]
pub struct SetupArgs {
    /// The user that Telegraf runs as; without it, that of the running Telegraf, of its unit, or `telegraf`
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only print what would be done
    #[arg(long)]
    dry_run: bool,
    /// Take back what setup has made
    #[arg(long, conflicts_with = "user")]
    remove: bool,
    /// Work in the system below this folder, with its users: for images
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

#[cfg(not(target_os = "linux"))]
impl SetupArgs {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        anyhow::bail!(
            "setup works on Linux. On Windows: put telegraf-rollup.exe into C:\\Program Files\\telegraf-rollup, \
             rollup-windows-hwinfo.toml as {} and processor-windows.conf into telegraf.d beside telegraf.conf; then \
             `Restart-Service telegraf`. The checklist is in telegraf/README.md",
            crate::places::config().display()
        )
    }
}

#[cfg(target_os = "linux")]
impl SetupArgs {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let is_root = rustix::process::geteuid().is_root();
        anyhow::ensure!(
            is_root || self.dry_run,
            "setup needs root: type `sudo {} setup`, or `--dry-run` to see what it would do",
            std::env::current_exe().unwrap_or_default().display()
        );
        let tree = tree::Tree::below(&self.root)?;
        if self.remove { self.take_back(&tree) } else { self.put_in_place(&tree) }
    }

    fn put_in_place(&self, tree: &tree::Tree) -> anyhow::Result<ExitCode> {
        let plan = plan::plan(tree, self.user.as_deref())?;
        let telegraf = &plan.telegraf;
        tell(&format!("Telegraf runs as {}: {}", telegraf.account.name, telegraf.known_by));
        let mut manifest = manifest::Manifest::read(tree)?;
        let mut done: Vec<String> = Vec::new();
        for step in &plan.steps {
            if step.changes() && !self.dry_run {
                step.perform(tree, &mut manifest).map_err(|error| {
                    let so_far = if done.is_empty() { "nothing".to_string() } else { done.join("\n  - ") };
                    anyhow::anyhow!(
                        "{error:#}\nWhat was done so far:\n  - {so_far}\nRun setup again when that is corrected: it goes on from here. \
                         `setup --remove` takes it back."
                    )
                })?;
                done.push(step.line(tree, true));
            }
            tell(&format!("  {}", step.line(tree, !self.dry_run)));
        }
        if self.dry_run {
            tell("Nothing has been changed (--dry-run).");
            return Ok(ExitCode::SUCCESS);
        }
        if done.is_empty() {
            tell("Nothing to do: everything is in place.");
        }
        next(tree, &plan);
        Ok(ExitCode::SUCCESS)
    }

    fn take_back(&self, tree: &tree::Tree) -> anyhow::Result<ExitCode> {
        let mut removal = remove::Removal::default();
        let result = remove::remove(tree, !self.dry_run, &mut removal);
        if removal.lines.is_empty() && result.is_ok() && removal.running.is_empty() {
            tell("Nothing to take back: setup has made nothing here that is still as it was made.");
        }
        removal.lines.iter().for_each(|line| tell(&format!("  {line}")));
        result.map_err(|error| {
            anyhow::anyhow!("{error:#}\nWhat was done so far stands above; run this again when that is corrected")
        })?;
        if !removal.stays.is_empty() {
            tell("This stays, with the command that removes it:");
            removal.stays.iter().for_each(|line| tell(&format!("  {line}")));
        }
        if !removal.running.is_empty() {
            let pids: Vec<String> = removal.running.iter().map(u32::to_string).collect();
            tell(&format!(
                "NOT FINISHED: Telegraf still runs the program (process {}), and would drop metrics without it. Now reload Telegraf \
                 (`systemctl reload telegraf`, or `kill -HUP` of its process), then run `setup --remove` again.",
                pids.join(", ")
            ));
            return Ok(ExitCode::FAILURE);
        }
        if self.dry_run {
            tell("Nothing has been changed (--dry-run).");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What a person does next, and what comes when.
#[cfg(target_os = "linux")]
fn next(tree: &tree::Tree, plan: &plan::Plan) {
    let telegraf = &plan.telegraf;
    let account = &telegraf.account;
    tell("Next:");
    if plan.is_wired {
        let reload = match telegraf.processes.first() {
            _ if !tree.is_live() => "start that system; its Telegraf reads the snippet".to_string(),
            Some(process) if process.is_service => "systemctl reload telegraf".to_string(),
            Some(process) => format!("kill -HUP {}        (Telegraf reads its configuration again)", process.pid),
            None if telegraf.has_unit => "systemctl restart telegraf".to_string(),
            None => "start Telegraf".to_string(),
        };
        tell(&format!("  {reload}"));
    }
    let at = tree.shown(std::path::Path::new(plan::CONFIG));
    if tree.is_live() {
        tell("  telegraf-rollup check         looks at the configuration, the database and the rights");
        tell("  telegraf-rollup status        says what was counted and written");
    }
    let every = plan.config.flush.every / crate::engine::zone::SECOND;
    tell(&format!(
        "The first row comes within {every} s after the first line that counts, in {}",
        plan::rows(tree, &plan.config)
    ));
    if plan.is_new {
        tell(&format!(
            "To write to MySQL instead, set sink.url in {at}, and put the password into a file:\n  install -m 640 -o root -g {} \
             /dev/stdin /etc/telegraf-rollup/mysql.password",
            account.group
        ));
    }
}

/// Prints a line. A reader that has gone away stops nothing: what is half done would be worse than what nobody reads.
#[cfg(target_os = "linux")]
fn tell(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}
