//! Stamps of messages on the wire, shared between the process that sends the feed and the one that
//! takes the orders: what `wire_to_wire` is made of.
//!
//! A file of one row for each sequence number: when the sender sent it, when the exchange had the
//! first order that it caused. Both processes run on one host and read one clock.
//!
//! Invariants:  a row is written once for each column; 0 means "not yet". Numbers beyond the table are
//!              not stamped.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use crate::mem::SharedWords;

/// The table.
#[derive(Debug)]
pub struct WireStamps {
    cells: SharedWords,
}

impl WireStamps {
    /// Makes an empty table for sequence numbers 0 to `count - 1`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(path: &Path, count: usize) -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        let len = count.saturating_mul(2);
        let cells = SharedWords::map(&file, len)?;
        Ok(Self { cells })
    }

    /// Opens a table that another process made.
    ///
    /// # Errors
    /// What the file system says; `InvalidData` for an empty file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        let len = usize::try_from(file.metadata()?.len() / 8).unwrap_or(0);
        if len == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the table is empty",
            ));
        }
        Ok(Self {
            cells: SharedWords::map(&file, len)?,
        })
    }

    /// The message was sent (or should have been: the schedule's time).
    pub fn set_sent(&self, seq: u64, ns: u64) {
        self.set(seq, 0, ns);
    }

    /// The first order that the message caused is here.
    pub fn set_received(&self, seq: u64, ns: u64) {
        self.set(seq, 1, ns);
    }

    /// Number, when sent, and ns from sent to received, of each message that has both, in order.
    pub fn latencies(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        let (rows, _) = self.cells.as_chunks::<2>();
        rows.iter()
            .zip(0u64..)
            .filter_map(|([sent, received], seq)| {
                let (sent, received) = (
                    sent.load(Ordering::Acquire),
                    received.load(Ordering::Acquire),
                );
                (sent != 0 && received != 0).then(|| (seq, sent, received.saturating_sub(sent)))
            })
    }

    fn set(&self, seq: u64, column: usize, ns: u64) {
        let row = usize::try_from(seq).ok().and_then(|row| row.checked_mul(2));
        let cell = row.and_then(|row| self.cells.get(row + column));
        if let Some(cell) = cell.filter(|cell| cell.load(Ordering::Relaxed) == 0) {
            cell.store(ns, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_stamp_of_each_side_counts() {
        let path = std::env::temp_dir().join(format!("tickgate-stamps-{}", std::process::id()));
        let sender = WireStamps::create(&path, 10).unwrap();
        let exchange = WireStamps::open(&path).unwrap();
        sender.set_sent(3, 100);
        exchange.set_received(3, 150);
        exchange.set_received(3, 900);
        exchange.set_received(4, 900);
        sender.set_sent(5_000_000, 1);
        assert_eq!(sender.latencies().collect::<Vec<_>>(), [(3, 100, 50)]);
        std::fs::remove_file(path).unwrap();
    }
}
