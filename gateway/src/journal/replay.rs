//! Plays a journal to whoever wants to hear it.

use std::io::Read;

use super::event::Event;
use super::format::Header;
use super::head::Head;
use super::reader::{ReadError, Reader};

/// Records between two looks at how far it is.
const PROGRESS_EVERY: u64 = 1 << 16;

/// Who hears journals, file after file, the oldest first.
pub trait Hearer {
    /// A file begins.
    fn begin_file(&mut self, head: &Head);
    /// A record of the file at hand.
    fn on_record(&mut self, header: &Header, event: &Event<'_>);
    /// A record of the file at hand whose payload is none of its kind, under a checksum that holds: of a later version, say.
    fn on_unreadable(&mut self, _header: &Header) {}
}

/// Plays a file to its end; `on_progress` is told how many records more there were, and the bytes so far.
///
/// # Errors
/// Why it cannot be read on: everything before has been heard.
pub fn replay(
    file: impl Read,
    hearer: &mut impl Hearer,
    mut on_progress: impl FnMut(u64, u64),
) -> Result<(), ReadError> {
    let mut reader = Reader::new(file)?;
    hearer.begin_file(reader.head());
    let mut records = 0;
    let played = loop {
        match reader.next_record() {
            Ok(Some(record)) => {
                match Event::of(&record) {
                    Ok(event) => hearer.on_record(&record.header, &event),
                    Err(_) => hearer.on_unreadable(&record.header),
                }
                records += 1;
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
        if records == PROGRESS_EVERY {
            on_progress(std::mem::take(&mut records), reader.offset());
        }
    };
    on_progress(records, reader.offset());
    played
}
