//! A state directory that exists: whose it is, and what root has left in it.
//!
//! `telegraf --once` by root makes files that the service cannot write. They are given to the service's user, by handles of what was
//! looked at: no link is followed, and a file with a second name elsewhere stays as it is. Only names of ours are touched, so that
//! a folder of something else never changes hands.

use super::account::ServiceUser;
use super::tree::{Tree, names_in, open_folder};
use anyhow::{Context, bail};
use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Uid};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

/// How names begin that a state directory of ours holds.
const OURS: [&str; 6] = ["lock", "state.db", "journal", "status.", "resend.", "summary.db"];
/// So many names are shown.
const NAMES_SHOWN: usize = 5;

/// What is to be given to another user, or was.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Healing {
    /// Names below the state directory; an empty one is the directory itself.
    pub given: Vec<String>,
    /// What stays root's, each with the reason.
    pub left: Vec<String>,
}

/// Looks at a state directory that is there, and gives to the user what root has left in it if `for_real`.
///
/// # Errors
/// It is not clear that it may be given away, or it cannot be.
pub fn heal(tree: &Tree, path: &Path, account: &ServiceUser, for_real: bool) -> anyhow::Result<Healing> {
    let shown = tree.shown(path);
    let Some(folder) = tree.open(path)? else { return Ok(Healing::default()) };
    let found = fs::fstat(&folder)?;
    let wanted = account.owner;
    let is_ours = |name: &OsStr| OURS.iter().any(|ours| name.to_string_lossy().starts_with(ours));
    let names = names_in(&folder).with_context(|| format!("cannot read {shown}"))?;
    if found.st_uid != wanted.user && found.st_uid != 0 {
        bail!(
            "{shown}, the state_dir of the configuration, belongs to user {}, and Telegraf runs as {}: if another user runs it, name \
             that one by `--user`; else type `chown -R {}:{} {shown}`",
            found.st_uid,
            account.name,
            account.name,
            account.group
        );
    }
    let others: Vec<_> = names.iter().filter(|name| !is_ours(name)).collect();
    if found.st_uid != wanted.user && !others.is_empty() {
        let some: Vec<_> = others.iter().take(NAMES_SHOWN).map(|name| name.to_string_lossy()).collect();
        bail!(
            "{shown}, the state_dir of the configuration, is root's and holds other things ({}{}): name a folder of its own as \
             state_dir, or give this one to {} by hand",
            some.join(", "),
            if others.len() > NAMES_SHOWN { ", ..." } else { "" },
            account.name
        );
    }
    let mut healing = Healing::default();
    if wanted.user != 0 {
        let ours: Vec<_> = names.into_iter().filter(|name| is_ours(name)).collect();
        let mut hand = Hand { account, for_real, healing: &mut healing };
        for name in ours {
            hand.give(&folder, &name, "")?;
        }
        if found.st_uid == 0 {
            hand.give_open(&folder, String::new())?;
        }
    }
    Ok(healing)
}

struct Hand<'h> {
    account: &'h ServiceUser,
    for_real: bool,
    healing: &'h mut Healing,
}

impl Hand<'_> {
    /// Gives what is root's, and what lies below it.
    fn give(&mut self, above: &OwnedFd, name: &OsStr, way: &str) -> anyhow::Result<()> {
        let shown = format!("{way}{}", name.to_string_lossy());
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match fs::openat(above, name, flags, Mode::empty()) {
            Ok(opened) => opened,
            // A process that runs there may have removed it.
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            Err(e) => return Err(e).with_context(|| format!("cannot look at {shown}")),
        };
        let found = fs::fstat(&opened)?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => {
                let folder = open_folder(above, name).with_context(|| format!("cannot open {shown}"))?;
                for inner in names_in(&folder)? {
                    self.give(&folder, &inner, &format!("{shown}/"))?;
                }
                if fs::fstat(&folder)?.st_uid == 0 {
                    self.give_open(&folder, shown)?;
                }
            }
            FileType::RegularFile if found.st_uid == 0 && found.st_nlink == 1 => self.give_open(&opened, shown)?,
            FileType::RegularFile if found.st_uid == 0 => {
                self.healing.left.push(format!("{shown} (it has another name elsewhere)"));
            }
            FileType::RegularFile => {}
            _ => self.healing.left.push(format!("{shown} (a link, or no file)")),
        }
        Ok(())
    }

    fn give_open(&mut self, opened: &OwnedFd, shown: String) -> anyhow::Result<()> {
        if self.for_real {
            let owner = self.account.owner;
            let (user, group) = (Some(Uid::from_raw(owner.user)), Some(Gid::from_raw(owner.group)));
            let given = fs::chownat(opened, "", user, group, AtFlags::EMPTY_PATH);
            given.with_context(|| format!("cannot give {shown} to {}", self.account.name))?;
        }
        self.healing.given.push(shown);
        Ok(())
    }
}
