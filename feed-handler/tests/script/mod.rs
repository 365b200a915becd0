//! A source whose packets a test writes: what was put in since the last turn arrives in the next.

use std::cell::RefCell;
use std::rc::Rc;

use feed_handler::source::{Packet, PacketSource};

/// What arrives in a turn: line and payload.
pub(crate) type Arrivals = Vec<(u8, Vec<u8>)>;

#[derive(Default)]
pub(crate) struct Script(pub(crate) Rc<RefCell<Arrivals>>);

impl PacketSource for Script {
    fn acquire(&mut self) -> usize {
        self.0.borrow().len()
    }
    fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
        for (line, payload) in self.0.borrow().iter() {
            on_packet(Packet {
                payload,
                frame: &[],
                wire_ns: 0,
                line: *line,
            });
        }
    }
    fn release(&mut self) {
        self.0.borrow_mut().clear();
    }
    fn housekeep(&mut self) {}
}
