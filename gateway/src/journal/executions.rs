//! The day's executions, out of journals: each once, in however many runs it was heard.
//!
//! Path:        records of earlier runs, then of this one -> here -> drop copy, `tickgate journal --executions`
//! Thread:      main at the start, then the journal core
//! Invariants:  a message of the exchange counts once in its session, by its number.
//! When full:   an order that is over is forgotten, so memory follows what is open (and, of journals, each message: 4 bytes). A trade that is broken later names its
//!              order by number only.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::ouch::{Inbound, Outbound, STATE_DEAD};
use protocol::types::{Side, Symbol};
use serde::Serialize;

use super::days::{About, Day, Days};
use super::event::{Event, HeardMessage};
use super::format::{Header, IntentRecord};
use super::head::{Began, Names, SessionNames};
use super::ouch::{packets, sent};
use crate::message::intent::Action;

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
    /// Whom it logs in as.
    pub username: String,
    /// The exchange's name for the day.
    pub exchange_session: String,
    /// The number of the exchange's message: with both sessions and the user, what makes the line one of its
    /// kind.
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

/// What is kept of a session.
#[derive(Debug, Default)]
struct Known {
    /// Orders on their way, by number.
    sent: BTreeMap<u32, Owned>,
    open: BTreeMap<u32, Open>,
}

/// How a session was left, as far as journals say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// Orders that were open.
    pub(super) open: usize,
    /// Messages that no journal has, between others of which one does.
    pub(super) missing: u64,
}

/// The machine.
#[derive(Debug, Default)]
pub struct Executions {
    days: Days<Known>,
}

impl Executions {
    /// A file begins, or this run does.
    pub fn begin_file(&mut self, began: Began, names: &Names) {
        self.days.begin_file(began, names);
    }

    /// What comes from now on is heard in this run, which may be long: memory follows it no more.
    pub(super) fn go_live(&mut self) {
        self.days.go_live();
    }

    /// What is wrong with messages that were left out: the exchange said others under their numbers before.
    #[must_use]
    pub fn clash(&self) -> Option<String> {
        self.days.clash()
    }

    /// A record of the file at hand; what it tells for the first time.
    pub fn on_record(&mut self, header: &Header, event: &Event<'_>) -> Option<Execution> {
        let about = self.days.on_record(header, event)?;
        match *event {
            Event::Sent(intent, packet) => {
                let strategy = about.strategies.get(usize::from(intent.owner)).cloned();
                about.day.kept.on_sent(strategy, &intent, packet);
            }
            Event::Heard(heard) => return on_heard(about, &heard),
            _ => {}
        }
        None
    }

    /// The exchange's sessions that a session of ours has joined, with how many orders are open in each, and how many
    /// messages are missing among those heard.
    pub(super) fn each_left(&mut self, ours: &SessionNames, mut on: impl FnMut(&str, Left)) {
        for day in self.days.all() {
            let is_ours = (&*day.session, &*day.username) == (&ours.name, &ours.username);
            if is_ours && !day.exchange_session.is_empty() {
                let left = Left {
                    open: day.kept.open.len(),
                    missing: day.missing(),
                };
                on(&day.exchange_session, left);
            }
        }
    }
}

impl Known {
    fn on_sent(&mut self, strategy: Option<Arc<str>>, intent: &IntentRecord, packet: &[u8]) {
        let number = match (intent.action(), packets(packet).find_map(sent)) {
            (Some(Action::Enter), _) => intent.user_ref.get(),
            (_, Some(Inbound::ReplaceOrder(replace))) => replace.user_ref.get().0,
            _ => return,
        };
        let id = intent.id.get();
        self.sent.insert(number, Owned { strategy, id });
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

/// What a message that counts tells.
fn on_heard(about: About<'_, Known>, heard: &HeardMessage<'_>) -> Option<Execution> {
    let About { day, time_ns, .. } = about;
    match Outbound::decode(heard.message).ok()?.0 {
        Outbound::OrderAccepted(m) => {
            let number = m.user_ref.get().0;
            let owned = day.kept.sent.remove(&number);
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
            day.kept.open.insert(number, open);
        }
        Outbound::OrderReplaced(m) => {
            let (before, now) = (m.original_user_ref.get().0, m.user_ref.get().0);
            let sent = day.kept.sent.remove(&now);
            let replaced = day.kept.open.remove(&before);
            if m.state != STATE_DEAD && m.qty.get().0 > 0 {
                // The one before may be unknown: what was heard of it was lost. This message says all but whose it is.
                let open = Open {
                    owned: replaced.and_then(|open| open.owned).or(sent),
                    symbol: m.symbol,
                    side: Side::of_code(m.side),
                    shares: m.qty.get().0,
                };
                day.kept.open.insert(now, open);
            }
        }
        Outbound::Rejected(m) => {
            day.kept.sent.remove(&m.user_ref.get().0);
        }
        Outbound::Canceled(m) => day.kept.take_off(m.user_ref.get().0, m.qty.get().0),
        Outbound::AiqCanceled(m) => day.kept.take_off(m.user_ref.get().0, m.qty.get().0),
        Outbound::Modified(m) => {
            let (number, shares) = (m.user_ref.get().0, m.qty.get().0);
            if let Some(open) = day.kept.open.get_mut(&number) {
                open.shares = shares;
            }
            day.kept.take_off(number, 0);
        }
        Outbound::Executed(m) => {
            let (number, shares) = (m.user_ref.get().0, m.qty.get().0);
            let mut told = tell(day, time_ns, heard.seq, number);
            told.exchange_ns = m.timestamp.get().0;
            told.match_number = m.match_number.get().0;
            told.shares = Some(shares);
            told.price = m.price.get().map(|price| u64::from(price.0));
            told.liquidity = Some(char::from(m.liquidity));
            day.kept.take_off(number, shares);
            return Some(told);
        }
        Outbound::BrokenTrade(m) => {
            let mut told = tell(day, time_ns, heard.seq, m.user_ref.get().0);
            told.what = What::Break;
            told.exchange_ns = m.timestamp.get().0;
            told.match_number = m.match_number.get().0;
            return Some(told);
        }
        _ => {}
    }
    None
}

fn tell(day: &Day<Known>, time_ns: u64, seq: u64, user_ref: u32) -> Execution {
    let open = day.kept.open.get(&user_ref);
    let owned = open.and_then(|open| open.owned.as_ref());
    Execution {
        session: day.session.to_string(),
        username: day.username.to_string(),
        exchange_session: day.exchange_session.to_string(),
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

#[cfg(test)]
mod tests {
    use protocol::ouch::ReplaceOrder;
    use protocol::soup::{self, kind::UNSEQUENCED};
    use protocol::types::UserRefNum;
    use zerocopy::FromZeros;
    use zerocopy::byteorder::little_endian::U32;

    use super::*;
    use crate::journal::head::SessionNames;

    fn executions() -> Executions {
        let session = SessionNames {
            name: "ouch".to_owned(),
            joined: "DAY1".to_owned(),
            strategies: vec!["quotes".to_owned()],
            ..SessionNames::default()
        };
        let mut executions = Executions::default();
        executions.begin_file(Began::default(), &Names::new(vec![session], Vec::new()));
        executions
    }

    /// The numbers of what is open once this has been heard, too.
    fn open_after(executions: &mut Executions, seq: u64, message: &[u8]) -> Vec<u32> {
        let heard = HeardMessage {
            seq,
            is_past: false,
            message,
        };
        executions.on_record(&Header::default(), &Event::Heard(heard));
        let days = executions.days.all();
        days.flat_map(|day| day.kept.open.keys().copied()).collect()
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
    fn fill_of_an_order_that_replaced_an_unknown_one_has_its_side_its_symbol_and_its_strategy() {
        let mut executions = executions();
        let mut order = ReplaceOrder::new_zeroed();
        order.kind = ReplaceOrder::KIND;
        order.original_user_ref = UserRefNum(1).into();
        order.user_ref = UserRefNum(2).into();
        let mut packet = [0; 64];
        let len = soup::frame(UNSEQUENCED, &mut packet, |body| order.encode(&[], body)).unwrap();
        let intent = IntentRecord {
            id: U32::new(70),
            flags: Action::Replace as u8,
            ..IntentRecord::default()
        };
        executions.on_record(&Header::default(), &Event::Sent(intent, &packet[..len]));
        let mut message = replaced(1, 2, b'L');
        message[17] = b'S';
        message[22..30].copy_from_slice(b"ALC     ");
        assert_eq!(open_after(&mut executions, 5, &message), [2]);
        let mut message = vec![0; 36];
        message[0] = b'E';
        message[9..13].copy_from_slice(&2_u32.to_be_bytes());
        message[16] = 100;
        let heard = HeardMessage {
            seq: 6,
            is_past: false,
            message: &message,
        };
        let fill = executions.on_record(&Header::default(), &Event::Heard(heard));
        let fill = fill.unwrap();
        assert_eq!((fill.side, fill.order_id), (Some("sell"), Some(70)));
        assert_eq!(
            (fill.symbol.as_deref(), fill.strategy.as_deref()),
            (Some("ALC"), Some("quotes"))
        );
    }

    #[test]
    fn order_that_is_over_is_forgotten_however_it_ended() {
        let mut executions = executions();
        let steps = [
            (accepted(1, b'L'), vec![1]),
            (replaced(1, 2, b'L'), vec![2]),
            (replaced(2, 3, b'D'), vec![]),
            (accepted(4, b'D'), vec![]),
            (accepted(5, b'L'), vec![5]),
            (modified_away(5), vec![]),
        ];
        for (seq, (message, expected)) in (1..).zip(steps) {
            assert_eq!(
                open_after(&mut executions, seq, &message),
                expected,
                "{seq}"
            );
        }
    }
}
