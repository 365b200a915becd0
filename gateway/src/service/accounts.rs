//! A session's account, and what sessions of one trading account share: kill switches that stop one another, and the
//! board on which they see one another's limits.
//!
//! Thread:      the main thread, before the first core runs

use std::sync::Arc;

use feed_handler::best_prices::BestPrices;
use rt::board::{self, Seat};

use crate::journal::limits::PastLimits;
use crate::options::{self, AccountLimit};
use crate::order::account::Account;
use crate::order::instruments::INSTRUMENTS_MAX;
use crate::order::risk::{KillSwitch, LimitKey, Limits, ROWS_MAX, Risk};

/// What a session has of what its account shares.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) kill: KillSwitch,
    /// `None`: no other session trades for its account.
    pub(super) seat: Option<Seat>,
    /// Limits of the account, and each session's part of what they leave beside the sessions' own.
    pub(super) left: Vec<(LimitKey, u64)>,
}

/// Each session's share, in their order: a session that trades alone has its switch and nothing else. `limits`: each
/// session's as configured.
pub(super) fn share(
    kills: Vec<KillSwitch>,
    accounts: &[options::Account],
    limits: &[Limits],
) -> Vec<Share> {
    let shares = kills.iter().map(|kill| Share {
        kill: kill.clone(),
        seat: None,
        left: Vec::new(),
    });
    let mut shares: Vec<Share> = shares.collect();
    for account in accounts.iter().filter(|it| it.sessions.len() > 1) {
        // Each session may know as many symbols as there is room for, and no two of them the same ones.
        let seats = board::seats(
            account.sessions.len(),
            account.sessions.len() * INSTRUMENTS_MAX,
        );
        let left = left_of(account, limits);
        for (session, seat) in account.sessions.iter().zip(seats) {
            let others = account.sessions.iter().filter(|it| *it != session);
            let others = others.filter_map(|other| kills.get(*other).cloned());
            let others: Vec<KillSwitch> = others.collect();
            if let Some(share) = shares.get_mut(*session) {
                share.kill = share.kill.clone().with_account(*session, &others);
                share.seat = Some(seat);
                share.left.clone_from(&left);
            }
        }
    }
    shares
}

/// A session's part of what each limit of its account leaves beside those of its sessions.
fn left_of(account: &options::Account, limits: &[Limits]) -> Vec<(LimitKey, u64)> {
    let left = account.limits.iter().map(|AccountLimit { key, max }| {
        let sessions = account.sessions.iter().filter_map(|at| limits.get(*at));
        let all = sessions.fold(0u64, |sum, it| sum.saturating_add(key.of(it)));
        let sessions = account.sessions.len().max(1) as u64;
        (*key, max.saturating_sub(all) / sessions)
    });
    left.collect()
}

/// A session's account, as its day begins.
///
/// # Errors
/// There are more symbols in the day's positions and lists than there is room for.
pub(super) fn open(
    session: &options::Session,
    share: Share,
    past_limits: &PastLimits,
    best_prices: Vec<Arc<BestPrices>>,
) -> Result<Account, String> {
    let name = &session.name;
    let beyond = past_limits.rows_beyond(&session.rows);
    if beyond > 0 {
        return Err(format!(
            "session {name}: {beyond} rows of limits that an earlier run added have no room beside the {} configured ones: \
             expected {ROWS_MAX} in all; leave some out, or have the earlier ones in the file",
            session.rows.len()
        ));
    }
    let risk = risk(session, share, past_limits);
    let mut account = Account::new(risk, best_prices);
    account.begin_day(&session.day).map_err(|symbol| {
        format!("session {name}: {symbol:?}: expected at most {INSTRUMENTS_MAX} symbols in all")
    })?;
    Ok(account)
}

/// A session's risk, at its account's board.
fn risk(session: &options::Session, share: Share, past_limits: &PastLimits) -> Risk {
    // Memory is what the configuration asks for, so that what an earlier run tightened can be loosened.
    let mut risk = Risk::new(session.risk, share.kill)
        .with_rows(&past_limits.rows_in_force(&session.rows), &session.rows);
    if let Some(seat) = share.seat {
        risk = risk.with_others(seat, share.left);
    }
    risk.set_limits(&past_limits.in_force(&session.risk));
    risk
}

#[cfg(test)]
mod tests {
    use feed_handler::best_prices::BestPrice;
    use protocol::types::{Price4, Qty, Side, Symbol};

    use super::*;
    use crate::cli::of_text::of_text;
    use crate::message::intent::Owner;
    use crate::order::instruments::{Instrument, Instruments};
    use crate::order::risk::{KillCause, Lot, Market, Proposal, Refusal};

    /// What a configuration makes of three sessions, the first two of them one account's.
    fn configured() -> Vec<Risk> {
        let session = |name: &str, account: &str| {
            format!(
                "[session.{name}]\naddress = \"127.0.0.1:12000\"\nusername = \"{name}\"\npassword = \"p\"\n{account}\n\
                 [session.{name}.risk]\norder_qty_max = 10\nnotional_max_dollars = 1000\ncollar_bps = 500\n\
                 position_max = 50\nopen_orders_max = 5\norders_per_second_max = 50\n\
                 gross_exposure_max_dollars = 5000\nnet_exposure_max_dollars = 5000\nloss_max_dollars = 50\n"
            )
        };
        let text = "[feed.nasdaq]\nlines = [{ address = \"233.54.12.111:26477\", interface = \"lo\" }]\n\
                    [account.desk.risk]\nposition_max = 100\nopen_orders_max = 10\norders_per_second_max = 100\n\
                    gross_exposure_max_dollars = 10000\nnet_exposure_max_dollars = 10000\nloss_max_dollars = 100\n";
        let desk = "account = \"desk\"";
        let sessions = [session("a", desk), session("b", desk), session("c", "")];
        let options = of_text(&format!("{text}{}", sessions.concat()));
        let kills = [(); 3].map(|()| KillSwitch::default()).to_vec();
        let limits: Vec<Limits> = options.sessions.iter().map(|it| it.risk).collect();
        let shares = share(kills, &options.accounts, &limits);
        let sessions = options.sessions.iter().zip(shares);
        let mut instruments = Instruments::new(1);
        instruments
            .of_symbol(Symbol::new("ZVZZT").unwrap())
            .unwrap();
        let risks = sessions.map(|(session, share)| {
            let mut risk = risk(session, share, &PastLimits::default());
            risk.know(Instrument(0), &instruments);
            risk
        });
        risks.collect()
    }

    fn order(side: Side) -> Proposal {
        Proposal {
            owner: Owner(0),
            instrument: Instrument(0),
            side,
            price: Price4(1_000_000),
            qty: Qty(1),
            counted_qty: Qty(0),
            is_new: true,
            is_marked_long: false,
            market: Market {
                best: Some(BestPrice {
                    bid_price: Price4(1_000_000),
                    bid_qty: Qty(1),
                    ask_price: Price4(1_000_100),
                    ask_qty: Qty(1),
                }),
                last_trade: Price4(0),
            },
            is_stale: false,
            is_halted: false,
        }
    }

    #[test]
    fn sessions_that_a_configuration_gives_one_account_refuse_and_stop_one_another() {
        let mut risks = configured();
        let [a, b, c] = &mut risks[..] else {
            panic!("three sessions");
        };
        for risk in [&mut *a, &mut *b] {
            risk.settle();
        }
        assert_eq!(a.check(&order(Side::Buy), 1), Ok(()));
        let lot = Lot {
            instrument: Instrument(0),
            side: Side::Buy,
            limit: Price4(1_000_000),
            qty: Qty(1),
        };
        a.on_opened(Some(Owner(0)), lot.instrument);
        a.on_limit(lot.instrument, lot.side, lot.limit);
        assert_eq!(b.check(&order(Side::Sell), 1), Err(Refusal::SelfCross));
        assert_eq!(b.take_refusing_row(), crate::order::risk::OTHER_SESSION);
        assert_eq!(c.check(&order(Side::Sell), 1), Ok(()), "another account's");
        b.kill().engage(KillCause::RejectStorm);
        assert_eq!(a.kill().began(), Some(1));
        assert_eq!(a.check(&order(Side::Buy), 2), Err(Refusal::Killed));
        assert_eq!(c.kill().cause(), None);
    }

    #[test]
    fn session_that_finds_more_than_its_part_of_the_account_stops_all_of_it() {
        // 50 shares each of the account's 100.
        for (held, killed) in [(50, None), (-51, Some(KillCause::AccountBudget))] {
            let mut risks = configured();
            let [a, b, c] = &mut risks[..] else {
                panic!("three sessions");
            };
            for risk in [&mut *a, &mut *c] {
                risk.hold(Instrument(0), held);
                risk.settle();
            }
            let causes = [&*a, &*b, &*c].map(|risk| risk.kill().cause());
            assert_eq!(causes, [killed, killed, None], "{held}");
        }
        // It is the start that is looked at: later on what stands beyond a new limit may stay.
        let mut risks = configured();
        risks[0].settle();
        risks[0].hold(Instrument(0), 51);
        risks[0].settle();
        assert_eq!(risks[0].kill().cause(), None);
    }

    #[test]
    fn what_an_account_leaves_beside_its_sessions_limits_is_parted_between_them() {
        let limit = |position_max| Limits {
            position_max,
            ..Limits::WIDEST
        };
        let account = options::Account {
            name: "desk".into(),
            sessions: vec![0, 2],
            limits: vec![AccountLimit {
                key: LimitKey::Position,
                max: 100,
            }],
        };
        let left = left_of(&account, &[limit(30), limit(5), limit(49)]);
        assert_eq!(left, [(LimitKey::Position, 10)]);
        let left = left_of(&account, &[limit(60), limit(5), limit(60)]);
        assert_eq!(left, [(LimitKey::Position, 0)]);
    }

    #[test]
    fn sessions_of_an_account_stop_one_another_and_a_stranger_trades_on() {
        let desk = options::Account {
            name: "desk".into(),
            sessions: vec![0, 2],
            limits: Vec::new(),
        };
        let alone = options::Account {
            sessions: vec![1],
            ..options::Account::default()
        };
        let kills = [(); 3].map(|()| KillSwitch::default()).to_vec();
        let shares = share(kills.clone(), &[desk, alone], &[]);
        let has_seat: Vec<bool> = shares.iter().map(|it| it.seat.is_some()).collect();
        assert_eq!(has_seat, [true, false, true]);
        shares[2].kill.engage(KillCause::LossLimit);
        let seen: Vec<_> = kills.iter().map(|it| (it.cause(), it.began())).collect();
        let loss = Some(KillCause::LossLimit);
        assert_eq!(seen, [(loss, Some(2)), (None, None), (loss, None)]);
    }
}
