//! Every decoder of messages: ITCH, DEEP+ and OUCH of both directions, of any bytes, and of bytes as long as their type
//! wants them.

use protocol::ouch::{AppendageBuffer, ClientOrderId, Inbound, Outbound};
use protocol::{deep_plus, itch};

fn itch(bytes: &[u8]) {
    let message = itch::Message::decode(bytes);
    let whole = itch::Whole::decode(bytes);
    assert_eq!(
        message.map(drop),
        whole.map(drop),
        "both decoders say the same"
    );
    let (Ok(message), Ok(whole)) = (message, whole) else {
        return;
    };
    assert_eq!(
        message.as_bytes(),
        bytes,
        "nothing is left and nothing is made up"
    );
    assert_eq!(itch::len_of(bytes[0]), Some(bytes.len()));
    assert_eq!(message.head(), whole.head());
    if let itch::Message::OrderDelete(delete) = message {
        assert_eq!(whole.order(), delete.order.get());
    }
}

fn deep_plus(bytes: &[u8]) {
    let Ok(message) = deep_plus::Message::decode(bytes) else {
        return;
    };
    let read = message.as_bytes();
    assert!(
        bytes.starts_with(read),
        "a message may grow at its end only"
    );
    assert_eq!(deep_plus::Message::decode(read), Ok(message));
    if let deep_plus::Message::AddOrder(add) = message {
        let side = add.side_of_code();
        assert!(side.is_none_or(|side| deep_plus::AddOrder::code_of_side(side) == bytes[1]));
    }
}

/// The elements of an appendage, written again, are its bytes, unless it is longer than ours may be.
fn appendage(of: protocol::ouch::Appendage<'_>) {
    let mut again = AppendageBuffer::default();
    if of.elements().all(|element| again.push(element)) {
        assert_eq!(again.as_bytes(), of.as_bytes());
    } else {
        assert!(of.as_bytes().len() > protocol::ouch::APPENDAGE_LEN_MAX);
    }
}

fn ouch(bytes: &[u8]) {
    if let Ok((message, tail)) = Inbound::decode(bytes) {
        assert!(bytes.ends_with(tail.as_bytes()));
        appendage(tail);
        if let Inbound::EnterOrder(enter) = message {
            let mut out = [0; 1024];
            let len = enter.encode(tail.as_bytes(), &mut out);
            assert!(
                len.is_none_or(
                    |len| bytes.starts_with(&out[..len]) || out[..len].starts_with(bytes)
                )
            );
            if let Some(id) = ClientOrderId::decode(&enter.client_order_id) {
                assert_eq!(ClientOrderId::decode(&id.encode()), Some(id));
            }
        }
    }
    if let Ok((_, tail)) = Outbound::decode(bytes) {
        assert!(bytes.ends_with(tail.as_bytes()));
        appendage(tail);
    }
}

/// One input.
pub(crate) fn run(data: &[u8]) {
    itch(data);
    deep_plus(data);
    ouch(data);
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    // As long as the type wants it, and a little longer or shorter.
    let choice = usize::from(*choice);
    let sized = |kinds: &[u8], len_of: fn(u8) -> Option<usize>, look: fn(&[u8])| {
        let kind = kinds[choice % kinds.len()];
        let mut bytes = vec![kind];
        bytes.extend_from_slice(rest);
        let len = len_of(kind).expect("a type's length");
        for len in [len - 1, len, len + 1] {
            bytes.resize(len, 0);
            look(&bytes);
        }
    };
    sized(itch::KINDS, itch::len_of, itch);
    sized(deep_plus::KINDS, deep_plus::len_of, deep_plus);
    for kinds in [Inbound::KINDS, Outbound::KINDS] {
        let mut bytes = vec![kinds[choice % kinds.len()]];
        bytes.extend_from_slice(rest);
        ouch(&bytes);
    }
}

/// What to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let longest = [0_u8; 300];
    (0..40)
        .map(|choice| [&[choice][..], &longest[..64 + usize::from(choice)]].concat())
        .collect()
}
