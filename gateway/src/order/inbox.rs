//! Cuts a SoupBinTCP byte stream into packets, wherever the network cut it.
//!
//! Thread:      order core, hot
//! Contract:    **call `next` until it gives nothing; what it gave is over with the next call.**
//! Invariants:  packets are read where they lie; only one that is not whole yet is kept.
//! Spec:        SoupBinTCP 3.00 section 2.

use protocol::soup::{self, OutOfStep, Packet};

/// The longest packet that its length allows: more than one is never put together.
const INBOX_BYTES: usize = soup::PAYLOAD_LEN_MAX + soup::HEADER_LEN;

/// The beginning of a packet.
#[derive(Debug)]
pub struct Inbox {
    kept: Box<[u8]>,
    len: usize,
    /// What is kept is whole and has been given out.
    is_spent: bool,
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Inbox {
    /// Nothing has come.
    #[must_use]
    pub fn new() -> Self {
        Self {
            kept: vec![0; INBOX_BYTES].into_boxed_slice(),
            len: 0,
            is_spent: false,
        }
    }

    /// Another stream begins.
    pub fn clear(&mut self) {
        (self.len, self.is_spent) = (0, false);
    }

    /// The next packet; takes its bytes from `bytes`. `None`: they are used up.
    ///
    /// # Errors
    /// The stream makes no sense.
    #[inline]
    pub fn next<'a, 'b: 'a>(
        &'a mut self,
        bytes: &mut &'b [u8],
    ) -> Result<Option<Packet<'a>>, OutOfStep> {
        if self.len > 0 {
            return self.complete(bytes);
        }
        match Packet::decode(bytes)? {
            Some((packet, after)) => {
                *bytes = after;
                Ok(Some(packet))
            }
            None => {
                self.keep(std::mem::take(bytes));
                Ok(None)
            }
        }
    }

    /// Takes what the packet that is kept lacks.
    #[cold]
    fn complete<'a, 'b: 'a>(
        &'a mut self,
        bytes: &mut &'b [u8],
    ) -> Result<Option<Packet<'a>>, OutOfStep> {
        if self.is_spent {
            self.clear();
            return self.next(bytes);
        }
        // The length may be split itself, so what is lacking is known in two steps.
        while let Some(lacks) = soup::lacking(self.kept.get(..self.len).unwrap_or_default()) {
            if bytes.is_empty() {
                return Ok(None);
            }
            let (now, later) = bytes.split_at(lacks.min(bytes.len()));
            self.keep(now);
            *bytes = later;
        }
        self.is_spent = true;
        let whole = Packet::decode(self.kept.get(..self.len).unwrap_or_default())?;
        debug_assert!(whole.is_some(), "a packet that lacks nothing is whole");
        Ok(whole.map(|(packet, _)| packet))
    }

    /// Puts bytes of a packet that is not whole behind those that are here.
    fn keep(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        let room = self.kept.get_mut(self.len..end);
        debug_assert!(room.is_some(), "no packet is longer than the inbox");
        if let Some(room) = room {
            room.copy_from_slice(bytes);
            self.len = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The packets that these pieces make: kind and payload.
    fn packets(inbox: &mut Inbox, mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut out = Vec::new();
        while let Some(packet) = inbox.next(&mut bytes).unwrap() {
            out.push((packet.kind, packet.payload.to_vec()));
        }
        assert!(bytes.is_empty(), "everything was taken");
        out
    }

    #[test]
    fn packets_cut_anywhere_come_out_whole() {
        let mut random = fastrand::Rng::with_seed(1);
        let stream = b"\0\x04Sabc\0\x02+d\0\x01H\0\x03Sde\0\x01S";
        let whole = [
            (b'S', b"abc".to_vec()),
            (b'+', b"d".to_vec()),
            (b'H', Vec::new()),
            (b'S', b"de".to_vec()),
            (b'S', Vec::new()),
        ];
        for longest in 1..=stream.len() {
            for _ in 0..100 {
                let (mut inbox, mut out, mut rest) = (Inbox::new(), Vec::new(), &stream[..]);
                while !rest.is_empty() {
                    let (now, later) = rest.split_at(random.usize(1..=longest).min(rest.len()));
                    out.extend(packets(&mut inbox, now));
                    rest = later;
                }
                assert_eq!(out, whole);
            }
        }
    }

    #[test]
    fn longest_packet_comes_out_whole() {
        let mut inbox = Inbox::new();
        let stream = [
            &b"\xFF\xFFS"[..],
            &[b'x'; soup::PAYLOAD_LEN_MAX],
            b"\0\x02Sy",
        ]
        .concat();
        let pieces = stream.chunks(1_000);
        let lens: Vec<usize> = pieces
            .flat_map(|bytes| packets(&mut inbox, bytes))
            .map(|(_, payload)| payload.len())
            .collect();
        assert_eq!(lens, [soup::PAYLOAD_LEN_MAX, 1]);
    }

    #[test]
    fn length_of_nothing_is_out_of_step_whole_or_in_pieces() {
        assert_eq!(Inbox::new().next(&mut &b"\0\0"[..]), Err(OutOfStep));
        let mut inbox = Inbox::new();
        assert_eq!(packets(&mut inbox, b"\0"), []);
        assert_eq!(inbox.next(&mut &b"\0S"[..]), Err(OutOfStep));
    }
}
