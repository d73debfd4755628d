//! What a user may do with a file or a folder: the system answers if the question is asked with the rights of that user, else the
//! modes of the files and of the folders above them do.

use super::account::{Origin, ServiceAccount};
use std::io;
use std::path::{Path, PathBuf};

/// So many links are followed, as Linux does.
const LINKS_MAX: usize = 40;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Read,
    Write,
    /// Run a program, or enter a folder.
    Execute,
    /// Make files in a folder.
    Fill,
}

impl Wish {
    /// The bits of a mode that allow it.
    fn bits(self) -> u32 {
        match self {
            Wish::Read => 0o4,
            Wish::Write => 0o2,
            Wish::Execute => 0o1,
            Wish::Fill => 0o3,
        }
    }
}

/// Why something may not be done.
#[derive(Debug)]
pub enum Denial {
    /// This folder on the way cannot be entered.
    Closed(PathBuf),
    /// The file itself.
    By(io::Error),
    /// It cannot be told.
    Unknown(io::Error),
}

/// By whom is asked, and how.
#[derive(Clone, Copy, Debug)]
pub struct Eyes<'a> {
    pub account: &'a ServiceAccount,
    /// The thread has other rights than the user: modes are read.
    pub by_modes: bool,
}

impl Eyes<'_> {
    /// True if the account is known to be the one that runs Telegraf, or was asked for.
    pub fn runs_telegraf(&self) -> bool {
        self.account.origin != Origin::Oneself
    }

    /// Says whether the user may do something with what is there.
    ///
    /// # Errors
    /// Why not.
    pub fn may(&self, path: &Path, wish: Wish) -> Result<(), Denial> {
        self.may_behind(path, wish, LINKS_MAX)
    }

    fn may_behind(&self, path: &Path, wish: Wish, links: usize) -> Result<(), Denial> {
        let folders: Vec<&Path> = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).collect();
        for folder in folders.into_iter().rev() {
            match self.asks(folder, Wish::Execute) {
                Ok(true) => {}
                Ok(false) => return Err(Denial::Closed(folder.to_path_buf())),
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Denial::By(e)),
                Err(e) => return Err(Denial::Unknown(e)),
            }
        }
        // Behind a link other folders may be closed.
        if let (Ok(target), Some(folder), 1..) = (std::fs::read_link(path), path.parent(), links) {
            return self.may_behind(&folder.join(target), wish, links - 1);
        }
        match self.asks(path, wish) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Denial::By(io::ErrorKind::PermissionDenied.into())),
            Err(e) if self.by_modes && e.kind() == io::ErrorKind::PermissionDenied => Err(Denial::Unknown(e)),
            Err(e) => Err(Denial::By(e)),
        }
    }

    #[cfg(unix)]
    fn asks(&self, path: &Path, wish: Wish) -> io::Result<bool> {
        use rustix::fs::Access;
        use rustix::io::Errno;
        if self.by_modes {
            return self.reads_mode(path, wish);
        }
        let access = match wish {
            Wish::Read => Access::READ_OK,
            Wish::Write => Access::WRITE_OK,
            Wish::Execute => Access::EXEC_OK,
            Wish::Fill => Access::WRITE_OK | Access::EXEC_OK,
        };
        match rustix::fs::access(path, access) {
            Ok(()) => Ok(true),
            Err(Errno::ACCESS | Errno::PERM) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    #[cfg(unix)]
    fn reads_mode(&self, path: &Path, wish: Wish) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt;
        let found = std::fs::metadata(path)?;
        Ok(allows(self.account, (found.uid(), found.gid(), found.mode()), found.is_dir(), wish))
    }

    #[cfg(not(unix))]
    fn asks(&self, path: &Path, wish: Wish) -> io::Result<bool> {
        let found = std::fs::metadata(path)?;
        match wish {
            Wish::Read if found.is_file() => std::fs::File::open(path).map(|_| true),
            _ => Ok(true),
        }
    }
}

/// True if owner, group and mode of a file allow a user something.
#[cfg_attr(not(unix), allow(dead_code))]
fn allows(account: &ServiceAccount, (uid, gid, mode): (u32, u32, u32), is_folder: bool, wish: Wish) -> bool {
    if account.uid == 0 {
        return wish != Wish::Execute || is_folder || mode & 0o111 != 0;
    }
    let place = match () {
        () if uid == account.uid => 6,
        () if gid == account.gid || account.groups.contains(&gid) => 3,
        () => 0,
    };
    mode >> place & wish.bits() == wish.bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_read_for_owner_group_and_others() {
        let account =
            ServiceAccount { name: "t".to_string(), uid: 7, gid: 8, groups: vec![8, 9], origin: Origin::Named };
        let allows = |uid, gid, mode, wish| allows(&account, (uid, gid, mode), true, wish);
        assert!(allows(7, 0, 0o600, Wish::Read) && !allows(7, 0, 0o077, Wish::Read), "the owner's bits hold alone");
        assert!(allows(0, 9, 0o640, Wish::Read) && !allows(0, 9, 0o640, Wish::Write));
        assert!(!allows(0, 0, 0o640, Wish::Read) && allows(0, 0, 0o644, Wish::Read));
        assert!(!allows(0, 8, 0o770 & !0o010, Wish::Fill) && allows(0, 8, 0o770, Wish::Fill));
    }
}
