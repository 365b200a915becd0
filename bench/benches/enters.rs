//! What two sessions of one core that send in the same turn would gain from one `io_uring_enter` for both: each with a ring of
//! its own, as the gateway has them, and both on one ring, in turns, on real connections over the loopback interface.
//!
//! And which operation hands the bytes over the soonest: a write from a registered buffer, or a send; in turns, on one ring and one connection.
//!
//! `cargo bench -p tickgate-bench --bench enters`. Times from before the first order is handed over, ns.

#![allow(
    missing_docs,
    unsafe_code,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark that submits by hand"
)]

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use hdrhistogram::Histogram;
use io_uring::{IoUring, opcode, squeue, types};
use rt::clock::monotonic_ns;

const ROUNDS: u64 = 100_000;
/// Bytes of an order, framed.
const ORDER_BYTES: u32 = 49;
/// Between two rounds, so that none finds the other's work undone.
const PAUSE_NS: u64 = 5_000;

/// A ring on which these connections send, as the gateway's transport sets it up.
fn ring(connections: &[&TcpStream], order: &'static mut [u8]) -> IoUring {
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag();
    let ring = builder.build(64).expect("a ring");
    let files: Vec<i32> = connections.iter().map(|it| it.as_raw_fd()).collect();
    let submitter = ring.submitter();
    submitter.register_files(&files).expect("files");
    let order = libc::iovec {
        iov_base: order.as_mut_ptr().cast(),
        iov_len: order.len(),
    };
    // SAFETY: the bytes are there for ever, and writes only read them.
    unsafe { submitter.register_buffers(&[order]) }.expect("a buffer");
    ring
}

fn write(connection: u32, order: *const u8) -> squeue::Entry {
    opcode::WriteFixed::new(types::Fixed(connection), order, ORDER_BYTES, 0).build()
}

fn send(connection: u32, order: *const u8) -> squeue::Entry {
    opcode::Send::new(types::Fixed(connection), order, ORDER_BYTES).build()
}

fn push(ring: &mut IoUring, entry: &squeue::Entry) {
    // SAFETY: it names the registered bytes.
    unsafe { ring.submission().push(entry) }.expect("room");
}

fn enter(ring: &IoUring, orders: u32) {
    const GETEVENTS: u32 = 1;
    let submitter = ring.submitter();
    // SAFETY: no argument is passed.
    let entered = unsafe { submitter.enter::<libc::sigset_t>(orders, 0, GETEVENTS, None) };
    entered.expect("submitted");
}

/// The completions of a round, each of them of bytes taken; then a pause.
fn end_round(rings: &mut [&mut IoUring]) {
    for ring in rings {
        ring.completion()
            .for_each(|it| assert_eq!(u32::try_from(it.result()), Ok(ORDER_BYTES)));
    }
    let end_ns = monotonic_ns() + PAUSE_NS;
    while monotonic_ns() < end_ns {
        std::hint::spin_loop();
    }
}

fn histograms<const N: usize>() -> [Histogram<u64>; N] {
    [(); N].map(|()| Histogram::new_with_bounds(1, 1 << 30, 3).expect("bounds"))
}

fn print(names: &[&str], took: &[Histogram<u64>]) {
    for (name, took) in names.iter().zip(took) {
        let at = |quantile| took.value_at_quantile(quantile);
        println!(
            "{name:32} p10 {:6} p50 {:6} p90 {:6}",
            at(0.1),
            at(0.5),
            at(0.9)
        );
    }
}

/// Two connections that send in one turn, each with a ring of its own or both on one.
fn own_or_one(connections: &[TcpStream; 2]) {
    let [first, second] = connections;
    let orders = [(); 3].map(|()| vec![1; ORDER_BYTES as usize].leak());
    let at = orders.each_ref().map(|order| order.as_ptr());
    let [one, other, both] = orders;
    let [mut one, mut other] = [ring(&[first], one), ring(&[second], other)];
    let mut shared = ring(&[first, second], both);
    let mut took = histograms::<3>();
    for _ in 0..ROUNDS {
        let begin_ns = monotonic_ns();
        for ((ring, order), took) in [&mut one, &mut other].into_iter().zip(at).zip(&mut took) {
            push(ring, &send(0, order));
            enter(ring, 1);
            took.saturating_record(monotonic_ns() - begin_ns);
        }
        let begin_ns = monotonic_ns();
        (0..2).for_each(|connection| push(&mut shared, &send(connection, at[2])));
        enter(&shared, 2);
        took[2].saturating_record(monotonic_ns() - begin_ns);
        end_round(&mut [&mut one, &mut other, &mut shared]);
    }
    let names = [
        "own rings: first is handed over",
        "own rings: both are",
        "one ring: both are",
    ];
    print(&names, &took);
}

/// One connection, a write and a send in turns; which of them comes first changes each time.
fn write_or_send(connection: &TcpStream) {
    let order = vec![1; ORDER_BYTES as usize].leak();
    let at = order.as_ptr();
    let mut ring = ring(&[connection], order);
    let mut took = histograms::<2>();
    let [written, sent] = &mut took;
    let (write, send) = (write(0, at), send(0, at));
    let mut turn = |entry: &squeue::Entry, took: &mut Histogram<u64>| {
        let begin_ns = monotonic_ns();
        push(&mut ring, entry);
        enter(&ring, 1);
        took.saturating_record(monotonic_ns() - begin_ns);
        end_round(&mut [&mut ring]);
    };
    for _ in 0..ROUNDS {
        turn(&write, written);
        turn(&send, sent);
        turn(&send, sent);
        turn(&write, written);
    }
    print(&["write from a registered buffer", "send"], &took);
}

fn main() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let connections = [(); 2].map(|()| {
        let connection =
            TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        connection.set_nodelay(true).expect("set");
        let (mut peer, _) = listener.accept().expect("accepted");
        std::thread::spawn(move || {
            let mut room = [0; 1 << 16];
            while peer.read(&mut room).is_ok_and(|len| len > 0) {}
        });
        connection
    });
    own_or_one(&connections);
    write_or_send(&connections[0]);
}
