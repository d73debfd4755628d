//! The beginning of the stream: a byte order mark is forwarded, but is no part of the first line; lines in an encoding that is
//! not read are named in the log, once.
//!
//! Invariant: nothing here changes which bytes leave.

use crate::text::{self, MARK};

/// So many bytes are looked at: an agent shows all of its series soon.
const LOOK_BYTES: usize = 1 << 20;

/// What is still to be looked at.
pub struct Beginning {
    /// Nothing has been looked at yet.
    is_first: bool,
    /// Bytes that are still looked at.
    left: usize,
}

impl Default for Beginning {
    fn default() -> Beginning {
        Beginning { is_first: true, left: LOOK_BYTES }
    }
}

impl Beginning {
    /// That of a stream of which nothing is counted: nothing is to be said of it.
    pub fn of_no_interest() -> Beginning {
        Beginning { is_first: false, left: 0 }
    }

    /// How many bytes in front of the first line are no part of it; `None` if that cannot be told yet. Later it is none.
    pub fn skip(&mut self, bytes: &[u8]) -> Option<usize> {
        if !self.is_first {
            return Some(0);
        }
        if bytes.len() < MARK.len() && MARK.starts_with(bytes) {
            return None;
        }
        self.is_first = false;
        if let Some(foreign) = text::utf16(bytes) {
            self.left = 0;
            log::warn!("no line of the input can be counted: {foreign}; all lines pass as they are");
        }
        Some(bytes.len() - text::without_mark(bytes).len())
    }

    /// Looks at whole lines.
    pub fn look(&mut self, lines: &[u8]) {
        if self.left == 0 {
            return;
        }
        self.left = self.left.saturating_sub(lines.len());
        if let Some(shown) = text::not_utf8(lines) {
            self.left = 0;
            log::warn!(
                "the input is not all UTF-8 (is it Latin-1 or another code page?), as in `{shown}`: such lines count, and devices \
                 are shown with \\xNN for each such byte; let their source write UTF-8"
            );
        }
    }
}
