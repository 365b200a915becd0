//! The order stage's end of a connection that never breaks; the run carries its bytes, and they take their time.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddrV4;

use gateway::order::transport::{Transport, TransportEvent};

/// Room for bytes of one turn.
const ROOM: usize = 64 * 1024;

/// One end.
#[derive(Debug)]
pub(crate) struct Wire {
    tx: Box<[u8]>,
    committed: usize,
    /// It wants to be connected.
    pub(crate) is_wanted: bool,
    is_new: bool,
    /// Arrived, not yet heard.
    pub(crate) heard: VecDeque<Vec<u8>>,
}

impl Wire {
    pub(crate) fn new() -> Self {
        Self {
            tx: vec![0; ROOM].into_boxed_slice(),
            committed: 0,
            is_wanted: false,
            is_new: false,
            heard: VecDeque::new(),
        }
    }

    /// The connection stands.
    pub(crate) fn connected(&mut self) {
        self.is_wanted = false;
        self.is_new = true;
    }

    /// What was sent since it was last asked.
    pub(crate) fn take_sent(&mut self) -> &[u8] {
        let len = std::mem::take(&mut self.committed);
        self.tx.get(..len).unwrap_or_default()
    }
}

impl Transport for Wire {
    fn start(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn connect(&mut self, _: SocketAddrV4) {
        self.close();
        self.is_wanted = true;
    }

    fn close(&mut self) {
        self.is_wanted = false;
        self.is_new = false;
        self.committed = 0;
        self.heard.clear();
    }

    fn room(&mut self) -> &mut [u8] {
        self.tx.get_mut(self.committed..).unwrap_or_default()
    }

    fn commit(&mut self, len: usize) {
        self.committed += len;
    }

    fn flush(&mut self) {}

    fn poll(&mut self, mut on: impl FnMut(TransportEvent<'_>)) -> usize {
        if std::mem::take(&mut self.is_new) {
            on(TransportEvent::Connected);
            return 1;
        }
        let Some(bytes) = self.heard.pop_front() else {
            return 0;
        };
        on(TransportEvent::Bytes(&bytes));
        1
    }
}
