//! What `setup` has made, so that `--remove` takes back that and nothing else.
//!
//! A text of lines: `folder PATH`, and `file BYTES CHECKSUM PATH`. An entry is written before the thing is made, so that what a kill
//! leaves is known. A file that is not as it was made has been edited since, and is its editor's.

use super::tree::Tree;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Where it lies.
pub const MANIFEST: &str = "/etc/telegraf-rollup/.setup";
const HEAD: &str = "# What `telegraf-rollup setup` has made. `telegraf-rollup setup --remove` takes it back.\n";
/// Everybody may see what was made.
const MODE: u32 = 0o644;

/// The size and the checksum of a file as it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    bytes: usize,
    checksum: u32,
}

impl Print {
    pub fn of(content: &[u8]) -> Print {
        Print { bytes: content.len(), checksum: crc32fast::hash(content) }
    }
}

/// Something that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    Folder(PathBuf),
    File(PathBuf, Print),
}

impl Made {
    pub fn path(&self) -> &Path {
        match self {
            Made::Folder(path) | Made::File(path, _) => path,
        }
    }
}

/// All that was made, in the order in which it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest(pub Vec<Made>);

impl Manifest {
    /// Reads it; nothing was made if there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(tree: &Tree) -> anyhow::Result<Manifest> {
        let bytes = tree.read(Path::new(MANIFEST))?.unwrap_or_default();
        Ok(Manifest(String::from_utf8_lossy(&bytes).lines().filter_map(entry).collect()))
    }

    /// True if the file is as it was made.
    pub fn has_made(&self, path: &Path, content: &[u8]) -> bool {
        self.0.contains(&Made::File(path.to_path_buf(), Print::of(content)))
    }

    /// Adds an entry and writes all of it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note(&mut self, tree: &Tree, made: Made) -> anyhow::Result<()> {
        if !self.0.contains(&made) {
            self.0.push(made);
            self.write(tree)?;
        }
        Ok(())
    }

    /// Of a file that was made again, forgets how it was before.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn settle(&mut self, tree: &Tree, made: &Made) -> anyhow::Result<()> {
        let before = self.0.len();
        self.0.retain(|other| other == made || other.path() != made.path());
        if self.0.len() == before { Ok(()) } else { self.write(tree) }
    }

    /// Forgets what has been taken back.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn forget(&mut self, tree: &Tree, path: &Path) -> anyhow::Result<()> {
        self.0.retain(|made| made.path() != path);
        self.write(tree)
    }

    fn write(&self, tree: &Tree) -> anyhow::Result<()> {
        let mut text = HEAD.to_string();
        for made in &self.0 {
            // Writing to a text cannot fail.
            let _ = match made {
                Made::Folder(path) => writeln!(text, "folder {}", path.display()),
                Made::File(path, print) => {
                    writeln!(text, "file {} {:08x} {}", print.bytes, print.checksum, path.display())
                }
            };
        }
        tree.replace(Path::new(MANIFEST), text.as_bytes(), MODE)
    }
}

fn entry(line: &str) -> Option<Made> {
    let (kind, rest) = line.split_once(' ')?;
    match kind {
        "folder" => Some(Made::Folder(rest.into())),
        "file" => {
            let mut fields = rest.splitn(3, ' ');
            let bytes = fields.next()?.parse().ok()?;
            let checksum = u32::from_str_radix(fields.next()?, 16).ok()?;
            Some(Made::File(fields.next()?.into(), Print { bytes, checksum }))
        }
        _ => None,
    }
}
