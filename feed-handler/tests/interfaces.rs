//! Several feeds on one interface: one program, and each frame goes to the feed that wants it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod support;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use feed_handler::source::PacketSource;
use feed_handler::udp::{UdpCounters, UdpLine, UdpOptions, UdpSource};
use feed_handler::xdp::nic::{self, Attached};
use feed_handler::xdp::{
    Interfaces, Mode, OpenError, Options, Rung, Trial, Wanted, Watch, XdpSource,
};
use support::{Wire, own_network, own_network_with_queues, xdp_options};

const X: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 77, 0, 1), 26_400);
const Y: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 77, 0, 2), 26_400);

fn feed(address: SocketAddrV4, queues: &[u32]) -> Options {
    let mut options = xdp_options(Wire::FIRST);
    options.wanted = vec![Wanted { address, line: 0 }];
    options.queues = queues.to_vec();
    options
}

struct Feed {
    source: XdpSource,
    watch: Watch,
}

impl Feed {
    fn open(interfaces: &mut Interfaces, options: &Options) -> Self {
        let opened = interfaces.open(options).expect("opens");
        let (source, watch) = opened.source.expect("AF_XDP");
        Self { source, watch }
    }

    /// Payloads that have arrived.
    fn hear(&mut self) -> Vec<Vec<u8>> {
        hear(&mut self.source)
    }

    fn count(&self, name: &str) -> u64 {
        let counts = self.watch.counts();
        counts.iter().filter(|c| c.0 == name).map(|c| c.2).sum()
    }
}

fn hear(source: &mut impl PacketSource) -> Vec<Vec<u8>> {
    let mut heard = Vec::new();
    source.acquire();
    source.each(|packet| heard.push(packet.payload.to_vec()));
    source.release();
    heard
}

fn both(x: &Options, y: &Options) -> [Feed; 2] {
    let mut interfaces = Interfaces::for_feeds([x, y]);
    [x, y].map(|options| Feed::open(&mut interfaces, options))
}

/// Sends a packet and waits until the program has seen it and the softirq that it ran in has ended.
fn send(watch: &Watch, to: SocketAddrV4, payload: &[u8]) {
    let counted = || watch.program.verdicts().iter().sum::<u64>();
    let before = counted();
    Wire::FIRST.send(to, payload);
    while counted() == before {
        std::thread::yield_now();
    }
    (0..100).for_each(|_| std::thread::yield_now());
}

fn attached() -> Attached {
    let index = nic::interface_index(Wire::FIRST.to).expect("it is there");
    nic::attached(index).expect("rtnetlink answers")
}

#[test]
fn each_feed_has_a_queue_of_its_own_what_comes_in_on_the_other_ones_is_counted_and_goes_to_nobody()
{
    if !own_network_with_queues(2) {
        return;
    }
    let [mut x, mut y] = both(&feed(X, &[0]), &feed(Y, &[1]));
    let (mut of_x, mut of_y) = (0, 0);
    // Each sender has a port of its own, which the pair turns into a queue.
    for _ in 0..200 {
        send(&x.watch, X, b"x");
        send(&x.watch, Y, b"y");
        let (heard_x, heard_y) = (x.hear(), y.hear());
        assert!(heard_x.iter().all(|payload| payload == b"x"), "{heard_x:?}");
        assert!(heard_y.iter().all(|payload| payload == b"y"), "{heard_y:?}");
        of_x += heard_x.len() as u64;
        of_y += heard_y.len() as u64;
    }
    let told = |feed: &mut Feed| {
        let unserved = feed.watch.unserved_queues();
        assert_eq!(feed.watch.unserved_queues(), [], "each is told once");
        (unserved.len(), unserved[0])
    };
    let (x_queues, x_unserved) = told(&mut x);
    let (y_queues, y_unserved) = told(&mut y);
    assert_eq!((x_queues, x_unserved.queue), (1, 1));
    assert_eq!((y_queues, y_unserved.queue), (1, 0));
    assert!(
        of_x > 0 && of_x + x_unserved.frames == 200,
        "{x_unserved:?}"
    );
    assert!(
        of_y > 0 && of_y + y_unserved.frames == 200,
        "{y_unserved:?}"
    );
    assert_eq!(x.count("unserved"), x_unserved.frames);
    assert_eq!((x.count("frames"), y.count("frames")), (of_x, of_y));
    let no_socket = |watch: &Watch| {
        let verdicts = watch.verdicts().into_iter();
        let mut found = verdicts.filter(|(name, ..)| *name == "xdp_passed_no_socket");
        found.next().expect("it is there").2
    };
    assert_eq!(no_socket(&x.watch), x_unserved.frames + y_unserved.frames);
}

#[test]
fn feeds_share_every_queue_on_one_core_each_hears_its_own_for_longer_than_memory_lasts() {
    if !own_network_with_queues(2) {
        return;
    }
    share_for_long(&feed(X, &[]), &feed(Y, &[]));
}

#[test]
fn feeds_share_every_queue_of_a_program_in_the_network_stack() {
    if !own_network_with_queues(2) {
        return;
    }
    let generic = |address| Options {
        mode: Mode::Generic,
        require: Rung::Generic,
        ..feed(address, &[])
    };
    share_for_long(&generic(X), &generic(Y));
}

/// Both have 1,024 frames on each queue.
fn share_for_long(x: &Options, y: &Options) {
    let [mut x, mut y] = both(x, y);
    for number in 0..6_000u32 {
        let (to, feed) = if number % 2 == 0 {
            (X, &mut x)
        } else {
            (Y, &mut y)
        };
        send(&feed.watch, to, &number.to_ne_bytes());
        assert_eq!(feed.hear(), [number.to_ne_bytes()]);
    }
    assert_eq!((x.count("frames"), y.count("frames")), (3_000, 3_000));
    assert_eq!((x.count("unserved"), x.count("rx_dropped")), (0, 0));
}

#[test]
fn feeds_share_a_queue_on_two_cores_each_hears_its_own_once_and_in_order() {
    if !own_network() {
        return;
    }
    const PACKETS: u32 = 20_000;
    let feeds = both(&feed(X, &[]), &feed(Y, &[]));
    let watches = feeds.map(|feed| {
        let Feed { mut source, watch } = feed;
        let hearing = std::thread::spawn(move || {
            let mut heard = Vec::new();
            while heard.len() < PACKETS as usize {
                heard.append(&mut hear(&mut source));
                std::thread::yield_now();
            }
            heard
        });
        (watch, hearing)
    });
    for number in 0..PACKETS {
        for to in [X, Y] {
            Wire::FIRST.send(to, &number.to_ne_bytes());
        }
        // As fast as both can take them, whatever else the host does.
        let is_behind = |watch: &Watch| {
            let taken = watch.queues[0].counters().frames.get();
            taken + 256 < u64::from(number)
        };
        while watches.iter().any(|(watch, _)| is_behind(watch)) {
            std::thread::yield_now();
        }
    }
    for (_, hearing) in watches {
        let heard = hearing.join().expect("it ends");
        let sent: Vec<Vec<u8>> = (0..PACKETS).map(|n| n.to_ne_bytes().to_vec()).collect();
        assert!(heard == sent, "{} packets, another order", heard.len());
    }
}

#[test]
fn one_feed_of_a_shared_queue_stands_still_the_other_loses_nothing() {
    if !own_network() {
        return;
    }
    let [mut x, mut y] = both(&feed(X, &[]), &feed(Y, &[]));
    for number in 0..3_000u32 {
        send(&x.watch, X, b"x");
        send(&y.watch, Y, &number.to_ne_bytes());
        assert_eq!(y.hear(), [number.to_ne_bytes()]);
    }
    assert_eq!(y.watch.stalled_queues(), []);
    assert_eq!(x.watch.stalled_queues(), [0]);
    assert!(
        x.count("rx_ring_full") > 2_000,
        "{}",
        x.count("rx_ring_full")
    );
    assert_eq!(y.count("rx_ring_full"), 0);
    // It goes on where its ring ends.
    let heard = (0..100).map(|_| x.hear().len()).sum::<usize>();
    assert_eq!(heard, 512);
    send(&x.watch, X, b"again");
    assert_eq!(x.hear(), [b"again"]);
}

#[test]
fn second_feed_finds_no_rung_beside_the_first_it_falls_to_kernel_sockets_alone() {
    if !own_network() {
        return;
    }
    let (first, mut second) = (feed(X, &[]), feed(Y, &[]));
    second.mode = Mode::Generic;
    second.require = Rung::KernelSocket;
    let mut interfaces = Interfaces::for_feeds([&first, &second]);
    let mut x = Feed::open(&mut interfaces, &first);
    let opened = interfaces.open(&second).expect("kernel sockets");
    assert_eq!(opened.rung, Rung::KernelSocket);
    assert!(opened.source.is_none());
    let why = &opened.steps.last().expect("a step").why;
    assert_eq!(
        why,
        "the interface's program runs in the driver for another feed"
    );
    let options = UdpOptions {
        lines: vec![UdpLine {
            address: Y,
            interface: Some(Wire::FIRST.to.to_owned()),
        }],
        receive_buffer_bytes: 1 << 20,
        busy_poll_us: 0,
        block_us: 0,
    };
    let mut y = UdpSource::open(&options, Arc::new(UdpCounters::default())).expect("opens");
    send(&x.watch, X, b"x");
    send(&x.watch, Y, b"y");
    assert_eq!(x.hear(), [b"x"]);
    assert_eq!(hear(&mut y), [b"y"]);
}

#[test]
fn feed_is_withdrawn_its_packets_are_the_kernels_and_the_others_stay() {
    if !own_network() {
        return;
    }
    let (first, second) = (feed(X, &[]), feed(Y, &[]));
    let mut interfaces = Interfaces::for_feeds([&first, &second]);
    // The one that opened the queue goes: what it brought stays for the other.
    drop(Feed::open(&mut interfaces, &first));
    let mut y = Feed::open(&mut interfaces, &second);
    interfaces.withdraw(&first);
    let before = y.watch.program.verdicts();
    send(&y.watch, X, b"x");
    let after = y.watch.program.verdicts();
    let not_wanted = 1;
    assert_eq!(after[not_wanted], before[not_wanted] + 1);
    send(&y.watch, Y, b"y");
    assert_eq!(y.hear(), [b"y"]);
    // The destination is free again.
    let mut x = Feed::open(&mut interfaces, &first);
    send(&x.watch, X, b"x");
    assert_eq!((x.hear(), y.hear().len()), (vec![b"x".to_vec()], 0));
    interfaces.withdraw(&first);
    interfaces.withdraw(&second);
    drop((x, y));
    assert_eq!(attached(), Attached::None);
}

#[test]
fn second_feed_is_on_trial_while_the_first_ones_frames_come_they_say_nothing_of_it() {
    if !own_network() {
        return;
    }
    let (first, mut second) = (feed(X, &[]), feed(Y, &[]));
    second.trial = Duration::from_millis(100);
    let mut interfaces = Interfaces::for_feeds([&first, &second]);
    let mut x = Feed::open(&mut interfaces, &first);
    let is_over = AtomicBool::new(false);
    let (opened, heard) = std::thread::scope(|scope| {
        let hearing = scope.spawn(|| {
            let mut heard = 0;
            while !is_over.load(Ordering::Relaxed) {
                Wire::FIRST.send(X, b"x");
                heard += x.hear().len();
            }
            heard
        });
        let opened = interfaces.open(&second).expect("opens");
        is_over.store(true, Ordering::Relaxed);
        (opened, hearing.join().expect("it ends"))
    });
    assert!(heard > 0, "nothing came meanwhile");
    assert_eq!(
        (opened.rung, opened.trial),
        (Rung::NativeCopy, Trial::NothingSeen)
    );
    let (mut source, _watch) = opened.source.expect("AF_XDP");
    assert_eq!(hear(&mut source).len(), 0);
    Wire::FIRST.send(Y, b"y");
    while hear(&mut source).is_empty() {
        std::thread::yield_now();
    }
}

#[test]
fn program_is_there_until_its_last_feed_goes() {
    if !own_network_with_queues(2) {
        return;
    }
    assert_eq!(attached(), Attached::None);
    let [x, mut y] = both(&feed(X, &[0]), &feed(Y, &[]));
    drop(x);
    assert_eq!(attached(), Attached::Driver);
    send(&y.watch, Y, b"y");
    assert_eq!(y.hear(), [b"y"]);
    drop(y);
    assert_eq!(attached(), Attached::None);
}

#[test]
fn two_feeds_want_one_destination_the_second_is_refused() {
    if !own_network_with_queues(2) {
        return;
    }
    let (first, second) = (feed(X, &[0]), feed(X, &[1]));
    let mut interfaces = Interfaces::for_feeds([&first, &second]);
    let _x = Feed::open(&mut interfaces, &first);
    let error = interfaces.open(&second).expect_err("it is taken");
    assert!(matches!(error, OpenError::Taken(X)), "{error}");
    assert_eq!(
        error.to_string(),
        "another feed has 239.77.0.1:26400 on this interface; expected a destination of its own"
    );
}
