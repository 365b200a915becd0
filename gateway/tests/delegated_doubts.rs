//! Each doubt in which a delegated connection takes the ordinary path, or its copy goes out, brought about over a wire: that it
//! is counted, and that the exchange has every byte once all the same.

#![allow(
    unsafe_code,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod wire;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use wire::bpf;
use wire::hander::Middle;
use wire::held::{ENTER, Fate, Hand, Held, KICK, LONG};
use wire::near::{
    Heard, MESSAGE_BYTES, Near, accept, assert_answers, echo, in_own_thread, listen, message,
};
use wire::{FAR, Far, ip};

/// Words of a lane's row: whether the kernel is sending, the number of its first byte, and behind its last, what it has
/// acknowledged; what the exchange has acknowledged and its next number; the first of the counts.
const VERSION: usize = 16;
const START: usize = 17;
const NEXT: usize = 18;
const ACK: usize = 19;
const ACKNOWLEDGED: usize = 49;
const THEIRS: usize = 50;
const COUNTS: usize = 62;
/// Their order.
const RAISED: usize = 3;
const LOWERED: usize = 4;
const AGAIN: usize = 9;

fn until(what: &str, is_so: impl Fn() -> bool) {
    let from = Instant::now();
    while !is_so() {
        assert!(from.elapsed() < LONG, "never: {what}");
        std::thread::yield_now();
    }
}

/// How often a program has done something.
fn done(port: u16, what: usize) -> u32 {
    bpf::lane(port)[COUNTS + 2 * what]
}

fn until_acknowledged(port: u16) {
    until("all is acknowledged", || {
        let row = bpf::lane(port);
        row[ACKNOWLEDGED] == row[NEXT]
    });
}

/// Until nobody has anything to acknowledge.
fn until_quiet(port: u16) {
    until_acknowledged(port);
    until("the kernel has acknowledged all", || {
        let row = bpf::lane(port);
        row[ACK] == row[THEIRS]
    });
}

/// By how much a counter has grown.
fn more(near: &Near, before: &BTreeMap<&'static str, u64>, name: &str) -> u64 {
    near.counts()[name] - before[name]
}

fn assert_more(near: &Near, before: &BTreeMap<&'static str, u64>, name: &str, count: u64) {
    let counts = near.counts();
    assert_eq!(counts[name] - before[name], count, "{name}: {counts:?}");
}

/// Sets what TCP does at our end.
fn set(what: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/ipv4/{what}"), value).expect("set");
}

fn heard_by(stream: &mut TcpStream, number: u64) {
    let mut bytes = [0; MESSAGE_BYTES];
    stream.read_exact(&mut bytes).expect("a message");
    assert_eq!(bytes, message(number), "message {number}");
}

fn answer(stream: &mut TcpStream, number: u64) {
    stream.write_all(&message(number)).expect("answered");
}

/// A connection whose exchange is this test, after some messages that were answered.
fn traded(near: &mut Near, listener: &TcpListener, to: SocketAddrV4) -> (Heard, TcpStream) {
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
const FIRST: u64 = 10;

/// Sends a message, and lets the transport see that the kernel has it.
fn send(near: &mut Near, heard: &mut Heard, number: u64) {
    near.transport.send(&message(number));
    near.transport.poll(heard);
}

fn until_heard(near: &mut Near, heard: &mut Heard, count: u64) {
    let bytes = usize::try_from(count).expect("small") * MESSAGE_BYTES;
    near.until(heard, |heard| heard.bytes.len() >= bytes);
}

/// Trades on, from this message: nothing is missing, nothing doubled, and the lane is used.
fn goes_on(near: &mut Near, heard: &mut Heard, stream: &mut TcpStream, from: u64) {
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

#[test]
fn acknowledgement_that_comes_before_the_copy_is_lowered_and_given_back() {
    in_own_thread(|| {
        let Some(far) = wire::lay() else { return };
        let (listener, to) = listen(&far);
        let mut near = Near::open(&wire::delegated());
        let (mut heard, mut stream) = traded(&mut near, &listener, to);
        let hand = Hand::on(&[ENTER]);
        let before = near.counts();
        let port = to.port();
        let mut theirs = stream.try_clone().expect("a second");
        hand.at_next(ENTER, move |_| {
            // The kernel has none of it yet.
            let was = done(port, LOWERED);
            heard_by(&mut theirs, FIRST);
            until("lowered", || done(port, LOWERED) > was);
            Fate::Goes
        });
        send(&mut near, &mut heard, FIRST);
        for (name, count) in [
            ("delegated_sent", 1),
            ("acks_lowered", 1),
            ("acks_returned", 1),
            ("copies_stolen", 1),
        ] {
            assert_more(&near, &before, name, count);
        }
        // The kernel knows that it is acknowledged: it has nothing to send again.
        until_acknowledged(port);
        answer(&mut stream, FIRST);
        goes_on(&mut near, &mut heard, &mut stream, FIRST + 1);
    });
}

/// The exchange answers what left first before the kernel has it, and the kernel acknowledges the answer: what is counted then.
fn answered_before_the_copy(has_clock: bool, expected: &[(&str, u64)]) {
    in_own_thread(|| {
        let Some(far) = wire::lay() else { return };
        set("tcp_timestamps", if has_clock { "1" } else { "0" });
        let (listener, to) = listen(&far);
        let mut near = Near::open(&wire::delegated());
        let (mut heard, mut stream) = traded(&mut near, &listener, to);
        let hand = Hand::on(&[ENTER]);
        let before = near.counts();
        let port = to.port();
        let mut theirs = stream.try_clone().expect("a second");
        hand.at_next(ENTER, move |_| {
            let was = done(port, RAISED);
            heard_by(&mut theirs, FIRST);
            // The kernel's clock has moved on.
            std::thread::sleep(Duration::from_millis(3));
            answer(&mut theirs, FIRST);
            until("raised", || done(port, RAISED) > was);
            Fate::Goes
        });
        send(&mut near, &mut heard, FIRST);
        assert_more(&near, &before, "delegated_sent", 1);
        for (name, count) in expected {
            assert_more(&near, &before, name, *count);
        }
        until_heard(&mut near, &mut heard, FIRST + 1);
        goes_on(&mut near, &mut heard, &mut stream, FIRST + 1);
    });
}

#[test]
fn copy_goes_out_where_the_kernels_clock_has_moved_since_the_segment() {
    answered_before_the_copy(
        true,
        &[
            ("acks_raised", 1),
            ("passed_clock", 1),
            ("copies_stolen", 0),
            ("copies_trimmed", 0),
        ],
    );
}

#[test]
fn copy_that_acknowledges_more_leaves_without_its_bytes() {
    answered_before_the_copy(
        false,
        &[
            ("acks_raised", 1),
            ("copies_trimmed", 1),
            ("acks_returned", 1),
            ("passed_clock", 0),
        ],
    );
}

/// Loses an answer of the exchange's and lets the next one through; then all of its packets are cut off.
fn leave_a_hole(middle: &Middle, stream: &mut TcpStream, number: u64) {
    let cut_far = |is_it| middle.faults.is_far_cut.store(is_it, Ordering::SeqCst);
    let cut_near = |is_it| middle.faults.is_near_cut.store(is_it, Ordering::SeqCst);
    let has_passed = |number: u64| {
        let bytes = message(number);
        until("it came by", || {
            let all = middle.take();
            let mut theirs = all.iter().filter(|frame| !frame.is_from_near);
            theirs.any(|frame| frame.bytes.ends_with(&bytes))
        });
    };
    cut_far(true);
    middle.take();
    answer(stream, number);
    has_passed(number);
    // Until it is cut off it does not hear what is missing, or it would send it again.
    cut_near(true);
    cut_far(false);
    answer(stream, number + 1);
    has_passed(number + 1);
    cut_far(true);
    cut_near(false);
}

#[test]
fn options_that_say_what_is_missing_are_the_kernels_to_write() {
    for clock in ["1", "0"] {
        in_own_thread(|| {
            let Some((far, middle)) = wire::middle::lay(7) else {
                return;
            };
            set("tcp_timestamps", clock);
            let (listener, to) = listen(&far);
            // Neither sends again what nobody has asked for: the hole is there until it is let be filled.
            far.run(|| set("tcp_early_retrans", "0"));
            let mut near = Near::open(&wire::delegated());
            let (mut heard, mut stream) = traded(&mut near, &listener, to);
            let hand = Hand::on(&[ENTER]);
            let before = near.counts();
            let port = to.port();
            let middle = std::sync::Arc::new(middle);
            let (mut theirs, between) = (
                stream.try_clone().expect("a second"),
                std::sync::Arc::clone(&middle),
            );
            hand.at_next(ENTER, move |_| {
                let was = done(port, RAISED);
                heard_by(&mut theirs, FIRST);
                leave_a_hole(&between, &mut theirs, FIRST);
                // With what it says of the hole, without bytes.
                until("raised", || done(port, RAISED) > was);
                Fate::Goes
            });
            send(&mut near, &mut heard, FIRST);
            assert_more(&near, &before, "delegated_sent", 1);
            assert_more(&near, &before, "passed_options", 1);
            send(&mut near, &mut heard, FIRST + 1);
            assert_more(&near, &before, "delegated_sent", 1);
            assert_more(&near, &before, "ordinary_options", 1);
            let said = near.said();
            assert!(
                said.contains("bytes of the exchange's are missing"),
                "{said}"
            );
            middle.faults.is_far_cut.store(false, Ordering::SeqCst);
            heard_by(&mut stream, FIRST + 1);
            until_heard(&mut near, &mut heard, FIRST + 2);
            until_acknowledged(port);
            goes_on(&mut near, &mut heard, &mut stream, FIRST + 2);
        });
    }
}

#[test]
fn packet_that_is_being_looked_at_keeps_the_lane_and_the_program_from_the_next() {
    in_own_thread(|| {
        let Some(far) = wire::lay() else { return };
        let (listener, to) = listen(&far);
        let mut near = Near::open(&wire::delegated());
        let (mut heard, mut stream) = traded(&mut near, &listener, to);
        let before = near.counts();
        // As while another CPU has the turn, with a packet of no socket.
        let turn = |by: u32| {
            bpf::change_lane(to.port(), |row| {
                row[VERSION] = row[VERSION].wrapping_add(by);
                true
            })
        };
        turn(1);
        send(&mut near, &mut heard, FIRST);
        for name in ["ordinary_moving", "passed_failed"] {
            assert_more(&near, &before, name, 1);
        }
        turn(1);
        heard_by(&mut stream, FIRST);
        send(&mut near, &mut heard, FIRST + 1);
        // The program has not seen the one before.
        assert_more(&near, &before, "ordinary_behind", 1);
        assert_more(&near, &before, "passed_ordinary", 1);
        heard_by(&mut stream, FIRST + 1);
        (FIRST..FIRST + 2).for_each(|number| answer(&mut stream, number));
        until_heard(&mut near, &mut heard, FIRST + 2);
        goes_on(&mut near, &mut heard, &mut stream, FIRST + 2);
    });
}

/// Sends messages of which none is acknowledged until a counter moves, and then all are: what was counted.
fn unacknowledged_until(name: &str, prepare: impl FnOnce() + Send) {
    in_own_thread(|| {
        let Some((far, middle)) = wire::middle::lay(7) else {
            return;
        };
        // A probe for what is not acknowledged would be another reason.
        set("tcp_early_retrans", "0");
        prepare();
        let (listener, to) = listen(&far);
        let mut near = Near::open(&wire::delegated());
        let (mut heard, mut stream) = traded(&mut near, &listener, to);
        let before = near.counts();
        middle.faults.is_far_cut.store(true, Ordering::SeqCst);
        let mut next = FIRST;
        while more(&near, &before, name) == 0 {
            assert!(next < 100, "never: {:?}", near.counts());
            send(&mut near, &mut heard, next);
            next += 1;
        }
        assert!(
            more(&near, &before, "delegated_sent") > 2,
            "{:?}",
            near.counts()
        );
        middle.faults.is_far_cut.store(false, Ordering::SeqCst);
        for number in FIRST..next {
            answer(&mut stream, number);
            near.transport.poll(&mut heard);
        }
        until_heard(&mut near, &mut heard, next);
        let bytes = u32::try_from(next).expect("small") * 48;
        // What waited behind a write goes when that is seen to be done.
        near.until(&mut heard, |_| {
            let row = bpf::lane(to.port());
            row[NEXT] == row[START].wrapping_add(bytes)
        });
        for number in FIRST..next {
            heard_by(&mut stream, number);
        }
        until_acknowledged(to.port());
        goes_on(&mut near, &mut heard, &mut stream, next);
    });
}

#[test]
fn copy_that_waits_for_the_congestion_window_keeps_the_lane_from_the_next() {
    unacknowledged_until("ordinary_behind", || ());
}

#[test]
fn write_that_the_kernel_has_no_room_for_keeps_the_lane_from_the_next() {
    unacknowledged_until("ordinary_writing", || set("tcp_wmem", "4096 4096 4096"));
}

#[test]
fn what_was_sent_again_and_is_not_acknowledged_keeps_the_lane_from_the_next() {
    in_own_thread(|| {
        let Some((far, middle)) = wire::middle::lay(7) else {
            return;
        };
        let (listener, to) = listen(&far);
        let mut near = Near::open(&wire::delegated());
        let (mut heard, mut stream) = traded(&mut near, &listener, to);
        let before = near.counts();
        middle.faults.is_near_cut.store(true, Ordering::SeqCst);
        send(&mut near, &mut heard, FIRST);
        until("sent again", || done(to.port(), AGAIN) > 0);
        send(&mut near, &mut heard, FIRST + 1);
        assert_more(&near, &before, "ordinary_again", 1);
        middle.faults.is_near_cut.store(false, Ordering::SeqCst);
        for number in [FIRST, FIRST + 1] {
            heard_by(&mut stream, number);
            answer(&mut stream, number);
        }
        until_heard(&mut near, &mut heard, FIRST + 2);
        until_acknowledged(to.port());
        goes_on(&mut near, &mut heard, &mut stream, FIRST + 2);
    });
}

/// Bytes of a full segment of a path that takes 1,500, with timestamps.
const FULL: usize = 1448;

fn numbered(len: usize) -> Vec<u8> {
    (0..len).map(|at| at.to_le_bytes()[0]).collect()
}

#[test]
fn more_than_a_segment_and_more_than_ten_on_their_way_are_the_kernels() {
    in_own_thread(|| {
        let Some((far, middle)) = wire::middle::lay(7) else {
            return;
        };
        set("tcp_early_retrans", "0");
        let (listener, to) = listen(&far);
        let mut near = Near::open(&wire::delegated());
        let (mut heard, mut stream) = traded(&mut near, &listener, to);
        let before = near.counts();
        let mut sent = Vec::new();
        let mut send_bytes = |near: &mut Near, len| {
            let bytes = numbered(len);
            near.transport.send(&bytes);
            near.transport.poll(&mut heard);
            sent.extend(bytes);
        };
        send_bytes(&mut near, FULL + 1);
        assert_more(&near, &before, "ordinary_long", 1);
        until_acknowledged(to.port());
        middle.faults.is_far_cut.store(true, Ordering::SeqCst);
        for _ in 0..10 {
            send_bytes(&mut near, FULL);
        }
        assert_more(&near, &before, "delegated_sent", 10);
        send_bytes(&mut near, 1);
        assert_more(&near, &before, "ordinary_in_flight", 1);
        middle.faults.is_far_cut.store(false, Ordering::SeqCst);
        let mut bytes = vec![0; sent.len()];
        stream.read_exact(&mut bytes).expect("all of it");
        assert!(bytes == sent);
        // Its acknowledgements are lost: with its next word it says so again.
        answer(&mut stream, FIRST);
        until_heard(&mut near, &mut heard, FIRST + 1);
        until_acknowledged(to.port());
        goes_on(&mut near, &mut heard, &mut stream, FIRST + 1);
    });
}

#[test]
fn window_without_room_for_it_is_the_kernels_to_wait_for() {
    in_own_thread(|| {
        let Some(far) = wire::lay() else { return };
        let (listener, to) = listen(&far);
        let narrow = socket2::SockRef::from(&listener).set_recv_buffer_size(8192);
        narrow.expect("set");
        let mut near = Near::open(&wire::delegated());
        let (mut heard, mut stream) = traded(&mut near, &listener, to);
        let before = near.counts();
        let mut sent = Vec::new();
        while more(&near, &before, "ordinary_window") == 0 {
            until_acknowledged(to.port());
            let bytes = numbered(1000);
            near.transport.send(&bytes);
            near.transport.poll(&mut heard);
            sent.extend(bytes);
            assert!(sent.len() < 50_000, "never: {:?}", near.counts());
        }
        assert!(more(&near, &before, "delegated_sent") > 0);
        assert_more(&near, &before, "ordinary_behind", 0);
        let said = near.said();
        assert!(said.contains("the exchange's window has no room"), "{said}");
        let mut bytes = vec![0; sent.len()];
        stream.read_exact(&mut bytes).expect("all of it");
        assert!(bytes == sent);
        answer(&mut stream, FIRST);
        until_heard(&mut near, &mut heard, FIRST + 1);
        until_acknowledged(to.port());
        goes_on(&mut near, &mut heard, &mut stream, FIRST + 1);
    });
}

#[test]
fn connection_by_another_interface_has_no_lane() {
    in_own_thread(|| {
        let Some(_far) = wire::lay() else { return };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("it listens");
        let port = listener.local_addr().expect("an address").port();
        let exchange = echo(listener);
        let mut near = Near::open(&wire::delegated());
        let mut heard = near.connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
        near.trade(&mut heard, 0, 10, 1);
        assert_answers(&heard, 10);
        let counts = near.counts();
        assert_eq!(counts["connections_elsewhere"], 1, "{counts:?}");
        assert_eq!(counts["ordinary_unseen"], 10, "{counts:?}");
        assert_eq!(counts["delegated_sent"], 0, "{counts:?}");
        let said = near.said();
        assert!(said.contains("(connections_elsewhere)"), "{said}");
        near.transport.close();
        assert_eq!(exchange.join().expect("it held"), 10);
    });
}

#[test]
fn lane_needs_neither_timestamps_nor_selective_acknowledgements_nor_scaled_windows() {
    for without in ["tcp_timestamps", "tcp_sack", "tcp_window_scaling"] {
        in_own_thread(|| {
            let Some(far) = wire::lay() else { return };
            set(without, "0");
            let (listener, to) = listen(&far);
            let exchange = echo(listener);
            let mut near = Near::open(&wire::delegated());
            let mut heard = near.connect(to);
            near.trade(&mut heard, 0, 100, 1);
            near.trade(&mut heard, 100, 25, 4);
            assert_answers(&heard, 200);
            let counts = near.counts();
            assert!(counts["delegated_sent"] > 150, "{}: {counts:?}", without);
            let kept = counts["copies_stolen"] + counts["copies_trimmed"];
            assert!(kept > 100, "{}: {counts:?}", without);
            near.transport.close();
            assert_eq!(exchange.join().expect("it held"), 200);
        });
    }
}

/// Gives a socket that has not connected yet the number of its first byte.
fn begin_at(socket: i32, number: u32) {
    const SEND_QUEUE: u32 = 2;
    for (option, value) in [
        (libc::TCP_REPAIR, 1),
        (libc::TCP_REPAIR_QUEUE, SEND_QUEUE),
        (libc::TCP_QUEUE_SEQ, number),
        (libc::TCP_REPAIR, 0),
    ] {
        // SAFETY: the value lives across the call, and its size is given.
        let result = unsafe {
            libc::setsockopt(
                socket,
                libc::IPPROTO_TCP,
                option,
                (&raw const value).cast(),
                4,
            )
        };
        assert_eq!(result, 0, "{option}: {}", io::Error::last_os_error());
    }
}

#[test]
fn numbers_that_wrap_lose_and_double_nothing() {
    /// So many bytes before the last number.
    const BEFORE: u32 = 4000;
    in_own_thread(|| {
        let Some((far, middle)) = wire::middle::lay(7) else {
            return;
        };
        let (listener, to) = listen(&far);
        let exchange = echo(listener);
        let mut near = Near::open(&wire::delegated());
        let bind = Held::all(libc::SYS_bind);
        Hand::on(&[bind]).at_next(bind, |call| {
            begin_at(call.fd(), 0u32.wrapping_sub(BEFORE));
            Fate::Goes
        });
        let mut heard = near.connect(to);
        near.trade(&mut heard, 0, 50, 1);
        assert!(
            bpf::lane(to.port())[START] > u32::MAX - BEFORE,
            "it was given"
        );
        // In the range where they wrap some is lost, doubled, late.
        middle.faults.one_in.store(50, Ordering::Relaxed);
        near.trade(&mut heard, 50, 20, 4);
        near.trade(&mut heard, 130, 70, 1);
        middle.faults.one_in.store(0, Ordering::Relaxed);
        near.trade(&mut heard, 200, 50, 1);
        assert_answers(&heard, 250);
        assert!(bpf::lane(to.port())[NEXT] < 1 << 20, "they have wrapped");
        let counts = near.counts();
        assert!(counts["delegated_sent"] > 100, "{counts:?}");
        near.transport.close();
        assert_eq!(exchange.join().expect("it held"), 250);
    });
}

/// What becomes of a frame whose kick fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    Stays,
    LeavesAllTheSame,
}

fn kick(socket: i32) -> io::Result<()> {
    let flags = libc::MSG_DONTWAIT;
    // SAFETY: no bytes and no address are given.
    let sent = unsafe { libc::sendto(socket, std::ptr::null(), 0, flags, std::ptr::null(), 0) };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[test]
fn kick_that_fails_loses_and_doubles_nothing_whether_or_not_the_frame_leaves() {
    in_own_thread(|| {
        let Some(far) = wire::lay() else { return };
        for errno in [libc::EAGAIN, libc::EBUSY, libc::ENOBUFS, libc::ENXIO] {
            for frame in [Frame::Stays, Frame::LeavesAllTheSame] {
                in_own_thread(|| kick_fails(&far, errno, frame));
            }
        }
    });
}

fn kick_fails(far: &Far, errno: i32, frame: Frame) {
    let (listener, to) = listen(far);
    let mut near = Near::open(&wire::delegated());
    let (mut heard, mut stream) = traded(&mut near, &listener, to);
    let hand = Hand::on(&[KICK]);
    let before = near.counts();
    hand.at_next(KICK, move |call| {
        if frame == Frame::LeavesAllTheSame {
            kick(call.fd()).expect("it is sent");
        }
        Fate::Fails(errno)
    });
    send(&mut near, &mut heard, FIRST);
    let what = format!("{errno}, {frame:?}");
    assert_eq!(more(&near, &before, "ordinary_refused"), 1, "{what}");
    assert_eq!(more(&near, &before, "delegated_sent"), 0, "{what}");
    // Its copy is the only one, or might be.
    assert_eq!(
        more(&near, &before, "passed_ordinary"),
        1,
        "{what}: {:?}",
        near.counts()
    );
    heard_by(&mut stream, FIRST);
    near.transport.poll(&mut heard);
    if frame == Frame::Stays {
        // While it does, nothing else is given to the ring.
        for number in FIRST + 1..FIRST + 4 {
            hand.at_next(KICK, move |_| Fate::Fails(errno));
            send(&mut near, &mut heard, number);
            heard_by(&mut stream, number);
        }
        assert_eq!(
            more(&near, &before, "ordinary_no_frame"),
            3,
            "{what}: {:?}",
            near.counts()
        );
    } else {
        for number in FIRST + 1..FIRST + 4 {
            send(&mut near, &mut heard, number);
            heard_by(&mut stream, number);
        }
        assert_eq!(
            more(&near, &before, "ordinary_no_frame"),
            0,
            "{what}: {:?}",
            near.counts()
        );
    }
    assert_eq!(more(&near, &before, "ordinary_refused"), 1, "{what}");
    let said = near.said();
    assert!(
        said.contains(
            "1 writes took the ordinary path: the link is down, or the driver has no room"
        ),
        "{said}"
    );
    (FIRST..FIRST + 4).for_each(|number| answer(&mut stream, number));
    until_heard(&mut near, &mut heard, FIRST + 4);
    // What stayed leaves with the next one's kick, as bytes that the exchange has.
    goes_on(&mut near, &mut heard, &mut stream, FIRST + 4);
}

#[test]
fn link_without_a_carrier_drops_each_frame_and_the_kernel_sends_when_it_is_back() {
    const COUNT: u64 = 4;
    in_own_thread(|| {
        let Some(far) = wire::lay() else { return };
        let (listener, to) = listen(&far);
        let mut near = Near::open(&wire::delegated());
        let (mut heard, mut stream) = traded(&mut near, &listener, to);
        let hand = Hand::on(&[KICK]);
        let before = near.counts();
        far.run(|| ip(&format!("link set {FAR} down")));
        hand.at_next(KICK, |call| {
            // The kernel's own answer.
            let errno = kick(call.fd()).expect_err("no carrier").raw_os_error();
            assert_eq!(errno, Some(libc::EBUSY));
            Fate::Fails(libc::EBUSY)
        });
        for number in FIRST..FIRST + COUNT {
            send(&mut near, &mut heard, number);
        }
        // The frame comes back: it is not in the way of the next. Once the kernel has noticed, it asks for the neighbour first.
        let refused = more(&near, &before, "ordinary_refused");
        let behind = more(&near, &before, "ordinary_behind");
        assert!(refused > 0, "{:?}", near.counts());
        assert_eq!(refused + behind, COUNT, "{:?}", near.counts());
        assert_more(&near, &before, "delegated_sent", 0);
        far.run(|| ip(&format!("link set {FAR} up")));
        for number in FIRST..FIRST + COUNT {
            heard_by(&mut stream, number);
            answer(&mut stream, number);
        }
        until_heard(&mut near, &mut heard, FIRST + COUNT);
        until_acknowledged(to.port());
        goes_on(&mut near, &mut heard, &mut stream, FIRST + COUNT);
    });
}

/// More than the ring has room for.
const MANY: u64 = 100;

#[test]
fn frame_that_is_not_given_back_is_the_only_one_so_the_ring_never_fills() {
    in_own_thread(|| {
        let Some(far) = wire::lay() else { return };
        let (listener, to) = listen(&far);
        let mut near = Near::open(&wire::delegated());
        let (mut heard, mut stream) = traded(&mut near, &listener, to);
        let hand = Hand::on(&[KICK]);
        let before = near.counts();
        // The kernel says that it is done, and has done nothing: as a card that does not send.
        for _ in 0..MANY {
            hand.at_next(KICK, |_| Fate::LeftOut);
        }
        for number in FIRST..FIRST + MANY {
            send(&mut near, &mut heard, number);
        }
        let counts = near.counts();
        assert_eq!(more(&near, &before, "delegated_sent"), 1, "{counts:?}");
        assert_eq!(
            more(&near, &before, "ordinary_no_frame"),
            MANY - 1,
            "{counts:?}"
        );
        let said = near.said();
        let expected = format!(
            "{} writes took the ordinary path: the kernel has not sent a frame that it was given (ordinary_no_frame)",
            MANY - 1
        );
        assert!(said.contains(&expected), "{said}");
        // The first one was kept from the wire, and is sent again as any packet that was lost.
        for number in FIRST..FIRST + MANY {
            heard_by(&mut stream, number);
            answer(&mut stream, number);
        }
        until_heard(&mut near, &mut heard, FIRST + MANY);
        until_acknowledged(to.port());
        assert!(near.counts()["passed_again"] > 0);
        goes_on(&mut near, &mut heard, &mut stream, FIRST + MANY);
    });
}
