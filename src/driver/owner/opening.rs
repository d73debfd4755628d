//! A state directory that has been claimed: its state is recovered, and what is not needed of its journal is removed.

use super::guest::Guest;
use super::keeper::Keeper;
use crate::config::Config;
use crate::driver::names::random;
use crate::driver::threads;
use crate::durable::claim;
use crate::durable::disk::Disk;
use crate::durable::journal::adopt;
use crate::durable::journal::read::Recovered;
use crate::durable::private;
use crate::durable::state::db::StateDb;
use crate::durable::state_error::StateError;
use crate::engine::Engine;
use crate::words;
use std::sync::Arc;
use std::time::Instant;

/// Recovers the state of a directory that is ours.
///
/// # Errors
/// It cannot be used now.
pub fn open(config: &Config, guest: &Guest) -> Result<(Keeper, (Engine, Recovered)), StateError> {
    if let Err(e) = private::tighten(&guest.folder) {
        log::warn!(
            "other users may read {}, and that cannot be changed: {e}; type, as root, `chmod 700` for it",
            guest.folder.display()
        );
    }
    let (store, aside) = StateDb::open(&config.state_dir)?;
    if let Some(aside) = aside {
        log::error!(
            "the state in {} is of no use: {}; set aside as {}; starting anew; look at the disk under state_dir",
            config.state_dir.display(),
            aside.reason,
            aside.files.join(", ")
        );
    }
    let others = guest.others().map_err(|error| StateError::Io { what: "the journal cannot be read", error })?;
    let abandoned: Vec<String> = others.into_iter().filter(|name| claim::is_abandoned(&guest.folder, name)).collect();
    let began = Instant::now();
    let writer = format!("{:032x}", random());
    let opened = Keeper::open(Box::new(store), guest.disk.clone(), &config.schema, &abandoned, guest.run, writer)?;
    if !opened.is_first_start {
        log::info!(
            "recovered {} and {} of the journal in {} ms",
            words::some(opened.engine.device_count() as u64, "device"),
            words::some(opened.journal.frames, "frame"),
            began.elapsed().as_millis()
        );
    }
    if opened.journal.missing_bytes > 0 {
        let bytes = opened.journal.missing_bytes;
        let (bytes, are) = (words::some(bytes, "byte"), words::verb(bytes, "is", "are"));
        log::warn!(
            "{bytes} of the journal {are} missing: they could not be written, or a power loss took them; what they held is not counted"
        );
    }
    Ok((opened.keeper, (opened.engine, opened.journal)))
}

/// Removes old journal files, in a thread of its own if one can be had: a file system can take its time for it, and a file
/// that stays is removed after the next checkpoint.
pub fn remove_old(disk: Arc<dyn Disk>, before: u64) {
    let remove = move |disk: &dyn Disk| {
        if let Err(e) = adopt::remove_before(disk, before) {
            log::warn!("old journal files cannot be removed: {e}; trying again; look at the disk under state_dir");
        }
    };
    let other = disk.clone();
    if threads::start("tidy journal", move || remove(&*other)).is_err() {
        remove(&*disk);
    }
}
