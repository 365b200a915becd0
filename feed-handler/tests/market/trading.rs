//! What was said last of how each symbol is traded: a table of the last messages.

use std::collections::BTreeMap;

use feed_handler::best_prices::BestPrices;
use feed_handler::trading::{Hours, Market, Phase, ShortSale};
use protocol::itch::Message;
use protocol::types::Price4;

use super::naive::NaiveBooks;

/// A symbol's day so far; nothing was said of what is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    last_trade: u32,
    phase: Option<(Phase, [u8; 4])>,
    short_sale: Option<ShortSale>,
    halts: u8,
    /// Shares, price, which.
    cross: Option<(u64, u32, u8)>,
    /// Reference, upper and lower bound, extensions.
    collar: Option<[u32; 4]>,
    /// Paired shares, those that are left, direction.
    imbalance: Option<(u64, u64, u8)>,
}

/// Symbols by their codes, and the market.
#[derive(Default)]
pub(super) struct NaiveTrading {
    symbols: BTreeMap<u16, Said>,
    hours: Option<Hours>,
    breach: Option<u8>,
}

impl NaiveTrading {
    /// Applies a message, before the books do; the symbol whose last trade it may be.
    pub(super) fn apply(&mut self, message: &Message<'_>, books: &NaiveBooks) -> Option<u16> {
        let locate = message.head().locate.get();
        match message {
            Message::OrderExecuted(m) => {
                let (locate, price) = books.place(m.order.get().0)?;
                self.trade(locate, Price4(price), u64::from(m.shares.get().0));
                return Some(locate);
            }
            Message::OrderExecutedWithPrice(m) if m.printable == b'Y' => {
                let (locate, _) = books.place(m.order.get().0)?;
                self.trade(locate, m.price.get(), u64::from(m.shares.get().0));
                return Some(locate);
            }
            Message::Trade(m) => {
                self.trade(locate, m.price.get(), u64::from(m.shares.get().0));
            }
            Message::CrossTrade(m) => {
                self.of(locate).cross = Some((m.shares.get(), m.price.get().0, m.cross_type));
                self.trade(locate, m.price.get(), m.shares.get());
            }
            Message::StockTradingAction(m) => {
                if let Some(phase) = Phase::of_code(m.state) {
                    self.of(locate).phase = Some((phase, m.reason));
                }
            }
            Message::RegSho(m) => {
                if let Some(state) = ShortSale::of_code(m.action) {
                    self.of(locate).short_sale = Some(state);
                }
            }
            Message::OperationalHalt(m) => {
                let market = match m.market {
                    b'Q' => Market::Nasdaq,
                    b'B' => Market::NasdaqTexas,
                    b'X' => Market::Psx,
                    _ => return None,
                };
                let halts = &mut self.of(locate).halts;
                match m.action {
                    b'H' => *halts |= market as u8,
                    b'T' => *halts &= !(market as u8),
                    _ => {}
                }
            }
            Message::LuldAuctionCollar(m) => {
                let prices = [m.reference_price, m.upper_price, m.lower_price];
                let [reference, upper, lower] = prices.map(|price| price.get().0);
                self.of(locate).collar = Some([reference, upper, lower, m.extension.get()]);
            }
            Message::Noii(m) => {
                let shares = (m.paired_shares.get(), m.imbalance_shares.get());
                self.of(locate).imbalance = Some((shares.0, shares.1, m.direction));
            }
            Message::SystemEvent(m) => self.hours = Hours::of_code(m.event).or(self.hours),
            Message::MwcbStatus(m) if matches!(m.breached_level, b'1'..=b'3') => {
                self.breach = self.breach.max(Some(m.breached_level - b'0'));
            }
            _ => {}
        }
        None
    }

    fn trade(&mut self, locate: u16, price: Price4, shares: u64) {
        // A cross in which nothing met is none.
        if price.0 != 0 && shares != 0 {
            self.of(locate).last_trade = price.0;
        }
    }

    fn of(&mut self, locate: u16) -> &mut Said {
        self.symbols.entry(locate).or_default()
    }

    /// Whether the feed's tables say the same.
    pub(super) fn check(&self, locate: u16, prices: &BestPrices) {
        let status = prices.statuses().load(locate).expect("nobody writes");
        let found = Said {
            last_trade: prices.last_trade(locate).0,
            phase: status.phase.map(|phase| (phase, status.reason)),
            short_sale: status.short_sale,
            halts: status.halts,
            cross: status.cross.map(|it| (it.shares, it.price.0, it.cross)),
            collar: status
                .collar
                .map(|it| [it.reference.0, it.upper.0, it.lower.0, it.extensions]),
            imbalance: status
                .imbalance
                .map(|it| (it.paired, it.shares, it.direction)),
        };
        let expected = self.symbols.get(&locate).cloned().unwrap_or_default();
        assert_eq!(found, expected, "how {locate} is traded");
        let market = prices.statuses().market().expect("nobody writes");
        assert_eq!((market.hours, market.breach), (self.hours, self.breach));
    }
}
