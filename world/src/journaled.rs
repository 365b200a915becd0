//! One life of a session's journal, kept in memory, and what it must say: what was sent and what was heard.

use std::collections::{BTreeMap, BTreeSet};

use gateway::journal::batch::Encoder;
use gateway::journal::event::Event;
use gateway::journal::format::IntentRecord;
use gateway::journal::head::{Names, SessionNames, encode};
use gateway::journal::inlet::{Inlet, Outlet, inlet};
use gateway::journal::past::{Past, Story};
use gateway::journal::reader::Reader;
use gateway::message::intent::Action;
use gateway::order::entry::{EntryCounters, FoundOrders, LiveOrder};
use gateway::order::risk::KillSwitch;
use order_sim::exchange::Exchange;
use protocol::ouch::Inbound;
use protocol::soup::{Packet, kind};

use crate::ORDER_QTY_MAX;
use crate::lives::{Life, Remains, Used};

/// Bytes of the ring: what a turn writes, and more.
const RING_BYTES: usize = 1 << 20;

/// A journal in memory.
pub(crate) struct Journaled {
    outlet: Outlet,
    encoder: Encoder,
    file: Vec<u8>,
    head_bytes: usize,
    /// What this life knew of earlier ones.
    past: Past,
    found: FoundOrders,
}

/// What the other ends say.
pub(crate) struct Facts<'a> {
    /// Every byte that the session has handed to its connection.
    pub(crate) sent: &'a [u8],
    /// The first message that it has not heard.
    pub(crate) next_seq: u64,
    pub(crate) counters: &'a EntryCounters,
    pub(crate) exchange: &'a Exchange,
    pub(crate) account: u16,
    pub(crate) live: &'a [LiveOrder],
}

/// What a journal says.
#[derive(Debug, Default)]
struct Told<'a> {
    /// Packets, in the order in which they went out.
    packets: Vec<Packet<'a>>,
    heard: BTreeMap<u64, &'a [u8]>,
    /// Numbers of new orders and replaces, and whose each is.
    numbers: BTreeMap<u32, (u8, u32)>,
    /// The strategies' own numbers.
    ids: BTreeSet<(u8, u32)>,
    refused: u64,
    is_killed: bool,
    /// Orders went out: what earlier lives left was known.
    is_opened: bool,
    last_ns: u64,
}

impl Journaled {
    /// A new life of a session, which knows this of earlier ones.
    pub(crate) fn new(kill: &KillSwitch, session: SessionNames, life: Life) -> (Self, Inlet) {
        let (inlet, outlet) = inlet(0, RING_BYTES, kill.clone()).expect("a power of two");
        let names = Names::new(vec![session], Vec::new());
        let file = encode(life.began, 0, &names);
        let journaled = Self {
            head_bytes: file.len(),
            file,
            encoder: Encoder::new(life.began.salt(), names),
            outlet,
            past: life.past,
            found: life.found,
        };
        (journaled, inlet)
    }

    /// The process is killed.
    pub(crate) fn kill(self) -> Remains {
        Remains {
            file: self.file,
            head_bytes: self.head_bytes,
        }
    }

    /// Takes what the order stage has left.
    pub(crate) fn drain(&mut self) {
        let mut batch = Vec::new();
        while self
            .encoder
            .take(&mut self.outlet.records, &mut batch, |_, _| ())
            > 0
        {}
        self.file.extend_from_slice(&batch);
    }

    /// Everything sent is in the journal, byte for byte and in order, and everything heard that was not in an earlier one.
    /// What it used, and no earlier life has.
    pub(crate) fn compare(&mut self, facts: &Facts<'_>) -> Used {
        self.drain();
        let mut records = Vec::new();
        let mut reader = Reader::new(&self.file[..]).expect("a head");
        while let Some(record) = reader
            .next_record()
            .unwrap_or_else(|error| panic!("{error}"))
        {
            records.push((record.header, record.kind, record.payload.to_vec()));
        }
        let mut told = Told::default();
        for (header, kind, payload) in &records {
            let record = gateway::journal::format::Record {
                header: *header,
                kind: *kind,
                payload,
            };
            assert_eq!(header.lost.get(), 0, "the ring has room");
            told.read(&Event::of(&record).expect("a payload"));
            assert!(header.time_ns.get() >= told.last_ns, "time goes on");
            told.last_ns = header.time_ns.get();
        }
        let sent = packets(facts.sent);
        let is_order = |packet: &Packet<'_>| {
            packet.kind == kind::UNSEQUENCED && packet.payload.first() != Some(&b'Q')
        };
        let sent: Vec<_> = sent.into_iter().filter(is_order).collect();
        assert_eq!(told.packets, sent, "what was sent");
        let counters = facts.counters;
        let changes = [&counters.replaces, &counters.cancels, &counters.reductions];
        let changes: u64 = changes.iter().map(|it| it.get()).sum();
        let counted = counters.orders.get() + changes;
        assert_eq!(sent.len() as u64, counted, "what was counted");
        let refused = counters.list().into_iter();
        let refused = refused.filter(|(name, _, _)| name.starts_with("refused_"));
        let refused: u64 = refused.map(|(_, _, count)| count).sum();
        assert_eq!(told.refused, refused, "refusals");
        for seq in 1..facts.next_seq {
            let index = usize::try_from(seq - 1).expect("few");
            let said = facts.exchange.message(facts.account, index);
            let said = said.expect("it is stored");
            match told.heard.get(&seq) {
                Some(message) => assert_eq!(said, *message, "message {seq}"),
                None => assert_eq!(self.past.hold_against(seq, said), Story::Known, "{seq}"),
            }
        }
        if told.is_opened {
            self.compare_desks(facts.live);
        }
        Used {
            numbers: told.numbers,
            ids: told.ids,
            live: facts.live.to_vec(),
        }
    }

    /// Orders of earlier lives are their strategies' again where that is wanted, and where a journal says whose they are.
    fn compare_desks(&self, live: &[LiveOrder]) {
        let is_known = |order: &&LiveOrder| {
            let past = self.past.order(order.user_ref);
            past.is_some_and(|order| order.owner.is_some())
        };
        for order in live.iter().filter(is_known) {
            let is_given_back = order.desk.is_some();
            assert_eq!(is_given_back, self.found == FoundOrders::Adopt, "{order:?}");
        }
    }
}

impl<'a> Told<'a> {
    fn read(&mut self, event: &Event<'a>) {
        match *event {
            Event::Sent(intent, packet) => {
                let packets = packets(packet);
                assert_eq!(packets.len(), 1, "an intent makes one packet");
                let (message, _) = Inbound::decode(packets[0].payload).expect("OUCH");
                let order = intent.user_ref.get();
                let (action, number) = match message {
                    Inbound::EnterOrder(m) => {
                        let qty = m.qty.get().0;
                        assert!(
                            qty <= ORDER_QTY_MAX,
                            "{qty} shares are more than risk allows"
                        );
                        (Action::Enter, m.user_ref.get().0)
                    }
                    Inbound::ReplaceOrder(m) => (Action::Replace, m.original_user_ref.get().0),
                    Inbound::CancelOrder(m) if m.qty.get().0 > 0 => {
                        (Action::Reduce, m.user_ref.get().0)
                    }
                    // Behind a replace it is for the replace's number.
                    Inbound::CancelOrder(m) => (Action::Cancel, m.user_ref.get().0.min(order)),
                    other => panic!("{other:?}"),
                };
                assert_eq!((intent.action(), order), (Some(action), number));
                let new = match message {
                    Inbound::EnterOrder(m) => Some(m.user_ref.get().0),
                    Inbound::ReplaceOrder(m) => Some(m.user_ref.get().0),
                    _ => None,
                };
                if let Some(new) = new {
                    let before = self.numbers.insert(new, (intent.owner, intent.id.get()));
                    assert_eq!(before, None, "number {new} is here twice");
                }
                self.enter(&intent);
                self.packets.extend(packets);
            }
            Event::Cancels(bytes) => self.packets.extend(packets(bytes)),
            Event::Refused(intent) => {
                self.refused += 1;
                self.enter(&intent);
            }
            Event::Heard(heard) => {
                let before = self.heard.insert(heard.seq, heard.message);
                assert_eq!(before, None, "message {} is here twice", heard.seq);
            }
            Event::Opened => self.is_opened = true,
            Event::KillOn(..) => self.is_killed = true,
            Event::KillOff => {
                assert!(self.is_killed, "off again without having been on");
                self.is_killed = false;
            }
            _ => {}
        }
    }

    fn enter(&mut self, intent: &IntentRecord) {
        if intent.action() == Some(Action::Enter) {
            let is_new = self.ids.insert((intent.owner, intent.id.get()));
            assert!(is_new, "{intent:?} is here twice");
        }
    }
}

fn packets(mut bytes: &[u8]) -> Vec<Packet<'_>> {
    let mut packets = Vec::new();
    while let Some((packet, rest)) = Packet::decode(bytes).expect("SoupBinTCP") {
        packets.push(packet);
        bytes = rest;
    }
    assert!(bytes.is_empty(), "whole packets");
    packets
}
