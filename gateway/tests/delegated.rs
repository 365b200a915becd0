//! What leaves past the kernel's TCP, over a wire between two network namespaces: that it arrives once and whole, and
//! that neither TCP has noticed anything.

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
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use feed_handler::xdp::nic;
use gateway::order::transport::delegated::{DelegatedOptions, Safeguards};
use gateway::order::transport::{Transport, TransportOptions, TransportUser, Way};
use wire::bpf;
use wire::hander::Passed;
use wire::held::until_stopped;
use wire::near::{
    Heard, MESSAGE_BYTES, Near, accept, assert_answers, echo, in_own_thread, listen, message,
};
use wire::{FAR, Far, NEAR, ip};

/// What no TCP does that has noticed nothing.
const NOTICED: [&str; 4] = ["RetransSegs", "InErrs", "TCPLossProbes", "TCPTimeouts"];

fn noticed(far: &Far) -> u64 {
    let [ours, theirs] = [wire::tcp(), far.tcp()];
    let counts = NOTICED.iter().map(|name| ours[*name] + theirs[*name]);
    counts.sum()
}

fn with_safeguards(safeguards: Safeguards) -> TransportOptions {
    let mut options = wire::delegated();
    options.delegated.safeguards = safeguards;
    options
}

/// Runs that may be disturbed: a host that stands still for some milliseconds makes any TCP ask again.
const RUNS: u32 = 10;

#[test]
fn orders_arrive_once_and_in_order_and_no_tcp_sends_anything_again() {
    // One that nothing disturbed is enough: what lacked an acknowledgement would show in each.
    let mut all = Vec::new();
    for _ in 0..RUNS {
        let mut noticed = 0;
        in_own_thread(|| noticed = noticed_in_a_run(Safeguards::Both));
        if noticed == 0 {
            return;
        }
        all.push(noticed);
    }
    panic!("sent again, or asked for, in each run: {all:?}");
}

#[test]
fn same_runs_are_disturbed_where_acknowledgements_are_not_lowered() {
    in_own_thread(|| {
        let Some(_far) = wire::lay() else { return };
        // How often an answer overtakes our own write is the host's to say; in all of them together it does.
        for _ in 0..RUNS {
            let mut noticed = 0;
            in_own_thread(|| noticed = noticed_in_a_run(Safeguards::OnlyStealing));
            if noticed > 0 {
                return;
            }
        }
        panic!("no run was disturbed: the test above proves nothing");
    });
}

fn noticed_in_a_run(safeguards: Safeguards) -> u64 {
    let Some(far) = wire::lay() else { return 0 };
    let (listener, to) = listen(&far);
    let exchange = echo(listener);
    let mut near = Near::open(&with_safeguards(safeguards));
    let mut heard = near.connect(to);
    near.trade(&mut heard, 0, 1_000, 1);
    near.trade(&mut heard, 1_000, 250, 4);
    assert_answers(&heard, 2_000);
    near.transport.close();
    assert_eq!(exchange.join().expect("it held"), 2_000);
    let counts = near.counts();
    let fast = counts["delegated_sent"];
    // The first goes by the kernel, which has not shown its numbers before.
    assert!(fast > 1_500, "{counts:?}");
    let kept = counts["copies_stolen"] + counts["copies_trimmed"];
    let passed = counts["passed_clock"] + counts["passed_options"] + counts["passed_headers"];
    assert_eq!(kept + passed, fast, "{counts:?}");
    if safeguards == Safeguards::Both {
        assert_eq!(near.said(), "", "an orderly run has nothing to say");
    }
    noticed(&far)
}

#[test]
fn acknowledgements_that_run_ahead_harm_where_they_are_not_lowered() {
    in_own_thread(|| {
        let Some(far) = wire::lay() else { return };
        let (listener, to) = listen(&far);
        let exchange = echo(listener);
        let mut near = Near::open(&with_safeguards(Safeguards::OnlyStealing));
        let mut heard = near.connect(to);
        let mut sent = 0;
        // The exchange's TCP has to send answers again that ours has thrown away, since it had not sent the bytes.
        while far.tcp()["RetransSegs"] < 3 {
            assert!(sent < 200_000, "it never was: {:?}", near.counts());
            near.trade(&mut heard, sent, 50, 1);
            sent += 50;
        }
        near.transport.close();
        assert_eq!(exchange.join().expect("it held"), sent);
    });
}

#[test]
fn loss_doubling_reordering_and_corruption_both_ways_lose_and_double_nothing() {
    in_own_thread(|| {
        let Some((far, middle)) = wire::middle::lay(7) else {
            return;
        };
        let (listener, to) = listen(&far);
        let exchange = echo(listener);
        let mut near = Near::open(&wire::delegated());
        let mut heard = near.connect(to);
        middle.faults.one_in.store(50, Ordering::Relaxed);
        near.trade(&mut heard, 0, 400, 4);
        near.trade(&mut heard, 1_600, 400, 1);
        middle.faults.one_in.store(0, Ordering::Relaxed);
        assert_answers(&heard, 2_000);
        near.transport.close();
        assert_eq!(exchange.join().expect("it held"), 2_000);
        let counts = near.counts();
        eprintln!("{counts:?}");
        assert!(counts["delegated_sent"] > 500, "{counts:?}");
        assert!(counts["passed_again"] > 0, "{counts:?}");
        assert!(counts["unbelieved"] > 0, "{counts:?}");
    });
}

/// A TCP segment with bytes, of a frame.
#[derive(Debug, PartialEq, Eq)]
struct Segment {
    /// Ethernet, and IPv4 without identification and checksum.
    header: Vec<u8>,
    ports: [u8; 4],
    number: u32,
    bytes: Vec<u8>,
}

fn segment(frame: &[u8]) -> Option<Segment> {
    if frame.get(12..14)? != [8, 0] || frame.get(23)? != &6 {
        return None;
    }
    let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let at = 34 + usize::from(frame[46] >> 4) * 4;
    let bytes = frame.get(at..14 + total)?.to_vec();
    let header = [&frame[..18], &frame[20..24], &frame[26..34]].concat();
    let is_data = !bytes.is_empty();
    is_data.then(|| Segment {
        header,
        ports: frame[34..38].try_into().expect("four"),
        number: u32::from_be_bytes(frame[38..42].try_into().expect("four")),
        bytes,
    })
}

/// Trades with somebody in the middle, who loses nothing: the frames that came by.
fn frames_of_a_clean_run(safeguards: Safeguards) -> Option<Vec<Passed>> {
    let (far, middle) = wire::middle::lay(7)?;
    let (listener, to) = listen(&far);
    let exchange = echo(listener);
    let mut near = Near::open(&with_safeguards(safeguards));
    let mut heard = near.connect(to);
    near.trade(&mut heard, 0, 200, 1);
    near.trade(&mut heard, 200, 50, 4);
    near.transport.close();
    assert_eq!(exchange.join().expect("it held"), 400);
    assert!(near.counts()["delegated_sent"] > 350);
    Some(middle.take())
}

#[test]
fn copies_that_are_not_kept_back_are_the_same_bytes_at_the_same_numbers() {
    in_own_thread(|| {
        let Some(frames) = frames_of_a_clean_run(Safeguards::OnlyLowering) else {
            return;
        };
        let ours = frames.iter().filter(|frame| frame.is_from_near);
        let mut by_number: BTreeMap<u32, Vec<Segment>> = BTreeMap::new();
        for segment in ours.filter_map(|frame| segment(&frame.bytes)) {
            by_number.entry(segment.number).or_default().push(segment);
        }
        let mut pairs = 0;
        for same in by_number.values() {
            assert!(same.iter().all(|segment| *segment == same[0]), "{same:?}");
            pairs += usize::from(same.len() > 1);
        }
        assert!(pairs > 350, "{pairs} of {}", by_number.len());
    });
}

/// Frames that tshark finds something wrong with.
fn wrong_to_tshark(frames: &[Passed]) -> Option<String> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let head = [0xA1B2_C3D4_u32, 2 | 4 << 16, 0, 0, 1 << 16, 1];
    let mut bytes: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).collect();
    for (at, frame) in (0u32..).zip(frames) {
        let len = u32::try_from(frame.bytes.len()).expect("short");
        let record = [at / 1_000_000, at % 1_000_000, len, len];
        bytes.extend(record.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(&frame.bytes);
    }
    file.write_all(&bytes).expect("written");
    // Linux writes a checksum of 0 as 0xffff, where tshark wants 0: one of 65,536 of its own.
    let wrong = "_ws.malformed || (tcp.checksum.status == 0 && tcp.checksum != 0xffff) || ip.checksum.status == 0 || tcp.analysis.retransmission \
                 || tcp.analysis.fast_retransmission || tcp.analysis.spurious_retransmission || tcp.analysis.out_of_order \
                 || tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment";
    let output = Command::new("tshark")
        .args([
            "-o",
            "tcp.check_checksum:TRUE",
            "-o",
            "ip.check_checksum:TRUE",
            "-Y",
            wrong,
            "-r",
        ])
        .arg(file.path())
        .output();
    let Ok(output) = output else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: no tshark");
        return None;
    };
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn tshark_finds_nothing_wrong_at_the_exchange_and_sees_copies_where_they_are_not_kept_back() {
    in_own_thread(|| {
        let Some(clean) = frames_of_a_clean_run(Safeguards::Both) else {
            return;
        };
        let Some(wrong) = wrong_to_tshark(&clean) else {
            return;
        };
        assert_eq!(wrong, "", "of {} frames", clean.len());
        let twice = frames_of_a_clean_run(Safeguards::OnlyLowering).expect("root");
        let wrong = wrong_to_tshark(&twice).expect("as before");
        assert!(wrong.lines().count() > 350, "{wrong}");
    });
}

#[test]
fn another_address_of_the_exchange_and_a_link_that_goes_down_are_the_kernels_to_see() {
    in_own_thread(|| {
        let Some(far) = wire::lay() else { return };
        let (listener, to) = listen(&far);
        let exchange = echo(listener);
        let mut near = Near::open(&wire::delegated());
        let mut heard = near.connect(to);
        near.trade(&mut heard, 0, 100, 1);
        far.run(|| ip(&format!("link set {FAR} address 02:00:00:00:00:77")));
        ip(&format!("neigh flush dev {NEAR}"));
        near.trade(&mut heard, 100, 100, 1);
        let counts = near.counts();
        assert!(counts["passed_headers"] > 0, "{counts:?}");
        assert!(counts["delegated_sent"] > 150, "{counts:?}");
        let said = near.said();
        assert!(
            said.contains("the exchange's address or the route has changed"),
            "{said}"
        );

        // The first frame stays in the ring; while it does, nothing else goes there.
        ip(&format!("link set {NEAR} down"));
        for number in 200..204 {
            near.transport.send(&message(number));
            near.transport.poll(&mut heard);
        }
        let counts = near.counts();
        assert_eq!(counts["ordinary_refused"], 1, "{counts:?}");
        assert_eq!(counts["ordinary_no_frame"], 3, "{counts:?}");
        let said = near.said();
        assert!(
            said.contains("session test: 1 writes took the ordinary path: the link is down"),
            "{said}"
        );
        assert!(
            said.contains(
                "session test: 3 writes took the ordinary path: the kernel has not sent a frame"
            ),
            "{said}"
        );
        ip(&format!("link set {NEAR} up"));
        near.until(&mut heard, |heard| heard.bytes.len() >= 204 * MESSAGE_BYTES);
        let before = near.counts()["delegated_sent"];
        near.trade(&mut heard, 204, 96, 1);
        assert!(
            near.counts()["delegated_sent"] > before + 48,
            "{:?}",
            near.counts()
        );
        assert_answers(&heard, 300);
        near.transport.close();
        assert_eq!(exchange.join().expect("it held"), 300);
    });
}

/// As many messages as are twice the window of an exchange that does not read ([`listen_narrow`]): the rest waits in the kernel.
const FILLING: u64 = 400;

fn listen_narrow(far: &Far) -> (TcpListener, SocketAddrV4) {
    let (listener, to) = listen(far);
    let narrow = socket2::SockRef::from(&listener).set_recv_buffer_size(8192);
    narrow.expect("set");
    (listener, to)
}

fn fill_window(near: &mut Near, heard: &mut Heard) {
    for number in 0..FILLING {
        near.transport.send(&message(number));
        near.transport.poll(heard);
    }
}

#[test]
fn what_waits_for_the_exchange_arrives_after_it_has_said_its_last_word() {
    in_own_thread(|| {
        let Some(far) = wire::lay() else { return };
        let (listener, to) = listen_narrow(&far);
        let mut near = Near::open(&wire::delegated());
        let mut heard = near.connect(to);
        let mut stream = accept(&listener);
        fill_window(&mut near, &mut heard);
        stream.shutdown(Shutdown::Write).expect("half closed");
        while heard.closed.is_none() {
            near.transport.poll(&mut heard);
            std::thread::yield_now();
        }
        assert_eq!(heard.closed, Some(0));
        let bytes = rest(&mut stream).expect("an orderly end");
        let (messages, _) = bytes.as_chunks::<MESSAGE_BYTES>();
        let sent: Vec<_> = (0..FILLING).map(message).collect();
        assert_eq!(messages, sent);
    });
}

#[test]
fn exchange_that_does_not_read_closes_its_window_and_the_kernel_waits_for_it() {
    in_own_thread(|| {
        let Some(far) = wire::lay() else { return };
        let (listener, to) = listen_narrow(&far);
        let mut near = Near::open(&wire::delegated());
        let mut heard = near.connect(to);
        let mut stream = accept(&listener);
        fill_window(&mut near, &mut heard);
        let said = near.said();
        let why = ["the exchange's window has no room", "waits in the kernel"];
        assert!(why.iter().any(|why| said.contains(why)), "{said}");
        for number in 0..FILLING {
            let mut bytes = [0; MESSAGE_BYTES];
            stream.set_nonblocking(true).expect("set");
            let mut at = 0;
            while at < MESSAGE_BYTES {
                near.transport.poll(&mut heard);
                at += stream.read(&mut bytes[at..]).unwrap_or(0);
            }
            assert_eq!(bytes, message(number), "message {number}");
        }
        assert_eq!(heard.closed, None);
    });
}

#[test]
fn program_that_is_taken_off_by_hand_ends_the_lane_and_loses_nothing() {
    in_own_thread(|| {
        for (program, what) in [("leave", "leaves"), ("arrive", "arrives")] {
            let Some(far) = wire::lay() else { return };
            let (listener, to) = listen(&far);
            let exchange = echo(listener);
            let mut near = Near::open(&wire::delegated());
            let mut heard = near.connect(to);
            near.trade(&mut heard, 0, 100, 1);
            let fast = near.counts()["delegated_sent"];
            assert!(fast > 50, "{:?}", near.counts());
            bpf::take_off(program, nic::interface_index(NEAR).expect("it is there"));
            // Before anybody has noticed, and after. More than may be on its way: the kernel hears what is acknowledged.
            near.trade(&mut heard, 100, 100, 1);
            let said = near.said();
            let expected =
                format!("session test: the program for what {what} was taken off its interface");
            assert!(said.contains(&expected), "{said}");
            assert!(!near.said().contains("taken off"), "told once");
            let before = near.counts();
            near.trade(&mut heard, 200, 45, 1);
            near.trade(&mut heard, 245, 50, 4);
            assert_answers(&heard, 445);
            let after = near.counts();
            assert_eq!(
                after["delegated_sent"], before["delegated_sent"],
                "{after:?}"
            );
            assert_eq!(
                after["ordinary_detached"],
                before["ordinary_detached"] + 245,
                "{after:?}"
            );
            near.transport.close();
            assert_eq!(exchange.join().expect("it held"), 445, "{program}");
        }
    });
}

/// What the exchange hears to the end, once it looks.
fn rest(stream: &mut TcpStream) -> Result<Vec<u8>, ErrorKind> {
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes);
    end.map(|_| bytes).map_err(|error| error.kind())
}

/// Sends one message after the other, each taken before the next; the first goes by the kernel.
fn send_apart(near: &mut Near, heard: &mut Heard, count: u64) {
    for number in 0..count {
        near.transport.send(&message(number));
        near.transport.poll(heard);
    }
    assert_eq!(near.counts()["delegated_sent"], count - 1);
}

#[test]
fn lane_is_there_again_for_the_connection_after_a_link_that_went_down() {
    in_own_thread(|| {
        let Some(far) = wire::lay() else { return };
        let (listener, to) = listen(&far);
        let mut near = Near::open(&wire::delegated());
        let mut heard = near.connect(to);
        let first = accept(&listener);
        send_apart(&mut near, &mut heard, 10);
        ip(&format!("link set {NEAR} down"));
        near.transport.send(&message(10));
        assert_eq!(near.counts()["ordinary_refused"], 1);
        near.transport.close();
        ip(&format!("link set {NEAR} up"));
        let exchange = echo(listener);
        let mut heard = near.connect(to);
        near.trade(&mut heard, 0, 100, 1);
        let counts = near.counts();
        assert!(counts["delegated_sent"] > 9 + 50, "{counts:?}");
        assert_eq!(counts["connections_elsewhere"], 0, "{counts:?}");
        near.transport.close();
        assert_eq!(exchange.join().expect("it held"), 100);
        drop(first);
    });
}

#[test]
fn connection_whose_address_is_refused_goes_without_the_lane() {
    in_own_thread(|| {
        let Some(far) = wire::lay() else { return };
        let (listener, to) = listen(&far);
        let (other, there) = listen(&far);
        let range = "/proc/sys/net/ipv4/ip_local_port_range";
        std::fs::write(range, "50000 50000").expect("one port");
        // Has the only port, to elsewhere: connecting may take it a second time, binding may not.
        let taken = TcpStream::connect(there).expect("a connection");
        let mut near = Near::open(&wire::delegated());
        let exchange = echo(listener);
        let mut heard = near.connect(to);
        near.trade(&mut heard, 0, 10, 1);
        let counts = near.counts();
        assert_eq!(counts["delegated_sent"], 0, "{counts:?}");
        assert_eq!(counts["connections_refused"], 1, "{counts:?}");
        let said = near.said();
        assert!(said.contains("(connections_refused)"), "{said}");
        near.transport.close();
        assert_eq!(exchange.join().expect("it held"), 10);
        drop((taken, other));
    });
}

#[test]
fn copy_that_the_kernel_sends_in_pieces_goes_out_whole() {
    in_own_thread(|| {
        let Some(far) = wire::lay() else { return };
        let (listener, to) = listen(&far);
        let mut near = Near::open(&wire::delegated());
        let mut heard = near.connect(to);
        let mut stream = accept(&listener);
        send_apart(&mut near, &mut heard, 10);
        let before = near.counts();
        // The path takes less; what has left already was too long for it.
        ip(&format!(
            "route replace {} dev {NEAR} mtu 600",
            wire::FAR_IP
        ));
        let long: Vec<u8> = (0..1400u32).map(|at| at.to_le_bytes()[0]).collect();
        near.transport.send(&long);
        near.transport.close();
        let bytes = rest(&mut stream).expect("an orderly end");
        assert_eq!(bytes.get(10 * MESSAGE_BYTES..), Some(&long[..]));
        let counts = near.counts();
        assert_eq!(counts["delegated_sent"], 10, "{counts:?}");
        assert!(counts["passed_split"] > 0, "{counts:?}");
        for kept in ["copies_stolen", "copies_trimmed"] {
            assert_eq!(counts[kept], before[kept], "{counts:?}");
        }
    });
}

/// Whether there is a lane, or why it is refused.
struct Look;

impl TransportUser for Look {
    type Made = bool;

    fn with<T: Transport + Send + 'static>(self, transport: T) -> bool {
        transport.counts().is_some()
    }
}

fn look(options: &TransportOptions) -> Result<bool, String> {
    let looked = Way::Delegated.open(options, Look);
    looked.map_err(|error| error.to_string())
}

#[test]
fn without_a_lane_the_session_goes_as_before_or_is_refused_with_the_reason() {
    in_own_thread(|| {
        let mut options = wire::delegated();
        options.delegated.exchange = Some(Ipv4Addr::LOCALHOST);
        let refused = look(&options).expect_err("no lane");
        let expected = "required delegated, but lo is no Ethernet interface";
        assert!(refused.starts_with(expected), "{refused}");
        options.delegated.is_required = false;
        assert_eq!(look(&options), Ok(false));

        let Some(_far) = wire::lay() else { return };
        assert_eq!(look(&wire::delegated()), Ok(true));
        let refused = |change: fn(&mut DelegatedOptions)| {
            let mut options = wire::delegated();
            change(&mut options.delegated);
            look(&options).expect_err("no lane")
        };
        let taken = refused(|options| options.feeds_on = vec![NEAR.to_owned()]);
        assert!(
            taken.contains("a feed receives by AF_XDP on tg-near"),
            "{taken}"
        );
        let unknown = refused(|options| options.interface = Some("tg-none".to_owned()));
        assert!(unknown.contains("tg-none: No such device"), "{unknown}");
        let unreachable = refused(|options| options.exchange = Some(Ipv4Addr::new(192, 0, 2, 1)));
        assert!(
            unreachable.contains("no route to 192.0.2.1"),
            "{unreachable}"
        );
        let queue = refused(|options| options.queue = 77);
        assert!(queue.contains("tg-near, queue 77"), "{queue}");

        ip(&format!("link set {NEAR} mtu 9000"));
        let jumbo = refused(|_| ());
        assert!(jumbo.contains("tg-near has an MTU of 9000"), "{jumbo}");
        ip(&format!("link set {NEAR} mtu 1500"));

        let first = Near::open(&wire::delegated());
        let second = refused(|_| ());
        assert!(
            second.contains("one interface, one delegated session"),
            "{second}"
        );
        drop(first);
        assert_eq!(look(&wire::delegated()), Ok(true));
    });
}

/// Where to it connects.
const STOPPED: &str = "TICKGATE_TEST_STOPPED";

#[test]
fn process_that_was_stopped_goes_on_where_it_was() {
    in_own_thread(|| {
        let Some(far) = wire::lay() else { return };
        let (listener, to) = listen(&far);
        let us = std::env::current_exe().expect("a program");
        let mut child = Command::new(us)
            .args(["--ignored", "--exact", "one_that_is_stopped"])
            .env(STOPPED, to.to_string())
            .spawn()
            .expect("a process of our own");
        let mut stream = accept(&listener);
        let number = i32::try_from(child.id()).expect("small");
        let (mut next, mut stops) = (0, 0);
        for signal in [libc::SIGSTOP, libc::SIGCONT].repeat(20) {
            // Wherever it is: a signal that stops a process does not ask.
            let mut bytes = [0; MESSAGE_BYTES];
            for _ in 0..if signal == libc::SIGSTOP { 37 } else { 0 } {
                stream.read_exact(&mut bytes).expect("a message");
                assert_eq!(bytes, message(next), "message {next}");
                stream.write_all(&bytes).expect("answered");
                next += 1;
            }
            // SAFETY: a process of our own that is not waited for yet.
            assert_eq!(unsafe { libc::kill(number, signal) }, 0);
            if signal == libc::SIGSTOP {
                until_stopped(&child);
                stops += 1;
                // Now and then for longer than its kernel waits before it sends again.
                std::thread::sleep(Duration::from_millis(if stops % 5 == 0 { 300 } else { 5 }));
            }
        }
        let mut bytes = [0; MESSAGE_BYTES];
        while stream.read_exact(&mut bytes).is_ok() {
            assert_eq!(bytes, message(next), "message {next}");
            stream.write_all(&bytes).expect("answered");
            next += 1;
        }
        assert!(child.wait().expect("it ends").success());
        assert_eq!(next, 2_000);
    });
}

#[test]
#[ignore = "a process of another test's"]
fn one_that_is_stopped() {
    let to = std::env::var(STOPPED).expect("where to");
    let mut near = Near::open(&wire::delegated());
    let mut heard = near.connect(to.parse().expect("an address"));
    near.trade(&mut heard, 0, 2_000, 1);
    assert_answers(&heard, 2_000);
    assert!(
        near.counts()["delegated_sent"] > 1_000,
        "{:?}",
        near.counts()
    );
}
