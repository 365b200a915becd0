//! What the journals of earlier runs say of a session's day: which numbers are used, whose each order was, and what the
//! exchange said.
//!
//! ```text
//!  journals ──reader──> Pasts ──> Past, one for each session ──> order entry: it holds the exchange's replay against it
//!                                  └─ last numbers ──> strategies count on from there
//! ```
//!
//! Thread:      main, before the cores start; then an order core, before any order goes out
//! Invariants:  a number that is in a journal, or may have been on its way into one when its process was killed, is not
//!              used again: what may be on its way is bounded, and skipped.
//! When wrong:  a damaged journal is one whose rest may have had as many orders as fit into it; they are skipped, too,
//!              and its reader says that it is damaged.

use protocol::ouch::Inbound;
use protocol::types::{Side, Symbol, UserRefNum};

use super::carried::{Carried, Worked};
use super::event::Event;
use super::executions::{Execution, Executions};
use super::format::{Header, IntentRecord};
use super::head::{Began, Head, SessionNames};
use super::heard::Sums;
use super::limits::PastLimits;
use super::ouch::{packets, sent};
use super::replay::Hearer;
use crate::message::intent::{OrderId, Owner};

pub use super::heard::Story;

/// An order as its strategy sent it, by one of its numbers: a replace has a number of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastOrder {
    /// OUCH's number.
    pub user_ref: UserRefNum,
    /// The strategy's.
    pub id: OrderId,
    /// The strategy, as it is numbered now; `None`: it is not configured any more.
    pub owner: Option<Owner>,
    /// Symbol; blank: it is not known.
    pub symbol: Symbol,
    /// Side.
    pub side: Side,
    /// A new order, not a replace.
    pub is_new: bool,
    /// The exchange has accepted or rejected it.
    is_answered: bool,
}

/// What is known of one session; by default nothing.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// The exchange's session that orders and messages belong to.
    joined: Option<[u8; 10]>,
    /// The one that the run at hand has joined, while journals are read.
    run_joined: Option<[u8; 10]>,
    /// Ascending by number.
    orders: Vec<PastOrder>,
    /// The last number of an order or a replace.
    number_last: u32,
    /// Each strategy's last number, as strategies are numbered now.
    ids_last: Vec<u32>,
    /// A checksum of each message, the first one's first.
    heard: Sums,
    /// Numbers up to this one were settled when a run opened: what had no answer then was told to be lost.
    settled_to: u32,
    limits: PastLimits,
    worked: Worked,
    /// When the day began, ns since 1970.
    day_began_ns: u64,
}

impl Past {
    /// The day began then, ns since 1970: what sessions that were left have executed since is carried.
    #[must_use]
    pub fn of_day(mut self, began_ns: u64) -> Self {
        self.day_began_ns = began_ns;
        self
    }

    /// What sessions other than this one have executed today, before it is [joined](Self::join); the second time nothing.
    pub fn take_carried(&mut self, session: [u8; 10]) -> Carried {
        let worked = std::mem::take(&mut self.worked);
        worked.carry(session, self.day_began_ns)
    }

    /// Whether it knows nothing of orders and messages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.orders.is_empty() && self.heard.is_empty()
    }

    /// What was changed of its limits.
    #[must_use]
    pub fn limits(&self) -> &PastLimits {
        &self.limits
    }

    /// The number that a strategy's next order may have.
    #[must_use]
    pub fn next_id(&self, owner: Owner) -> u32 {
        let last = self.ids_last.get(usize::from(owner.0));
        last.map_or(1, |last| last.saturating_add(1))
    }

    /// The number that the session's next order may have.
    #[must_use]
    pub fn next_number(&self) -> UserRefNum {
        UserRefNum(self.number_last.saturating_add(1))
    }

    /// The exchange has this session: what is known of another one's orders says nothing here. How many orders that are.
    pub fn join(&mut self, session: [u8; 10]) -> usize {
        let before = self.joined.replace(session);
        if before == Some(session) {
            return 0;
        }
        // Of whatever session it is, it is not of this one.
        let forgotten = std::mem::take(&mut self.orders).len();
        self.heard = Sums::default();
        self.settled_to = 0;
        // Where nobody knows of which session they were, numbers may have been used in this one.
        if before.is_some() {
            self.number_last = 0;
        }
        forgotten
    }

    /// Holds a message of the exchange's against the journal.
    #[must_use]
    pub fn hold_against(&self, seq: u64, message: &[u8]) -> Story {
        self.heard.story(seq, message)
    }

    /// The exchange has answered an order.
    pub fn on_answered(&mut self, user_ref: UserRefNum) {
        if let Ok(at) = self.find(user_ref)
            && let Some(order) = self.orders.get_mut(at)
        {
            order.is_answered = true;
        }
    }

    /// Whose an order is.
    #[must_use]
    pub fn order(&self, user_ref: UserRefNum) -> Option<&PastOrder> {
        self.find(user_ref).ok().and_then(|at| self.orders.get(at))
    }

    /// New orders that the exchange has said nothing of, and that no run has missed yet: they never reached it.
    pub fn unanswered(&self) -> impl Iterator<Item = &PastOrder> {
        let orders = self.orders.iter();
        orders.filter(|it| it.is_new && !it.is_answered && it.user_ref.0 > self.settled_to)
    }

    fn find(&self, user_ref: UserRefNum) -> Result<usize, usize> {
        self.orders
            .binary_search_by_key(&user_ref, |order| order.user_ref)
    }

    fn note(&mut self, order: PastOrder) {
        self.number_last = self.number_last.max(order.user_ref.0);
        match self.orders.last() {
            Some(last) if last.user_ref >= order.user_ref => match self.find(order.user_ref) {
                // What went before under this number never reached the exchange.
                Ok(at) => {
                    if let Some(slot) = self.orders.get_mut(at) {
                        *slot = order;
                    }
                }
                Err(at) => self.orders.insert(at, order),
            },
            _ => self.orders.push(order),
        }
    }

    fn on_intent(&mut self, owner: Option<Owner>, intent: &IntentRecord) {
        let last = owner.and_then(|owner| self.ids_last.get_mut(usize::from(owner.0)));
        if let Some(last) = last {
            *last = (*last).max(intent.id.get());
        }
    }

    fn on_sent(&mut self, owner: Option<Owner>, intent: &IntentRecord, packet: &[u8]) {
        let (user_ref, symbol, side, is_new) = match packets(packet).find_map(sent) {
            Some(Inbound::EnterOrder(m)) => {
                let side = Side::of_code(m.side).unwrap_or(Side::Buy);
                (m.user_ref.get(), m.symbol, side, true)
            }
            Some(Inbound::ReplaceOrder(m)) => {
                let original = self.order(m.original_user_ref.get());
                let about = original.map(|order| (order.symbol, order.side));
                let (symbol, side) = about.unwrap_or((Symbol::BLANK, Side::Buy));
                (m.user_ref.get(), symbol, side, false)
            }
            _ => return,
        };
        self.note(PastOrder {
            user_ref,
            id: OrderId(intent.id.get()),
            owner,
            symbol,
            side,
            is_new,
            is_answered: false,
        });
    }

    /// As many orders as this may have gone out without being in the journal.
    fn skip(&mut self, orders: u32) {
        self.number_last = self.number_last.saturating_add(orders);
        for last in &mut self.ids_last {
            *last = last.saturating_add(orders);
        }
    }
}

/// A session's name as the login tells it.
fn padded(name: &str) -> [u8; 10] {
    let mut padded = [b' '; 10];
    for (to, from) in padded.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    padded
}

/// The pasts of all sessions, while journals are read: the oldest first.
#[derive(Debug)]
pub struct Pasts {
    sessions: Vec<(SessionNames, Past)>,
    /// What numbers of the file at hand mean: our session, our strategies.
    of_file: Vec<Option<Numbers>>,
    /// Orders that a killed process may have sent without their records having reached a file.
    unwritten_max: u32,
    /// The run at hand has not said that it has stopped.
    is_running: bool,
    executions: Executions,
    /// When the run at hand began.
    began: Began,
}

/// A session of a file, as it is numbered now.
#[derive(Clone, Debug)]
struct Numbers {
    session: usize,
    owners: Vec<Option<Owner>>,
}

impl Pasts {
    /// For the sessions of now. `unwritten_max`: orders that a killed process may have sent without their records having
    /// reached a file.
    #[must_use]
    pub fn new(sessions: &[SessionNames], unwritten_max: u32) -> Self {
        let begin = |names: &SessionNames| {
            let past = Past {
                ids_last: vec![0; names.strategies.len()],
                ..Past::default()
            };
            (names.clone(), past)
        };
        Self {
            sessions: sessions.iter().map(begin).collect(),
            of_file: Vec::new(),
            unwritten_max,
            is_running: false,
            executions: Executions::default(),
            began: Began::default(),
        }
    }

    /// A file begins.
    pub fn begin_file(&mut self, head: &Head) {
        if head.part == 0 {
            self.end_run();
            let sessions = self.sessions.iter_mut();
            sessions.for_each(|(_, past)| past.run_joined = None);
        }
        self.began = head.began;
        self.executions.begin_file(head.began, &head.names);
        self.is_running = true;
        self.of_file = (head.names.sessions.iter())
            .map(|names| self.numbers(names))
            .collect();
        let joined = head.names.sessions.iter().zip(&self.of_file);
        for (names, numbers) in joined.filter(|(names, _)| !names.joined.is_empty()) {
            let session = numbers.as_ref().map(|numbers| numbers.session);
            if let Some((_, past)) = session.and_then(|at| self.sessions.get_mut(at)) {
                past.join(padded(&names.joined));
                past.run_joined = past.joined;
            }
        }
    }

    /// A record of the file at hand.
    pub fn on_event(&mut self, session: u8, event: &Event<'_>) {
        if *event == Event::Stop {
            self.is_running = false;
        }
        let numbers = self.of_file.get(usize::from(session));
        let Some(Some(Numbers { session, owners })) = numbers else {
            return;
        };
        let Some((_, past)) = self.sessions.get_mut(*session) else {
            return;
        };
        let owner = |owner: u8| owners.get(usize::from(owner)).copied().flatten();
        match event {
            Event::Sent(intent, packet) => {
                past.on_intent(owner(intent.owner), intent);
                past.on_sent(owner(intent.owner), intent, packet);
            }
            Event::Refused(intent) => past.on_intent(owner(intent.owner), intent),
            Event::Heard(heard) => {
                past.heard.keep(heard.seq, heard.message);
            }
            Event::LoggedIn(_, name) => {
                past.join(*name);
                past.run_joined = past.joined;
            }
            Event::Opened => past.settled_to = past.number_last,
            Event::Limits(record) => past.limits.on_record(record),
            Event::Row(record) => {
                match record.owner.map(owner) {
                    // A strategy that is no more has no limits, and the table's number counts on.
                    Some(None) => past.limits.on_table(record.number, record.uid),
                    whose => past.limits.on_row(record, whose.flatten()),
                }
            }
            _ => {}
        }
    }

    /// The rest of the file at hand cannot be read: this many orders may be in it.
    pub fn on_damage(&mut self, orders: u32) {
        for (_, past) in &mut self.sessions {
            past.skip(orders);
        }
    }

    /// The file at hand, which was written until then, ns since 1970, cannot be read to its end: it may have had
    /// executions of the sessions that it names, or of any where its head cannot be read.
    pub fn on_unread(&mut self, until_ns: u64, has_head: bool) {
        for (at, (_, past)) in self.sessions.iter_mut().enumerate() {
            let is_named = |it: &Option<Numbers>| it.as_ref().is_some_and(|it| it.session == at);
            let is_of_file = self.of_file.iter().any(is_named);
            if !has_head || is_of_file {
                past.worked
                    .on_damage(until_ns, past.run_joined.filter(|_| has_head));
            }
        }
    }

    /// Every file has been read.
    #[must_use]
    pub fn finish(self) -> Vec<Past> {
        self.finish_with_executions().0
    }

    /// The same, and the machine that has told executions, to go on with.
    pub(super) fn finish_with_executions(mut self) -> (Vec<Past>, Executions) {
        self.end_run();
        for (names, past) in &mut self.sessions {
            self.executions.each_left(names, |exchange_session, left| {
                past.worked.on_left(padded(exchange_session), left);
            });
        }
        let pasts = self.sessions.into_iter().map(|(_, past)| past);
        (pasts.collect(), self.executions)
    }

    /// A record of the file at hand; the execution that it tells for the first time.
    pub(super) fn hear(&mut self, header: &Header, event: &Event<'_>) -> Option<Execution> {
        self.on_event(header.session, event);
        // Another gateway's session is its own to tell.
        let numbers = self.of_file.get(usize::from(header.session))?;
        let session = numbers.as_ref()?.session;
        let told = self.executions.on_record(header, event);
        // What comes before a login is of no session.
        if matches!(event, Event::LoggedIn(..) | Event::Heard(_))
            && let Some((_, past)) = self.sessions.get_mut(session)
            && let Some(joined) = past.joined
        {
            let time_ns = self.began.realtime_ns(header.time_ns.get());
            past.worked.on_record(joined, time_ns, told.as_ref());
        }
        told
    }

    /// A run without an end was killed: what was in its memory is lost.
    fn end_run(&mut self) {
        if std::mem::take(&mut self.is_running) {
            let unwritten_max = self.unwritten_max;
            self.on_damage(unwritten_max);
        }
    }

    fn numbers(&self, then: &SessionNames) -> Option<Numbers> {
        let mut sessions = self.sessions.iter().enumerate();
        let (session, (now, _)) = sessions.find(|(_, (now, _))| now.is_same(then))?;
        let owner = |name: &String| {
            let at = now.strategies.iter().position(|it| it == name)?;
            u8::try_from(at).ok().map(Owner)
        };
        Some(Numbers {
            session,
            owners: then.strategies.iter().map(owner).collect(),
        })
    }
}

impl Hearer for Pasts {
    fn begin_file(&mut self, head: &Head) {
        Self::begin_file(self, head);
    }

    fn on_record(&mut self, header: &Header, event: &Event<'_>) {
        self.hear(header, event);
    }
}

#[cfg(test)]
mod tests {
    use protocol::ouch::EnterOrder;
    use zerocopy::byteorder::little_endian::U32;

    use super::super::event::HeardMessage;
    use super::super::head::{Began, Names, decode, encode};
    use super::*;

    fn names(strategies: &[&str]) -> Vec<SessionNames> {
        vec![SessionNames {
            name: "ouch".to_owned(),
            strategies: strategies.iter().map(|name| (*name).to_owned()).collect(),
            next: 1,
            ..SessionNames::default()
        }]
    }

    fn head(part: u32, strategies: &[&str]) -> Head {
        let names = Names::new(names(strategies), Vec::new());
        decode(&encode(Began::default(), part, &names)).unwrap()
    }

    fn enter(owner: u8, id: u32, user_ref: u32) -> Event<'static> {
        let intent = IntentRecord {
            id: U32::new(id),
            user_ref: U32::new(user_ref),
            owner,
            ..IntentRecord::default()
        };
        Event::Sent(intent, Vec::leak(packet_of(user_ref)))
    }

    /// A new order of this number.
    fn packet_of(user_ref: u32) -> Vec<u8> {
        let mut packet = vec![0; 3 + EnterOrder::LEN + 2];
        packet[1] = u8::try_from(1 + EnterOrder::LEN + 2).unwrap();
        (packet[2], packet[3]) = (b'U', b'O');
        packet[4..8].copy_from_slice(&user_ref.to_be_bytes());
        packet[8] = b'B';
        packet[13..21].copy_from_slice(b"ALC     ");
        packet
    }

    fn heard(seq: u64, message: &[u8]) -> Event<'_> {
        Event::Heard(HeardMessage {
            seq,
            is_past: false,
            message,
        })
    }

    const SESSION: [u8; 10] = *b"DAY       ";

    #[test]
    fn strategies_are_found_by_name_and_numbers_go_on() {
        let mut pasts = Pasts::new(&names(&["new", "b", "a"]), 100);
        pasts.begin_file(&head(0, &["a", "b", "gone"]));
        for event in [
            Event::Start,
            Event::LoggedIn(1, SESSION),
            enter(0, 7, 1),
            enter(1, 3, 2),
            enter(2, 9, 5),
            Event::Stop,
        ] {
            pasts.on_event(if event == Event::Start { 255 } else { 0 }, &event);
        }
        pasts.on_event(255, &Event::Stop);
        let past = pasts.finish().remove(0);
        let owner = |number| past.order(UserRefNum(number)).map(|order| order.owner);
        assert_eq!(owner(1), Some(Some(Owner(2))));
        assert_eq!(owner(2), Some(Some(Owner(1))));
        assert_eq!(owner(5), Some(None), "it is not configured any more");
        assert_eq!(owner(3), None);
        let ids = [0, 1, 2, 3].map(|owner| past.next_id(Owner(owner)));
        assert_eq!((ids, past.next_number().0), ([1, 4, 8, 1], 6));
    }

    #[test]
    fn killed_run_and_a_damaged_file_skip_what_they_may_have_used() {
        let mut pasts = Pasts::new(&names(&["a"]), 100);
        for run in 0..3 {
            pasts.begin_file(&head(0, &["a"]));
            pasts.on_event(255, &Event::Start);
            if run == 0 {
                pasts.on_event(0, &enter(0, 7, 3));
            }
            // A later part is of the same run.
            pasts.begin_file(&head(1, &["a"]));
            if run == 1 {
                pasts.on_event(255, &Event::Stop);
            }
        }
        pasts.on_damage(10);
        let past = pasts.finish().remove(0);
        // The first and the last run were killed.
        assert_eq!((past.next_id(Owner(0)), past.next_number().0), (218, 214));
    }

    #[test]
    fn later_part_of_a_run_is_of_the_session_that_its_head_names_and_else_of_no_known_one() {
        for (joined, forgotten) in [("DAY", 0), ("", 1), ("FRIDAY", 1)] {
            let mut head = head(3, &["a"]);
            joined.clone_into(&mut head.names.sessions[0].joined);
            let mut pasts = Pasts::new(&names(&["a"]), 0);
            pasts.begin_file(&head);
            pasts.on_event(0, &enter(0, 1, 1));
            pasts.on_event(0, &heard(1, b"one"));
            let mut past = pasts.finish().remove(0);
            assert_eq!(past.join(SESSION), forgotten, "{joined:?}");
            assert_eq!(past.is_empty(), forgotten > 0, "{joined:?}");
            assert_eq!(past.next_id(Owner(0)), 2, "a strategy's numbers go on");
            let next = if joined == "FRIDAY" { 1 } else { 2 };
            assert_eq!(
                past.next_number().0,
                next,
                "{joined:?}: it may have been used"
            );
        }
    }

    #[test]
    fn story_of_the_exchange_is_known_new_or_another_and_of_one_session() {
        let mut pasts = Pasts::new(&names(&["a"]), 0);
        pasts.begin_file(&head(0, &["a"]));
        pasts.on_event(0, &Event::LoggedIn(1, SESSION));
        pasts.on_event(0, &enter(0, 1, 1));
        pasts.on_event(0, &enter(0, 2, 2));
        pasts.on_event(0, &heard(1, b"one"));
        pasts.on_event(0, &heard(3, b"three"));
        let mut past = pasts.finish().remove(0);
        assert_eq!(past.hold_against(1, b"one"), Story::Known);
        assert_eq!(past.hold_against(1, b"One"), Story::Differs);
        for seq in [0, 2, 4, u64::MAX] {
            assert_eq!(past.hold_against(seq, b"one"), Story::New, "{seq}");
        }
        past.on_answered(UserRefNum(2));
        let unanswered: Vec<_> = past.unanswered().map(|it| it.user_ref.0).collect();
        assert_eq!(unanswered, [1]);
        assert_eq!(past.join(SESSION), 0);
        assert_eq!(past.join([b'x'; 10]), 2, "orders of another session");
        assert!(past.is_empty() && past.next_id(Owner(0)) == 3);
        assert_eq!(past.next_number().0, 1);
    }
}
