//! The gateway's end of a simulated TCP connection: bytes arrive late, in pieces, or never.

use std::collections::VecDeque;
use std::net::SocketAddrV4;

use gateway::order::transport::{Transport, TransportEvent};

/// Room for bytes that the kernel has not taken.
const ROOM: usize = 64 * 1024;

/// One end of a simulated connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) is_wanted: bool,
    /// It came about, and neither end has closed it as far as this one knows.
    pub(crate) is_open: bool,
    happened: VecDeque<Event>,
    tx: Box<[u8]>,
    committed: usize,
    /// With the kernel, not yet with the exchange.
    pub(crate) sent: Vec<u8>,
    /// The same of the connection that was closed last: the kernel goes on with it.
    pub(crate) left: Vec<u8>,
    /// Bytes that the kernel takes at once.
    pub(crate) window: usize,
    /// Every byte that was ever handed over.
    pub(crate) told: Vec<u8>,
}

/// What the gateway hears next.
#[derive(Debug)]
pub(crate) enum Event {
    Connected,
    Bytes(Vec<u8>),
    /// With the error of the system; 0: the other end closed.
    Closed(i32),
}

impl Connection {
    pub(crate) fn new() -> Self {
        Self {
            is_wanted: false,
            is_open: false,
            happened: VecDeque::new(),
            tx: vec![0; ROOM].into_boxed_slice(),
            committed: 0,
            sent: Vec::new(),
            left: Vec::new(),
            window: usize::MAX,
            told: Vec::new(),
        }
    }

    /// The next thing that the gateway hears of it.
    pub(crate) fn happen(&mut self, event: Event) {
        match event {
            Event::Connected => self.is_open = true,
            Event::Closed(_) => self.is_open = false,
            Event::Bytes(_) => {}
        }
        self.happened.push_back(event);
    }

    /// What the gateway has handed over, as far as it has come.
    pub(crate) fn take_sent(&mut self, limit: usize) -> Vec<u8> {
        let take = limit.min(self.sent.len());
        self.sent.drain(..take).collect()
    }

    /// Something is on its way, or waits for the kernel to take it.
    pub(crate) fn is_sending(&self) -> bool {
        self.committed > 0 || !self.sent.is_empty()
    }

    fn push_out(&mut self) {
        let take = self.committed.min(self.window);
        self.sent.extend_from_slice(&self.tx[..take]);
        self.tx.copy_within(take..self.committed, 0);
        self.committed -= take;
    }
}

impl Transport for Connection {
    fn start(&mut self) -> std::io::Result<()> {
        Ok(())
    }

    fn connect(&mut self, _: SocketAddrV4) {
        self.close();
        self.is_wanted = true;
    }

    fn close(&mut self) {
        (self.is_wanted, self.is_open) = (false, false);
        self.happened.clear();
        self.left.append(&mut self.sent);
        self.committed = 0;
    }

    fn room(&mut self) -> &mut [u8] {
        &mut self.tx[self.committed..]
    }

    fn commit(&mut self, len: usize) {
        let begin = self.committed;
        self.committed += len;
        self.told.extend_from_slice(&self.tx[begin..self.committed]);
    }

    fn flush(&mut self) {
        self.push_out();
    }

    fn poll(&mut self, mut on: impl FnMut(TransportEvent<'_>)) -> usize {
        self.push_out();
        let Some(event) = self.happened.pop_front() else {
            return 0;
        };
        match event {
            Event::Connected => on(TransportEvent::Connected),
            Event::Bytes(bytes) => on(TransportEvent::Bytes(&bytes)),
            Event::Closed(errno) => on(TransportEvent::Closed(errno)),
        }
        1
    }
}
