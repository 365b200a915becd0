//! Whatever two lines of IEX bring: each few bytes become a segment (in turn, out of turn, cut, damaged, of
//! another session, or any bytes at all) of DEEP+ messages that may name any order and symbol, or a pause. Behind it
//! runs the whole feed handler: its numbers come without a hole that was not announced, the table says what the
//! books say, and no book is ever other than its orders.
#[path = "../../../feed-handler/tests/script/mod.rs"]
mod script;

use std::rc::Rc;
use std::sync::Arc;

use crate::input::Input;
use feed_handler::arbiter::{Arbiter, Patience};
use feed_handler::best_prices::BestPrices;
use feed_handler::book::{Books, Limits};
use feed_handler::event::Kind;
use feed_handler::feed::{Counters, Feed, FeedHistograms, Parts};
use feed_handler::publish::{Listener, Publisher, Subscription, Way};
use feed_handler::venue::Iex;
use protocol::iex_tp::{PROTOCOL_DEEP_PLUS, PacketBuilder, Place, Session};
use protocol::types::{Nanos, Seq};
use rt::clock::Clock;
use rt::mem::Want;
use script::Script;

/// Segments of one input at most.
const STEPS_MAX: usize = 400;
const STALE_NS: u64 = 1_000_000_000;
/// The smallest gap between two turns that makes a repeated segment no copy.
const TURN_NS: u64 = 110_000_000;
const SYMBOLS: [&[u8; 8]; 4] = [b"ALC     ", b"BOB     ", b"CAT     ", b"\0\0\0\0\0\0\0\0"];
/// Each message's type byte and length.
const MESSAGES: [(u8, usize); 14] = [
    (b'a', 38),
    (b'M', 38),
    (b'R', 26),
    (b'L', 46),
    (b'T', 38),
    (b'B', 38),
    (b'C', 18),
    (b'D', 31),
    (b'H', 22),
    (b'S', 10),
    (b'I', 18),
    (b'O', 18),
    (b'P', 19),
    (b'E', 18),
];

/// A message of few symbols and orders: kind, flags or side, time, symbol, order, size, price.
fn message(input: &mut Input<'_>) -> Vec<u8> {
    let [what, which, order, size, price] = [0; 5].map(|_: u8| input.byte());
    let (kind, len) = MESSAGES[usize::from(what & 15).min(MESSAGES.len() - 1)];
    // Adds with a side as the venue writes it, mostly.
    let flags = match kind {
        b'a' if which & 0x80 == 0 => {
            if which & 4 == 0 {
                b'8'
            } else {
                b'5'
            }
        }
        b'S' => [b'O', b'S', b'R', b'M', b'E', b'C', b'?', 0][usize::from(which >> 5)],
        _ => which >> 2,
    };
    let mut bytes = vec![kind, flags];
    bytes.extend_from_slice(&1u64.to_le_bytes());
    bytes.extend_from_slice(SYMBOLS[usize::from(which & 3)]);
    let sold_first = matches!(kind, b'T' | b'B');
    if !sold_first {
        bytes.extend_from_slice(&u64::from(order).to_le_bytes());
    }
    bytes.extend_from_slice(&u32::from(size).to_le_bytes());
    let price = match price {
        255 => i64::MIN,
        254 => -1,
        253 => i64::from(u32::MAX) + 1,
        cents => i64::from(cents & 31) * 100,
    };
    bytes.extend_from_slice(&price.to_le_bytes());
    bytes.resize(len, order);
    bytes
}

fn segment(session: u32, seq: u64, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut buffer = [0; 1400];
    let place = Place {
        session: Session {
            channel: 1,
            session,
        },
        protocol: PROTOCOL_DEEP_PLUS,
        seq: Seq(seq),
        offset: 0,
        sent: Nanos(1),
    };
    let mut builder = PacketBuilder::new(&mut buffer, place).expect("room");
    for message in messages {
        assert!(builder.push(message));
    }
    builder.finish().to_vec()
}

/// What a strategy hears, checked.
struct Strategy {
    events: Listener,
    next: u64,
    /// What may come next instead: where a session began, it may be over already, and then its numbers go on.
    or_else: Option<u64>,
    /// The number of the name that was told before its message.
    named: u64,
    /// Messages of no known type, each of which has a number that nobody is told.
    silent: u64,
}

impl Strategy {
    /// `has_begun`: a session began in this turn, so that numbers may begin again. `unread`: messages of no known
    /// type in it.
    fn hear(&mut self, has_begun: bool, unread: u64) {
        self.silent += unread;
        let (silent, or_else) = (&mut self.silent, &mut self.or_else);
        let mut come_to = |next: u64, seq: u64| {
            let mut expected = [Some(next), or_else.take()].into_iter().flatten();
            let from = expected.find(|from| {
                seq.checked_sub(*from)
                    .is_some_and(|skipped| skipped <= *silent)
            });
            assert!(has_begun || from.is_some(), "{seq} instead of {next}");
            *silent = silent.saturating_sub(seq.saturating_sub(from.unwrap_or(next)));
        };
        // Numbers begin again with the session; of one that was over, and yet goes on, they go on.
        let mut is_new = has_begun;
        while let Some(event) = self.events.hear() {
            match event.kind {
                Kind::Gap => {
                    come_to(self.next, event.origin.seq);
                    self.next = event.origin.seq + event.number;
                    is_new = false;
                }
                Kind::EndOfSession => (self.next, is_new) = (event.origin.seq, has_begun),
                _ if event.is_news() => {}
                _ => {
                    let seq = event.origin.seq;
                    let is_named = seq + 1 == self.next && self.named == seq;
                    if !is_named {
                        come_to(self.next, seq);
                    }
                    self.named = if event.kind == Kind::Directory {
                        seq
                    } else {
                        0
                    };
                    self.next = seq + 1;
                    is_new = false;
                }
            }
        }
        if is_new {
            self.or_else = Some(self.next);
            self.next = 1;
        }
    }
}

/// One input.
pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    let prices = Arc::new(BestPrices::new(Want::LAZY).expect("memory"));
    let mut publisher = Publisher::new(Arc::clone(&prices), 1 << 12);
    let events = publisher
        .listen(Subscription::All, Way::Own, 1 << 12)
        .expect("a power of two");
    let counters = Arc::new(Counters::default());
    let source = Script::default();
    let arrivals = Rc::clone(&source.0);
    let limits = Limits {
        orders_max: 64,
        levels_max: 64,
    };
    let mut feed = Feed::new(Parts {
        source,
        venue: Iex::default(),
        arbiter: Arbiter::new(Patience {
            gap_timeout_ns: [0, 50_000_000, 400_000_000, 2_000_000_000]
                [usize::from(input.byte() & 3)],
            stale_ns: STALE_NS,
        }),
        books: Books::new(&limits, Want::LAZY).expect("memory"),
        publisher,
        counters: Arc::clone(&counters),
        histograms: FeedHistograms::default(),
        feed: 0,
        lines: 2,
        stale_ns: STALE_NS,
    });
    let mut strategy = Strategy {
        events,
        next: 1,
        or_else: None,
        named: 0,
        silent: 0,
    };
    let mut clock = Clock::manual(1_000);
    let mut turn = |by_ns: u64| {
        clock.set_ns(clock.now_ns() + by_ns);
        let unread = || counters.feed.unknown.get();
        let (begun, unread_before) = (counters.arbiter.sessions_begun.get(), unread());
        feed.poll(&clock);
        // Quiet turns: the books are looked through.
        for _ in 0..16 {
            feed.poll(&clock);
        }
        strategy.hear(
            counters.arbiter.sessions_begun.get() != begun,
            unread() - unread_before,
        );
        assert_eq!(
            counters.check.broken.get(),
            0,
            "a book is not what its orders are"
        );
        for locate in 1..8 {
            let table = prices.load(locate).expect("nobody writes");
            assert_eq!(table, feed.books().best(locate), "symbol {locate}");
        }
        strategy.next
    };
    let mut session = 7;
    for _ in 0..3 {
        arrivals.borrow_mut().push((0, segment(session, 1, &[])));
        turn(TURN_NS);
    }
    let mut next = 1;
    for _ in 0..STEPS_MAX {
        if input.0.is_empty() {
            break;
        }
        let [op, near] = [0; 2].map(|_: u8| input.byte());
        let line = op >> 4 & 1;
        let seq = next
            .max(1u64)
            .saturating_add_signed(i64::from(near.cast_signed() >> 3));
        let arriving = match op & 15 {
            0..=6 => {
                let count = usize::from(op >> 5) + 1;
                let messages: Vec<_> = (0..count).map(|_| message(&mut input)).collect();
                let seq = if op & 15 < 4 { next } else { seq };
                segment(session, seq, &messages)
            }
            7 => segment(session, seq, &[]),
            8 | 9 => {
                let mut wild = segment(session, seq, &[message(&mut input), message(&mut input)]);
                let at = usize::from(input.byte()) % wild.len();
                wild[at] = near;
                wild
            }
            10 => {
                let mut cut = segment(session, seq, &[message(&mut input), message(&mut input)]);
                cut.truncate(usize::from(input.byte()));
                cut
            }
            11 => input.bytes(usize::from(near)),
            12 => {
                session = 7 + u32::from(near & 3);
                continue;
            }
            _ => {
                next = turn(u64::from(near) * 10_000_000);
                continue;
            }
        };
        arrivals.borrow_mut().push((line, arriving));
        if op & 0x20 == 0 {
            next = turn(u64::from(near) * 1_000);
        }
    }
    turn(4 * STALE_NS);
}
