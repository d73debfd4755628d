//! What `status` says first: whether all is well, what needs the reader, or how the process has ended. Pure: a status, what the
//! system says of the process, and a time in; sentences out.
//!
//! Invariant: the first line and the exit code say the same, and neither is better than what the log has said.

use crate::driver::owner::status::{STALE_AFTER, parsed};
use crate::durable::claim::Tenancy;
use crate::engine::zone::{WindowKind, Zone};
use crate::sink::sql::times;
use crate::words;
use serde_json::{Value, json};

const MINUTE: i64 = 60 * 1_000_000_000;
/// A flush that is at work for longer than this: the sink does not answer.
const FLUSH_MAX: i64 = 10 * MINUTE;
/// A process that has matched no line needs somebody after this time.
const NOTHING_AFTER: i64 = MINUTE;

/// What the system says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signs {
    /// Whether a process owns the state directory.
    pub tenancy: Tenancy,
    /// Whether the process lives that has written the status; `None` if that cannot be told.
    pub lives: Option<bool>,
}

/// How the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Runs,
    /// It owns the directory, and has written no status for too long.
    IsSilent,
    /// Another one than has written the status owns the directory.
    Starts,
    Ended,
    /// It has ended without a word.
    WasKilled,
}

impl Life {
    /// Judges it.
    pub fn of(status: &Value, signs: Signs, now: i64) -> Life {
        let has_ended = !status["ended_at"].is_null();
        let is_guest = status["role"] == "guest";
        let is_fresh = parsed(&status["written_at"]).is_some_and(|at| now - at < STALE_AFTER);
        match (signs.tenancy, signs.lives) {
            (Tenancy::Owned, Some(true)) if has_ended => Life::Ended,
            (Tenancy::Owned, _) if has_ended || is_guest => Life::Starts,
            (Tenancy::Owned, Some(false)) => Life::Starts,
            (Tenancy::Owned, _) => {
                if is_fresh {
                    Life::Runs
                } else {
                    Life::IsSilent
                }
            }
            _ if has_ended => Life::Ended,
            // Whoever has been the owner is it for as long as it lives.
            (Tenancy::Free, _) if !is_guest => Life::WasKilled,
            (_, Some(false)) => Life::WasKilled,
            (_, _) if is_fresh => Life::Runs,
            (Tenancy::Unknown, Some(true)) if !is_guest => Life::IsSilent,
            (_, _) => Life::WasKilled,
        }
    }
}

/// What is said first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The first line.
    pub line: String,
    /// What needs the reader, a sentence each.
    pub needs: Vec<String>,
    /// The exit code is 0.
    pub is_well: bool,
}

impl Verdict {
    /// Judges a status.
    pub fn of(status: &Value, signs: Signs, zone: &Zone, now: i64) -> Verdict {
        let life = Life::of(status, signs, now);
        let when = |at: &Value| moment(at, zone, now);
        let mut needs = needs(status, life, zone, now);
        let pid = &status["pid"];
        let unwritten = status["windows"]["unacknowledged"].as_u64().unwrap_or(0);
        let wait = match unwritten {
            0 => String::new(),
            n => format!(
                "{} {} not written: {} in state_dir, and the next start writes {}",
                words::some(n, "window"),
                words::verb(n, "is", "are"),
                words::verb(n, "it waits", "they wait"),
                words::verb(n, "it", "them")
            ),
        };
        let line = match life {
            Life::Ended => {
                let how = match (&wait[..], needs.is_empty()) {
                    ("", true) => "everything is written".to_string(),
                    ("", false) => counted(&needs),
                    (wait, _) => wait.to_string(),
                };
                if unwritten > 0 {
                    needs.insert(
                        0,
                        "the last rows are not written: start Telegraf, and look here again after a minute".to_string(),
                    );
                }
                format!("ended {}: {how}", when(&status["ended_at"]))
            }
            Life::WasKilled => {
                let wait = if wait.is_empty() { wait } else { format!("; {wait}") };
                needs.insert(0, "nothing runs with this state_dir: start Telegraf, and look at its log".to_string());
                format!(
                    "ended without a word, after {}: it was killed, or the machine stopped{wait}",
                    when(&status["written_at"])
                )
            }
            Life::Runs | Life::IsSilent | Life::Starts if !needs.is_empty() => counted(&needs),
            Life::Runs if status["role"] == "guest" => {
                let seen = status["lines"]["seen"].as_u64().unwrap_or(0);
                format!(
                    "healthy: process {pid} has just started; {} so far, and none of them matches a source yet",
                    words::some(seen, "line")
                )
            }
            Life::Runs | Life::IsSilent | Life::Starts => {
                let rows = match parsed(&status["flush"]["last_complete_at"]) {
                    Some(at) => format!("the last rows were written {}", words::ago(now - at)),
                    None => "it has written no rows yet".to_string(),
                };
                format!("healthy: process {pid} counts since {}; {rows}", when(&status["started_at"]))
            }
        };
        let is_well = needs.is_empty();
        Verdict { line, needs, is_well }
    }

    /// As `status --json` has it.
    pub fn json(&self) -> Value {
        json!({ "line": self.line, "needs": self.needs, "is_well": self.is_well })
    }

    /// Where there is no status at all.
    pub fn of_nothing(need: String) -> Verdict {
        let needs = vec![need];
        Verdict { line: counted(&needs), needs, is_well: false }
    }
}

/// How many things need the reader, and the first of them in short.
fn counted(needs: &[String]) -> String {
    let n = needs.len() as u64;
    let first = needs.first().map(String::as_str).unwrap_or_default();
    let first = first.split(['\n', ';']).next().unwrap_or_default();
    format!("{} {} you: {first}", words::some(n, "thing"), words::verb(n, "needs", "need"))
}

/// A time in the zone of the summaries, and how long ago it was.
pub fn moment(at: &Value, zone: &Zone, now: i64) -> String {
    match parsed(at) {
        Some(at) => {
            format!("{} {} ({})", times::local(zone, WindowKind::Hourly, at), zone.name(), words::ago(now - at))
        }
        None => "not yet".to_string(),
    }
}

/// What needs the reader.
fn needs(status: &Value, life: Life, zone: &Zone, now: i64) -> Vec<String> {
    // It may quote what a line has said.
    let text = |value: &Value| value.as_str().unwrap_or("?").replace(char::is_control, " ");
    let mut needs = Vec::new();
    match life {
        Life::IsSilent => needs.push(format!(
            "process {} has written no status since {}; look at Telegraf's log, and reload Telegraf",
            status["pid"],
            moment(&status["written_at"], zone, now)
        )),
        Life::Starts => needs.push(
            "a process owns the state and has not said anything yet; it is recovering what came before: ask again in 10 s".to_string(),
        ),
        Life::Runs | Life::Ended | Life::WasKilled => {}
    }
    let mut has_sink = false;
    for trouble in status["troubles"].as_array().into_iter().flatten() {
        has_sink |= trouble["what"] == "sink";
        needs.push(format!("{}; since {}", text(&trouble["text"]), moment(&trouble["since"], zone, now)));
    }
    if !has_sink && let Some(error) = status["flush"]["error"].as_str() {
        needs.push(format!("the last rows were not written; {}", error.replace(char::is_control, " ")));
    }
    let aside = &status["set_aside"];
    let count = aside["count"].as_u64().unwrap_or(0) + aside["beyond"].as_u64().unwrap_or(0);
    if count > 0 {
        needs.push(format!(
            "the sink refuses {}; see below, correct what it names, and type `telegraf-rollup resend`",
            words::some(count, "row")
        ));
    }
    let running =
        parsed(&status["flush"]["running_since"]).filter(|since| now - since > FLUSH_MAX && life == Life::Runs);
    if let Some(since) = running {
        needs.push(format!("the sink has not answered for {}; look at that server", words::lasting(now - since)));
    }
    let seen = status["lines"]["seen"].as_u64().unwrap_or(0);
    let is_old = parsed(&status["started_at"]).is_some_and(|at| now - at >= NOTHING_AFTER);
    let is_guest = status["role"] == "guest";
    if is_guest && ((life == Life::Runs && is_old) || (life == Life::Ended && seen > 0)) {
        needs.push(nothing_counted(status, seen));
    }
    needs
}

/// Why nothing is counted.
fn nothing_counted(status: &Value, seen: u64) -> String {
    let (arrivals, no_key) = (&status["arrivals"], status["lines"]["no_key"].as_u64().unwrap_or(0));
    if seen == 0 {
        return "no line has come; look whether Telegraf's inputs run, and at `namepass`, `namedrop` and `order` in the snippet".to_string();
    }
    let lines = words::some(seen, "line");
    if no_key > 0 {
        let tags: Vec<&str> =
            arrivals["missing_tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        return format!(
            "nothing is counted: {} of {lines} {} a source, but {} a tag of the key ({}); look at `omit_hostname`, `tagexclude` and \
             `taginclude` in Telegraf's configuration, and at `key` in the [[summary]]",
            words::number(no_key),
            words::verb(no_key, "matches", "match"),
            words::verb(no_key, "lacks", "lack"),
            tags.join(", ")
        );
    }
    let nearest =
        arrivals["nearest"].as_str().map(|nearest| format!("; what comes closest: {nearest}")).unwrap_or_default();
    format!(
        "nothing is counted: none of {lines} matches a source{nearest}; compare the sources with what `telegraf --test` prints, by \
         `telegraf-rollup check --explain LINE`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000_000_000;
    const SECOND: i64 = 1_000_000_000;

    fn time(before: i64) -> Value {
        json!(format!("{}Z", times::datetime(NOW - before * SECOND).replace(' ', "T")))
    }

    /// The status of an owner that has started an hour ago.
    fn owner() -> Value {
        json!({
            "pid": 7, "role": "owner", "written_at": time(5), "started_at": time(3_600), "ended_at": null, "troubles": [],
            "lines": { "seen": 10, "no_key": 0 }, "windows": { "unacknowledged": 0 }, "set_aside": { "count": 0, "beyond": 0 },
            "flush": { "error": null, "last_complete_at": time(20), "running_since": null },
        })
    }

    fn said(status: &Value, tenancy: Tenancy, lives: Option<bool>) -> (String, bool) {
        let verdict = Verdict::of(status, Signs { tenancy, lives }, &Zone::utc(), NOW);
        assert_eq!(verdict.is_well, verdict.needs.is_empty());
        (verdict.line, verdict.is_well)
    }

    #[test]
    fn who_runs_and_writes_is_healthy() {
        let (line, well) = said(&owner(), Tenancy::Owned, Some(true));
        assert_eq!(
            line,
            "healthy: process 7 counts since 2027-01-15 07:00:00 UTC (1 hour ago); the last rows were written 20 seconds ago"
        );
        assert!(well);
        let mut new = owner();
        new["flush"]["last_complete_at"] = Value::Null;
        assert!(said(&new, Tenancy::Owned, None).0.ends_with("it has written no rows yet"));
    }

    #[test]
    fn the_lock_and_not_the_age_of_the_file_says_who_runs() {
        let mut old = owner();
        old["written_at"] = time(40);
        for (status, tenancy, lives, begins) in [
            (&owner(), Tenancy::Free, Some(true), "ended without a word"),
            (&owner(), Tenancy::Free, Some(false), "ended without a word"),
            (&owner(), Tenancy::Unknown, Some(true), "healthy: "),
            (&owner(), Tenancy::Unknown, Some(false), "ended without a word"),
            (&owner(), Tenancy::Unknown, None, "healthy: "),
            (&old, Tenancy::Unknown, None, "ended without a word"),
            (&old, Tenancy::Unknown, Some(true), "1 thing needs you: process 7 has written no status since"),
            (&old, Tenancy::Owned, Some(true), "1 thing needs you: process 7 has written no status since"),
            (&owner(), Tenancy::Owned, Some(false), "1 thing needs you: a process owns the state"),
        ] {
            let (line, well) = said(status, tenancy, lives);
            assert!(line.starts_with(begins) && well == begins.starts_with("healthy"), "{line}");
        }
    }

    #[test]
    fn the_end_says_what_it_has_left() {
        let mut ended = owner();
        ended["ended_at"] = time(180);
        assert_eq!(
            said(&ended, Tenancy::Free, Some(false)),
            ("ended 2027-01-15 07:57:00 UTC (3 minutes ago): everything is written".to_string(), true)
        );
        assert!(said(&ended, Tenancy::Owned, Some(true)).0.starts_with("ended "), "it is on its way out");
        assert!(
            said(&ended, Tenancy::Owned, Some(false)).0.contains("a process owns the state"),
            "the next one starts"
        );
        ended["windows"]["unacknowledged"] = json!(1);
        let (line, well) = said(&ended, Tenancy::Free, None);
        assert!(
            line.ends_with("1 window is not written: it waits in state_dir, and the next start writes it") && !well,
            "{line}"
        );
        let mut killed = owner();
        killed["windows"]["unacknowledged"] = json!(3);
        let (line, _) = said(&killed, Tenancy::Free, Some(false));
        assert!(
            line.ends_with(
                "stopped; 3 windows are not written: they wait in state_dir, and the next start writes them"
            ),
            "{line}"
        );
    }

    #[test]
    fn what_the_log_calls_an_error_needs_somebody() {
        let needs = |change: &dyn Fn(&mut Value)| {
            let mut status = owner();
            change(&mut status);
            let (line, well) = said(&status, Tenancy::Owned, Some(true));
            assert!(!well);
            line
        };
        let trouble = json!({ "what": "sink", "since": time(720), "text": "the sink failed: no; odd\u{1b}" });
        assert_eq!(needs(&|s| s["troubles"] = json!([trouble])), "1 thing needs you: the sink failed: no");
        let both = |s: &mut Value| {
            s["troubles"] = json!([trouble]);
            s["flush"]["error"] = json!("no");
            s["set_aside"] = json!({ "count": 1, "beyond": 0 });
        };
        assert_eq!(needs(&both), "2 things need you: the sink failed: no", "the sink counts once");
        assert_eq!(needs(&|s| s["flush"]["error"] = json!("no")), "1 thing needs you: the last rows were not written");
        assert!(
            needs(&|s| s["flush"]["running_since"] = time(700)).ends_with("the sink has not answered for 11 minutes")
        );
    }

    #[test]
    fn a_guest_needs_somebody_after_a_minute() {
        let mut guest = owner();
        guest["role"] = json!("guest");
        guest["started_at"] = time(30);
        let (line, well) = said(&guest, Tenancy::Free, Some(true));
        assert!(line.starts_with("healthy: process 7 has just started; 10 lines so far, and none") && well, "{line}");
        assert!(
            said(&guest, Tenancy::Owned, Some(true)).0.contains("a process owns the state"),
            "another one has begun to count"
        );
        assert!(said(&guest, Tenancy::Free, Some(false)).0.starts_with("ended without a word"));
        guest["started_at"] = time(70);
        let (line, well) = said(&guest, Tenancy::Free, Some(true));
        assert!(line.ends_with("nothing is counted: none of 10 lines matches a source") && !well, "{line}");
        guest["lines"]["no_key"] = json!(1);
        guest["arrivals"] = json!({ "missing_tags": ["host"] });
        let (line, _) = said(&guest, Tenancy::Free, Some(true));
        assert!(line.ends_with("1 of 10 lines matches a source, but lacks a tag of the key (host)"), "{line}");
        guest["ended_at"] = time(1);
        assert!(said(&guest, Tenancy::Free, Some(false)).0.contains("1 thing needs you: nothing is counted"));
    }
}
