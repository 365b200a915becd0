//! A record of limits that change, and what is left of such records after a restart.
//!
//! Invariants:  what an earlier run says only makes a limit tighter: the configuration's is never passed.
//! When wrong:  bytes that are no such record are none; a code of another version is passed over.

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::limit_row::RowRecord;
use crate::message::command::{NewLimits, NewRow};
use crate::message::intent::Owner;
use crate::order::risk::{LimitKey, Limits, ROWS_MAX, RowLimits};

/// The longest payload.
const BYTES_MAX: usize = size_of::<Front>() + LimitKey::COUNT * size_of::<Changed>();

/// What a payload begins with.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
struct Front {
    number: U32,
    uid: U32,
}

/// One limit that changes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct Changed {
    /// A [`LimitKey`]'s.
    pub code: u8,
    /// Its value before, in the configuration's units.
    pub before: U64,
    /// Its value from now on.
    pub now: U64,
}

/// A payload, where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsRecord<'a> {
    /// The table's number.
    pub number: u32,
    /// The user who changed it.
    pub uid: u32,
    /// What changes.
    pub changed: &'a [Changed],
}

impl<'a> LimitsRecord<'a> {
    /// Reads a payload; `None`: it is none.
    pub(super) fn read(payload: &'a [u8]) -> Option<Self> {
        let (front, rest) = Front::read_from_prefix(payload).ok()?;
        Some(Self {
            number: front.number.get(),
            uid: front.uid.get(),
            changed: <[Changed]>::ref_from_bytes(rest).ok()?,
        })
    }
}

/// A payload that is being made, without an allocation.
pub(super) struct Payload {
    bytes: [u8; BYTES_MAX],
    len: usize,
}

impl Payload {
    /// What changes from the limits before to a new table.
    pub(super) fn new(before: &Limits, new: &NewLimits) -> Self {
        let mut payload = Self {
            bytes: [0; BYTES_MAX],
            len: 0,
        };
        payload.push(&Front {
            number: U32::new(new.number),
            uid: U32::new(new.uid),
        });
        for (key, _) in LimitKey::ALL {
            let (before, now) = (key.of(before), key.of(&new.limits));
            if before != now {
                payload.push(&Changed {
                    code: key as u8,
                    before: U64::new(before),
                    now: U64::new(now),
                });
            }
        }
        payload
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn push(&mut self, part: &(impl IntoBytes + Immutable)) {
        let part = part.as_bytes();
        if let Some(room) = self.bytes.get_mut(self.len..self.len + part.len()) {
            room.copy_from_slice(part);
            self.len += part.len();
        }
    }
}

/// The last value of each limit that earlier runs changed; by default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PastLimits {
    number: u32,
    /// Who made it.
    uid: u32,
    last: [Option<u64>; LimitKey::COUNT],
    /// What rows were last.
    rows: Vec<RowLimits>,
}

impl PastLimits {
    /// The number of their last table; 0: there was none.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// A record of theirs, in its turn.
    pub(super) fn on_record(&mut self, record: &LimitsRecord<'_>) {
        self.on_table(record.number, record.uid);
        for changed in record.changed {
            let key = LimitKey::of_code(changed.code);
            if let Some(last) = key.and_then(|key| self.last.get_mut(key.place())) {
                *last = Some(changed.now.get());
            }
        }
    }

    /// A record of a row, in its turn; `owner`: whose it is, as strategies are numbered now.
    pub(super) fn on_row(&mut self, record: &RowRecord, owner: Option<Owner>) {
        self.on_table(record.number, record.uid);
        let bare = record.limits(owner).bare();
        let known = self.rows.iter().position(|it| it.is_for_same(&bare));
        let at = known.unwrap_or_else(|| {
            self.rows.push(bare);
            self.rows.len() - 1
        });
        // What did not change is the configuration's to say, which may say something else by now.
        if let Some(row) = self.rows.get_mut(at) {
            for (key, _, now) in record.changed() {
                row.set(key, now);
            }
        }
    }

    /// A table of theirs, whatever it changed.
    pub(super) fn on_table(&mut self, number: u32, uid: u32) {
        if number >= self.number {
            (self.number, self.uid) = (number, uid);
        }
    }

    /// Rows in force when a run begins: the configuration's, each limit as tight as earlier runs had it, and behind them
    /// what was added, as far as there is room.
    #[must_use]
    pub fn rows_in_force(&self, configured: &[RowLimits]) -> Vec<RowLimits> {
        let mut rows = self.all_rows(configured);
        rows.truncate(ROWS_MAX);
        rows
    }

    /// Rows that earlier runs added and for which there is no room beside the configured ones.
    #[must_use]
    pub fn rows_beyond(&self, configured: &[RowLimits]) -> usize {
        self.all_rows(configured).len().saturating_sub(ROWS_MAX)
    }

    fn all_rows(&self, configured: &[RowLimits]) -> Vec<RowLimits> {
        let mut rows = configured.to_vec();
        for past in &self.rows {
            match rows.iter_mut().find(|it| it.is_for_same(past)) {
                Some(row) => tighten(row, past),
                None if past.has_limits() => rows.push(*past),
                None => {}
            }
        }
        rows
    }

    /// Rows that a run has to journal at its beginning, each as it is configured and as it is in force.
    #[must_use]
    pub fn inherited_rows(&self, configured: &[RowLimits]) -> Vec<(RowLimits, NewRow)> {
        let rows = self.rows_in_force(configured);
        let rows = (0..).zip(rows).filter_map(|(at, limits)| {
            let before = configured.get(usize::from(at)).copied();
            let before = before.unwrap_or_else(|| limits.bare());
            let inherited = NewRow {
                number: self.number,
                uid: self.uid,
                at,
                limits,
            };
            (before != limits).then_some((before, inherited))
        });
        rows.collect()
    }

    /// What a run has to journal at its beginning, so that runs after it know, too, whenever the earlier ones' journals
    /// were written; `None`: the configuration's limits are in force.
    #[must_use]
    pub fn inherited(&self, configured: &Limits) -> Option<NewLimits> {
        let limits = self.in_force(configured);
        let inherited = NewLimits {
            number: self.number,
            uid: self.uid,
            limits,
        };
        (limits != *configured).then_some(inherited)
    }

    /// What is in force when a run begins: the configuration's limits, and of what earlier runs had, whatever is
    /// tighter.
    #[must_use]
    pub fn in_force(&self, configured: &Limits) -> Limits {
        let mut limits = *configured;
        for ((key, _), last) in LimitKey::ALL.into_iter().zip(self.last) {
            if let Some(last) = last {
                key.set(&mut limits, key.tighter(last, configured));
            }
        }
        limits
    }
}

fn tighten(row: &mut RowLimits, past: &RowLimits) {
    for key in RowLimits::KEYS {
        let values = row.of(key).into_iter().chain(past.of(key));
        row.set(key, values.min());
    }
}

#[cfg(test)]
mod tests {
    use protocol::types::Qty;

    use super::super::limit_row::RowPayload;
    use super::*;
    use crate::order::risk::Symbols;

    fn with(limits: &[(LimitKey, u64)]) -> Limits {
        let mut made = Limits {
            open_orders_max: 40,
            ..Limits::WIDEST
        };
        for (key, value) in limits {
            key.set(&mut made, *value);
        }
        made
    }

    fn record(past: &mut PastLimits, number: u32, from: &Limits, to: &Limits) {
        let new = NewLimits {
            number,
            uid: 7,
            limits: *to,
        };
        let payload = Payload::new(from, &new);
        let record = LimitsRecord::read(payload.bytes()).unwrap();
        assert_eq!((record.number, record.uid), (number, 7));
        past.on_record(&record);
    }

    #[test]
    fn payload_has_what_changes_and_nothing_else() {
        let limits = with(&[(LimitKey::OrderQty, 5), (LimitKey::IntentAge, 0x0102)]);
        let new = NewLimits {
            number: 3,
            uid: 1_000,
            limits,
        };
        let payload = Payload::new(&with(&[]), &new);
        let mut expected = vec![3, 0, 0, 0, 0xE8, 3, 0, 0];
        expected.extend([1, 0x3F, 0x42, 0x0F, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([14, 0x60, 0xEA, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(payload.bytes(), expected);
        for len in 0..expected.len() {
            let is_whole = len >= 8 && (len - 8) % 17 == 0;
            assert_eq!(LimitsRecord::read(&expected[..len]).is_some(), is_whole);
        }
        let all = LimitKey::ALL.map(|(key, _)| (key, if key.of(&with(&[])) == 1 { 0 } else { 1 }));
        let new = NewLimits {
            limits: with(&all),
            ..new
        };
        assert_eq!(Payload::new(&with(&[]), &new).bytes().len(), BYTES_MAX);
    }

    #[test]
    fn tightening_of_an_earlier_run_holds_and_loosening_does_not() {
        let configured = with(&[(LimitKey::OrderQty, 100)]);
        let mut past = PastLimits::default();
        assert_eq!(past.in_force(&configured), configured);
        let tight = with(&[(LimitKey::OrderQty, 50)]);
        record(&mut past, 2, &configured, &tight);
        assert_eq!(past.in_force(&configured), tight);
        assert_eq!(past.number(), 2);
        // Loosened by half, then beyond what is configured.
        let less = with(&[(LimitKey::OrderQty, 80)]);
        record(&mut past, 3, &tight, &less);
        assert_eq!(past.in_force(&configured), less);
        record(&mut past, 4, &less, &with(&[(LimitKey::OrderQty, 200)]));
        assert_eq!(past.in_force(&configured), configured);
        // The configuration has become tighter itself.
        let own = with(&[(LimitKey::OrderQty, 10)]);
        assert_eq!(past.in_force(&own), own);
    }

    #[test]
    fn chain_of_runs_carries_a_tightening_from_each_journal_to_the_next() {
        let configured = with(&[(LimitKey::OrderQty, 100)]);
        let tight = with(&[(LimitKey::OrderQty, 50)]);
        let mut past = PastLimits::default();
        assert_eq!(past.inherited(&configured), None);
        record(&mut past, 2, &configured, &tight);
        for _ in 0..3 {
            let inherited = past.inherited(&configured).unwrap();
            assert_eq!((inherited.number, inherited.uid), (2, 7));
            // The next run has this one's journal alone.
            past = PastLimits::default();
            record(&mut past, inherited.number, &configured, &inherited.limits);
            assert_eq!(past.in_force(&configured), tight);
        }
        record(&mut past, 3, &tight, &configured);
        assert_eq!(past.inherited(&configured), None);
    }

    fn row_record(past: &mut PastLimits, number: u32, before: RowLimits, row: RowLimits) {
        let new = NewRow {
            number,
            uid: 7,
            at: 0,
            limits: row,
        };
        let payload = RowPayload::new(&before, &new);
        let record = RowRecord::read(payload.as_bytes()).unwrap();
        past.on_row(&record, row.owner);
    }

    fn row(symbols: &str, order_qty_max: Option<u32>) -> RowLimits {
        RowLimits {
            owner: Some(Owner(1)),
            symbols: Symbols::parse(symbols).unwrap(),
            order_qty_max: order_qty_max.map(Qty),
            ..RowLimits::default()
        }
    }

    #[test]
    fn rows_that_an_earlier_run_tightened_or_added_hold_and_what_it_loosened_does_not() {
        let configured = [row("A", Some(100)), row("B", Some(50)), row("C", None)];
        let mut past = PastLimits::default();
        assert_eq!(past.rows_in_force(&configured), configured);
        for (number, row) in (2..).zip([
            row("A", Some(80)),
            row("B", None),
            row("C", Some(5)),
            row("D*", Some(7)),
            row("E", None),
        ]) {
            let before = configured.iter().find(|it| it.is_for_same(&row));
            let before = before.copied().unwrap_or_else(|| row.bare());
            row_record(&mut past, number, before, row);
        }
        let expected = [
            row("A", Some(80)),
            row("B", Some(50)),
            row("C", Some(5)),
            row("D*", Some(7)),
        ];
        assert_eq!(past.rows_in_force(&configured), expected);
        assert_eq!(past.number(), 6);
        // The next run has this one's journal alone.
        let inherited = past.inherited_rows(&configured);
        let places: Vec<u8> = inherited.iter().map(|(_, new)| new.at).collect();
        assert_eq!(places, [0, 2, 3]);
        let mut next = PastLimits::default();
        for (before, new) in inherited {
            row_record(&mut next, new.number, before, new.limits);
        }
        assert_eq!(next.rows_in_force(&configured), expected);
        // What was added and is taken away again is not there.
        row_record(&mut next, 7, expected[3], row("D*", None));
        assert_eq!(next.rows_in_force(&configured), expected[..3]);
    }

    #[test]
    fn limit_of_a_row_that_nobody_changed_stays_the_configurations_to_say() {
        let with_open = |qty, open| RowLimits {
            open_orders_max: Some(open),
            ..row("A", Some(qty))
        };
        let mut past = PastLimits::default();
        row_record(&mut past, 2, with_open(100, 10), with_open(80, 10));
        // The file has another limit of open orders the next morning.
        let edited = [with_open(100, 50)];
        assert_eq!(past.rows_in_force(&edited), [with_open(80, 50)]);
    }

    #[test]
    fn rows_without_room_beside_the_configured_ones_are_counted() {
        let names: Vec<String> = (0..ROWS_MAX + 2).map(|at| format!("S{at}")).collect();
        let rows: Vec<RowLimits> = names.iter().map(|name| row(name, Some(9))).collect();
        let mut past = PastLimits::default();
        for (number, added) in (2..).zip(&rows[ROWS_MAX - 1..]) {
            row_record(&mut past, number, added.bare(), *added);
        }
        assert_eq!(past.rows_beyond(&rows[..ROWS_MAX - 3]), 0);
        assert_eq!(past.rows_beyond(&rows[..ROWS_MAX - 1]), 2);
    }

    #[test]
    fn code_of_another_version_is_passed_over() {
        let mut past = PastLimits::default();
        past.on_record(&LimitsRecord {
            number: 1,
            uid: 0,
            changed: &[Changed {
                code: 200,
                before: U64::new(1),
                now: U64::new(2),
            }],
        });
        assert_eq!(past.in_force(&with(&[])), with(&[]));
    }
}
