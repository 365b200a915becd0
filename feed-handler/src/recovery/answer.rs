//! What a re-request server's packet brings, read to its last message before any of it is believed.
//!
//! Path:        wire -> here -> requester, answers
//! Thread:      recovery core
//! Invariants:  an answer is a packet like those of the lines, and the feed core reads it as it reads them. It is no gap
//!              there: what would be one is refused here, while another server can still be asked.
//! When wrong:  a packet is no answer if it carries no message, if its messages are not as many or not as long as it
//!              says, or if one of them has no type or not its type's length. One of a type that the venue did not have
//!              when this was written is as good as on the lines.

use protocol::types::DecodeError;

use super::request::{Range, SessionKey};
use crate::venue::{Content, Packet, Venue};

/// What an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Of which session.
    pub session: SessionKey,
    /// Which numbers; one at least.
    pub range: Range,
}

/// Reads an answer.
#[must_use]
pub fn read<V: Venue>(payload: &[u8]) -> Option<Answered> {
    let packet = V::packet(payload)?;
    let Content::Data(count) = packet.content() else {
        return None;
    };
    let is_readable = packet.is_exact() && packet.messages().all(is_message::<V>);
    let first = packet.seq();
    let end = first.checked_add(u64::from(count))?;
    is_readable.then(|| Answered {
        session: V::key_of(packet.session()),
        range: Range { first, end },
    })
}

/// Whether the lines could bring it without making a gap of it.
fn is_message<V: Venue>(bytes: &[u8]) -> bool {
    match V::check(bytes) {
        Ok(()) | Err(DecodeError::UnknownType(_)) => true,
        Err(DecodeError::Empty | DecodeError::WrongLength { .. } | DecodeError::BadAppendage) => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::iex_tp::{self, PROTOCOL_DEEP_PLUS, PacketBuilder, Place};
    use protocol::types::{Nanos, Seq};

    use super::super::request::iex_tp_key;
    use super::*;
    use crate::venue::{Iex, Nasdaq};

    const CHANNEL: iex_tp::Session = iex_tp::Session {
        channel: 1,
        session: 0x4e1c_a000,
    };

    #[test]
    fn answer_is_what_it_holds_and_a_heartbeat_is_none() {
        let place = Place {
            session: CHANNEL,
            protocol: PROTOCOL_DEEP_PLUS,
            seq: Seq(7),
            offset: 90,
            sent: Nanos(1),
        };
        let mut buffer = [0; 100];
        let mut segment = PacketBuilder::new(&mut buffer, place).unwrap();
        // Of no type that there is.
        assert!(segment.push(b"zb") && segment.push(b"z"));
        let bytes = segment.finish().to_vec();
        let expected = Answered {
            session: iex_tp_key(CHANNEL, PROTOCOL_DEEP_PLUS),
            range: Range { first: 7, end: 9 },
        };
        assert_eq!(read::<Iex>(&bytes), Some(expected));
        for len in 0..bytes.len() {
            assert_eq!(read::<Iex>(&bytes[..len]), None, "{len}");
        }
        for (at, wrong) in [(2, 4), (12, 6), (12, 8), (14, 1), (14, 3), (40, 3), (44, 0)] {
            let mut bytes = bytes.clone();
            bytes[at] = wrong;
            assert_eq!(read::<Iex>(&bytes), None, "{at}");
        }
        let heartbeat = PacketBuilder::new(&mut buffer, place).unwrap().finish();
        assert_eq!(read::<Iex>(heartbeat), None);
        assert_eq!(read::<Nasdaq>(&bytes[..19]), None);
    }
}
