//! What holds for packets of numbered messages, whichever protocol numbers them.

use feed_handler::recovery::answer;
use feed_handler::venue::Venue;

use crate::input::Input;

/// Whatever is taken for an answer to a re-request is whole, and has as many numbers as messages.
pub(crate) fn check_answer<V: Venue>(bytes: &[u8], is_exact: bool, messages: usize) {
    if let Some(answered) = answer::read::<V>(bytes) {
        assert!(is_exact && answered.range.first < answered.range.end);
        assert_eq!(answered.range.end - answered.range.first, messages as u64);
    }
}

/// The rest of an input as messages.
pub(crate) fn messages<'a>(input: &mut Input<'a>) -> Vec<&'a [u8]> {
    let mut messages = Vec::new();
    while !input.0.is_empty() {
        let len = usize::from(input.byte() % 64);
        messages.push(input.slice(len));
    }
    messages
}

/// Looks at a packet again with a byte more wrong each time, and then cut short.
pub(crate) fn damage(mut bytes: Vec<u8>, places: &[usize], turn: u8, look: impl Fn(&[u8])) {
    let len = bytes.len();
    for at in places {
        if let Some(byte) = bytes.get_mut(*at) {
            *byte ^= turn;
            look(&bytes);
        }
    }
    bytes.truncate(len - usize::from(turn).min(len));
    look(&bytes);
}
