//! `setup --remove`: takes back what setup has made, the snippet first, and names what stays.
//!
//! What has been edited since is its editor's. Rows and state are never removed: the commands for that are printed.

use super::manifest::{MANIFEST, Made, Manifest, Print};
use super::plan::{CONFIG, PROGRAM};
use super::tree::Tree;
use crate::config::{Config, SinkConfig};
use crate::sink::sql::dialect;
use std::path::{Path, PathBuf};

/// What there is to know at the end.
#[derive(Default)]
pub struct Removal {
    /// What was taken back, or would be, one line each.
    pub lines: Vec<String>,
    /// What stays, each with the command that removes it.
    pub stays: Vec<String>,
    /// Processes that run the program: it stays until they have ended.
    pub running: Vec<u32>,
}

/// Takes back what setup has made, if `for_real`.
///
/// # Errors
/// Something cannot be removed; what was taken back before is no longer in the manifest.
pub fn remove(tree: &Tree, for_real: bool, removal: &mut Removal) -> anyhow::Result<()> {
    let mut manifest = Manifest::read(tree)?;
    let config = config(tree);
    let made: Vec<Made> = manifest.0.iter().rev().cloned().collect();
    let home = Path::new(MANIFEST).parent().unwrap_or(Path::new("/"));
    for made in &made {
        let (path, shown) = (made.path(), tree.shown(made.path()));
        if path == home {
            // The manifest lies in it.
            continue;
        }
        match made {
            Made::File(_, print) => match tree.read(path)? {
                None => {}
                Some(content) if Print::of(&content) == *print => {
                    if path == Path::new(PROGRAM) {
                        removal.running = running(&content, path, tree);
                        if !removal.running.is_empty() {
                            return Ok(());
                        }
                    }
                    take(tree, path, "", for_real, removal)?;
                }
                Some(_) if manifest.0.iter().filter(|other| other.path() == path).count() > 1 => {}
                Some(_) => removal.stays.push(format!("{shown} has been edited: rm {shown}")),
            },
            Made::Folder(_) => {
                if tree.is_folder(path)? && tree.list(path)?.is_empty() {
                    take(tree, path, "the folder ", for_real, removal)?;
                }
            }
        }
        if for_real {
            manifest.forget(tree, path)?;
        }
    }
    removal.stays.extend(config.iter().flat_map(|config| kept(tree, config)));
    if made.is_empty() {
        return Ok(());
    }
    if !for_real {
        removal.lines.push(format!("would remove the folder {}, if nothing else is in it", tree.shown(home)));
        return Ok(());
    }
    let made_home = manifest.0.iter().any(|made| made.path() == home);
    tree.remove(Path::new(MANIFEST))?;
    if made_home && tree.remove(home)? {
        removal.lines.push(format!("removed the folder {}", tree.shown(home)));
    } else if made_home && tree.is_folder(home)? {
        let shown = tree.shown(home);
        removal.stays.push(format!("{shown} holds other files: rm -r {shown}"));
    }
    Ok(())
}

fn take(tree: &Tree, path: &Path, kind: &str, for_real: bool, removal: &mut Removal) -> anyhow::Result<()> {
    let shown = tree.shown(path);
    if !for_real {
        removal.lines.push(format!("would remove {kind}{shown}"));
    } else if tree.remove(path)? {
        removal.lines.push(format!("removed {kind}{shown}"));
    }
    Ok(())
}

/// The configuration, if it can be read: it says where state and rows are.
fn config(tree: &Tree) -> Option<Config> {
    let text = crate::text::decode(&tree.read(Path::new(CONFIG)).ok()??).ok()?;
    Config::check(&text, &|name| std::env::var(name).ok()).ok()
}

/// State and rows.
fn kept(tree: &Tree, config: &Config) -> Vec<String> {
    let mut kept = Vec::new();
    let state = tree.shown(&config.state_dir);
    if tree.list(&config.state_dir).is_ok_and(|names| !names.is_empty()) {
        kept.push(format!("{state} holds the state: rm -r {state}"));
    }
    match &config.sink {
        SinkConfig::Sqlite(path) => {
            let shown = tree.shown(path);
            if tree.look(path).is_ok_and(|found| found.is_some()) {
                kept.push(format!("{shown} holds the rows: rm {shown} {shown}-wal {shown}-shm"));
            }
        }
        mysql => {
            let tables = config.schema.summaries.iter().flat_map(|summary| {
                let rows = summary.windows.iter().map(|kind| dialect::row_table_name(summary, *kind));
                rows.chain([dialect::partial_table_name(summary)])
            });
            let tables: Vec<String> = tables.collect();
            kept.push(format!("the rows, in {}: DROP TABLE {}", mysql.name(), tables.join(", ")));
        }
    }
    kept
}

/// Other processes that run the program of a path.
fn running(content: &[u8], path: &Path, tree: &Tree) -> Vec<u32> {
    use std::os::unix::fs::MetadataExt;
    let Ok(Some(found)) = tree.look(path) else { return Vec::new() };
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let exe: PathBuf = entry.path().join("exe");
        let is_it = std::fs::metadata(&exe).is_ok_and(|exe| {
            (exe.dev(), exe.ino()) == (found.st_dev, found.st_ino) && exe.len() == content.len() as u64
        });
        if is_it && pid != std::process::id() {
            pids.push(pid);
        }
    }
    pids.sort_unstable();
    pids
}
