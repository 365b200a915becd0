//! A feed's capture: takes packets out of the tap's ring, decides which are kept, and has them written.
//!
//! **Call `poll` until it takes nothing, then wait; `finish` at the end.**
//!
//! Thread:      capture core
//! Invariants:  every packet that came out of the ring ends in exactly one of `frames`, `passed_over` and `unwritten`,
//!              once it is no longer among those that wait for a gap, or to be asked for. They are written in the order
//!              in which they were seen.
//! Time:        comes in
//! When wrong:  where nothing is written for a while (`writer`), the ring is emptied nevertheless.

use std::collections::VecDeque;
use std::sync::Arc;

use rt::clock::SECOND_NS;

use super::files::{Files, FilesOptions};
use super::records::Records;
use super::remark::announced;
use super::tap::{Header, TapEnd};
use super::window::{Kept, Seen, Window};
use super::writer::Writer;
use super::{CaptureOptions, FeedLines, Frames};
use crate::counters::Counters;

pub use super::counters::CaptureCounters;
pub use super::writer::{Now, PAUSE_NS, Trouble};

/// How long a frame that is kept waits in memory where others may still be asked for: longer than it takes to ask.
const HOLD_NS: u64 = SECOND_NS;
/// Packets that one call takes, so that a caller with several feeds comes to each.
const BATCH: usize = 1024;
/// One feed's capture.
#[derive(Debug)]
pub struct CaptureStage {
    records: Records,
    frames: Frames,
    writer: Writer,
    counters: Arc<CaptureCounters>,
    feed: Arc<Counters>,
    /// What was said in front of the last packet.
    before: Header,
    /// Packets that may be wanted, and their memory when they have gone.
    window: Window,
    /// Packets that are asked for, and why.
    asked: VecDeque<(Seen, String)>,
    /// Cells of the ring that the next poll takes.
    ready: usize,
    spare: Vec<Vec<u8>>,
    /// Gaps around which packets were kept.
    gaps_kept: u64,
}

impl CaptureStage {
    /// The capture of a feed with these counters, whose packets come out of this ring.
    ///
    /// # Panics
    /// No file, or a gap without a frame.
    #[must_use]
    pub fn new(
        options: CaptureOptions,
        named: FeedLines,
        end: TapEnd,
        feed: Arc<Counters>,
    ) -> Self {
        assert!(options.files_max > 0, "a capture of no file");
        let files = Files::new(FilesOptions {
            folder: options.folder,
            stem: named.stem.clone(),
            file_bytes: options.file_bytes,
            files_max: options.files_max,
        });
        let counters = CaptureCounters {
            tap: end.counters,
            ..CaptureCounters::default()
        };
        let counters = Arc::new(counters);
        Self {
            records: Records::new(end.cells),
            frames: options.frames,
            writer: Writer::new(files, named, Arc::clone(&counters)),
            counters,
            feed,
            before: Header::default(),
            window: Window::new(options.frames),
            asked: VecDeque::new(),
            ready: usize::MAX,
            spare: Vec::new(),
            gaps_kept: 0,
        }
    }

    /// What became of the packets.
    #[must_use]
    pub fn counters(&self) -> Arc<CaptureCounters> {
        Arc::clone(&self.counters)
    }

    /// The last disk error, once.
    pub fn take_trouble(&mut self) -> Option<Trouble> {
        self.writer.take_trouble()
    }

    /// Takes what is in the ring, a bounded number of packets, and says how many.
    pub fn poll(&mut self, now: Now) -> usize {
        let mut taken = 0;
        let mut ready = std::mem::replace(&mut self.ready, usize::MAX);
        while taken < BATCH && ready > 0 {
            let mut bytes = self.spare.pop().unwrap_or_default();
            let Some(header) = self.records.next(&mut bytes) else {
                self.spare.push(bytes);
                break;
            };
            let kept = Kept {
                announced: announced(&self.before, &header),
                is_after_gap: header.gaps > self.before.gaps,
                is_wanted: false,
                header,
                bytes,
            };
            self.before = header;
            ready = ready.saturating_sub(header.cells());
            self.answer(header.seen_ns);
            self.on_packet(kept, now);
            taken += 1;
        }
        if taken == 0 {
            self.answer(u64::MAX);
        }
        // A gap that no packet has followed yet.
        let gaps = self.feed.arbiter.gaps.get();
        if taken == 0 && matches!(self.frames, Frames::Gaps { .. }) && gaps > self.gaps_kept {
            self.on_gap(gaps, now);
        }
        if self.writer.wants_flush(now) {
            let seen_until_ns = now.monotonic_ns.saturating_sub(HOLD_NS);
            self.leave(self.window.due(seen_until_ns), now);
            self.writer.flush(now);
        }
        taken
    }

    /// Where the next call of `poll` ends: what comes from now on is left for the one after. Who asks between the two
    /// does so before a packet that came after his has made his leave.
    pub fn look(&mut self) {
        self.ready = self.records.cells();
    }

    /// Keeps a packet and what surrounds it, as soon as all that was seen with it has come out of the ring, and says why
    /// with it.
    pub fn keep_around(&mut self, seen: Seen, why: String) {
        self.asked.push_back((seen, why));
    }

    /// Every packet that was seen before then has come out of the ring.
    fn answer(&mut self, seen_before_ns: u64) {
        for _ in 0..self.asked.len() {
            match self.asked.pop_front() {
                Some((seen, why)) if seen.seen_ns < seen_before_ns => {
                    if self.window.want_around(seen, why) {
                        self.counters.asked_kept.increment();
                    } else {
                        self.counters.asked_late.increment();
                    }
                }
                Some(later) => self.asked.push_back(later),
                None => {}
            }
        }
    }

    /// Takes and writes all there is: the feed core has ended.
    pub fn finish(&mut self, now: Now) {
        while self.poll(now) > 0 {}
        self.leave(self.window.due(u64::MAX), now);
        self.writer.flush(now);
    }

    fn on_packet(&mut self, kept: Kept, now: Now) {
        if kept.is_after_gap && self.frames != Frames::All {
            self.on_gap(kept.header.gaps, now);
        }
        let leaving = self.window.push(kept);
        self.leave(leaving, now);
    }

    /// Gaps were announced: what was seen before is kept.
    fn on_gap(&mut self, gaps: u64, now: Now) {
        // The counter that an empty ring was compared with may be ahead of what packets say.
        self.counters
            .gaps_kept
            .add(gaps.saturating_sub(self.gaps_kept));
        self.gaps_kept = gaps.max(self.gaps_kept);
        let leaving = self.window.want_before();
        self.leave(leaving, now);
    }

    /// This many packets have waited long enough.
    fn leave(&mut self, packets: usize, now: Now) {
        for _ in 0..packets {
            match self.window.pop() {
                Some(kept) if kept.is_wanted => self.write(kept, now),
                Some(kept) => {
                    self.counters.passed_over.increment();
                    self.spare.push(kept.bytes);
                }
                None => {}
            }
        }
    }

    fn write(&mut self, kept: Kept, now: Now) {
        let is_written = self.writer.write(&kept, now);
        self.spare.push(kept.bytes);
        if !is_written {
            self.counters.unwritten.increment();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::capture::LineName;
    use crate::capture::tap::{Tapped, tap};
    use crate::capture::writer::FLUSH_NS;
    use crate::source::{Packet, PacketSource};

    /// Shows one packet a turn: its number, twice.
    #[derive(Default)]
    struct Numbers(u8);

    impl PacketSource for Numbers {
        fn acquire(&mut self) -> usize {
            1
        }
        fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
            self.0 += 1;
            on_packet(Packet {
                payload: &[self.0; 2],
                frame: &[],
                wire_ns: 0,
                line: 0,
            });
        }
        fn release(&mut self) {}
        fn housekeep(&mut self) {}
    }

    struct Bench {
        source: Tapped<Numbers>,
        stage: CaptureStage,
        feed: Arc<Counters>,
        now: Now,
    }

    fn bench(folder: &Path, frames: Frames) -> Bench {
        let feed = Arc::new(Counters::default());
        let (tap, end) = tap(1 << 16, Arc::clone(&feed)).unwrap();
        let options = CaptureOptions {
            frames,
            folder: folder.to_owned(),
            file_bytes: 1 << 20,
            files_max: 2,
            ring_bytes: 1 << 16,
        };
        let named = FeedLines {
            stem: "itch".to_owned(),
            of: "feed itch".to_owned(),
            lines: vec![LineName {
                address: "239.77.0.1:26400".parse().unwrap(),
                interface: "feed0".to_owned(),
            }],
            has_frames: false,
        };
        Bench {
            source: Tapped::new(Numbers::default(), tap),
            stage: CaptureStage::new(options, named, end, Arc::clone(&feed)),
            feed,
            now: Now {
                monotonic_ns: 1,
                realtime_offset_ns: 1_764_171_234_000_000_000,
            },
        }
    }

    impl Bench {
        /// This many packets come.
        fn hear(&mut self, packets: usize) {
            for _ in 0..packets {
                self.source.acquire();
                self.source.on_seen(self.now.monotonic_ns);
                self.source.each(|_| ());
                self.source.release();
            }
            while self.stage.poll(self.now) > 0 {}
        }

        fn wait(&mut self, ns: u64) {
            self.now.monotonic_ns += ns;
            self.stage.poll(self.now);
        }

        /// Frames, those passed over, those lost to the disk, those that wait.
        fn ended(&self) -> [u64; 4] {
            let counters = self.stage.counters();
            let waiting = self.stage.window.len() as u64;
            [
                counters.frames.get(),
                counters.passed_over.get(),
                counters.unwritten.get(),
                waiting,
            ]
        }
    }

    /// The numbers of the packets in the files of a folder, and what was said with each that is no turn.
    fn kept(folder: &Path) -> Vec<(u8, Vec<String>)> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let mut found = Vec::new();
        for path in paths {
            let bytes = std::fs::read(path).unwrap();
            let mut rest = &bytes[..];
            while let [kind, _, _, _, a, b, c, d, ..] = *rest {
                let len = u32::from_le_bytes([a, b, c, d]) as usize;
                let (block, after) = rest.split_at(len);
                rest = after;
                if kind == 6 {
                    // A block's head and a packet's; an Ethernet, an IPv4 and a UDP header; two bytes.
                    let number = block[28 + 42];
                    let text = String::from_utf8_lossy(&block[28 + 44..]);
                    let said = text.split('\0').filter(|text| text.contains(':'));
                    found.push((number, said.map(str::to_owned).collect()));
                }
            }
        }
        found
    }

    #[test]
    fn every_frame_is_kept_and_what_was_announced_is_said_with_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let mut bench = bench(folder.path(), Frames::All);
        bench.hear(2);
        bench.feed.arbiter.gaps.increment();
        bench.feed.arbiter.messages_lost.add(3);
        bench.hear(2);
        assert_eq!(bench.ended(), [0, 0, 0, 0], "nothing is written at once");
        bench.wait(SECOND_NS);
        assert_eq!(bench.ended(), [4, 0, 0, 0]);
        let gap = "gap: 3 messages from 0 on are lost".to_owned();
        let none = Vec::new;
        let expected = [(1, none()), (2, none()), (3, vec![gap]), (4, none())];
        assert_eq!(kept(folder.path()), expected);
    }

    #[test]
    fn frames_around_gaps_are_kept_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let frames = Frames::Gaps {
            before: 3,
            after: 2,
            is_asked: false,
        };
        let mut bench = bench(folder.path(), frames);
        let gap = |bench: &Bench| bench.feed.arbiter.gaps.increment();
        let numbers = |bench: &mut Bench| -> Vec<u8> {
            bench.stage.finish(bench.now);
            let kept = kept(folder.path());
            kept.into_iter().map(|(number, _)| number).collect()
        };
        bench.hear(10);
        assert_eq!(bench.ended(), [0, 7, 0, 3]);
        assert_eq!(numbers(&mut bench), []);
        gap(&bench);
        bench.hear(10);
        assert_eq!(numbers(&mut bench), [8, 9, 10, 11, 12]);
        // Nothing follows this gap for a while: what was before it is kept nevertheless, and then what follows.
        gap(&bench);
        bench.wait(1);
        assert_eq!(numbers(&mut bench), [8, 9, 10, 11, 12, 18, 19, 20]);
        bench.hear(10);
        // A gap while the frames after another one are kept.
        gap(&bench);
        bench.hear(1);
        gap(&bench);
        bench.hear(10);
        let expected = [8, 9, 10, 11, 12, 18, 19, 20, 21, 22, 28, 29, 30, 31, 32, 33];
        assert_eq!(numbers(&mut bench), expected);
        assert_eq!(bench.ended(), [16, 22, 0, 3]);
        assert_eq!(bench.stage.counters().gaps_kept.get(), 4);
    }

    #[test]
    fn packet_seen_before_a_gap_that_was_noticed_first_is_kept_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let frames = Frames::Gaps {
            before: 3,
            after: 2,
            is_asked: false,
        };
        let mut bench = bench(folder.path(), frames);
        bench.hear(1);
        bench.feed.arbiter.gaps.set(2);
        bench.wait(1);
        for gaps in [0, 1, 2] {
            bench.feed.arbiter.gaps.set(gaps);
            bench.hear(1);
        }
        bench.feed.arbiter.gaps.set(3);
        bench.hear(1);
        bench.stage.finish(bench.now);
        let numbers = kept(folder.path());
        let numbers: Vec<u8> = numbers.into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
        assert_eq!(bench.stage.counters().gaps_kept.get(), 3);
    }

    #[test]
    fn frames_around_a_packet_that_is_asked_for_are_kept_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let frames = Frames::Gaps {
            before: 3,
            after: 2,
            is_asked: true,
        };
        let mut bench = bench(folder.path(), frames);
        // One packet each 10 ns, the first at 10.
        let hear = |bench: &mut Bench, packets: u64| {
            for _ in 0..packets {
                bench.now.monotonic_ns = bench.now.monotonic_ns / 10 * 10 + 10;
                bench.hear(1);
            }
        };
        let seen = |number: u64| Seen {
            seen_ns: 10 * number,
            place: 0,
        };
        let said = |bench: &mut Bench| -> Vec<(u8, usize)> {
            bench.stage.finish(bench.now);
            let kept = kept(folder.path()).into_iter();
            kept.map(|(number, said)| (number, said.len())).collect()
        };
        hear(&mut bench, 10);
        // One packet has followed it: as many as are kept after it are there.
        bench.stage.keep_around(seen(9), "slow: 9".to_owned());
        hear(&mut bench, 10);
        assert_eq!(said(&mut bench), [(6, 0), (7, 0), (8, 0), (9, 1), (10, 0)]);
        // Nothing has followed this one yet, and it is asked for twice.
        bench.stage.keep_around(seen(20), "slow: 20".to_owned());
        bench.stage.keep_around(seen(20), "slow: again".to_owned());
        hear(&mut bench, 10);
        let kept_now = said(&mut bench);
        let (_, later) = kept_now.split_at(5);
        assert_eq!(later, [(17, 0), (18, 0), (19, 0), (20, 2), (21, 0)]);
        // A gap has the same frames as ever.
        bench.feed.arbiter.gaps.increment();
        hear(&mut bench, 10);
        let kept_now = said(&mut bench);
        let (_, later) = kept_now.split_at(10);
        assert_eq!(later, [(28, 0), (29, 0), (30, 0), (31, 1), (32, 0)]);
        // Six packets later nobody has it any more.
        bench.stage.keep_around(seen(34), "slow: 34".to_owned());
        bench.wait(0);
        let counters = bench.stage.counters();
        assert_eq!(
            (counters.asked_kept.get(), counters.asked_late.get()),
            (3, 1)
        );
        let [frames, passed, unwritten, waiting] = bench.ended();
        assert_eq!((frames, unwritten), (15, 0));
        assert_eq!(frames + passed + waiting, 40);
    }

    #[test]
    fn frames_that_are_wanted_do_not_wait_for_others_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let frames = Frames::Gaps {
            before: 3,
            after: 2,
            is_asked: true,
        };
        let mut bench = bench(folder.path(), frames);
        bench.hear(4);
        let first = Seen {
            seen_ns: 1,
            place: 0,
        };
        bench.stage.keep_around(first, "slow: 1".to_owned());
        bench.wait(FLUSH_NS);
        bench.wait(FLUSH_NS);
        assert_eq!(kept(folder.path()).len(), 2);
    }

    #[test]
    fn disk_error_is_told_once_and_costs_a_pause_and_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        let mut bench = bench(&inner, Frames::All);
        bench.hear(5);
        assert_eq!(bench.ended(), [0, 0, 5, 0]);
        let trouble = bench.stage.take_trouble().unwrap();
        assert_eq!(trouble.path, inner);
        assert!(bench.stage.take_trouble().is_none());
        std::fs::create_dir(&inner).unwrap();
        bench.wait(PAUSE_NS - 1);
        bench.hear(5);
        assert_eq!(bench.ended(), [0, 0, 10, 0]);
        assert_eq!(bench.stage.counters().disk_errors.get(), 1);
        bench.wait(1);
        bench.hear(5);
        bench.stage.finish(bench.now);
        assert_eq!(bench.ended(), [5, 0, 10, 0]);
        assert_eq!(kept(&inner).len(), 5);
    }

    #[test]
    fn step_of_the_wall_clock_begins_a_file_and_reading_it_less_well_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut bench = bench(folder.path(), Frames::All);
        for step_ns in [0, 900_000, 1_800_000, -1_764_000_000_000_000_000] {
            bench.now.realtime_offset_ns += step_ns;
            bench.hear(1);
        }
        bench.stage.finish(bench.now);
        assert_eq!(bench.stage.counters().files_begun.get(), 3);
        let names = std::fs::read_dir(folder.path()).unwrap();
        assert_eq!(names.count(), 2, "files are bounded");
    }
}
