//! The reading end of a tap's ring: cells in, packets out.
//!
//! Thread:      capture core
//! Invariants:  a packet is given out when all its cells are there, once and in order.

use rt::ring::Consumer;

use super::tap::{CELL_BYTES, Cell, Header};

/// Packets of a tap, in the order in which the feed core saw them.
#[derive(Debug)]
pub(super) struct Records {
    cells: Consumer<Cell>,
    /// A packet whose cells are not all there yet.
    begun: Option<Header>,
}

impl Records {
    pub(super) fn new(cells: Consumer<Cell>) -> Self {
        Self { cells, begun: None }
    }

    /// Cells that are there.
    pub(super) fn cells(&self) -> usize {
        self.cells.len()
    }

    /// The next packet: what was said in front of it, and its bytes in `bytes`.
    pub(super) fn next(&mut self, bytes: &mut Vec<u8>) -> Option<Header> {
        let header: Header = match self.begun.take() {
            Some(header) => header,
            None => zerocopy::transmute!(self.cells.pop()?),
        };
        let len = usize::from(header.bytes);
        if self.cells.len() < len.div_ceil(CELL_BYTES) {
            self.begun = Some(header);
            return None;
        }
        bytes.clear();
        while bytes.len() < len {
            let Cell(cell) = self.cells.pop()?;
            let left = len - bytes.len();
            bytes.extend(cell.iter().take(left));
        }
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use rt::ring::ring;

    use super::*;

    #[test]
    fn packet_that_is_not_whole_yet_waits() {
        let (mut cells, reader) = ring(8).unwrap();
        let mut records = Records::new(reader);
        let mut bytes = Vec::new();
        let header = Header {
            bytes: 65,
            ..Header::default()
        };
        assert_eq!(records.next(&mut bytes), None);
        cells.push(zerocopy::transmute!(header)).unwrap();
        assert_eq!(records.next(&mut bytes), None);
        cells.push(Cell([1; 64])).unwrap();
        assert_eq!(records.next(&mut bytes), None);
        cells.push(Cell([2; 64])).unwrap();
        assert_eq!(records.next(&mut bytes), Some(header));
        assert_eq!(bytes, [&[1; 64][..], &[2]].concat());
        assert_eq!(records.next(&mut bytes), None);
    }
}
