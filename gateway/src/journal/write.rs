//! A batch on its way to its place in a file.
//!
//! Thread:      journal core

use std::fs::File;
use std::io;
use std::sync::Arc;

/// A write, and how far it is. Who holds it owns its bytes.
#[derive(Debug)]
pub struct Write {
    /// Where to.
    pub file: Arc<File>,
    /// What.
    pub bytes: Vec<u8>,
    /// Where in the file it begins.
    pub at: u64,
    /// Bytes of it that have been written.
    pub written: usize,
    /// Ask the device to keep it (`fdatasync`) before it is done.
    pub is_synced: bool,
}

impl Write {
    /// What is still to be written, and where.
    pub(super) fn rest(&self) -> (&[u8], u64) {
        let rest = self.bytes.get(self.written..).unwrap_or_default();
        (rest, self.at + self.written as u64)
    }
}

/// A write that is over.
#[derive(Debug)]
pub struct Done {
    /// The write.
    pub write: Write,
    /// How it went.
    pub result: io::Result<()>,
}
