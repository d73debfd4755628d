//! The place of a SQLite file: whether the user that looks can make and write the file, and what the disk is like.

use crate::finding::Finding;
#[cfg(unix)]
use crate::users;
#[cfg(unix)]
use rustix::fs::{Access, AtFlags, CWD, accessat, statvfs};
#[cfg(unix)]
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What is found of the file and its disk.
pub const SUBJECT: &str = "sink.file";
/// What is found of the rights on them.
const RIGHTS: &str = "sink.rights";

/// The folder that is there, of those above a path.
fn existing(folder: &Path) -> PathBuf {
    let mut at = folder;
    while !at.exists() {
        match at.parent() {
            Some(above) if !above.as_os_str().is_empty() => at = above,
            _ => return PathBuf::from("."),
        }
    }
    at.to_path_buf()
}

/// With less free space than this, rows will not fit for long.
#[cfg(unix)]
const FREE_BYTES_MIN: u64 = 100 << 20;

/// Folders so near to the root, as /var/lib, are the system's: nobody is told to give them to a user.
#[cfg(unix)]
const SYSTEM_DEPTH: usize = 3;

/// What this process lacks in a place; `None`: nothing.
#[cfg(unix)]
fn lack(path: &Path, access: Access) -> Option<std::io::Error> {
    accessat(CWD, path, access, AtFlags::EACCESS).err().map(std::io::Error::from)
}

/// Whether this process can make and write the file.
#[cfg(unix)]
pub fn rights(path: &Path, folder: &Path) -> Vec<Finding> {
    let mut out = Vec::new();
    let user = users::user(rustix::process::geteuid().as_raw());
    let group = users::group(rustix::process::getegid().as_raw());
    let there = existing(folder);
    if !there.is_dir() {
        let text = format!("{} is no folder, so {} cannot be made in it", there.display(), path.display());
        out.push(Finding::failure(SUBJECT, text, "correct the path in sink.url"));
        return out;
    }
    if let Some(error) = lack(&there, Access::WRITE_OK | Access::EXEC_OK) {
        let remedy = if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem {
            "it is on a file system that is read-only: name another path in sink.url; under systemd, ReadWritePaths= may help".to_string()
        } else if there == folder && there.components().count() <= SYSTEM_DEPTH {
            format!("name a file in a folder of its own in sink.url, below {}", there.display())
        } else if there == folder {
            format!("run, as root: chown {user}:{group} {}", users::quoted(&there))
        } else {
            format!("run, as root: install -d -o {user} -g {group} {}", users::quoted(folder))
        };
        let text = format!("the user {user} cannot write in the folder {}, and SQLite has to", there.display());
        out.push(Finding::failure(RIGHTS, text, remedy));
    }
    let with = |suffix: &str| {
        let mut name = path.as_os_str().to_os_string();
        name.push(suffix);
        PathBuf::from(name)
    };
    for file in ["", "-wal", "-shm"].map(with) {
        let Ok(found) = std::fs::metadata(&file) else { continue };
        let missing = [(Access::READ_OK, "read"), (Access::WRITE_OK, "written")]
            .into_iter()
            .find(|(access, _)| lack(&file, *access).is_some());
        if let Some((_, what)) = missing {
            let owner = format!("{}:{}", users::user(found.uid()), users::group(found.gid()));
            out.push(Finding::failure(
                RIGHTS,
                format!(
                    "{} cannot be {what} by the user {user}: it belongs to {owner} with mode {:04o}",
                    file.display(),
                    found.mode() & 0o7777
                ),
                format!("run, as root: chown {user}:{group} {}*", users::quoted(path)),
            ));
            break;
        }
    }
    if out.is_empty() {
        let state = if path.exists() { "can be written" } else { "will be made by run" };
        out.push(Finding::fine(RIGHTS, format!("{} {state}, as the user {user}", path.display())));
    }
    out
}

/// What is found of the disk of a folder.
#[cfg(unix)]
pub fn disk(folder: &Path) -> Vec<Finding> {
    let mut out = Vec::new();
    let there = existing(folder);
    if is_made_of_nothing(&there) {
        out.push(Finding::failure(
            SUBJECT,
            format!("{} is no disk: the system shows its own state there", there.display()),
            "name a path on a disk of this machine in sink.url",
        ));
        return out;
    }
    if let Some(kind) = network(&there) {
        out.push(Finding::warning(
            SUBJECT,
            format!(
                "{} is on {kind}, where SQLite's locks and its log may not work: rows can be lost",
                there.display()
            ),
            "name a path on a disk of this machine in sink.url",
        ));
    }
    if let Ok(found) = statvfs(&there) {
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        if free < FREE_BYTES_MIN {
            out.push(Finding::warning(
                SUBJECT,
                format!("the disk of {} has {} MiB left", there.display(), free >> 20),
                "make room, or name a path on another disk in sink.url",
            ));
        }
    }
    out
}

/// The kind of the file system of a folder, by the numbers of linux/magic.h and of the file systems' own sources.
#[cfg(target_os = "linux")]
fn kind(folder: &Path) -> Option<u64> {
    Some(rustix::fs::statfs(folder).ok()?.f_type as u64 & 0xffff_ffff)
}

#[cfg(all(unix, not(target_os = "linux")))]
fn kind(_: &Path) -> Option<u64> {
    None
}

/// True for /proc, /sys and the like.
#[cfg(unix)]
fn is_made_of_nothing(folder: &Path) -> bool {
    matches!(kind(folder), Some(0x9fa0 | 0x6265_6572 | 0x0027_e0eb | 0x6367_7270))
}

/// The name of a file system that is not a disk of this machine.
#[cfg(unix)]
fn network(folder: &Path) -> Option<&'static str> {
    Some(match kind(folder)? {
        0x6969 => "NFS",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "SMB (CIFS)",
        0x6573_5546 => "a FUSE file system, often a network one",
        0x0102_1997 => "9P, a folder of another machine",
        0x00c3_6400 => "CephFS",
        0x0bd0_0bd0 => "Lustre",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x786f_4256 => "a shared folder of VirtualBox",
        _ => return None,
    })
}

/// Whether this process can make and write the file: the rights of Windows are not looked at, but for the mark of a file.
#[cfg(not(unix))]
pub fn rights(path: &Path, folder: &Path) -> Vec<Finding> {
    let there = existing(folder);
    if !there.is_dir() {
        let text = format!("{} is no folder, so {} cannot be made in it", there.display(), path.display());
        return vec![Finding::failure(SUBJECT, text, "correct the path in sink.url")];
    }
    if std::fs::metadata(path).is_ok_and(|found| found.permissions().readonly()) {
        let text = format!("{} is marked as read-only", path.display());
        return vec![Finding::failure(RIGHTS, text, format!("run: attrib -r \"{}\"", path.display()))];
    }
    Vec::new()
}

/// What is found of the disk of a folder: shares of other machines are known by their names.
#[cfg(not(unix))]
pub fn disk(folder: &Path) -> Vec<Finding> {
    match folder.to_string_lossy().starts_with(r"\\") {
        true => vec![Finding::warning(
            SUBJECT,
            format!("{} is on another machine, where SQLite's locks may not work: rows can be lost", folder.display()),
            "name a path on a disk of this machine in sink.url",
        )],
        false => Vec::new(),
    }
}
