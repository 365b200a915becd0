//! A synthetic day: the message mix of a real one, from a seed.
//!
//! Prices walk, orders come near the best price and mostly go soon, executions take the first of a
//! queue. A book of its own keeps the day sane: no side crosses the other, only live orders are
//! executed, cancelled, deleted or replaced.
//!
//! Mix (of a day that Nasdaq published): A 44 %, D 43 %, U 8 %, E 2.2 %, X 1 %, F 0.6 %, P 0.5 %, and
//! every other type in small numbers.
//!
//! A day with many live orders ([`Options::live`]) differs from one without: see `standing`.

mod rare;
mod standing;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use fastrand::Rng;
use feed_handler::book::{BookCounters, Books, Limits};
use feed_handler::venue::Nasdaq;
use protocol::itch::{
    AddOrder, AddOrderMpid, Head, Message, OrderCancel, OrderDelete, OrderExecuted, OrderReplace,
    StockDirectory, StockTradingAction, SystemEvent, Trade,
};
use protocol::types::{MatchNumber, Nanos, OrderRef, Price4, Qty, Side, Symbol};
use rt::mem::Want;
use zerocopy::IntoBytes;

use standing::Standing;

/// One cent.
const TICK: u32 = 100;
/// 09:30 and 16:00, ns since midnight.
const OPEN_NS: u64 = 34_200_000_000_000;
const CLOSE_NS: u64 = 57_600_000_000_000;
/// How far from the other side orders are placed, in ticks, at most.
const DEPTH_TICKS: u32 = 40;
/// Messages between two of the rare types.
const RARE_EVERY: u64 = 2_000;

/// What to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Same seed, same bytes.
    pub seed: u64,
    /// Messages, directory and events included.
    pub messages: u64,
    /// Symbols, 1 to 10,000.
    pub symbols: u16,
    /// Orders that are live at one time once the book is full, at most 4,000,000: a day of a whole market has about a
    /// million. 0: twenty a symbol, most of them near the best prices.
    pub live: u32,
}

/// Writes a day into a file, packed if its name ends in `.gz`. `progress` hears of messages written.
///
/// # Errors
/// What the file system says.
pub fn to_file(options: &Options, path: &Path, progress: impl FnMut(u64)) -> Result<()> {
    let shown = || path.display().to_string();
    let file = BufWriter::with_capacity(1 << 20, File::create(path).with_context(shown)?);
    if path.extension().is_some_and(|extension| extension == "gz") {
        let packer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        let packer = to_writer(options, packer, progress)?;
        packer
            .finish()
            .and_then(|mut file| file.flush())
            .with_context(shown)
    } else {
        to_writer(options, file, progress)?
            .flush()
            .with_context(shown)
    }
}

/// Writes a day and gives the writer back.
///
/// # Errors
/// What the writer says.
pub fn to_writer<W: Write>(options: &Options, out: W, mut progress: impl FnMut(u64)) -> Result<W> {
    let mut day = Day::new(options, out)?;
    day.begin()?;
    // Three events end the day.
    while day.written + 3 < options.messages {
        day.step()?;
        if day.written.is_multiple_of(65_536) {
            progress(day.written);
        }
    }
    day.end()?;
    progress(day.written);
    Ok(day.out)
}

struct Day<W> {
    out: W,
    random: Rng,
    books: Books,
    counters: BookCounters,
    symbols: Vec<Market>,
    live: Vec<OrderRef>,
    standing: Standing,
    next_order: u64,
    next_match: u64,
    now_ns: u64,
    step_ns: u64,
    written: u64,
}

/// One symbol.
struct Market {
    symbol: Symbol,
    /// Where new orders are placed around; walks.
    anchor: u32,
}

impl<W: Write> Day<W> {
    fn new(options: &Options, out: W) -> Result<Self> {
        let mut random = Rng::with_seed(options.seed);
        let symbols = (0..options.symbols.clamp(1, 10_000)).map(|index| Market {
            symbol: name(index),
            anchor: random.u32(500..50_000) * TICK,
        });
        let symbols = symbols.collect();
        Ok(Self {
            out,
            symbols,
            random,
            books: Books::new(&Limits::TOOL, Want::LAZY).context("memory for books")?,
            counters: BookCounters::default(),
            live: Vec::new(),
            standing: Standing::new(options.live),
            next_order: 1,
            next_match: 1,
            now_ns: OPEN_NS - 1_000_000_000,
            step_ns: ((CLOSE_NS - OPEN_NS) / options.messages.max(1)).max(1),
            written: 0,
        })
    }

    fn begin(&mut self) -> io::Result<()> {
        self.event(b'O')?;
        for index in 0..self.symbols.len() {
            self.directory(index)?;
        }
        self.event(b'S')?;
        self.now_ns = OPEN_NS;
        self.event(b'Q')
    }

    fn end(&mut self) -> io::Result<()> {
        self.now_ns = self.now_ns.max(CLOSE_NS);
        [b'M', b'E', b'C']
            .into_iter()
            .try_for_each(|code| self.event(code))
    }

    fn step(&mut self) -> io::Result<()> {
        self.now_ns += self.random.u64(0..self.step_ns * 2);
        if self.written.is_multiple_of(RARE_EVERY) {
            return self.rare();
        }
        match self.random.u32(0..1000) {
            0..6 => self.add(true),
            6..436 => self.delete(),
            436..516 => self.replace(),
            516..538 => self.execute(),
            538..548 => self.cancel(),
            548..553 => self.trade(),
            _ => self.add(false),
        }
    }

    fn event(&mut self, event: u8) -> io::Result<()> {
        let head = self.head(SystemEvent::KIND, 0);
        self.write(&SystemEvent { head, event })
    }

    fn directory(&mut self, index: usize) -> io::Result<()> {
        let Some(stock) = self.symbols.get(index).map(|market| market.symbol) else {
            return Ok(());
        };
        let locate = locate_of(index);
        let head = self.head(StockDirectory::KIND, locate);
        self.write(&StockDirectory::common_stock(head, stock))?;
        let head = self.head(StockTradingAction::KIND, locate);
        self.write(&StockTradingAction {
            head,
            stock,
            state: b'T',
            reserved: b' ',
            reason: *b"    ",
        })
    }

    fn add(&mut self, is_attributed: bool) -> io::Result<()> {
        let index = self.pick_symbol();
        let side = if self.random.bool() {
            Side::Buy
        } else {
            Side::Sell
        };
        let price = self.price(index, side);
        let shares = Qty(self.random.u32(1..=10) * 100);
        let order = self.new_order();
        let stock = self
            .symbols
            .get(index)
            .map_or(Symbol::BLANK, |market| market.symbol);
        let locate = locate_of(index);
        let (order, shares, price) = (order.into(), shares.into(), price.into());
        let side = side as u8;
        if is_attributed {
            let head = self.head(AddOrderMpid::KIND, locate);
            let attribution = *b"TGEN";
            self.apply(&AddOrderMpid {
                head,
                order,
                side,
                shares,
                stock,
                price,
                attribution,
            })
        } else {
            let head = self.head(AddOrder::KIND, locate);
            self.apply(&AddOrder {
                head,
                order,
                side,
                shares,
                stock,
                price,
            })
        }
    }

    fn delete(&mut self) -> io::Result<()> {
        // The book stays deep enough to look like one.
        let is_thin = match self.standing.live_min() {
            Some(live_min) => self.books.orders_live() < live_min,
            None => self.live.len() < self.symbols.len() * 20,
        };
        if is_thin {
            return self.add(false);
        }
        let Some((order, locate, ..)) = self.pick_live(true) else {
            return self.add(false);
        };
        let head = self.head(OrderDelete::KIND, locate);
        self.apply(&OrderDelete {
            head,
            order: order.into(),
        })
    }

    fn replace(&mut self) -> io::Result<()> {
        let Some((old, locate, side, _)) = self.pick_live(true) else {
            return self.add(false);
        };
        let new = self.new_order();
        let price = self.price(usize::from(locate - 1), side);
        let shares = Qty(self.random.u32(1..=10) * 100);
        let head = self.head(OrderReplace::KIND, locate);
        self.apply(&OrderReplace {
            head,
            old_order: old.into(),
            new_order: new.into(),
            shares: shares.into(),
            price: price.into(),
        })
    }

    fn execute(&mut self) -> io::Result<()> {
        let index = self.pick_symbol();
        let side = if self.random.bool() {
            Side::Buy
        } else {
            Side::Sell
        };
        let locate = locate_of(index);
        let Some((order, open)) = self.books.first_in_queue(locate, side) else {
            return self.add(false);
        };
        let shares = if self.random.u8(0..4) > 0 {
            open
        } else {
            self.random.u32(1..=open)
        };
        let match_number = self.number();
        let head = self.head(OrderExecuted::KIND, locate);
        let shares = Qty(shares).into();
        self.apply(&OrderExecuted {
            head,
            order: order.into(),
            shares,
            match_number,
        })
    }

    fn cancel(&mut self) -> io::Result<()> {
        let Some((order, locate, _, open)) = self.pick_live(false) else {
            return self.add(false);
        };
        if open < 2 {
            return self.add(false);
        }
        let shares = Qty(self.random.u32(1..open)).into();
        let head = self.head(OrderCancel::KIND, locate);
        self.apply(&OrderCancel {
            head,
            order: order.into(),
            shares,
        })
    }

    fn trade(&mut self) -> io::Result<()> {
        let index = self.pick_symbol();
        let locate = locate_of(index);
        let bbo = self.books.bbo(locate);
        let stock = self
            .symbols
            .get(index)
            .map_or(Symbol::BLANK, |market| market.symbol);
        let price = Price4(u32::midpoint(bbo.bid.price.0, bbo.ask.price.0).max(TICK));
        let (shares, match_number) = (Qty(self.random.u32(1..500)).into(), self.number());
        let head = self.head(Trade::KIND, locate);
        let (order, side, price) = (OrderRef(0).into(), b'B', price.into());
        self.apply(&Trade {
            head,
            order,
            side,
            shares,
            stock,
            price,
            match_number,
        })
    }

    /// A price that does not meet the other side: the better, the likelier.
    fn price(&mut self, index: usize, side: Side) -> Price4 {
        let bbo = self.books.bbo(locate_of(index));
        let walk = self.random.u8(0..200);
        let near = self
            .random
            .u32(0..DEPTH_TICKS)
            .min(self.random.u32(0..DEPTH_TICKS));
        let away = self.standing.away(near, &mut self.random) * TICK;
        let Some(market) = self.symbols.get_mut(index) else {
            return Price4(TICK);
        };
        match walk {
            0 => {
                market.anchor = market
                    .anchor
                    .saturating_sub(TICK)
                    .max(DEPTH_TICKS * TICK * 2)
            }
            1 => market.anchor += TICK,
            _ => {}
        }
        let anchor = market.anchor;
        Price4(match side {
            Side::Buy => {
                let below = if bbo.ask.price.0 == 0 {
                    anchor
                } else {
                    bbo.ask.price.0 - TICK
                };
                let best = below.min(anchor);
                best.saturating_sub(self.standing.bounded(away, best))
                    .max(TICK)
            }
            Side::Sell => (bbo.bid.price.0 + TICK).max(anchor) + away,
        })
    }

    /// Few symbols make most of the messages.
    fn pick_symbol(&mut self) -> usize {
        if let Some(same) = self.standing.same_symbol(&mut self.random) {
            return same;
        }
        let count = self.symbols.len();
        let (one, two) = (self.random.usize(0..count), self.random.usize(0..count));
        self.standing.began(one.min(two))
    }

    /// A number for an order that will be live.
    fn new_order(&mut self) -> OrderRef {
        let order = OrderRef(self.next_order);
        self.next_order += self.standing.number_step(&mut self.random);
        self.live.push(order);
        order
    }

    /// A live order with symbol, side and shares; mostly a young one. `takes`: it will be gone.
    fn pick_live(&mut self, takes: bool) -> Option<(OrderRef, u16, Side, u32)> {
        while !self.live.is_empty() {
            let len = self.live.len();
            let young = len.saturating_sub(1000);
            let from = if self.random.u8(0..4) > 0 { young } else { 0 };
            let at = self.random.usize(from..len);
            let order = *self.live.get(at)?;
            let known = self.books.order(order);
            if takes || known.is_none() {
                self.live.swap_remove(at);
            }
            if let Some((locate, side, _, open)) = known {
                return Some((order, locate, side, open));
            }
        }
        None
    }

    fn number(&mut self) -> protocol::wire::MatchBe {
        self.next_match += 1;
        MatchNumber(self.next_match).into()
    }

    fn head(&self, kind: u8, locate: u16) -> Head {
        Head::new(kind, locate, Nanos(self.now_ns))
    }

    /// Writes a message and keeps the own book in step.
    fn apply(&mut self, message: &(impl IntoBytes + zerocopy::Immutable)) -> io::Result<()> {
        if let Ok(message) = Message::decode(message.as_bytes()) {
            self.books
                .apply(&Nasdaq::read(&message), &self.counters, &mut ());
        }
        self.write(message)
    }

    fn write(&mut self, message: &(impl IntoBytes + zerocopy::Immutable)) -> io::Result<()> {
        let bytes = message.as_bytes();
        self.written += 1;
        self.out
            .write_all(&u16::try_from(bytes.len()).unwrap_or(0).to_be_bytes())?;
        self.out.write_all(bytes)
    }
}

fn locate_of(index: usize) -> u16 {
    u16::try_from(index + 1).unwrap_or(u16::MAX)
}

/// The symbol of an index: AAAA, AAAB, ...
#[must_use]
pub fn name(index: u16) -> Symbol {
    let mut bytes = *b"AAAA    ";
    let mut rest = index;
    for byte in bytes.iter_mut().take(4).rev() {
        *byte = b'A' + u8::try_from(rest % 26).unwrap_or(0);
        rest /= 26;
    }
    Symbol(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use protocol::binary_file::Messages;

    use super::*;

    fn day(seed: u64, messages: u64) -> Vec<u8> {
        to_writer(
            &Options {
                seed,
                messages,
                symbols: 20,
                live: 0,
            },
            Vec::new(),
            |_| (),
        )
        .unwrap()
    }

    #[test]
    fn same_seed_same_bytes() {
        assert_eq!(day(1, 20_000), day(1, 20_000));
        assert_ne!(day(1, 20_000), day(2, 20_000));
    }

    #[test]
    fn day_is_sane_and_has_the_mix() {
        let bytes = day(7, 200_000);
        let mut books = Books::new(&Limits::TOOL, Want::LAZY).unwrap();
        let counters = BookCounters::default();
        let mut mix: BTreeMap<char, u64> = BTreeMap::new();
        let mut last = Nanos(0);
        for bytes in Messages::new(&bytes) {
            let message = Message::decode(bytes).unwrap();
            let head = message.head();
            *mix.entry(head.kind as char).or_default() += 1;
            assert!(head.timestamp.get() >= last);
            last = head.timestamp.get();
            books.apply(&Nasdaq::read(&message), &counters, &mut ());
            let bbo = books.bbo(head.locate.get());
            let (bid, ask) = (bbo.bid.price, bbo.ask.price);
            assert!(ask.0 == 0 || bid < ask, "crossed: {bid} {ask}");
        }
        assert_eq!(mix.values().sum::<u64>(), 200_000);
        let bad = [
            &counters.missing_ref,
            &counters.rejected,
            &counters.duplicate_ref,
        ];
        assert!(bad.iter().all(|counter| counter.get() == 0));
        let percent = |kind| 100.0 * *mix.get(&kind).unwrap_or(&0) as f64 / 200_000.0;
        for (kind, expected, off) in [
            ('A', 44.0, 3.0),
            ('D', 43.0, 3.0),
            ('U', 8.0, 1.0),
            ('E', 2.2, 0.5),
            ('X', 1.0, 0.3),
        ] {
            assert!(
                (percent(kind) - expected).abs() < off,
                "{kind}: {} %",
                percent(kind)
            );
        }
        assert!(mix.len() >= 15, "{mix:?}");
    }

    #[test]
    fn day_with_many_live_orders_keeps_that_many_deep_in_its_books_and_takes_old_ones_out() {
        let options = Options {
            seed: 3,
            messages: 200_000,
            symbols: 20,
            live: 40_000,
        };
        let bytes = to_writer(&options, Vec::new(), |_| ()).unwrap();
        assert_eq!(bytes, to_writer(&options, Vec::new(), |_| ()).unwrap());
        let mut books = Books::new(&Limits::TOOL, Want::LAZY).unwrap();
        let counters = BookCounters::default();
        let (mut newest, mut old_deletes, mut live_max) = (0, 0u32, 0);
        for bytes in Messages::new(&bytes) {
            let message = Message::decode(bytes).unwrap();
            match message {
                Message::AddOrder(add) => newest = add.order.get().0,
                // Older than half of what is live.
                Message::OrderDelete(delete) if delete.order.get().0 + 40_000 < newest => {
                    old_deletes += 1;
                }
                _ => {}
            }
            books.apply(&Nasdaq::read(&message), &counters, &mut ());
            live_max = live_max.max(books.orders_live());
            let bbo = books.bbo(message.head().locate.get());
            let (bid, ask) = (bbo.bid.price, bbo.ask.price);
            assert!(ask.0 == 0 || bid < ask, "crossed: {bid} {ask}");
        }
        assert_eq!(counters.missing_ref.get() + counters.rejected.get(), 0);
        assert!(books.orders_live() >= 39_000, "{}", books.orders_live());
        assert!(live_max < 44_000, "{live_max}");
        assert!(old_deletes > 3_000, "{old_deletes}");
        let levels: usize = (1..=20)
            .flat_map(|locate| {
                [Side::Buy, Side::Sell].map(|side| books.depth(locate, side).count())
            })
            .sum();
        assert!(levels > 40 * 100, "{levels} levels on 40 sides");
    }
}
