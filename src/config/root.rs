//! The keys that stand above all sections: the time zone and where state lives.

use super::keys::LATER;
use super::meant::zone as meant_zone;
use super::path::path;
use super::read::Table;
use crate::engine::zone::Zone;
use crate::places;
use std::path::PathBuf;

/// Reads `timezone`; `None` if there is no such zone, which is reported.
pub fn zone(root: &Table<'_, '_>) -> Option<Zone> {
    let Some(name) = root.string("timezone") else {
        return (!root.has("timezone")).then(Zone::utc);
    };
    let zone = Zone::named(&name.value);
    match &zone {
        None => {
            let remedy = meant_zone::zone(&name.value);
            root.document
                .problem_at(&name, format!("{:?} is not a time zone: write an IANA name: {remedy}", name.value));
        }
        Some(zone) => {
            meant_zone::doubtful(zone.name()).iter().for_each(|warning| root.document.warning_at(&name, warning));
        }
    }
    zone
}

/// Reads `state_dir`.
pub fn state_dir(root: &Table<'_, '_>) -> PathBuf {
    root.warn_of_dollars("state_dir");
    path(root, "state_dir").map_or_else(places::state_dir, |path| path.value)
}

/// Returns the sections that only later versions act on.
pub fn later(root: &Table<'_, '_>) -> Vec<String> {
    LATER.into_iter().filter(|name| root.has(name)).map(|name| format!("[{name}]")).collect()
}
