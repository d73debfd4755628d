//! The user whose rights count: the one that runs Telegraf, and with it the program.
//!
//! It is the one that is asked for, else that of a running Telegraf, else that of its systemd unit, else oneself. As root,
//! [`act_as`] gives a thread the rights of that user, so that the system itself answers what the user may (Linux: rights
//! belong to threads there). Deliberately absent: what confines a service beyond its user, as `ProtectSystem=` in its unit.

use super::process::RunningTelegraf;
use super::system;
use crate::durable::user;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How the user was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// By `--as`.
    Named,
    /// It runs this process of Telegraf.
    Process(u32),
    /// The unit of systemd names it.
    Unit(PathBuf),
    /// Nobody else is known: the user of this command.
    Oneself,
}

/// A user with its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its name, or its number where it has none.
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    /// The supplementary groups.
    pub groups: Vec<u32>,
    pub origin: Origin,
}

impl ServiceAccount {
    /// The user that runs this command.
    pub fn oneself() -> ServiceAccount {
        #[cfg(unix)]
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        #[cfg(not(unix))]
        let (uid, gid) = (0, 0);
        ServiceAccount { name: user::name(), uid, gid, groups: Vec::new(), origin: Origin::Oneself }
    }

    /// True if this command runs as that user.
    pub fn is_oneself(&self) -> bool {
        self.uid == ServiceAccount::oneself().uid
    }

    /// Says who it is, and how that is known.
    pub fn words(&self) -> String {
        let name = &self.name;
        match &self.origin {
            Origin::Named => format!("{name}, as --as says"),
            Origin::Process(pid) => format!("{name}, the user of the running Telegraf (process {pid})"),
            Origin::Unit(unit) => format!("{name}, the user in {}", unit.display()),
            Origin::Oneself => format!("{name}, the user of this command"),
        }
    }
}

/// Finds the user to judge by.
///
/// # Errors
/// There is no such user.
pub fn find(named: Option<&str>, running: Option<&RunningTelegraf>) -> Result<ServiceAccount, String> {
    if let Some(name) = named {
        if !cfg!(unix) {
            return Err("--as is not known on this system: run `check` as the account of the service".to_string());
        }
        let found = known(name, Origin::Named).or_else(|| numbered(name));
        return found.ok_or_else(|| format!("there is no user {name:?}: name one of this system behind --as"));
    }
    if let Some(telegraf) = running {
        let name = known(&telegraf.uid.to_string(), Origin::Named).map_or_else(|| telegraf.uid.to_string(), |a| a.name);
        let RunningTelegraf { pid, uid, gid, ref groups, .. } = *telegraf;
        return Ok(ServiceAccount { name, uid, gid, groups: groups.clone(), origin: Origin::Process(pid) });
    }
    Ok(of_unit().unwrap_or_else(ServiceAccount::oneself))
}

/// A user without a name, by its number.
fn numbered(text: &str) -> Option<ServiceAccount> {
    let uid = text.parse().ok().filter(|_| cfg!(unix))?;
    Some(ServiceAccount { name: text.to_string(), uid, gid: uid, groups: Vec::new(), origin: Origin::Named })
}

/// A user that the system knows by name or number, those of a directory service too.
fn known(name: &str, origin: Origin) -> Option<ServiceAccount> {
    if !cfg!(unix) || name.is_empty() || name.starts_with('-') {
        return None;
    }
    let id = |flag: &str| {
        let output = Command::new("id").args([flag, name]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let groups = id("-G")?.split_whitespace().filter_map(|group| group.parse().ok()).collect();
    Some(ServiceAccount {
        name: id("-un")?,
        uid: id("-u")?.parse().ok()?,
        gid: id("-g")?.parse().ok()?,
        groups,
        origin,
    })
}

/// The user that the unit of systemd names; what an administrator has written comes before what the package has.
fn of_unit() -> Option<ServiceAccount> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let mut found = None;
    for folder in ["/lib/systemd/system", "/usr/lib/systemd/system", "/etc/systemd/system"] {
        let unit = system::at(folder).join("telegraf.service");
        let mut parts: Vec<PathBuf> = std::fs::read_dir(unit.with_extension("service.d"))
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        parts.retain(|path| path.extension().is_some_and(|e| e == "conf"));
        parts.sort();
        for path in std::iter::once(unit).chain(parts) {
            if let Some(name) = read(&path).and_then(|text| user_of_unit(&text)) {
                found = Some((name, path));
            }
        }
    }
    let (name, path) = found?;
    known(&name, Origin::Unit(path))
}

/// The last `User=` in a text of systemd.
fn user_of_unit(text: &str) -> Option<String> {
    let value = |line: &str| {
        line.split_once('=').filter(|(key, _)| key.trim() == "User").map(|(_, name)| name.trim().to_string())
    };
    text.lines().filter_map(value).next_back().filter(|name| !name.is_empty() && !name.contains('%'))
}

/// Does something with the rights of a user, in a thread of its own.
///
/// # Errors
/// This process may not take on that user.
#[cfg(target_os = "linux")]
pub fn act_as<T: Send>(account: &ServiceAccount, job: impl FnOnce() -> T + Send) -> io::Result<T> {
    use rustix::process::{Gid, Uid};
    use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
    if account.is_oneself() {
        return Ok(job());
    }
    let take_on = || -> io::Result<()> {
        let groups: Vec<Gid> = account.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        set_thread_groups(&groups)?;
        set_thread_gid(Gid::from_raw(account.gid))?;
        // The last one: it takes the right to do the others.
        Ok(set_thread_uid(Uid::from_raw(account.uid))?)
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("as user".to_string());
        let handle = thread.spawn_scoped(scope, || take_on().map(|()| job()))?;
        handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(not(target_os = "linux"))]
pub fn act_as<T: Send>(account: &ServiceAccount, job: impl FnOnce() -> T + Send) -> io::Result<T> {
    match account.is_oneself() {
        true => Ok(job()),
        false => Err(io::ErrorKind::Unsupported.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_of_a_unit_is_its_last_one() {
        assert_eq!(user_of_unit("[Service]\nUser=telegraf\n"), Some("telegraf".to_string()));
        assert_eq!(user_of_unit("[Service]\nUser=a\nUser=x\n User = b \n"), Some("b".to_string()));
        assert_eq!(user_of_unit("#User=telegraf\n[Service]\nUser=\n"), None);
    }
}
