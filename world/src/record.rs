//! What an account's own messages add up to: an oracle too simple to be wrong.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ouch::Outbound;
use protocol::types::{Symbol, UserRefNum};

/// A live order, as the exchange told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LiveOrder {
    pub(crate) symbol: Symbol,
    pub(crate) is_buy: bool,
    pub(crate) open: u32,
}

/// What the first messages of an account say.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Messages read.
    pub(crate) read: u64,
    pub(crate) live: BTreeMap<UserRefNum, LiveOrder>,
    pub(crate) positions: BTreeMap<Symbol, i64>,
    /// Trades by match number and order, with symbol and signed shares; those undone have none.
    trades: BTreeMap<(u64, u32), (Symbol, i64)>,
    broken: BTreeSet<(u64, u32)>,
}

impl Record {
    /// Reads one more message.
    pub(crate) fn read(&mut self, message: &[u8]) {
        self.read += 1;
        match Outbound::decode(message)
            .expect("the exchange speaks OUCH")
            .0
        {
            Outbound::OrderAccepted(m) if m.state == b'L' => {
                let told = LiveOrder {
                    symbol: m.symbol,
                    is_buy: m.side == b'B',
                    open: m.qty.get().0,
                };
                assert!(
                    self.live.insert(m.user_ref.get(), told).is_none(),
                    "accepted twice"
                );
            }
            Outbound::OrderReplaced(m) => {
                let mut told = self.live.remove(&m.original_user_ref.get()).expect("live");
                told.open = m.qty.get().0;
                if m.state == b'L' {
                    self.live.insert(m.user_ref.get(), told);
                }
            }
            Outbound::Executed(m) => self.on_executed(m.user_ref.get(), m),
            Outbound::Canceled(m) => self.take(m.user_ref.get(), m.qty.get().0),
            Outbound::AiqCanceled(m) => self.take(m.user_ref.get(), m.qty.get().0),
            Outbound::BrokenTrade(m) => {
                let key = (m.match_number.get().0, m.user_ref.get().0);
                if let Some((symbol, shares)) = self.trades.get(&key)
                    && self.broken.insert(key)
                {
                    *self.positions.entry(*symbol).or_default() -= shares;
                }
            }
            _ => {}
        }
    }

    fn on_executed(&mut self, number: UserRefNum, m: &protocol::ouch::Executed) {
        let key = (m.match_number.get().0, number.0);
        if self.trades.contains_key(&key) {
            return; // The same trade, told again.
        }
        let told = self.live[&number];
        let shares = i64::from(m.qty.get().0) * if told.is_buy { 1 } else { -1 };
        self.trades.insert(key, (told.symbol, shares));
        *self.positions.entry(told.symbol).or_default() += shares;
        self.take(number, m.qty.get().0);
    }

    fn take(&mut self, number: UserRefNum, shares: u32) {
        let told = self.live.get_mut(&number).expect("live");
        assert!(told.open >= shares, "more taken than was open");
        told.open -= shares;
        if told.open == 0 {
            self.live.remove(&number);
        }
    }
}
