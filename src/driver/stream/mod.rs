//! The stream: stdin -> journal -> stdout, byte for byte, and never held by anything but its own reader.

mod beginning;
pub mod berth;
pub mod forward;
pub mod nap;
pub mod pipe;
pub mod platform;
pub mod relay;
