//! What a replay shows, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::journal::event::Event;
use crate::journal::format::{Header, Record};
use crate::journal::head::Head;
use crate::journal::show;

/// How a replay ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every record of the run was made again, bit for bit.
    Identical,
    /// The first that was not.
    Different(Box<Different>),
    /// What was replayed is identical, and the rest cannot be: why.
    Incomplete(String),
}

/// A record, and what it tells of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Its header.
    pub header: Header,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// The first difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Different {
    /// What is different.
    pub why: String,
    /// When, on the monotonic clock.
    pub time_ns: u64,
    /// What the journal has there; `None`: nothing.
    pub journal: Option<Kept>,
    /// What the replay made; `None`: nothing.
    pub replay: Option<Kept>,
    /// What strategies heard of the market before, the oldest first.
    pub events: Vec<String>,
}

/// What was made again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Turns in which something happened.
    pub turns: u64,
    /// Packets of feeds.
    pub packets: u64,
    /// New orders.
    pub orders: u64,
    /// Replaces.
    pub replaces: u64,
    /// Cancels and reductions, of strategies and of the gateway.
    pub cancels: u64,
    /// Refusals.
    pub refusals: u64,
    /// Messages of the exchange.
    pub heard: u64,
    /// Commands and changes of limits.
    pub commands: u64,
    /// Turns of the kill switch.
    pub kills: u64,
    /// Connections that stood.
    pub connections: u64,
}

/// A day that was replayed.
#[derive(Clone, Debug)]
pub struct Replay {
    /// How it ended.
    pub outcome: Outcome,
    /// What was made again.
    pub counts: Counts,
    /// Whose journal it is.
    pub head: Head,
    /// The run ended as it should.
    pub has_ended: bool,
    /// When the last turn was over that was replayed, on the monotonic clock.
    pub last_ns: u64,
}

impl Counts {
    fn list(&self) -> [(&'static str, u64); 10] {
        [
            ("orders", self.orders),
            ("replaces", self.replaces),
            ("cancels", self.cancels),
            ("refusals", self.refusals),
            ("messages of the exchange", self.heard),
            ("commands", self.commands),
            ("turns of the kill switch", self.kills),
            ("connections", self.connections),
            ("packets", self.packets),
            ("turns", self.turns),
        ]
    }
}

/// Of a run without its last record.
pub(super) const NO_END: &str = "its journal has no end: the gateway was killed, or runs still, and what it did last may be in no file";

impl Outcome {
    /// What it is of a run that has its end in its journal, or has not: there a record that the journal lacks is one that
    /// was lost with the process, and nothing was decided otherwise.
    pub(super) fn of_run(self, has_ended: bool) -> Self {
        match self {
            Self::Different(different)
                if !has_ended && different.journal.is_none() && different.replay.is_some() =>
            {
                Self::Incomplete(format!("{NO_END}: {}", different.why))
            }
            other => other,
        }
    }
}

impl Replay {
    /// Whether every record was made again.
    #[must_use]
    pub fn is_identical(&self) -> bool {
        self.outcome == Outcome::Identical
    }

    /// Lines of text.
    #[must_use]
    pub fn text(&self) -> String {
        let counts = self
            .counts
            .list()
            .map(|(name, count)| format!("{count} {name}"));
        let counts = counts.join(", ");
        match &self.outcome {
            Outcome::Identical => format!("identical: {counts}\n"),
            Outcome::Incomplete(why) => {
                format!("not the whole run: {why}\nidentical as far as it was replayed: {counts}\n")
            }
            Outcome::Different(different) => format!(
                "different: {}\n{}identical before: {counts}\n",
                different.why,
                self.lines_of(different)
            ),
        }
    }

    fn lines_of(&self, different: &Different) -> String {
        let mut lines = String::new();
        let line = |kept: &Option<Kept>| match kept {
            Some(kept) => self.line(kept),
            None => "nothing".to_owned(),
        };
        if different.journal.is_some() || different.replay.is_some() {
            let _ = writeln!(lines, "  the journal has: {}", line(&different.journal));
            let _ = writeln!(lines, "  the replay made: {}", line(&different.replay));
        }
        let _ = writeln!(lines, "  market events before it:");
        for event in &different.events {
            let _ = writeln!(lines, "    {event}");
        }
        if different.events.is_empty() {
            let _ = writeln!(lines, "    none");
        }
        lines
    }

    fn line(&self, kept: &Kept) -> String {
        let record = Record::of(kept.header, &kept.payload);
        let shown = record.and_then(|record| {
            let event = Event::of(&record).ok()?;
            Some(show::text(&self.head, &record, &event))
        });
        shown.unwrap_or_else(|| format!("a record that cannot be read, {:?}", kept.header))
    }

    /// One JSON object.
    #[must_use]
    pub fn json(&self) -> Value {
        let counts = self.counts.list();
        let counts = counts.map(|(name, count)| (name.replace(' ', "_"), json!(count)));
        let (name, why) = match &self.outcome {
            Outcome::Identical => ("identical", None),
            Outcome::Different(different) => ("different", Some(&different.why)),
            Outcome::Incomplete(why) => ("incomplete", Some(why)),
        };
        let different = match &self.outcome {
            Outcome::Different(different) => json!({
                "record": different.journal.as_ref().or(different.replay.as_ref()).map(|it| it.header.sequence.get()),
                "time_ns": self.head.began.realtime_ns(different.time_ns),
                "monotonic_ns": different.time_ns,
                "journal": self.object(&different.journal),
                "replay": self.object(&different.replay),
                "events": different.events,
            }),
            _ => Value::Null,
        };
        json!({
            "tool": "tickgate replay",
            "version": env!("CARGO_PKG_VERSION"),
            "host": self.head.names.host,
            "outcome": name,
            "why": why,
            "has_ended": self.has_ended,
            "counts": counts.into_iter().collect::<serde_json::Map<String, Value>>(),
            "difference": different,
        })
    }

    fn object(&self, kept: &Option<Kept>) -> Value {
        let Some(kept) = kept else {
            return Value::Null;
        };
        let record = Record::of(kept.header, &kept.payload);
        let shown = record.and_then(|record| {
            let event = Event::of(&record).ok()?;
            serde_json::from_str(&show::json(&self.head, &record, &event)).ok()
        });
        shown.unwrap_or(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_that_a_killed_run_has_lost_is_no_difference_and_of_a_whole_run_it_is_one() {
        let kept = || Some(Kept::default());
        let of = |journal, replay, has_ended| {
            let different = Different {
                why: "record 7 was made, and the journal has none".to_owned(),
                journal,
                replay,
                ..Different::default()
            };
            Outcome::Different(Box::new(different)).of_run(has_ended)
        };
        let Outcome::Incomplete(why) = of(None, kept(), false) else {
            panic!("it was lost");
        };
        assert!(
            why.starts_with("its journal has no end") && why.ends_with("has none"),
            "{why}"
        );
        assert!(matches!(of(None, kept(), true), Outcome::Different(_)));
        for journal in [kept(), None] {
            // Another record, or nothing made of one that is there.
            let replay = journal.as_ref().and_then(|_| kept());
            assert!(matches!(of(journal, replay, false), Outcome::Different(_)));
        }
    }
}
