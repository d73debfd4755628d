//! Faults on purpose, for tests of the real process.

use super::action::Action;

/// Panics at the action that `TELEGRAF_ROLLUP_FAULT_ACTION` names, as often as it says (`Checkpoint:1`): how tests fail the
/// keeper in a real process. Only debug builds have it.
pub fn fault(action: Action) {
    #[cfg(debug_assertions)]
    {
        use std::sync::OnceLock;
        use std::sync::atomic::{AtomicU32, Ordering};
        static FAULT: OnceLock<Option<(String, AtomicU32)>> = OnceLock::new();
        let read = || {
            let text = std::env::var("TELEGRAF_ROLLUP_FAULT_ACTION").ok()?;
            let (name, times) = text.split_once(':')?;
            Some((name.to_string(), AtomicU32::new(times.parse().ok()?)))
        };
        if let Some((failing, left)) = FAULT.get_or_init(read)
            && format!("{action:?}").starts_with(failing.as_str())
            && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        {
            panic!("fault injected by TELEGRAF_ROLLUP_FAULT_ACTION");
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = action;
}
