//! Order entry alone, set in five ways that take turns in one process: no network, no kernel, and so hardly any noise.
//!
//! ```text
//!  this thread     intent ──timed──> risk, order, OUCH, journal's ring ──> answers ...   a way, the next way ...
//!  another thread                                       └──> checksums, as the journal core, a thousand times a second
//! ```
//!
//! Each time has one read of the clock in it, in every way alike. A clock may move in steps (of 10 ns on some hosts), so two
//! ways are compared by the mean of each round's faster nine tenths; the rest is the tail, which is told beside it.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use feed_handler::best_prices::BestPrice;
use gateway::journal::batch::Encoder;
use gateway::journal::head::{Names, SessionNames};
use gateway::journal::inlet::{Inlet, Outlet, inlet};
use gateway::message::intent::Owner;
use gateway::order::account::DayStart;
use gateway::order::instruments::Instrument;
use gateway::order::risk::{Hours, KillSwitch, Limits, Market, Proposal, Risk, RowLimits};
use hdrhistogram::Histogram;
use protocol::types::{Price4, Qty, Side, Symbol};
use report::Aim;
use report::statistics::median;
use rt::clock::{Clock, DAY_NS};
use rt::cpu;
use rt::histogram::empty;

use super::{JOURNAL_NS_MAX, RISK_NS_MAX, range};
use crate::order_path::{OrderPath, Setting};

/// Orders that rest meanwhile.
const RESTING: u32 = 100;
/// Orders of each way in a round.
const ORDERS: u32 = 5_000;
/// Checks that are timed together.
const CHECKS: u32 = 5_000;
/// The ring of the gateway's default.
const RING_BYTES: usize = 4 << 20;
/// The journal core's pause.
const PAUSE: Duration = Duration::from_millis(1);

/// One way, and what it took.
#[derive(Debug)]
pub struct Taken {
    /// Its name.
    pub name: &'static str,
    /// Median of each round, ns.
    pub p50: Vec<f64>,
    /// Mean of each round's faster nine tenths, ns.
    pub mean: Vec<f64>,
    /// All rounds together.
    pub all: Histogram<u64>,
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// Least, risk, rows, journal, risk and journal.
    pub ways: Vec<Taken>,
    /// Everything that risk checks of an order, again and again, ns a check, of each round.
    pub check: Vec<f64>,
}

/// Measures this many rounds.
///
/// # Errors
/// The host has not the memory; an order was refused.
pub fn measure(rounds: u32, stop: &AtomicBool) -> Result<Found> {
    let clock = Clock::new();
    let (mut paths, outlets) = begin()?;
    let is_over = AtomicBool::new(false);
    let (mut check, mut refused) = (Vec::new(), Ok(()));
    thread::scope(|scope| {
        scope.spawn(|| keep_journals(outlets, &is_over));
        if let Some(last) = cpu::allowed().last() {
            // Where it is not allowed, the kernel chooses.
            let _ = cpu::pin(*last);
        }
        for _ in 0..rounds {
            for (path, taken) in &mut paths {
                let mut round = empty();
                for turn in 0..ORDERS {
                    let side = if turn % 2 == 0 { Side::Buy } else { Side::Sell };
                    round.saturating_record(path.live_and_die_timed(&clock, side));
                }
                taken.p50.push(round.value_at_quantile(0.5) as f64);
                taken.mean.push(mean_of_most(&round));
                taken.all += round;
            }
            match time_checks(&clock) {
                Ok(took_ns) => check.push(took_ns),
                Err(error) => {
                    refused = Err(error);
                    break;
                }
            }
            if stop.load(Ordering::SeqCst) {
                break;
            }
        }
        is_over.store(true, Ordering::Release);
    });
    refused?;
    let sent = u64::from(ORDERS) * check.len() as u64 + u64::from(RESTING);
    if let Some((path, taken)) = paths.iter().find(|(path, _)| path.orders() != sent) {
        bail!(
            "{}: {} of {sent} orders went out",
            taken.name,
            path.orders()
        );
    }
    let ways = paths.into_iter().map(|(_, taken)| taken).collect();
    Ok(Found { ways, check })
}

type Paths = Vec<(OrderPath, Taken)>;

/// Every way, with orders that rest, and the far ends of the journals' rings.
fn begin() -> Result<(Paths, Vec<Outlet>)> {
    let mut outlets = Vec::new();
    let mut paths = Vec::new();
    for (name, is_checked, rows, is_journaled) in WAYS {
        let kill = KillSwitch::default();
        let mut journal = Inlet::default();
        if is_journaled {
            let ends = inlet(0, RING_BYTES, kill.clone());
            let (hot, outlet) = ends.map_err(|error| anyhow!("{error:?}"))?;
            journal = hot;
            outlets.push(outlet);
        }
        let setting = Setting {
            limits: if is_checked { all() } else { least() },
            rows: vec![row(); rows],
            kill,
            day: if is_checked {
                day()
            } else {
                DayStart::default()
            },
            journal,
        };
        let taken = Taken {
            name,
            p50: Vec::new(),
            mean: Vec::new(),
            all: empty(),
        };
        paths.push((OrderPath::with(RESTING, setting)?, taken));
    }
    Ok((paths, outlets))
}

/// Name, everything is checked, rows of limits that are for each order, everything is journaled.
const WAYS: [(&str, bool, usize, bool); 5] = [
    ("least", false, 0, false),
    ("risk", true, 0, false),
    ("risk with 8 rows", true, 8, false),
    ("journal", false, 0, true),
    ("risk and journal", true, 0, true),
];

/// What was found, against what is promised.
#[must_use]
pub fn aims(found: &Found) -> Vec<Aim> {
    let [least, others @ ..] = found.ways.as_slice() else {
        return Vec::new();
    };
    let both = RISK_NS_MAX + JOURNAL_NS_MAX;
    let bounds = [RISK_NS_MAX, RISK_NS_MAX, JOURNAL_NS_MAX, both];
    let aim = |what: String, bound, each: &[f64]| Aim {
        unit: "ns".to_owned(),
        ..Aim::at_most(
            &what,
            bound,
            (!each.is_empty()).then(|| median(each)),
            range(each),
        )
    };
    let compared = others.iter().zip(bounds).map(|(way, bound)| {
        let more = way.mean.iter().zip(&least.mean);
        let more: Vec<f64> = more.map(|(with, without)| with - without).collect();
        let what = format!("{}: order entry alone, on less off", way.name);
        aim(what, bound, &more)
    });
    let check = "risk: all it checks, by itself".to_owned();
    let check = aim(check, RISK_NS_MAX, &found.check);
    compared.chain([check]).collect()
}

/// The mean of the faster nine tenths, ns.
fn mean_of_most(round: &Histogram<u64>) -> f64 {
    let most = round.len() / 10 * 9;
    let (mut counted, mut sum) = (0, 0.0);
    for step in round.iter_recorded() {
        let count = step.count_at_value().min(most - counted);
        sum += step.value_iterated_to() as f64 * count as f64;
        counted += count;
    }
    sum / most.max(1) as f64
}

/// Empties the rings, as the journal core does.
fn keep_journals(outlets: Vec<Outlet>, is_over: &AtomicBool) {
    if let Some(first) = cpu::allowed().first() {
        // Where it is not allowed, the kernel chooses.
        let _ = cpu::pin(*first);
    }
    let names = || Names::new(vec![SessionNames::default()], Vec::new());
    let kept = outlets.into_iter();
    let mut kept: Vec<(Outlet, Encoder)> = kept
        .map(|outlet| (outlet, Encoder::new(1, names())))
        .collect();
    let mut batch = Vec::new();
    while !is_over.load(Ordering::Acquire) {
        let mut taken = 0;
        for (outlet, encoder) in &mut kept {
            taken += encoder.take(&mut outlet.records, &mut batch, |_, _| ());
            batch.clear();
        }
        if taken == 0 {
            thread::park_timeout(PAUSE);
        }
    }
}

/// No limit is near, and what can be off is.
fn least() -> Limits {
    Limits {
        open_orders_max: RESTING + 1_000,
        orders_per_second_max: 10_000,
        ..Limits::WIDEST
    }
}

/// Everything is on.
fn all() -> Limits {
    Limits {
        order_qty_max: Qty(10_000),
        notional_max: 1_000_000 * 10_000,
        collar_bps: 500,
        position_max: 100_000_000,
        cancels_per_second_max: 10_000,
        rejects_max: 100,
        duplicate_window_ns: 1_000_000,
        may_self_cross: false,
        hours: Some(Hours {
            clock_offset_ns: 0,
            from_ns: 0,
            until_ns: DAY_NS,
        }),
        ..least()
    }
}

/// Positions of the day before, so that sells are marked, and lists of what is not traded.
fn day() -> DayStart {
    DayStart {
        positions: Some(vec![(Symbol(*b"ALC     "), 1_000_000)]),
        restricted: vec![Symbol(*b"ZWZZT   ")],
        no_short: vec![Symbol(*b"ZXZZT   ")],
        ..DayStart::default()
    }
}

/// A row with everything that one may have, and nothing near.
fn row() -> RowLimits {
    RowLimits {
        order_qty_max: Some(Qty(9_000)),
        notional_max: Some(900_000 * 10_000),
        position_max: Some(90_000_000),
        open_orders_max: Some(RESTING + 900),
        orders_per_second_max: Some(9_000),
        ..RowLimits::default()
    }
}

/// Nanoseconds a check, with everything on.
///
/// # Errors
/// One was refused: it may have been looked at in part only.
fn time_checks(clock: &Clock) -> Result<f64> {
    let mut risk = Risk::new(all(), KillSwitch::default());
    risk.restrict(Instrument(7));
    risk.forbid_short(Instrument(8));
    risk.mark_sells();
    let buy = Proposal {
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
                ask_price: Price4(1_000_100),
                ask_qty: Qty(100),
            }),
            last_trade: Price4(1_000_000),
        },
        is_stale: false,
        is_halted: false,
    };
    // Enough is held for each sell.
    risk.hold(Instrument(3), 1_000_000);
    let sell = Proposal {
        side: Side::Sell,
        is_marked_long: true,
        ..buy
    };
    let began_ns = clock.now_ns();
    let (mut now_ns, mut passed) = (1_000_000_000, 0);
    for turn in 0..CHECKS {
        now_ns += 2_000_000;
        let proposal = if turn % 2 == 0 { &buy } else { &sell };
        passed += u32::from(black_box(risk.check(black_box(proposal), now_ns)).is_ok());
    }
    let took_ns = clock.now_ns() - began_ns;
    ensure!(passed == CHECKS, "{passed} of {CHECKS} checks passed");
    Ok(took_ns as f64 / f64::from(CHECKS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenth_that_is_slowest_is_in_no_mean() {
        let mut round = empty();
        for value in [60, 60, 60, 60, 70, 70, 70, 70, 60, 1_000_000] {
            round.saturating_record(value);
        }
        let mean = (5.0 * 60.0 + 4.0 * 70.0) / 9.0;
        assert!((mean_of_most(&round) - mean).abs() < 1e-9);
    }

    #[test]
    fn all_ways_send_every_order_and_are_compared_in_each_round() {
        let found = measure(2, &AtomicBool::new(false)).unwrap();
        let names: Vec<_> = found.ways.iter().map(|way| way.name).collect();
        assert_eq!(names, WAYS.map(|(name, ..)| name));
        for way in &found.ways {
            assert_eq!(way.all.len(), 2 * u64::from(ORDERS), "{}", way.name);
        }
        let aims = aims(&found);
        assert_eq!(aims.len(), 5);
        assert!(aims.iter().all(|aim| aim.measured.is_some()));
    }
}
