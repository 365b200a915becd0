//! The whole feed stage as a piece: a day in packets on two lines, through arbitration, decoding, books
//! and publishing, to whoever listens. Nasdaq's day is the one that decoders and books work on; IEX's is what
//! the exchange publishes.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::Result;
use feed_handler::arbiter::{Arbiter, Patience};
use feed_handler::best_prices::BestPrices;
use feed_handler::book::{Books, Limits};
use feed_handler::feed::{Counters, Feed, FeedHistograms, Parts};
use feed_handler::own_books::OwnBooks;
use feed_handler::publish::{Listener, Publisher, Subscription, Way};
use feed_handler::source::{Packet, PacketSource};
use feed_handler::venue::{Iex, Nasdaq, Venue};
use order_sim::exchange::Exchange;
use protocol::binary_file::Messages;
use protocol::mold::{PacketBuilder, Session};
use protocol::types::Seq;
use rt::clock::Clock;
use rt::mem::Want;

use super::{DAY, Piece};

const SESSION: Session = *b"MICRO     ";
/// Messages of a packet, and packets of a turn on each line.
pub(crate) const MESSAGES_EACH: usize = 8;
const PACKETS_EACH: usize = 2;
const LINES: u8 = 2;

/// Shows packets that lie in memory, a turn's worth at a time: each first on line A, then on line B.
#[derive(Debug)]
struct Script {
    packets: Arc<[Vec<u8>]>,
    /// Packets of a turn, on each line.
    each: usize,
    next: usize,
    taken: usize,
}

impl PacketSource for Script {
    fn acquire(&mut self) -> usize {
        self.taken = self.each.min(self.packets.len() - self.next);
        self.taken * usize::from(LINES)
    }
    fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
        let taken = self.packets.get(self.next..self.next + self.taken);
        for payload in taken.unwrap_or_default() {
            for line in 0..LINES {
                on_packet(Packet {
                    payload,
                    frame: &[],
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
pub(crate) struct FeedDay {
    packets: Arc<[Vec<u8>]>,
    packets_each: usize,
    /// Messages in them.
    pub(crate) messages: u64,
}

impl FeedDay {
    /// A day of ITCH messages.
    pub(crate) fn nasdaq(day: &[u8]) -> Self {
        Self {
            packets_each: PACKETS_EACH,
            ..Self::in_packets_of(MESSAGES_EACH, day)
        }
    }

    /// The same with this many messages in a packet, and a packet in a turn.
    pub(super) fn in_packets_of(messages_each: usize, day: &[u8]) -> Self {
        let heartbeat = || packet(1, &[]);
        let messages: Vec<&[u8]> = Messages::new(day).collect();
        // Three packets begin a session, copies on one line not counted.
        let begin = [heartbeat(), heartbeat()];
        let data = messages
            .chunks(messages_each)
            .zip((1..).step_by(messages_each));
        let data = data.map(|(messages, seq)| packet(seq, messages));
        Self {
            packets: begin.into_iter().chain(data).collect(),
            packets_each: 1,
            messages: messages.len() as u64,
        }
    }

    /// Its packets; the first two are heartbeats, which begin the session.
    pub(crate) fn packets(&self) -> &[Vec<u8>] {
        &self.packets
    }

    /// A day of the exchange's, of this many steps of its market.
    pub(super) fn iex(steps: u64) -> Result<Self> {
        let text = format!(
            "address = \"127.0.0.1:1\"\n[account.nobody]\npassword = \"p\"\n[feed]\nvenue = \"iex\"\n\
             window_us = 1000\nlines = [{{ address = \"127.0.0.1:2\" }}]\n\
             [flow]\nseed = 7\nsymbols = 50\nrate = 8000\nlimit = {steps}\n"
        );
        let options = order_sim::file::parse(&text).map_err(anyhow::Error::msg)?;
        let mut exchange = Exchange::new(&options.exchange, 0);
        let mut packets = Vec::new();
        while !exchange.is_flow_over() {
            let Some(due_ns) = exchange.next_due_ns() else {
                break;
            };
            exchange.advance(due_ns);
            packets.extend(std::iter::from_fn(|| exchange.take_packet(0)).map(|it| it.to_vec()));
        }
        let messages = packets.iter().map(|packet| exchange.numbers_in(packet));
        let messages = messages.map(|numbers| numbers.end - numbers.start).sum();
        Ok(Self {
            packets: packets.into(),
            packets_each: PACKETS_EACH,
            messages,
        })
    }

    /// A feed that has heard nothing yet, with those who listen.
    pub(super) fn open<V: Venue + Default>(
        &self,
        limits: &Limits,
        publisher: Publisher,
    ) -> Result<Opening<V>> {
        let counters = Arc::new(Counters::default());
        let feed = Feed::new(Parts {
            source: Script {
                packets: Arc::clone(&self.packets),
                each: self.packets_each,
                next: 0,
                taken: 0,
            },
            venue: V::default(),
            arbiter: Arbiter::<V>::new(Patience {
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
        Ok(Opening { feed, counters })
    }
}

/// A feed before its day.
pub(super) struct Opening<V: Venue> {
    feed: Feed<Script, V>,
    counters: Arc<Counters>,
}

impl<V: Venue> Opening<V> {
    /// The whole day, and after each turn those who listen have theirs. Says what it delivered.
    pub(super) fn run(&mut self, mut listen: impl FnMut(&Clock)) -> u64 {
        let mut clock = Clock::manual(1_000);
        // What is said again at once is a copy, so the first data follows after some time.
        let mut step_ns = 200_000_000;
        while self.feed.poll(&clock) > 0 {
            clock.set_ns(clock.now_ns() + step_ns);
            step_ns = 1_000;
            listen(&clock);
        }
        self.counters.arbiter.messages.get()
    }
}

pub(super) fn packet(seq: usize, messages: &[&[u8]]) -> Vec<u8> {
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

/// What somebody hears of a feed.
#[derive(Clone, Copy)]
enum Hears {
    Nothing,
    All,
    /// All, with a table of this many levels.
    Levels(usize),
    /// All, with books of its own.
    OwnBooks,
}

/// The feed stage, to one ring of everything or to nobody, without a strategy behind it.
fn alone<V: Venue + Default>(name: &str, day: FeedDay, limits: Limits, hears: Hears) -> Piece {
    let messages = day.messages;
    let make = move || {
        let prices = BestPrices::new(Want::LAZY)?;
        let prices = match hears {
            Hears::Levels(levels) => prices.with_depth(levels, Want::LAZY)?,
            Hears::Nothing | Hears::All | Hears::OwnBooks => prices,
        };
        let prices = Arc::new(prices);
        let mut publisher = Publisher::new(Arc::clone(&prices), 256);
        let own = match hears {
            Hears::OwnBooks => {
                publisher.tell_leaves();
                let orders_max = limits.orders_max;
                let own = OwnBooks::new(orders_max, prices, &Subscription::All, Want::LAZY)?;
                Some(own)
            }
            Hears::Nothing | Hears::All | Hears::Levels(_) => None,
        };
        let listener = match hears {
            Hears::Nothing => None,
            Hears::All | Hears::Levels(_) | Hears::OwnBooks => {
                let heard = publisher.listen(Subscription::All, Way::Shared, 256);
                Some(heard.map_err(|error| anyhow::anyhow!("{error:?}"))?)
            }
        };
        Ok((day.open::<V>(&limits, publisher)?, listener, own))
    };
    Piece::prepared(name, messages, make, move |(opening, listener, own)| {
        let delivered = opening.run(|_| {
            while let Some(event) = listener.as_mut().and_then(Listener::hear) {
                if let Some(own) = own {
                    own.on_event(&event);
                }
                black_box(event);
            }
        });
        assert_eq!(delivered, messages, "the whole day was heard");
    })
}

/// Both venues' days through the stage.
///
/// # Errors
/// The exchange has no day.
pub(super) fn pieces(day: &'static [u8], limits: Limits) -> Result<Vec<Piece>> {
    let nasdaq = |name, hears| alone::<Nasdaq>(name, FeedDay::nasdaq(day), limits, hears);
    let iex = FeedDay::iex(DAY)?;
    Ok(vec![
        nasdaq("feed: a day that nobody hears, ours", Hears::Nothing),
        nasdaq("feed: a day from packets to events, ours", Hears::All),
        nasdaq("feed: a day with five levels, ours", Hears::Levels(5)),
        nasdaq("feed: a day with ten levels, ours", Hears::Levels(10)),
        nasdaq("feed: a day with own books, ours", Hears::OwnBooks),
        alone::<Iex>(
            "feed: a day of IEX from packets to events, ours",
            iex,
            limits,
            Hears::All,
        ),
    ])
}
