//! A way around copies that this platform does not have.

use super::read::Read;
#[cfg(unix)]
use super::unix::{Input, Output};
#[cfg(windows)]
use super::windows::{Input, Output};

/// Never made.
pub enum Bypass {}

impl Bypass {
    pub fn new(_: &Input, _: &Output) -> Option<Bypass> {
        None
    }

    pub fn is_taken(&self) -> bool {
        match *self {}
    }

    pub fn consider(&mut self, _: &[u8]) {
        match *self {}
    }

    pub fn leave(&mut self) {
        match *self {}
    }

    pub fn read(&mut self, _: &mut Input, _: &mut [u8], _: Option<std::time::Duration>) -> std::io::Result<Read> {
        match *self {}
    }

    pub fn forward(&mut self, _: &mut Output, _: usize) -> std::io::Result<bool> {
        match *self {}
    }
}
