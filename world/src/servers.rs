//! A market's re-request and snapshot servers, behind a network that loses, delays, cuts and is dead at times.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use feed_handler::recovery::wire::{TcpEvent, Wire};
use order_sim::exchange::Exchange;
use protocol::soup::{self, LoginAccepted, kind};
use protocol::types::Seq;
use zerocopy::IntoBytes;

use crate::MS;

/// What becomes of what recovery says and hears.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate {
    /// Nobody answers.
    pub(crate) is_dead: bool,
    /// Nobody answers re-requests; snapshots are served.
    pub(crate) keeps_nothing: bool,
    /// Requests and answers lost, of 1,000.
    pub(crate) lost: u32,
    /// Pieces of a snapshot after which the connection is cut, of 1,000.
    pub(crate) cut: u32,
    /// The latest that anything arrives, ns.
    pub(crate) late_ns: u64,
}

impl Fate {
    pub(crate) fn random(random: &mut fastrand::Rng) -> Self {
        Self {
            is_dead: random.u8(0..8) == 0,
            keeps_nothing: random.u8(0..4) == 0,
            lost: random.u32(0..300),
            cut: random.u32(0..200),
            late_ns: random.u64(0..30 * MS),
        }
    }
}

#[derive(Debug)]
enum Tcp {
    Connected,
    Bytes(Vec<u8>),
    Closed,
}

/// What is on its way between recovery and the servers.
#[derive(Debug, Default)]
pub(crate) struct Network {
    now_ns: u64,
    sent: u64,
    requests: Vec<Vec<u8>>,
    answers: BTreeMap<(u64, u64), Vec<u8>>,
    is_connecting: bool,
    has_written: bool,
    /// When the last thing on the connection arrives: it keeps its order.
    stream_ns: u64,
    stream: BTreeMap<(u64, u64), Tcp>,
}

/// Recovery's end.
#[derive(Debug)]
pub(crate) struct SimulatedWire(pub(crate) Rc<RefCell<Network>>);

impl Wire for SimulatedWire {
    fn request(&mut self, _: usize, packet: &[u8]) -> bool {
        self.0.borrow_mut().requests.push(packet.to_vec());
        true
    }

    fn answers(&mut self, mut on_packet: impl FnMut(usize, &[u8])) -> usize {
        let network = &mut *self.0.borrow_mut();
        let mut taken = 0;
        while let Some(first) = network.answers.first_entry()
            && first.key().0 <= network.now_ns
        {
            on_packet(0, &first.remove());
            taken += 1;
        }
        taken
    }

    fn connect(&mut self, _: usize) {
        self.close();
        self.0.borrow_mut().is_connecting = true;
    }

    fn close(&mut self) {
        let network = &mut *self.0.borrow_mut();
        network.stream.clear();
        (network.is_connecting, network.has_written) = (false, false);
    }

    fn write(&mut self, _: &[u8]) {
        self.0.borrow_mut().has_written = true;
    }

    fn read(&mut self, mut on_event: impl FnMut(TcpEvent<'_>)) -> usize {
        let mut taken = 0;
        loop {
            let network = &mut *self.0.borrow_mut();
            let first = network.stream.first_entry();
            let Some(first) = first.filter(|it| it.key().0 <= network.now_ns) else {
                return taken;
            };
            taken += 1;
            match first.remove() {
                Tcp::Connected => on_event(TcpEvent::Connected),
                Tcp::Bytes(bytes) => on_event(TcpEvent::Bytes(&bytes)),
                Tcp::Closed => on_event(TcpEvent::Closed),
            }
        }
    }
}

/// The servers' end.
#[derive(Debug)]
pub(crate) struct Servers {
    random: fastrand::Rng,
    /// This connection has been given its snapshot.
    has_served: bool,
}

impl Servers {
    pub(crate) fn new(random: fastrand::Rng) -> Self {
        Self {
            random,
            has_served: false,
        }
    }

    /// Answers what has been asked until now; `None`: the market is dead.
    pub(crate) fn serve(
        &mut self,
        network: &mut Network,
        exchange: Option<&mut Exchange>,
        fate: Fate,
        now_ns: u64,
    ) {
        let random = &mut self.random;
        network.now_ns = now_ns;
        let is_lost = |random: &mut fastrand::Rng| random.u32(0..1000) < fate.lost;
        let requests = std::mem::take(&mut network.requests);
        let is_connecting = std::mem::take(&mut network.is_connecting);
        let exchange = exchange.filter(|_| !fate.is_dead);
        if is_connecting {
            self.has_served = false;
            let event = match exchange {
                Some(_) => Tcp::Connected,
                None => Tcp::Closed,
            };
            network.stream_ns = now_ns;
            network.say(event, random.u64(0..=fate.late_ns));
        }
        let Some(exchange) = exchange else {
            return;
        };
        let mut buffer = [0; 2000];
        for request in requests {
            if is_lost(random) || fate.keeps_nothing {
                continue;
            }
            if let Some((answer, _)) = exchange.on_rerequest(&request, &mut buffer)
                && !is_lost(random)
            {
                let due_ns = now_ns + random.u64(0..=fate.late_ns);
                network.sent += 1;
                let key = (due_ns, network.sent);
                network.answers.insert(key, answer.to_vec());
            }
        }
        if network.has_written && !self.has_served {
            self.has_served = true;
            let bytes = snapshot(exchange);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(random.usize(1..4000).min(rest.len()));
                rest = after;
                network.say(Tcp::Bytes(piece.to_vec()), random.u64(0..=fate.late_ns));
                if random.u32(0..1000) < fate.cut {
                    return network.say(Tcp::Closed, MS);
                }
            }
        }
    }
}

impl Network {
    fn say(&mut self, event: Tcp, late_ns: u64) {
        self.stream_ns += late_ns;
        self.sent += 1;
        self.stream.insert((self.stream_ns, self.sent), event);
    }
}

/// The whole stream of a snapshot of now.
fn snapshot(exchange: &Exchange) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut say = |kind: u8, payload: &[u8]| {
        let mut buffer = [0; 100];
        let len = soup::Packet { kind, payload }.encode(&mut buffer);
        bytes.extend_from_slice(&buffer[..len.expect("short")]);
    };
    let accepted = LoginAccepted::new("WORLD", Seq(1));
    say(kind::LOGIN_ACCEPTED, accepted.as_bytes());
    exchange.snapshot(&mut |message| say(kind::SEQUENCED, message));
    bytes
}
