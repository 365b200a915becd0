//! A process with a delegated connection that is killed, or stands still, at every step of a send and of closing: the exchange
//! is free within a second, has nothing twice, and both programs go with the process; who was only stopped goes on.

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

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aya::programs::SchedClassifier;
use aya::programs::tc::TcAttachType;
use feed_handler::xdp::nic::{self, Attached};
use wire::NEAR;
use wire::hander::Middle;
use wire::held::{Call, ENTER, Fate, Held, KICK, LONG, Watch, hold, until_stopped};
use wire::near::{MESSAGE_BYTES, Near, accept, in_own_thread, listen, message};

/// A call that nobody else makes: the child says with it where it is.
const MARK: Held = Held::all(libc::SYS_getppid);
const SET: Held = Held::all(libc::SYS_setsockopt);
const SHUTDOWN: Held = Held::all(libc::SYS_shutdown);
const REGISTER: Held = Held::all(libc::SYS_io_uring_register);
const CLOSE: Held = Held::all(libc::SYS_close);
const HELD: [Held; 7] = [KICK, ENTER, MARK, SET, SHUTDOWN, REGISTER, CLOSE];

/// Messages before the first step, and at which the copy of one waits in the kernel: more than its congestion window has.
const BEFORE: u64 = 10;
const WAITING: u64 = 16;
const ALL: u64 = BEFORE + 2 + WAITING;

/// Where the process is killed or stopped, in the order in which it comes there: at the next call of that kind.
const STEPS: [(&str, Held); 11] = [
    ("the segment is written, before the kick", KICK),
    ("after the kick, before the copy", ENTER),
    ("after the copy, before its completion is read", MARK),
    ("the completion is read", MARK),
    ("the kernel's copy of one waits, before the next", MARK),
    ("all is answered", MARK),
    ("closing, RST is to be FIN", SET),
    ("closing, before the shutdown", SHUTDOWN),
    ("closing, after the shutdown", REGISTER),
    ("closing, before the socket goes", CLOSE),
    ("closed", MARK),
];
/// Before this one the exchange's packets are cut off, so that nothing is acknowledged; behind it they come again.
const CUT: usize = 4;

const TO: &str = "TICKGATE_TEST_TO";

fn mark() {
    // SAFETY: takes nothing and does not fail.
    unsafe { libc::getppid() };
}

#[test]
#[ignore = "a process of another test's"]
fn one_that_is_held() {
    let to = std::env::var(TO).expect("where to");
    let mut near = Near::open(&wire::delegated());
    let mut heard = near.connect(to.parse().expect("an address"));
    near.trade(&mut heard, 0, BEFORE, 1);
    hold(&HELD).give();
    let before = near.counts();
    near.transport.send(&message(BEFORE));
    mark();
    near.transport.poll(&mut heard);
    mark();
    let sent = near.counts()["delegated_sent"] - before["delegated_sent"];
    assert_eq!(sent, 1, "{before:?}, {:?}", near.counts());
    near.until(&mut heard, |heard| {
        heard.bytes.len() > usize::try_from(BEFORE).expect("small") * MESSAGE_BYTES
    });
    // The exchange is cut off from here on; one more that is past the kernel, and then more than may be on its way.
    for number in BEFORE + 1..ALL - 1 {
        near.transport.send(&message(number));
        near.transport.poll(&mut heard);
    }
    assert!(near.counts()["ordinary_behind"] > 0, "{:?}", near.counts());
    mark();
    near.transport.send(&message(ALL - 1));
    near.until(&mut heard, |heard| {
        heard.bytes.len() >= usize::try_from(ALL).expect("small") * MESSAGE_BYTES
    });
    mark();
    near.transport.close();
    mark();
}

/// What the exchange has heard, how that ended, and when.
struct Ended {
    bytes: Vec<u8>,
    end: Result<(), ErrorKind>,
    at: Instant,
}

/// An exchange that answers whatever it hears with the same bytes.
fn exchange(listener: TcpListener) -> JoinHandle<Ended> {
    std::thread::spawn(move || {
        let mut stream = accept(&listener);
        let mut bytes = Vec::new();
        let mut part = [0; 4096];
        loop {
            let end = match stream.read(&mut part) {
                Ok(0) => Ok(()),
                Err(error) => Err(error.kind()),
                Ok(len) => {
                    bytes.extend_from_slice(&part[..len]);
                    // It may have gone: what it sent before is read all the same.
                    let _ = stream.write_all(&part[..len]);
                    continue;
                }
            };
            let at = Instant::now();
            return Ended { bytes, end, at };
        }
    })
}

fn start(to: SocketAddrV4) -> Child {
    let us = std::env::current_exe().expect("a program");
    Command::new(us)
        .args(["--ignored", "--exact", "one_that_is_held"])
        .env(TO, to.to_string())
        .stdout(Stdio::null())
        .spawn()
        .expect("a process of our own")
}

/// Lets the process run until it comes to this step from the one before.
fn until_step(watch: &Watch, middle: &Middle, step: usize) -> Call {
    let is_cut = step == CUT;
    let cut = |is_it| middle.faults.is_far_cut.store(is_it, Ordering::SeqCst);
    let (what, held) = STEPS[step];
    let from = Instant::now();
    loop {
        assert!(from.elapsed() < LONG, "it never comes to: {what}");
        let call = watch
            .next()
            .unwrap_or_else(|| panic!("it has ended before: {what}"));
        if call.number == held.number {
            return call;
        }
        if is_cut && call.number == KICK.number {
            // The answer to the one before was heard, so its next kick is the first of those that nobody acknowledges.
            cut(true);
        }
        watch.answer(&call, Fate::Goes);
    }
}

fn go_on(watch: &Watch, middle: &Middle, call: &Call, step: usize) {
    if step == CUT {
        middle.faults.is_far_cut.store(false, Ordering::SeqCst);
    }
    watch.answer(call, Fate::Goes);
}

fn kill(process: &Child, signal: i32) {
    let number = i32::try_from(process.id()).expect("small");
    // SAFETY: a process of our own that is not waited for yet.
    assert_eq!(unsafe { libc::kill(number, signal) }, 0);
}

/// Whether what the exchange heard is what was sent from the first message on: nothing twice, nothing changed.
fn assert_prefix(bytes: &[u8], what: &str) -> u64 {
    let (messages, rest) = bytes.as_chunks::<MESSAGE_BYTES>();
    assert_eq!(rest.len(), 0, "{what}");
    for (number, bytes) in (0..).zip(messages) {
        assert_eq!(*bytes, message(number), "{what}: message {number}");
    }
    messages.len() as u64
}

/// Programs on our interface: for what arrives, and for what leaves.
fn programs() -> (bool, usize) {
    let index = nic::interface_index(NEAR).expect("it is there");
    let arrive = nic::attached(index).expect("the kernel says") != Attached::None;
    let leave = SchedClassifier::query_tcx(NEAR, TcAttachType::Egress);
    (arrive, leave.expect("the kernel says").1.len())
}

#[test]
fn process_that_is_killed_at_any_step_frees_the_exchange_and_takes_its_programs_along() {
    const SECOND: Duration = Duration::from_secs(1);
    in_own_thread(|| {
        let Some((far, middle)) = wire::middle::lay(7) else {
            return;
        };
        for (last, (what, _)) in STEPS.iter().enumerate() {
            let (listener, to) = listen(&far);
            let exchange = exchange(listener);
            let mut child = start(to);
            let watch = Watch::of(&mut child);
            for step in 0..last {
                let call = until_step(&watch, &middle, step);
                go_on(&watch, &middle, &call, step);
            }
            until_step(&watch, &middle, last);
            assert_eq!(programs(), (true, 1), "{what}");
            // What is on its way arrives: the answer to what left past the kernel, too.
            std::thread::sleep(Duration::from_millis(5));
            let killed = Instant::now();
            kill(&child, libc::SIGKILL);
            let ended = exchange.join().expect("it held");
            let took = ended.at.saturating_duration_since(killed);
            assert!(took < SECOND, "{what}: {took:?}");
            assert!(
                matches!(ended.end, Ok(()) | Err(ErrorKind::ConnectionReset)),
                "{what}: {:?}",
                ended.end
            );
            let heard = assert_prefix(&ended.bytes, what);
            let least = [BEFORE, BEFORE + 1, BEFORE + 1, BEFORE + 1, BEFORE + 2];
            let least = least.get(last).copied().unwrap_or(ALL);
            assert!((least..=ALL).contains(&heard), "{what}: {heard}");
            while programs() != (false, 0) {
                assert!(killed.elapsed() < SECOND, "{what}: {:?}", programs());
                std::thread::yield_now();
            }
            eprintln!("{what}: {took:?}, {heard} messages, {:?}", ended.end);
            child.wait().expect("it ends");
            middle.faults.is_far_cut.store(false, Ordering::SeqCst);
        }
    });
}

#[test]
fn process_that_stands_still_at_any_step_goes_on_and_loses_and_doubles_nothing() {
    /// Longer than a kernel waits before it sends again (200 ms).
    const STILL: Duration = Duration::from_millis(230);
    in_own_thread(|| {
        let Some((far, middle)) = wire::middle::lay(7) else {
            return;
        };
        let (listener, to) = listen(&far);
        let exchange = exchange(listener);
        let mut child = start(to);
        let watch = Watch::of(&mut child);
        for (step, (what, held)) in STEPS.iter().enumerate() {
            until_step(&watch, &middle, step);
            kill(&child, libc::SIGSTOP);
            until_stopped(&child);
            std::thread::sleep(STILL);
            until_stopped(&child);
            kill(&child, libc::SIGCONT);
            // The call begins anew.
            let call = watch.next().expect("it goes on");
            assert_eq!(call.number, held.number, "{what}");
            go_on(&watch, &middle, &call, step);
        }
        while let Some(call) = watch.next() {
            watch.answer(&call, Fate::Goes);
        }
        let ended = exchange.join().expect("it held");
        assert_eq!(ended.end, Ok(()), "an orderly end");
        assert_eq!(assert_prefix(&ended.bytes, "to the end"), ALL);
        assert!(child.wait().expect("it ends").success());
    });
}
