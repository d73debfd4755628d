//! A disk that fills, fails, tears, and loses what was not synced.

use super::Mutant;
use super::chance;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use telegraf_rollup::durable::disk::{Disk, Segment};

#[derive(Clone, Default)]
struct FileData {
    /// What a process reads.
    bytes: Vec<u8>,
    /// What survives a power loss.
    durable: Vec<u8>,
    /// A sync has failed: the system has dropped what it could not write, and says nothing of it any more.
    dropped: bool,
}

#[derive(Clone)]
enum NameOp {
    Set(String, usize),
    Remove(String),
    Rename(String, String),
}

#[derive(Clone, Default)]
struct Files {
    files: Vec<FileData>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// What was done to names since they were synced, in order.
    pending: Vec<NameOp>,
    mutant: Mutant,
    /// Bytes that a mutant keeps in the memory of the process.
    buffered: Vec<(usize, usize, Vec<u8>)>,
}

fn apply(names: &mut BTreeMap<String, usize>, op: &NameOp) {
    match op {
        NameOp::Set(name, file) => {
            names.insert(name.clone(), *file);
        }
        NameOp::Remove(name) => {
            names.remove(name);
        }
        NameOp::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
    }
}

impl Files {
    fn change(&mut self, op: NameOp) {
        apply(&mut self.names, &op);
        self.pending.push(op);
    }

    fn write(&mut self, file: usize, at: usize, bytes: &[u8]) {
        let data = &mut self.files[file].bytes;
        if data.len() < at + bytes.len() {
            data.resize(at + bytes.len(), 0);
        }
        data[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<Files>>);

struct SimSegment {
    disk: SimDisk,
    file: usize,
    at: Mutex<usize>,
}

fn refused() -> io::Result<()> {
    chance::step();
    let faults = chance::faults();
    if chance::percent(faults.disk) {
        return Err(io::Error::other("simulated EIO"));
    }
    Ok(())
}

fn no_room() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "simulated ENOSPC")
}

impl SimDisk {
    pub fn new(mutant: Mutant) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(Files { mutant, ..Files::default() })))
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An independent copy, all of it durable: what a cloned machine has.
    pub fn cloned(&self) -> SimDisk {
        let mut files = self.files().clone();
        files.pending.clear();
        files.durable_names = files.names.clone();
        files.files.iter_mut().for_each(|file| file.durable = file.bytes.clone());
        SimDisk(Arc::new(Mutex::new(files)))
    }

    /// True if a sync has failed once for bytes that are still needed: no later one brings them back.
    pub fn has_dropped(&self) -> bool {
        let files = self.files();
        files.names.values().any(|file| files.files[*file].dropped)
    }

    /// The process is gone; what it had written stays.
    pub fn process_died(&self) {
        self.files().buffered.clear();
    }

    /// Power is gone: of what was not synced some is there and some is not.
    pub fn power_lost(&self) {
        let mut files = self.files();
        let files = &mut *files;
        let survive = chance::below(files.pending.len() as u64 + 1) as usize;
        for op in files.pending.drain(..).take(survive) {
            apply(&mut files.durable_names, &op);
        }
        files.names = files.durable_names.clone();
        for file in &mut files.files {
            if !file.dropped && file.bytes != file.durable {
                match chance::below(3) {
                    0 => file.durable = file.bytes.clone(),
                    1 => {}
                    _ => {
                        let length = if chance::percent(50) { file.bytes.len() } else { file.durable.len() };
                        let mut mixed = file.durable.clone();
                        mixed.resize(length, 0);
                        for start in (0..length).step_by(64) {
                            if chance::percent(50) && start < file.bytes.len() {
                                let end = (start + 64).min(length).min(file.bytes.len());
                                mixed[start..end].copy_from_slice(&file.bytes[start..end]);
                            }
                        }
                        file.durable = mixed;
                    }
                }
            }
            file.bytes = file.durable.clone();
            file.dropped = false;
        }
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        refused()?;
        Ok(self.files().names.keys().cloned().collect())
    }

    fn bytes(&self) -> io::Result<u64> {
        refused()?;
        let files = self.files();
        Ok(files.names.values().map(|file| files.files[*file].bytes.len() as u64).sum())
    }

    fn read(&self, name: &str) -> io::Result<Box<dyn io::Read>> {
        refused()?;
        let files = self.files();
        let file = files.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(io::Cursor::new(files.files[*file].bytes.clone())))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn Segment>> {
        refused()?;
        let mut files = self.files();
        let file = match files.names.get(name) {
            Some(file) => *file,
            None => {
                files.files.push(FileData::default());
                let file = files.files.len() - 1;
                files.change(NameOp::Set(name.to_string(), file));
                file
            }
        };
        files.files[file].bytes.clear();
        files.files[file].dropped = false;
        Ok(Arc::new(SimSegment { disk: self.clone(), file, at: Mutex::new(0) }))
    }

    fn reuse(&self, from: &str, to: &str) -> io::Result<Arc<dyn Segment>> {
        refused()?;
        let mut files = self.files();
        let file = *files.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        files.change(NameOp::Rename(from.to_string(), to.to_string()));
        files.files[file].dropped = false;
        drop(files);
        // Between the new name and the first byte.
        chance::step();
        Ok(Arc::new(SimSegment { disk: self.clone(), file, at: Mutex::new(0) }))
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let file = *self.files().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        SimSegment { disk: self.clone(), file, at: Mutex::new(0) }.sync()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        refused()?;
        let mut files = self.files();
        if !files.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        files.change(NameOp::Remove(name.to_string()));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        refused()?;
        let mut files = self.files();
        if !files.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        files.change(NameOp::Rename(from.to_string(), to.to_string()));
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        refused()?;
        let mut files = self.files();
        files.pending.clear();
        files.durable_names = files.names.clone();
        Ok(())
    }
}

impl Segment for SimSegment {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        chance::step();
        let faults = chance::faults();
        let mut files = self.disk.files();
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.full || chance::percent(faults.disk) {
            // A part of it is written all the same.
            let part = chance::below(bytes.len() as u64) as usize;
            files.write(self.file, *at, &bytes[..part]);
            *at += part;
            return Err(if faults.full { no_room() } else { io::Error::other("simulated EIO") });
        }
        if files.mutant == Mutant::JournalIsBuffered {
            files.buffered.push((self.file, *at, bytes.to_vec()));
            *at += bytes.len();
            if files.buffered.len() > 4 {
                let all = std::mem::take(&mut files.buffered);
                all.into_iter().for_each(|(file, at, bytes)| files.write(file, at, &bytes));
            }
            return Ok(());
        }
        files.write(self.file, *at, bytes);
        *at += bytes.len();
        drop(at);
        drop(files);
        // Written, and nobody knows.
        chance::step();
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        refused()?;
        self.disk.files().files[self.file].bytes.truncate(length as usize);
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = length as usize;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        chance::step();
        let mut files = self.disk.files();
        if files.mutant == Mutant::JournalIsNotSynced {
            return Ok(());
        }
        let file = &mut files.files[self.file];
        if chance::percent(chance::faults().disk) {
            file.dropped = true;
            return Err(io::Error::other("simulated EIO"));
        }
        if !file.dropped {
            file.durable = file.bytes.clone();
        }
        drop(files);
        chance::step();
        Ok(())
    }
}
