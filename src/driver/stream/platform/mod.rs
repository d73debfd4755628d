//! What differs by platform: reading stdin with a time limit, and knowing the pipe behind stdout.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use unix::{Input, Output, Progress, input_is_closed, progress};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub use windows::{Input, Output, Progress, input_is_closed, progress};

#[cfg(target_os = "linux")]
mod bypass;
#[cfg(target_os = "linux")]
pub use bypass::Bypass;

#[cfg(not(target_os = "linux"))]
mod no_bypass;
#[cfg(not(target_os = "linux"))]
pub use no_bypass::Bypass;

mod read;
pub use read::Read;
