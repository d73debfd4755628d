//! Whether Telegraf only tests: `telegraf --test` prints what would go out, often as root beside a service that runs.
//!
//! It is seen in the arguments of the parent, where the system shows them (`/proc` on Linux). Elsewhere nobody tests. Deliberately
//! absent: `--once`, which writes to the outputs as ever.

/// Processes above this one that are looked at: a shell may stand between Telegraf and us.
#[cfg(target_os = "linux")]
const ANCESTORS_MAX: usize = 3;

/// True if this process was started by a Telegraf that only tests.
#[cfg(target_os = "linux")]
pub fn only_tests() -> bool {
    let read = |pid: u32, file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let mut pid = std::os::unix::process::parent_id();
    for _ in 0..ANCESTORS_MAX {
        if pid <= 1 {
            break;
        }
        let arguments = read(pid, "cmdline");
        let arguments: Vec<&[u8]> = arguments.split(|byte| *byte == 0).collect();
        if tests(&arguments) {
            return true;
        }
        pid = parent_of(&read(pid, "stat")).unwrap_or(0);
    }
    false
}

#[cfg(not(target_os = "linux"))]
pub fn only_tests() -> bool {
    false
}

/// The parent in a text of `/proc/PID/stat`. The name in it may hold anything, brackets too.
#[cfg(any(target_os = "linux", test))]
pub(super) fn parent_of(stat: &[u8]) -> Option<u32> {
    let text = String::from_utf8_lossy(stat);
    text.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// True if this is the command line of a Telegraf, as `/proc/PID/cmdline` has it.
#[cfg(target_os = "linux")]
pub(super) fn is_telegraf(cmdline: &[u8]) -> bool {
    cmdline.split(|byte| *byte == 0).any(|argument| is_named_telegraf(&argument))
}

/// True if an argument names Telegraf's program, and not ours.
#[cfg(any(target_os = "linux", test))]
fn is_named_telegraf(argument: &&[u8]) -> bool {
    let name = argument.rsplit(|byte| matches!(byte, b'/' | b'\\')).next().unwrap_or_default();
    let is_ours = name.starts_with(b"telegraf-rollup") || name.starts_with(b"telegraf_rollup");
    name.starts_with(b"telegraf") && !is_ours
}

/// True if these are the arguments of a Telegraf that only tests: a program of its name, perhaps behind an interpreter, and then the
/// flag as Go's library reads it.
#[cfg(any(target_os = "linux", test))]
fn tests(arguments: &[&[u8]]) -> bool {
    let Some(program) = arguments.iter().position(is_named_telegraf) else { return false };
    let (mut tests, mut once) = (false, false);
    let mut flags = arguments[program + 1..].iter();
    while let Some(argument) = flags.next() {
        let text = String::from_utf8_lossy(argument);
        let Some(flag) = text.strip_prefix("--").or_else(|| text.strip_prefix('-')) else { continue };
        let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
        let is_set = !matches!(value, Some("false" | "FALSE" | "False" | "f" | "F" | "0"));
        match name {
            "test" => tests |= is_set,
            "once" => once |= is_set,
            "test-wait" => {
                let next = || flags.next().map(|value| String::from_utf8_lossy(value).into_owned());
                tests |= value.map(str::to_string).or_else(next).is_some_and(|seconds| seconds.trim() != "0");
            }
            _ => {}
        }
    }
    tests && !once
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tested(line: &str) -> bool {
        tests(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
    }

    #[test]
    fn a_telegraf_that_only_tests_is_recognized() {
        for line in [
            "telegraf --test",
            "/usr/bin/telegraf --config /etc/telegraf/telegraf.conf --test",
            "telegraf -test -config x.conf",
            "telegraf --config x.conf --test=true --quiet",
            "telegraf --test-wait 10",
            "./telegraf-1.39.3/usr/bin/telegraf --test-wait=10 --config x.conf",
            "python3 telegraf --test",
        ] {
            assert!(tested(line), "{line}");
        }
    }

    #[test]
    fn whoever_counts_is_no_test() {
        for line in [
            "telegraf",
            "/usr/bin/telegraf --config /etc/telegraf/telegraf.conf --config-directory /etc/telegraf/telegraf.d",
            "telegraf --once",
            "telegraf --once --test-wait 10",
            "telegraf --test=false",
            "telegraf --test-wait 0",
            "telegraf --config test --test-config",
            "cargo test --test telegraf",
            "telegraf-rollup run --test",
            "bash --test",
            "",
        ] {
            assert!(!tested(line), "{line}");
        }
    }

    #[test]
    fn a_parent_is_found_behind_any_name() {
        assert_eq!(parent_of(b"4242 (a) b (c) S 17 4242 4242 0 -1"), Some(17));
        assert_eq!(parent_of(b""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn nobody_tests_here() {
        let stat = std::fs::read("/proc/self/stat").expect("it is shown");
        assert_eq!(parent_of(&stat), Some(std::os::unix::process::parent_id()));
        assert!(!only_tests());
    }
}
