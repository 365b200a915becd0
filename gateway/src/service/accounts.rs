//! A session's account, and what sessions of one trading account share: kill switches that stop one another, and the
//! board on which they see one another's limits.
//!
//! Thread:      the main thread, before the first core runs

use std::sync::Arc;

use feed_handler::best_prices::BestPrices;
use rt::board::{self, Seat};

use crate::journal::limits::PastLimits;
use crate::options;
use crate::order::account::Account;
use crate::order::instruments::INSTRUMENTS_MAX;
use crate::order::risk::{KillSwitch, Risk};

/// What a session has of what its account shares.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) kill: KillSwitch,
    /// `None`: no other session trades for its account.
    pub(super) seat: Option<Seat>,
}

/// Each session's share, in their order: a session that trades alone has its switch and nothing else.
pub(super) fn share(kills: Vec<KillSwitch>, accounts: &[options::Account]) -> Vec<Share> {
    let shares = kills.iter().map(|kill| Share {
        kill: kill.clone(),
        seat: None,
    });
    let mut shares: Vec<Share> = shares.collect();
    for account in accounts.iter().filter(|it| it.sessions.len() > 1) {
        // Each session may know as many symbols as there is room for, and no two of them the same ones.
        let seats = board::seats(
            account.sessions.len(),
            account.sessions.len() * INSTRUMENTS_MAX,
        );
        for (session, seat) in account.sessions.iter().zip(seats) {
            let others = account.sessions.iter().filter(|it| *it != session);
            let others = others.filter_map(|other| kills.get(*other).cloned());
            let others: Vec<KillSwitch> = others.collect();
            if let Some(share) = shares.get_mut(*session) {
                share.kill = share.kill.clone().with_account(*session, &others);
                share.seat = Some(seat);
            }
        }
    }
    shares
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
    // Memory is what the configuration asks for, so that what an earlier run tightened can be loosened.
    let mut risk =
        Risk::new(session.risk, share.kill).with_rows(&past_limits.rows_in_force(&session.rows));
    if let Some(seat) = share.seat {
        risk = risk.with_others(seat);
    }
    risk.set_limits(&past_limits.in_force(&session.risk));
    let mut account = Account::new(risk, best_prices);
    let name = &session.name;
    account.begin_day(&session.day).map_err(|symbol| {
        format!("session {name}: {symbol:?}: expected at most {INSTRUMENTS_MAX} symbols in all")
    })?;
    Ok(account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::risk::KillCause;

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
        let shares = share(kills.clone(), &[desk, alone]);
        let has_seat: Vec<bool> = shares.iter().map(|it| it.seat.is_some()).collect();
        assert_eq!(has_seat, [true, false, true]);
        shares[2].kill.engage(KillCause::LossLimit);
        let seen: Vec<_> = kills.iter().map(|it| (it.cause(), it.began())).collect();
        let loss = Some(KillCause::LossLimit);
        assert_eq!(seen, [(loss, Some(2)), (None, None), (loss, None)]);
    }
}
