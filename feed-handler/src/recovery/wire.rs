//! The network as recovery sees it: real sockets, or a test's.
//!
//! Thread:      recovery core
//! Contract:    **nothing here blocks.**

/// What the connection to a snapshot server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpEvent<'a> {
    /// It stands.
    Connected,
    /// Any part of the stream.
    Bytes(&'a [u8]),
    /// It ended, or did not come about.
    Closed,
}

/// Re-request servers over UDP, and one connection to a snapshot server over TCP.
pub trait Wire {
    /// Sends a request to a re-request server; `false`: the socket did not take it.
    fn request(&mut self, server: usize, packet: &[u8]) -> bool;

    /// Shows packets of re-request servers with the server's number, a bounded number of them; returns how many.
    fn answers(&mut self, on_packet: impl FnMut(usize, &[u8])) -> usize;

    /// Begins to connect to a snapshot server.
    fn connect(&mut self, server: usize);

    /// Ends the connection, if there is one.
    fn close(&mut self);

    /// Writes to the snapshot server: logins and heartbeats, which fit its buffer.
    fn write(&mut self, bytes: &[u8]);

    /// Shows what the connection says, a bounded amount; returns how many events.
    fn read(&mut self, on_event: impl FnMut(TcpEvent<'_>)) -> usize;
}
