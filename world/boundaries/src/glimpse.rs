//! The client's end of a snapshot: any bytes after the login, and packets that are nearly right, whole and in pieces. What
//! is heard does not hang on the pieces, and after the end nothing is heard.

use feed_handler::recovery::glimpse::{Glimpse, GlimpseOptions, Heard};
use protocol::glimpse::EndOfSnapshot;
use protocol::soup::{LoginAccepted, Packet, kind};
use protocol::types::Seq;

use crate::input::Input;
use crate::seeds;

/// What is heard of a stream that comes in such pieces, as text.
fn heard(stream: &[u8], mut next_len: impl FnMut() -> usize) -> Vec<String> {
    let mut glimpse = Glimpse::new(GlimpseOptions {
        username: "user".to_owned(),
        password: "password".to_owned(),
        silence_ns: 5_000_000_000,
        timeout_ns: 30_000_000_000,
    });
    let mut out = Vec::new();
    glimpse.on_connected(1, &mut out);
    assert_eq!(out.len(), 49, "a login");
    let (mut all, mut rest) = (Vec::new(), stream);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(next_len().clamp(1, rest.len()));
        rest = after;
        glimpse.on_bytes(piece, 2, |heard| {
            let is_last = all
                .last()
                .is_some_and(|it: &String| !it.starts_with("Message"));
            assert!(!is_last, "nothing is heard after the end");
            all.push(format!("{heard:?}"));
            if let Heard::End(_) | Heard::Failed(_) = heard {
                all.push("over".to_owned());
            }
        });
    }
    let is_over = all.pop_if(|it| it == "over").is_some();
    assert_eq!(glimpse.is_over(), is_over);
    assert_eq!(glimpse.on_timeout(u64::MAX, &mut out).is_none(), is_over);
    all
}

fn push(stream: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    let packet = Packet { kind, payload };
    let start = stream.len();
    stream.resize(start + packet.len(), 0);
    packet.encode(&mut stream[start..]).expect("room");
}

/// A stream of packets that are nearly right.
fn nearly(input: &mut Input<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    while !input.0.is_empty() {
        let [what, len] = [0; 2].map(|_: u8| input.byte());
        match what % 8 {
            0 => {
                let accepted = LoginAccepted::new("S", Seq(u64::from(len)));
                push(
                    &mut stream,
                    kind::LOGIN_ACCEPTED,
                    zerocopy::IntoBytes::as_bytes(&accepted),
                );
            }
            1 => {
                let mut end = EndOfSnapshot::new(Seq(u64::from(len)));
                end.seq[usize::from(what >> 4)] ^= what & 8;
                push(
                    &mut stream,
                    kind::SEQUENCED,
                    zerocopy::IntoBytes::as_bytes(&end),
                );
            }
            2 => push(
                &mut stream,
                [kind::SERVER_HEARTBEAT, kind::DEBUG, kind::LOGIN_REJECTED][usize::from(len % 3)],
                b"A",
            ),
            3 => stream.extend_from_slice(input.slice(usize::from(len % 8))),
            4 if len == 0 => push(&mut stream, kind::END_OF_SESSION, &[]),
            _ => push(
                &mut stream,
                kind::SEQUENCED,
                input.slice(usize::from(len % 64)),
            ),
        }
    }
    stream
}

/// One input.
pub(crate) fn run(data: &[u8]) {
    let Some((seed, data)) = data.split_first() else {
        return;
    };
    let mut random = fastrand::Rng::with_seed(u64::from(*seed));
    for stream in [data.to_vec(), nearly(&mut Input(data))] {
        let whole = heard(&stream, || usize::MAX);
        assert_eq!(heard(&stream, || random.usize(1..=40)), whole);
        assert_eq!(heard(&stream, || 1), whole);
    }
}

/// What to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut stream = vec![7];
    let accepted = LoginAccepted::new("S", Seq(1));
    push(
        &mut stream,
        kind::LOGIN_ACCEPTED,
        zerocopy::IntoBytes::as_bytes(&accepted),
    );
    for message in seeds::itch_messages().iter().take(6) {
        push(&mut stream, kind::SEQUENCED, message);
    }
    let end = EndOfSnapshot::new(Seq(8));
    push(
        &mut stream,
        kind::SEQUENCED,
        zerocopy::IntoBytes::as_bytes(&end),
    );
    vec![vec![1, 0, 1, 5, 3, b'a', b'b', b'c', 1, 9], stream]
}
