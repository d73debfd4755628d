//! What `setup` is going to do: everything is looked at before anything is changed.

use super::account::{ServiceUser, Telegraf};
use super::difference::difference;
use super::heal::{self, Healing};
use super::manifest::{Made, Manifest, Print};
use super::tree::{Barrier, Holder, ROOT, Tree};
use super::zone;
use crate::config::{Config, SinkConfig};
use crate::engine::zone::Zone;
use anyhow::{Context, bail};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Where the program lies for Telegraf: the snippet names this path.
pub const PROGRAM: &str = "/usr/bin/telegraf-rollup";
pub const CONFIG: &str = "/etc/telegraf-rollup/rollup.toml";
const FOLDER: &str = "/etc/telegraf-rollup";
/// The name of the snippet in Telegraf's folder.
const SNIPPET: &str = "telegraf-rollup.conf";
const SAMPLE: &str = include_str!("../../../telegraf/rollup.toml");
const PROCESSOR: &str = include_str!("../../../telegraf/processor.conf");
/// The line of the sample that says in which zone days begin.
const ZONE_LINE: &str = "timezone = \"UTC\"\n";

/// One thing to do.
pub enum Step {
    Folder {
        path: PathBuf,
        owner: Holder,
        whose: String,
        mode: u32,
    },
    File {
        path: PathBuf,
        content: Cow<'static, [u8]>,
        mode: u32,
        what: String,
    },
    /// A file that setup has made, and nobody has edited.
    Renew {
        path: PathBuf,
        content: Cow<'static, [u8]>,
        mode: u32,
        what: String,
    },
    /// What root has left in the state directory.
    Heal {
        path: PathBuf,
        account: ServiceUser,
        given: usize,
    },
    /// Nothing to do.
    Already(String),
    /// Not touched, and why.
    Left(String),
}

/// All that is to be done, and what a person does then.
pub struct Plan {
    pub steps: Vec<Step>,
    pub config: Config,
    pub telegraf: Telegraf,
    /// The configuration is ours, not one that was there.
    pub is_new: bool,
    /// Telegraf will run the program.
    pub is_wired: bool,
}

impl Step {
    /// The step in words: what will be done, or was.
    pub fn line(&self, tree: &Tree, is_done: bool) -> String {
        let made = if is_done { "made" } else { "would make" };
        match self {
            Step::Folder { path, whose, mode, .. } => {
                format!("{made} the folder {} ({whose}, {mode:04o})", tree.shown(path))
            }
            Step::File { path, what, mode, .. } => format!("{made} {} ({what}; root, {mode:04o})", tree.shown(path)),
            Step::Renew { path, what, .. } => {
                let renewed = if is_done { "replaced" } else { "would replace" };
                format!("{renewed} {} ({what}): setup had made it from another version", tree.shown(path))
            }
            Step::Heal { path, account, given } => {
                let gave = if is_done { "gave" } else { "would give" };
                let things = if *given == 1 { "1 thing" } else { &format!("{given} things") };
                format!("{gave} {things} that root has left in {} to {}", tree.shown(path), account.name)
            }
            Step::Already(text) | Step::Left(text) => text.clone(),
        }
    }

    /// True if there is something to do.
    pub fn changes(&self) -> bool {
        !matches!(self, Step::Already(_) | Step::Left(_))
    }

    /// Does it.
    ///
    /// # Errors
    /// It cannot be done; what has been done before stays.
    pub fn perform(&self, tree: &Tree, manifest: &mut Manifest) -> anyhow::Result<()> {
        match self {
            Step::Folder { path, owner, mode, .. } if path == Path::new(FOLDER) => {
                // The manifest lies in it.
                tree.make_folder(path, *owner, *mode)?;
                manifest.note(tree, Made::Folder(path.clone()))
            }
            Step::Folder { path, owner, mode, .. } => {
                manifest.note(tree, Made::Folder(path.clone()))?;
                tree.make_folder(path, *owner, *mode)
            }
            Step::File { path, content, mode, .. } => {
                manifest.note(tree, Made::File(path.clone(), Print::of(content)))?;
                tree.make_file(path, content, *mode)
            }
            Step::Renew { path, content, mode, .. } => {
                let made = Made::File(path.clone(), Print::of(content));
                manifest.note(tree, made.clone())?;
                tree.replace(path, content, *mode)?;
                manifest.settle(tree, &made)
            }
            Step::Heal { path, account, .. } => heal::heal(tree, path, account, true).map(|_| ()),
            Step::Already(_) | Step::Left(_) => Ok(()),
        }
    }
}

/// Looks at everything and says what is to be done.
///
/// # Errors
/// Something is not clear: the text says what, all of it at once.
pub fn plan(tree: &Tree, asked: Option<&str>) -> anyhow::Result<Plan> {
    let mut unclear = Vec::new();
    let mut steps = Vec::new();
    let manifest = Manifest::read(tree)?;
    let telegraf = Telegraf::find(tree, asked).map_err(|e| unclear.push(format!("{e:#}"))).ok();
    let mut or_unclear = |result: anyhow::Result<()>| result.unwrap_or_else(|e| unclear.push(format!("{e:#}")));

    or_unclear(folders(tree, Path::new(FOLDER), (ROOT, "root"), 0o755, &mut steps));
    let (mut config, mut is_new) = (None, false);
    or_unclear(configuration(tree, &mut steps).map(|(found, fresh)| (config, is_new) = (Some(found), fresh)));
    if let Some(telegraf) = &telegraf {
        or_unclear(readable(tree, Path::new(CONFIG), &telegraf.account));
    }
    if let (Some(config), Some(telegraf)) = (&config, &telegraf) {
        or_unclear(state(tree, &config.state_dir, &telegraf.account, &mut steps));
    }
    or_unclear(program(tree, &manifest, &mut steps));
    let mut is_wired = false;
    if let Some(telegraf) = &telegraf {
        or_unclear(snippet(tree, telegraf, &mut steps).map(|wired| is_wired = wired));
    }
    match (config, telegraf) {
        (Some(config), Some(telegraf)) if unclear.is_empty() => Ok(Plan { steps, config, telegraf, is_new, is_wired }),
        _ => bail!("nothing has been changed, because this is not clear:\n  - {}", unclear.join("\n  - ")),
    }
}

/// Makes a folder, and those above it that are missing. Only the last one is the owner's; an existing one stays as it is.
fn folders(tree: &Tree, path: &Path, owner: (Holder, &str), mode: u32, steps: &mut Vec<Step>) -> anyhow::Result<()> {
    if let Some(found) = tree.look(path)? {
        anyhow::ensure!(tree.is_folder(path)?, "{} is not a folder", tree.shown(path));
        steps.push(Step::Already(format!(
            "already there: the folder {} (user {}, {:04o})",
            tree.shown(path),
            found.st_uid,
            found.st_mode & 0o7777
        )));
        return Ok(());
    }
    let mut above: Vec<&Path> = path.ancestors().skip(1).filter(|above| above.parent().is_some()).collect();
    above.reverse();
    for folder in above {
        match tree.look(folder)? {
            Some(_) => anyhow::ensure!(tree.is_folder(folder)?, "{} is not a folder", tree.shown(folder)),
            None => {
                let is_planned = steps.iter().any(|step| matches!(step, Step::Folder { path, .. } if path == folder));
                if !is_planned {
                    steps.push(Step::Folder { path: folder.into(), owner: ROOT, whose: "root".into(), mode: 0o755 });
                }
            }
        }
    }
    steps.push(Step::Folder { path: path.into(), owner: owner.0, whose: owner.1.into(), mode });
    Ok(())
}

/// The configuration that is there, or the sample with the system's zone; true if it is the sample.
fn configuration(tree: &Tree, steps: &mut Vec<Step>) -> anyhow::Result<(Config, bool)> {
    let path = Path::new(CONFIG);
    let shown = tree.shown(path);
    let (text, is_new) = match tree.read(path)? {
        Some(bytes) => (crate::text::decode(&bytes).with_context(|| format!("cannot read {shown}"))?, false),
        None => (sample(zone::of_system(tree).as_ref()), true),
    };
    let config = Config::check(&text, &|name| std::env::var(name).ok()).map_err(|report| {
        let count = report.0.len();
        anyhow::anyhow!(
            "{shown} has {count} problem{}; mend it, or move it away to get the sample:\n{report}",
            if count == 1 { "" } else { "s" }
        )
    })?;
    let zone = config.schema.zone.name();
    if is_new {
        steps.push(Step::File {
            path: path.into(),
            content: Cow::Owned(text.into_bytes()),
            mode: 0o644,
            what: format!("the configuration: rows in SQLite, days of {zone}"),
        });
    } else {
        steps.push(Step::Already(format!("already there: {shown} (days of {zone}); it stays as it is")));
    }
    Ok((config, is_new))
}

/// What is there must be of use for the user of Telegraf.
fn readable(tree: &Tree, path: &Path, account: &ServiceUser) -> anyhow::Result<()> {
    let (name, group) = (&account.name, &account.group);
    match tree.barrier(path, account.owner.user, &account.groups)? {
        None => Ok(()),
        Some(Barrier::Folder(folder)) => {
            let folder = tree.shown(&folder);
            bail!("{name} cannot enter {folder}: type `chmod o+x {folder}`")
        }
        Some(Barrier::Itself) => {
            let shown = tree.shown(path);
            bail!("{name} cannot read {shown}: type `chgrp {group} {shown} && chmod g+r {shown}`")
        }
    }
}

/// The sample for Linux with a zone.
fn sample(zone: Option<&Zone>) -> String {
    match zone {
        Some(zone) => SAMPLE.replacen(ZONE_LINE, &format!("timezone = \"{}\"\n", zone.name()), 1),
        None => SAMPLE.to_string(),
    }
}

fn state(tree: &Tree, path: &Path, account: &ServiceUser, steps: &mut Vec<Step>) -> anyhow::Result<()> {
    let shown = path.display();
    let is_plain = path.is_absolute() && !path.to_string_lossy().contains(char::is_control);
    anyhow::ensure!(
        is_plain,
        "state_dir = \"{shown}\" is not a path from the root on, as \"/var/lib/telegraf-rollup\" is"
    );
    let names = path.components().filter(|part| matches!(part, std::path::Component::Normal(_))).count();
    anyhow::ensure!(names > 1, "state_dir = \"{shown}\" is a folder of the system: name one of its own");
    if let Some(open) = tree.open_to_others(path, account.owner.user)? {
        bail!(
            "other users may write to {}, which lies above state_dir = \"{shown}\": choose another place, as \
             \"/var/lib/telegraf-rollup\" is, or take that right from them",
            tree.shown(&open)
        );
    }
    let owner = (account.owner, &*format!("{}:{}", account.name, account.group));
    folders(tree, path, owner, 0o750, steps)?;
    let Healing { given, left } = heal::heal(tree, path, account, false)?;
    if !given.is_empty() {
        steps.push(Step::Heal { path: path.into(), account: account.clone(), given: given.len() });
    }
    for name in left {
        steps.push(Step::Left(format!("left alone in {}: {name}", tree.shown(path))));
    }
    Ok(())
}

fn program(tree: &Tree, manifest: &Manifest, steps: &mut Vec<Step>) -> anyhow::Result<()> {
    let path = Path::new(PROGRAM);
    let shown = tree.shown(path);
    let ours = std::fs::read("/proc/self/exe").context("cannot read this program itself")?;
    let what = format!("this program, version {}", env!("CARGO_PKG_VERSION"));
    match tree.read(path)? {
        Some(found) if found == ours => steps.push(Step::Already(format!("already there: {shown} ({what})"))),
        Some(found) if manifest.has_made(path, &found) => {
            steps.push(Step::Renew { path: path.into(), content: Cow::Owned(ours), mode: 0o755, what });
        }
        Some(_) => {
            let here = std::env::current_exe().unwrap_or_default();
            steps.push(Step::Left(format!(
                "left alone: {shown} is another program than this one ({}), and Telegraf will run that; to replace it: `install -m 755 \
                 {} {shown}`",
                here.display(),
                here.display()
            )));
        }
        None => {
            let above = path.parent().unwrap_or(Path::new("/"));
            if !tree.is_folder(above)? {
                folders(tree, above, (ROOT, "root"), 0o755, steps)?;
            }
            steps.push(Step::File { path: path.into(), content: Cow::Owned(ours), mode: 0o755, what });
        }
    }
    Ok(())
}

/// The snippet for Telegraf; true if Telegraf will run the program.
fn snippet(tree: &Tree, telegraf: &Telegraf, steps: &mut Vec<Step>) -> anyhow::Result<bool> {
    let home = Path::new("/etc/telegraf");
    let (folder, is_read) = telegraf.snippets();
    let path = folder.join(SNIPPET);
    let shown = tree.shown(&path);
    if !tree.is_folder(&folder)? && !tree.is_folder(home)? {
        steps.push(Step::Left(format!(
            "no snippet: Telegraf is not here (there is no {}); run this again when it is",
            tree.shown(home)
        )));
        return Ok(false);
    }
    if !is_read {
        steps.push(Step::Left(format!(
            "no snippet: Telegraf is started without --config-directory and reads no {}; add `--config-directory {}` to its command \
             line and run this again, or put the table of `processor.conf` at the end of its telegraf.conf",
            tree.shown(&folder),
            folder.display()
        )));
        return Ok(false);
    }
    match tree.read(&path)? {
        Some(found) if found == PROCESSOR.as_bytes() => {
            steps.push(Step::Already(format!("already there: {shown} (Telegraf's snippet)")));
            return Ok(true);
        }
        Some(found) => {
            let mut text = format!("left alone: {shown} is not as setup would write it (- yours, + ours):");
            for line in difference(&String::from_utf8_lossy(&found), PROCESSOR) {
                text += &format!("\n    {line}");
            }
            steps.push(Step::Left(text));
            return Ok(true);
        }
        None => {}
    }
    let mut others = vec![home.join("telegraf.conf")];
    let snippets = tree.list(&folder)?.into_iter().map(|name| folder.join(name));
    others.extend(snippets.filter(|path| path.extension().is_some_and(|ending| ending == "conf")));
    for other in others {
        let text = tree.text(&other);
        let runs = |line: &str| !line.trim_start().starts_with('#') && line.contains("telegraf-rollup");
        if text.lines().any(runs) {
            let other = tree.shown(&other);
            steps.push(Step::Left(format!("no second snippet: {other} runs the program already")));
            return Ok(true);
        }
    }
    if !tree.is_folder(&folder)? {
        folders(tree, &folder, (ROOT, "root"), 0o755, steps)?;
    }
    steps.push(Step::File {
        path,
        content: Cow::Borrowed(PROCESSOR.as_bytes()),
        mode: 0o644,
        what: "Telegraf's snippet".into(),
    });
    Ok(true)
}

/// The file with the rows, or the name of the server.
pub fn rows(tree: &Tree, config: &Config) -> String {
    match &config.sink {
        SinkConfig::Sqlite(path) => tree.shown(path),
        other => other.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sample has one line with the zone, and stays valid with another one in it.
    #[test]
    fn the_sample_takes_the_zone_of_the_system() {
        assert_eq!(SAMPLE.matches(ZONE_LINE).count(), 1);
        let seoul = Zone::named("Asia/Seoul").expect("a zone");
        let config = Config::check(&sample(Some(&seoul)), &|_| None).unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(config.schema.zone.name(), "Asia/Seoul");
        assert_eq!(sample(None), SAMPLE);
    }

    #[test]
    fn the_snippet_names_the_paths_that_setup_makes() {
        assert!(PROCESSOR.contains(&format!("command = [\"{PROGRAM}\", \"run\", \"--config\", \"{CONFIG}\"]")));
        let config = crate::places::config();
        assert_eq!(config, Path::new(CONFIG));
    }
}
