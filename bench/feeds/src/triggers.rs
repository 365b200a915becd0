//! A day with triggers in it: messages on a symbol of their own, each of which changes its best price.
//!
//! What is measured answers triggers and nothing else, so the messages between them are the same load
//! for everyone, whatever each does with them. A trigger is known by its locate code, which lies at a
//! fixed place: a program that decodes nothing finds it as well.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use protocol::binary_file::Messages;
use protocol::itch::{AddOrder, Head, OrderDelete, StockDirectory};
use protocol::types::{Nanos, OrderRef, Price4, Qty, Side, Symbol};
use zerocopy::IntoBytes;

use crate::generate;

/// The triggers' symbol and its locate code, far from those of generated days.
pub const SYMBOL: &str = "TRIGGER";
/// See [`SYMBOL`].
pub const LOCATE: u16 = 60_000;

/// Prices of the symbol's standing orders: $100 and $101; a trigger bids one cent more.
const BID: Price4 = Price4(1_000_000);
const ASK: Price4 = Price4(1_010_000);
const BETTER_BID: Price4 = Price4(1_000_100);
/// Order references, far from those of generated days.
const FIRST_ORDER: u64 = 10_000_000_000;

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The day between the triggers.
    pub day: generate::Options,
    /// One message in this many is a trigger, at least 1.
    pub every: u64,
    /// Triggers that come in a row, at least 1.
    pub burst: u64,
    /// Orders that stand in the books of the day's symbols before the first trigger.
    pub standing: u64,
}

impl Options {
    /// Messages before the first trigger: directory entry, a bid and an ask, standing orders.
    #[must_use]
    pub fn preface(&self) -> u64 {
        3 + self.standing
    }
}

/// Writes the day, of `options.day.messages` messages with its triggers, into a file.
///
/// # Errors
/// What the file system says.
pub fn to_file(options: &Options, path: &Path) -> Result<()> {
    let Options {
        day, every, burst, ..
    } = *options;
    let (every, burst) = (every.max(1), burst.max(1));
    let between = burst * (every - 1);
    // The generated day has its directory and its end beside what is asked for.
    let day = generate::Options {
        messages: day.messages + 1000,
        ..day
    };
    let background = generate::to_writer(&day, Vec::new(), |_| ())?;
    let mut background = Messages::new(&background);
    let shown = || path.display().to_string();
    let mut out = Triggers {
        out: BufWriter::with_capacity(1 << 20, File::create(path).with_context(shown)?),
        written: 0,
    };
    out.preface().with_context(shown)?;
    out.standing(options).with_context(shown)?;
    let total = out.written + options.day.messages;
    let mut triggers = 0;
    while out.written < total {
        for _ in 0..burst {
            out.trigger(triggers).with_context(shown)?;
            triggers += 1;
        }
        for message in background.by_ref().take(usize::try_from(between)?) {
            out.message(message).with_context(shown)?;
        }
    }
    out.out.flush().with_context(shown)
}

/// Whether a message is a trigger.
#[must_use]
pub fn is_trigger(message: &[u8], locate: u16) -> bool {
    let is_change = matches!(message.first(), Some(&(AddOrder::KIND | OrderDelete::KIND)));
    is_change && message.get(1..3) == Some(&locate.to_be_bytes())
}

/// What differs between the orders that are written.
struct NewOrder {
    locate: u16,
    symbol: &'static str,
    reference: u64,
    side: Side,
    price: Price4,
}

/// The bid under the triggers.
const STANDING_BID: NewOrder = NewOrder {
    locate: LOCATE,
    symbol: SYMBOL,
    reference: FIRST_ORDER,
    side: Side::Buy,
    price: BID,
};

struct Triggers<W> {
    out: W,
    written: u64,
}

impl<W: Write> Triggers<W> {
    fn preface(&mut self) -> std::io::Result<()> {
        let stock = Symbol::new(SYMBOL).unwrap_or(Symbol::BLANK);
        let directory = StockDirectory::common_stock(head(StockDirectory::KIND, LOCATE), stock);
        self.message(directory.as_bytes())?;
        let ask = NewOrder {
            reference: FIRST_ORDER + 1,
            side: Side::Sell,
            price: ASK,
            ..STANDING_BID
        };
        self.add(&STANDING_BID)?;
        self.add(&ask)
    }

    /// Bids far below the market, spread over the day's symbols and over 1,000 prices.
    fn standing(&mut self, options: &Options) -> std::io::Result<()> {
        for number in 0..options.standing {
            let locate = u16::try_from(number % u64::from(options.day.symbols.max(1))).unwrap_or(0);
            let price = u32::try_from(number % 1000).unwrap_or(0) * 100 + 100;
            self.add(&NewOrder {
                locate: locate + 1,
                symbol: "STANDS",
                reference: FIRST_ORDER + (1 << 24) + number,
                side: Side::Buy,
                price: Price4(price),
            })?;
        }
        Ok(())
    }

    /// A better bid comes, the next trigger takes it away again.
    fn trigger(&mut self, number: u64) -> std::io::Result<()> {
        let reference = FIRST_ORDER + 2 + number / 2;
        if number.is_multiple_of(2) {
            return self.add(&NewOrder {
                reference,
                price: BETTER_BID,
                ..STANDING_BID
            });
        }
        self.message(
            OrderDelete {
                head: head(OrderDelete::KIND, LOCATE),
                order: OrderRef(reference).into(),
            }
            .as_bytes(),
        )
    }

    fn add(&mut self, order: &NewOrder) -> std::io::Result<()> {
        self.message(
            AddOrder {
                head: head(AddOrder::KIND, order.locate),
                order: OrderRef(order.reference).into(),
                side: order.side as u8,
                shares: Qty(200).into(),
                stock: Symbol::new(order.symbol).unwrap_or(Symbol::BLANK),
                price: order.price.into(),
            }
            .as_bytes(),
        )
    }

    fn message(&mut self, message: &[u8]) -> std::io::Result<()> {
        let len = u16::try_from(message.len()).unwrap_or(0);
        self.out.write_all(&len.to_be_bytes())?;
        self.out.write_all(message)?;
        self.written += 1;
        Ok(())
    }
}

fn head(kind: u8, locate: u16) -> Head {
    Head {
        kind,
        locate: locate.into(),
        tracking: 0.into(),
        timestamp: Nanos(34_200_000_000_000).into(),
    }
}

#[cfg(test)]
mod tests {
    use feed_handler::book::{Bbo, BookCounters, BookSink, Books, Limits, TradePrint};
    use feed_handler::venue::Nasdaq;
    use protocol::itch::Message;
    use rt::mem::Want;

    use super::*;

    #[derive(Default)]
    struct Changes(u64);

    impl BookSink for Changes {
        fn on_bbo(&mut self, locate: u16, _: &Bbo) {
            self.0 += u64::from(locate == LOCATE);
        }
        fn on_trade(&mut self, _: &TradePrint) {}
    }

    #[test]
    fn every_trigger_changes_the_best_price_and_bursts_stand_in_a_row() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let options = Options {
            day: generate::Options {
                seed: 3,
                messages: 5_000,
                symbols: 10,
                live: 0,
            },
            every: 10,
            burst: 25,
            standing: 40,
        };
        to_file(&options, file.path()).unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        let mut books = Books::new(&Limits::TOOL, Want::LAZY).unwrap();
        let (counters, mut changes) = (BookCounters::default(), Changes::default());
        let (mut triggers, mut others, mut row, mut rows) = (0, 0u64, 0u64, Vec::new());
        for message in Messages::new(&bytes).skip(43) {
            if is_trigger(message, LOCATE) {
                (triggers, row) = (triggers + 1, row + 1);
            } else {
                others += 1;
                if row > 0 {
                    rows.push(std::mem::take(&mut row));
                }
            }
        }
        for message in Messages::new(&bytes) {
            let message = Nasdaq::read(&Message::decode(message).unwrap());
            books.apply(&message, &counters, &mut changes);
        }
        assert_eq!(changes.0, triggers + 2);
        assert!(rows.iter().all(|row| *row == 25), "{rows:?}");
        assert!(others.abs_diff(triggers * 9) <= 225, "{others} {triggers}");
    }
}
