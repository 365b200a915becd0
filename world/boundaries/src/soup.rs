//! SoupBinTCP's framing and logins: any bytes, in pieces of any size, come out as they do in one piece; what is written
//! is read. What sessions of both roles make of packets is `answers` (the client's) and `session` (the server's).

use gateway::order::inbox::Inbox;
use protocol::soup::{LoginAccepted, LoginReject, LoginRequest, OutOfStep, Packet, lacking};

use crate::input::Input;

/// The packets of a stream, and whether it stays in step.
fn whole(mut stream: &[u8]) -> (Vec<(u8, Vec<u8>)>, bool) {
    let mut packets = Vec::new();
    loop {
        match Packet::decode(stream) {
            Ok(Some((packet, rest))) => {
                let mut again = vec![0; packet.len()];
                assert_eq!(packet.encode(&mut again), Some(again.len()));
                assert!(stream.starts_with(&again));
                assert_eq!(stream.len(), again.len() + rest.len());
                assert_eq!(lacking(&again), None);
                if let Some((request, _)) = LoginRequest::decode(packet.payload) {
                    let _ = protocol::ascii::number(&request.seq);
                }
                if let Some(accepted) = LoginAccepted::decode(packet.payload) {
                    let _ = (accepted.session_name(), accepted.next_seq());
                }
                let _ = LoginReject::decode(packet.payload);
                packets.push((packet.kind, packet.payload.to_vec()));
                stream = rest;
            }
            Ok(None) => {
                assert!(lacking(stream).is_some() || stream.is_empty());
                return (packets, true);
            }
            Err(OutOfStep) => return (packets, false),
        }
    }
}

/// The same through the inbox of the gateway's order entry, in pieces.
fn pieces(mut stream: &[u8], mut next_len: impl FnMut() -> usize) -> (Vec<(u8, Vec<u8>)>, bool) {
    let (mut inbox, mut packets) = (Inbox::new(), Vec::new());
    while !stream.is_empty() {
        let (mut piece, rest) = stream.split_at(next_len().clamp(1, stream.len()));
        stream = rest;
        loop {
            match inbox.next(&mut piece) {
                Ok(Some(packet)) => packets.push((packet.kind, packet.payload.to_vec())),
                Ok(None) => break,
                Err(OutOfStep) => return (packets, false),
            }
        }
        assert!(piece.is_empty(), "all that came is taken");
    }
    (packets, true)
}

/// One input.
pub(crate) fn run(data: &[u8]) {
    let Some((seed, stream)) = data.split_first() else {
        return;
    };
    let mut random = fastrand::Rng::with_seed(u64::from(*seed));
    let expected = whole(stream);
    assert_eq!(pieces(stream, || random.usize(1..=16)), expected);
    assert_eq!(pieces(stream, || 1), expected);
    // Packets of lengths that fit.
    let mut input = Input(stream);
    let (mut written, mut said) = (Vec::new(), Vec::new());
    while !input.0.is_empty() {
        let (kind, len) = (input.byte(), usize::from(input.byte()));
        let payload = input.slice(len);
        let start = written.len();
        let packet = Packet { kind, payload };
        written.resize(start + packet.len(), 0);
        packet.encode(&mut written[start..]).expect("room");
        said.push((kind, payload.to_vec()));
    }
    assert_eq!(pieces(&written, || random.usize(1..=300)), (said, true));
}

/// What to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let login = LoginRequest::new("user", "password", "", protocol::types::Seq(1));
    let login = zerocopy::IntoBytes::as_bytes(&login);
    let len = u16::try_from(login.len() + 1).expect("short").to_be_bytes();
    vec![
        b"\x01\0\x01H\0\x01R\0\x03Sab\0\x01Z".to_vec(),
        [b"\x02", &len[..], b"L", login].concat(),
        b"\x03\0\x1FA SESSION00                   1\0\x02JA".to_vec(),
        b"\x04\0\0".to_vec(),
    ]
}
