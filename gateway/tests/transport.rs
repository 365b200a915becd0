//! What every byte stream to an exchange must do, against a real TCP peer on loopback, and with a lane past the
//! kernel's TCP over a wire between two network namespaces.
//!
//! A new transport joins with its line in `order::transport`. A transport that the host does not allow
//! (`sqpoll` in some containers) is told as skipped.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod wire;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::time::Duration;

use gateway::order::transport::{Transport, TransportEvent, TransportOptions, TransportUser, Way};
use socket2::{Domain, SockRef, Socket, Type};

/// Polls after which a test gives up: far more than anything takes, so that a lost byte is a failure and
/// no hang.
const POLLS_MAX: u32 = 5_000_000;

/// Polls in which something wrong would have shown.
const POLLS_SILENT: u32 = 20_000;

/// The exchange's end.
struct Peer {
    listener: TcpListener,
    address: SocketAddrV4,
}

impl Peer {
    /// `receive_bytes`: the kernel's buffer for what is not read yet, small to make writes wait.
    fn new(ip: Ipv4Addr, receive_bytes: Option<usize>) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes).expect("set");
        }
        let any = SocketAddrV4::new(ip, 0);
        socket.bind(&any.into()).expect("bound");
        socket.listen(16).expect("it listens");
        let listener = TcpListener::from(socket);
        let port = listener.local_addr().expect("an address").port();
        Self {
            listener,
            address: SocketAddrV4::new(ip, port),
        }
    }

    fn accept(&self) -> TcpStream {
        let stream = self.listener.accept().expect("a connection").0;
        // Against a hang only: nothing waits for it where all is well.
        let hang = Some(Duration::from_secs(30));
        stream.set_read_timeout(hang).expect("set");
        stream.set_nodelay(true).expect("set");
        stream
    }
}

/// Ends a connection with RST.
fn reset(stream: TcpStream) {
    let now = Some(Duration::ZERO);
    SockRef::from(&stream).set_linger(now).expect("set");
    drop(stream);
}

/// The stream under test and what it has told.
struct Ours<T> {
    to: SocketAddrV4,
    transport: T,
    connected: u32,
    bytes: Vec<u8>,
    closed: Vec<i32>,
}

impl<T: Transport> Ours<T> {
    fn poll(&mut self) -> usize {
        let (connected, bytes, closed) = (&mut self.connected, &mut self.bytes, &mut self.closed);
        let mut told = 0;
        // As an idle order stage does between any two turns.
        self.transport.prefetch();
        let count = self.transport.poll(|news| {
            told += 1;
            match news {
                TransportEvent::Connected => *connected += 1,
                TransportEvent::Bytes(new) => {
                    assert!(!new.is_empty(), "no bytes are no news");
                    bytes.extend_from_slice(new);
                }
                TransportEvent::Closed(errno) => closed.push(errno),
            }
        });
        assert!(told <= count, "{told} things told, {count} counted");
        std::thread::yield_now();
        told
    }

    fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        for _ in 0..POLLS_MAX {
            if is_so(self) {
                return;
            }
            self.poll();
        }
        panic!(
            "never {what}: connected {}, {} bytes, closed {:?}",
            self.connected,
            self.bytes.len(),
            self.closed
        );
    }

    /// A connection that stands, and the peer's end of it.
    fn connect(&mut self, peer: &Peer) -> TcpStream {
        let before = self.connected;
        self.transport.connect(self.to);
        self.until("connected", |ours| ours.connected > before);
        peer.accept()
    }

    fn commit(&mut self, bytes: &[u8]) {
        self.transport.room()[..bytes.len()].copy_from_slice(bytes);
        self.transport.commit(bytes.len());
    }

    fn send(&mut self, bytes: &[u8]) {
        self.commit(bytes);
        self.transport.flush();
    }

    fn hears_nothing_more(&mut self) {
        let before = (self.connected, self.bytes.len(), self.closed.clone());
        for _ in 0..POLLS_SILENT {
            assert_eq!(self.poll(), 0, "after {:?}", self.closed);
        }
        let after = (self.connected, self.bytes.len(), self.closed.clone());
        assert_eq!(before, after);
    }

    /// Polls until the peer has read this many bytes.
    fn until_read(&mut self, stream: &mut TcpStream, count: usize) -> Vec<u8> {
        let mut read = vec![0; count];
        let mut at = 0;
        stream.set_nonblocking(true).expect("set");
        self.until("read by the peer", |_| {
            match stream.read(&mut read[at..]) {
                Ok(len) => {
                    assert!(len > 0 || at == count, "ended after {at} of {count} bytes");
                    at += len;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error} after {at} of {count} bytes"),
            }
            at == count
        });
        stream.set_nonblocking(false).expect("set");
        read
    }
}

/// Bytes of which each says where it stands, so that one lost, doubled or moved is seen.
fn numbered(from: usize, count: usize) -> Vec<u8> {
    (from..from + count)
        .map(|at| at.wrapping_mul(0x9E37_79B9).to_le_bytes()[2])
        .collect()
}

fn bytes_go_both_ways_in_order<T: Transport>(ours: &mut Ours<T>, peer: &Peer) {
    let mut theirs = ours.connect(peer);
    let (mut sent, mut answered) = (0, 0);
    for len in [1, 2, 3, 49, 1000, 4096, 4097, 30_000, 1] {
        ours.send(&numbered(sent, len));
        assert_eq!(ours.until_read(&mut theirs, len), numbered(sent, len));
        sent += len;
        // More than a receive buffer of any transport at once.
        theirs
            .write_all(&numbered(answered, 3 * len))
            .expect("sent");
        answered += 3 * len;
        ours.until("answered", |ours| ours.bytes.len() >= answered);
    }
    assert!(ours.bytes == numbered(0, answered));
    assert_eq!((ours.connected, ours.closed.len()), (1, 0));
}

fn several_commits_and_one_flush_arrive_as_one_stream<T: Transport>(
    ours: &mut Ours<T>,
    peer: &Peer,
) {
    let mut theirs = ours.connect(peer);
    for at in 0..100 {
        ours.commit(&numbered(at * 50, 50));
    }
    ours.transport.flush();
    assert!(ours.until_read(&mut theirs, 5000) == numbered(0, 5000));
}

fn room_is_exhausted_by_a_peer_that_does_not_read_and_nothing_is_lost<T: Transport>(
    ours: &mut Ours<T>,
    peer: &Peer,
) {
    let mut theirs = ours.connect(peer);
    let (mut sent, mut silent) = (0, 0);
    // Until both kernels' buffers and the room are full and stay full.
    while silent < POLLS_SILENT {
        let len = ours.transport.room().len().min(1777);
        if len == 0 {
            silent += 1;
        } else {
            silent = 0;
            ours.send(&numbered(sent, len));
            sent += len;
        }
        ours.poll();
        assert!(sent < 256 << 20, "the room never fills");
    }
    assert!(ours.closed.is_empty(), "{:?}", ours.closed);
    let mut heard = 0;
    // Slowly, and more is sent as soon as there is room.
    let goal = sent + (1 << 20);
    while heard < goal {
        // The peer may have everything before we hear that it went.
        ours.until("room again", |ours| {
            sent > heard || !ours.transport.room().is_empty()
        });
        let part = 7001.min(sent - heard);
        let read = ours.until_read(&mut theirs, part);
        assert!(read == numbered(heard, part), "from {heard} on");
        heard += part;
        let len = ours.transport.room().len().min(goal - sent).min(977);
        if len > 0 {
            ours.send(&numbered(sent, len));
            sent += len;
        }
    }
    assert_eq!((heard, ours.closed.len()), (goal, 0));
}

fn room_comes_back_under_traffic_that_never_pauses<T: Transport>(ours: &mut Ours<T>, peer: &Peer) {
    const LEN: usize = 100;
    let mut theirs = ours.connect(peer);
    let whole = ours.transport.room().len();
    ours.send(&numbered(0, LEN));
    for number in 1..3 * whole / LEN {
        // Committed while the one before is under way, so something always waits.
        ours.commit(&numbered(number * LEN, LEN));
        let read = ours.until_read(&mut theirs, LEN);
        assert!(
            read == numbered((number - 1) * LEN, LEN),
            "message {number}"
        );
        ours.transport.flush();
        let room = ours.transport.room().len();
        assert!(
            room > whole / 4,
            "{room} of {whole} with two messages under way"
        );
    }
}

fn refused_connection_is_told_once_and_the_next_try_may_succeed<T: Transport>(
    ours: &mut Ours<T>,
    peer: Peer,
) {
    let address = peer.address;
    drop(peer);
    for _ in 0..3 {
        ours.closed.clear();
        ours.transport.connect(ours.to);
        ours.until("refused", |ours| !ours.closed.is_empty());
        assert_eq!(
            (ours.connected, &*ours.closed),
            (0, &[libc::ECONNREFUSED][..])
        );
        ours.hears_nothing_more();
    }
    let Ok(listener) = TcpListener::bind(address) else {
        return eprintln!("SKIPPED: the port was taken meanwhile");
    };
    let mut theirs = ours.connect(&Peer { listener, address });
    ours.send(b"again");
    assert_eq!(ours.until_read(&mut theirs, 5), b"again");
}

fn peer_ends_at_each_point_told_once_and_nothing_after<T: Transport>(
    ours: &mut Ours<T>,
    peer: &Peer,
) {
    let end = |ours: &mut Ours<T>, how: &str| {
        let mut theirs = ours.connect(peer);
        ours.bytes.clear();
        ours.closed.clear();
        let expected = match how {
            "fin" => {
                drop(theirs);
                (0, 0)
            }
            "rst" => {
                reset(theirs);
                (0, libc::ECONNRESET)
            }
            "fin in the middle of a message" => {
                theirs.write_all(&numbered(0, 25)).expect("sent");
                drop(theirs);
                (25, 0)
            }
            "half-close" => {
                theirs.write_all(&numbered(0, 25)).expect("sent");
                theirs.shutdown(Shutdown::Write).expect("shut");
                (25, 0)
            }
            _ => {
                ours.send(&numbered(0, 49));
                ours.until_read(&mut theirs, 20);
                reset(theirs);
                (0, libc::ECONNRESET)
            }
        };
        ours.until("closed", |ours| !ours.closed.is_empty());
        assert_eq!(
            (ours.bytes.len(), &*ours.closed),
            (expected.0, &[expected.1][..]),
            "{how}"
        );
        assert!(ours.bytes == numbered(0, expected.0), "{how}");
        ours.send(b"into the void");
        ours.hears_nothing_more();
    };
    for how in [
        "fin",
        "rst",
        "fin in the middle of a message",
        "half-close",
        "rst in the middle of ours",
    ] {
        end(ours, how);
        end(ours, how);
    }
}

fn peer_that_resets_before_it_accepts_is_told_once<T: Transport>(ours: &mut Ours<T>, peer: Peer) {
    ours.transport.connect(ours.to);
    // What is in the queue of a listener that goes is reset.
    drop(peer);
    ours.until("closed", |ours| !ours.closed.is_empty());
    assert_eq!(ours.closed.len(), 1);
    assert_ne!(ours.closed, [0]);
    ours.hears_nothing_more();
}

fn connections_one_after_another_keep_their_bytes_apart<T: Transport>(
    ours: &mut Ours<T>,
    peer: &Peer,
) {
    for round in 0..60u8 {
        let mut theirs = ours.connect(peer);
        ours.bytes.clear();
        ours.send(&[round; 500]);
        theirs.write_all(&[round; 500]).expect("sent");
        assert_eq!(ours.until_read(&mut theirs, 500), [round; 500]);
        ours.until("answered", |ours| ours.bytes.len() >= 500);
        // What is still on its way, either way, when the connection is given up.
        theirs.write_all(&[round; 3000]).expect("sent");
        ours.send(&[round; 300]);
        ours.commit(&[round; 300]);
        assert!(
            ours.bytes.iter().all(|byte| *byte == round),
            "round {round}"
        );
        if round % 2 == 0 {
            ours.transport.close();
            ours.hears_nothing_more();
        }
        // Odd rounds connect again without closing: that closes too.
    }
    assert!(ours.closed.is_empty(), "{:?}", ours.closed);
}

fn connecting_again_ends_the_connection_before<T: Transport>(ours: &mut Ours<T>, peer: &Peer) {
    let mut old = ours.connect(peer);
    let mut new = ours.connect(peer);
    assert!(matches!(old.read(&mut [0; 10]), Ok(0) | Err(_)));
    ours.send(b"new");
    assert_eq!(ours.until_read(&mut new, 3), b"new");
}

fn closing_while_connecting_is_silent<T: Transport>(ours: &mut Ours<T>, peer: &Peer) {
    for _ in 0..20 {
        ours.transport.connect(ours.to);
        ours.transport.close();
        ours.hears_nothing_more();
        // A kernel thread may find the attempt given up before it began: then there is nothing to accept.
        peer.listener.set_nonblocking(true).expect("set");
        while let Ok((mut theirs, _)) = peer.listener.accept() {
            assert!(matches!(theirs.read(&mut [0; 10]), Ok(0) | Err(_)));
        }
        peer.listener.set_nonblocking(false).expect("set");
    }
    let mut theirs = ours.connect(peer);
    ours.send(b"after all");
    assert_eq!(ours.until_read(&mut theirs, 9), b"after all");
}

fn closing_after_a_refusal_that_was_not_heard_is_silent<T: Transport>(
    ours: &mut Ours<T>,
    peer: Peer,
) {
    drop(peer);
    ours.transport.connect(ours.to);
    ours.transport.close();
    ours.hears_nothing_more();
    ours.transport.close();
    ours.hears_nothing_more();
}

fn without_connection_flush_and_poll_do_nothing<T: Transport>(ours: &mut Ours<T>, peer: &Peer) {
    ours.transport.flush();
    ours.hears_nothing_more();
    let mut theirs = ours.connect(peer);
    for _ in 0..100 {
        ours.transport.flush();
    }
    ours.hears_nothing_more();
    ours.send(b"x");
    assert_eq!(ours.until_read(&mut theirs, 1), b"x");
    ours.transport.close();
    ours.transport.flush();
    ours.hears_nothing_more();
    // The peer sees the end, after everything that was sent.
    assert_eq!(theirs.read(&mut [0; 10]).ok(), Some(0));
}

/// Makes a transport ready; `None`: not on this host.
fn ready<T: Transport>(mut transport: T, to: SocketAddrV4) -> Option<Ours<T>> {
    if let Err(error) = transport.start() {
        eprintln!("SKIPPED: this host does not allow the transport: {error}");
        return None;
    }
    Some(Ours {
        to,
        transport,
        connected: 0,
        bytes: Vec::new(),
        closed: Vec::new(),
    })
}

/// A lane past the kernel's TCP leads out of the host, so its exchange is at the far end of a wire.
fn over_a_wire(receive_bytes: Option<usize>, judge: impl FnOnce(&TransportOptions, Peer) + Send) {
    std::thread::scope(|scope| {
        // The thread's namespace is its own from there on.
        let judged = scope.spawn(|| {
            let Some(far) = wire::lay() else { return };
            eprintln!("delegated, over a wire");
            let peer = far.run(move || Peer::new(wire::FAR_IP, receive_bytes));
            judge(&wire::delegated(), peer);
        });
        judged.join().expect("judged");
    });
}

/// Each test for every transport, with this buffer for what the peer has not read.
macro_rules! every_transport {
    ($mod:ident, $buffer:expr, $peer:ident $borrow:expr, $($test:ident,)+) => { mod $mod { use super::*; $(
        #[test]
        fn $test() {
            struct Judge(Peer);
            impl TransportUser for Judge {
                type Made = ();

                fn with<T: Transport + Send + 'static>(self, transport: T) {
                    let $peer = self.0;
                    if let Some(mut ours) = ready(transport, $peer.address) {
                        super::$test(&mut ours, $borrow);
                    }
                }
            }
            for way in Way::ALL {
                eprintln!("{}", way.name());
                let peer = Peer::new(Ipv4Addr::LOCALHOST, $buffer);
                way.open(&TransportOptions::PLAIN, Judge(peer))
                    .expect("memory");
            }
            over_a_wire($buffer, |options, peer| {
                Way::Delegated.open(options, Judge(peer)).expect("a lane");
            });
        }
    )+ } };
}

every_transport!(
    with_a_peer,
    None,
    peer & peer,
    bytes_go_both_ways_in_order,
    several_commits_and_one_flush_arrive_as_one_stream,
    room_comes_back_under_traffic_that_never_pauses,
    peer_ends_at_each_point_told_once_and_nothing_after,
    connections_one_after_another_keep_their_bytes_apart,
    connecting_again_ends_the_connection_before,
    closing_while_connecting_is_silent,
    without_connection_flush_and_poll_do_nothing,
);
every_transport!(
    with_a_peer_of_little_room,
    Some(4096),
    peer & peer,
    room_is_exhausted_by_a_peer_that_does_not_read_and_nothing_is_lost,
);
every_transport!(with_a_peer_that_goes, None, peer peer,
    refused_connection_is_told_once_and_the_next_try_may_succeed,
    peer_that_resets_before_it_accepts_is_told_once,
    closing_after_a_refusal_that_was_not_heard_is_silent,
);
