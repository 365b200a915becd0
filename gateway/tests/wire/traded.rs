//! A connection with a lane that has traded for a while, and what a test does with it from there, message by message.

#![allow(
    dead_code,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests; each file uses its part"
)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::ops::Range;
use std::time::Instant;

use super::bpf;
use super::held::LONG;
use super::near::{Heard, MESSAGE_BYTES, Near, accept, assert_answers, message};

/// Words of a lane's row: whether the kernel is sending, the number of its first byte, and behind its last, what it has
/// acknowledged; what the exchange has said, of which what it has acknowledged and its next number; the first of the counts.
pub(crate) const VERSION: usize = 16;
pub(crate) const START: usize = 17;
pub(crate) const NEXT: usize = 18;
pub(crate) const ACK: usize = 19;
pub(crate) const SAID: Range<usize> = 48..55;
pub(crate) const ACKNOWLEDGED: usize = 49;
pub(crate) const THEIRS: usize = 50;
pub(crate) const COUNTS: usize = 62;
/// Their order.
pub(crate) const RAISED: usize = 3;
pub(crate) const LOWERED: usize = 4;
pub(crate) const AGAIN: usize = 9;
pub(crate) const UNBELIEVED: usize = 12;
pub(crate) const UNACCEPTABLE: usize = 13;

pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let from = Instant::now();
    while !is_so() {
        assert!(from.elapsed() < LONG, "never: {what}");
        std::thread::yield_now();
    }
}

/// How often a program has done something.
pub(crate) fn done(port: u16, what: usize) -> u32 {
    bpf::lane(port)[COUNTS + 2 * what]
}

pub(crate) fn until_acknowledged(port: u16) {
    until("all is acknowledged", || {
        let row = bpf::lane(port);
        row[ACKNOWLEDGED] == row[NEXT]
    });
}

/// Until nobody has anything to acknowledge.
pub(crate) fn until_quiet(port: u16) {
    until_acknowledged(port);
    until("the kernel has acknowledged all", || {
        let row = bpf::lane(port);
        row[ACK] == row[THEIRS]
    });
}

/// By how much a counter has grown.
pub(crate) fn more(near: &Near, before: &BTreeMap<&'static str, u64>, name: &str) -> u64 {
    near.counts()[name] - before[name]
}

pub(crate) fn assert_more(
    near: &Near,
    before: &BTreeMap<&'static str, u64>,
    name: &str,
    count: u64,
) {
    let counts = near.counts();
    assert_eq!(counts[name] - before[name], count, "{name}: {counts:?}");
}

/// Sets what TCP does at our end.
pub(crate) fn set(what: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/ipv4/{what}"), value).expect("set");
}

pub(crate) fn heard_by(stream: &mut TcpStream, number: u64) {
    let mut bytes = [0; MESSAGE_BYTES];
    stream.read_exact(&mut bytes).expect("a message");
    assert_eq!(bytes, message(number), "message {number}");
}

pub(crate) fn answer(stream: &mut TcpStream, number: u64) {
    stream.write_all(&message(number)).expect("answered");
}

/// Messages that [`traded`] sends: the number of the next one.
pub(crate) const FIRST: u64 = 10;

/// A connection whose exchange is this test, after some messages that were answered.
pub(crate) fn traded(
    near: &mut Near,
    listener: &TcpListener,
    to: SocketAddrV4,
) -> (Heard, TcpStream) {
    let mut heard = near.connect(to);
    let mut stream = accept(listener);
    for number in 0..FIRST {
        send(near, &mut heard, number);
        heard_by(&mut stream, number);
        answer(&mut stream, number);
        until_heard(near, &mut heard, number + 1);
    }
    until_quiet(to.port());
    (heard, stream)
}

/// Sends a message, and lets the transport see that the kernel has it.
pub(crate) fn send(near: &mut Near, heard: &mut Heard, number: u64) {
    near.transport.send(&message(number));
    near.transport.poll(heard);
}

pub(crate) fn until_heard(near: &mut Near, heard: &mut Heard, count: u64) {
    let bytes = usize::try_from(count).expect("small") * MESSAGE_BYTES;
    near.until(heard, |heard| heard.bytes.len() >= bytes);
}

/// Trades on, from this message: nothing is missing, nothing doubled, and the lane is used.
pub(crate) fn goes_on(near: &mut Near, heard: &mut Heard, stream: &mut TcpStream, from: u64) {
    let before = near.counts();
    for number in from..from + 20 {
        send(near, heard, number);
        heard_by(stream, number);
        answer(stream, number);
        until_heard(near, heard, number + 1);
    }
    assert_answers(heard, from + 20);
    assert!(
        more(near, &before, "delegated_sent") > 10,
        "{before:?} {:?}",
        near.counts()
    );
    near.transport.close();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("an orderly end");
    assert_eq!(rest, [0; 0]);
}
