//! Goes the way of an order while none comes, so that the next real one finds the way warm.
//!
//! ```text
//!  made-up intent ──> Entry::on_intent (risk, encoding, framing, journal) ──> a buffer that nobody sends
//!                     the same code as real orders', own state       └─ the order is closed again
//! ```
//!
//! Thread:      order core, hot
//! Invariants:  it owns all that it touches, and no transport is among that: what it writes cannot leave. Its account, its
//!              kill switch, its numbers, its counters and its journal's ring are its own and seen by nobody. Between two
//!              rehearsals nothing is open, and the next order has the number of the last one.
//! Time:        risk is given a time of its own, which makes a step for each order, so that the rate of real time refuses
//!              none; what is measured is read from the clock, as for a real one.
//! Bounds:      one order a rehearsal.

use std::io;
use std::sync::Arc;

use feed_handler::best_prices::{BestPrice, BestPrices};
use feed_handler::event::{DELTA_UNKNOWN, Origin};
use feed_handler::position::Position;
use protocol::types::{Price4, Qty, Side, Symbol, UserRefNum};
use rt::clock::Clock;
use rt::mem::{Want, prefetch_whole};
use rt::ring::ring;

use super::account::Account;
use super::entry::{Asked, DeskOptions, Entry, Lifecycle, OrderHistograms};
use super::ledger::Ledger;
use super::risk::{DAY_NS, Hours, KillSwitch, Limits, Risk};
use super::session_orders::{MESSAGE_LEN_MAX, Subject};
use super::together::Together;
use super::transport::Transport;
use crate::journal::inlet::{Outlet, inlet};
use crate::message::intent::{Action, Cause, OrderId, OrderIntent, Owner, TimeInForce};
use crate::message::terms::Terms;
use crate::trace::recorder::{OrderTrace, Slowest};

/// Orders whose time risk keeps: as few lines of memory as a limit can have.
const ORDERS_A_SECOND: u32 = 256;
/// What risk's time makes for each order: a little more than a second for as many as the limit allows in one.
const STEP_NS: u64 = 4_000_000;
const _: () = assert!(STEP_NS * ORDERS_A_SECOND as u64 > 1_000_000_000);
/// Bytes of its journal's ring: a few orders' cells.
const JOURNAL_BYTES: usize = 1024;
/// The made-up symbol's code, and what its book has.
const LOCATE: u16 = 1;
const PRICE: Price4 = Price4(1_000_000);

/// What an understudy has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rehearsed {
    /// Orders that it took the whole way.
    pub orders: u64,
    /// Orders that it refused: none, or it does not rehearse what real ones do.
    pub refused: u64,
}

/// An order entry of its own.
#[derive(Debug)]
pub struct Understudy {
    account: Account,
    entry: Entry,
    /// The reading end of its journal, which is emptied and forgotten; `None`: real orders are not journaled.
    journal: Option<Outlet>,
    room: [u8; MESSAGE_LEN_MAX],
    histograms: OrderHistograms,
    together: Together,
    slowest: Slowest,
    now_ns: u64,
    done: Rehearsed,
}

impl Understudy {
    /// One that checks what a session with these limits checks.
    ///
    /// # Errors
    /// The host has no memory for its table of prices.
    pub fn new(limits: &Limits, has_journal: bool) -> io::Result<Self> {
        let prices = BestPrices::new(Want::LAZY)?;
        let named = Position::new(0, 1);
        prices.store_symbol(LOCATE, Symbol(*b"UNDERSTY"), named);
        let best = BestPrice {
            bid_price: PRICE,
            bid_qty: Qty(100),
            ask_price: Price4(PRICE.0 + 100),
            ask_qty: Qty(100),
        };
        prices.store(LOCATE, &best, named);
        let kill = KillSwitch::default();
        let risk = Risk::new(generous(limits), kill.clone());
        let mut account = Account::new(risk, vec![Arc::new(prices)]);
        let desk = DeskOptions {
            feed: 0,
            symbols: None,
            trade_on_stale: false,
        };
        let mut entry = Entry::new(Lifecycle::of_understudy(), 4, &[desk], &mut account);
        let unfit = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let mut journal = None;
        if has_journal {
            let (hot, outlet) = inlet(0, JOURNAL_BYTES, kill).map_err(unfit)?;
            entry = entry.with_journal(hot);
            journal = Some(outlet);
        }
        entry.prepare();
        let (slow, _) = ring(2).map_err(unfit)?;
        Ok(Self {
            account,
            entry,
            journal,
            room: [0; MESSAGE_LEN_MAX],
            histograms: OrderHistograms::default(),
            together: Together::default(),
            slowest: Slowest::new(slow),
            now_ns: STEP_NS,
            done: Rehearsed::default(),
        })
    }

    /// One order, the whole way up to the send.
    pub(super) fn rehearse(&mut self, clock: &Clock) {
        self.now_ns = self.now_ns.wrapping_add(STEP_NS);
        let now_ns = clock.now_ns();
        let intent = made_up(now_ns, self.now_ns);
        let asked = Asked {
            owner: Owner(0),
            intent: &intent,
            now_ns: self.now_ns,
        };
        let sent = (self.entry).on_intent(&mut self.account, &asked, &mut self.room);
        let Ok(sent) = sent else {
            self.done.refused += 1;
            return;
        };
        let encoded_ns = clock.now_ns();
        self.entry.on_encoded(sent.user_ref, encoded_ns);
        let took_ns = encoded_ns.saturating_sub(now_ns);
        self.histograms.tick_to_order.record(took_ns);
        self.histograms.decided_to_encoded.record(took_ns);
        let trace = OrderTrace::begin(&intent, sent.user_ref, encoded_ns);
        self.together.add(trace);
        (self.together).on_submitted(encoded_ns, &mut self.histograms, &mut self.slowest);
        self.forget(sent.user_ref);
        self.done.orders += 1;
    }

    /// What it has done.
    #[must_use]
    pub fn done(&self) -> Rehearsed {
        self.done
    }

    /// Everything is as it was before the order.
    fn forget(&mut self, user_ref: UserRefNum) {
        let session = &mut self.entry.session;
        let account = &mut self.account;
        Ledger { session, account }.close(user_ref);
        self.entry.session.orders.begin_again();
        self.entry.session.doubt.begin_again();
        if let Some(journal) = &mut self.journal {
            journal.records.forget();
        }
    }
}

/// Brings near what the next real order touches, if it is for what the last one was for. It changes nothing.
pub(super) fn prefetch_next(entry: &Entry, account: &Account, transport: &impl Transport) {
    entry.prefetch(account);
    entry.session.doubt.prefetch();
    let Subject {
        feed,
        locate,
        instrument,
    } = entry.session.subject;
    account.risk.prefetch_instrument(instrument);
    account.instruments.prefetch(instrument, feed, locate);
    if let Some(prices) = account.best_prices.get(usize::from(feed)) {
        prices.prefetch(locate);
        std::hint::black_box(prices.statuses().is_stopped(locate));
    }
    prefetch_whole(entry);
    prefetch_whole(account);
    prefetch_whole(&*entry.session.counters);
    prefetch_whole(transport);
    transport.prefetch();
}

/// The checks of these limits, none of which refuses anything.
fn generous(limits: &Limits) -> Limits {
    Limits {
        order_qty_max: Qty(999_999),
        notional_max: u64::MAX,
        collar_bps: 5_000,
        position_max: u64::MAX,
        gross_exposure_max: u64::MAX,
        net_exposure_max: u64::MAX,
        loss_max: u64::MAX,
        open_orders_max: 4,
        orders_per_second_max: ORDERS_A_SECOND,
        cancels_per_second_max: 1,
        rejects_max: 1,
        reject_window_ns: 1,
        duplicate_window_ns: limits.duplicate_window_ns.min(1),
        may_self_cross: limits.may_self_cross,
        hours: limits.hours.map(|hours| Hours {
            from_ns: 0,
            until_ns: DAY_NS,
            ..hours
        }),
        intent_age_max_ns: limits.intent_age_max_ns,
    }
}

/// A limit order at the best price. `risk_ns` is what risk takes for the time.
#[inline]
fn made_up(now_ns: u64, risk_ns: u64) -> OrderIntent {
    OrderIntent {
        origin: Origin {
            seq: 1,
            seen_ns: now_ns,
            wire_delta_ns: DELTA_UNKNOWN,
            feed: 0,
            batch: 1,
            place: 0,
        },
        decided_ns: risk_ns,
        id: OrderId(1),
        price: PRICE,
        qty: Qty(100),
        published_delta_ns: 0,
        picked_delta_ns: 0,
        terms: Terms::PLAIN,
        locate: LOCATE,
        queue: 0,
        ring_was_full: false,
        action: Action::Enter,
        side: Side::Buy,
        time_in_force: TimeInForce::ImmediateOrCancel,
        cause: Cause::Market,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_goes_the_whole_way_and_leaves_nothing_behind() {
        let every_check = Limits {
            duplicate_window_ns: 1_000_000_000,
            may_self_cross: false,
            hours: Some(Hours {
                clock_offset_ns: 0,
                from_ns: 1,
                until_ns: 2,
            }),
            ..Limits::WIDEST
        };
        for (limits, has_journal) in [(Limits::WIDEST, false), (every_check, true)] {
            let mut understudy = Understudy::new(&limits, has_journal).unwrap();
            let clock = Clock::manual(1_000);
            for orders in 1..=200_000 {
                understudy.rehearse(&clock);
                let expected = Rehearsed { orders, refused: 0 };
                assert_eq!(understudy.done(), expected);
            }
            assert_eq!(understudy.entry.open_orders(), 0);
            assert_eq!(understudy.account.open_orders(), 0);
            assert_eq!(understudy.account.worth(), Default::default());
            assert_eq!(understudy.account.kill().cause(), None);
            assert_eq!(understudy.entry.in_doubt(), 0);
            let frame = understudy.room;
            assert!(frame.windows(8).any(|it| it == b"UNDERSTY"), "{frame:?}");
        }
    }
}
