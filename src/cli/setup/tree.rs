//! A tree of files as root works in it: the system, or an image below a folder.
//!
//! Invariants: every path is walked name by name from the root of the tree and never leaves it. A link is followed only where nobody
//! but root can have made it. A file is made complete under another name first, and never over one that is there, except by
//! [`Tree::replace`]. Whatever is opened is what was looked at: no path is resolved twice for one action.

use anyhow::{Context, bail};
use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, RawMode, Stat, Uid};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

/// Links that are followed on one way.
const LINKS_MAX: usize = 40;
/// The name under which a file is made; no program reads it.
const DRAFT: &str = ".telegraf-rollup.draft";
/// The bits of a mode that let others than the owner write.
const OTHERS_WRITE: RawMode = 0o022;

/// A tree of files.
pub struct Tree {
    root: OwnedFd,
    shown: PathBuf,
    is_live: bool,
}

/// Whom something belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    pub user: u32,
    pub group: u32,
}

/// The user that everything belongs to which nobody else has to write.
pub const ROOT: Holder = Holder { user: 0, group: 0 };

/// What keeps a user from reading a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Barrier {
    /// A folder that it may not enter.
    Folder(PathBuf),
    /// The rights of the file.
    Itself,
}

/// The end of a way.
struct Walk {
    /// The folders from the root on, each with its name; never empty.
    folders: Vec<(OsString, OwnedFd)>,
    /// The last name, with what it is; `None` if it is missing.
    last: OsString,
    found: Option<Stat>,
}

impl Walk {
    fn folder(&self) -> &OwnedFd {
        // The root is never taken away.
        &self.folders[self.folders.len() - 1].1
    }

    fn path(&self) -> PathBuf {
        self.folders.iter().map(|(name, _)| name).collect()
    }
}

impl Tree {
    /// The tree below a folder.
    ///
    /// # Errors
    /// It is no folder that can be opened.
    pub fn below(root: &Path) -> anyhow::Result<Tree> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = fs::open(root, flags, Mode::empty());
        let opened = opened.with_context(|| format!("cannot open the folder {}", root.display()))?;
        let shown = root.canonicalize().with_context(|| format!("cannot find {}", root.display()))?;
        Ok(Tree { root: opened, is_live: shown == Path::new("/"), shown })
    }

    /// True if it is the system that this process runs in.
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// A path of the tree as a person finds it.
    pub fn shown(&self, path: &Path) -> String {
        self.shown.join(path.strip_prefix("/").unwrap_or(path)).display().to_string()
    }

    /// Walks to a path. `None`: a folder on the way is missing.
    fn walk(&self, path: &Path) -> anyhow::Result<Option<Walk>> {
        let mut ahead: VecDeque<OsString> = names(path);
        let mut folders = vec![(OsString::from("/"), self.root.try_clone()?)];
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            let mut walk = Walk { folders, last: name, found: None };
            let shown = || self.shown(&walk.path().join(&walk.last));
            if walk.last == ".." {
                walk.folders.truncate((walk.folders.len() - 1).max(1));
                folders = walk.folders;
                continue;
            }
            let found = match fs::statat(walk.folder(), &walk.last, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => found,
                Err(Errno::NOENT) if ahead.is_empty() => return Ok(Some(walk)),
                Err(Errno::NOENT) => return Ok(None),
                Err(e) => return Err(e).with_context(|| format!("cannot look at {}", shown())),
            };
            match FileType::from_raw_mode(found.st_mode) {
                FileType::Symlink => {
                    let folder = fs::fstat(walk.folder())?;
                    if folder.st_uid != 0 || folder.st_mode & OTHERS_WRITE != 0 {
                        bail!("{} is a link that others than root may have made: it is not followed", shown());
                    }
                    links += 1;
                    if links > LINKS_MAX {
                        bail!("{} leads through too many links", self.shown(path));
                    }
                    let target = fs::readlinkat(walk.folder(), &walk.last, Vec::new())?;
                    let target = PathBuf::from(OsString::from(target.to_string_lossy().into_owned()));
                    if target.is_absolute() {
                        walk.folders.truncate(1);
                    }
                    names(&target).into_iter().rev().for_each(|name| ahead.push_front(name));
                    folders = walk.folders;
                }
                FileType::Directory if !ahead.is_empty() => {
                    let opened = open_folder(walk.folder(), &walk.last);
                    let opened = opened.with_context(|| format!("cannot open {}", shown()))?;
                    folders = walk.folders;
                    folders.push((walk.last, opened));
                }
                _ if ahead.is_empty() => {
                    walk.found = Some(found);
                    return Ok(Some(walk));
                }
                _ => bail!("{} is not a folder", shown()),
            }
        }
        bail!("{} is the root of all, and no place for this", self.shown(path))
    }

    /// What a path is; `None` if there is nothing.
    ///
    /// # Errors
    /// It cannot be looked at, or a link on the way is not to be trusted.
    pub fn look(&self, path: &Path) -> anyhow::Result<Option<Stat>> {
        Ok(self.walk(path)?.and_then(|walk| walk.found))
    }

    /// True if the path is a folder.
    ///
    /// # Errors
    /// As for [`Tree::look`].
    pub fn is_folder(&self, path: &Path) -> anyhow::Result<bool> {
        Ok(self.look(path)?.is_some_and(|found| FileType::from_raw_mode(found.st_mode).is_dir()))
    }

    /// The first folder on the way to a path that another one than root and this user may write.
    ///
    /// # Errors
    /// As for [`Tree::look`].
    pub fn open_to_others(&self, path: &Path, user: u32) -> anyhow::Result<Option<PathBuf>> {
        let mut above = path.parent();
        while let Some(folder) = above {
            if let Some(walk) = self.walk(&folder.join("any"))? {
                let mut way = PathBuf::new();
                for (name, opened) in &walk.folders {
                    way.push(name);
                    let found = fs::fstat(opened)?;
                    let group_writes = found.st_mode & 0o020 != 0 && found.st_gid != 0;
                    if ![0, user].contains(&found.st_uid) || found.st_mode & 0o002 != 0 || group_writes {
                        return Ok(Some(way));
                    }
                }
                return Ok(None);
            }
            above = folder.parent();
        }
        Ok(None)
    }

    /// What keeps a user of some groups from reading a path that is there: the folder that it may not enter, or the path itself.
    ///
    /// # Errors
    /// As for [`Tree::look`].
    pub fn barrier(&self, path: &Path, user: u32, groups: &[u32]) -> anyhow::Result<Option<Barrier>> {
        let Some(walk) = self.walk(path)? else { return Ok(None) };
        let may = |found: &Stat, right: RawMode| {
            let shift = match found {
                _ if user == 0 => return true,
                found if found.st_uid == user => 6,
                found if groups.contains(&found.st_gid) => 3,
                _ => 0,
            };
            found.st_mode >> shift & right == right
        };
        let mut way = PathBuf::new();
        for (name, opened) in &walk.folders {
            way.push(name);
            if !may(&fs::fstat(opened)?, 0o1) {
                return Ok(Some(Barrier::Folder(way)));
            }
        }
        Ok(walk.found.filter(|found| !may(found, 0o4)).map(|_| Barrier::Itself))
    }

    /// Reads a file; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be read, is not a file, or a link on the way is not to be trusted.
    pub fn read(&self, path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(walk) = self.walk(path)?.filter(|walk| walk.found.is_some()) else { return Ok(None) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let is_file = walk.found.is_some_and(|found| FileType::from_raw_mode(found.st_mode).is_file());
        anyhow::ensure!(is_file, "{} is not a file", self.shown(path));
        let mut bytes = Vec::new();
        let opened = fs::openat(walk.folder(), &walk.last, flags, Mode::empty()).map_err(std::io::Error::from);
        let read = opened.and_then(|opened| File::from(opened).read_to_end(&mut bytes));
        read.with_context(|| format!("cannot read {}", self.shown(path)))?;
        Ok(Some(bytes))
    }

    /// The text of a file; empty if it is missing or cannot be read.
    pub fn text(&self, path: &Path) -> String {
        let bytes = self.read(path).ok().flatten().unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Where a link leads, as it is written; `None` if it is none.
    pub fn link(&self, path: &Path) -> Option<PathBuf> {
        let (folder, name) = (path.parent()?, path.file_name()?);
        let walk = self.walk(&folder.join("any")).ok()??;
        let target = fs::readlinkat(walk.folder(), name, Vec::new()).ok()?;
        Some(PathBuf::from(target.to_string_lossy().into_owned()))
    }

    /// Names in a folder, in order; none if it is missing.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn list(&self, path: &Path) -> anyhow::Result<Vec<OsString>> {
        match self.open(path)? {
            Some(folder) => names_in(&folder).with_context(|| format!("cannot read {}", self.shown(path))),
            None => Ok(Vec::new()),
        }
    }

    /// Opens a folder; `None` if it is missing.
    ///
    /// # Errors
    /// It is not a folder, or cannot be opened.
    pub fn open(&self, path: &Path) -> anyhow::Result<Option<OwnedFd>> {
        let Some(walk) = self.walk(path)?.filter(|walk| walk.found.is_some()) else { return Ok(None) };
        let opened = open_folder(walk.folder(), &walk.last);
        Ok(Some(opened.with_context(|| format!("cannot open the folder {}", self.shown(path)))?))
    }

    /// Makes a folder in one that is there.
    ///
    /// # Errors
    /// It cannot be made, or is there.
    pub fn make_folder(&self, path: &Path, owner: Holder, mode: RawMode) -> anyhow::Result<()> {
        let walk = self.way_to(path)?;
        let make = || -> rustix::io::Result<()> {
            fs::mkdirat(walk.folder(), &walk.last, Mode::RWXU)?;
            let made = open_folder(walk.folder(), &walk.last)?;
            fs::fchown(&made, Some(Uid::from_raw(owner.user)), Some(Gid::from_raw(owner.group)))?;
            // After the owner, and whatever the umask.
            fs::fchmod(&made, Mode::from_raw_mode(mode))?;
            fs::fsync(walk.folder())
        };
        make().with_context(|| format!("cannot make the folder {}", self.shown(path)))
    }

    /// Makes a file of root's, complete or not at all.
    ///
    /// # Errors
    /// It cannot be made, or is there.
    pub fn make_file(&self, path: &Path, bytes: &[u8], mode: RawMode) -> anyhow::Result<()> {
        let walk = self.way_to(path)?;
        let make = || -> std::io::Result<()> {
            draft(walk.folder(), bytes, mode)?;
            // Unlike a rename, a link is never made over a file that somebody else has made meanwhile.
            let linked = fs::linkat(walk.folder(), DRAFT, walk.folder(), &walk.last, AtFlags::empty());
            fs::unlinkat(walk.folder(), DRAFT, AtFlags::empty())?;
            linked?;
            Ok(fs::fsync(walk.folder())?)
        };
        make().with_context(|| format!("cannot make {}", self.shown(path)))
    }

    /// Puts a file of root's in the place of another one, in one step.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn replace(&self, path: &Path, bytes: &[u8], mode: RawMode) -> anyhow::Result<()> {
        let walk = self.way_to(path)?;
        let make = || -> std::io::Result<()> {
            draft(walk.folder(), bytes, mode)?;
            fs::renameat(walk.folder(), DRAFT, walk.folder(), &walk.last)?;
            Ok(fs::fsync(walk.folder())?)
        };
        make().with_context(|| format!("cannot write {}", self.shown(path)))
    }

    /// Removes a file, or a folder with nothing in it. False if the folder is not empty, or nothing is there.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, path: &Path) -> anyhow::Result<bool> {
        let Some(walk) = self.walk(path)? else { return Ok(false) };
        let Some(found) = walk.found else { return Ok(false) };
        let is_folder = FileType::from_raw_mode(found.st_mode).is_dir();
        let flags = if is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match fs::unlinkat(walk.folder(), &walk.last, flags) {
            Ok(()) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST) if is_folder => Ok(false),
            Err(e) => Err(e).with_context(|| format!("cannot remove {}", self.shown(path))),
        }
    }

    fn way_to(&self, path: &Path) -> anyhow::Result<Walk> {
        self.walk(path)?.with_context(|| format!("there is no folder for {}", self.shown(path)))
    }
}

/// The names of a path from the root on.
fn names(path: &Path) -> VecDeque<OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(name).collect()
}

/// Opens a folder that is no link.
pub fn open_folder(above: &OwnedFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(above, name, flags, Mode::empty())
}

/// The names in an open folder, in order.
pub fn names_in(folder: &OwnedFd) -> rustix::io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(OsString::from(name));
        }
    }
    names.sort();
    Ok(names)
}

/// Writes a file of root's under the name of a draft.
fn draft(folder: &OwnedFd, bytes: &[u8], mode: RawMode) -> std::io::Result<()> {
    match fs::unlinkat(folder, DRAFT, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(fs::openat(folder, DRAFT, flags, Mode::RUSR | Mode::WUSR)?);
    let written = file.write_all(bytes).and_then(|()| {
        fs::fchown(&file, Some(Uid::from_raw(ROOT.user)), Some(Gid::from_raw(ROOT.group)))?;
        fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        file.sync_all()
    });
    if written.is_err() {
        // What is left of it is in nobody's way, and the error says more than this one could.
        let _ = fs::unlinkat(folder, DRAFT, AtFlags::empty());
    }
    written
}
