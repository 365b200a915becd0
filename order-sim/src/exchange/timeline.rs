//! What happens by itself, in the order of its time: the feed's windows and heartbeats, the hours of the
//! day, expiry and pauses, late orders, the flow, the record.
//!
//! Invariants:  of two causes at one time the order is fixed ([`Cause`]), so the same seed, messages and
//!              times give the same bytes.

use protocol::types::Nanos;

use super::Exchange;
use super::inlet::Inlet;
use crate::day::Moment;
use crate::engine::{CrossKind, State, TimeInForce, cancel_reason};
use crate::feed::Notice;
use crate::feed::publisher::Publisher;
use crate::flow::agents::{Agents, Step};
use crate::flow::recorded::Recorded;

/// Why something happens by itself.
#[derive(Clone, Copy, Debug)]
enum Cause {
    /// A packet's window ends, or a heartbeat is due.
    Feed,
    /// The hours of the day.
    Hours,
    /// Orders expire, pauses end.
    Engine,
    /// A late order is taken.
    Late,
    /// The market's own flow.
    Flow,
    /// A message of the record.
    Record,
}

impl Exchange {
    /// It is now: everything that was due until then has happened when this returns. Time does not go back.
    pub fn advance(&mut self, now_ns: u64) {
        while let Some((due_ns, cause)) = self.next_cause()
            && due_ns <= now_ns
        {
            self.now = self.now.max(Nanos(due_ns));
            self.happen(cause);
            self.end_operation();
        }
        self.now = self.now.max(Nanos(now_ns));
    }

    /// When something happens or a packet leaves by itself.
    #[must_use]
    pub fn next_due_ns(&self) -> Option<u64> {
        let cause = self.next_cause().map(|(due, _)| due);
        let packet = self
            .outlet
            .publisher
            .as_ref()
            .and_then(Publisher::next_due_ns);
        cause.into_iter().chain(packet).min()
    }

    fn next_cause(&self) -> Option<(u64, Cause)> {
        let Inlet {
            agents, recorded, ..
        } = &self.inlet;
        let flow = agents.as_ref().filter(|_| self.hours.phase().is_open());
        let publisher = self.outlet.publisher.as_ref();
        // Asked several times a message, so without a list. Of two at one time the first that is asked happens first.
        let mut next: Option<(u64, Cause)> = None;
        let mut ask = |due: Option<u64>, cause| {
            if let Some(due) = due
                && next.is_none_or(|(first, _)| due < first)
            {
                next = Some((due, cause));
            }
        };
        ask(publisher.map(Publisher::next_timeout_ns), Cause::Feed);
        ask(self.hours.next_ns(), Cause::Hours);
        ask(self.engine.next_timeout_ns(), Cause::Engine);
        ask(self.inlet.next_late_ns(), Cause::Late);
        ask(flow.and_then(Agents::next_ns), Cause::Flow);
        ask(recorded.as_ref().and_then(Recorded::next_ns), Cause::Record);
        next
    }

    fn happen(&mut self, cause: Cause) {
        match cause {
            Cause::Feed => {
                let now_ns = self.now_ns();
                if let Some(publisher) = &mut self.outlet.publisher {
                    publisher.on_timeout(now_ns);
                }
            }
            Cause::Hours => {
                if let Some(moment) = self.hours.take(self.now_ns()) {
                    self.on_moment(moment);
                }
            }
            Cause::Engine => {
                let now_ns = self.now_ns();
                let (engine, mut sink) = self.engine_and_sink();
                engine.expire(now_ns, &mut sink);
            }
            Cause::Late => self.take_late(),
            Cause::Flow => self.step_flow(),
            Cause::Record => self.step_record(),
        }
    }

    fn take_late(&mut self) {
        if let Some(late) = self.inlet.take_late() {
            self.handle(late.account, &late.bytes, true);
        }
    }

    fn step_flow(&mut self) {
        let now_ns = self.now_ns();
        let Some(agents) = &mut self.inlet.agents else {
            return;
        };
        let step = agents.step(&self.engine);
        let (engine, mut sink) = self.engine_and_sink();
        match step {
            Step::Wait => {}
            Step::Cancel(handle, keep) => {
                engine.cancel(handle, keep, cancel_reason::USER, &mut sink);
            }
            Step::Enter(new) => {
                let result = engine.enter(&new, now_ns, &mut sink);
                drop(sink);
                if result.is_err()
                    && let Some(agents) = &mut self.inlet.agents
                {
                    agents.release(new.owner.user_ref);
                }
            }
            Step::Replace(handle, change) => {
                // A replacement that finds no room leaves the old order as it was.
                let _ = engine.replace(handle, &change, now_ns, &mut sink);
            }
        }
    }

    fn step_record(&mut self) {
        let now = self.now;
        let Self {
            engine,
            inlet,
            outlet,
            hours,
            ..
        } = self;
        let Some(recorded) = &mut inlet.recorded else {
            return;
        };
        let message = recorded.take();
        if let Some(publisher) = &mut outlet.publisher {
            publisher.push(&message, now.0);
        }
        recorded.apply(&message, engine, &mut |event| outlet.on_event(&event, now));
        if recorded.has_market_ended() {
            hours.end_market();
        }
    }

    fn on_moment(&mut self, moment: Moment) {
        match moment {
            Moment::Imbalance(kind) => {
                let (engine, mut sink) = self.engine_and_sink();
                for locate in 1..=engine.listed() {
                    engine.tell_imbalance(locate, kind, &mut sink);
                }
            }
            Moment::Open => {
                self.publish(Notice::SystemEvent(b'Q'));
                self.cross_all(CrossKind::Open);
            }
            Moment::Close => {
                self.cross_all(CrossKind::Close);
                let (engine, mut sink) = self.engine_and_sink();
                engine.end_of(TimeInForce::Market, &mut sink);
                drop(sink);
                self.publish(Notice::SystemEvent(b'M'));
            }
            Moment::End => self.end_day(),
        }
    }

    fn cross_all(&mut self, kind: CrossKind) {
        let (engine, mut sink) = self.engine_and_sink();
        for locate in 1..=engine.listed() {
            let state = engine.status(locate).map(|stock| stock.state);
            let is_held = match kind {
                CrossKind::Close => state == Some(State::Trading),
                _ => state == Some(State::Quoting),
            };
            if is_held {
                engine.cross(locate, kind, &mut sink);
            }
        }
    }
}
