//! The zones of devices, by index; the first is that of the schema.

use super::ids::ZoneIndex;
use super::zone::Zone;
use std::sync::Arc;

/// Index of a zone; `None` if there is no zone of that name.
pub fn zone_index(zones: &mut Vec<Arc<Zone>>, name: &[u8]) -> Option<ZoneIndex> {
    let name = std::str::from_utf8(name).ok()?;
    if let Some(known) = zones.iter().position(|zone| zone.name() == name) {
        return u16::try_from(known).ok().map(ZoneIndex);
    }
    let zone = Zone::named(name)?;
    let index = ZoneIndex(u16::try_from(zones.len()).ok()?);
    zones.push(Arc::new(zone));
    Some(index)
}
