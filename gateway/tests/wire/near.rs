//! Our end of the wire: a transport with a lane, an exchange that answers each message with itself, and what is between.

#![allow(
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use gateway::order::transport::delegated::LaneWatch;
use gateway::order::transport::{
    Counts, Transport, TransportEvent, TransportOptions, TransportUser, Way,
};

use super::{FAR_IP, Far};

/// Polls after which a test gives up: far more than anything takes.
const POLLS_MAX: u32 = 50_000_000;
/// Bytes of a message: its number, and itself times a constant.
pub(crate) const MESSAGE_BYTES: usize = 48;

pub(crate) fn message(number: u64) -> [u8; MESSAGE_BYTES] {
    let mut bytes = [0; MESSAGE_BYTES];
    for (at, part) in bytes.chunks_exact_mut(8).enumerate() {
        let word = number.wrapping_mul((at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        part.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// Does a thing in a thread, whose namespace becomes its own.
pub(crate) fn in_own_thread(body: impl FnOnce() + Send) {
    std::thread::scope(|scope| scope.spawn(body).join().expect("it held"));
}

/// An exchange that answers each message with the same bytes, and ends with the connection: how many there were.
pub(crate) fn echo(listener: TcpListener) -> JoinHandle<u64> {
    std::thread::spawn(move || {
        let mut stream = accept(&listener);
        let mut next = 0;
        let mut bytes = [0; MESSAGE_BYTES];
        while stream.read_exact(&mut bytes).is_ok() {
            assert_eq!(bytes, message(next), "message {next}");
            next += 1;
            stream.write_all(&bytes).expect("answered");
        }
        next
    })
}

pub(crate) fn accept(listener: &TcpListener) -> TcpStream {
    let stream = listener.accept().expect("a connection").0;
    // Against a hang only: nothing waits for it where all is well.
    let hang = Some(Duration::from_secs(30));
    stream.set_read_timeout(hang).expect("set");
    stream.set_nodelay(true).expect("set");
    stream
}

pub(crate) fn listen(far: &Far) -> (TcpListener, SocketAddrV4) {
    let at = SocketAddrV4::new(FAR_IP, 0);
    let listener = far.run(move || TcpListener::bind(at).expect("it listens"));
    let port = listener.local_addr().expect("an address").port();
    (listener, SocketAddrV4::new(FAR_IP, port))
}

/// Our end, and what it has told.
pub(crate) struct Near {
    pub(crate) transport: Box<dyn Stream>,
    counts: Counts,
    watch: LaneWatch,
}

/// A transport, whichever.
pub(crate) trait Stream: Send {
    fn connect(&mut self, to: SocketAddrV4);
    fn send(&mut self, bytes: &[u8]);
    fn poll(&mut self, heard: &mut Heard);
    fn close(&mut self);
}

#[derive(Debug, Default)]
pub(crate) struct Heard {
    is_connected: bool,
    pub(crate) bytes: Vec<u8>,
    pub(crate) closed: Option<i32>,
}

impl<T: Transport + Send> Stream for T {
    fn connect(&mut self, to: SocketAddrV4) {
        Transport::connect(self, to);
    }

    fn send(&mut self, bytes: &[u8]) {
        self.room()[..bytes.len()].copy_from_slice(bytes);
        self.commit(bytes.len());
        self.flush();
    }

    fn poll(&mut self, heard: &mut Heard) {
        Transport::poll(self, |event| match event {
            TransportEvent::Connected => heard.is_connected = true,
            TransportEvent::Bytes(bytes) => heard.bytes.extend_from_slice(bytes),
            TransportEvent::Closed(errno) => heard.closed = Some(errno),
        });
    }

    fn close(&mut self) {
        Transport::close(self);
    }
}

struct Open;

impl TransportUser for Open {
    type Made = Near;

    fn with<T: Transport + Send + 'static>(self, mut transport: T) -> Near {
        transport.start().expect("a ring");
        Near {
            counts: transport.counts().expect("a lane"),
            watch: transport.watch().expect("a lane"),
            transport: Box::new(transport),
        }
    }
}

impl Near {
    pub(crate) fn open(options: &TransportOptions) -> Self {
        Way::Delegated.open(options, Open).expect("a lane")
    }

    pub(crate) fn connect(&mut self, to: SocketAddrV4) -> Heard {
        let mut heard = Heard::default();
        self.transport.connect(to);
        self.until(&mut heard, |heard| heard.is_connected);
        heard
    }

    pub(crate) fn until(&mut self, heard: &mut Heard, is_so: impl Fn(&Heard) -> bool) {
        for _ in 0..POLLS_MAX {
            if is_so(heard) {
                return;
            }
            self.transport.poll(heard);
            assert_eq!(heard.closed, None);
            std::thread::yield_now();
        }
        panic!(
            "never heard: {} bytes, {:?}",
            heard.bytes.len(),
            self.counts()
        );
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        let counts = (self.counts)().into_iter();
        counts.map(|(name, _, value)| (name, value)).collect()
    }

    /// What housekeeping says at the first look.
    pub(crate) fn said(&mut self) -> String {
        self.watch.turn(1).join("\n")
    }

    /// Sends messages in bursts, and waits for the answers to each.
    pub(crate) fn trade(&mut self, heard: &mut Heard, first: u64, bursts: u64, each: u64) {
        for burst in 0..bursts {
            for number in 0..each {
                let number = first + burst * each + number;
                self.transport.send(&message(number));
                // What is written is done before the next.
                self.transport.poll(heard);
            }
            let behind = usize::try_from(first + (burst + 1) * each).expect("small");
            self.until(heard, |heard| heard.bytes.len() >= behind * MESSAGE_BYTES);
        }
    }
}

pub(crate) fn assert_answers(heard: &Heard, count: u64) {
    let (answers, rest) = heard.bytes.as_chunks::<MESSAGE_BYTES>();
    assert_eq!((answers.len() as u64, rest.len()), (count, 0));
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(*answer, message(number as u64), "answer {number}");
    }
}
