//! The byte stream to an exchange, as order entry sees it: io_uring on a socket, plain system calls, or a test.

mod provided;
pub mod uring;
pub mod write;

use std::io;

/// Bytes of the exchange that one `poll` tells at most: about 780 cancel answers, so that a burst of them
/// does not make a turn long, and the rings behind have room for what one turn brings.
pub const HEARD_BYTES_MAX: usize = 16 * 1024;

/// What happened on the stream.
#[derive(Debug)]
pub enum TransportEvent<'a> {
    /// The connection stands.
    Connected,
    /// Bytes arrived.
    Bytes(&'a [u8]),
    /// The connection is gone, or never came about: the error number, 0 for an orderly end.
    Closed(i32),
}

/// A byte stream that never blocks.
pub trait Transport {
    /// Prepares on the thread that will use it.
    ///
    /// # Errors
    /// What the kernel refuses; the process cannot trade then.
    fn start(&mut self) -> io::Result<()>;

    /// Begins to connect; `Connected` or `Closed` follows. A connection that stands is closed first.
    fn connect(&mut self);

    /// Gives the connection up; nothing of it is heard any more.
    fn close(&mut self);

    /// Room for bytes to be sent.
    fn room(&mut self) -> &mut [u8];

    /// The first `len` bytes of the room have been written.
    fn commit(&mut self, len: usize);

    /// Hands everything committed to the kernel, in one piece.
    fn flush(&mut self);

    /// Tells what has happened, a bounded number of things with at most [`HEARD_BYTES_MAX`] bytes;
    /// returns how many.
    fn poll(&mut self, on: impl FnMut(TransportEvent<'_>)) -> usize;
}
