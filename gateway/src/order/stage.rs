//! The order stage: one session's order entry on one connection.
//!
//! Path:        intent rings -> entry -> transport; transport -> entry -> execution rings
//! Thread:      order core, hot
//! Invariants:  everything that waits in the rings goes out in one submission; several orders share a
//!              TCP segment.
//!              Strategies take turns, so that none waits for another's flood.
//! Time:        risk judges an order at the time at which it goes out: one clock read for the first intent
//!              of a turn, then each order's own. `encoded` is one read for each order; `submitted` one for
//!              each submission, after the kernel has taken it (with `enter`, the TCP send is inside).
//! When full:   while a strategy has too little room for executions, the exchange is not read, for
//!              `HOLD_NS` at most. A strategy whose ring is full all the same no longer knows its
//!              orders: the kill switch goes on.

use std::io;
use std::sync::Arc;

use rt::clock::Clock;
use rt::ring::Consumer;

use super::account::Account;
use super::entry::{Asked, Due, Entry, EntryCounters, LiveOrder, OrderHistograms, Received, State};
use super::hearing::Heard;
use super::links::{Link, Listeners, owner_of};
use super::opening::Opening;
use super::risk::KillSwitch;
use super::snapshot::{PositionsView, SessionView, Snapshot};
use super::together::{BATCH, Together};
use super::transport::{Transport, TransportEvent};
use super::understudy::{Understudy, prefetch_next};
use crate::core_loop::Stage;
use crate::message::command::Command;
use crate::message::execution::{ExecutionEvent, Outcome};
use crate::message::intent::{Cause, OrderIntent, Owner};
use crate::message::notice::{Notice, Notices};
use crate::trace::recorder::{OrderTrace, Slowest};

pub use super::parts::Parts;

/// Cancels written in one turn at most when everything is to be cancelled: answers are heard and
/// heartbeats sent between two such turns. 256 are about 20 µs of work.
const CANCELS_A_TURN: u32 = 256;
/// How long the exchange is not read for a strategy that takes no executions: hosts hold cores up for milliseconds.
const HOLD_NS: u64 = 20_000_000;

/// The stage.
#[derive(Debug)]
pub struct OrderStage<T> {
    account: Account,
    entry: Entry,
    counters: Arc<EntryCounters>,
    transport: T,
    links: Vec<Link>,
    /// Whose turn it is.
    next_link: usize,
    /// Since when a strategy has too little room for executions.
    short_since_ns: Option<u64>,
    /// What could be cancelled waits for its pause; housekeeping looks again.
    cancels_rest: bool,
    histograms: OrderHistograms,
    notices: Notices,
    kill: KillSwitch,
    commands: Consumer<Command>,
    opening: Opening,
    snapshot: Snapshot,
    together: Together,
    slowest: Slowest,
    understudy: Option<Box<Understudy>>,
}

impl<T: Transport> OrderStage<T> {
    /// Puts the stage together; it connects in its first turns.
    pub fn new(parts: Parts<T>) -> Self {
        let Parts {
            account,
            entry,
            transport,
            links,
            commands,
            opening,
            notices,
            slowest,
        } = parts;
        Self {
            counters: entry.counters(),
            kill: account.kill(),
            account,
            commands,
            transport,
            links,
            next_link: 0,
            short_since_ns: None,
            cancels_rest: false,
            histograms: OrderHistograms::default(),
            notices,
            opening,
            snapshot: Snapshot::new(entry.room()),
            together: Together::default(),
            slowest,
            entry,
            understudy: None,
        }
    }

    /// An idle core keeps its way warm.
    #[must_use]
    pub fn with_rehearsal(mut self, understudy: Understudy) -> Self {
        self.understudy = Some(Box::new(understudy));
        self
    }

    /// The histograms, to be read by housekeeping.
    #[must_use]
    pub fn histograms(&self) -> &OrderHistograms {
        &self.histograms
    }

    /// The session, as others may see it.
    #[must_use]
    pub fn session_view(&self) -> Arc<SessionView> {
        self.snapshot.session()
    }

    /// The account's positions, as others may see them.
    #[must_use]
    pub fn positions_view(&self) -> Arc<PositionsView> {
        self.snapshot.positions()
    }

    /// Order entry itself: what is believed of orders.
    #[must_use]
    pub fn entry(&mut self) -> &mut Entry {
        &mut self.entry
    }

    /// The account: what is believed of positions.
    #[must_use]
    pub fn account(&mut self) -> &mut Account {
        &mut self.account
    }

    /// Live orders by reference number: for reports and tests.
    #[must_use]
    pub fn live_orders(&self) -> Vec<LiveOrder> {
        self.entry.live_orders(&self.account)
    }

    /// The connection's byte stream, for a driver that is its other end.
    #[must_use]
    pub fn transport(&mut self) -> &mut T {
        &mut self.transport
    }

    /// Takes intents from the strategies in turn and submits their messages in one piece.
    #[inline]
    fn take_intents(&mut self, clock: &Clock) -> usize {
        let (mut taken, mut now_ns) = (0, 0);
        // Ends with the batch, or once every ring in a row was empty.
        let mut empty = 0;
        while taken < BATCH && empty < self.links.len() {
            let index = self.next_link;
            self.next_link = if index + 1 < self.links.len() {
                index + 1
            } else {
                0
            };
            let link = self.links.get_mut(index);
            let Some(intent) = link.and_then(|link| link.intents.pop()) else {
                empty += 1;
                continue;
            };
            if taken == 0 {
                now_ns = clock.now_ns();
            }
            (taken, empty) = (taken + 1, 0);
            now_ns = self.on_intent(index, &intent, now_ns, clock);
        }
        if !self.together.is_empty() {
            self.submit(clock);
        }
        taken
    }

    /// Sends an intent, or tells why not; the time afterwards, as far as it is known.
    #[inline]
    fn on_intent(&mut self, index: usize, intent: &OrderIntent, now_ns: u64, clock: &Clock) -> u64 {
        let owner = owner_of(index);
        let asked = Asked {
            owner,
            intent,
            now_ns,
        };
        let room = self.transport.room();
        let sent = match self.entry.on_intent(&mut self.account, &asked, room) {
            Ok(sent) => sent,
            Err(refusal) => {
                self.counters.refuse(refusal);
                let refused = self.entry.refused(owner, intent, refusal, now_ns);
                self.tell(owner, refused);
                return now_ns;
            }
        };
        self.transport.commit(sent.len);
        let encoded_ns = clock.now_ns();
        if sent.is_new {
            self.entry.on_encoded(sent.user_ref, encoded_ns);
            if intent.cause == Cause::Market {
                self.histograms
                    .tick_to_order
                    .record(encoded_ns.saturating_sub(intent.origin.seen_ns));
            }
        }
        self.histograms
            .decided_to_encoded
            .record(encoded_ns.saturating_sub(intent.decided_ns));
        let trace = OrderTrace::begin(intent, sent.user_ref, encoded_ns);
        self.together.add(trace);
        encoded_ns
    }

    #[inline]
    fn submit(&mut self, clock: &Clock) {
        self.transport.flush();
        let submitted_ns = clock.now_ns();
        self.counters.submissions.increment();
        (self.together).on_submitted(submitted_ns, &mut self.histograms, &mut self.slowest);
        self.entry.prefetch(&self.account);
    }

    /// Hears the exchange, unless a strategy has to take its executions first.
    #[inline]
    fn hear(&mut self, clock: &Clock) -> usize {
        let is_held = self.short_since_ns.is_some() && self.must_hold(clock);
        // Once trading has stopped, a journal that takes nothing must not keep what stands from being cancelled.
        if is_held || (self.entry.must_wait() && !self.kill.is_on()) {
            return 0;
        }
        let heard = self.read(clock);
        if heard > 0 {
            self.look_for_room(clock);
        }
        heard
    }

    /// Strategies only make room, so whoever has enough after a read has enough for the next.
    #[inline]
    fn look_for_room(&mut self, clock: &Clock) {
        let is_short = self.links.iter().any(Link::is_short);
        let since_ns = self.short_since_ns;
        self.short_since_ns = is_short.then(|| since_ns.unwrap_or_else(|| clock.now_ns()));
    }

    #[cold]
    fn must_hold(&mut self, clock: &Clock) -> bool {
        clock.keep_turn();
        self.look_for_room(clock);
        self.short_since_ns
            .is_some_and(|since_ns| clock.now_ns().saturating_sub(since_ns) < HOLD_NS)
    }

    #[inline]
    fn read(&mut self, clock: &Clock) -> usize {
        let mut closed = None;
        let mut is_connected = false;
        let is_stopping = self.entry.is_told_to_stop();
        let mut told = Heard {
            listeners: Listeners {
                links: &mut self.links,
                counters: &self.counters,
                kill: &self.kill,
                notices: &mut self.notices,
                is_stopping,
            },
            histograms: &mut self.histograms,
            slowest: &mut self.slowest,
            is_ended: false,
            is_opened: false,
            is_again: false,
        };
        let (entry, account) = (&mut self.entry, &mut self.account);
        let mut reply = [0u8; 64];
        let mut reply_len = 0;
        let happened = self.transport.poll(|happened| match happened {
            TransportEvent::Connected => is_connected = true,
            TransportEvent::Closed(errno) => closed = Some(errno),
            TransportEvent::Bytes(bytes) => {
                let now_ns = clock.now_ns();
                let room = reply.get_mut(reply_len..).unwrap_or_default();
                let received = Received { bytes, now_ns };
                reply_len += entry.on_bytes(account, received, room, |news| told.on(news));
            }
        });
        let (is_ended, is_opened, is_again) = (told.is_ended, told.is_opened, told.is_again);
        if happened == 0 {
            return 0;
        }
        if is_connected {
            self.on_connected(clock);
        }
        self.send(reply.get(..reply_len).unwrap_or_default());
        if is_opened {
            self.on_opened(clock);
        }
        if let Some(errno) = closed {
            self.on_closed(errno, clock);
        } else if is_ended {
            self.transport.close();
            self.on_closed(0, clock);
        } else if is_again {
            self.transport.close();
            self.on_timeout(clock.now_ns(), clock);
        }
        happened
    }

    #[cold]
    fn on_connected(&mut self, clock: &Clock) {
        let now_ns = clock.now_ns();
        let len = self.entry.on_connected(now_ns, self.transport.room());
        self.transport.commit(len);
        self.transport.flush();
    }

    #[cold]
    fn on_opened(&mut self, clock: &Clock) {
        // Whoever hears that the session is open and looks finds the orders and positions of that moment.
        self.snapshot.show_all(&self.entry, &self.account);
        self.notices.send(Notice::SessionOpen);
        self.opening.show(&self.entry, &self.account);
        self.tell_all(ExecutionEvent::session(Outcome::SessionUp, clock.now_ns()));
    }

    #[cold]
    fn on_closed(&mut self, errno: i32, clock: &Clock) {
        let now_ns = clock.now_ns();
        let lost = self.entry.on_closed(errno, now_ns);
        self.notices.send(Notice::Disconnected(lost));
        self.tell_all(ExecutionEvent::session(Outcome::SessionDown, now_ns));
        self.snapshot.show_health(&self.entry);
    }

    fn send(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if let Some(room) = self.transport.room().get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
            self.transport.commit(bytes.len());
            self.transport.flush();
        }
    }

    fn tell(&mut self, owner: Owner, event: ExecutionEvent) {
        let mut listeners = Listeners {
            links: &mut self.links,
            counters: &self.counters,
            kill: &self.kill,
            notices: &mut self.notices,
            is_stopping: self.entry.is_told_to_stop(),
        };
        listeners.tell(owner, event);
    }

    fn tell_all(&mut self, event: ExecutionEvent) {
        for index in 0..self.links.len() {
            self.tell(owner_of(index), event);
        }
    }

    /// Does what is due: connects, keeps the session alive, ends a connection that is of no use.
    fn on_timeout(&mut self, now_ns: u64, clock: &Clock) {
        match self.entry.on_timeout(now_ns, self.transport.room()) {
            Due::Nothing => {}
            Due::Connect(to) => self.transport.connect(to),
            Due::GiveUp => {
                self.transport.close();
                self.on_closed(libc::ETIMEDOUT, clock);
            }
            Due::Send(len) => {
                self.transport.commit(len);
                self.transport.flush();
            }
            Due::End(reason) => {
                self.notices.send(Notice::SessionEnded(reason));
                self.transport.close();
                self.on_closed(0, clock);
            }
        }
    }

    /// The kill switch and the end of the process stop new orders at once; what is open is cancelled here,
    /// a slice each turn.
    #[inline]
    fn cancel_what_stands(&mut self, clock: &Clock) {
        if self.entry.has_news_of(&self.kill) {
            clock.keep_turn();
            self.entry.note_kill(&self.kill, clock.now_ns());
        }
        let is_wanted = self.cancels_everything() || self.entry.is_sweeping();
        if is_wanted && !self.cancels_rest && self.entry.can_cancel() {
            clock.keep_turn();
            self.cancel_some(clock.now_ns());
        }
    }

    #[inline]
    fn cancels_everything(&self) -> bool {
        self.kill.is_on() || matches!(self.entry.state(), State::Settling | State::Stopping)
    }

    #[cold]
    fn cancel_some(&mut self, now_ns: u64) {
        let cancels_everything = self.cancels_everything();
        let room = self.transport.room();
        let len = if cancels_everything {
            self.entry
                .cancel_some(CANCELS_A_TURN as usize, now_ns, room)
        } else {
            self.entry.sweep_some(CANCELS_A_TURN, now_ns, room)
        };
        self.cancels_rest = len == 0 && cancels_everything;
        if len > 0 {
            self.transport.commit(len);
            self.transport.flush();
        }
    }

    /// Does what the operator asks for; a ring's worth at most.
    fn take_commands(&mut self, now_ns: u64) {
        for _ in 0..self.commands.len() {
            let Some(command) = self.commands.pop() else {
                break;
            };
            let is_known = (self.entry).on_command(&mut self.account, &command, now_ns);
            self.notices.send(Notice::Commanded(command, is_known));
        }
        self.entry.sweep_again();
    }
}

impl<T: Transport + Send> Stage for OrderStage<T> {
    fn start(&mut self) -> io::Result<()> {
        self.entry.prepare();
        self.transport.start()
    }

    #[inline]
    fn poll(&mut self, clock: &Clock) -> usize {
        let taken = self.take_intents(clock);
        let heard = self.hear(clock);
        self.cancel_what_stands(clock);
        self.together.completions = u16::try_from(heard).unwrap_or(u16::MAX);
        taken + heard
    }

    fn rehearse(&mut self, clock: &Clock) {
        let is_busy = self.short_since_ns.is_some() || self.cancels_everything();
        if let Some(understudy) = self.understudy.as_mut().filter(|_| !is_busy) {
            understudy.rehearse(clock);
            prefetch_next(&self.entry, &self.account, &self.transport);
            self.histograms.prefetch();
        }
    }

    fn housekeep(&mut self, clock: &Clock) {
        let now_ns = clock.now_ns();
        self.on_timeout(now_ns, clock);
        self.slowest.housekeep(now_ns);
        self.cancels_rest = false;
        self.account.look_around();
        if let Some(breach) = self.entry.take_breach() {
            self.notices.send(Notice::Breach(breach));
        }
        self.take_commands(now_ns);
        self.snapshot.show(&self.entry, &self.account);
    }

    fn stop(&mut self, clock: &Clock) -> bool {
        if self.entry.state() == State::Stopped {
            return true;
        }
        let now_ns = clock.now_ns();
        let is_time_up = self.entry.stop(now_ns);
        if !self.entry.is_stopped() && !is_time_up {
            return false;
        }
        let len = self.entry.log_out(now_ns, self.transport.room());
        if len > 0 {
            self.transport.commit(len);
            self.transport.flush();
        } else {
            // Nobody is logged in: a connection that is coming about is not wanted any more.
            self.transport.close();
        }
        self.notices.send(Notice::Stopped(self.entry.open_orders()));
        self.snapshot.show_all(&self.entry, &self.account);
        self.slowest.hand_over();
        true
    }
}
