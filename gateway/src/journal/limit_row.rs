//! A record of a row of limits that changes: the strategy and the symbols that it is for, and each of its limits.
//!
//! When wrong:  bytes that are no such record are none.

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::message::command::NewRow;
use crate::message::intent::Owner;
use crate::order::risk::{LimitKey, ROWS_MAX, RowLimits, Symbols};

/// The longest text of symbols: all of a symbol's characters and a `*`.
const SYMBOLS_BYTES: usize = 9;
/// No limit of its own.
const NONE: u64 = u64::MAX;

/// A payload.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RowPayload {
    number: U32,
    uid: U32,
    at: u8,
    /// 1: it is for one strategy.
    has_owner: u8,
    owner: u8,
    /// As a configuration has them, then zeros.
    symbols: [u8; SYMBOLS_BYTES],
    /// Before and now, in the configuration's units.
    values: [[U64; 2]; RowLimits::KEYS.len()],
}

impl RowPayload {
    /// A row that was this and is another one now.
    pub(super) fn new(before: &RowLimits, new: &NewRow) -> Self {
        let row = &new.limits;
        let value = |row: &RowLimits, key| U64::new(row.of(key).unwrap_or(NONE));
        Self {
            number: U32::new(new.number),
            uid: U32::new(new.uid),
            at: new.at,
            has_owner: u8::from(row.owner.is_some()),
            owner: row.owner.map_or(0, |Owner(owner)| owner),
            symbols: row.symbols.text(),
            values: RowLimits::KEYS.map(|key| [value(before, key), value(row, key)]),
        }
    }
}

/// A row that changes, as a journal has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRecord {
    /// The table's number.
    pub number: u32,
    /// The user who changed it.
    pub uid: u32,
    /// The row's place, from 0.
    pub at: u8,
    /// The strategy, as the journal's head numbers them; `None`: every one.
    pub owner: Option<u8>,
    /// The symbols.
    pub symbols: Symbols,
    /// Each limit before and from now on, one after the other as in [`RowLimits::KEYS`].
    pub values: [[Option<u64>; 2]; RowLimits::KEYS.len()],
}

impl RowRecord {
    /// Reads a payload; `None`: it is none.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let read = RowPayload::read_from_bytes(payload).ok()?;
        let symbols = std::str::from_utf8(&read.symbols).ok()?;
        let is_row = usize::from(read.at) < ROWS_MAX && read.has_owner <= 1;
        let value = |it: U64| Some(it.get()).filter(|it| *it != NONE);
        let record = Self {
            number: read.number.get(),
            uid: read.uid.get(),
            at: read.at,
            owner: (read.has_owner == 1).then_some(read.owner),
            symbols: Symbols::parse(symbols.trim_end_matches('\0')).ok()?,
            values: read.values.map(|values| values.map(value)),
        };
        is_row.then_some(record)
    }

    /// The limits that change, before and now.
    pub fn changed(&self) -> impl Iterator<Item = (LimitKey, Option<u64>, Option<u64>)> {
        let all = RowLimits::KEYS.into_iter().zip(self.values);
        all.filter_map(|(key, [before, now])| (before != now).then_some((key, before, now)))
    }

    /// The row from now on, for this strategy.
    #[must_use]
    pub fn limits(&self, owner: Option<Owner>) -> RowLimits {
        let mut row = RowLimits {
            owner,
            symbols: self.symbols,
            ..RowLimits::default()
        };
        for (key, [_, now]) in RowLimits::KEYS.into_iter().zip(self.values) {
            row.set(key, now);
        }
        row
    }

    /// What an order stage was asked for.
    #[must_use]
    pub fn new_row(&self) -> NewRow {
        NewRow {
            number: self.number,
            uid: self.uid,
            at: self.at,
            limits: self.limits(self.owner.map(Owner)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> RowLimits {
        RowLimits {
            owner: Some(Owner(2)),
            symbols: Symbols::parse("ABCDEFGH*").unwrap(),
            open_orders_max: Some(0x0102),
            ..RowLimits::default()
        }
    }

    #[test]
    fn payload_lies_as_the_table_says_and_is_read_as_it_was_made() {
        let mut limits = row();
        limits.set(LimitKey::Notional, Some(7));
        let new = NewRow {
            number: 3,
            uid: 1_000,
            at: 4,
            limits,
        };
        let payload = RowPayload::new(&row(), &new);
        let bytes = payload.as_bytes();
        let mut expected = vec![3, 0, 0, 0, 0xE8, 3, 0, 0, 4, 1, 2];
        expected.extend(b"ABCDEFGH*");
        expected.extend([0xFF; 16]);
        expected.extend([0xFF; 8]);
        expected.extend([7, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([0xFF; 16]);
        expected.extend([[2, 1, 0, 0, 0, 0, 0, 0]; 2].concat());
        expected.extend([0xFF; 16]);
        assert_eq!(bytes, expected);
        let read = RowRecord::read(bytes).unwrap();
        assert_eq!(read.new_row(), new);
        let changed: Vec<_> = read.changed().collect();
        assert_eq!(changed, [(LimitKey::Notional, None, Some(7))]);
        for len in 0..bytes.len() {
            assert_eq!(RowRecord::read(&bytes[..len]), None, "{len}");
        }
        for (at, byte) in [(8, 63), (9, 2), (11, b'*'), (11, 0xFF)] {
            let mut wrong = bytes.to_vec();
            wrong[at] = byte;
            assert_eq!(RowRecord::read(&wrong), None, "{at}");
        }
    }
}
