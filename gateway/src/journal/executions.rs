//! The day's executions, out of journals: each once, in however many runs it was heard.
//!
//! Path:        records of earlier runs, then of this one -> here -> drop copy, `tickgate journal --executions`
//! Thread:      main at the start, then the journal core
//! Invariants:  a message of the exchange counts once in its session, by its number.
//! When full:   an order that is over is forgotten, so memory follows what is open. A trade that is broken later names its
//!              order by number only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::ouch::{Inbound, Outbound, STATE_DEAD};
use protocol::types::{Side, Symbol};
use serde::Serialize;

use super::event::{Event, HeardMessage};
use super::format::{Header, IntentRecord};
use super::head::{Began, Names};
use super::ouch::{packets, sent};
use crate::message::intent::Action;

/// Messages that may be missing below the last one: what a ring that was full has lost.
const HOLES_MAX: usize = 1 << 20;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Shares changed hands.
    Fill,
    /// A trade was undone.
    Break,
}

/// One execution, or the end of one. What is not known is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Execution {
    /// The gateway's session.
    pub session: String,
    /// The exchange's name for the day.
    pub exchange_session: String,
    /// The number of the exchange's message: with both sessions, what makes the line one of its kind.
    pub seq: u64,
    /// What happened.
    pub what: What,
    /// When the gateway heard it first, ns since 1970.
    pub time_ns: u64,
    /// When the exchange says that it was, ns since midnight.
    pub exchange_ns: u64,
    /// The strategy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// The strategy's number of the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<u32>,
    /// OUCH's.
    pub user_ref: u32,
    /// Symbol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// "buy" or "sell".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<&'static str>,
    /// Shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shares: Option<u32>,
    /// What each was paid with, in 0.0001 dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<u64>,
    /// The trade's number.
    pub match_number: u64,
    /// OUCH's liquidity flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub liquidity: Option<char>,
}

/// Whose an order is.
#[derive(Clone, Debug)]
struct Owned {
    strategy: Option<Arc<str>>,
    id: u32,
}

/// An order that is open.
#[derive(Clone, Debug)]
struct Open {
    owned: Option<Owned>,
    symbol: Symbol,
    side: Option<Side>,
    shares: u32,
}

/// One session of the gateway on one of the exchange.
#[derive(Debug)]
struct OfSession {
    name: String,
    exchange_session: String,
    /// The last message that counted.
    seq_last: u64,
    /// Those below it that are still to come.
    holes: BTreeSet<u64>,
    /// Orders on their way, by number.
    sent: BTreeMap<u32, Owned>,
    open: BTreeMap<u32, Open>,
}

/// The machine.
#[derive(Debug, Default)]
pub struct Executions {
    sessions: Vec<OfSession>,
    /// Sessions and strategies of the file at hand.
    of_file: Vec<(usize, Vec<Arc<str>>)>,
    began: Began,
}

impl Executions {
    /// A file begins, or this run does.
    pub fn begin_file(&mut self, began: Began, names: &Names) {
        self.began = began;
        self.of_file.clear();
        for names in &names.sessions {
            let at = self.session_of(&names.name);
            if let (false, Some(session)) = (names.joined.is_empty(), self.sessions.get_mut(at)) {
                session.join(&names.joined);
            }
            let strategies = names.strategies.iter().map(|name| Arc::from(name.as_str()));
            self.of_file.push((at, strategies.collect()));
        }
    }

    /// A record of the file at hand; what it tells for the first time.
    pub fn on_record(&mut self, header: &Header, event: &Event<'_>) -> Option<Execution> {
        let time_ns = self.began.realtime_ns(header.time_ns.get());
        let (at, strategies) = self.of_file.get(usize::from(header.session))?;
        let session = self.sessions.get_mut(*at)?;
        match *event {
            Event::LoggedIn(_, name) => session.join(String::from_utf8_lossy(&name).trim()),
            Event::Sent(intent, packet) => {
                let strategy = strategies.get(usize::from(intent.owner)).cloned();
                session.on_sent(strategy, &intent, packet);
            }
            Event::Heard(heard) => return session.on_heard(time_ns, &heard),
            _ => {}
        }
        None
    }

    fn session_of(&mut self, name: &str) -> usize {
        let known = self.sessions.iter().position(|it| it.name == name);
        known.unwrap_or_else(|| {
            self.sessions.push(OfSession {
                name: name.to_owned(),
                exchange_session: String::new(),
                seq_last: 0,
                holes: BTreeSet::new(),
                sent: BTreeMap::new(),
                open: BTreeMap::new(),
            });
            self.sessions.len() - 1
        })
    }
}

impl OfSession {
    fn join(&mut self, name: &str) {
        if self.exchange_session == name {
            return;
        }
        self.exchange_session = name.to_owned();
        self.seq_last = 0;
        self.holes.clear();
        self.sent.clear();
        self.open.clear();
    }

    fn on_sent(&mut self, strategy: Option<Arc<str>>, intent: &IntentRecord, packet: &[u8]) {
        let number = match (intent.action(), packets(packet).find_map(sent)) {
            (Some(Action::Enter), _) => intent.user_ref.get(),
            (_, Some(Inbound::ReplaceOrder(replace))) => replace.user_ref.get().0,
            _ => return,
        };
        let id = intent.id.get();
        self.sent.insert(number, Owned { strategy, id });
    }

    fn on_heard(&mut self, time_ns: u64, heard: &HeardMessage<'_>) -> Option<Execution> {
        // Before a login nobody knows of which session it is.
        if self.exchange_session.is_empty() || !self.is_first(heard.seq) {
            return None;
        }
        match Outbound::decode(heard.message).ok()?.0 {
            Outbound::OrderAccepted(m) => {
                let number = m.user_ref.get().0;
                let owned = self.sent.remove(&number);
                // Nothing more comes of one that is over as soon as it is accepted.
                if m.state == STATE_DEAD {
                    return None;
                }
                let open = Open {
                    owned,
                    symbol: m.symbol,
                    side: Side::of_code(m.side),
                    shares: m.qty.get().0,
                };
                self.open.insert(number, open);
            }
            Outbound::OrderReplaced(m) => {
                let (before, now) = (m.original_user_ref.get().0, m.user_ref.get().0);
                self.sent.remove(&now);
                if let Some(mut open) = self.open.remove(&before)
                    && m.state != STATE_DEAD
                    && m.qty.get().0 > 0
                {
                    open.shares = m.qty.get().0;
                    self.open.insert(now, open);
                }
            }
            Outbound::Rejected(m) => {
                self.sent.remove(&m.user_ref.get().0);
            }
            Outbound::Canceled(m) => self.take_off(m.user_ref.get().0, m.qty.get().0),
            Outbound::AiqCanceled(m) => self.take_off(m.user_ref.get().0, m.qty.get().0),
            Outbound::Modified(m) => {
                let (number, shares) = (m.user_ref.get().0, m.qty.get().0);
                if let Some(open) = self.open.get_mut(&number) {
                    open.shares = shares;
                }
                self.take_off(number, 0);
            }
            Outbound::Executed(m) => {
                let (number, shares) = (m.user_ref.get().0, m.qty.get().0);
                let mut told = self.tell(time_ns, heard.seq, number);
                told.exchange_ns = m.timestamp.get().0;
                told.match_number = m.match_number.get().0;
                told.shares = Some(shares);
                told.price = m.price.get().map(|price| u64::from(price.0));
                told.liquidity = Some(char::from(m.liquidity));
                self.take_off(number, shares);
                return Some(told);
            }
            Outbound::BrokenTrade(m) => {
                let mut told = self.tell(time_ns, heard.seq, m.user_ref.get().0);
                told.what = What::Break;
                told.exchange_ns = m.timestamp.get().0;
                told.match_number = m.match_number.get().0;
                return Some(told);
            }
            _ => {}
        }
        None
    }

    /// Whether a message counts: each does once.
    fn is_first(&mut self, seq: u64) -> bool {
        if seq <= self.seq_last {
            return self.holes.remove(&seq);
        }
        let missing = self.seq_last + 1..seq;
        self.holes.extend(
            missing
                .rev()
                .take(HOLES_MAX.saturating_sub(self.holes.len())),
        );
        self.seq_last = seq;
        true
    }

    fn tell(&self, time_ns: u64, seq: u64, user_ref: u32) -> Execution {
        let open = self.open.get(&user_ref);
        let owned = open.and_then(|open| open.owned.as_ref());
        Execution {
            session: self.name.clone(),
            exchange_session: self.exchange_session.clone(),
            seq,
            what: What::Fill,
            time_ns,
            exchange_ns: 0,
            strategy: owned.and_then(|owned| owned.strategy.as_deref().map(str::to_owned)),
            order_id: owned.map(|owned| owned.id),
            user_ref,
            symbol: open.map(|open| open.symbol.to_string()),
            side: open.and_then(|open| open.side).map(|side| match side {
                Side::Buy => "buy",
                Side::Sell => "sell",
            }),
            shares: None,
            price: None,
            match_number: 0,
            liquidity: None,
        }
    }

    fn take_off(&mut self, user_ref: u32, shares: u32) {
        let Some(open) = self.open.get_mut(&user_ref) else {
            return;
        };
        open.shares = open.shares.saturating_sub(shares);
        if open.shares == 0 {
            self.open.remove(&user_ref);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> OfSession {
        let mut executions = Executions::default();
        let at = executions.session_of("ouch");
        let mut session = executions.sessions.remove(at);
        session.join("DAY1");
        session
    }

    fn hear(session: &mut OfSession, message: &[u8]) {
        let heard = HeardMessage {
            seq: session.seq_last + 1,
            is_past: false,
            message,
        };
        session.on_heard(0, &heard);
    }

    /// OUCH 5.0, "Order Accepted": offsets of its table.
    fn accepted(number: u32, state: u8) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[0] = b'A';
        bytes[9..13].copy_from_slice(&number.to_be_bytes());
        bytes[13] = b'B';
        bytes[14..18].copy_from_slice(&100_u32.to_be_bytes());
        bytes[47] = state;
        bytes
    }

    /// "Order Replaced".
    fn replaced(before: u32, now: u32, state: u8) -> Vec<u8> {
        let mut bytes = vec![0; 68];
        bytes[0] = b'U';
        bytes[9..13].copy_from_slice(&before.to_be_bytes());
        bytes[13..17].copy_from_slice(&now.to_be_bytes());
        bytes[18..22].copy_from_slice(&100_u32.to_be_bytes());
        bytes[51] = state;
        bytes
    }

    /// "Order Modified": to no shares.
    fn modified_away(number: u32) -> Vec<u8> {
        let mut bytes = vec![0; 20];
        bytes[0] = b'M';
        bytes[9..13].copy_from_slice(&number.to_be_bytes());
        bytes
    }

    #[test]
    fn order_that_is_over_is_forgotten_however_it_ended() {
        let mut session = session();
        hear(&mut session, &accepted(1, b'L'));
        assert_eq!(session.open.len(), 1);
        hear(&mut session, &replaced(1, 2, b'L'));
        assert_eq!(session.open.keys().collect::<Vec<_>>(), [&2]);
        hear(&mut session, &replaced(2, 3, b'D'));
        assert!(session.open.is_empty(), "replaced and over");
        hear(&mut session, &accepted(4, b'D'));
        assert!(session.open.is_empty(), "accepted and over");
        hear(&mut session, &accepted(5, b'L'));
        hear(&mut session, &modified_away(5));
        assert!(session.open.is_empty(), "nothing is left of it");
        assert_eq!(session.seq_last, 6, "all of them were heard");
    }
}
