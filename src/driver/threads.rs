//! Threads that may not be had: a limit on processes must not end what is running.

use std::io;
use std::thread::JoinHandle;

/// Starts a thread that tools show under this name.
///
/// # Errors
/// The system has none left.
pub fn start<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    fault(name)?;
    std::thread::Builder::new().name(name.to_string()).spawn(work)
}

/// Fails for the thread that `TELEGRAF_ROLLUP_FAULT_THREAD` names, as often as it says (`keeper:2`): how tests run out of
/// threads in a real process. Only debug builds have it.
fn fault(name: &str) -> io::Result<()> {
    #[cfg(debug_assertions)]
    {
        use std::sync::OnceLock;
        use std::sync::atomic::{AtomicU32, Ordering};
        static FAULT: OnceLock<Option<(String, AtomicU32)>> = OnceLock::new();
        let read = || {
            let text = std::env::var("TELEGRAF_ROLLUP_FAULT_THREAD").ok()?;
            let (name, times) = text.split_once(':')?;
            Some((name.to_string(), AtomicU32::new(times.parse().ok()?)))
        };
        if let Some((failing, left)) = FAULT.get_or_init(read)
            && failing == name
            && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        {
            return Err(io::Error::other("fault injected by TELEGRAF_ROLLUP_FAULT_THREAD"));
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
    Ok(())
}
