//! What records come to, counted the simple way: a set of what was heard, a table of the numbers that were used.

use std::collections::{BTreeMap, BTreeSet};

use gateway::journal::event::Event;
use gateway::journal::executions::{Execution, What};
use gateway::journal::format::{Header, IntentRecord};
use gateway::journal::past::{Past, Story};
use gateway::journal::rows::OrderRow;
use gateway::message::intent::Owner;
use protocol::ouch::{Inbound, Outbound};
use protocol::soup::Packet;
use protocol::types::UserRefNum;

use super::UNWRITTEN_MAX;

/// An execution: what, the exchange's session, the message's number, the order's, the trade's, shares.
pub(super) type Told = (What, String, u64, u32, u64, Option<u32>);

/// The same of what the gateway tells.
pub(super) fn of(it: &Execution) -> Told {
    let session = it.exchange_session.clone();
    (
        it.what,
        session,
        it.seq,
        it.user_ref,
        it.match_number,
        it.shares,
    )
}

/// One session, under the number 0, with one strategy.
#[derive(Default)]
pub(super) struct Naive {
    /// The session that it has joined.
    joined: Option<[u8; 10]>,
    /// Numbers of messages, each in its session.
    heard: BTreeSet<(String, u64)>,
    /// Shares that were executed, by session and order.
    executed: BTreeMap<(String, u32), u64>,
    /// Of the session: the last message of each number, whose orders are, and the last number of one.
    messages: BTreeMap<u64, Vec<u8>>,
    ids: BTreeMap<u32, u32>,
    number_last: u32,
    id_last: u32,
    has_stopped: bool,
}

impl Naive {
    /// What a record tells for the first time.
    pub(super) fn on_record(&mut self, header: &Header, event: &Event<'_>) -> Option<Told> {
        self.has_stopped |= *event == Event::Stop;
        if header.session != 0 {
            return None;
        }
        match *event {
            Event::Sent(intent, packet) => self.on_sent(&intent, packet),
            Event::Refused(intent) => self.on_intent(&intent),
            Event::LoggedIn(_, name) => self.join(name),
            Event::Heard(heard) => {
                self.messages.insert(heard.seq, heard.message.to_vec());
                return self.on_heard(heard.seq, heard.message);
            }
            _ => {}
        }
        None
    }

    fn join(&mut self, name: [u8; 10]) {
        let before = self.joined.replace(name);
        if before != Some(name) {
            self.messages.clear();
            self.ids.clear();
            // Numbers of before any login may be of any session.
            if before.is_some() {
                self.number_last = 0;
            }
        }
    }

    fn on_intent(&mut self, intent: &IntentRecord) {
        if intent.owner == 0 {
            self.id_last = self.id_last.max(intent.id.get());
        }
    }

    fn on_sent(&mut self, intent: &IntentRecord, mut packets: &[u8]) {
        self.on_intent(intent);
        while let Ok(Some((packet, rest))) = Packet::decode(packets) {
            packets = rest;
            let number = match Inbound::decode(packet.payload) {
                Ok((Inbound::EnterOrder(m), _)) => m.user_ref.get().0,
                Ok((Inbound::ReplaceOrder(m), _)) => m.user_ref.get().0,
                Ok(_) => return,
                Err(_) => continue,
            };
            self.number_last = self.number_last.max(number);
            self.ids.insert(number, intent.id.get());
            return;
        }
    }

    fn on_heard(&mut self, seq: u64, message: &[u8]) -> Option<Told> {
        let session = String::from_utf8_lossy(self.joined.as_ref()?)
            .trim()
            .to_owned();
        if session.is_empty() || !self.heard.insert((session.clone(), seq)) {
            return None;
        }
        match Outbound::decode(message).ok()?.0 {
            Outbound::Executed(m) => {
                let (number, shares) = (m.user_ref.get().0, m.qty.get().0);
                let executed = self.executed.entry((session.clone(), number)).or_default();
                *executed += u64::from(shares);
                let trade = m.match_number.get().0;
                Some((What::Fill, session, seq, number, trade, Some(shares)))
            }
            Outbound::BrokenTrade(m) => {
                let (number, trade) = (m.user_ref.get().0, m.match_number.get().0);
                Some((What::Break, session, seq, number, trade, None))
            }
            _ => None,
        }
    }

    /// A number makes one row in a session, and is filled with no more than was executed.
    pub(super) fn judge_orders(&self, rows: &[OrderRow]) {
        let mut numbers = BTreeSet::new();
        for row in rows {
            let Some(number) = row.user_ref else {
                assert_eq!(row.filled, 0, "it was never sent");
                continue;
            };
            let order = (row.account.exchange_session.to_string(), number);
            assert!(numbers.insert(order.clone()), "two rows of {order:?}");
            let executed = self.executed.get(&order).copied().unwrap_or_default();
            assert!(u64::from(row.filled) <= executed, "{order:?}");
        }
    }

    /// No number that may have been used is used again, and each order is its strategy's.
    pub(super) fn judge_past(&self, past: &Past) {
        let skipped = if self.has_stopped { 0 } else { UNWRITTEN_MAX };
        let next = |last: u32| last.saturating_add(skipped).saturating_add(1);
        assert_eq!(past.next_number(), UserRefNum(next(self.number_last)));
        assert_eq!(past.next_id(Owner(0)), next(self.id_last));
        for (number, id) in &self.ids {
            let order = past.order(UserRefNum(*number));
            assert_eq!(order.map(|it| it.id.0), Some(*id), "order {number}");
        }
        for (seq, message) in self.messages.iter().filter(|(seq, _)| **seq != 0) {
            // What is beyond the numbers that are kept is not known.
            let story = past.hold_against(*seq, message);
            assert!(story == Story::Known || *seq > 1 << 26, "{seq}: {story:?}");
        }
    }
}
