//! One line and an engine: fed to it, or only recognized.

use crate::engine::Engine;

/// Feeds one line. True if it feeds a column.
#[inline]
pub fn one(engine: &mut Engine, line: &[u8], now: i64) -> bool {
    fault(line);
    engine.ingest(line, now)
}

/// Looks whether a line feeds a column, and does not count it.
#[inline]
pub fn matches(engine: &mut Engine, line: &[u8], _: i64) -> bool {
    fault(line);
    engine.matches(line)
}

/// Panics on lines that hold the text of `TELEGRAF_ROLLUP_FAULT_PANIC`: how tests fail the engine in a real process.
/// Only debug builds have it.
#[inline]
fn fault(line: &[u8]) {
    #[cfg(debug_assertions)]
    {
        use std::sync::OnceLock;
        static TEXT: OnceLock<Option<String>> = OnceLock::new();
        let text = TEXT.get_or_init(|| std::env::var("TELEGRAF_ROLLUP_FAULT_PANIC").ok());
        if let Some(text) = text
            && memchr::memmem::find(line, text.as_bytes()).is_some()
        {
            panic!("fault injected by TELEGRAF_ROLLUP_FAULT_PANIC");
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = line;
}
