//! The Telegrafs that run on this machine, as Linux shows them in `/proc`. Elsewhere none is seen.

use super::system;
use std::path::{Path, PathBuf};

/// A Telegraf that runs.
#[derive(Clone, Debug, Default)]
pub struct RunningTelegraf {
    pub pid: u32,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    /// Behind the name of the program.
    pub arguments: Vec<String>,
    /// The folder that relative paths begin at.
    pub folder: Option<PathBuf>,
    /// `PATH` as the process has it; `None` where it is not shown.
    pub search: Option<String>,
}

/// Finds the Telegrafs that run on this system, in containers not, by process id.
pub fn running() -> Vec<RunningTelegraf> {
    let proc = system::at("/proc");
    let pids = std::fs::read_dir(&proc).into_iter().flatten().flatten();
    let mut pids: Vec<u32> = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids.into_iter().filter_map(|pid| process(&proc.join(pid.to_string()), pid)).collect()
}

/// Reads one process; `None` if it is no Telegraf, or one that only tests.
fn process(folder: &Path, pid: u32) -> Option<RunningTelegraf> {
    let read = |name: &str| std::fs::read(folder.join(name)).ok();
    let comm = read("comm")?;
    if !matches!(comm.trim_ascii_end(), b"telegraf" | b"telegraf.exe") || is_contained(folder) {
        return None;
    }
    let texts = |bytes: Vec<u8>| -> Vec<String> {
        let parts = bytes.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned());
        parts.collect()
    };
    let mut arguments = texts(read("cmdline")?);
    arguments.pop();
    if arguments.is_empty() || arguments.iter().any(|argument| matches!(argument.as_str(), "--test" | "-test")) {
        return None;
    }
    let status = String::from_utf8_lossy(&read("status")?).into_owned();
    let numbers = |name: &str| -> Vec<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().split_whitespace().filter_map(|number| number.parse().ok()).collect()
    };
    // Real, effective, saved, and that of the file system.
    let (uid, gid) = (*numbers("Uid:").get(1)?, *numbers("Gid:").get(1)?);
    let environment = read("environ").map(texts).unwrap_or_default();
    let search = environment.iter().find_map(|variable| variable.strip_prefix("PATH=").map(str::to_string));
    let arguments = arguments.split_off(1);
    let folder = std::fs::read_link(folder.join("cwd")).ok();
    Some(RunningTelegraf { pid, uid, gid, groups: numbers("Groups:"), arguments, folder, search })
}

/// True if a process is known to have another root than this one, as in a container.
#[cfg(unix)]
fn is_contained(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let root = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    matches!((root(&folder.join("root")), root(Path::new("/"))), (Some(its), Some(ours)) if its != ours)
}

#[cfg(not(unix))]
fn is_contained(_: &Path) -> bool {
    false
}
