//! What a strategy hears: one market event, nine words.
//!
//! A message becomes one event for each strategy that hears its symbol. A gap, a silent feed and a full
//! ring become events too, so that a strategy need not mistake silence for quiet.

use protocol::types::{Price4, Qty, Seq, Side, Symbol};
use zerocopy::{Immutable, IntoBytes, TryFromBytes, transmute, try_transmute};

use crate::best_prices::BestPrice;
use crate::trading::{Collar, Complete, Hours, Market, Phase, ShortSale};

/// What an event tells, whatever venue said it. The values are ITCH's letters where ITCH has the thing, so
/// that a dump of events can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoBytes, TryFromBytes, Immutable)]
#[repr(u8)]
pub enum Kind {
    /// An order joined its book: `number`, `price`, `qty` are its own, [`MarketEvent::side`] its side.
    Add = b'A',
    /// An order was executed: `number` is its reference. With [`FLAG_TRADE`] `price` and `qty` are the
    /// trade's; without it this is no trade to be shown, or the order is not known.
    Execute = b'E',
    /// `qty` shares left the order `number`.
    Cancel = b'X',
    /// The order `number` left.
    Delete = b'D',
    /// The order `number` leaves, and the next event, a [`Kind::Replace`] of the same message, says what takes its
    /// place. Told where somebody keeps books of events ([`OwnBooks`](crate::own_books::OwnBooks)).
    Leave = b'u',
    /// An order left, and the order `number` took its place: new price, shares and priority.
    Replace = b'U',
    /// The order `number` has this price and these shares from now on; with [`FLAG_KEEPS_PRIORITY`] and the same price it
    /// keeps its place in the queue.
    Modify = b'M',
    /// A trade of orders that were not displayed.
    Trade = b'P',
    /// A trade of many orders at one price: an auction's.
    Cross = b'Q',
    /// A trade is void.
    Break = b'B',
    /// Every order of the symbol left.
    Clear = b'C',
    /// Says what a locate code stands for: [`MarketEvent::symbol`].
    Directory = b'R',
    /// Whether a symbol is traded, and how: [`MarketEvent::phase`], [`MarketEvent::reason`].
    Status = b'H',
    /// Whether short sales of a symbol are restricted: [`MarketEvent::short_sale`].
    ShortSale = b'Y',
    /// One market halted a symbol for reasons of its own, or let it go: [`MarketEvent::operational_halt`].
    OperationalHalt = b'h',
    /// The opening or closing process of a security is complete: [`MarketEvent::complete`].
    SecurityEvent = b'e',
    /// Between which prices the auction after a pause may end: [`MarketEvent::collar`].
    Collar = b'J',
    /// When a new offering is released, or that it is not: `price` is its own, [`MarketEvent::symbol`] its
    /// name, since the venue may give no locate code. The table has the rest.
    Release = b'K',
    /// An auction to come: `price` is the reference, `qty` the paired shares, `number` the imbalance. The
    /// table has the rest.
    Imbalance = b'I',
    /// Declines of the index at which the whole market stops: `number` is the first, with eight decimals.
    BreakerLevels = b'V',
    /// The market stops: the level `number` was breached.
    Breach = b'W',
    /// The market's day: hours begin and end, [`MarketEvent::hours`].
    System = b'S',
    /// Anything else that the venue says. `number` is its type byte.
    Other = b'?',
    /// A gap: from `seq`, `number` messages will not come.
    Gap = b'!',
    /// This strategy's ring was full: `number` events were lost to it, the last of them with the number
    /// `seq`. Gaps, ends and changes of staleness are not among them: they follow as events of their own,
    /// several gaps as one with the first number and the sum. The current best prices stand in
    /// [`BestPrices`](crate::best_prices::BestPrices).
    Lagged = b'~',
    /// The session ended, before the number `seq`; `number` sessions have by now.
    EndOfSession = b'.',
    /// No line has been heard for the stale time: what the books show may be over.
    Stale = b'-',
    /// The feed is whole again: the silence is over and nothing was missed in it, a snapshot has taken the
    /// place of what was lost, or a new session has begun.
    Fresh = b'+',
    /// Where a symbol stands, after this strategy missed something of it: best prices as they were at the
    /// number `seq`, the last that changed them or the symbol's status; [`MarketEvent::symbol`]. Or after a snapshot
    /// has taken the place of messages that were lost, where its best prices or its status are others than
    /// before: `seq` is the last message's then. No message caused it. The status is in the table.
    Refresh = b'=',
}

#[cfg(test)]
impl Kind {
    const ALL: [Self; 29] = [
        Self::Add,
        Self::Execute,
        Self::Cancel,
        Self::Delete,
        Self::Leave,
        Self::Replace,
        Self::Modify,
        Self::Trade,
        Self::Cross,
        Self::Break,
        Self::Clear,
        Self::Directory,
        Self::Status,
        Self::ShortSale,
        Self::OperationalHalt,
        Self::SecurityEvent,
        Self::Collar,
        Self::Release,
        Self::Imbalance,
        Self::BreakerLevels,
        Self::Breach,
        Self::System,
        Self::Other,
        Self::Gap,
        Self::Lagged,
        Self::EndOfSession,
        Self::Stale,
        Self::Fresh,
        Self::Refresh,
    ];
}

/// The best bid or offer changed with this event.
pub const FLAG_BBO_CHANGED: u8 = 1;
/// The book may not be what the exchange has: something of the feed is missing, the feed is silent, or
/// an order of this symbol found no room.
pub const FLAG_STALE: u8 = 2;
/// `price` and `qty` are a trade.
pub const FLAG_TRADE: u8 = 4;

/// No message caused it: a snapshot has taken the place of messages that were lost. Its number is the last
/// message's.
pub const FLAG_NO_MESSAGE: u8 = 8;

/// The order that was added sells; without it, it buys.
pub const FLAG_SELL: u8 = 16;
/// The order that was modified keeps its place in the queue, if its price stays.
pub const FLAG_KEEPS_PRIORITY: u8 = 32;

/// "Not known" in a difference of times.
pub const DELTA_UNKNOWN: u32 = u32::MAX;

/// When a frame was where, on the host's monotonic clock. It goes with everything that the frame
/// causes: event, order, answer, fill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, TryFromBytes, Immutable)]
#[repr(C)]
pub struct Origin {
    /// Sequence number of the message; the last one before it for what has no number of its own, 0 where
    /// that is not known.
    pub seq: u64,
    /// The feed stage had the frame.
    pub seen_ns: u64,
    /// How long before that the wire had it (XDP, NIC or kernel stamp), [`DELTA_UNKNOWN`] if nobody
    /// said.
    pub wire_delta_ns: u32,
    /// Which feed, in the order of the configuration.
    pub feed: u16,
    /// Packets that the feed stage took together with it, at most 255.
    pub batch: u8,
    /// How many of them it handled before it.
    pub place: u8,
}

/// What decides whether a strategy wants an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) locate: u16,
    pub(crate) is_directory: bool,
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoBytes, TryFromBytes, Immutable)]
#[repr(C)]
pub struct MarketEvent {
    /// The frame that caused it.
    pub origin: Origin,
    /// When the exchange says that it happened, in the venue's own count: Nasdaq's is ns since midnight, IEX's
    /// ns since 1970 UTC.
    /// 0: no message of the exchange says so.
    pub exchange_ns: u64,
    /// Order reference; the symbol's eight bytes for a directory; the count for a gap or lag; the venue's
    /// type byte where [`Kind`] says so.
    pub number: u64,
    /// How long after `seen` the event was put into the ring.
    pub published_delta_ns: u32,
    /// The message's own price: order, trade, 0 when it has none.
    pub price: Price4,
    /// The message's own shares, 0 when it has none. Crosses beyond `u32` are cut there.
    pub qty: Qty,
    /// Best bid after the message; 0: none.
    pub bid_price: Price4,
    /// Its shares.
    pub bid_qty: Qty,
    /// Best ask after the message; 0: none.
    pub ask_price: Price4,
    /// Its shares.
    pub ask_qty: Qty,
    /// Symbol of the day.
    pub locate: u16,
    /// What it tells.
    pub kind: Kind,
    /// `FLAG_` bits.
    pub flags: u8,
}

const _: () = assert!(size_of::<MarketEvent>() == 8 * WORDS && align_of::<MarketEvent>() == 8);

/// Words of an event. The time of the exchange is what made it one more than a cache line.
pub(crate) const WORDS: usize = 9;

impl MarketEvent {
    /// An event without a message: only what it is and when.
    #[inline]
    #[must_use]
    pub fn bare(kind: Kind, origin: Origin) -> Self {
        Self {
            origin,
            exchange_ns: 0,
            number: 0,
            published_delta_ns: 0,
            price: Price4(0),
            qty: Qty(0),
            bid_price: Price4(0),
            bid_qty: Qty(0),
            ask_price: Price4(0),
            ask_qty: Qty(0),
            locate: 0,
            kind,
            flags: 0,
        }
    }

    /// Whether a flag is set.
    #[inline]
    #[must_use]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether it tells something of the feed as a whole, or of what this strategy missed, and not of one
    /// symbol.
    #[inline]
    #[must_use]
    pub fn is_news(&self) -> bool {
        matches!(
            self.kind,
            Kind::Gap | Kind::Lagged | Kind::EndOfSession | Kind::Stale | Kind::Fresh
        )
    }

    /// The side of the order that joined.
    #[inline]
    #[must_use]
    pub fn side(&self) -> Option<Side> {
        let side = if self.has(FLAG_SELL) {
            Side::Sell
        } else {
            Side::Buy
        };
        (self.kind == Kind::Add).then_some(side)
    }

    /// Best prices after the message.
    #[inline]
    #[must_use]
    pub fn best(&self) -> BestPrice {
        BestPrice {
            bid_price: self.bid_price,
            bid_qty: self.bid_qty,
            ask_price: self.ask_price,
            ask_qty: self.ask_qty,
        }
    }

    /// The symbol that a directory, a refresh or a release names.
    #[must_use]
    pub fn symbol(&self) -> Option<Symbol> {
        let has_name = matches!(self.kind, Kind::Directory | Kind::Refresh | Kind::Release);
        let names = has_name && self.number != 0;
        names.then(|| Symbol(self.number.to_ne_bytes()))
    }

    /// How the symbol is traded from here on; `None`: the event is about something else.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        self.coded(Kind::Status).and_then(Phase::of_code)
    }

    /// The venue's code for why; spaces: none.
    #[must_use]
    pub fn reason(&self) -> Option<[u8; 4]> {
        let [_, a, b, c, d, ..] = self.number.to_le_bytes();
        (self.kind == Kind::Status).then_some([a, b, c, d])
    }

    /// Whether short sales of the symbol are restricted from here on.
    #[must_use]
    pub fn short_sale(&self) -> Option<ShortSale> {
        self.coded(Kind::ShortSale).and_then(ShortSale::of_code)
    }

    /// The market that halted the symbol (`true`) or let it go.
    #[must_use]
    pub fn operational_halt(&self) -> Option<(Market, bool)> {
        let market = self.coded(Kind::OperationalHalt)?;
        Some((Market::of_code(market)?, self.number >> 8 != 0))
    }

    /// What of the security's day is complete.
    #[must_use]
    pub fn complete(&self) -> Option<Complete> {
        self.coded(Kind::SecurityEvent).and_then(Complete::of_code)
    }

    /// Between which prices the auction may end.
    #[must_use]
    pub fn collar(&self) -> Option<Collar> {
        let [a, b, c, d, e, f, g, h] = self.number.to_be_bytes();
        (self.kind == Kind::Collar).then_some(Collar {
            reference: self.price,
            upper: Price4(u32::from_be_bytes([a, b, c, d])),
            lower: Price4(u32::from_be_bytes([e, f, g, h])),
            extensions: self.qty.0,
        })
    }

    /// How far the market's day is.
    #[must_use]
    pub fn hours(&self) -> Option<Hours> {
        self.coded(Kind::System).and_then(Hours::of_code)
    }

    /// The code in the lowest byte of `number`, if it is an event of this kind.
    fn coded(&self, kind: Kind) -> Option<u8> {
        let [code, ..] = self.number.to_le_bytes();
        (self.kind == kind).then_some(code)
    }

    /// The event as a ring of words has it.
    #[inline]
    pub(crate) fn to_words(self) -> [u64; WORDS] {
        transmute!(self)
    }

    /// The event that these words are; `None`: they are none, which words of [`MarketEvent::to_words`] always
    /// are.
    #[inline]
    pub(crate) fn of_words(words: [u64; WORDS]) -> Option<Self> {
        try_transmute!(words).ok()
    }

    /// The symbol and the kind of the event that these words are.
    #[inline]
    pub(crate) fn head_of_words(words: &[u64; WORDS]) -> Head {
        let [.., last] = *words;
        let [_, _, _, _, low, high, kind, _] = last.to_ne_bytes();
        Head {
            locate: u16::from_ne_bytes([low, high]),
            is_directory: kind == Kind::Directory as u8,
        }
    }

    /// When the event was put into the ring.
    #[inline]
    #[must_use]
    pub fn published_ns(&self) -> u64 {
        self.origin.seen_ns + u64::from(self.published_delta_ns)
    }

    /// The first number that a gap swallowed.
    #[must_use]
    pub fn gap_first(&self) -> Option<Seq> {
        (self.kind == Kind::Gap).then_some(Seq(self.origin.seq))
    }
}

/// `later - earlier` as it fits a stamp; [`DELTA_UNKNOWN`] when `earlier` is not known (0) or lies
/// after `later`.
#[inline]
#[must_use]
pub fn delta_ns(earlier_ns: u64, later_ns: u64) -> u32 {
    if earlier_ns == 0 {
        return DELTA_UNKNOWN;
    }
    later_ns
        .checked_sub(earlier_ns)
        .map_or(DELTA_UNKNOWN, |delta| {
            u32::try_from(delta).unwrap_or(DELTA_UNKNOWN - 1)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does not compile while a kind is missing here, and then it is missing in `ALL`, too.
    fn is_listed(kind: Kind) -> bool {
        use Kind as K;
        let (K::Add
        | K::Execute
        | K::Cancel
        | K::Delete
        | K::Leave
        | K::Replace
        | K::Modify
        | K::Trade
        | K::Cross
        | K::Break
        | K::Clear
        | K::Directory
        | K::Status
        | K::ShortSale
        | K::OperationalHalt
        | K::SecurityEvent
        | K::Collar
        | K::Release
        | K::Imbalance
        | K::BreakerLevels
        | K::Breach
        | K::System
        | K::Other
        | K::Gap
        | K::Lagged
        | K::EndOfSession
        | K::Stale
        | K::Fresh
        | K::Refresh) = kind;
        Kind::ALL.contains(&kind)
    }

    #[test]
    fn event_is_the_same_after_its_way_through_words() {
        let mut random = fastrand::Rng::with_seed(3);
        for kind in Kind::ALL {
            assert!(is_listed(kind));
            let event = MarketEvent {
                origin: Origin {
                    seq: random.u64(..),
                    seen_ns: random.u64(..),
                    wire_delta_ns: random.u32(..),
                    feed: random.u16(..),
                    batch: random.u8(..),
                    place: random.u8(..),
                },
                exchange_ns: random.u64(..),
                number: random.u64(..),
                published_delta_ns: random.u32(..),
                price: Price4(random.u32(..)),
                qty: Qty(random.u32(..)),
                bid_price: Price4(random.u32(..)),
                bid_qty: Qty(random.u32(..)),
                ask_price: Price4(random.u32(..)),
                ask_qty: Qty(random.u32(..)),
                locate: random.u16(..),
                kind,
                flags: random.u8(..),
            };
            let words = event.to_words();
            assert_eq!(MarketEvent::of_words(words), Some(event));
            let head = MarketEvent::head_of_words(&words);
            assert_eq!(head.locate, event.locate);
            assert_eq!(head.is_directory, kind == Kind::Directory);
        }
    }
}
