//! Order entry of one session as one state machine: intents in, bytes out; bytes in, executions out.
//!
//! ```text
//!  bytes ──> inbox ──packet──> lifecycle ──message──> ledger (answers) ──> telling
//!  intent ──────────────────────────────────────────> ledger (risk, orders) ──> bytes
//!                                                     └ account, which sessions share
//! ```
//!
//! After each login the account is queried. The answer (the first one that is not of the past, see
//! `lifecycle`) comes behind everything that the exchange has said, so when it is here, orders, fills and
//! positions are what the exchange believes; an order that it never accepted was never there. Only then
//! do orders go out.
//!
//! Thread:      order core, hot
//! Contract:    **bytes that a call writes are sent in the order of the calls.**
//! Time:        comes in as `now_ns`.
//! Spec:        SoupBinTCP 3.00, OUCH 5.0 revision 1.04.

use std::sync::Arc;

use protocol::soup::OutOfStep;
use protocol::types::{Seq, UserRefNum};

use super::account::Account;
use super::inbox::Inbox;
use super::ledger::Ledger;
use super::lifecycle::SessionEvent;
use super::live::Order;
use super::session_orders::SessionOrders;
use super::telling::AnswerEvent;
use crate::journal::inlet::{Inlet, Message};
use crate::journal::past::{Past, Story};
use crate::message::execution::ExecutionEvent;
use crate::message::intent::{OrderIntent, Owner};
use crate::message::invariant::Breach;
use crate::message::notice::{Ended, Lost};
use crate::order::risk::{KillSwitch, Refusal};

pub use super::desk::{DESKS_MAX, DeskOptions};
pub use super::lifecycle::{Credentials, Due, Lifecycle, PROGRESS_TIMEOUT_NS};
pub use super::live::LiveOrder;
pub use super::progress::{EntryCounters, OrderHistograms, Sent};
pub use super::session_orders::FoundOrders;
pub use super::session_state::State;
pub use crate::message::intent::Asked;

/// Bytes of the exchange, and when they were here.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// What arrived.
    pub bytes: &'a [u8],
    /// When.
    pub now_ns: u64,
}

/// One session's order entry.
#[derive(Debug)]
pub struct Entry {
    lifecycle: Lifecycle,
    inbox: Inbox,
    pub(super) session: SessionOrders,
    pub(super) journal: Inlet,
}

impl Entry {
    /// Nothing open yet. `open_orders_max` is risk's limit; `desks` are the strategies in order; what they may
    /// trade is named in `account`, which every later call has to be given.
    #[must_use]
    pub fn new(
        lifecycle: Lifecycle,
        open_orders_max: u32,
        desks: &[DeskOptions],
        account: &mut Account,
    ) -> Self {
        Self {
            lifecycle,
            inbox: Inbox::new(),
            session: SessionOrders::new(open_orders_max, desks, &mut account.instruments),
            journal: Inlet::default(),
        }
    }

    /// Everything that happens is journaled from now on.
    #[must_use]
    pub fn with_journal(mut self, journal: Inlet) -> Self {
        self.journal = journal;
        self
    }

    /// The exchange's past is held against what the journals of earlier runs say, and orders that are found open
    /// are treated so.
    #[must_use]
    pub fn with_past(mut self, past: Past, found: FoundOrders) -> Self {
        (self.session.past, self.session.found) = (past, found);
        self
    }

    /// What has no answer for this long is in doubt, ns: the exchange is asked, and a connection that has swallowed it
    /// ends.
    #[must_use]
    pub fn with_answer_timeout(mut self, timeout_ns: u64) -> Self {
        self.session.doubt.set_timeout(timeout_ns);
        self
    }

    /// Messages to the exchange that are in doubt.
    #[must_use]
    pub fn in_doubt(&self) -> u32 {
        self.session.doubt.count()
    }

    /// Whether the journal has to be emptied before the exchange's past is read on: nothing is traded yet, so there
    /// is time.
    #[inline]
    #[must_use]
    pub fn must_wait(&mut self) -> bool {
        self.lifecycle.state() == State::Recovering && !self.journal.has_half_free()
    }

    /// Whether the kill switch stands otherwise than the journal knows.
    #[inline]
    #[must_use]
    pub fn has_news_of(&self, kill: &KillSwitch) -> bool {
        self.journal.has_news_of(kill.cause())
    }

    /// Journals how the kill switch stands.
    #[cold]
    pub fn note_kill(&mut self, kill: &KillSwitch, now_ns: u64) {
        self.journal
            .on_kill(kill.cause(), kill.began_code(), now_ns);
    }

    /// Has every page of its memory mapped, on the thread that will use it.
    pub fn prepare(&mut self) {
        self.session.prepare();
    }

    /// The counters, for housekeeping.
    #[must_use]
    pub fn counters(&self) -> Arc<EntryCounters> {
        Arc::clone(&self.session.counters)
    }

    /// How far the session is.
    #[inline]
    #[must_use]
    pub fn state(&self) -> State {
        self.lifecycle.state()
    }

    /// Orders of this session open now.
    #[must_use]
    pub fn open_orders(&self) -> u32 {
        self.session.orders.len()
    }

    /// Live orders by reference number: for reports and tests.
    #[must_use]
    pub fn live_orders(&self, account: &Account) -> Vec<LiveOrder> {
        let live = self.session.orders.iter();
        let live = live.map(|it| it.shown(account.instruments.symbol(it.instrument)));
        let mut live: Vec<LiveOrder> = live.collect();
        live.sort_unstable_by_key(|order| order.user_ref);
        live
    }

    /// The live order that a number stands for, its own or that of a replace on its way: for tests.
    #[must_use]
    pub fn order(&self, number: UserRefNum) -> Option<&Order> {
        self.session.orders.get(number)
    }

    /// Orders that there is room for.
    #[must_use]
    pub(super) fn room(&self) -> usize {
        self.session.orders.room()
    }

    /// Places that orders have had so far: every live order is in one of them.
    #[must_use]
    pub(super) fn places(&self) -> usize {
        self.session.orders.places()
    }

    /// The live order in a place.
    #[must_use]
    pub(super) fn order_at(&self, place: usize) -> Option<&Order> {
        self.session.orders.at(place)
    }

    /// A few times a second: what the operator wants cancelled, and could not be yet, is looked at again.
    pub fn sweep_again(&mut self) {
        if self.lifecycle.takes_cancels() {
            self.session.sweep_again();
        }
    }

    /// Whether the operator's cancels have orders to look at.
    #[inline]
    #[must_use]
    pub fn is_sweeping(&self) -> bool {
        self.session.is_sweeping()
    }

    /// Writes the operator's cancels for at most `orders_max` orders, as many as fit.
    pub fn sweep_some(&mut self, orders_max: u32, now_ns: u64, out: &mut [u8]) -> usize {
        if !self.can_cancel() {
            return 0;
        }
        let len = self.session.sweep_some(orders_max, now_ns, out);
        self.journal
            .on_cancels(out.get(..len).unwrap_or_default(), now_ns);
        self.lifecycle.on_sent(len, now_ns)
    }

    /// The number of the next message that the exchange will say: what is below has been heard.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        self.lifecycle.next_seq()
    }

    /// Where the exchange's past ends, as far as it is known: see [`Lifecycle::past_end`].
    #[must_use]
    pub fn past_end(&self) -> Option<Seq> {
        self.lifecycle.past_end()
    }

    /// The connection stands: writes the login.
    pub fn on_connected(&mut self, now_ns: u64, out: &mut [u8]) -> usize {
        self.session.counters.connections.increment();
        self.inbox.clear();
        // The login itself is not journaled: it has the password.
        self.journal.on_connected(now_ns);
        self.lifecycle.on_connected(now_ns, out)
    }

    /// The connection is gone, with the error of the system. Orders stay as they are: the exchange decides what becomes
    /// of them.
    pub fn on_closed(&mut self, errno: i32, now_ns: u64) -> Lost {
        let from = self.lifecycle.addresses().current();
        self.session.counters.disconnections.increment();
        self.session.doubt.forget();
        let pause_ms = self.lifecycle.on_closed(now_ns);
        self.journal.on_closed(pause_ms, now_ns);
        let next = self.lifecycle.addresses().current();
        Lost {
            from,
            errno,
            pause_ms,
            next,
        }
    }

    /// Which of the session's addresses it is at or tries next, from 0.
    #[must_use]
    pub fn address(&self) -> u8 {
        u8::try_from(self.lifecycle.addresses().index()).unwrap_or(u8::MAX)
    }

    /// From now on nothing new goes out and everything open is cancelled; whether the time for that is up.
    pub fn stop(&mut self, now_ns: u64) -> bool {
        self.lifecycle.stop(now_ns)
    }

    /// Whether it has been told to stop.
    #[must_use]
    pub fn is_told_to_stop(&self) -> bool {
        self.lifecycle.is_told_to_stop()
    }

    /// Whether it has been told to stop and nothing is open any more.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.lifecycle.is_stopping_and_sure() && self.session.orders.is_empty()
    }

    /// Checks an intent and writes its message into `out`.
    ///
    /// # Errors
    /// Why it was refused; nothing has been written then.
    // Compiled once, whatever the transport: what an understudy runs is what real orders run.
    #[inline(never)]
    pub fn on_intent(
        &mut self,
        account: &mut Account,
        asked: &Asked<'_>,
        out: &mut [u8],
    ) -> Result<Sent, Refusal> {
        self.journal.make_sure();
        match self.judge(account, asked, out) {
            Ok(sent) => {
                self.journal.on_sent(asked, sent.user_ref.0, out, sent.len);
                self.lifecycle.on_sent(sent.len, asked.now_ns);
                Ok(sent)
            }
            Err(refusal) => {
                let row = account.risk.take_refusing_row();
                self.journal.on_refused(asked, refusal, row);
                Err(refusal)
            }
        }
    }

    #[inline]
    fn judge(
        &mut self,
        account: &mut Account,
        asked: &Asked<'_>,
        out: &mut [u8],
    ) -> Result<Sent, Refusal> {
        if self.lifecycle.state() != State::Open {
            return Err(Refusal::SessionDown);
        }
        let session = &mut self.session;
        Ledger { session, account }.on_intent(asked, out)
    }

    /// Says when an order's bytes were ready.
    #[inline]
    pub fn on_encoded(&mut self, user_ref: UserRefNum, encoded_ns: u64) {
        self.session.on_encoded(user_ref, encoded_ns);
    }

    /// Prefetches what the next order writes.
    #[inline]
    pub fn prefetch(&self, account: &Account) {
        self.session.prefetch();
        account.risk.prefetch();
        self.journal.prefetch();
    }

    /// The answer to an intent that was refused: the order as it stands.
    #[must_use]
    pub fn refused(
        &mut self,
        owner: Owner,
        intent: &OrderIntent,
        refusal: Refusal,
        now_ns: u64,
    ) -> ExecutionEvent {
        self.session.refused(owner, intent, refusal, now_ns)
    }

    /// Whether orders stand that could be cancelled now.
    #[inline]
    #[must_use]
    pub fn can_cancel(&self) -> bool {
        self.lifecycle.takes_cancels() && self.session.has_standing()
    }

    /// Writes cancels for at most `orders_max` orders that have none on their way, as many as fit.
    pub fn cancel_some(&mut self, orders_max: usize, now_ns: u64, out: &mut [u8]) -> usize {
        if !self.can_cancel() {
            return 0;
        }
        let len = self.session.cancel_some(orders_max, now_ns, out);
        self.journal
            .on_cancels(out.get(..len).unwrap_or_default(), now_ns);
        self.lifecycle.on_sent(len, now_ns)
    }

    /// An invariant that does not hold and that no call has told yet.
    #[inline]
    pub fn take_breach(&mut self) -> Option<Breach> {
        self.session.take_breach()
    }

    /// Writes a logout: the end of this session.
    pub fn log_out(&mut self, now_ns: u64, out: &mut [u8]) -> usize {
        self.lifecycle.log_out(now_ns, out)
    }

    /// Takes bytes from the exchange; writes what has to be sent at once into `out`.
    #[inline]
    pub fn on_bytes(
        &mut self,
        account: &mut Account,
        received: Received<'_>,
        out: &mut [u8],
        mut tell: impl FnMut(AnswerEvent),
    ) -> usize {
        let Received { mut bytes, now_ns } = received;
        let Self {
            lifecycle,
            inbox,
            session,
            journal,
        } = self;
        lifecycle.on_heard(now_ns);
        let mut has_logged_in = false;
        while lifecycle.is_listening() {
            let packet = match inbox.next(&mut bytes) {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(OutOfStep) => {
                    tell(AnswerEvent::Ended(lifecycle.end(Ended::OutOfStep)));
                    break;
                }
            };
            match lifecycle.on_packet(packet, now_ns) {
                SessionEvent::Message(message, is_past) => {
                    let heard = Message {
                        seq: lifecycle.next_seq().0 - 1,
                        is_past,
                        bytes: message,
                    };
                    let mut ledger = Ledger { session, account };
                    if !is_past || ledger.on_past(heard.seq, message, &mut tell) != Story::Known {
                        journal.on_heard(&heard, now_ns);
                    }
                    let answer = ledger.on_message(now_ns, message, is_past, &mut tell);
                    match (answer, lifecycle.state()) {
                        (Some(next), State::Recovering) => {
                            ledger.on_past_known(now_ns, next, &mut tell);
                            lifecycle.on_past_known(now_ns);
                        }
                        (Some(_), _) if ledger.session.has_swallowed() => {
                            tell(AnswerEvent::Ended(lifecycle.end(Ended::Swallowed)));
                            break;
                        }
                        _ => {}
                    }
                    let waits = lifecycle.state() == State::Settling;
                    if waits && ledger.is_settled(lifecycle.is_first()) {
                        lifecycle.on_recovered(now_ns);
                        journal.on_opened(now_ns);
                        ledger.account.risk.settle();
                        tell(AnswerEvent::Opened);
                    }
                }
                SessionEvent::Quiet => {}
                SessionEvent::LoggedIn => {
                    has_logged_in = true;
                    journal.on_logged_in(lifecycle.next_seq().0, lifecycle.joined(), now_ns);
                    Ledger { session, account }.on_joined(lifecycle.joined(), &mut tell);
                }
                SessionEvent::Probed => {
                    lifecycle.on_probed();
                    tell(AnswerEvent::ConnectAgain);
                }
                SessionEvent::Ended(ended) => tell(AnswerEvent::Ended(ended)),
            }
        }
        if !has_logged_in {
            return 0;
        }
        let len = session.query_account(out);
        lifecycle.on_sent(len, now_ns)
    }

    /// Lets time pass: when to connect, heartbeats, a silent server, one that lets us get nowhere.
    pub fn on_timeout(&mut self, now_ns: u64, out: &mut [u8]) -> Due {
        let due = self.lifecycle.on_timeout(now_ns, out);
        if due != Due::Nothing || !self.lifecycle.takes_cancels() {
            return due;
        }
        match self.session.look_for_doubts(now_ns, out) {
            Some(0) => Due::Nothing,
            Some(len) => Due::Send(self.lifecycle.on_sent(len, now_ns)),
            None => Due::End(self.lifecycle.end(Ended::Unanswered)),
        }
    }
}
