//! Where packets come from: AF_XDP sockets, kernel sockets, or a test.
//!
//! Contract:    **`acquire`, then `on_seen`, `each` and `release`: what `each` shows belongs to the source
//!              again after `release`.**

/// One packet of a line.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The UDP payload.
    pub payload: &'a [u8],
    /// The frame around it as it arrived, from the Ethernet header on; empty where the source had the payload
    /// alone, as kernel sockets have.
    pub frame: &'a [u8],
    /// When the wire had it, on the monotonic clock: the XDP program's or the kernel's stamp; 0 when
    /// nobody said.
    pub wire_ns: u64,
    /// Which of the feed's lines brought it, in the order of the configuration.
    pub line: u8,
}

/// A source of packets.
pub trait PacketSource {
    /// Takes what has arrived, a bounded number, and says how many packets it is.
    fn acquire(&mut self) -> usize;

    /// The packets taken were seen at this time. For a source that keeps what it shows: others need no time.
    #[inline]
    fn on_seen(&mut self, seen_ns: u64) {
        let _ = seen_ns;
    }

    /// Shows the packets taken.
    fn each(&mut self, on_packet: impl FnMut(Packet<'_>));

    /// Gives the packets' memory back.
    fn release(&mut self);

    /// Reads what the kernel counts. Slow; called from a housekeeping turn.
    fn housekeep(&mut self);
}
