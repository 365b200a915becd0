//! Nasdaq: TotalView-ITCH 5.0 in MoldUDP64.
//!
//! Thread:      feed core, hot
//! Spec:        MoldUDP64 1.00; TotalView-ITCH 5.0 sections 1.3 to 1.5.

use std::mem;

use protocol::itch;
use protocol::mold;
use protocol::types::{DecodeError, MatchNumber, Price4, Side};
use zerocopy::FromBytes;

use super::{Content, MadeUp, Packet, Venue, made_up};
use crate::book::Glimpse;
use crate::event::Kind;
use crate::message::{Effect, Message, Print};
use crate::recovery::request::{RequestProtocol, SessionKey};
use crate::trading::{Collar, Hours, Imbalance, Market, Phase, Release, Said, ShortSale};

/// Nasdaq. Its messages carry locate codes, so there is nothing to remember.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nasdaq;

impl Venue for Nasdaq {
    type Session = mold::Session;
    type Packet<'a> = mold::Packet<'a>;

    const ENDS_BY_MESSAGE: bool = false;
    const GLIMPSES: bool = true;
    const REQUESTS: RequestProtocol = RequestProtocol::Mold;

    #[inline]
    fn packet(payload: &[u8]) -> Option<mold::Packet<'_>> {
        mold::Packet::decode(payload)
    }

    #[inline]
    fn is_last(_: &[u8]) -> bool {
        false
    }

    fn key_of(session: mold::Session) -> SessionKey {
        session
    }

    fn begin_session(&mut self) {}

    #[inline]
    fn message(&mut self, bytes: &[u8]) -> Result<Message, DecodeError> {
        itch::Message::decode(bytes).map(|message| Self::read(&message))
    }

    fn check(bytes: &[u8]) -> Result<(), DecodeError> {
        itch::Message::decode(bytes).map(drop)
    }

    /// Every message about an order has the locate code and the reference where a delete has them.
    #[inline]
    fn glimpse(bytes: &[u8]) -> Glimpse {
        let about = itch::OrderDelete::ref_from_prefix(bytes);
        about.map_or_else(
            |_| Glimpse::default(),
            |(about, _)| Glimpse {
                locate: about.head.locate.get(),
                reference: about.order.get().0,
            },
        )
    }

    #[cold]
    fn said(bytes: &[u8]) -> Option<Said> {
        said(&itch::Message::decode(bytes).ok()?)
    }

    fn made_up(what: MadeUp, out: &mut [u8]) -> usize {
        made_up::of_nasdaq(what, out)
    }

    const NUMBER_AT: usize = mem::offset_of!(mold::Header, seq);

    #[inline]
    fn number(seq: u64) -> [u8; 8] {
        seq.to_be_bytes()
    }
}

impl<'a> Packet<'a> for mold::Packet<'a> {
    type Session = mold::Session;

    #[inline]
    fn session(&self) -> mold::Session {
        self.header.session
    }

    #[inline]
    fn seq(&self) -> u64 {
        self.header.seq.get().0
    }

    #[inline]
    fn content(&self) -> Content {
        match self.kind() {
            mold::Kind::Data(count) => Content::Data(count),
            mold::Kind::Heartbeat => Content::Heartbeat,
            mold::Kind::EndOfSession => Content::EndOfSession,
        }
    }

    #[inline]
    fn messages(&self) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.blocks()
    }

    #[inline]
    fn each(&self, on_message: impl FnMut(&'a [u8])) -> u16 {
        let mut blocks = self.blocks();
        blocks.by_ref().for_each(on_message);
        blocks.missing()
    }

    fn is_exact(&self) -> bool {
        mold::Packet::is_exact(self)
    }
}

impl Nasdaq {
    /// What a message says, apart from how it is written. Always inlined: as a function of its own it
    /// writes the result to memory, 20 instructions a message.
    #[inline(always)]
    #[must_use]
    pub fn read(message: &itch::Message<'_>) -> Message {
        use itch::Message as M;
        let head = message.head();
        let bare = |kind| Message {
            exchange_ns: head.timestamp.get().0,
            ..Message::bare(kind, head.locate.get())
        };
        match message {
            M::AddOrder(m) => Message {
                number: m.order.get().0,
                price: m.price.get(),
                qty: m.shares.get(),
                effect: Effect::Add(side(m.side)),
                ..bare(Kind::Add)
            },
            M::AddOrderMpid(m) => Message {
                number: m.order.get().0,
                price: m.price.get(),
                qty: m.shares.get(),
                effect: Effect::Add(side(m.side)),
                ..bare(Kind::Add)
            },
            M::OrderExecuted(m) => Message {
                number: m.order.get().0,
                qty: m.shares.get(),
                effect: Effect::Execute {
                    match_number: m.match_number.get(),
                    has_price: false,
                    is_printable: true,
                },
                ..bare(Kind::Execute)
            },
            M::OrderExecutedWithPrice(m) => Message {
                number: m.order.get().0,
                price: m.price.get(),
                qty: m.shares.get(),
                effect: Effect::Execute {
                    match_number: m.match_number.get(),
                    has_price: true,
                    is_printable: m.printable == b'Y',
                },
                ..bare(Kind::Execute)
            },
            M::OrderCancel(m) => Message {
                number: m.order.get().0,
                qty: m.shares.get(),
                effect: Effect::Cancel,
                ..bare(Kind::Cancel)
            },
            M::OrderDelete(m) => Message {
                number: m.order.get().0,
                effect: Effect::Delete,
                ..bare(Kind::Delete)
            },
            M::OrderReplace(m) => Message {
                number: m.new_order.get().0,
                price: m.price.get(),
                qty: m.shares.get(),
                effect: Effect::Replace(m.old_order.get()),
                ..bare(Kind::Replace)
            },
            M::Trade(_) | M::CrossTrade(_) | M::BrokenTrade(_) => read_print(message),
            M::StockDirectory(m) => Message {
                number: u64::from_ne_bytes(m.stock.0),
                names: Some(m.stock),
                ..bare(Kind::Directory)
            },
            _ => read_other(message),
        }
    }
}

/// What no book is interested in: how things are traded, and where it is nothing of that, which type it was.
fn read_other(message: &itch::Message<'_>) -> Message {
    use itch::Message as M;
    let head = message.head();
    let base = Message {
        number: u64::from(head.kind),
        exchange_ns: head.timestamp.get().0,
        ..Message::bare(Kind::Other, head.locate.get())
    };
    match message {
        M::MarketParticipantPosition(_) | M::RetailInterest(_) | M::DirectListing(_) => base,
        _ => Message::status(said(message).as_ref(), head.kind, base),
    }
}

/// What it says of how its symbol or the market is traded.
fn said(message: &itch::Message<'_>) -> Option<Said> {
    use itch::Message as M;
    Some(match message {
        M::SystemEvent(m) => Said::Hours(Hours::of_code(m.event)?),
        M::StockTradingAction(m) => Said::Phase(Phase::of_code(m.state)?, m.reason),
        M::RegSho(m) => Said::ShortSale(ShortSale::of_code(m.action)?),
        M::OperationalHalt(m) => {
            let market = match m.market {
                b'Q' => Market::Nasdaq,
                b'B' => Market::NasdaqTexas,
                b'X' => Market::Psx,
                _ => return None,
            };
            Said::Halt(market, is_first(m.action, [b'H', b'T'])?)
        }
        M::LuldAuctionCollar(m) => Said::Collar(Collar {
            reference: m.reference_price.get(),
            upper: m.upper_price.get(),
            lower: m.lower_price.get(),
            extensions: m.extension.get(),
        }),
        M::IpoQuotingPeriod(m) => {
            let release = Release {
                at_s: m.release_time_s.get(),
                price: m.price.get(),
                is_cancelled: is_first(m.qualifier, [b'C', b'A'])?,
            };
            Said::Release(m.stock, release)
        }
        M::Noii(m) => Said::Imbalance(Imbalance {
            paired: m.paired_shares.get(),
            shares: m.imbalance_shares.get(),
            direction: m.direction,
            far: m.far_price.get(),
            near: m.near_price.get(),
            reference: m.reference_price.get(),
            cross: m.cross_type,
            variation: m.variation,
        }),
        M::MwcbDeclineLevels(m) => {
            Said::Levels([m.level_1.get(), m.level_2.get(), m.level_3.get()])
        }
        M::MwcbStatus(m) if matches!(m.breached_level, b'1'..=b'3') => {
            Said::Breach(m.breached_level - b'0')
        }
        _ => return None,
    })
}

/// Whether a code is the first of two; `None`: it is neither.
fn is_first(code: u8, [first, second]: [u8; 2]) -> Option<bool> {
    (code == first || code == second).then_some(code == first)
}

/// Trades that touch no displayed order.
#[inline]
fn read_print(message: &itch::Message<'_>) -> Message {
    let head = message.head();
    let none = Print {
        kind: head.kind,
        price: Price4(0),
        shares: 0,
        match_number: MatchNumber(0),
        cross_type: b' ',
    };
    let (kind, print) = match message {
        itch::Message::Trade(m) => {
            let print = Print {
                price: m.price.get(),
                shares: u64::from(m.shares.get().0),
                match_number: m.match_number.get(),
                ..none
            };
            (Kind::Trade, print)
        }
        itch::Message::CrossTrade(m) => {
            let print = Print {
                price: m.price.get(),
                shares: m.shares.get(),
                match_number: m.match_number.get(),
                cross_type: m.cross_type,
                ..none
            };
            (Kind::Cross, print)
        }
        itch::Message::BrokenTrade(m) => {
            let match_number = m.match_number.get();
            let print = Print {
                match_number,
                ..none
            };
            (Kind::Break, print)
        }
        _ => return Message::bare(Kind::Other, head.locate.get()),
    };
    Message {
        exchange_ns: head.timestamp.get().0,
        effect: Effect::Print(print),
        ..Message::bare(kind, head.locate.get())
    }
}

/// ITCH knows two sides; the short sales that `Side::of_code` accepts are OUCH's.
#[inline]
fn side(code: u8) -> Option<Side> {
    match code {
        b'B' => Some(Side::Buy),
        b'S' => Some(Side::Sell),
        _ => None,
    }
}
