//! The matching engine against one that is too simple to be wrong, over random days with every kind of
//! order; and what must add up whatever happens.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::or_fun_call,
    reason = "tests"
)]

use std::collections::BTreeMap;

use naive::Naive;
use order_sim::engine::{
    Change, CrossKind, Engine, Event, HOUSE, Handle, Limits, Listing, NewOrder, OnFeed, Owner,
    PostOnly, Prevention, Refusal, Rested, State, Terms, TimeInForce,
};
use protocol::types::{Side, Symbol};

mod naive;

const LIMITS: Limits = Limits {
    stocks_max: 1,
    orders_max: 4096,
    levels_max: 512,
    trades_max: 1024,
    pause_ns: 40,
};
const REFERENCE: u32 = 1_000_000;

/// An event as the naive engine tells it.
fn line(event: &Event) -> String {
    let feed = |shown: &Option<OnFeed>| {
        shown.map_or("-".to_owned(), |s| {
            format!("{}-{}={}", s.reference, s.off, s.left)
        })
    };
    match event {
        Event::Accepted {
            number,
            owner,
            price,
            ..
        } => format!("accept {owner:?} {number} {price}"),
        Event::Replaced {
            number,
            owner,
            open,
            price,
            shown,
            ..
        } => {
            format!("replace {owner:?} {number} {open} {price} {}", feed(shown))
        }
        Event::Rested(r) => format!("rest {} {} {}", r.reference, r.qty, r.price),
        Event::RestedAs {
            old_reference,
            rested: r,
        } => {
            format!(
                "rest-as {old_reference} {} {} {}",
                r.reference, r.qty, r.price
            )
        }
        Event::Withdrawn { reference, .. } => format!("withdraw {reference}"),
        Event::Refreshed { owner, rested: r } => {
            format!("refresh {owner:?} {} {} {}", r.reference, r.qty, r.price)
        }
        Event::Traded(t) => format!(
            "trade {} {}@{} {:?}:{} {:?}:{} {} {}",
            t.match_number,
            t.qty,
            t.price,
            t.maker.owner,
            t.maker.open,
            t.taker.owner,
            t.taker.open,
            feed(&t.maker_shown),
            feed(&t.taker_shown)
        ),
        Event::Canceled(c) => {
            format!(
                "cancel {:?} {} {} {} {}",
                c.owner,
                c.qty,
                c.open,
                c.reason as char,
                feed(&c.shown)
            )
        }
        Event::Prevented {
            canceled: c,
            prevented,
            price,
            ..
        } => {
            format!(
                "prevent {:?} {} {} {prevented}@{price} {}",
                c.owner,
                c.qty,
                c.open,
                feed(&c.shown)
            )
        }
        Event::State { state, .. } => format!("state {}", *state as u8 as char),
        Event::Crossed { shares, price, .. } => format!("crossed {shares}@{price}"),
        Event::Collar { .. } => String::new(),
        other => panic!("{other:?}"),
    }
}

/// One account's shares: what came in is open, traded or gone.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    entered: i64,
    traded: i64,
    gone: i64,
    position: i64,
}

/// The engine, what it said, and what follows from that.
struct World {
    engine: Engine,
    handles: BTreeMap<Owner, Handle>,
    sides: BTreeMap<Owner, Side>,
    opens: BTreeMap<Owner, u32>,
    sums: BTreeMap<u16, Sums>,
    /// What a reader of the feed believes: reference to side, shares, price.
    feed: BTreeMap<u64, (Side, u32, u32)>,
    said: Vec<String>,
}

impl World {
    fn new(band_bps: u32) -> Self {
        let mut engine = Engine::new(LIMITS);
        let symbol = Symbol::new("ALC").expect("a symbol");
        let listing = Listing {
            symbol,
            reference_price: REFERENCE,
            band_bps,
        };
        assert_eq!(engine.list(&listing), Some(1));
        Self {
            engine,
            handles: BTreeMap::new(),
            sides: BTreeMap::new(),
            opens: BTreeMap::new(),
            sums: BTreeMap::new(),
            feed: BTreeMap::new(),
            said: Vec::new(),
        }
    }

    fn hear(&mut self, event: Event) {
        self.said.push(line(&event));
        self.follow_feed(&event);
        self.follow_accounts(&event);
    }

    fn follow_feed(&mut self, event: &Event) {
        let rested = |feed: &mut BTreeMap<_, _>, r: &Rested| {
            assert!(r.qty > 0 && r.price > 0, "{r:?}");
            assert_eq!(feed.insert(r.reference, (r.side, r.qty, r.price)), None);
        };
        let off = |feed: &mut BTreeMap<u64, (Side, u32, u32)>, shown: &Option<OnFeed>| {
            let Some(shown) = shown else { return };
            let order = feed.get_mut(&shown.reference).expect("known to the feed");
            assert_eq!(order.1 - shown.off, shown.left);
            order.1 = shown.left;
            if shown.left == 0 {
                feed.remove(&shown.reference);
            }
        };
        match event {
            Event::Rested(r) | Event::Refreshed { rested: r, .. } => rested(&mut self.feed, r),
            Event::RestedAs {
                old_reference,
                rested: r,
            } => {
                assert!(self.feed.remove(old_reference).is_some());
                rested(&mut self.feed, r);
            }
            Event::Withdrawn { reference, .. } => {
                assert!(self.feed.remove(reference).is_some());
            }
            Event::Traded(t) => {
                off(&mut self.feed, &t.maker_shown);
                off(&mut self.feed, &t.taker_shown);
            }
            Event::Canceled(c) | Event::Prevented { canceled: c, .. } => {
                off(&mut self.feed, &c.shown)
            }
            Event::Replaced { shown, .. } => off(&mut self.feed, shown),
            _ => {}
        }
    }

    fn follow_accounts(&mut self, event: &Event) {
        let canceled = |world: &mut Self, owner: Owner, qty: u32, open: u32| {
            let before = world.opens[&owner];
            assert_eq!(before - qty, open, "{owner:?}");
            world.sums.entry(owner.account).or_default().gone += i64::from(qty);
            world.opens.insert(owner, open);
        };
        match event {
            Event::Accepted { handle, owner, .. } => {
                self.handles.insert(*owner, *handle);
            }
            Event::Replaced {
                handle,
                owner,
                old_user_ref,
                open,
                ..
            } => {
                let old = Owner {
                    user_ref: *old_user_ref,
                    ..*owner
                };
                let before = self.opens.remove(&old).expect("live");
                let sums = self.sums.entry(owner.account).or_default();
                sums.entered += i64::from(*open) - i64::from(before);
                self.opens.insert(*owner, *open);
                self.handles.remove(&old);
                self.handles.insert(*owner, *handle);
                let side = self.sides[&old];
                self.sides.insert(*owner, side);
            }
            Event::Traded(t) => {
                for party in [t.maker, t.taker] {
                    let sign = if party.side == Side::Buy { 1 } else { -1 };
                    let sums = self.sums.entry(party.owner.account).or_default();
                    sums.position += sign * i64::from(t.qty);
                    if party.owner == HOUSE {
                        continue;
                    }
                    let open = self.opens.get_mut(&party.owner).expect("live");
                    assert_eq!(*open - t.qty, party.open);
                    *open = party.open;
                    sums.traded += i64::from(t.qty);
                    assert_eq!(self.sides[&party.owner], party.side);
                }
            }
            Event::Canceled(c) => canceled(self, c.owner, c.qty, c.open),
            Event::Prevented { canceled: c, .. } => canceled(self, c.owner, c.qty, c.open),
            _ => {}
        }
    }

    fn enter(&mut self, new: &NewOrder, now_ns: u64) -> Result<(), Refusal> {
        let mut events = Vec::new();
        self.engine
            .enter(new, now_ns, &mut |event| events.push(event))?;
        self.opens.insert(new.owner, new.qty);
        self.sides.insert(new.owner, new.side);
        self.sums.entry(new.owner.account).or_default().entered += i64::from(new.qty);
        self.hear_all(events);
        Ok(())
    }

    /// Time passes, and what is due happens at its time.
    fn pass(&mut self, until_ns: u64, naive: &mut Naive) {
        while let Some(at) = self.engine.next_timeout_ns().filter(|at| *at <= until_ns) {
            let mut events = Vec::new();
            self.engine.expire(at, &mut |event| events.push(event));
            self.hear_all(events);
            naive.pass(at);
        }
        naive.pass(until_ns);
    }

    fn hear_all(&mut self, events: Vec<Event>) {
        for event in events {
            self.hear(event);
        }
        self.opens.retain(|_, open| *open > 0);
        self.all_adds_up();
    }

    fn all_adds_up(&self) {
        let live: BTreeMap<Owner, u32> = self.engine.live().collect();
        assert_eq!(live, self.opens);
        for (account, sums) in &self.sums {
            let open = live.iter().filter(|(owner, _)| owner.account == *account);
            let open: i64 = open.map(|(_, open)| i64::from(*open)).sum();
            assert_eq!(
                sums.entered,
                sums.traded + sums.gone + open,
                "account {account}"
            );
        }
        assert_eq!(self.sums.values().map(|sums| sums.position).sum::<i64>(), 0);
        let mut shown = BTreeMap::new();
        for side in [Side::Buy, Side::Sell] {
            for r in self.engine.shown(1, side) {
                shown.insert(r.reference, (r.side, r.qty, r.price));
            }
        }
        assert_eq!(shown, self.feed);
        if let (Some(bid), Some(ask), _) = self.engine.best(1)
            && self
                .engine
                .status(1)
                .is_some_and(|stock| stock.state == State::Trading)
        {
            assert!(bid < ask, "crossed: {bid} {ask}");
        }
    }
}

/// A price within this many cents of the reference.
fn random_price(random: &mut fastrand::Rng, reach: u32) -> u32 {
    REFERENCE + 100 * random.u32(0..2 * reach) - 100 * reach
}

fn random_order(
    random: &mut fastrand::Rng,
    user_ref: u32,
    reach: u32,
    is_trading: bool,
) -> NewOrder {
    let side = if random.bool() { Side::Buy } else { Side::Sell };
    let price = random_price(random, reach);
    let is_immediate = random.u8(0..8) == 0 && is_trading;
    let is_shown = random.u8(0..4) != 0;
    let is_midpoint = random.u8(0..8) == 0 && is_trading;
    let is_cross = random.u8(0..10) == 0 && !is_midpoint;
    let qty = random.u32(1..300);
    let may_have_min = is_immediate || !is_shown || is_midpoint;
    let is_any = is_cross && random.u8(0..4) == 0;
    let cross = if is_trading {
        CrossKind::Close
    } else {
        CrossKind::Open
    };
    NewOrder {
        owner: Owner {
            user_ref,
            account: random.u16(1..5),
        },
        locate: 1,
        side,
        qty,
        terms: Terms {
            limit: (!is_any).then_some(price),
            life: if is_immediate && !is_cross {
                TimeInForce::Immediate
            } else {
                TimeInForce::Market
            },
            is_shown: is_shown && !is_midpoint,
            is_midpoint,
            post_only: [
                PostOnly::No,
                PostOnly::No,
                PostOnly::Cancel,
                PostOnly::Slide,
            ][random.usize(0..4)],
            min_qty: if may_have_min && random.bool() {
                random.u32(0..=qty)
            } else {
                0
            },
            display_qty: if random.u8(0..6) == 0 {
                random.u32(1..50)
            } else {
                0
            },
            house: false,
        },
        prevention: (
            random.u16(0..3),
            [
                Prevention::CancelNewest,
                Prevention::CancelOldest,
                Prevention::Decrement,
            ][random.usize(0..3)],
        ),
        cross: is_cross.then_some(cross),
        is_short: side == Side::Sell && random.bool(),
        attribution: [0; 4],
        ends: None,
    }
}

fn random_change(random: &mut fastrand::Rng, user_ref: u32, reach: u32, was: u32) -> Change {
    let is_midpoint = random.u8(0..10) == 0;
    let is_shown = random.u8(0..4) != 0 && !is_midpoint;
    Change {
        user_ref,
        open: if random.bool() {
            was.saturating_sub(10).max(1)
        } else {
            random.u32(1..300)
        },
        terms: Terms {
            is_shown,
            is_midpoint,
            post_only: [PostOnly::No, PostOnly::Cancel, PostOnly::Slide][random.usize(0..3)],
            ..Terms::plain(random_price(random, reach), TimeInForce::Market)
        },
    }
}

/// The same day for both; after each operation both must have said the same.
fn day(seed: u64, reach: u32, band_bps: u32) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut world = World::new(band_bps);
    let mut naive = Naive::new(i64::from(REFERENCE), i64::from(band_bps));
    naive.pause_ns = LIMITS.pause_ns;
    let mut next = 1;
    for step in 0..600 {
        let is_trading = naive.state == State::Trading;
        let live: Vec<Owner> = world.opens.keys().copied().collect();
        let some = (!live.is_empty()).then(|| live[random.usize(0..live.len().max(1))]);
        let mut events = Vec::new();
        let mut sink = |event| events.push(event);
        match (random.u8(0..100), some) {
            (0..20, Some(owner)) => {
                let keep = if random.bool() { 0 } else { random.u32(0..200) };
                naive.cancel(owner, keep, b'U');
                assert!(
                    world
                        .engine
                        .cancel(world.handles[&owner], keep, b'U', &mut sink)
                );
            }
            (20..40, Some(owner)) => {
                let is_cross = naive
                    .orders
                    .iter()
                    .any(|o| o.owner == owner && o.cross.is_some());
                let mut change = random_change(&mut random, next, reach, world.opens[&owner]);
                change.terms.is_midpoint &= is_trading && !is_cross;
                next += 1;
                let result =
                    world
                        .engine
                        .replace(world.handles[&owner], &change, naive.now_ns, &mut sink);
                assert_eq!(result.map(|_| ()), naive.replace(owner, &change));
            }
            (40, _) => {
                let kind = if is_trading {
                    CrossKind::Close
                } else {
                    CrossKind::Open
                };
                naive.cross(kind);
                world.engine.cross(1, kind, &mut sink);
            }
            (41, _) if is_trading => {
                naive.set_state(State::Quoting);
                world
                    .engine
                    .set_state(1, State::Quoting, *b"    ", &mut sink);
            }
            (42, _) if random.u8(0..3) == 0 => {
                let state = [State::Halted, State::Paused][random.usize(0..2)];
                naive.set_state(state);
                world.engine.set_state(1, state, *b"    ", &mut sink);
            }
            (43, _) if random.bool() => {
                naive.is_short_restricted = random.bool();
                world
                    .engine
                    .restrict_short_sales(1, naive.is_short_restricted);
            }
            (43, _) if random.u8(0..4) == 0 => {
                let hours = [TimeInForce::Market, TimeInForce::System][random.usize(0..2)];
                naive.end_of(hours);
                world.engine.end_of(hours, &mut sink);
            }
            (44..50, _) => world.pass(naive.now_ns + random.u64(0..20), &mut naive),
            (50..53, Some(owner)) => {
                let qty = random.u32(1..100);
                naive.fill_by_house(owner, qty);
                let handle = world.handles[&owner];
                assert!(world.engine.fill_by_house(handle, qty, &mut sink));
            }
            _ => {
                let mut new = random_order(&mut random, next, reach, is_trading);
                if naive.state == State::Paused && new.cross == Some(CrossKind::Open) {
                    new.cross = None;
                    new.terms.limit = Some(REFERENCE);
                }
                next += 1;
                if new.terms.life == TimeInForce::Market && random.u8(0..5) == 0 {
                    new.terms.life = TimeInForce::Until(naive.now_ns + random.u64(1..40));
                }
                assert_eq!(world.enter(&new, naive.now_ns), naive.enter(&new));
            }
        }
        world.hear_all(events);
        let said: Vec<_> = world
            .said
            .drain(..)
            .filter(|line| !line.is_empty())
            .collect();
        let expected: Vec<_> = naive.said.drain(..).collect();
        assert_eq!(said, expected, "seed {seed}, step {step}");
    }
}

#[test]
fn random_days_agree_with_the_naive_engine_in_every_event() {
    for seed in 0..100 {
        // Prices close together, and enough of them that some lie far from the best.
        let reach = if seed % 4 == 3 { 100 } else { 10 };
        day(seed, reach, 0);
        day(seed + 1000, reach, 40);
    }
}
