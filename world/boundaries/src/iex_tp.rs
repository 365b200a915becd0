//! IEX-TP: any bytes as a segment, as an answer to a gap-fill request, and as such a request; and segments of any
//! messages.

use feed_handler::venue::Iex;
use protocol::iex_tp::{
    GapFillRequest, Kind, PROTOCOL_DEEP_PLUS, Packet, PacketBuilder, Place, Session,
};
use protocol::types::{Nanos, Seq};

use crate::input::Input;
use crate::{packets, seeds};

/// Bytes of the header.
const HEADER_BYTES: usize = 40;

fn look(bytes: &[u8]) {
    if let Some((request, ranges)) = GapFillRequest::decode(bytes) {
        assert_eq!(usize::try_from(request.ranges.get()), Ok(ranges.len()));
        let numbers: Vec<u64> = ranges
            .iter()
            .flat_map(|it| [it.first.get().0, it.last.get().0])
            .collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
    let Some(packet) = Packet::decode(bytes) else {
        assert!(bytes.len() < HEADER_BYTES || bytes[0] != protocol::iex_tp::VERSION);
        return;
    };
    let messages: Vec<&[u8]> = packet.blocks().collect();
    let taken: usize = messages.iter().map(|message| 2 + message.len()).sum();
    assert!(HEADER_BYTES + taken <= bytes.len());
    let announced = match packet.kind() {
        Kind::Data(count) => usize::from(count),
        Kind::Heartbeat => 0,
    };
    assert!(messages.len() <= announced);
    if packet.is_exact() {
        assert_eq!(messages.len(), announced);
        assert_eq!(taken, usize::from(packet.header.payload_len.get()));
        let place = Place {
            session: packet.session(),
            protocol: packet.header.protocol.get(),
            seq: packet.seq(),
            offset: packet.header.offset.get(),
            sent: packet.header.sent.get(),
        };
        let mut again = build(place, &messages);
        again[1] = bytes[1];
        assert_eq!(
            again,
            bytes[..HEADER_BYTES + taken],
            "what is built of its messages is the segment"
        );
    }
    packets::check_answer::<Iex>(bytes, packet.is_exact(), messages.len());
}

fn build(place: Place, messages: &[&[u8]]) -> Vec<u8> {
    let mut buffer = vec![0; 1 << 17];
    let mut builder = PacketBuilder::new(&mut buffer, place).expect("room");
    for message in messages {
        if !builder.push(message) {
            break;
        }
    }
    builder.finish().to_vec()
}

/// One input.
pub(crate) fn run(data: &[u8]) {
    look(data);
    let mut input = Input(data);
    let [session, far, turn] = [0; 3].map(|_: u8| input.byte());
    let place = Place {
        session: Session {
            channel: 1,
            session: u32::from(session),
        },
        protocol: PROTOCOL_DEEP_PLUS,
        seq: Seq(u64::from(far) << (far % 57)),
        offset: u64::from(turn),
        sent: Nanos(1),
    };
    let messages = packets::messages(&mut input);
    let bytes = build(place, &messages);
    let packet = Packet::decode(&bytes).expect("a segment");
    assert!(packet.is_exact() && packet.seq() == place.seq && packet.session() == place.session);
    assert!(packet.blocks().eq(messages.iter().copied()));
    packets::damage(
        bytes,
        &[0, 12, 13, 14, 15, 40, 41, usize::from(session)],
        turn,
        look,
    );
}

/// What to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut request = GapFillRequest::new(
        Session {
            channel: 1,
            session: 7,
        },
        PROTOCOL_DEEP_PLUS,
        1,
    );
    request.ranges.set(1);
    let mut whole = zerocopy::IntoBytes::as_bytes(&request).to_vec();
    whole.extend_from_slice(&[3_u64.to_le_bytes(), 9_u64.to_le_bytes()].concat());
    let mut seeds = vec![vec![], b"\x07\x01\x80\x03abc\x00\x05hello".to_vec(), whole];
    seeds.extend(seeds::iex_segments());
    seeds
}
