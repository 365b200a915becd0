//! What sessions of the exchange that were left have executed today: the account has it, whatever session is joined.
//!
//! Path:        journals -> here, once, at the first login -> risk: positions, exposure, the day's profit
//! Thread:      order core, before any order goes out; it may allocate
//! Invariants:  the joined session's own executions are not carried: the exchange tells them.
//! When wrong:  an execution that cannot be carried, and a damaged journal that may have had one, turn the kill switch on.

use protocol::types::Side;

use super::ledger::Ledger;
use super::risk::{KillCause, Traded};
use super::telling::{AnswerEvent, TOLD_ONE_BY_ONE_MAX};
use crate::journal::carried::{Carried, CarriedSession, PastTrade};
use crate::message::past::{CarriedNews, PastNews};

impl Ledger<'_> {
    /// The exchange has this session: what is known of others is carried, and else says nothing here.
    #[cold]
    pub(super) fn on_joined(&mut self, session: [u8; 10], tell: &mut impl FnMut(AnswerEvent)) {
        let carried = self.session.past.take_carried(session);
        let forgotten = self.session.past.join(session);
        if forgotten > 0 {
            tell(AnswerEvent::Past(PastNews::AnotherSession(forgotten)));
        }
        self.carry(&carried, tell);
    }

    fn carry(&mut self, carried: &Carried, tell: &mut impl FnMut(AnswerEvent)) {
        let mut unknown = 0;
        for session in &carried.sessions {
            unknown += session.unknown + self.carry_session(session, tell);
        }
        self.account.risk.look_at_profit();
        self.session.counters.not_carried.add(unknown);
        if unknown > 0 {
            tell(AnswerEvent::Past(PastNews::NotCarried(unknown)));
        }
        if carried.is_damaged {
            tell(AnswerEvent::Past(PastNews::CarriedDamaged));
        }
        if unknown > 0 || carried.is_damaged {
            self.account.risk.kill().engage(KillCause::PositionUnknown);
        }
    }

    /// How many of its executions there is no room for.
    fn carry_session(
        &mut self,
        session: &CarriedSession,
        tell: &mut impl FnMut(AnswerEvent),
    ) -> u64 {
        let mut news = CarriedNews {
            session: session.name,
            open: u32::try_from(session.open).unwrap_or(u32::MAX),
            ..CarriedNews::default()
        };
        let (mut left, mut without_room) = (Vec::new(), 0);
        for trades in session.trades.chunk_by(|a, b| a.symbol == b.symbol) {
            let Some(shares) = self.carry_symbol(trades) else {
                without_room += trades.len() as u64;
                continue;
            };
            left.extend(trades.first().map(|trade| (trade.symbol, shares)));
            news.symbols += 1;
            news.executions += trades.len() as u64;
            news.bought += shares_of(trades, Side::Buy);
            news.sold += shares_of(trades, Side::Sell);
        }
        self.session.counters.carried.add(news.executions);
        if news.executions > 0 || news.open > 0 {
            tell(AnswerEvent::Past(PastNews::Carried(news)));
        }
        let told = left.iter().filter(|(_, shares)| *shares != 0);
        for (symbol, shares) in told.take(usize::try_from(TOLD_ONE_BY_ONE_MAX).unwrap_or(0)) {
            tell(AnswerEvent::Past(PastNews::CarriedPosition(
                *symbol, *shares,
            )));
        }
        without_room
    }

    /// Trades of one symbol; shares that they leave, `None`: there is no room for the symbol.
    fn carry_symbol(&mut self, trades: &[PastTrade]) -> Option<i64> {
        let symbol = trades.first()?.symbol;
        let instrument = self.account.instruments.of_symbol(symbol)?;
        (self.account.risk).know(instrument, &self.account.instruments);
        let traded = trades.iter().map(|trade| Traded {
            instrument,
            side: trade.side,
            qty: trade.qty,
            price: trade.price,
        });
        self.account.risk.on_carried(instrument, traded);
        let [bought, sold] = [Side::Buy, Side::Sell].map(|side| shares_of(trades, side));
        Some(bought.cast_signed() - sold.cast_signed())
    }
}

fn shares_of(trades: &[PastTrade], side: Side) -> u64 {
    let of_side = trades.iter().filter(|trade| trade.side == side);
    of_side.map(|trade| u64::from(trade.qty.0)).sum()
}
