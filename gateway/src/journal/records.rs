//! The reading end of a session's ring: cells in, records out.
//!
//! Thread:      journal core
//! Invariants:  a record is given out when all its cells are there, once and in order.

use rt::ring::Consumer;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::format::{HEADER_BYTES, Header};

/// Bytes of a cell: a cache line.
pub(super) const CELL_BYTES: usize = 64;

/// What the ring is made of.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable)]
#[repr(C, align(64))]
pub(super) struct Cell(pub(super) [u8; CELL_BYTES]);

/// Records of one session, in the order in which its order core wrote them.
#[derive(Debug)]
pub struct Records {
    cells: Consumer<Cell>,
    /// A record whose other cells are not there yet.
    begun: Option<Cell>,
}

impl Records {
    pub(super) fn new(cells: Consumer<Cell>) -> Self {
        Self { cells, begun: None }
    }

    /// Lets everything go unread.
    pub(crate) fn forget(&mut self) {
        self.begun = None;
        while self.cells.pop().is_some() {}
    }

    /// The next record: its header, and its payload in `payload`.
    pub fn next(&mut self, payload: &mut Vec<u8>) -> Option<Header> {
        let first = match self.begun.take() {
            Some(first) => first,
            None => self.cells.pop()?,
        };
        let first_cell: FirstCell = zerocopy::transmute!(first);
        let FirstCell { header, begin } = first_cell;
        let len = usize::try_from(header.payload_bytes.get()).unwrap_or(usize::MAX);
        let more = len.saturating_sub(begin.len()).div_ceil(CELL_BYTES);
        if self.cells.len() < more {
            self.begun = Some(first);
            return None;
        }
        payload.clear();
        payload.extend(begin.iter().take(len));
        for _ in 0..more {
            let Cell(cell) = self.cells.pop()?;
            let left = len - payload.len();
            payload.extend_from_slice(cell.get(..left.min(CELL_BYTES)).unwrap_or_default());
        }
        Some(header)
    }
}

/// The first cell of a record.
#[derive(Clone, Copy, FromBytes)]
#[repr(C)]
struct FirstCell {
    header: Header,
    begin: [u8; CELL_BYTES - HEADER_BYTES],
}
