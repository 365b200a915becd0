//! Holds records that a replay makes against those of the run, and does what came from outside where they tell of it:
//! commands, and hands at kill switches.
//!
//! Invariants:  a record counts when its header and its payload are the run's, byte for byte; those that a run writes before its
//!              first turn, but for their time.

use std::collections::VecDeque;
use std::sync::Arc;

use super::outcome::{Counts, Different, Kept, Outcome};
use super::run::{Records, Run};
use crate::journal::event::{CommandRecord, Commanded, Event};
use crate::journal::format::{Header, Kind, Record};
use crate::journal::inlet::Outlet;
use crate::message::command::{Command, NewLimits};
use crate::message::intent::{Action, Owner};
use crate::order::risk::{KillCause, LimitKey, Limits, Refusal};
use crate::order::transport::logged::Hand;
use crate::service::control::{Control, SessionControl};

/// Every session.
pub(super) struct Compared {
    sessions: Vec<Session>,
    counts: Counts,
}

struct Session {
    outlet: Outlet,
    records: Records,
    /// Records of the turn at hand.
    due: VecDeque<Kept>,
    /// Limits in force.
    limits: Limits,
}

impl Compared {
    /// `outlets`: what the replay's sessions write into.
    pub(super) fn new(run: &Run, outlets: Vec<Outlet>, control: &Control) -> Result<Self, String> {
        let numbered = (0..run.sessions()).zip(outlets).zip(&control.sessions);
        let sessions = numbered.map(|((session, outlet), door)| {
            Ok(Session {
                outlet,
                records: Records::of(run, session)?,
                due: VecDeque::new(),
                limits: door.past_limits.in_force(&door.limits),
            })
        });
        Ok(Self {
            sessions: sessions.collect::<Result<_, String>>()?,
            counts: Counts::default(),
        })
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Before the first turn: what was written as the run was put together.
    pub(super) fn begin(&mut self) -> Result<Option<Outcome>, String> {
        for session in &mut self.sessions {
            while let Some(mut made) = session.made() {
                let expected = session.records.next()?;
                if let Some(expected) = &expected {
                    made.header.time_ns = expected.header.time_ns;
                }
                if let Some(different) = differ(expected, Some(made)) {
                    return Ok(Some(Outcome::Different(different)));
                }
            }
        }
        Ok(None)
    }

    /// A turn comes that ends then.
    pub(super) fn expect_until(&mut self, last_ns: u64) -> Result<(), String> {
        for session in &mut self.sessions {
            while session
                .records
                .peek()
                .is_some_and(|it| it.header.time_ns.get() <= last_ns)
            {
                session.due.extend(session.records.next()?);
            }
        }
        Ok(())
    }

    /// Gives the sessions the commands of the housekeeping to come.
    pub(super) fn commands(&mut self, doors: &mut [SessionControl]) -> Result<(), String> {
        for (session, door) in self.sessions.iter_mut().zip(doors) {
            let Session { due, limits, .. } = session;
            for kept in due.iter() {
                let Some(command) = command_of(kept, limits) else {
                    continue;
                };
                if !door.ask(command) {
                    return Err("more commands in a turn than a gateway takes".to_owned());
                }
            }
        }
        Ok(())
    }

    /// Puts hands at the kill switches that somebody from outside turned in the turn to come.
    pub(super) fn prepare(&self, hands: &[Arc<Hand>], doors: &[SessionControl]) {
        for ((session, hand), door) in self.sessions.iter().zip(hands).zip(doors) {
            if let Some((cause, intents)) = turned(&session.due, door.kill.is_on()) {
                hand.prepare(cause, intents);
            }
        }
    }

    /// Holds what the turn made against the run's records.
    pub(super) fn compare(&mut self) -> Result<Option<Box<Different>>, String> {
        let Self { sessions, counts } = self;
        for session in sessions {
            while let Some(made) = session.made() {
                let expected = match session.due.pop_front() {
                    Some(expected) => Some(expected),
                    None => session.records.next()?,
                };
                if let Some(different) = differ(expected, Some(made.clone())) {
                    return Ok(Some(different));
                }
                count(counts, &made);
            }
            if let Some(expected) = session.due.pop_front() {
                return Ok(differ(Some(expected), None));
            }
        }
        Ok(None)
    }

    /// Records of the run behind the last turn.
    pub(super) fn left(&mut self) -> Result<u64, String> {
        let mut left = 0;
        for session in &mut self.sessions {
            while session.records.next()?.is_some() {
                left += 1;
            }
        }
        Ok(left)
    }
}

impl Session {
    /// The next record that the replay has made.
    fn made(&mut self) -> Option<Kept> {
        let mut payload = Vec::new();
        let header = self.outlet.records.next(&mut payload)?;
        Some(Kept { header, payload })
    }
}

/// Of a header's own bytes, what a run decides: not who gave a kill from outside, which is turned on as the journal has it.
fn decided(header: &Header) -> [u8; 2] {
    let [first, second] = header.detail;
    let is_outside = header.kind == Kind::KillOn as u8 && from_outside(first).is_some();
    [first, if is_outside { 0 } else { second }]
}

/// What is different, if anything is.
fn differ(journal: Option<Kept>, replay: Option<Kept>) -> Option<Box<Different>> {
    let of_file = |header: &Header| Header {
        crc: 0.into(),
        detail: decided(header),
        ..*header
    };
    let why = match (&journal, &replay) {
        (Some(expected), Some(made)) => {
            let is_same = of_file(&expected.header) == of_file(&made.header)
                && expected.payload == made.payload;
            if is_same {
                return None;
            }
            let number = expected.header.sequence.get();
            format!("record {number} was made otherwise")
        }
        (Some(expected), None) => {
            let number = expected.header.sequence.get();
            format!("record {number} was not made")
        }
        (None, Some(made)) => {
            let number = made.header.sequence.get();
            format!("record {number} was made, and the journal has none")
        }
        (None, None) => return None,
    };
    let at = journal.as_ref().or(replay.as_ref());
    Some(Box::new(Different {
        why,
        time_ns: at.map_or(0, |it| it.header.time_ns.get()),
        journal,
        replay,
        events: Vec::new(),
    }))
}

/// Does something with what a record tells.
fn told<T>(kept: &Kept, then: impl FnOnce(&Event<'_>) -> Option<T>) -> Option<T> {
    let record = Record::of(kept.header, &kept.payload)?;
    let event = Event::of(&record).ok()?;
    then(&event)
}

fn command_of(kept: &Kept, limits: &mut Limits) -> Option<Command> {
    told(kept, |event| match event {
        Event::Command(CommandRecord { what, owner, .. }) => Some(match what {
            Commanded::CancelAll => Command::CancelAll,
            Commanded::Pause => Command::Pause(Owner(*owner)),
            Commanded::Unpause => Command::Unpause(Owner(*owner)),
        }),
        Event::Limits(record) => {
            for changed in record.changed {
                if let Some(key) = LimitKey::of_code(changed.code) {
                    key.set(limits, changed.now.get());
                }
            }
            Some(Command::Limits(NewLimits {
                number: record.number,
                uid: record.uid,
                limits: *limits,
            }))
        }
        Event::Row(record) => Some(Command::Row(record.new_row())),
        _ => None,
    })
}

/// How the kill switch was turned from outside in a turn with these records, and how many intents were judged before: those
/// before the first that it refused, and where it is turned off those up to the last.
fn turned(due: &VecDeque<Kept>, is_on: bool) -> Option<(Option<KillCause>, u32)> {
    let (mut intents, mut first, mut last) = (0u32, None, 0);
    for kept in due {
        let turned = told(kept, |event| match event {
            Event::Sent(..) => {
                intents += 1;
                None
            }
            Event::Refused(intent) => {
                intents += 1;
                if intent.refusal == Refusal::Killed as u8 {
                    first = first.or(Some(intents - 1));
                    last = intents;
                }
                None
            }
            Event::KillOn(code, _) => from_outside(*code).map(Some),
            Event::KillOff => Some(None),
            _ => None,
        });
        match turned {
            Some(Some(cause)) => {
                let before = if is_on { 0 } else { first.unwrap_or(intents) };
                return Some((Some(cause), before));
            }
            Some(None) => return Some((None, last)),
            None => {}
        }
    }
    None
}

/// The cause of this code, where the order core does not find it by itself.
fn from_outside(code: u8) -> Option<KillCause> {
    let outside = [
        KillCause::Operator,
        KillCause::Signal,
        KillCause::Persisted,
        KillCause::JournalBehind,
        KillCause::JournalFailed,
        KillCause::OperatorHard,
        KillCause::GuardSilent,
    ];
    outside.into_iter().find(|cause| *cause as u8 == code)
}

fn count(counts: &mut Counts, kept: &Kept) {
    told(kept, |event| {
        let counter = match event {
            Event::Sent(intent, _) => match intent.action()? {
                Action::Enter => &mut counts.orders,
                Action::Replace => &mut counts.replaces,
                Action::Cancel | Action::Reduce => &mut counts.cancels,
            },
            Event::Refused(_) => &mut counts.refusals,
            Event::Heard(_) => &mut counts.heard,
            Event::Command(_) | Event::Limits(_) | Event::Row(_) => &mut counts.commands,
            Event::KillOn(..) | Event::KillOff => &mut counts.kills,
            Event::Connected => &mut counts.connections,
            Event::Cancels(packets) => {
                counts.cancels += crate::journal::show::cancels_in(packets);
                return Some(());
            }
            _ => return None,
        };
        *counter += 1;
        Some(())
    });
}
