//! Several receive queues of one interface: which are asked for packets, and when.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::{Ipv4Addr, SocketAddrV4};

use feed_handler::source::PacketSource;
use feed_handler::xdp::{self, Options, Wanted, Watch, XdpSource};
use support::{Wire, own_network_with_queues, xdp_options};

const QUEUES: u32 = 4;
const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 77, 0, 1), 26_400);

fn options() -> Options {
    let mut options = xdp_options(Wire::FIRST);
    options.wanted = vec![Wanted {
        address: GROUP,
        line: 0,
    }];
    options
}

fn open(options: &Options) -> (XdpSource, Watch) {
    xdp::open(options).expect("opens").source.expect("AF_XDP")
}

/// Sends a packet and waits until its frame is in a ring, or with the kernel.
fn send(watch: &Watch) {
    let counted = || watch.program.verdicts().iter().sum::<u64>();
    let before = counted();
    Wire::FIRST.send(GROUP, b"packet");
    while counted() == before {
        std::thread::yield_now();
    }
    // Counted is not flushed yet, but soon: the same softirq does it.
    (0..100).for_each(|_| std::thread::yield_now());
}

fn wake_ups(watch: &Watch) -> Vec<u64> {
    let queues = watch.queues.iter();
    queues
        .map(|queue| queue.counters().wake_ups.get())
        .collect()
}

#[test]
fn packet_waits_on_one_of_four_busy_polled_queues_and_none_is_polled_before_it_is_shown() {
    if !own_network_with_queues(QUEUES) {
        return;
    }
    let mut options = options();
    options.socket.busy_poll_us = 20;
    let (mut source, watch) = open(&options);
    send(&watch);
    assert_eq!(source.acquire(), 1);
    let mut shown = 0;
    source.each(|_| shown += 1);
    assert_eq!((shown, wake_ups(&watch)), (1, vec![0; 4]));
    source.release();
    assert_eq!(wake_ups(&watch).iter().sum::<u64>(), 1, "one a turn");
}

#[test]
fn one_queue_is_never_empty_and_the_others_are_polled_in_their_turn() {
    if !own_network_with_queues(QUEUES) {
        return;
    }
    let mut options = options();
    options.socket.busy_poll_us = 20;
    let (mut source, watch) = open(&options);
    for _ in 0..40 {
        send(&watch);
        assert_eq!(source.acquire(), 1);
        source.release();
    }
    assert_eq!(wake_ups(&watch), [10; 4]);
}

#[test]
fn nothing_waits_one_queue_a_turn_is_polled() {
    if !own_network_with_queues(QUEUES) {
        return;
    }
    let mut options = options();
    options.socket.busy_poll_us = 20;
    let (mut source, watch) = open(&options);
    for turn in 1..=8 {
        assert_eq!(source.acquire(), 0);
        assert_eq!(wake_ups(&watch).iter().sum::<u64>(), turn);
    }
    assert_eq!(wake_ups(&watch), [2; 4]);
}

#[test]
fn feed_on_a_queue_that_is_not_served_is_told_with_the_queue_and_the_count() {
    if !own_network_with_queues(QUEUES) {
        return;
    }
    let mut options = options();
    // Each sender has a port of its own, which the pair turns into a queue.
    options.queues = vec![2];
    let (mut source, mut watch) = open(&options);
    assert_eq!(watch.unserved_queues(), []);
    let mut taken = 0;
    for _ in 0..200 {
        send(&watch);
        taken += source.acquire() as u64;
        source.release();
    }
    let unserved = watch.unserved_queues();
    let frames: u64 = unserved.iter().map(|unserved| unserved.frames).sum();
    let queues: Vec<u32> = unserved.iter().map(|unserved| unserved.queue).collect();
    assert_eq!(queues, [0, 1, 3]);
    assert!(
        taken > 0 && taken + frames == 200,
        "{taken} and {unserved:?}"
    );
    assert_eq!(watch.unserved_queues(), [], "each is told once");
}
