//! Text files of the world: what editors and shells of other systems write is read as UTF-8, or named.
//!
//! The byte order mark of UTF-8 is no part of a text: it is skipped. UTF-16 and Latin-1 are named, with what to do.
//! Deliberately absent: conversion. A text that was converted from the wrong encoding is worse than one that was refused.

use std::io::{self, Read};
use std::path::Path;

/// The byte order mark of UTF-8, which Notepad and PowerShell put in front of a text.
pub const MARK: &[u8] = b"\xef\xbb\xbf";

/// So many bytes at the beginning of a text show whether it is UTF-16.
const LOOK_BYTES: usize = 4096;
/// So many bytes are shown in front of one that is not UTF-8, and behind it.
const SHOWN_BYTES: usize = 16;

/// An encoding that is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignText {
    #[error(
        "it is UTF-16 (little-endian, as Notepad and PowerShell write it): save it as UTF-8, for example by \
         `iconv -f UTF-16LE -t UTF-8`"
    )]
    Utf16Le,
    #[error("it is UTF-16 (big-endian): save it as UTF-8, for example by `iconv -f UTF-16BE -t UTF-8`")]
    Utf16Be,
    /// Any encoding of one byte for each character; `line` is the first that shows it, counted from 1.
    #[error(
        "line {line} is not UTF-8 (is it Latin-1 or another code page?): save it as UTF-8, for example by \
         `iconv -f WINDOWS-1252 -t UTF-8`"
    )]
    CodePage { line: usize },
}

/// No text that people write is larger, in bytes.
pub const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Why a file is not read as a text.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    #[error("it is a folder: name the file in it")]
    Folder,
    #[error("it is larger than {} MiB, which no such file is: name the right one", TEXT_BYTES_MAX >> 20)]
    TooLarge,
    #[error(transparent)]
    Unreadable(#[from] io::Error),
    #[error(transparent)]
    Foreign(#[from] ForeignText),
}

/// Reads a file of UTF-8, without a byte order mark. One that is too large is never read whole.
///
/// # Errors
/// The file cannot be read, is a folder, is too large, or is of another encoding. The text of the error tells nothing of the
/// content.
pub fn read(path: &Path) -> Result<String, TextError> {
    // Windows says of a folder that it may not be opened.
    if std::fs::metadata(path)?.is_dir() {
        return Err(TextError::Folder);
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(TextError::TooLarge);
    }
    Ok(decode(&bytes)?)
}

/// Returns the text of a file that has been read, as [`read`] does.
///
/// # Errors
/// It is of another encoding.
pub fn decode(bytes: &[u8]) -> Result<String, ForeignText> {
    if let Some(foreign) = utf16(bytes) {
        return Err(foreign);
    }
    match std::str::from_utf8(without_mark(bytes)) {
        Ok(text) => Ok(text.to_string()),
        Err(e) => {
            let before = &without_mark(bytes)[..e.valid_up_to()];
            Err(ForeignText::CodePage { line: 1 + memchr::memchr_iter(b'\n', before).count() })
        }
    }
}

/// A text without the byte order mark of UTF-8.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK).unwrap_or(bytes)
}

/// Says whether bytes begin a text of UTF-16: by its byte order mark, or because half of the first bytes are zero, as in every
/// text of mostly Latin letters.
pub fn utf16(bytes: &[u8]) -> Option<ForeignText> {
    match bytes {
        [0xff, 0xfe, ..] => return Some(ForeignText::Utf16Le),
        [0xfe, 0xff, ..] => return Some(ForeignText::Utf16Be),
        _ => {}
    }
    let (pairs, _) = bytes[..bytes.len().min(LOOK_BYTES)].as_chunks::<2>();
    let zeros = |place: usize| pairs.iter().filter(|pair| pair[place] == 0 && pair[1 - place] != 0).count();
    let is_most = |zeros: usize| zeros > 0 && 2 * zeros >= pairs.len();
    match (is_most(zeros(1)), is_most(zeros(0))) {
        (true, _) => Some(ForeignText::Utf16Le),
        (false, true) => Some(ForeignText::Utf16Be),
        (false, false) => None,
    }
}

/// The first place that is not UTF-8, with what stands around it, as `host=b\xfcro`; `None` if there is none. A character that
/// is cut by the end of the bytes is none.
pub fn not_utf8(bytes: &[u8]) -> Option<String> {
    // By far the most frequent, and very quick.
    if bytes.is_ascii() {
        return None;
    }
    let error = std::str::from_utf8(bytes).err().filter(|e| e.error_len().is_some())?;
    let at = error.valid_up_to();
    let line = memchr::memrchr(b'\n', &bytes[..at]).map_or(0, |newline| newline + 1);
    let end = memchr::memchr2(b'\n', b'\r', &bytes[at..]).map_or(bytes.len(), |length| at + length);
    let shown = &bytes[line.max(at.saturating_sub(SHOWN_BYTES))..end.min(at + SHOWN_BYTES)];
    Some(shown.escape_ascii().to_string())
}

/// Reads a text that is taken piece by piece: without its byte order mark, and never UTF-16. Notes the first place that is not
/// UTF-8, which is handed on as it is.
pub struct TextReader<R> {
    inner: R,
    /// What was read to look at the beginning, and how much of it has been handed on; `None` before the first read.
    beginning: Option<(Vec<u8>, usize)>,
    foreign: Option<String>,
}

impl<R: Read> TextReader<R> {
    /// A reader of the text that `inner` holds.
    pub fn new(inner: R) -> TextReader<R> {
        TextReader { inner, beginning: None, foreign: None }
    }

    /// The first place that was not UTF-8 so far, as [`not_utf8`] shows it.
    pub fn foreign(&self) -> Option<&str> {
        self.foreign.as_deref()
    }

    /// Reads the beginning and looks at it.
    fn begin(&mut self) -> io::Result<(Vec<u8>, usize)> {
        let mut bytes = Vec::with_capacity(LOOK_BYTES);
        self.inner.by_ref().take(LOOK_BYTES as u64).read_to_end(&mut bytes)?;
        if let Some(foreign) = utf16(&bytes) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, foreign));
        }
        let mark = bytes.len() - without_mark(&bytes).len();
        Ok((bytes, mark))
    }
}

impl<R: Read> Read for TextReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (bytes, at) = match &mut self.beginning {
            Some(beginning) => beginning,
            None => {
                let beginning = self.begin()?;
                self.beginning.insert(beginning)
            }
        };
        let count = if *at < bytes.len() {
            let count = (&bytes[*at..]).read(buffer)?;
            *at += count;
            count
        } else {
            self.inner.read(buffer)?
        };
        if self.foreign.is_none() {
            // The end of a character that the last piece has cut.
            let cut = buffer[..count].iter().take(3).take_while(|byte| (0x80..0xc0).contains(*byte)).count();
            self.foreign = not_utf8(&buffer[cut..count]);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text as UTF-16, without a byte order mark.
    fn wide(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    fn read_of(bytes: &[u8]) -> Result<String, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("text");
        std::fs::write(&path, bytes).expect("written");
        read(&path).map_err(|e| e.to_string())
    }

    #[test]
    fn a_mark_is_skipped_and_other_encodings_are_named() {
        assert_eq!(read_of(b"\xef\xbb\xbfa = \"\xc3\xbc\"\r\n").expect("read"), "a = \"ü\"\r\n");
        assert_eq!(read_of(b"").expect("read"), "");
        assert_eq!(read_of(b"\xef\xbb\xbf").expect("read"), "");
        // Only the first one is a mark.
        assert_eq!(read_of(b"\xef\xbb\xbf\xef\xbb\xbf").expect("read"), "\u{feff}");
        for text in ["timezone = \"UTC\"\n", "plain-pw", "Büro\r\n"] {
            for mark in ["", "\u{feff}"] {
                let text = format!("{mark}{text}");
                for (bytes, name) in [
                    (wide(&text, u16::to_le_bytes), "iconv -f UTF-16LE"),
                    (wide(&text, u16::to_be_bytes), "iconv -f UTF-16BE"),
                ] {
                    let said = read_of(&bytes).expect_err("named");
                    assert!(said.contains(name), "{text:?}: {said}");
                }
            }
        }
        let said = read_of(b"a = 1\n# B\xfcro\n").expect_err("named");
        assert!(
            said.contains("line 2 is not UTF-8 (is it Latin-1") && said.contains("iconv -f WINDOWS-1252"),
            "{said}"
        );
    }

    #[test]
    fn a_folder_and_what_is_too_large_are_no_texts() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(matches!(read(folder.path()), Err(TextError::Folder)));
        let most = usize::try_from(TEXT_BYTES_MAX).expect("small");
        assert_eq!(read_of(&vec![b'#'; most]).expect("read").len(), most);
        let said = read_of(&vec![b'#'; most + 1]).expect_err("refused");
        assert!(said.contains("larger than 1 MiB"), "{said}");
    }

    /// What is no UTF-16: a text with zeros in a string, one of few bytes, one of zeros alone.
    #[test]
    fn zeros_alone_do_not_make_utf16() {
        for bytes in [&b"m,host=a v=\"\0\0\" 1\n"[..], b"", b"a", b"a\nb", b"\0\0\0\0", b"ab\0\0cd\0\0"] {
            assert_eq!(utf16(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_place_that_is_not_utf8_is_shown() {
        assert_eq!(not_utf8("m,host=b\u{fc}ro v=1\n".as_bytes()), None);
        assert_eq!(not_utf8(b"a\nm,host=b\xfcro v=1\nb").as_deref(), Some("m,host=b\\xfcro v=1"));
        assert_eq!(not_utf8("m ü".as_bytes().split_last().expect("bytes").1), None, "cut by the end");
    }

    /// However the bytes come, the text is the same.
    #[test]
    fn a_reader_skips_the_mark_in_pieces_of_any_size() {
        struct Pieces<'b>(&'b [u8], usize);
        impl Read for Pieces<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let size = self.1.min(buffer.len());
                self.0.read(&mut buffer[..size])
            }
        }
        let text = "m,host=büro v=1 1\n".repeat(1000);
        for size in [1, 2, 3, 7, 5000] {
            for mark in [&b""[..], MARK] {
                let bytes = [mark, text.as_bytes()].concat();
                let mut reader = TextReader::new(Pieces(&bytes, size));
                let mut out = Vec::new();
                reader.read_to_end(&mut out).expect("readable");
                assert!(out == text.as_bytes(), "in pieces of {size}");
                assert_eq!(reader.foreign(), None, "in pieces of {size}");
            }
            let mut reader = TextReader::new(Pieces(b"m,host=b\xfcro v=1 1\n", size));
            reader.read_to_end(&mut Vec::new()).expect("readable");
            assert!(reader.foreign().is_some_and(|shown| shown.contains("\\xfc")), "in pieces of {size}");
            let bytes = wide("m,host=a v=1 1\n", u16::to_le_bytes);
            let error = TextReader::new(Pieces(&bytes, size)).read_to_end(&mut Vec::new()).expect_err("named");
            assert!(error.to_string().contains("UTF-16"), "{error}");
        }
    }
}
