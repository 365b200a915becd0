//! What a snapshot costs the core that hears the market meanwhile: each message that is copied for it, and the longest
//! turn of each step by which its books take the place of the feed's. The feed joins late, so that every symbol changes.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result};
use feed_handler::arbiter::{Arbiter, Patience};
use feed_handler::best_prices::BestPrices;
use feed_handler::book::{Books, Limits};
use feed_handler::event::Kind;
use feed_handler::feed::{Counters, Feed, FeedHistograms, Parts, STALE_GAP};
use feed_handler::publish::{Listener, Publisher, Subscription, Way};
use feed_handler::recovery::glimpse::GlimpseOptions;
use feed_handler::recovery::link::link_with_spare;
use feed_handler::recovery::requester::RequestOptions;
use feed_handler::recovery::snapshots::SnapshotOptions;
use feed_handler::recovery::stage::{RecoveryOptions, RecoveryStage};
use feed_handler::recovery::wire::{TcpEvent, Wire};
use feed_handler::source::{Packet, PacketSource};
use feed_handler::venue::Nasdaq;
use feeds::generate;
use protocol::binary_file::Messages;
use protocol::glimpse::EndOfSnapshot;
use protocol::soup::{self, LoginAccepted, kind};
use protocol::types::Seq;
use rt::clock::Clock;
use rt::mem::Want;
use zerocopy::IntoBytes;

use super::feed::{MESSAGES_EACH, packet};
use super::{DAY, Piece};

/// Symbols: more than one turn tells of, and as many rows as two turns show.
const SYMBOLS: u16 = 1_000;
/// Messages before the feed joins: the snapshot. Too many to be asked for.
const BEFORE: usize = 25_000;
/// Messages from then on.
const AFTER: usize = 25_000;
const _: () = assert!((BEFORE + AFTER) as u64 == DAY);
/// Messages that come in the turn in which the snapshot's books do: what one turn of catching up applies.
const MEANWHILE: usize = 1_024;
/// Room for messages that are copied.
const LIVE_MAX: usize = 1 << 16;
/// Packets that begin the session.
const BEGIN: usize = 3;
const SECOND_NS: u64 = 1_000_000_000;

/// Shows packets that lie in memory, as many a turn as it is told.
#[derive(Debug)]
struct Script {
    packets: Vec<Vec<u8>>,
    next: usize,
    taken: usize,
    /// Where the next turn ends.
    until: Rc<Cell<usize>>,
}

impl PacketSource for Script {
    fn acquire(&mut self) -> usize {
        self.taken = self.until.get().min(self.packets.len()) - self.next;
        self.taken
    }
    fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
        let taken = self.packets.get(self.next..self.next + self.taken);
        for payload in taken.unwrap_or_default() {
            on_packet(Packet {
                payload,
                frame: &[],
                wire_ns: 1,
                line: 0,
            });
        }
    }
    fn release(&mut self) {
        self.next += self.taken;
    }
    fn housekeep(&mut self) {}
}

/// A snapshot server: what it says when it is connected to. Nobody else is there.
#[derive(Debug)]
struct Server {
    snapshot: Option<Vec<u8>>,
    is_asked: bool,
}

impl Wire for Server {
    fn request(&mut self, _: usize, _: &[u8]) -> bool {
        false
    }
    fn answers(&mut self, _: impl FnMut(usize, &[u8])) -> usize {
        0
    }
    fn connect(&mut self, _: usize) {
        self.is_asked = true;
    }
    fn close(&mut self) {}
    fn write(&mut self, _: &[u8]) {}
    fn read(&mut self, mut on_event: impl FnMut(TcpEvent<'_>)) -> usize {
        let Some(bytes) = self.snapshot.take_if(|_| self.is_asked) else {
            return 0;
        };
        on_event(TcpEvent::Connected);
        bytes
            .chunks(1 << 16)
            .for_each(|part| on_event(TcpEvent::Bytes(part)));
        1
    }
}

/// A snapshot whose messages are those of the day so far: it makes the same books.
fn snapshot(messages: &[&[u8]]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut say = |kind, payload: &[u8]| {
        let mut buffer = [0; 100];
        let len = soup::Packet { kind, payload }
            .encode(&mut buffer)
            .context("a message too long")?;
        bytes.extend_from_slice(buffer.get(..len).unwrap_or_default());
        anyhow::Ok(())
    };
    say(
        kind::LOGIN_ACCEPTED,
        LoginAccepted::new("MICRO", Seq(1)).as_bytes(),
    )?;
    for message in messages {
        say(kind::SEQUENCED, message)?;
    }
    let next = Seq(messages.len() as u64 + 1);
    say(kind::SEQUENCED, EndOfSnapshot::new(next).as_bytes())?;
    Ok(bytes)
}

/// A feed that has joined late, and its recovery.
struct Late {
    feed: Feed<Script, Nasdaq>,
    stage: RecoveryStage<Server>,
    until: Rc<Cell<usize>>,
    listener: Listener,
    /// Symbols that it was told of.
    told: u64,
    counters: Arc<Counters>,
    clock: Clock,
}

/// How far the snapshot is before a pass.
#[derive(Clone, Copy)]
enum Step {
    Asked,
    CatchingUp,
    Showing,
    Shown,
    Telling,
}

impl Late {
    fn new(day: &[u8], limits: &Limits) -> Result<Self> {
        let messages: Vec<&[u8]> = Messages::new(day).collect();
        let (before, after) = messages.split_at(BEFORE);
        let data = after
            .chunks(MESSAGES_EACH)
            .zip((BEFORE + 1..).step_by(MESSAGES_EACH));
        let data = data.map(|(messages, seq)| packet(seq, messages));
        // Three packets begin the session.
        let begin = (0..BEGIN).map(|_| packet(BEFORE + 1, &[]));
        let until = Rc::new(Cell::new(0));
        let prices = Arc::new(BestPrices::new(Want::LAZY)?);
        let mut publisher = Publisher::new(prices, 1 << 12);
        let listener = publisher
            .listen(Subscription::All, Way::Shared, 1 << 12)
            .map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let counters = Arc::new(Counters::default());
        let (feed_end, stage_end) = link_with_spare(Books::new(limits, Want::LAZY)?, LIVE_MAX)
            .map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let feed = Feed::new(Parts {
            source: Script {
                packets: begin.chain(data).collect(),
                next: 0,
                taken: 0,
                until: Rc::clone(&until),
            },
            venue: Nasdaq,
            arbiter: Arbiter::new(Patience {
                gap_timeout_ns: 0,
                stale_ns: 1_000 * SECOND_NS,
            }),
            books: Books::new(limits, Want::LAZY)?,
            publisher,
            counters: Arc::clone(&counters),
            histograms: FeedHistograms::default(),
            feed: 0,
            lines: 1,
            stale_ns: 1_000 * SECOND_NS,
        });
        let server = Server {
            snapshot: Some(snapshot(before)?),
            is_asked: false,
        };
        Ok(Self {
            feed: feed.with_recovery(feed_end),
            stage: RecoveryStage::new::<Nasdaq>(options(), stage_end, server),
            until,
            listener,
            told: 0,
            counters,
            clock: Clock::manual(SECOND_NS),
        })
    }

    /// A quiet turn, and whoever listens has his.
    fn turn(&mut self) {
        self.clock.set_ns(self.clock.now_ns() + 1_000);
        self.feed.poll(&self.clock);
        while let Some(event) = self.listener.hear() {
            self.told += u64::from(event.kind == Kind::Refresh);
        }
    }

    /// Packets of one turn.
    fn arrive(&mut self, packets: usize) {
        self.until.set(self.until.get() + packets);
        self.turn();
    }

    /// Turns until it is so.
    fn until(&mut self, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            if is_so(self) {
                return;
            }
            self.turn();
        }
        unreachable!("the snapshot does not go on");
    }

    /// The feed begins late, and waits just before a step.
    fn go_to(&mut self, step: Step) {
        for _ in 0..BEGIN {
            self.clock.set_ns(self.clock.now_ns() + SECOND_NS);
            self.arrive(1);
        }
        let stale = |late: &Self| late.counters.status.stale();
        self.until(|late| stale(late) == STALE_GAP);
        // It is asked for in the next turn that looks.
        (0..16).for_each(|_| self.turn());
        if matches!(step, Step::Asked) {
            return;
        }
        while !self.stage.is_idle() || !self.stage.wire().is_asked {
            self.stage.poll(self.clock.now_ns());
        }
        self.arrive(MEANWHILE / MESSAGES_EACH);
        if matches!(step, Step::CatchingUp) {
            return;
        }
        self.until(|late| late.counters.join.snapshots_joined.get() == 1);
        let refreshed = |late: &Self| late.counters.join.symbols_refreshed.get();
        match step {
            Step::Shown => self.until(|late| refreshed(late) == u64::from(SYMBOLS)),
            Step::Telling => self.until(|late| late.told > 0),
            Step::Asked | Step::CatchingUp | Step::Showing => {}
        }
    }
}

fn options() -> RecoveryOptions {
    RecoveryOptions {
        requests: RequestOptions {
            servers: 0,
            timeout_ns: SECOND_NS,
            requests_max: 1,
            interval_ns: 0,
            messages_max: 1,
            tries_max: 1,
        },
        snapshots: Some(SnapshotOptions {
            servers: 1,
            glimpse: GlimpseOptions {
                username: "micro".to_owned(),
                password: String::new(),
                silence_ns: 100 * SECOND_NS,
                timeout_ns: 100 * SECOND_NS,
            },
            pause_ns: SECOND_NS,
            tries_max: 1,
        }),
    }
}

/// One quiet turn of a step, or many of them.
fn turns(name: &str, step: Step, count: u64, day: &'static [u8], limits: Limits) -> Piece {
    let make = move || {
        let mut late = Late::new(day, &limits)?;
        late.go_to(step);
        Ok(late)
    };
    Piece::prepared(name, count, make, move |late| {
        for _ in 0..count {
            late.turn();
        }
    })
}

/// The steps of a snapshot.
///
/// # Errors
/// There is no such day.
pub(super) fn pieces(limits: Limits) -> Result<Vec<Piece>> {
    let day = generate::Options {
        seed: 7,
        messages: DAY,
        symbols: SYMBOLS,
        live: 0,
    };
    let day: &'static [u8] = generate::to_writer(&day, Vec::new(), |_| ())?.leak();
    let step = |name: &str, step, count| turns(name, step, count, day, limits);
    Ok(vec![
        step("snapshot: a turn without it, ours", Step::Asked, 160),
        step(
            "snapshot: a turn that catches up, ours",
            Step::CatchingUp,
            1,
        ),
        step(
            "snapshot: a turn that shows 64 symbols, ours",
            Step::Showing,
            1,
        ),
        step(
            "snapshot: a turn that shows no symbol, ours",
            Step::Shown,
            100,
        ),
        step(
            "snapshot: a turn that tells 64 symbols, ours",
            Step::Telling,
            1,
        ),
        copied(
            "snapshot: a message that is copied, ours",
            true,
            day,
            limits,
        ),
        copied("snapshot: a message that is not, ours", false, day, limits),
    ])
}

/// The rest of the day, while the snapshot does not come, or after it has.
fn copied(name: &str, is_copied: bool, day: &'static [u8], limits: Limits) -> Piece {
    let rest = AFTER - if is_copied { 0 } else { MEANWHILE };
    let make = move || {
        let mut late = Late::new(day, &limits)?;
        late.go_to(if is_copied {
            Step::Asked
        } else {
            Step::Telling
        });
        if !is_copied {
            late.until(|late| late.counters.status.stale() == 0);
        }
        Ok(late)
    };
    Piece::prepared(name, rest as u64, make, move |late| {
        for _ in 0..rest.div_ceil(MESSAGES_EACH) {
            late.arrive(1);
        }
    })
}
