//! Packets that nobody has sent: what an understudy rehearses with, in each venue's own bytes.
//!
//! One order's life, over and over: each message finds the book as the one before has left it, and the last leaves it
//! empty.
//!
//! Thread:      start-up

use protocol::deep_plus as deep;
use protocol::iex_tp;
use protocol::itch::{self, Head};
use protocol::mold;
use protocol::types::{MatchNumber, Nanos, OrderRef, Price4, Qty, Seq, Side, SignedPrice4, Symbol};
use zerocopy::{FromZeros, IntoBytes};

/// What a made-up packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeUp {
    /// Nothing but its number.
    Heartbeat,
    /// What the symbol is called.
    Name,
    /// An order of 300 shares joins.
    Add,
    /// 100 of them trade.
    Execute,
    /// 100 leave.
    Shrink,
    /// It moves to another price.
    Move,
    /// It leaves.
    Delete,
}

impl MadeUp {
    /// One order's life.
    pub(crate) const LIFE: [Self; 5] = [
        Self::Add,
        Self::Execute,
        Self::Shrink,
        Self::Move,
        Self::Delete,
    ];
}

/// The symbol's code where a venue has codes, and where symbols are numbered as they come.
const LOCATE: u16 = 1;
const PRICE: u32 = 1_000_000;
const MOVED: u32 = 1_000_100;
const FIRST: OrderRef = OrderRef(1);
/// Where a venue's orders change their reference as they move.
const SECOND: OrderRef = OrderRef(2);

/// No venue's symbol.
fn symbol() -> Symbol {
    Symbol(*b"UNDERSTY")
}

pub(super) fn of_nasdaq(what: MadeUp, out: &mut [u8]) -> usize {
    let Some(mut packet) = mold::PacketBuilder::new(out, *b"REHEARSAL ", Seq(0)) else {
        return 0;
    };
    let head = |kind| Head::new(kind, LOCATE, Nanos(1));
    let fits = match what {
        MadeUp::Heartbeat => true,
        MadeUp::Name => {
            let mut directory = itch::StockDirectory::new_zeroed();
            (directory.head, directory.stock) = (head(b'R'), symbol());
            packet.push(directory.as_bytes())
        }
        MadeUp::Add => packet.push(
            itch::AddOrder {
                head: head(b'A'),
                order: FIRST.into(),
                side: Side::Buy as u8,
                shares: Qty(300).into(),
                stock: symbol(),
                price: Price4(PRICE).into(),
            }
            .as_bytes(),
        ),
        MadeUp::Execute => packet.push(
            itch::OrderExecuted {
                head: head(b'E'),
                order: FIRST.into(),
                shares: Qty(100).into(),
                match_number: MatchNumber(1).into(),
            }
            .as_bytes(),
        ),
        MadeUp::Shrink => packet.push(
            itch::OrderCancel {
                head: head(b'X'),
                order: FIRST.into(),
                shares: Qty(100).into(),
            }
            .as_bytes(),
        ),
        MadeUp::Move => packet.push(
            itch::OrderReplace {
                head: head(b'U'),
                old_order: FIRST.into(),
                new_order: SECOND.into(),
                shares: Qty(100).into(),
                price: Price4(MOVED).into(),
            }
            .as_bytes(),
        ),
        MadeUp::Delete => packet.push(
            itch::OrderDelete {
                head: head(b'D'),
                order: SECOND.into(),
            }
            .as_bytes(),
        ),
    };
    debug_assert!(fits, "{what:?}");
    packet.finish().len()
}

pub(super) fn of_iex(what: MadeUp, out: &mut [u8]) -> usize {
    let place = iex_tp::Place {
        session: iex_tp::Session {
            channel: 1,
            session: 1,
        },
        protocol: iex_tp::PROTOCOL_DEEP_PLUS,
        seq: Seq(0),
        offset: 0,
        sent: Nanos(1),
    };
    let Some(mut packet) = iex_tp::PacketBuilder::new(out, place) else {
        return 0;
    };
    let modify = |size: u32, price: u32, flags| deep::OrderModify {
        kind: deep::OrderModify::KIND,
        flags,
        timestamp: Nanos(1).into(),
        symbol: symbol(),
        order: FIRST.into(),
        size: Qty(size).into(),
        price: SignedPrice4(i64::from(price)).into(),
    };
    let fits = match what {
        MadeUp::Heartbeat => true,
        MadeUp::Name => {
            let mut directory = deep::SecurityDirectory::new_zeroed();
            (directory.kind, directory.symbol) = (deep::SecurityDirectory::KIND, symbol());
            packet.push(directory.as_bytes())
        }
        MadeUp::Add => packet.push(
            deep::AddOrder {
                kind: deep::AddOrder::KIND,
                side: deep::AddOrder::code_of_side(Side::Buy),
                timestamp: Nanos(1).into(),
                symbol: symbol(),
                order: FIRST.into(),
                size: Qty(300).into(),
                price: SignedPrice4(i64::from(PRICE)).into(),
            }
            .as_bytes(),
        ),
        MadeUp::Execute => packet.push(
            deep::OrderExecuted {
                kind: deep::OrderExecuted::KIND,
                flags: 0,
                timestamp: Nanos(1).into(),
                symbol: symbol(),
                order: FIRST.into(),
                size: Qty(100).into(),
                price: SignedPrice4(i64::from(PRICE)).into(),
                trade: MatchNumber(1).into(),
            }
            .as_bytes(),
        ),
        MadeUp::Shrink => packet.push(modify(100, PRICE, deep::FLAG_KEEPS_PRIORITY).as_bytes()),
        MadeUp::Move => packet.push(modify(100, MOVED, 0).as_bytes()),
        MadeUp::Delete => packet.push(
            deep::OrderDelete {
                kind: deep::OrderDelete::KIND,
                reserved: 0,
                timestamp: Nanos(1).into(),
                symbol: symbol(),
                order: FIRST.into(),
            }
            .as_bytes(),
        ),
    };
    debug_assert!(fits, "{what:?}");
    packet.finish().len()
}
