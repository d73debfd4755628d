//! The journal: matched lines on disk before they are forwarded, so that a kill cannot lose them.
//!
//! ```text
//! journal/00000000000000000000.seg        named by the position of its first frame
//! journal/00000000000004194471.seg
//! journal/00000000000008391114.guest.seg  made by a process that did not own the state then
//! journal/guest-5f2c….seg                 of a process that does not own the state (yet)
//! journal/spare-0.old                     an old segment, to be written again as a new one
//!
//! segment   "TRJ2" | salt u64 | run u128 | frame frame frame ...
//! frame     length u32 | crc u32 | type u8 | received i64 | payload
//! ```
//!
//! Numbers are little-endian. `length` counts from `type` on, `crc` is CRC-32 over salt, run and the same bytes, `received`
//! is the time of arrival in nanoseconds since the epoch. The only type so far is 2: entries, see [`entries`]. A
//! *position* is a number of bytes of frames since the journal began, headers not counted. What could not be written leaves
//! a gap in the positions. `run` is the process that took the lines.
//!
//! A new segment takes the place of an old one where there is one: an unlink of some MiB takes milliseconds, and so does
//! finding room for them again. The salt is the position in the name, so that an old header is not taken for a new one,
//! and no two segments have salt and run in common, so that neither are old frames. A guest's salt has its highest bit set.
//!
//! One plain write for each batch: no memory mapping, because a full disk turns that into SIGBUS. After a write that failed
//! the journal goes on in a new segment; a reader stops at the first frame that is torn, and goes on with the next segment.
//! The lines behind a gap are another run's: what is known of a run is the beginning of its history, never a part with a gap.
//!
//! What a checkpoint covers need not be synced any more; a segment that is synced is synced from its start.
//!
//! Invariants: positions grow; a frame is read back whole or not at all; a segment is removed only when a checkpoint
//! covers all of it.

pub mod adopt;
pub mod entries;
pub mod frame;
pub mod name;
pub mod read;
pub mod sync;
pub mod write;

#[cfg(test)]
mod tests {
    use super::adopt::{adopt, remove_before};
    use super::entries::Encoder;
    use super::frame::SEGMENT_HEAD_BYTES;
    use super::name::{guest_name, segment_name};
    use super::read::{Recovered, first_received, read};
    use super::sync::Syncer;
    use super::write::Journal;
    use crate::durable::disk::{Disk, Folder, Segment};
    use crate::engine::ids::HeadNumber;
    use std::io::{self, Read};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    fn folder() -> (tempfile::TempDir, Arc<dyn Disk>) {
        let folder = tempfile::tempdir().expect("a folder");
        let disk: Arc<dyn Disk> = Arc::new(Folder::new(folder.path().to_path_buf()));
        (folder, disk)
    }

    fn all(disk: &dyn Disk, from: u64) -> (Vec<(i64, Vec<u8>)>, Recovered) {
        let mut out = Vec::new();
        let found = read(disk, from, |f| out.push((f.received, f.lines.to_vec()))).expect("readable");
        (out, found)
    }

    /// Encodes one line and appends it.
    fn put(journal: &mut Journal, encoder: &mut Encoder, received: i64, line: &[u8]) -> io::Result<()> {
        encoder.line((HeadNumber(0), 0), line);
        journal.append(&mut encoder.take(received).expect("a line"))
    }

    #[test]
    fn the_format_is_pinned() {
        let (_folder, disk) = folder();
        let mut journal = Journal::new(disk.clone(), 0);
        let mut encoder = Encoder::new(0xfe01);
        encoder.line((HeadNumber(5), 1), b"m v=1 1\n");
        encoder.line((HeadNumber(5), 1), b"m v=2 2\n");
        encoder.line((HeadNumber(u32::MAX), 0), b"\tx y=1\n");
        let mut frame = encoder.take(1_700_000_000_000_000_000).expect("lines");
        journal.append(&mut frame).expect("written");
        assert_eq!(all(&*disk, 0).0, [(1_700_000_000_000_000_000, b"m v=1 1\nm v=2 2\n\tx y=1\n".to_vec())]);
        let mut bytes = Vec::new();
        disk.read("00000000000000000000.seg").expect("the segment").read_to_end(&mut bytes).expect("readable");
        let golden = [
            0x54, 0x52, 0x4a, 0x32, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0xfe, 0x00, 0x00, 0x00, 0x00,
            0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x27, 0x00, 0x00, 0x00, 0x4e, 0xe9, 0x7b, 0xd6,
            0x02, 0x00, 0x00, 0x2a, 0x36, 0xfe, 0x9c, 0x97, 0x17, 0x01, 0x05, 0x01, 0x6d, 0x07, 0x20, 0x76, 0x3d, 0x31,
            0x20, 0x31, 0x0a, 0x07, 0x07, 0x20, 0x76, 0x3d, 0x32, 0x20, 0x32, 0x0a, 0x00, 0x07, 0x09, 0x78, 0x20, 0x79,
            0x3d, 0x31, 0x0a,
        ];
        assert_eq!(bytes, golden);
    }

    #[test]
    fn what_was_appended_is_read_back_from_any_position() {
        let (_folder, disk) = folder();
        let mut journal = Journal::new(disk.clone(), 1000);
        let mut encoder = Encoder::default();
        encoder.go_on_at(1000);
        let mut positions = vec![1000];
        for i in 0..40 {
            put(&mut journal, &mut encoder, i, format!("line {i}\n").repeat(20_000).as_bytes()).expect("written");
            positions.push(encoder.position());
        }
        assert!(disk.list().expect("names").len() > 1, "several segments");
        for (skip, position) in positions.iter().enumerate() {
            let (frames, found) = all(&*disk, *position);
            assert_eq!(frames.len(), 40 - skip);
            assert_eq!((found.position, found.missing_bytes), (encoder.position(), 0));
            assert!(frames.first().is_none_or(|f| f.0 == skip as i64));
        }
        remove_before(&*disk, positions[35]).expect("removed");
        assert_eq!(all(&*disk, positions[35]).0.len(), 5);
    }

    #[test]
    fn an_old_segment_is_written_again() {
        let (_folder, disk) = folder();
        let mut journal = Journal::new(disk.clone(), 0);
        let mut encoder = Encoder::default();
        let mut files = std::collections::BTreeSet::new();
        for i in 0..400 {
            // The first frames of a segment are long, so that old ones lie behind the new ones.
            put(&mut journal, &mut encoder, i, &b"x\n".repeat(if i % 40 < 20 { 100_000 } else { 30_000 }))
                .expect("written");
            let from = encoder.position();
            if i % 40 == 25 {
                remove_before(&*disk, from).expect("removed");
                assert_eq!(all(&*disk, from).0, [], "nothing old is read, at {i}");
                files.extend(disk.list().expect("names"));
            }
        }
        assert!(files.iter().any(|name| name.starts_with("spare-")), "{files:?}");
        assert!(disk.list().expect("names").len() <= 8);
    }

    #[test]
    fn a_renamed_segment_without_a_new_header_is_empty() {
        let (folder, disk) = folder();
        let mut journal = Journal::new(disk.clone(), 0);
        let mut encoder = Encoder::default();
        put(&mut journal, &mut encoder, 1, b"one\n").expect("written");
        std::fs::rename(folder.path().join(segment_name(0)), folder.path().join(segment_name(77))).expect("renamed");
        assert_eq!(all(&*disk, 0).0, []);
        assert_eq!(all(&*disk, 77).0, []);
    }

    /// A segment whose sync takes until it is told to go on.
    struct Slow {
        begun: std::sync::mpsc::SyncSender<()>,
        go_on: Mutex<std::sync::mpsc::Receiver<()>>,
        done: AtomicBool,
    }

    impl Segment for Slow {
        fn append(&self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn truncate(&self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            self.begun.send(()).expect("somebody listens");
            self.go_on.lock().expect("nobody panics").recv().expect("somebody speaks");
            self.done.store(true, Ordering::Relaxed);
            Ok(())
        }
    }

    #[test]
    fn a_sync_waits_for_the_one_before_it() {
        let (_folder, disk) = folder();
        let (begun, has_begun) = std::sync::mpsc::sync_channel(1);
        let (go, go_on) = std::sync::mpsc::channel();
        let slow = Arc::new(Slow { begun, go_on: Mutex::new(go_on), done: false.into() });
        let segment: Arc<dyn Segment> = slow.clone();
        let syncer = Syncer::new(disk);
        syncer.written(0, &segment, false);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| syncer.sync());
            has_begun.recv().expect("it begins");
            let second = scope.spawn(|| syncer.sync().map(|()| slow.done.load(Ordering::Relaxed)));
            std::thread::sleep(std::time::Duration::from_millis(50));
            go.send(()).expect("it waits");
            first.join().expect("no panic").expect("synced");
            assert!(second.join().expect("no panic").expect("synced"), "it was not on the disk yet");
        });
    }

    #[test]
    fn heads_are_numbered_anew_in_every_segment() {
        let (_folder, disk) = folder();
        let mut journal = Journal::new(disk.clone(), 0);
        let mut encoder = Encoder::default();
        let mut expected = Vec::new();
        let mut missing = 0;
        for i in 0..3000_u32 {
            let head = format!("m,host=h{},pad={}", i % 7, "x".repeat(300));
            let line = format!("{head} v={i} {}\n", "9".repeat(2000));
            encoder.line((HeadNumber(i % 7), head.len()), line.as_bytes());
            let mut frame = encoder.take(i64::from(i)).expect("a line");
            // A batch that is lost takes its heads with it: the next one begins a segment.
            if i % 500 == 499 {
                journal.needs_first();
                assert!(frame.is_first || journal.append(&mut frame).is_err());
                missing += if i < 2999 { frame.bytes.len() as u64 } else { 0 };
                encoder.start_segment();
                continue;
            }
            journal.append(&mut frame).expect("written");
            expected.push((i64::from(i), line.into_bytes()));
        }
        assert!(disk.list().expect("names").len() >= 6, "several segments");
        let (found, recovered) = all(&*disk, 0);
        assert!(found == expected);
        assert_eq!(recovered.missing_bytes, missing);
    }

    #[test]
    fn a_torn_end_is_cut_at_every_byte() {
        let (folder, disk) = folder();
        let mut journal = Journal::new(disk.clone(), 0);
        let mut encoder = Encoder::default();
        put(&mut journal, &mut encoder, 1, b"one\n").expect("written");
        let whole = encoder.position();
        put(&mut journal, &mut encoder, 2, b"two\n").expect("written");
        let path = folder.path().join("00000000000000000000.seg");
        let bytes = std::fs::read(&path).expect("readable");
        for cut in 0..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).expect("writable");
            let (frames, found) = all(&*disk, 0);
            assert_eq!(frames.len(), usize::from(cut >= whole as usize + SEGMENT_HEAD_BYTES), "cut at {cut}");
            assert!(found.position <= whole);
        }
        for flip in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[flip] ^= 0x40;
            std::fs::write(&path, &damaged).expect("writable");
            assert!(all(&*disk, 0).0.len() < 2, "byte {flip} is not covered");
        }
    }

    #[test]
    fn a_guest_is_adopted_behind_the_others() {
        let (_folder, disk) = folder();
        let mut journal = Journal::new(disk.clone(), 0);
        let mut encoder = Encoder::default();
        put(&mut journal, &mut encoder, 1, b"one\n").expect("written");
        let mut guest = Journal::guest(disk.clone(), 0xab, || Ok(()));
        let mut theirs = Encoder::default();
        put(&mut guest, &mut theirs, 2, b"two\n").expect("written");
        put(&mut guest, &mut theirs, 3, b"three\n").expect("written");
        assert_eq!(first_received(&*disk, &guest_name(0xab)).expect("readable"), Some(2));
        let end = adopt(&*disk, &guest_name(0xab), encoder.position()).expect("adopted");
        assert_eq!(end, encoder.position() + guest.guest_bytes());
        let (frames, found) = all(&*disk, 0);
        assert_eq!(frames.iter().map(|f| f.0).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(found.position, end);
    }

    /// An owner that looks for files of guests at any moment must find that this one is in use.
    #[test]
    fn a_guest_s_file_is_announced_before_it_is_there() {
        let (folder, disk) = folder();
        let name = guest_name(0xab);
        let file = folder.path().join(&name);
        let mark = Arc::new(crate::durable::claim::GuestMark::new(folder.path(), &name));
        let announced = mark.clone();
        let mut guest = Journal::guest(disk.clone(), 0xab, move || {
            assert!(!file.exists(), "announced after it was made");
            announced.set()
        });
        let mut encoder = Encoder::default();
        put(&mut guest, &mut encoder, 1, b"one\n").expect("written");
        put(&mut guest, &mut encoder, 2, b"two\n").expect("written");
        assert!(!crate::durable::claim::is_abandoned(folder.path(), &name));

        let mut refused = Journal::guest(disk, 0xcd, || Err(io::Error::other("no mark")));
        put(&mut refused, &mut Encoder::default(), 1, b"one\n").expect_err("no mark, no file");
        assert!(!folder.path().join(guest_name(0xcd)).exists());
    }
}
