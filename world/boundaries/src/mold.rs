//! MoldUDP64: any bytes as a downstream packet, as a re-request server's answer and as a request; and packets of any
//! messages.

use feed_handler::venue::Nasdaq;
use protocol::mold::{Kind, Packet, PacketBuilder};
use protocol::types::Seq;

use crate::input::Input;
use crate::{packets, seeds};

fn look(bytes: &[u8]) {
    let Some(packet) = Packet::decode(bytes) else {
        assert!(bytes.len() < 20);
        return;
    };
    let messages: Vec<&[u8]> = packet.blocks().collect();
    let taken: usize = messages.iter().map(|message| 2 + message.len()).sum();
    assert!(20 + taken <= bytes.len());
    let announced = match packet.kind() {
        Kind::Data(count) => usize::from(count),
        Kind::Heartbeat | Kind::EndOfSession => 0,
    };
    assert!(messages.len() <= announced);
    assert_eq!(
        packet.is_exact(),
        messages.len() == announced && 20 + taken == bytes.len()
    );
    if packet.is_exact() && packet.kind() != Kind::EndOfSession {
        let again = build(packet.header.session, packet.seq(), &messages);
        assert_eq!(again, bytes, "what is built of its messages is the packet");
    }
    packets::check_answer::<Nasdaq>(bytes, packet.is_exact(), messages.len());
}

fn build(session: [u8; 10], seq: Seq, messages: &[&[u8]]) -> Vec<u8> {
    let mut buffer = vec![0; 1 << 17];
    let mut builder = PacketBuilder::new(&mut buffer, session, seq).expect("room");
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
    let [last, far, turn] = [0; 3].map(|_: u8| input.byte());
    let session = [b'S', b'E', b'S', b'S', b'I', b'O', b'N', b'0', b'0', last];
    let seq = Seq(u64::from(far) << (far % 57));
    let messages = packets::messages(&mut input);
    let bytes = build(session, seq, &messages);
    let packet = Packet::decode(&bytes).expect("a packet");
    assert!(packet.is_exact() && packet.seq() == seq);
    assert!(packet.blocks().eq(messages.iter().copied()));
    packets::damage(bytes, &[10, 18, 19, 20, 21, usize::from(last)], turn, look);
}

/// What to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![], b"0\x01\x80\x03abc\x00\x05hello".to_vec()];
    seeds.extend(seeds::itch_packets());
    seeds
}
