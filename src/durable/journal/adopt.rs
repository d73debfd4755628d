//! Making the file of a guest part of the journal, and removing what is not needed any more.

use super::name::Name;
use super::read::frames;
use crate::durable::disk::Disk;
use std::io;

/// Old segments that are kept to be written again.
pub(super) const SPARES_MAX: usize = 4;

/// Removes the segments that lie before a position, or keeps them as spares. The journal may be written meanwhile.
///
/// # Errors
/// A file cannot be removed; it will be by a later call.
pub fn remove_before(disk: &dyn Disk, before: u64) -> io::Result<()> {
    let names = disk.list()?;
    let mut starts: Vec<(u64, &String)> =
        names.iter().filter_map(|name| Name::of(name)?.position().map(|position| (position, name))).collect();
    starts.sort_unstable();
    let mut free = (0..SPARES_MAX).map(|n| format!("spare-{n}.old")).filter(|spare| !names.contains(spare));
    for (start, name) in &starts {
        // A segment ends where the next one starts; the last one may still grow.
        let next = starts.iter().map(|(next, _)| *next).find(|next| next > start);
        if next.is_none_or(|next| next > before) {
            break;
        }
        let spare = if matches!(Name::of(name), Some(Name::Own(_))) { free.next() } else { None };
        let done = spare.map_or_else(|| disk.remove(name), |spare| disk.rename(name, &spare));
        match done {
            // Another removal was faster.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

/// Removes the segments from a position on, the end of what was recovered: no frame of theirs is whole. If they stayed,
/// the segment before them would be taken to end where they begin.
///
/// # Errors
/// A file cannot be removed: the journal must not go on at this position.
pub fn remove_from(disk: &dyn Disk, position: u64) -> io::Result<()> {
    for name in disk.list()? {
        if Name::of(&name).and_then(Name::position).is_some_and(|start| start >= position) {
            disk.remove(&name)?;
        }
    }
    Ok(())
}

/// Makes a guest's file the next segment of the journal: its frames come behind all others. Returns the position
/// behind it.
///
/// # Errors
/// The file cannot be read or renamed; it stays as it is.
pub fn adopt(disk: &dyn Disk, guest: &str, position: u64) -> io::Result<u64> {
    let mut length = 0;
    frames(disk, guest, |frame| {
        length += frame.length;
        true
    })?;
    adopt_known(disk, guest, position, length)?;
    disk.sync_names()?;
    Ok(position + length)
}

/// Does what [`adopt`] does with a file of which the bytes of frames are known; its new name is not synced.
///
/// # Errors
/// The file cannot be renamed or removed; it stays as it is.
pub fn adopt_known(disk: &dyn Disk, guest: &str, position: u64, length: u64) -> io::Result<()> {
    if length == 0 {
        return disk.remove(guest);
    }
    disk.rename(guest, &format!("{position:020}.guest.seg"))
}
