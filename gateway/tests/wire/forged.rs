//! Packets in the exchange's name that the exchange has not sent.

#![allow(
    dead_code,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests; each file uses its part"
)]

use socket2::Socket;

use super::hander::packet_socket;
use super::traded::{ACK, NEXT};
use super::{FAR, Far};

pub(crate) const ACK_FLAG: u8 = 16;
pub(crate) const SYN_FLAG: u8 = 2;

/// Somebody at the far end who can put any frame on the wire.
pub(crate) struct Forger(Socket);

impl Forger {
    pub(crate) fn at(far: &Far) -> Self {
        Self(far.run(|| packet_socket(FAR)))
    }

    /// Sends it; `false`: the link has no room.
    pub(crate) fn sends(&self, packet: &Forged) -> bool {
        self.0.send(&packet.frame()).is_ok()
    }
}

/// A packet without bytes, from the exchange to us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forged {
    /// To us, from the exchange.
    ethernet: [[u8; 6]; 2],
    /// From the exchange, to us.
    addresses: [[u8; 4]; 2],
    ports: [[u8; 2]; 2],
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    /// Bits of its checksum that are wrong.
    pub(crate) turned: u16,
}

impl Forged {
    /// By a lane's row: right in everything. It acknowledges what the kernel has sent.
    pub(crate) fn of(row: &[u32]) -> Self {
        let bytes: Vec<u8> = row.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let two = |at: usize| [bytes[at], bytes[at + 1]];
        let four = |at: usize| [0, 1, 2, 3].map(|more| bytes[at + more]);
        // What the kernel sent last begins there: to the exchange, from us.
        let six = |at: usize| [0, 1, 2, 3, 4, 5].map(|more| bytes[128 + at + more]);
        Self {
            ethernet: [six(6), six(0)],
            addresses: [four(8), four(4)],
            ports: [two(14), two(12)],
            seq: row[ACK],
            ack: row[NEXT],
            flags: ACK_FLAG,
            turned: 0,
        }
    }

    /// Ethernet, IPv4 and TCP without options.
    fn frame(&self) -> Vec<u8> {
        let mut ip = vec![0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0];
        ip.extend(self.addresses.concat());
        let sum = checksum(&ip).to_be_bytes();
        ip[10..12].copy_from_slice(&sum);
        let mut tcp = self.ports.concat();
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        tcp.extend([0x50, self.flags, 1, 0, 0, 0, 0, 0]);
        let pseudo = [&self.addresses.concat()[..], &[0, 6, 0, 20], &tcp].concat();
        let sum = (checksum(&pseudo) ^ self.turned).to_be_bytes();
        tcp[16..18].copy_from_slice(&sum);
        [&self.ethernet.concat()[..], &[8, 0], &ip, &tcp].concat()
    }
}

/// RFC 1071, of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2);
    let sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    let folded = (sum & 0xFFFF) + (sum >> 16);
    let folded = (folded & 0xFFFF) + (folded >> 16);
    !u16::try_from(folded).expect("it was folded")
}
