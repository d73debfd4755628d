//! Log lines on stderr, in the form that Telegraf reads: `E! `, `W! `, `I! ` or `D! ` and one short line.
//!
//! Telegraf stops reading a child's stderr after a line of 64 KiB: lines are cut, control characters are escaped, and a line
//! that repeats is written once a minute, with the number of times it was held back. A stderr that nobody reads must hold up
//! nothing: a thread of its own writes, and what it cannot take is dropped.

use super::threads;
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest line in bytes, without its newline.
const LINE_BYTES_MAX: usize = 1_000;
/// A repeated line is written again after this time.
const REPEAT_AFTER: Duration = Duration::from_secs(60);
/// Different lines that are remembered to recognize a repeated one.
const REMEMBERED_MAX: usize = 256;

/// Lines that may wait for stderr.
const WAITING_MAX: usize = 1_000;
/// How long the end of the process waits for them.
const FLUSH_MAX: Duration = Duration::from_millis(200);

struct Stderr {
    recent: Mutex<HashMap<String, (Instant, u64)>>,
    lines: SyncSender<String>,
    sent: AtomicU64,
    written: Arc<AtomicU64>,
}

/// Starts logging at a level. A second call changes the level alone.
pub fn start(level: LevelFilter) {
    let (lines, waiting) = sync_channel::<String>(WAITING_MAX);
    let written = Arc::new(AtomicU64::new(0));
    let count = written.clone();
    // Without a thread there is no log: nothing may wait for a stderr that nobody reads.
    let _ = threads::start("log", move || {
        for line in waiting {
            // There is nowhere to report that stderr is gone.
            let _ = std::io::stderr().lock().write_all(line.as_bytes());
            count.fetch_add(1, Ordering::Release);
        }
    });
    let logger = Box::new(Stderr { recent: Mutex::default(), lines, sent: AtomicU64::new(0), written });
    // An error means that logging has been started before.
    let _ = log::set_boxed_logger(logger);
    log::set_max_level(level);
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, |l| format!(" at {}:{}", l.file(), l.line()));
        let text = panic.payload_as_str().unwrap_or("no message");
        log::error!("internal error{place}: {text}; the stream goes on; please report this");
    }));
}

fn prefix(level: Level) -> &'static str {
    match level {
        Level::Error => "E! ",
        Level::Warn => "W! ",
        Level::Info => "I! ",
        Level::Debug | Level::Trace => "D! ",
    }
}

/// One line of a message: prefix, control characters escaped, cut to [`LINE_BYTES_MAX`].
fn line(level: Level, message: &str) -> String {
    let mut out = String::from(prefix(level));
    for c in message.chars() {
        if out.len() + c.len_utf8() > LINE_BYTES_MAX - 4 {
            out.push_str(" ...");
            break;
        }
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries speak of themselves; what matters reaches us as an error.
        metadata.target().starts_with("telegraf_rollup")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut text = line(record.level(), &record.args().to_string());
        {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if let Some((written, held)) = recent.get_mut(&text) {
                if now.duration_since(*written) < REPEAT_AFTER {
                    *held += 1;
                    return;
                }
                let times = *held;
                (*written, *held) = (now, 0);
                if times > 0 {
                    text.push_str(&format!(" (repeated {times} times)"));
                }
            } else {
                if recent.len() >= REMEMBERED_MAX {
                    recent.retain(|_, (written, _)| now.duration_since(*written) < REPEAT_AFTER);
                }
                if recent.len() < REMEMBERED_MAX {
                    recent.insert(text.clone(), (now, 0));
                }
            }
        }
        text.push('\n');
        if self.lines.try_send(text).is_ok() {
            self.sent.fetch_add(1, Ordering::Release);
        }
    }

    /// Waits until everything is written, but not for a stderr that nobody reads.
    fn flush(&self) {
        let start = Instant::now();
        while self.written.load(Ordering::Acquire) < self.sent.load(Ordering::Acquire) && start.elapsed() < FLUSH_MAX {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_short_and_single() {
        assert_eq!(line(Level::Error, "a\nb\u{1b}[0m"), "E! a\\nb\\u{1b}[0m");
        let long = line(Level::Warn, &"é".repeat(5000));
        assert!(long.len() <= LINE_BYTES_MAX && long.ends_with(" ..."));
    }
}
