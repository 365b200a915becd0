//! One feed's recovery, on the recovery core: asks from the feed core become requests and snapshots.
//!
//! Path:        asks -> requester, snapshots -> wire; wire -> answers, spare
//! Thread:      recovery core
//! Contract:    **call `poll` again and again; it never blocks.**
//! Invariants:  only packets of the asked session, with messages that were asked for and can all be read, go to the
//!              feed core.
//! Time:        comes in as `now_ns`.
//! When full:   an answer that finds the ring full is forgotten and asked for again after its time.
//! When wrong:  an answer that is refused leaves what was asked for due: its time runs out, and the next server is asked.

use std::sync::Arc;

use super::answer::{self, Answered};
use super::counters::RecoveryCounters;
use super::glimpse::Failure;
use super::link::{Answer, AnswerPacket, Ask, StageEnd};
use super::request::{REQUEST_LEN_MAX, Range, RequestProtocol};
use super::requester::{RequestOptions, Requester};
use super::snapshots::{SnapshotOptions, Snapshots, With};
use super::wire::Wire;
use crate::venue::Venue;

/// Asks that one turn takes.
const ASKS_EACH: usize = 256;

/// What recovery may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryOptions {
    /// How to ask for messages.
    pub requests: RequestOptions,
    /// How to get snapshots; `None`: not at all.
    pub snapshots: Option<SnapshotOptions>,
}

/// The stage.
#[derive(Debug)]
pub struct RecoveryStage<W> {
    end: StageEnd,
    wire: W,
    protocol: RequestProtocol,
    /// How the venue's answers are read. Stages of several venues are polled by one core, so it is a value.
    read: fn(&[u8]) -> Option<Answered>,
    requester: Requester,
    snapshots: Option<Snapshots>,
    counters: Arc<RecoveryCounters>,
}

impl<W: Wire> RecoveryStage<W> {
    /// Puts it together for a venue.
    #[must_use]
    pub fn new<V: Venue>(options: RecoveryOptions, end: StageEnd, wire: W) -> Self {
        Self {
            end,
            wire,
            protocol: V::REQUESTS,
            read: answer::read::<V>,
            requester: Requester::new(V::REQUESTS, options.requests),
            snapshots: options.snapshots.map(Snapshots::new),
            counters: Arc::default(),
        }
    }

    /// What it counts.
    #[must_use]
    pub fn counters(&self) -> Arc<RecoveryCounters> {
        Arc::clone(&self.counters)
    }

    /// The network.
    pub fn wire(&mut self) -> &mut W {
        &mut self.wire
    }

    /// Whether something is asked for, or a snapshot is on its way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let snapshots = self.snapshots.as_ref();
        self.requester.is_idle() && snapshots.is_none_or(Snapshots::is_idle)
    }

    /// Why the last snapshot failed, told once: the server's number, and why.
    pub fn take_failure(&mut self) -> Option<(usize, Failure)> {
        self.snapshots.as_mut()?.take_failure()
    }

    /// One turn; whether there was anything to do.
    pub fn poll(&mut self, now_ns: u64) -> bool {
        let mut did = self.take_asks(now_ns);
        did |= self.take_answers();
        let Self {
            end,
            wire,
            protocol,
            requester,
            snapshots,
            counters,
            ..
        } = self;
        requester.on_timeout(now_ns, |lost| {
            counters.requests_timed_out.increment();
            if let Some(range) = lost {
                give_up(end, range, counters);
            }
        });
        // Each turn sends one of a bounded number in flight.
        while let Some(request) = requester.poll_transmit(now_ns) {
            did = true;
            let mut packet = [0; REQUEST_LEN_MAX];
            let len = protocol.write(&request, &mut packet);
            if wire.request(request.server, packet.get(..len).unwrap_or_default()) {
                counters.requests_sent.increment();
            } else {
                counters.requests_unsent.increment();
            }
        }
        if let Some(snapshots) = snapshots {
            did |= snapshots.poll(&mut With {
                now_ns,
                end,
                wire,
                counters,
            });
        }
        did
    }

    fn take_asks(&mut self, now_ns: u64) -> bool {
        for taken in 0..ASKS_EACH {
            let Some(ask) = self.end.asks.pop() else {
                return taken > 0;
            };
            match ask {
                Ask::Missing(session, hole) => {
                    self.counters.holes_asked.increment();
                    if let Some(rest) = self.requester.want(session, hole) {
                        give_up(&mut self.end, rest, &self.counters);
                    }
                }
                Ask::Reached(next_seq) => {
                    self.requester.on_filled(Range {
                        first: 0,
                        end: next_seq,
                    });
                }
                Ask::Snapshot(epoch) => {
                    if let Some(snapshots) = &mut self.snapshots {
                        snapshots.begin(epoch, now_ns, &mut self.wire);
                    }
                }
                Ask::Abort => {
                    self.requester.clear();
                    if let Some(snapshots) = &mut self.snapshots {
                        snapshots.abort(&mut self.wire);
                    }
                }
            }
        }
        true
    }

    fn take_answers(&mut self) -> bool {
        let Self {
            end,
            wire,
            read,
            requester,
            counters,
            ..
        } = self;
        let taken = wire.answers(|server, payload| {
            let (Some(answer), Some(slot)) = (read(payload), AnswerPacket::new(payload)) else {
                return counters.answers_refused.increment();
            };
            if end.answers.len() == end.answers.capacity() {
                return counters.answers_dropped.increment();
            }
            let Answered { session, range } = answer;
            let Some(brought) = requester.on_answer(server, session, range) else {
                return counters.answers_refused.increment();
            };
            counters.answers.increment();
            counters.answers_partial.add(u64::from(brought.is_partial));
            counters.messages_recovered.add(brought.messages);
            let is_pushed = end.answers.push(Answer::Packet(slot)).is_ok();
            debug_assert!(is_pushed, "there was room");
        });
        taken > 0
    }
}

fn give_up(end: &mut StageEnd, range: Range, counters: &RecoveryCounters) {
    counters.ranges_given_up.increment();
    // Where the ring is full the feed core's own patience ends the wait.
    let _ = end.answers.push(Answer::GivenUp(range));
}
