//! The pieces of the hot path, each alone, beside the best crate for the same job where there is one.
//!
//! One list serves both measures: `cargo bench --bench micro` takes the time (criterion), and
//! `tickgate-bench micro` counts instructions (valgrind's callgrind), which do not drift with the host.
//! The counts are recorded in `bench/instructions.json`; `make bench-check` fails where one grows.

mod fanout;
pub(crate) mod feed;
pub mod instructions;
mod piece;
pub mod places;
mod snapshot;

use std::collections::BTreeMap;
use std::hint::black_box;

use anyhow::{Context, Result};
use crossbeam_queue::ArrayQueue;
use feed_handler::best_prices::{BestPrice, BestPrices};
use feed_handler::book::orders::Orders;
use feed_handler::book::{Bbo, BookCounters, BookSink, Books, Limits as BookLimits, TradePrint};
use feed_handler::position::Position;
use feed_handler::venue::Nasdaq;
use gateway::message::intent::Owner;
use gateway::order::addresses::Addresses;
use gateway::order::entry::{Credentials, Lifecycle};
use gateway::order::inbox::Inbox;
use gateway::order::instruments::Instrument;
use gateway::order::lifecycle::SessionEvent;
use gateway::order::risk::{KillSwitch, Limits, Market, Proposal, Risk};
use hashbrown::HashMap;
use protocol::binary_file::Messages;
use protocol::frame::Datagram;
use protocol::itch::Message;
use protocol::mold::Packet;
use protocol::ouch::Outbound;
use protocol::soup::{LoginAccepted, kind};
use protocol::types::{Price4, Qty, Seq, Side};
use rt::clock::Clock;
use rt::histogram::{Recorder, empty};
use rt::mem::Want;
use zerocopy::IntoBytes;

use crate::exchange::MixedFlow;
use crate::order_path::{self, OrderPath};
use feeds::generate;
use lab::peer;
pub use piece::Piece;

/// Messages of the day that decoders and books work on.
const DAY: u64 = 50_000;
/// Calls of a piece in one pass.
const CALLS: u64 = 10_000;

/// Every piece, ready to run.
///
/// # Errors
/// The host has not the memory.
pub fn pieces() -> Result<Vec<Piece>> {
    let day = generate::Options {
        seed: 7,
        messages: DAY,
        symbols: 50,
        live: 0,
    };
    let day: &'static [u8] = generate::to_writer(&day, Vec::new(), |_| ())?.leak();
    let mut pieces = decoders(day);
    pieces.extend(books(day)?);
    pieces.extend(rings()?);
    pieces.extend(orders());
    pieces.push(encode());
    pieces.extend(order_path()?);
    pieces.extend(histograms());
    pieces.push(clock());
    pieces.push(engine()?);
    Ok(pieces)
}

/// The exchange's matching engine: an operation of the mixed flow.
fn engine() -> Result<Piece> {
    let steps = usize::try_from(CALLS)?;
    let mut flow = MixedFlow::new(steps)?;
    // The same steps once more find the same number of operations to do.
    flow.run(steps);
    let operations = flow.run(steps);
    let name = "engine: an operation of the mixed flow, ours";
    Ok(Piece::new(name, operations, move || {
        black_box(flow.run(steps));
    }))
}

/// What each stamp costs.
fn clock() -> Piece {
    // Not corrected: the valgrind that counts is slower than a correction allows.
    let clock = Clock::new();
    Piece::new("clock: a read, ours", CALLS, move || {
        for _ in 0..CALLS {
            black_box(black_box(&clock).now_ns());
        }
    })
}

fn decoders(day: &'static [u8]) -> Vec<Piece> {
    let mut pieces = vec![
        Piece::new("decode a day, ours", DAY, move || decode(day)),
        Piece::new("decode a day, itchy", DAY, move || {
            for message in itchy::MessageStream::from_reader(day) {
                let _ = black_box(message.map(|message| message.timestamp));
            }
        }),
    ];
    let mut by_kind: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
    for bytes in Messages::new(day) {
        let Some(kind) = bytes.first() else { continue };
        let of_kind = by_kind.entry(*kind).or_default();
        if let Ok(len) = u16::try_from(bytes.len()) {
            of_kind.extend_from_slice(&len.to_be_bytes());
            of_kind.extend_from_slice(bytes);
        }
    }
    for (kind, bytes) in by_kind {
        let bytes: &'static [u8] = bytes.leak();
        let count = Messages::new(bytes).count() as u64;
        // Enough of them to tell; rare ones are decoded again and again.
        let times = (CALLS / count.max(1)).max(1);
        let name = format!("decode type {}, ours", kind as char);
        pieces.push(Piece::new(name, count * times, move || {
            for _ in 0..times {
                decode(black_box(bytes));
            }
        }));
    }
    let frame: &'static [u8] = frame().leak();
    pieces.push(Piece::new(
        "frame to first message, ours",
        CALLS,
        move || {
            for _ in 0..CALLS {
                let datagram = Datagram::parse_whole(black_box(frame)).ok();
                let packet = datagram.and_then(|found| Packet::decode(found.payload));
                black_box(packet.and_then(|packet| packet.blocks().next().map(<[u8]>::len)));
            }
        },
    ));
    pieces
}

fn decode(bytes: &[u8]) {
    let mut sum = 0;
    for message in Messages::new(bytes) {
        if let Ok(message) = Message::decode(message) {
            sum ^= message.head().timestamp.get().0;
        }
    }
    black_box(sum);
}

/// A frame with one message, as the wire has it.
fn frame() -> Vec<u8> {
    use std::net::{Ipv4Addr, SocketAddrV4};
    let mut payload = [0; 128];
    let session = feeds::replay::session_name("TICKGATE01");
    let builder = protocol::mold::PacketBuilder::new(&mut payload, session, Seq(1));
    let payload = builder.map_or_else(Vec::new, |mut packet| {
        let _ = packet.push(&[b'A'; 36]);
        packet.finish().to_vec()
    });
    let builder = protocol::frame::FrameBuilder {
        source_mac: [2; 6],
        destination_mac: [1; 6],
        vlan: None,
        source: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 1),
        destination: SocketAddrV4::new(Ipv4Addr::new(239, 1, 1, 1), 2),
        ttl: 1,
    };
    let mut frame = vec![0; 256];
    let len = builder.build(&payload, &mut frame).unwrap_or(0);
    frame.truncate(len);
    frame
}

struct Silent;

impl BookSink for Silent {
    fn on_bbo(&mut self, _: u16, bbo: &Bbo) {
        black_box(bbo.bid.price);
    }
    fn on_trade(&mut self, print: &TradePrint) {
        black_box(print.price);
    }
}

fn books(day: &'static [u8]) -> Result<Vec<Piece>> {
    let limits = BookLimits {
        orders_max: 1 << 17,
        levels_max: 1 << 15,
    };
    // A day that is played twice is another day.
    let empty = move || Ok(Books::new(&limits, Want::LAZY)?);
    let book = move |books: &mut Books| {
        let counters = BookCounters::default();
        for bytes in Messages::new(day) {
            if let Ok(message) = Message::decode(bytes) {
                books.apply(&Nasdaq::read(&message), &counters, &mut Silent);
            }
        }
        black_box(books.orders_live());
    };
    let prices = BestPrices::new(Want::LAZY)?;
    let best = move || {
        for _ in 0..CALLS {
            let best = prices.load(black_box(7)).unwrap_or_default();
            prices.store(7, &BestPrice { ..best }, Position::default());
        }
    };
    let mut pieces = vec![
        Piece::prepared("book a day, ours", DAY, empty, book),
        Piece::new("best price: load and store, ours", CALLS, best),
    ];
    let counted: Vec<u64> = (0..CALLS).map(|n| 1_000_000 + n).collect();
    let mut random = fastrand::Rng::with_seed(5);
    let wild: Vec<u64> = (0..CALLS).map(|_| random.u64(1..)).collect();
    pieces.extend(feed::pieces(day, limits)?);
    pieces.extend(fanout::pieces(day, limits)?);
    pieces.extend(snapshot::pieces(limits)?);
    for (name, references) in [("", counted), (", wild references", wild)] {
        let theirs = order_index_of_hashbrown(references.clone());
        let ours = order_index(references)?;
        let name = format!("order index{name}: add, find, remove");
        pieces.push(Piece::new(format!("{name}, hashbrown"), CALLS, theirs));
        pieces.push(Piece::new(format!("{name}, ours"), CALLS, ours));
    }
    Ok(pieces)
}

/// References to handles in the best crate's map; it keeps no orders and hands out no handles.
fn order_index_of_hashbrown(references: Vec<u64>) -> impl FnMut() {
    let mut map: HashMap<u64, u32> = HashMap::with_capacity(2 * references.len());
    move || {
        for reference in &references {
            map.insert(*reference, 1);
        }
        for reference in &references {
            black_box(map.get(black_box(reference)));
        }
        for reference in &references {
            map.remove(reference);
        }
    }
}

/// Orders by reference in the books' own table.
fn order_index(references: Vec<u64>) -> Result<impl FnMut()> {
    let limits = BookLimits {
        orders_max: 1 << 15,
        levels_max: 2,
    };
    let mut index = Orders::new(&limits, Want::LAZY)?;
    Ok(move || {
        for reference in &references {
            black_box(index.acquire(*reference));
        }
        for reference in &references {
            black_box(index.find(black_box(*reference)));
        }
        for reference in &references {
            if let Some(handle) = index.find(*reference) {
                index.release(*reference, handle);
            }
        }
    })
}

type Event = [u64; 8];

fn rings() -> Result<Vec<Piece>> {
    let (mut producer, mut consumer) =
        rt::ring::ring::<Event>(1024).map_err(|e| anyhow::anyhow!("{e:?}"))?;
    let (mut their_producer, mut their_consumer) = rtrb::RingBuffer::<Event>::new(1024);
    let queue: ArrayQueue<Event> = ArrayQueue::new(1024);
    Ok(vec![
        Piece::new("ring: push and pop, ours", CALLS, move || {
            for number in 0..CALLS {
                let _ = producer.push(black_box([number; 8]));
                black_box(consumer.pop());
            }
        }),
        Piece::new("ring: push and pop, rtrb", CALLS, move || {
            for number in 0..CALLS {
                let _ = their_producer.push(black_box([number; 8]));
                let _ = black_box(their_consumer.pop());
            }
        }),
        Piece::new("ring: push and pop, crossbeam", CALLS, move || {
            for number in 0..CALLS {
                let _ = queue.push(black_box([number; 8]));
                black_box(queue.pop());
            }
        }),
    ])
}

fn orders() -> Vec<Piece> {
    let limits = Limits {
        order_qty_max: Qty(10_000),
        notional_max: u64::MAX,
        collar_bps: 500,
        position_max: 1 << 40,
        open_orders_max: 1000,
        orders_per_second_max: 100_000,
        ..Limits::WIDEST
    };
    let mut risk = Risk::new(limits, KillSwitch::default());
    let proposal = Proposal {
        owner: Owner(0),
        instrument: Instrument(3),
        side: Side::Buy,
        price: Price4(1_000_000),
        qty: Qty(100),
        counted_qty: Qty(0),
        is_new: true,
        is_marked_long: false,
        market: Market {
            best: Some(BestPrice {
                bid_price: Price4(1_000_000),
                bid_qty: Qty(100),
                ask_price: Price4(1_010_000),
                ask_qty: Qty(100),
            }),
            last_trade: Price4(1_000_000),
        },
        is_stale: false,
        is_halted: false,
    };
    let mut now_ns = 1_000_000_000;
    let check = move || {
        for _ in 0..CALLS {
            now_ns += 1_000_000;
            let _ = black_box(risk.check(black_box(&proposal), now_ns));
        }
    };
    let answers: &'static [u8] = answers().leak();
    let accepted: &'static [u8] = answers.get(3..).unwrap_or_default();
    let decode = move || {
        for _ in 0..CALLS {
            let _ = black_box(Outbound::decode(black_box(accepted)).is_ok());
        }
    };
    vec![
        Piece::new("risk: one order, ours", CALLS, check),
        Piece::new("answer: decode, ours", CALLS, decode),
        session(answers),
    ]
}

/// An answer on its way through an open session.
fn session(answers: &'static [u8]) -> Piece {
    let mut inbox = Inbox::new();
    let mut lifecycle = Lifecycle::new(Credentials {
        addresses: Addresses::default(),
        username: "demo".into(),
        password: "demo".into(),
        session: String::new(),
        server_timeout_ns: 1,
    });
    // Each connection is made twice: the first login learns where the past ends.
    let login = LoginAccepted::new("S1", Seq(1));
    let login = peer::framed(kind::LOGIN_ACCEPTED, login.as_bytes());
    for _ in 0..2 {
        lifecycle.on_connected(1, &mut [0; 64]);
        if let Ok(Some(packet)) = inbox.next(&mut login.as_slice()) {
            lifecycle.on_packet(packet, 1);
        }
    }
    let hear = move || {
        let mut messages = 0;
        for _ in 0..CALLS {
            let mut bytes = black_box(answers);
            lifecycle.on_heard(2);
            while let Ok(Some(packet)) = inbox.next(&mut bytes) {
                let said = lifecycle.on_packet(packet, 2);
                messages += u64::from(matches!(said, SessionEvent::Message(..)));
            }
        }
        assert_eq!(messages, CALLS, "the session is not open");
    };
    Piece::new("session: take an answer, ours", CALLS, hear)
}

/// Order entry as a whole.
fn order_path() -> Result<Vec<Piece>> {
    let mut lives = order_path::resting()?;
    let live = move || {
        for _ in 0..CALLS {
            lives.live_and_die();
        }
    };
    let orders = u32::try_from(CALLS)?;
    let mut killed = OrderPath::new(orders)?;
    let kill = move || {
        assert_eq!(killed.open_orders(), orders, "every order is live");
        killed.cancel_everything();
    };
    Ok(vec![
        Piece::new("order: enter, accept, cancel, end, ours", CALLS, live),
        Piece::new("kill: cancel one of 10,000 orders, ours", CALLS, kill),
    ])
}

/// An order from its fields to its bytes.
fn encode() -> Piece {
    let order = peer::enter_order();
    let mut out = [0; 128];
    Piece::new("order: encode, ours", CALLS, move || {
        for _ in 0..CALLS {
            black_box(black_box(&order).encode(&[], &mut out));
        }
    })
}

/// One `Accepted` in its SoupBinTCP packet.
fn answers() -> Vec<u8> {
    use protocol::ouch::OrderAccepted;
    let mut body = vec![0; OrderAccepted::LEN + 2];
    if let Some(kind) = body.first_mut() {
        *kind = OrderAccepted::KIND;
    }
    peer::framed(kind::SEQUENCED, &body)
}

fn histograms() -> Vec<Piece> {
    let mut ours = Recorder::new();
    let mut theirs = empty();
    vec![
        Piece::new("histogram: record, ours", CALLS, move || {
            for value in 0..CALLS {
                ours.record(black_box(value * 37));
            }
        }),
        Piece::new("histogram: record, hdrhistogram", CALLS, move || {
            for value in 0..CALLS {
                theirs.saturating_record(black_box(value * 37));
            }
        }),
    ]
}

/// Runs one pass of one piece, for callgrind.
///
/// # Errors
/// There is no such piece.
pub fn pass(name: &str) -> Result<()> {
    let mut pieces = pieces()?;
    let piece = pieces.iter_mut().find(|piece| piece.name == name);
    let piece = piece.with_context(|| format!("no piece \"{name}\""))?;
    piece.prepare()?;
    piece.run_measured_pass();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_runs_and_has_a_name_of_its_own() {
        let mut pieces = pieces().unwrap();
        for piece in &mut pieces {
            for _ in 0..2 {
                piece.prepare().unwrap();
                piece.run_measured_pass();
            }
        }
        let mut names: Vec<&str> = pieces.iter().map(|piece| piece.name.as_str()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
