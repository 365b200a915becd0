//! IEX: DEEP+ in IEX-TP.
//!
//! What differs from the first venue: symbols come by name and are numbered here as they are first heard;
//! an order keeps its reference when it changes; an execution has a price of its own; prices may be beyond
//! what books hold; the last message of a session ends it, no packet does. Numbers are the messages',
//! not the bytes' (IEX-TP counts both).
//!
//! Thread:      feed core, hot
//! When wrong:  a packet of another message protocol on the same group is none of this venue's.
//! Spec:        IEX-TP 1.0; IEX DEEP+ 1.02.

use std::mem;

use protocol::deep_plus::{
    self, EVENT_END_OF_MESSAGES, FLAG_CROSS, FLAG_KEEPS_PRIORITY, SystemEvent,
};
use protocol::iex_tp::{self, PROTOCOL_DEEP_PLUS};
use protocol::types::{DecodeError, MatchNumber, Price4, Symbol};

use super::symbols::{Numbered, Symbols};
use super::{Content, MadeUp, Packet, Venue, made_up};
use crate::event::Kind;
use crate::message::{Effect, Message, Print};
use crate::recovery::request::{RequestProtocol, SessionKey, iex_tp_key};
use crate::trading::{Complete, Hours, Market, Phase, Said, ShortSale};

/// IEX, and the numbers of its symbols.
#[derive(Debug, Default)]
pub struct Iex {
    symbols: Symbols,
}

impl Venue for Iex {
    type Session = iex_tp::Session;
    type Packet<'a> = iex_tp::Packet<'a>;

    const ENDS_BY_MESSAGE: bool = true;
    /// Symbols come by name: which book it is takes a search.
    const GLIMPSES: bool = false;
    const REQUESTS: RequestProtocol = RequestProtocol::IexTp;

    #[inline]
    fn packet(payload: &[u8]) -> Option<iex_tp::Packet<'_>> {
        let packet = iex_tp::Packet::decode(payload)?;
        (packet.header.protocol.get() == PROTOCOL_DEEP_PLUS).then_some(packet)
    }

    #[inline]
    fn is_last(message: &[u8]) -> bool {
        matches!(message, [SystemEvent::KIND, EVENT_END_OF_MESSAGES, ..])
    }

    fn key_of(session: iex_tp::Session) -> SessionKey {
        iex_tp_key(session, PROTOCOL_DEEP_PLUS)
    }

    fn begin_session(&mut self) {
        self.symbols.clear();
    }

    #[inline]
    fn message(&mut self, bytes: &[u8]) -> Result<Message, DecodeError> {
        deep_plus::Message::decode(bytes).map(|message| Message {
            exchange_ns: message.timestamp().get().0,
            ..self.read(&message)
        })
    }

    fn check(bytes: &[u8]) -> Result<(), DecodeError> {
        deep_plus::Message::decode(bytes).map(drop)
    }

    #[cold]
    fn said(bytes: &[u8]) -> Option<Said> {
        said(&deep_plus::Message::decode(bytes).ok()?)
    }

    fn made_up(what: MadeUp, out: &mut [u8]) -> usize {
        made_up::of_iex(what, out)
    }

    const NUMBER_AT: usize = mem::offset_of!(iex_tp::Header, seq);

    #[inline]
    fn number(seq: u64) -> [u8; 8] {
        seq.to_le_bytes()
    }
}

impl<'a> Packet<'a> for iex_tp::Packet<'a> {
    type Session = iex_tp::Session;

    #[inline]
    fn session(&self) -> iex_tp::Session {
        iex_tp::Packet::session(self)
    }

    #[inline]
    fn seq(&self) -> u64 {
        self.header.seq.get().0
    }

    #[inline]
    fn content(&self) -> Content {
        match self.kind() {
            iex_tp::Kind::Data(count) => Content::Data(count),
            iex_tp::Kind::Heartbeat => Content::Heartbeat,
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
        iex_tp::Packet::is_exact(self)
    }
}

impl Iex {
    /// What a message says, apart from how it is written.
    #[inline]
    fn read(&mut self, message: &deep_plus::Message<'_>) -> Message {
        use deep_plus::Message as M;
        match message {
            M::AddOrder(m) => {
                let effect = Effect::Add(m.side_of_code());
                let message = self.about(m.symbol, Kind::Add, effect);
                Message {
                    number: m.order.get().0,
                    qty: m.size.get(),
                    ..priced(message, m.price.get().narrow())
                }
            }
            M::OrderModify(m) => {
                let keeps_priority = m.flags & FLAG_KEEPS_PRIORITY != 0;
                let message = self.about(m.symbol, Kind::Modify, Effect::Modify { keeps_priority });
                Message {
                    number: m.order.get().0,
                    qty: m.size.get(),
                    ..priced(message, m.price.get().narrow())
                }
            }
            M::OrderDelete(m) => Message {
                number: m.order.get().0,
                ..self.about(m.symbol, Kind::Delete, Effect::Delete)
            },
            M::OrderExecuted(m) => {
                let price = m.price.get().narrow();
                let effect = Effect::Execute {
                    match_number: m.trade.get(),
                    has_price: true,
                    // A price that does not fit is no trade that could be shown.
                    is_printable: price.is_some(),
                };
                Message {
                    number: m.order.get().0,
                    price: price.unwrap_or(Price4(0)),
                    qty: m.size.get(),
                    ..self.about(m.symbol, Kind::Execute, effect)
                }
            }
            M::Trade(m) => {
                let is_cross = m.flags & FLAG_CROSS != 0;
                let kind = if is_cross { Kind::Cross } else { Kind::Trade };
                let print = Print {
                    price: m.price.get().narrow().unwrap_or(Price4(0)),
                    shares: u64::from(m.size.get().0),
                    ..print(kind, m.trade.get())
                };
                self.about(m.symbol, kind, Effect::Print(print))
            }
            M::TradeBreak(m) => {
                let print = print(Kind::Break, m.trade.get());
                self.about(m.symbol, Kind::Break, Effect::Print(print))
            }
            M::ClearBook(m) => self.about(m.symbol, Kind::Clear, Effect::Clear),
            _ => self.read_other(message),
        }
    }

    /// What no book is interested in: how things are traded, and where it is nothing of that, which type it
    /// was.
    fn read_other(&mut self, message: &deep_plus::Message<'_>) -> Message {
        use deep_plus::Message as M;
        let type_byte = message.as_bytes().first().copied().unwrap_or(0);
        let symbol = match message {
            M::SecurityDirectory(m) => {
                return Message {
                    number: u64::from_ne_bytes(m.symbol.0),
                    ..self.about(m.symbol, Kind::Directory, Effect::None)
                };
            }
            M::RetailLiquidity(m) => {
                return Message {
                    number: u64::from(type_byte),
                    ..self.about(m.symbol, Kind::Other, Effect::None)
                };
            }
            M::TradingStatus(m) => m.symbol,
            M::OperationalHalt(m) => m.symbol,
            M::ShortSalePriceTest(m) => m.symbol,
            M::SecurityEvent(m) => m.symbol,
            _ => {
                let base = Message::bare(Kind::System, 0);
                return Message::status(said(message).as_ref(), type_byte, base);
            }
        };
        let base = self.about(symbol, Kind::Other, Effect::Status);
        if base.effect == Effect::Unnumbered {
            return base;
        }
        Message::status(said(message).as_ref(), type_byte, base)
    }

    /// A message about a symbol.
    #[inline]
    fn about(&mut self, symbol: Symbol, kind: Kind, effect: Effect) -> Message {
        let Some(Numbered { locate, is_new }) = self.symbols.number(symbol) else {
            return Message {
                effect: Effect::Unnumbered,
                ..Message::bare(kind, 0)
            };
        };
        Message {
            names: is_new.then_some(symbol),
            effect,
            ..Message::bare(kind, locate)
        }
    }
}

/// What it says of how its symbol or the market is traded.
fn said(message: &deep_plus::Message<'_>) -> Option<Said> {
    use deep_plus::Message as M;
    Some(match message {
        M::SystemEvent(m) => Said::Hours(match m.event {
            // Regular hours begin with another letter than ITCH's.
            b'R' => Hours::MarketBegin,
            b'Q' => return None,
            code => Hours::of_code(code)?,
        }),
        M::TradingStatus(m) => {
            let phase = match m.status {
                b'H' => Phase::Halted,
                b'O' => Phase::QuotationOnly,
                b'P' => Phase::Paused,
                b'T' => Phase::Trading,
                _ => return None,
            };
            Said::Phase(phase, m.reason)
        }
        M::OperationalHalt(m) => match m.status {
            b'O' => Said::Halt(Market::Iex, true),
            b'N' => Said::Halt(Market::Iex, false),
            _ => return None,
        },
        M::ShortSalePriceTest(m) => match (m.status, m.detail) {
            (0 | b'0', _) => Said::ShortSale(ShortSale::Free),
            (1 | b'1', b'C') => Said::ShortSale(ShortSale::Remains),
            (1 | b'1', _) => Said::ShortSale(ShortSale::Restricted),
            _ => return None,
        },
        M::SecurityEvent(m) => Said::Complete(Complete::of_code(m.event)?),
        _ => return None,
    })
}

/// A message that gives an order this price; `None`: it does not fit.
#[inline]
fn priced(message: Message, price: Option<Price4>) -> Message {
    match price {
        Some(price) => Message { price, ..message },
        None if message.locate != 0 => Message {
            effect: Effect::Unfit,
            ..message
        },
        None => message,
    }
}

/// A trade of which only this is known.
fn print(kind: Kind, match_number: MatchNumber) -> Print {
    Print {
        kind: kind as u8,
        price: Price4(0),
        shares: 0,
        match_number,
        cross_type: b' ',
    }
}
