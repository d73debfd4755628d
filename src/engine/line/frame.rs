//! Bytes in any chunks -> whole lines, by the grammar.
//!
//! A newline ends a line unless it stands inside a quoted string field value of a line that is well formed up to there.
//! Splitting at every LF, or toggling on every quote, is wrong: tags may hold unbalanced quotes, strings may hold raw
//! newlines, and after an error Telegraf drops the rest of the *physical* line, quotes ignored.
//!
//! The fast path is one search for the newline; the grammar is consulted only if a quote stands before it.
//!
//! Invariants: the lines that come out, joined, are the bytes that went in; the work for a string that arrives in many
//! pieces is linear in its length.

use super::scan::{self, End, OpenString};

/// What is known of the line that has begun and not ended yet. Offsets are relative to the line's first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    /// Nothing is known but that no newline stands before this offset.
    #[default]
    Fresh,
    NoNewlineBefore(usize),
    /// A quoted string is open.
    InString(OpenString),
    /// A string was closed before `resume`; no newline stands between there and `searched`.
    AfterString {
        resume: usize,
        searched: usize,
    },
    /// The line is malformed: it ends after the next newline, which does not stand before this offset.
    Discarding(usize),
}

/// Finds the ends of lines in bytes that arrive in pieces.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    progress: Progress,
}

impl Framer {
    /// Looks for the end of the line that starts at the first byte of `bytes`.
    ///
    /// Returns the length of the line with its newline, or `None` if the end has not arrived. In that case the next call
    /// must be given the same bytes again, with more behind them.
    #[inline]
    pub fn line(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.progress == Progress::Fresh {
            // One pass finds the newline; only a quote before it makes the line a matter of grammar.
            match memchr::memchr2(b'\n', b'"', bytes) {
                Some(at) if bytes[at] == b'\n' => return Some(at + 1),
                None => {
                    self.progress = Progress::NoNewlineBefore(bytes.len());
                    return None;
                }
                Some(_) => {}
            }
        }
        self.by_grammar(bytes)
    }

    /// A framer in the middle of a line whose beginning is gone: the line ends at the next newline.
    pub fn discarding() -> Framer {
        Framer { progress: Progress::Discarding(0) }
    }

    fn by_grammar(&mut self, bytes: &[u8]) -> Option<usize> {
        let newline = |from: usize| memchr::memchr(b'\n', &bytes[from..]).map(|n| from + n);
        loop {
            let from = match self.progress {
                Progress::Fresh => 0,
                Progress::NoNewlineBefore(from) => from,
                Progress::InString(open) => {
                    match scan::scan_open_string(bytes, open) {
                        Ok(close) => self.progress = Progress::AfterString { resume: close, searched: close },
                        Err(End::Open(open)) => {
                            self.progress = Progress::InString(open);
                            return None;
                        }
                        Err(End::Rejected(at) | End::Complete(at) | End::Closed(at)) => {
                            self.progress = Progress::Discarding(at)
                        }
                    }
                    continue;
                }
                Progress::AfterString { resume, searched } => {
                    if newline(searched).is_none() {
                        self.progress = Progress::AfterString { resume, searched: bytes.len() };
                        return None;
                    }
                    if let Some(end) = self.settle(scan::scan_after_string(bytes, resume)) {
                        return Some(end);
                    }
                    continue;
                }
                Progress::Discarding(from) => {
                    let Some(at) = newline(from.min(bytes.len())) else {
                        self.progress = Progress::Discarding(bytes.len().max(from));
                        return None;
                    };
                    self.progress = Progress::Fresh;
                    return Some(at + 1);
                }
            };
            let Some(at) = newline(from) else {
                self.progress = Progress::NoNewlineBefore(bytes.len());
                return None;
            };
            if memchr::memchr(b'"', &bytes[..at]).is_none() {
                self.progress = Progress::Fresh;
                return Some(at + 1);
            }
            if let Some(end) = self.settle(scan::scan_line(bytes)) {
                return Some(end);
            }
        }
    }

    /// Takes over what the scanner found: the end of the line, or the state in which to go on.
    fn settle(&mut self, end: End) -> Option<usize> {
        match end {
            End::Complete(end) => {
                self.progress = Progress::Fresh;
                return Some(end);
            }
            End::Rejected(at) => self.progress = Progress::Discarding(at),
            End::Open(open) => self.progress = Progress::InString(open),
            End::Closed(close) => self.progress = Progress::AfterString { resume: close, searched: close },
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8], step: usize) -> (Vec<Vec<u8>>, Vec<u8>) {
        let (mut framer, mut held, mut out) = (Framer::default(), Vec::new(), Vec::new());
        for chunk in input.chunks(step) {
            held.extend_from_slice(chunk);
            while let Some(end) = framer.line(&held) {
                out.push(held.drain(..end).collect());
            }
        }
        (out, held)
    }

    #[test]
    fn newlines_inside_strings_do_not_end_a_line() {
        let input = b"m f=\"a\nb\" 1\nn,k=\" f=2 2\nm f=\"a\\qb\nz\" 1\no f=3 3\nm f=\"x\",g=\"y\r\n\nz\" 5\r\ntail";
        let whole = lines(input, input.len());
        let expected: [&[u8]; 6] = [
            b"m f=\"a\nb\" 1\n",
            b"n,k=\" f=2 2\n",
            b"m f=\"a\\qb\n",
            b"z\" 1\n",
            b"o f=3 3\n",
            b"m f=\"x\",g=\"y\r\n\nz\" 5\r\n",
        ];
        assert_eq!(whole.0, expected);
        assert_eq!(whole.1, b"tail");
        for step in 1..input.len() {
            assert_eq!(lines(input, step), whole, "in pieces of {step}");
        }
    }

    #[test]
    fn an_error_before_a_quote_makes_the_quote_void() {
        let input = b"m,k= f=\"a\nb f=1 1\n";
        assert_eq!(lines(input, 1).0, [&b"m,k= f=\"a\n"[..], b"b f=1 1\n"]);
    }

    #[test]
    fn a_long_string_in_single_bytes_is_linear() {
        // 400,000 bytes one at a time: quadratic work would be 80 billion steps.
        let mut input = b"m f=\"".to_vec();
        input.extend(std::iter::repeat_n(*b"x\n", 200_000).flatten());
        input.extend_from_slice(b"\" 1\n");
        let mut framer = Framer::default();
        for end in 1..input.len() {
            assert_eq!(framer.line(&input[..end]), None);
        }
        assert_eq!(framer.line(&input), Some(input.len()));
    }
}
