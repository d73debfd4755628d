//! The time zone of the system, as the configuration names it.

use super::tree::Tree;
use crate::engine::zone::Zone;
use std::path::Path;

/// Finds the zone by the link that decides, else by the file with its name; `None` if neither names a zone that is known.
pub fn of_system(tree: &Tree) -> Option<Zone> {
    let link = tree.link(Path::new("/etc/localtime"));
    let of_link = link.and_then(|target| {
        let target = target.to_string_lossy().into_owned();
        let name = target.split_once("zoneinfo/")?.1.to_string();
        zone(name.trim_start_matches("posix/").trim_start_matches("right/"))
    });
    of_link.or_else(|| zone(tree.text(Path::new("/etc/timezone")).trim()))
}

fn zone(name: &str) -> Option<Zone> {
    // The same zone has a shorter name in the sample.
    if ["Etc/UTC", "UCT", "Etc/UCT", "Universal", "Etc/Universal", "Zulu", "Etc/Zulu"].contains(&name) {
        return Some(Zone::utc());
    }
    Zone::named(name)
}
