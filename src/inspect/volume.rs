//! The file system that a path lies on: what kind it is, and how much room there is.

use std::path::Path;

/// Less room than this is worth a word, in bytes.
pub const ROOM_MIN: u64 = 100 << 20;

/// Kinds of file systems that matter to a state directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volume {
    /// Nothing is against it, or nothing is known of it.
    Usual,
    /// Other machines serve it: locks are theirs.
    Network(&'static str),
    /// It is gone after a restart of the machine.
    Memory(&'static str),
    /// The kernel's own: nobody makes files there.
    Kernel(&'static str),
}

/// Returns the kind and the room, in bytes, for a user without privileges; `None` if the system does not say.
#[cfg(target_os = "linux")]
pub fn look(path: &Path) -> Option<(Volume, u64)> {
    let found = rustix::fs::statfs(path).ok()?;
    let room = u64::try_from(found.f_bsize).unwrap_or(0).saturating_mul(found.f_bavail);
    // The numbers have 32 bits; where the type is signed, the upper half is not theirs.
    Some((of((found.f_type as u64 & 0xffff_ffff) as u32), room))
}

#[cfg(not(target_os = "linux"))]
pub fn look(_: &Path) -> Option<(Volume, u64)> {
    None
}

/// The kind of a file system by the number that Linux has for it (`man 2 statfs`).
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn of(magic: u32) -> Volume {
    match magic {
        0x6969 => Volume::Network("NFS"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => Volume::Network("SMB"),
        0x5346_414f | 0x6b41_4653 => Volume::Network("AFS"),
        0x00c3_6400 => Volume::Network("Ceph"),
        0x0bd0_0bd0 => Volume::Network("Lustre"),
        0x0102_1997 => Volume::Network("9p"),
        0x0102_1994 => Volume::Memory("tmpfs"),
        0x8584_58f6 => Volume::Memory("ramfs"),
        0x9fa0 => Volume::Kernel("proc"),
        0x6265_6572 => Volume::Kernel("sysfs"),
        0x0027_e0eb | 0x6367_7270 => Volume::Kernel("cgroup"),
        0x1cd1 => Volume::Kernel("devpts"),
        0x6462_6720 | 0x7472_6163 => Volume::Kernel("debugfs"),
        0x7363_6673 => Volume::Kernel("securityfs"),
        _ => Volume::Usual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_other_machines_are_known() {
        assert_eq!(of(0x6969), Volume::Network("NFS"));
        assert_eq!(of(0xff53_4d42), Volume::Network("SMB"));
        assert_eq!(of(0xef53), Volume::Usual, "ext4");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_s_own_are_seen_where_they_are() {
        assert_eq!(look(Path::new("/proc")).map(|(kind, _)| kind), Some(Volume::Kernel("proc")));
        let here = look(Path::new("/")).expect("a file system");
        assert!(!matches!(here.0, Volume::Kernel(_)) && here.1 > 0);
    }
}
