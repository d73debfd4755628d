//! The keys that stand above all sections: the time zone and where state lives.

use super::keys::LATER;
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
    if zone.is_none() {
        let message =
            format!("{:?} is not a time zone: write an IANA name, as in \"Europe/Berlin\" or \"UTC\"", name.value);
        root.document.problem_at(&name, message);
    }
    zone
}

/// Reads `state_dir`.
pub fn state_dir(root: &Table<'_, '_>) -> PathBuf {
    root.string("state_dir").map_or_else(places::state_dir, |text| PathBuf::from(text.value))
}

/// Warns of the sections that only later versions act on.
pub fn later(root: &Table<'_, '_>, warnings: &mut Vec<String>) {
    for name in LATER {
        if root.has(name) {
            warnings.push(format!("[{name}] is not supported by this version yet: it is ignored"));
        }
    }
}
