//! The whole feed stage as a piece: a day in packets on two lines, through arbitration, decoding, books
//! and publishing, to whoever listens.

use std::sync::Arc;

use anyhow::Result;
use feed_handler::arbiter::{Arbiter, Patience};
use feed_handler::book::{Books, Limits};
use feed_handler::feed::{Counters, Feed, FeedHistograms, Parts};
use feed_handler::publish::Publisher;
use feed_handler::source::{Packet, PacketSource};
use feed_handler::venue::Nasdaq;
use protocol::binary_file::Messages;
use protocol::mold::{PacketBuilder, Session};
use protocol::types::Seq;
use rt::clock::Clock;
use rt::mem::Want;

const SESSION: Session = *b"MICRO     ";
/// Messages of a packet, and packets of a turn on each line.
const MESSAGES_EACH: usize = 8;
const PACKETS_EACH: usize = 2;
const LINES: u8 = 2;

/// Shows packets that lie in memory, a turn's worth at a time: each first on line A, then on line B.
#[derive(Debug)]
struct Script {
    packets: Arc<[Vec<u8>]>,
    next: usize,
    taken: usize,
}

impl PacketSource for Script {
    fn acquire(&mut self) -> usize {
        self.taken = PACKETS_EACH.min(self.packets.len() - self.next);
        self.taken * usize::from(LINES)
    }
    fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
        let taken = self.packets.get(self.next..self.next + self.taken);
        for payload in taken.unwrap_or_default() {
            for line in 0..LINES {
                on_packet(Packet {
                    payload,
                    wire_ns: 1,
                    line,
                });
            }
        }
    }
    fn release(&mut self) {
        self.next += self.taken;
    }
    fn housekeep(&mut self) {}
}

/// A day in packets.
#[derive(Debug)]
pub(super) struct FeedDay(Arc<[Vec<u8>]>);

impl FeedDay {
    pub(super) fn new(day: &[u8]) -> Self {
        let heartbeat = || packet(1, &[]);
        let messages: Vec<&[u8]> = Messages::new(day).collect();
        // Three packets begin a session, copies on one line not counted.
        let begin = [heartbeat(), heartbeat()];
        let data = messages
            .chunks(MESSAGES_EACH)
            .zip((1..).step_by(MESSAGES_EACH));
        let data = data.map(|(messages, seq)| packet(seq, messages));
        Self(begin.into_iter().chain(data).collect())
    }

    /// One pass: a feed that begins with nothing hears the whole day, and after each turn those who listen
    /// have theirs. Says what it delivered.
    pub(super) fn run(
        &self,
        limits: &Limits,
        publisher: Publisher,
        mut listen: impl FnMut(&Clock),
    ) -> Result<u64> {
        let counters = Arc::new(Counters::default());
        let mut feed = Feed::new(Parts {
            source: Script {
                packets: Arc::clone(&self.0),
                next: 0,
                taken: 0,
            },
            venue: Nasdaq,
            arbiter: Arbiter::new(Patience {
                gap_timeout_ns: 1_000_000,
                stale_ns: 1_000_000_000,
            }),
            books: Books::new(limits, Want::LAZY)?,
            publisher,
            counters: Arc::clone(&counters),
            histograms: FeedHistograms::default(),
            feed: 0,
            lines: usize::from(LINES),
            stale_ns: 1_000_000_000,
        });
        let mut clock = Clock::manual(1_000);
        // What is said again at once is a copy, so the first data follows after some time.
        let mut step_ns = 200_000_000;
        while feed.poll(&clock) > 0 {
            clock.set_ns(clock.now_ns() + step_ns);
            step_ns = 1_000;
            listen(&clock);
        }
        Ok(counters.arbiter.messages.get())
    }
}

fn packet(seq: usize, messages: &[&[u8]]) -> Vec<u8> {
    let mut buffer = [0; 1472];
    let Some(mut builder) = PacketBuilder::new(&mut buffer, SESSION, Seq(seq as u64)) else {
        return Vec::new();
    };
    for message in messages {
        let fits = builder.push(message);
        debug_assert!(fits, "{MESSAGES_EACH} messages fit a packet");
    }
    builder.finish().to_vec()
}
