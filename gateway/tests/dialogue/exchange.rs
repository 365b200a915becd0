//! What an exchange says: OUCH 5.0 revision 1.04 and SoupBinTCP 3.00, from their tables of offsets.

/// Accepts a login: the session's name, and the number of the next sequenced message.
pub(crate) fn login_accepted(next: u64) -> Vec<u8> {
    soup(b'A', format!("        S1{next:>20}").as_bytes())
}

/// A SoupBinTCP packet.
pub(crate) fn soup(kind: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len() + 1).unwrap();
    [&len.to_be_bytes()[..], &[kind], payload].concat()
}

/// A message of this length, zero but for its type and what is placed.
fn message(kind: u8, len: usize, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; len];
    bytes[0] = kind;
    for (at, field) in fields {
        bytes[*at..*at + field.len()].copy_from_slice(field);
    }
    bytes
}

pub(crate) fn accepted(number: u32, side: u8, qty: u32, symbol: &[u8; 8], price: u64) -> Vec<u8> {
    message(
        b'A',
        64,
        &[
            (9, &number.to_be_bytes()),
            (13, &[side]),
            (14, &qty.to_be_bytes()),
            (18, symbol),
            (26, &price.to_be_bytes()),
            (47, b"L"),
        ],
    )
}

pub(crate) fn replaced(original: u32, number: u32, qty: u32, price: u64) -> Vec<u8> {
    message(
        b'U',
        68,
        &[
            (9, &original.to_be_bytes()),
            (13, &number.to_be_bytes()),
            (17, b"B"),
            (18, &qty.to_be_bytes()),
            (22, b"ALC     "),
            (30, &price.to_be_bytes()),
            (51, b"L"),
        ],
    )
}

pub(crate) fn executed(number: u32, qty: u32, match_number: u64) -> Vec<u8> {
    message(
        b'E',
        36,
        &[
            (9, &number.to_be_bytes()),
            (13, &qty.to_be_bytes()),
            (17, &1_000_000u64.to_be_bytes()),
            (25, b"R"),
            (26, &match_number.to_be_bytes()),
        ],
    )
}

pub(crate) fn canceled(number: u32, qty: u32) -> Vec<u8> {
    let (number, qty) = (number.to_be_bytes(), qty.to_be_bytes());
    message(b'C', 18, &[(9, &number), (13, &qty), (17, b"U")])
}

pub(crate) fn rejected(number: u32) -> Vec<u8> {
    message(b'J', 29, &[(9, &number.to_be_bytes()), (13, &[0, 0x15])])
}

pub(crate) fn cancel_pending(number: u32) -> Vec<u8> {
    message(b'P', 13, &[(9, &number.to_be_bytes())])
}

pub(crate) fn cancel_reject(number: u32) -> Vec<u8> {
    message(b'I', 13, &[(9, &number.to_be_bytes())])
}

pub(crate) fn modified(number: u32, qty: u32) -> Vec<u8> {
    let (number, qty) = (number.to_be_bytes(), qty.to_be_bytes());
    message(b'M', 18, &[(9, &number), (13, b"B"), (14, &qty)])
}

pub(crate) fn broken(number: u32, match_number: u64) -> Vec<u8> {
    let (number, match_number) = (number.to_be_bytes(), match_number.to_be_bytes());
    message(b'B', 36, &[(9, &number), (13, &match_number), (21, b"S")])
}

pub(crate) fn next_number(number: u32) -> Vec<u8> {
    message(b'Q', 13, &[(9, &number.to_be_bytes())])
}

/// A message with nothing in it but its type.
pub(crate) fn empty(kind: u8, len: usize) -> Vec<u8> {
    message(kind, len, &[])
}

/// A message that says nothing of an order but its number.
pub(crate) fn about(kind: u8, len: usize, number: u32) -> Vec<u8> {
    message(kind, len, &[(9, &number.to_be_bytes())])
}

pub(crate) fn self_match(number: u32, qty: u32) -> Vec<u8> {
    let (number, qty) = (number.to_be_bytes(), qty.to_be_bytes());
    message(b'D', 32, &[(9, &number), (13, &qty), (17, b"Q")])
}

pub(crate) fn priority(number: u32, price: u64) -> Vec<u8> {
    let (number, price) = (number.to_be_bytes(), price.to_be_bytes());
    message(b'T', 30, &[(9, &number), (13, &price), (21, b"Y")])
}

/// The same acceptance or replace, of an order that is dead already.
pub(crate) fn dead(mut message: Vec<u8>) -> Vec<u8> {
    let state = if message[0] == b'A' { 47 } else { 51 };
    message[state] = b'D';
    message
}
