//! Other processes, as far as the system shows them.

#[cfg(target_os = "linux")]
use super::parent;

/// True if another process was started by the Telegraf that has started this one, and is the same program: with an aggregator, those
/// before 1.40 start a second instance of every processor. Where the system shows no parents (`/proc` on Linux does), nobody is.
#[cfg(target_os = "linux")]
pub fn are_siblings(pid: u64) -> bool {
    let own = u64::from(std::process::id());
    let read = |pid: u64, file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let parent = |pid: u64| parent::parent_of(&read(pid, "stat"));
    let is_same = read(pid, "comm") == read(own, "comm");
    match (parent(pid), parent(own)) {
        (Some(theirs), Some(ours)) if theirs == ours && pid != own && is_same => {
            parent::is_telegraf(&read(u64::from(ours), "cmdline"))
        }
        _ => false,
    }
}

#[cfg(not(target_os = "linux"))]
pub fn are_siblings(_: u64) -> bool {
    false
}

/// What the numbers of processes are of: in a container they mean others than outside. `None` where the system does not say.
pub fn namespace() -> Option<String> {
    let link = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// Whether a process with this number lives; `None` where the system does not say.
#[cfg(unix)]
pub fn lives(pid: u64) -> Option<bool> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
    // Who may not signal it learns that it is there.
    Some(!matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH)))
}

#[cfg(not(unix))]
pub fn lives(_: u64) -> Option<bool> {
    None
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_ended_does_not_live() {
        assert_eq!(lives(u64::from(std::process::id())), Some(true));
        let mut child = std::process::Command::new("true").spawn().expect("it starts");
        let pid = u64::from(child.id());
        child.wait().expect("it ends");
        assert_eq!(lives(pid), Some(false));
        assert_eq!(lives(u64::MAX), None);
    }
}
