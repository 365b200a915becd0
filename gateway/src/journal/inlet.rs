//! Where an order core leaves what it does, before it does it: the hot end of the journal.
//!
//! ```text
//!  ring of cells:  | header, intent's front | its end, packet | header, number, message ... | ...  64 bytes each
//!                   \_ one order: pushed whole or not at all _/
//! ```
//!
//! Path:        order entry -> here -> ring -> records
//! Thread:      order core, hot
//! Invariants:  a record's cells are pushed only when there is room for all of them. Who asks for [`Inlet::make_sure`]
//!              before an order has room for it, or has turned the kill switch on.
//! Time:        none is read: records have the times that order entry was given.
//! When full:   the record is lost, and counted in the next one; the kill switch goes on.

use std::sync::Arc;

use rt::counters;
use rt::ring::{Consumer, NotPowerOfTwo, Producer, ring};
use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::event::{Commanded, RequestRecord, UNKNOWN};
use super::format::{
    ACCEPTED, BY_EXECUTION, BY_TIMER, HEADER_BYTES, Header, IMMEDIATE, INTENT_BYTES, IntentRecord,
    Kind, SELL,
};
use super::limit_row::RowPayload;
use super::limits::Payload;
use super::records::{CELL_BYTES, Cell, Records};
use crate::message::command::{Command, NewLimits, NewRow};
use crate::message::intent::{Action, Asked, Cause, Owner, TimeInForce};
use crate::order::risk::{KillCause, KillSwitch, Limits, Refusal, RowLimits};

/// Cells of an order without terms of its own, or refused.
const ORDER_CELLS: usize = 2;
/// Cells of any order.
const ORDER_CELLS_MAX: usize = 3;
/// Bytes of a packet that these have room for.
pub(crate) const PACKET_BYTES_MAX: usize =
    ORDER_CELLS_MAX * CELL_BYTES - HEADER_BYTES - INTENT_BYTES;
/// Bytes of the packet that an order's cells have room for.
const PACKET_BYTES: usize = ORDER_CELLS * CELL_BYTES - HEADER_BYTES - INTENT_BYTES;

counters! {
    /// What an order core put into the ring of the journal.
    pub struct InletCounters {
        /// Records put into the ring.
        journal_records,
        /// Records that are lost because the ring was full: trading stops.
        journal_ring_full,
    }
}

/// Orders whose records this many bytes of memory hold at most.
#[must_use]
pub fn orders_in(bytes: usize) -> u32 {
    u32::try_from(bytes / (ORDER_CELLS * CELL_BYTES)).unwrap_or(u32::MAX)
}

/// An order's cells.
#[derive(Clone, Copy, IntoBytes, FromBytes, Immutable)]
#[repr(C)]
struct OrderCells {
    header: Header,
    intent: IntentRecord,
    packet: [u8; PACKET_BYTES],
}

const _: () = assert!(size_of::<OrderCells>() == ORDER_CELLS * CELL_BYTES);

/// A message of the exchange.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its SoupBinTCP sequence number.
    pub seq: u64,
    /// It was said before the connection was begun.
    pub is_past: bool,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// The hot end of one session's journal; without a ring nothing is kept.
#[derive(Debug, Default)]
pub struct Inlet(Option<Hot>);

#[derive(Debug)]
struct Hot {
    cells: Producer<Cell>,
    /// Cells that are free at least: the reader only makes more.
    free: usize,
    session: u8,
    /// The last record's number.
    sequence: u64,
    lost: u32,
    /// The cause of a kill that the journal knows of.
    killed: Option<KillCause>,
    kill: KillSwitch,
    counters: Arc<InletCounters>,
}

/// The other end.
#[derive(Debug)]
pub struct Outlet {
    /// Its records.
    pub records: Records,
    /// What the hot end counts.
    pub counters: Arc<InletCounters>,
    /// What to turn when the journal fails.
    pub kill: KillSwitch,
    /// Whose records are lost trades no more: all but turns, without which only a replay is less.
    pub stops_trading: bool,
}

/// The two ends of the journal of the session with this number, whose orders this switch stops, with a ring of this
/// many bytes.
///
/// # Errors
/// The ring has fewer bytes than a cell, or their number is no power of two.
pub fn inlet(
    session: u8,
    ring_bytes: usize,
    kill: KillSwitch,
) -> Result<(Inlet, Outlet), NotPowerOfTwo> {
    let (producer, consumer): (_, Consumer<Cell>) = ring(ring_bytes / CELL_BYTES)?;
    let counters = Arc::new(InletCounters::default());
    let hot = Hot {
        free: producer.capacity(),
        cells: producer,
        session,
        sequence: 0,
        lost: 0,
        killed: None,
        kill: kill.clone(),
        counters: Arc::clone(&counters),
    };
    let outlet = Outlet {
        records: Records::new(consumer),
        counters,
        kill,
        stops_trading: true,
    };
    Ok((Inlet(Some(hot)), outlet))
}

impl Inlet {
    /// Before an order is judged: where the ring has no room for it, trading stops, so that it will be refused. A
    /// cancel goes out all the same, and its record is lost.
    #[inline]
    pub fn make_sure(&mut self) {
        if let Some(hot) = &mut self.0
            && !hot.has_room(ORDER_CELLS_MAX)
        {
            hot.fall_behind();
        }
    }

    /// Whether half of the ring is free; without a ring it always is.
    #[must_use]
    pub fn has_half_free(&mut self) -> bool {
        let hot = self.0.as_mut();
        hot.is_none_or(|hot| hot.has_room(hot.cells.capacity() / 2))
    }

    /// An intent was accepted: this packet of `out`, which is as long, goes out for the order of this number.
    #[inline]
    pub fn on_sent(&mut self, asked: &Asked<'_>, user_ref: u32, out: &[u8], len: usize) {
        let Some(hot) = &mut self.0 else { return };
        let intent = intent_record(asked, user_ref, ACCEPTED);
        // Longer than the packet is copied: a copy of a fixed length is a few instructions.
        match out.first_chunk::<PACKET_BYTES>() {
            Some(packet) if len <= PACKET_BYTES => {
                if !hot.has_room(ORDER_CELLS) {
                    return hot.lose();
                }
                let header = hot.header(Kind::Sent, asked.now_ns, INTENT_BYTES + len, [0; 2]);
                let cells: [Cell; ORDER_CELLS] = zerocopy::transmute!(OrderCells {
                    header,
                    intent,
                    packet: *packet,
                });
                hot.free -= ORDER_CELLS;
                cells.into_iter().for_each(|cell| hot.push(cell));
            }
            _ => {
                let packet = out.get(..len).unwrap_or_default();
                hot.write(
                    Kind::Sent,
                    asked.now_ns,
                    [0; 2],
                    [intent.as_bytes(), packet],
                );
            }
        }
    }

    /// An intent was refused; by this row of limits, 0: by none.
    #[cold]
    pub fn on_refused(&mut self, asked: &Asked<'_>, refusal: Refusal, row: u8) {
        if let Some(hot) = &mut self.0 {
            let intent = intent_record(asked, 0, refusal as u8);
            let parts = [intent.as_bytes(), &[]];
            hot.write(Kind::Refused, asked.now_ns, [row, 0], parts);
        }
    }

    /// These packets go out, and no strategy has asked for them.
    #[cold]
    pub fn on_cancels(&mut self, packets: &[u8], now_ns: u64) {
        if !packets.is_empty() {
            self.note(Kind::Cancels, now_ns, [0; 2], [packets, &[]]);
        }
    }

    /// The exchange said something.
    #[inline]
    pub fn on_heard(&mut self, message: &Message<'_>, now_ns: u64) {
        if let Some(hot) = &mut self.0 {
            let detail = [u8::from(message.is_past), 0];
            let parts = [&message.seq.to_le_bytes()[..], message.bytes];
            hot.write(Kind::Heard, now_ns, detail, parts);
        }
    }

    /// A connection stands.
    #[cold]
    pub fn on_connected(&mut self, now_ns: u64) {
        self.note(Kind::Connected, now_ns, [0; 2], [&[], &[]]);
    }

    /// The login was accepted, and the exchange's next message has this number.
    #[cold]
    pub fn on_logged_in(&mut self, next_seq: u64, session: [u8; 10], now_ns: u64) {
        let parts = [&next_seq.to_le_bytes()[..], &session];
        self.note(Kind::LoggedIn, now_ns, [0; 2], parts);
    }

    /// The connection is gone.
    #[cold]
    pub fn on_closed(&mut self, pause_ms: u32, now_ns: u64) {
        self.note(Kind::Closed, now_ns, [0; 2], [&pause_ms.to_le_bytes(), &[]]);
    }

    /// Orders go out.
    #[cold]
    pub fn on_opened(&mut self, now_ns: u64) {
        self.note(Kind::Opened, now_ns, [0; 2], [&[], &[]]);
    }

    /// The operator asked for something; `false`: there is no such strategy. Limits have a record of their own.
    pub fn on_command(&mut self, command: &Command, is_known: bool, now_ns: u64) {
        let (what, Owner(owner)) = match *command {
            Command::CancelAll => (Commanded::CancelAll, Owner(0)),
            Command::Pause(owner) => (Commanded::Pause, owner),
            Command::Unpause(owner) => (Commanded::Unpause, owner),
            Command::Limits(_) | Command::Row(_) => return,
        };
        let code = what as u8 | if is_known { 0 } else { UNKNOWN };
        self.note(Kind::Command, now_ns, [code, owner], [&[], &[]]);
    }

    /// These limits are no longer in force, those of a new table are.
    pub fn on_limits(&mut self, before: &Limits, new: &NewLimits, now_ns: u64) {
        if let Some(hot) = &mut self.0 {
            let payload = Payload::new(before, new);
            hot.write(Kind::Limits, now_ns, [0; 2], [payload.bytes(), &[]]);
        }
    }

    /// This row is no longer in force, another one is in its place.
    pub fn on_row(&mut self, before: &RowLimits, new: &NewRow, now_ns: u64) {
        if let Some(hot) = &mut self.0 {
            let payload = RowPayload::new(before, new);
            hot.write(Kind::Row, now_ns, [0; 2], [payload.as_bytes(), &[]]);
        }
    }

    /// Somebody asked for something by the control socket, or a guard fell silent.
    pub fn on_asked(&mut self, request: &RequestRecord<'_>, now_ns: u64) {
        let parts = [&request.who()[..], request.text.as_bytes()];
        self.note(Kind::Asked, now_ns, [0; 2], parts);
    }

    /// Turns of the core have been these.
    pub fn on_turns(&mut self, turns: &[u8], now_ns: u64) {
        self.note(Kind::Turns, now_ns, [0; 2], [turns, &[]]);
    }

    /// A turn of the core had no room: what is there cannot be replayed beyond it.
    #[cold]
    pub fn on_turn_lost(&mut self) {
        if let Some(hot) = &mut self.0 {
            hot.lose();
        }
    }

    /// Whether the kill switch stands otherwise than the journal knows.
    #[inline]
    #[must_use]
    pub fn has_news_of(&self, cause: Option<KillCause>) -> bool {
        self.0.as_ref().is_some_and(|hot| hot.killed != cause)
    }

    /// The kill switch stands so, begun by whom [`KillSwitch::began_code`] says. Where there is no room it is told later.
    #[cold]
    pub fn on_kill(&mut self, cause: Option<KillCause>, began: u8, now_ns: u64) {
        let Some(hot) = &mut self.0 else { return };
        if hot.killed == cause || !hot.has_room(1) {
            return;
        }
        hot.killed = cause;
        match cause {
            Some(cause) => hot.write(Kind::KillOn, now_ns, [cause as u8, began], [&[], &[]]),
            None => hot.write(Kind::KillOff, now_ns, [0; 2], [&[], &[]]),
        }
    }

    /// Prefetches what the next order is written into.
    #[inline]
    pub fn prefetch(&self) {
        if let Some(hot) = &self.0 {
            hot.cells.prefetch();
        }
    }

    fn note(&mut self, kind: Kind, now_ns: u64, detail: [u8; 2], parts: [&[u8]; 2]) {
        if let Some(hot) = &mut self.0 {
            hot.write(kind, now_ns, detail, parts);
        }
    }
}

impl Hot {
    #[inline]
    fn has_room(&mut self, cells: usize) -> bool {
        if self.free < cells {
            self.free = self.cells.capacity() - self.cells.len();
        }
        self.free >= cells
    }

    #[inline]
    fn header(&mut self, kind: Kind, now_ns: u64, len: usize, detail: [u8; 2]) -> Header {
        self.sequence += 1;
        self.counters.journal_records.increment();
        Header {
            crc: U32::new(0),
            payload_bytes: U32::new(u32::try_from(len).unwrap_or(u32::MAX)),
            sequence: U64::new(self.sequence),
            time_ns: U64::new(now_ns),
            lost: U32::new(std::mem::take(&mut self.lost)),
            kind: kind as u8,
            session: self.session,
            detail,
        }
    }

    /// A record of any length: two cells at a time.
    #[inline]
    fn write(&mut self, kind: Kind, now_ns: u64, detail: [u8; 2], parts: [&[u8]; 2]) {
        let [front, back] = parts;
        let len = front.len() + back.len();
        let cells = (HEADER_BYTES + len).div_ceil(CELL_BYTES);
        if !self.has_room(cells) {
            return self.lose();
        }
        let header = self.header(kind, now_ns, len, detail);
        self.free -= cells;
        let mut pen = Pen {
            hot: self,
            cell: [0; CELL_BYTES],
            len: 0,
        };
        pen.write(header.as_bytes());
        pen.write(front);
        pen.write(back);
        pen.finish();
    }

    #[inline]
    fn push(&mut self, cell: Cell) {
        let pushed = self.cells.push(cell);
        debug_assert!(pushed.is_ok(), "there was room for the whole record");
    }

    #[cold]
    fn lose(&mut self) {
        self.sequence += 1;
        self.lost = self.lost.saturating_add(1);
        self.counters.journal_ring_full.increment();
        self.fall_behind();
    }

    #[cold]
    fn fall_behind(&self) {
        self.kill.engage(KillCause::JournalBehind);
    }
}

/// Writes bytes into cells.
struct Pen<'a> {
    hot: &'a mut Hot,
    cell: [u8; CELL_BYTES],
    len: usize,
}

impl Pen<'_> {
    #[inline]
    fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.len == CELL_BYTES {
                self.turn_over();
            }
            let (now, later) = bytes.split_at(bytes.len().min(CELL_BYTES - self.len));
            if let Some(room) = self.cell.get_mut(self.len..self.len + now.len()) {
                room.copy_from_slice(now);
            }
            self.len += now.len();
            bytes = later;
        }
    }

    #[inline]
    fn turn_over(&mut self) {
        self.hot.push(Cell(self.cell));
        (self.cell, self.len) = ([0; CELL_BYTES], 0);
    }

    #[inline]
    fn finish(mut self) {
        self.turn_over();
    }
}

#[inline]
fn intent_record(asked: &Asked<'_>, user_ref: u32, refusal: u8) -> IntentRecord {
    let Asked { owner, intent, .. } = asked;
    let mut flags = intent.action as u8;
    if intent.side == protocol::types::Side::Sell {
        flags |= SELL;
    }
    if intent.time_in_force == TimeInForce::ImmediateOrCancel {
        flags |= IMMEDIATE;
    }
    flags |= match intent.cause {
        Cause::Market => 0,
        Cause::Execution => BY_EXECUTION,
        Cause::Timer => BY_TIMER,
    };
    IntentRecord {
        decided_ns: U64::new(intent.decided_ns),
        seen_ns: U64::new(intent.origin.seen_ns),
        seq: U64::new(intent.origin.seq),
        id: U32::new(intent.id.0),
        user_ref: U32::new(user_ref),
        price: U32::new(intent.price.0),
        qty: U32::new(intent.qty.0),
        locate: U16::new(intent.locate),
        owner: owner.0,
        flags,
        refusal,
        feed: u8::try_from(intent.origin.feed).unwrap_or(u8::MAX),
    }
}

const _: () = assert!(Action::Reduce as u8 <= 3, "an action has two bits");
