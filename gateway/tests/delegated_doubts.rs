//! Each doubt in which a delegated connection takes the ordinary path, or its copy goes out, brought about over a wire: that it
//! is counted, and that the exchange has every byte once all the same. And what somebody else says in the exchange's name.

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

use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wire::bpf;
use wire::forged::{ACK_FLAG, Forged, Forger, SYN_FLAG};
use wire::hander::Middle;
use wire::held::{ENTER, Fate, Hand, Held, KICK};
use wire::near::{MESSAGE_BYTES, Near, assert_answers, echo, in_own_thread, listen, message};
use wire::traded::{
    AGAIN, FIRST, LOWERED, NEXT, RAISED, SAID, START, UNACCEPTABLE, UNBELIEVED, VERSION, answer,
    assert_more, done, goes_on, heard_by, more, send, set, traded, until, until_acknowledged,
    until_heard,
};
use wire::{FAR, Far, ip};

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

/// A counter of the programs': its name, and its place among them.
#[derive(Clone, Copy)]
struct Counter {
    name: &'static str,
    place: usize,
}

const NOT_ACCEPTED: Counter = Counter {
    name: "unacceptable",
    place: UNACCEPTABLE,
};
const NOT_BELIEVED: Counter = Counter {
    name: "unbelieved",
    place: UNBELIEVED,
};

/// What left first is lost. Before the kernel sends its copy, which is kept back, somebody says that the exchange has it.
fn forged_for_what_was_lost(counter: Counter, forge: fn(&mut Forged)) {
    in_own_thread(|| {
        let Some((far, middle)) = wire::middle::lay(7) else {
            return;
        };
        // What the kernel objects to it answers: its clock would move, and the copy go out.
        set("tcp_timestamps", "0");
        let (listener, to) = listen(&far);
        let mut near = Near::open(&wire::delegated());
        let (mut heard, mut stream) = traded(&mut near, &listener, to);
        let forger = Forger::at(&far);
        let hand = Hand::on(&[ENTER]);
        let before = near.counts();
        let port = to.port();
        let said = bpf::lane(port)[SAID].to_vec();
        middle.faults.is_near_cut.store(true, Ordering::SeqCst);
        hand.at_next(ENTER, move |_| {
            let was = done(port, counter.place);
            let mut packet = Forged::of(&bpf::lane(port));
            let len = u32::try_from(MESSAGE_BYTES).expect("small");
            packet.ack = packet.ack.wrapping_add(len);
            forge(&mut packet);
            assert!(forger.sends(&packet));
            until("it was looked at", || done(port, counter.place) > was);
            Fate::Goes
        });
        send(&mut near, &mut heard, FIRST);
        for (name, count) in [
            ("delegated_sent", 1),
            ("copies_stolen", 1),
            (counter.name, 1),
            ("acks_lowered", 0),
            ("acks_returned", 0),
        ] {
            assert_more(&near, &before, name, count);
        }
        assert_eq!(bpf::lane(port)[SAID], said, "it has moved something");
        middle.faults.is_near_cut.store(false, Ordering::SeqCst);
        // The kernel sends it again, since nobody has acknowledged it.
        heard_by(&mut stream, FIRST);
        answer(&mut stream, FIRST);
        until_heard(&mut near, &mut heard, FIRST + 1);
        until_acknowledged(port);
        goes_on(&mut near, &mut heard, &mut stream, FIRST + 1);
    });
}

#[test]
fn acknowledgement_of_what_was_never_sent_is_no_acknowledgement_of_what_was() {
    forged_for_what_was_lost(NOT_ACCEPTED, |packet| {
        packet.ack = packet.ack.wrapping_add(1);
    });
}

#[test]
fn acknowledgement_with_a_wrong_checksum_is_none() {
    forged_for_what_was_lost(NOT_BELIEVED, |packet| packet.turned = 1 << 9);
}

#[test]
fn acknowledgement_at_a_number_that_the_kernel_would_not_hear_is_none() {
    let wrong: [fn(&mut Forged); 5] = [
        |packet| packet.seq = packet.seq.wrapping_sub(1),
        |packet| packet.seq = packet.seq.wrapping_sub(100_000),
        |packet| packet.seq = packet.seq.wrapping_add(1 << 20),
        |packet| packet.seq = packet.seq.wrapping_add(1 << 31),
        // As if the connection had just begun.
        |packet| packet.flags = SYN_FLAG | ACK_FLAG,
    ];
    for forge in wrong {
        forged_for_what_was_lost(NOT_ACCEPTED, forge);
    }
}

/// While forged packets arrive, in bursts of four and one by one.
const MESSAGES: u64 = 1_000;

#[test]
fn orders_arrive_once_and_in_order_while_somebody_acknowledges_without_end() {
    in_own_thread(|| {
        let Some(far) = wire::lay() else { return };
        let (listener, to) = listen(&far);
        let exchange = echo(listener);
        let mut near = Near::open(&wire::delegated());
        let mut heard = near.connect(to);
        near.trade(&mut heard, 0, 10, 1);
        let forger = Forger::at(&far);
        let is_over = AtomicBool::new(false);
        let mut sent = 0;
        std::thread::scope(|scope| {
            let forging = scope.spawn(|| {
                let mut random = fastrand::Rng::with_seed(29);
                let mut sent = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let row = bpf::lane(to.port());
                    for kind in 0..60 {
                        let packet = some_forged(&row, kind % 3, &mut random);
                        sent += u64::from(forger.sends(&packet));
                    }
                    std::thread::yield_now();
                }
                sent
            });
            near.trade(&mut heard, 10, 150, 4);
            near.trade(&mut heard, 610, MESSAGES - 610, 1);
            is_over.store(true, Ordering::Relaxed);
            sent = forging.join().expect("it held");
        });
        assert_answers(&heard, MESSAGES);
        let counts = near.counts();
        eprintln!("{sent} forged packets: {counts:?}");
        assert!(counts["delegated_sent"] > MESSAGES / 4, "{counts:?}");
        // What the link had no room for was not looked at.
        let refused = counts["unacceptable"] + counts["unbelieved"];
        assert!(sent > 1_000 && refused > sent / 2, "{sent} {counts:?}");
        near.transport.close();
        assert_eq!(exchange.join().expect("it held"), MESSAGES);
    });
}

/// One that acknowledges far too much, one with a wrong checksum, one at a wrong number.
fn some_forged(row: &[u32], kind: u32, random: &mut fastrand::Rng) -> Forged {
    let mut packet = Forged::of(row);
    match kind {
        0 => packet.ack = row[NEXT].wrapping_add(random.u32(1 << 20..1 << 30)),
        1 => {
            packet.ack = packet.ack.wrapping_add(random.u32(0..100));
            packet.turned = 1 << random.u32(0..16);
        }
        _ => {
            packet.ack = packet.ack.wrapping_add(random.u32(0..100));
            packet.seq = packet.seq.wrapping_add(random.u32(1 << 21..1 << 31));
        }
    }
    packet
}
