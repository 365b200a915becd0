//! Every decoder of messages: ITCH, DEEP+ and OUCH of both directions, of any bytes, and of bytes as long as their type
//! wants them, OUCH with appendages that are nearly right.

use protocol::ouch::{Appendage, AppendageBuffer, ClientOrderId, Inbound, Outbound};
use protocol::types::DecodeError;
use protocol::{deep_plus, itch};

use crate::input::Input;

/// Reads a message of one direction, of which only the appendage matters.
type Decode = fn(&[u8]) -> Result<Appendage<'_>, DecodeError>;
/// Room for some elements of an appendage.
const ELEMENTS_BYTES: usize = 64;
/// Tags below this are used: all that are known, and some that are not.
const TAGS: u8 = 40;

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
fn appendage(of: Appendage<'_>) {
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

/// Bytes of a tag's value, where the tag is known: written down here a second time.
fn value_len(tag: u8) -> Option<usize> {
    match tag {
        1 | 9 | 23 => Some(8),
        2 | 3 | 5 | 7 | 11 | 13 | 14 | 15 | 22 | 26 => Some(4),
        24 | 30 => Some(2),
        4 | 6 | 10 | 12 | 16 | 17 | 18 | 25 | 27 | 28 | 29 => Some(1),
        _ => None,
    }
}

/// Whether elements end where their lengths say, each known one with its tag's own.
fn is_whole(mut bytes: &[u8]) -> bool {
    while let Some((&len, rest)) = bytes.split_first() {
        let Some((element, behind)) = rest.split_at_checked(usize::from(len)) else {
            return false;
        };
        let Some((&tag, value)) = element.split_first() else {
            return false;
        };
        if value_len(tag).is_some_and(|len| len != value.len()) {
            return false;
        }
        bytes = behind;
    }
    true
}

/// Elements of which about one in eight says another length than it has.
fn elements(input: &mut Input<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    while !input.0.is_empty() && out.len() < ELEMENTS_BYTES {
        let (tag, twist) = (input.byte() % TAGS, input.byte());
        let len = value_len(tag).map_or(twist >> 4, |len| len as u8);
        out.push(match twist & 15 {
            14 => len,
            15 => len + 2,
            _ => len + 1,
        });
        out.push(tag);
        out.extend(input.bytes(usize::from(len)));
    }
    out
}

/// A message of this type is taken with these elements if they are whole, and only then.
fn with_elements(kind: u8, elements: &[u8], decode: Decode) {
    let least = match decode(&[kind]) {
        Err(DecodeError::WrongLength { expected, .. }) => expected,
        _ => 1,
    };
    let mut bytes = vec![kind];
    bytes.resize(least + 2, 0);
    // Where the appendage's length must be there, the least is with it.
    let is_optional = decode(&bytes).is_ok();
    bytes.truncate(if is_optional { least } else { least - 2 });
    let len = u16::try_from(elements.len()).expect("short");
    bytes.extend(len.to_be_bytes());
    bytes.extend(elements);
    let read = decode(&bytes).ok().map(|read| read.as_bytes());
    assert_eq!(read, is_whole(elements).then_some(elements));
    ouch(&bytes);
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
    let elements = elements(&mut Input(rest));
    let kind = |kinds: &[u8]| kinds[choice % kinds.len()];
    with_elements(kind(Inbound::KINDS), &elements, |bytes| {
        Inbound::decode(bytes).map(|(_, tail)| tail)
    });
    with_elements(kind(Outbound::KINDS), &elements, |bytes| {
        Outbound::decode(bytes).map(|(_, tail)| tail)
    });
}

/// What to begin with: read as elements, each has eight tags in a row.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let seed = |choice: u8| {
        let mut seed = vec![choice];
        for tag in (choice..choice + 8).map(|tag| tag % TAGS) {
            seed.extend([tag, 0]);
            seed.resize(seed.len() + value_len(tag).unwrap_or(0), 0);
        }
        seed.resize(seed.len().max(65 + usize::from(choice)), 0);
        seed
    };
    (0..TAGS).map(seed).collect()
}
