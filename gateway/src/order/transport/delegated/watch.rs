//! What the operator hears of a lane: a program that somebody took off, and why orders take the ordinary path.
//!
//! Thread:      housekeeping
//! Invariants:  a cause is told at most once in [`PAUSE_NS`], and then with how often it was since. A program that was
//!              taken off is told once, and ends the lane: nothing knows any more what the kernel or the exchange said last.

use std::sync::{Arc, Weak};

use rt::clock::SECOND_NS;

use super::lane::DelegatedCounters;
use super::link;
use super::program::Links;
use super::row::Row;
use crate::telemetry::Count;

/// Between two lines about the same cause.
const PAUSE_NS: u64 = 10 * SECOND_NS;

/// Writes of which one should have left past the kernel: a login's, and heartbeats.
const WRITES_MIN: u64 = 5;

/// The counters that are told of, and what they mean for an operator. Those that an orderly day has are not.
const CAUSES: [(&str, &str); 12] = [
    (
        "ordinary_refused",
        "writes took the ordinary path: the link is down, or the driver has no room",
    ),
    (
        "ordinary_no_frame",
        "writes took the ordinary path: the kernel has not sent a frame that it was given",
    ),
    (
        "ordinary_window",
        "writes took the ordinary path: the exchange's window has no room",
    ),
    (
        "ordinary_behind",
        "writes took the ordinary path: what was written before waits in the kernel, for the exchange or the path",
    ),
    (
        "ordinary_options",
        "writes took the ordinary path: bytes of the exchange's are missing",
    ),
    (
        "passed_headers",
        "copies went out, too: the exchange's address or the route has changed",
    ),
    (
        "passed_split",
        "copies went out, too: the kernel sent the bytes in other pieces than the segment",
    ),
    (
        "passed_failed",
        "copies went out, too: the program could not change a packet, or another one had its turn",
    ),
    (
        "unbelieved",
        "packets of the exchange's came with a wrong checksum",
    ),
    (
        "unacceptable",
        "packets of the exchange's did not fit its connection: late copies, or somebody else's",
    ),
    (
        "connections_elsewhere",
        "connections left by another interface, past the lane",
    ),
    (
        "connections_refused",
        "connections go without the lane: the kernel refused a route, an address, or a congestion control that does not pace",
    ),
];

/// What has been said of a cause.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    count: u64,
    /// When the next line may come.
    next_ns: u64,
}

/// One lane, as housekeeping sees it.
#[derive(Debug)]
pub struct LaneWatch {
    session: String,
    row: Arc<Row>,
    counters: Arc<DelegatedCounters>,
    /// Gone with the transport, whoever looks.
    links: Weak<Links>,
    told: [Told; CAUSES.len()],
    /// Writes that left past the kernel, and others, when it was last looked whether any had.
    writes: [u64; 2],
    look_ns: u64,
}

impl LaneWatch {
    pub(super) fn new(
        session: String,
        row: Arc<Row>,
        counters: Arc<DelegatedCounters>,
        links: Weak<Links>,
    ) -> Self {
        Self {
            session,
            row,
            counters,
            links,
            told: [Told::default(); CAUSES.len()],
            writes: [0; 2],
            look_ns: 0,
        }
    }

    /// What there is to say, line by line.
    pub fn turn(&mut self, now_ns: u64) -> Vec<String> {
        let mut lines = Vec::new();
        self.look_at_programs(&mut lines);
        let mut counts = self.counters.list();
        counts.extend(self.row.counts());
        for ((name, text), told) in CAUSES.iter().zip(&mut self.told) {
            let count = counts.iter().find(|(of, ..)| of == name);
            let count = count.map_or(0, |(.., count)| *count);
            if count > told.count && now_ns >= told.next_ns {
                let more = count - told.count;
                lines.push(format!("session {}: {more} {text} ({name})", self.session));
                *told = Told {
                    count,
                    next_ns: now_ns + PAUSE_NS,
                };
            }
        }
        if now_ns >= self.look_ns {
            self.look_ns = now_ns + PAUSE_NS;
            lines.extend(self.look_at_writes(&counts));
        }
        lines
    }

    /// A lane that opened, and takes nothing: the answers come by another way, or the host's rules have the connection
    /// leave by one. Of an orderly day's causes no one is told by itself, so it is told of all.
    fn look_at_writes(&mut self, counts: &[Count]) -> Option<String> {
        let sum = |is_it: fn(&str) -> bool| {
            let counts = counts.iter().filter(|(name, ..)| is_it(name));
            counts.map(|(.., count)| *count).sum::<u64>()
        };
        let now = [
            sum(|name| name == "delegated_sent"),
            sum(|name| name.starts_with("ordinary_")),
        ];
        let [past, others] = std::mem::replace(&mut self.writes, now);
        let more = now[1] - others;
        let is_none = now[0] == past && more >= WRITES_MIN && !self.row.is_over();
        is_none.then(|| {
            format!(
                "session {}: of {more} writes in {} s none left past the kernel; the counters ordinary_* say why",
                self.session,
                PAUSE_NS / SECOND_NS
            )
        })
    }

    fn look_at_programs(&mut self, lines: &mut Vec<String>) {
        let Some(links) = self.links.upgrade() else {
            return;
        };
        if self.row.is_over() {
            return;
        }
        for (link, what) in links.each() {
            // A kernel that does not say is believed to have left it there.
            if link::is_off(link).unwrap_or(false) {
                self.row.end_lane();
                lines.push(format!(
                    "session {}: the program for what {what} was taken off its interface: orders take the ordinary path \
                     until the next start",
                    self.session
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> (LaneWatch, Arc<DelegatedCounters>) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        let row = Row::map(std::os::fd::AsFd::as_fd(&file)).unwrap();
        let counters = Arc::new(DelegatedCounters::default());
        let watch = LaneWatch::new(
            "one".to_owned(),
            Arc::new(row),
            Arc::clone(&counters),
            Weak::new(),
        );
        (watch, counters)
    }

    #[test]
    fn cause_is_told_at_once_and_then_once_in_ten_seconds_with_how_often_it_was() {
        let (mut watch, counters) = watch();
        let mut said = Vec::new();
        for second in 1..25 {
            // What an orderly day has is not told.
            counters.ordinary_unseen.increment();
            counters.delegated_sent.increment();
            if second >= 3 {
                counters.ordinary_refused.add(2);
            }
            for line in watch.turn(second * SECOND_NS) {
                said.push(format!("{second}: {line}"));
            }
        }
        let why = "writes took the ordinary path: the link is down, or the driver has no room (ordinary_refused)";
        let expected = [(3, 2), (13, 20), (23, 20)];
        let expected = expected.map(|(at, count)| format!("{at}: session one: {count} {why}"));
        assert_eq!(said, expected);
    }

    #[test]
    fn lane_that_takes_nothing_is_told_every_ten_seconds() {
        let (mut watch, counters) = watch();
        let mut said = Vec::new();
        for second in 1..45 {
            // Silence, then no write past the kernel, then one of many.
            if second > 10 {
                counters.ordinary_unseen.increment();
            }
            if second == 35 {
                counters.delegated_sent.increment();
            }
            for line in watch.turn(second * SECOND_NS) {
                said.push(format!("{second}: {line}"));
            }
        }
        let line = "session one: of 10 writes in 10 s none left past the kernel; the counters ordinary_* say why";
        assert_eq!(said, [21, 31].map(|at| format!("{at}: {line}")));
    }

    #[test]
    fn every_cause_is_a_counter_of_the_lane() {
        let (watch, counters) = watch();
        let mut names: Vec<&str> = counters.list().iter().map(|(name, ..)| *name).collect();
        names.extend(watch.row.counts().map(|(name, ..)| name));
        for (name, _) in CAUSES {
            assert!(names.contains(&name), "{name}");
        }
    }
}
