//! Two sessions of one trading account, each with an order entry of its own, at one exchange: what went is what the
//! exchange has, never what the gateway says.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod pair;

use std::sync::Arc;

use gateway::message::intent::{Action, OrderId, OrderIntent};
use gateway::order::account::Account;
use gateway::order::addresses::Addresses;
use gateway::order::entry::{Credentials, DeskOptions, Entry, Lifecycle};
use gateway::order::risk::{KillCause, KillSwitch, Limits, Refusal, Risk};
use order_sim::exchange::Exchange;
use order_sim::file;
use pair::{LIMITS, World};
use protocol::ouch::Outbound;
use protocol::types::{Price4, Side};

const NAMES: [&str; 2] = ["one", "two"];
const TIGHT: Limits = Limits {
    may_self_cross: false,
    ..LIMITS
};

/// What a strategy wants: which order, on which side, at what price.
struct Ask(Action, u32, Side, u32);

/// Both sessions; the exchange goes to the one whose bytes move.
struct Firm {
    sessions: [World; 2],
    exchange: Exchange,
}

impl Firm {
    fn open() -> Self {
        let accounts = NAMES.map(|name| format!("[account.{name}]\npassword = \"demo\"\n"));
        let text = format!("address = \"127.0.0.1:1\"\n{}", accounts.concat());
        let options = file::parse(&text).expect("sane").exchange;
        let kills = [(); 2].map(|()| KillSwitch::default());
        let mut seats = rt::board::seats(2, 64).into_iter();
        let sessions = [0, 1].map(|at| {
            let mut world = World::new(0);
            world.options = options.clone();
            world.kill = kills[at].clone().with_account(at, &[kills[1 - at].clone()]);
            let risk = Risk::new(TIGHT, world.kill.clone());
            let risk = risk.with_others(seats.next().expect("a seat"), Vec::new());
            world.account = Account::new(risk, vec![Arc::clone(&world.prices)]);
            world.entry = entry(NAMES[at], &mut world.account);
            world
        });
        let mut firm = Self {
            sessions,
            exchange: Exchange::new(&options, 1),
        };
        for at in [0, 1] {
            firm.with(at, World::connect);
        }
        firm
    }

    /// Something happens on a session, and everything is said until nothing moves.
    fn with<T>(&mut self, at: usize, happens: impl FnOnce(&mut World) -> T) -> T {
        let now_ns = self.sessions.iter().map(|it| it.now_ns).max();
        let world = &mut self.sessions[at];
        world.now_ns = now_ns.expect("two");
        std::mem::swap(&mut world.exchange, &mut self.exchange);
        let told = happens(world);
        world.settle();
        std::mem::swap(&mut world.exchange, &mut self.exchange);
        told
    }

    fn asks(&mut self, at: usize, ask: Ask) -> Result<(), Refusal> {
        let Ask(action, id, side, price) = ask;
        self.with(at, |world| {
            let plain = world.plain(action, OrderId(id), side, 100);
            world.send(&OrderIntent {
                price: Price4(price),
                ..plain
            })
        })
    }

    /// Orders and executions that the exchange's store has of a session.
    fn stored(&self, at: usize) -> [usize; 2] {
        let account = at as u16;
        let mut counts = [0; 2];
        for message in 0..self.exchange.stored(account) {
            let bytes = self.exchange.message(account, message).expect("stored");
            match Outbound::decode(bytes).expect("OUCH").0 {
                Outbound::OrderAccepted(_) | Outbound::Rejected(_) => counts[0] += 1,
                Outbound::Executed(_) => counts[1] += 1,
                _ => {}
            }
        }
        counts
    }
}

fn entry(name: &str, account: &mut Account) -> Entry {
    let lifecycle = Lifecycle::new(Credentials {
        addresses: Addresses::default(),
        username: name.into(),
        password: "demo".into(),
        session: String::new(),
        server_timeout_ns: 15_000_000_000,
    });
    let desk = DeskOptions {
        feed: 0,
        symbols: None,
        trade_on_stale: false,
    };
    Entry::new(lifecycle, TIGHT.open_orders_max, &[desk], account)
}

#[test]
fn order_that_would_meet_one_of_the_accounts_other_session_is_not_at_the_exchange() {
    let mut firm = Firm::open();
    let price = 1_000_000;
    assert_eq!(
        firm.asks(0, Ask(Action::Enter, 1, Side::Buy, price)),
        Ok(())
    );
    assert_eq!(firm.stored(0), [1, 0]);
    let refused = firm.asks(1, Ask(Action::Enter, 1, Side::Sell, price));
    assert_eq!(refused, Err(Refusal::SelfCross));
    assert_eq!(firm.stored(1), [0, 0]);
    // Once the exchange has said that the bid is over, it goes.
    assert_eq!(firm.asks(0, Ask(Action::Cancel, 1, Side::Buy, 0)), Ok(()));
    assert_eq!(
        firm.asks(1, Ask(Action::Enter, 2, Side::Sell, price)),
        Ok(())
    );
    assert_eq!((firm.stored(0), firm.stored(1)), ([1, 0], [1, 0]));
}

/// The exchange lets what meets trade: that nothing did is the gateway's doing.
#[test]
fn two_sessions_that_quote_at_random_never_trade_with_each_other() {
    let (mut sent, mut refused) = (0, 0);
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut firm = Firm::open();
        for id in 1..60 {
            let (at, price) = (random.usize(0..2), 1_000_000 + 100 * random.u32(0..6));
            let side = [Side::Buy, Side::Sell][random.usize(0..2)];
            let (action, id) = match random.u32(0..3) {
                0 => (Action::Enter, id),
                1 => (Action::Replace, random.u32(1..60)),
                _ => (Action::Cancel, random.u32(1..60)),
            };
            match firm.asks(at, Ask(action, id, side, price)) {
                Ok(()) => sent += 1,
                Err(Refusal::SelfCross) => refused += 1,
                Err(_) => {}
            }
            assert_eq!(
                [firm.stored(0)[1], firm.stored(1)[1]],
                [0, 0],
                "seed {seed}"
            );
        }
    }
    assert!(sent > 100 && refused > 50, "sent {sent}, refused {refused}");
}

#[test]
fn what_stops_one_session_stops_the_other_and_nothing_more_of_it_is_at_the_exchange() {
    let mut firm = Firm::open();
    assert_eq!(
        firm.asks(1, Ask(Action::Enter, 1, Side::Buy, 999_000)),
        Ok(())
    );
    // Whoever finds the breach has session one's switch in hand.
    firm.sessions[0].kill.engage(KillCause::UnknownExecution);
    let told = (firm.sessions[1].kill.cause(), firm.sessions[1].kill.began());
    assert_eq!(told, (Some(KillCause::UnknownExecution), Some(0)));
    for at in [0, 1] {
        let refused = firm.asks(at, Ask(Action::Enter, 2, Side::Buy, 999_000));
        assert_eq!(refused, Err(Refusal::Killed));
    }
    assert_eq!((firm.stored(0), firm.stored(1)), ([0, 0], [1, 0]));
}
