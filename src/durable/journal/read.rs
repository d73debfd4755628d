//! Reading the journal back, frame by frame: no file is in memory as a whole.

use super::entries;
use super::frame::{GUEST_SALT, HEAD_BYTES, SegmentReader};
use super::name::Name;
use crate::durable::disk::Disk;
use std::collections::HashMap;
use std::io;

/// One frame as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournaledLines<'a> {
    /// The run that has taken them.
    pub run: u128,
    pub received: i64,
    /// Whole lines.
    pub lines: &'a [u8],
    /// Bytes of the whole frame.
    pub length: u64,
}

/// What [`read`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The position behind the last frame: where the journal goes on.
    pub position: u64,
    /// Frames that were handed out.
    pub frames: u64,
    /// Bytes of frames that are not there: they could not be written, or are damaged.
    pub missing_bytes: u64,
    /// The files that hold the frames.
    pub files: Vec<String>,
}

/// Calls `each` with every whole frame of a segment, up to the first that is not, or until `each` returns false.
///
/// # Errors
/// The file cannot be read.
pub(super) fn frames(disk: &dyn Disk, name: &str, mut each: impl FnMut(JournaledLines<'_>) -> bool) -> io::Result<()> {
    let is_expected = |salt: u64| match Name::of(name) {
        Some(Name::Own(position)) => salt == position,
        Some(Name::Adopted(_) | Name::Guest) => salt & GUEST_SALT != 0,
        None => false,
    };
    let Some(mut segment) = SegmentReader::open(disk.read(name)?, is_expected)? else { return Ok(()) };
    let run = segment.run();
    let mut heads = HashMap::new();
    let mut lines = Vec::new();
    while let Some((received, payload)) = segment.next()? {
        if entries::expand(payload, &mut heads, &mut lines).is_none() {
            break;
        }
        let length = (HEAD_BYTES + payload.len()) as u64;
        if !each(JournaledLines { run, received, lines: &lines, length }) {
            break;
        }
    }
    Ok(())
}

/// Reads the journal: calls `each` with every whole frame behind position `from`, in order.
///
/// # Errors
/// The folder or a file cannot be read.
pub fn read(disk: &dyn Disk, from: u64, mut each: impl FnMut(JournaledLines<'_>)) -> io::Result<Recovered> {
    let mut names: Vec<(u64, String)> =
        disk.list()?.into_iter().filter_map(|n| Name::of(&n)?.position().map(|p| (p, n))).collect();
    names.sort();
    let mut found = Recovered { position: from, ..Recovered::default() };
    for (start, name) in &names {
        // A segment ends where the next one starts. A torn one may have left its position to another.
        let next = names.iter().map(|(next, _)| *next).find(|next| next > start);
        if next.is_some_and(|next| next <= from) {
            continue;
        }
        let before = found.frames;
        let mut position = *start;
        frames(disk, name, |frame| {
            if position >= found.position {
                found.missing_bytes += position - found.position;
                found.frames += 1;
                each(frame);
            }
            position += frame.length;
            found.position = found.position.max(position);
            true
        })?;
        if found.frames > before {
            found.files.push(name.clone());
        }
    }
    Ok(found)
}

/// The position of the first segment that is there; `None` if there is none.
///
/// # Errors
/// The folder cannot be read.
pub fn first_position(disk: &dyn Disk) -> io::Result<Option<u64>> {
    Ok(disk.list()?.iter().filter_map(|name| Name::of(name)?.position()).min())
}

/// Time of arrival of the first frame of a guest's file; `None` if it has none.
///
/// # Errors
/// The file cannot be read.
pub fn first_received(disk: &dyn Disk, guest: &str) -> io::Result<Option<i64>> {
    let mut first = None;
    frames(disk, guest, |frame| {
        first = Some(frame.received);
        false
    })?;
    Ok(first)
}
