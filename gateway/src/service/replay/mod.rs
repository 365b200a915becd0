//! A day again: the same stages, fed with what a run's journal and captures kept, and each record that they make held
//! against the run's.
//!
//! ```text
//!  journal, "turns" ──> turn ──> clock, streams, sources ──> stages, in their order ──> inlet ──> records made
//!  captures ───────────────────────────────────┘                                                   │ the same?
//!  journal, sessions ──> records of the turn ──> hands at kill switches, commands ──────────────────┘
//! ```
//!
//! Thread:      main
//! Invariants:  "identical" is said only of a run whose every record was made again. What a capture or a journal lacks
//!              ends the replay there.
//! When wrong:  an [`Outcome`]; what cannot even begin is an error, one line.

mod compare;
mod outcome;
mod run;
mod witness;

use std::path::PathBuf;
use std::sync::Arc;

use feed_handler::capture::turns::Lacking;
use rt::clock::{Clock, monotonic_ns};
use rt::turn_notes::{TURN_BYTES, TurnLog};

use super::build::{Built, build};
use super::control::SessionControl;
use super::means::{Means, ReplayMeans};
use super::progress::Progress;
use crate::core_loop::Stage;
use crate::journal::batch::BATCH_BYTES;
use crate::journal::format::Kind;
use crate::journal::inlet::orders_in;
use crate::journal::look_back::look_back_then;
use crate::journal::turns::{Call, Turn, Turns};
use crate::options::Options;
use crate::order::transport::logged::{BYTES, Hand};
use crate::service::journal;

use compare::Compared;
use run::{Records, Run};
use witness::Witnesses;

use outcome::NO_END;
pub use outcome::{Counts, Different, Kept, Outcome, Replay};

/// What is to be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// A journal of the run, or the folder with its journals: then the newest run.
    pub journal: PathBuf,
    /// Captures, or folders of them.
    pub captures: Vec<PathBuf>,
}

/// When the run began that is wanted, ns since 1970: what a configuration says of the day goes by it.
///
/// # Errors
/// There is no such journal.
pub fn began_ns(journal: &std::path::Path) -> Result<u64, String> {
    Run::find(journal).map(|run| run.head.began.realtime_ns)
}

/// Replays a run with the options that it had.
///
/// # Errors
/// Why it cannot begin: one line.
pub fn replay(mut options: Options, wanted: &Wanted) -> Result<Replay, String> {
    let run = Run::find(&wanted.journal)?;
    let names = journal::names(&options);
    run.fits(&names)?;
    let captures = run::captures(&options.feeds, &wanted.captures)?;
    let ring_bytes = options.journal.as_ref().map_or(0, |it| it.ring_bytes);
    let unwritten = orders_in(ring_bytes + 2 * BATCH_BYTES);
    let pasts = look_back_then(&run.earlier, &names.sessions, unwritten, run.head.began)
        .map_err(|error| format!("journals of earlier runs: {error}"))?;
    for (session, then) in options.sessions.iter_mut().zip(&run.head.names.sessions) {
        if let (Some(hours), Some(offset_ns)) = (&mut session.risk.hours, then.clock_offset_ns) {
            hours.clock_offset_ns = offset_ns;
        }
    }
    leave_the_host_alone(&mut options);
    let witnesses = Witnesses::of(&mut options.strategies);
    let log = Arc::<TurnLog>::default();
    let mut means = Means::Replay(ReplayMeans {
        log: Arc::clone(&log),
        captures,
        lacking: Vec::new(),
        hands: Vec::new(),
    });
    let built = build(options, pasts, &mut means)?;
    let Means::Replay(means) = means else {
        return Err("a replay has no world".to_owned());
    };
    let mut day = Day::new(&run, built, means, witnesses)?;
    day.play(&run)
}

/// Nothing of the host is touched but memory.
fn leave_the_host_alone(options: &mut Options) {
    (options.state_dir, options.kill_page) = (None, None);
    options.certificate = None;
    options.huge_pages = false;
    for feed in &mut options.feeds {
        feed.capture = None;
        feed.recovery = None;
        feed.xdp.clear();
    }
}

/// The day that is being replayed.
struct Day {
    stages: Vec<Box<dyn Stage>>,
    clock: Clock,
    log: Arc<TurnLog>,
    lacking: Vec<Arc<Lacking>>,
    hands: Vec<Arc<Hand>>,
    doors: Vec<SessionControl>,
    compared: Compared,
    witnesses: Witnesses,
    turns: u64,
    /// When the last turn was over.
    last_ns: u64,
}

impl Day {
    fn new(
        run: &Run,
        built: Built,
        means: ReplayMeans,
        witnesses: Witnesses,
    ) -> Result<Self, String> {
        let Built {
            mut stages,
            house,
            control,
            ..
        } = built;
        let (Some(stages), true) = (stages.pop(), stages.is_empty()) else {
            return Err(
                "layout: several hot cores, expected one: what one saw of another is in no journal"
                    .to_owned(),
            );
        };
        Ok(Self {
            stages,
            clock: Clock::played(Arc::clone(&means.log)),
            log: means.log,
            lacking: means.lacking,
            hands: means.hands,
            compared: Compared::new(run, house.journal, &control)?,
            doors: control.sessions,
            witnesses,
            turns: 0,
            last_ns: 0,
        })
    }

    fn play(&mut self, run: &Run) -> Result<Replay, String> {
        for stage in &mut self.stages {
            stage.start().map_err(|error| error.to_string())?;
        }
        let mut outcome = self.compared.begin()?;
        let mut records = Records::of_turns(run)?;
        let mut progress = Progress::begin("replayed", "MiB of the journal", monotonic_ns());
        while outcome.is_none() {
            let Some(record) = records.next()? else {
                break;
            };
            progress.set(records.bytes() >> 20, run.bytes >> 20, monotonic_ns());
            if record.header.lost.get() > 0 {
                outcome = Some(Outcome::Incomplete(format!(
                    "{} turns before this one could not be kept when the gateway ran: their ring was full \
                     (journal.ring_kib), or a turn noted more than {} KiB",
                    record.header.lost.get(),
                    TURN_BYTES >> 10
                )));
            } else if record.header.kind == Kind::Turns as u8 {
                outcome = self.play_record(&record.payload)?;
            }
        }
        let outcome = match outcome {
            Some(outcome) => {
                // Whether the run has an end is in its last record.
                while records.next()?.is_some() {}
                outcome.of_run(records.has_ended())
            }
            None => self.end(&records)?,
        };
        drop(progress);
        Ok(Replay {
            outcome,
            counts: Counts {
                turns: self.turns,
                packets: self.lacking.iter().map(|it| it.played()).sum(),
                ..self.compared.counts()
            },
            head: run.head.clone(),
            has_ended: records.has_ended(),
            last_ns: self.last_ns,
        })
    }

    fn play_record(&mut self, turns: &[u8]) -> Result<Option<Outcome>, String> {
        for turn in Turns::of(turns) {
            let turn = turn.map_err(|_| "a record of turns that is none".to_owned())?;
            let outcome = self.play_turn(&turn)?;
            if outcome.is_some() {
                return Ok(outcome);
            }
        }
        Ok(None)
    }

    fn play_turn(&mut self, turn: &Turn<'_>) -> Result<Option<Outcome>, String> {
        let skip = |code, len| {
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            if code == BYTES { len } else { 0 }
        };
        self.last_ns = turn.last_ns(skip);
        self.compared.expect_until(self.last_ns)?;
        if turn.call == Call::Housekeep {
            self.compared.commands(&mut self.doors)?;
        } else {
            self.compared.prepare(&self.hands, &self.doors);
        }
        self.log.load(turn.turn_ns, turn.noted);
        self.clock.play_turn(turn.turn_ns);
        self.turns += 1;
        let clock = &self.clock;
        for stage in &mut self.stages {
            match turn.call {
                Call::Turn => {
                    stage.resume(turn.turns.saturating_sub(1));
                    stage.poll(clock);
                }
                Call::Housekeep => stage.housekeep(clock),
                Call::Stop => {
                    stage.stop(clock);
                }
            }
        }
        self.witnesses.hear();
        self.judge()
    }

    /// What the turn that has been played shows.
    fn judge(&mut self) -> Result<Option<Outcome>, String> {
        let lacking = self.lacking.iter().find_map(|it| it.since_ns());
        if let Some(seen_ns) = lacking {
            return Ok(Some(Outcome::Incomplete(format!(
                "the capture lacks packets of the turn at {seen_ns} ns of the monotonic clock, or has others: expected all that \
                 the run heard (frames = \"all\", and no file removed)"
            ))));
        }
        if let Some(mut different) = self.compared.compare()? {
            different.events = self.witnesses.last();
            return Ok(Some(Outcome::Different(different)));
        }
        if self.log.is_astray() || !self.log.is_done() {
            let text = "the replay read the clock, or wrote to the exchange, otherwise than the run; no record of this turn differs";
            return Ok(Some(Outcome::Different(Box::new(Different {
                why: text.to_owned(),
                time_ns: self.last_ns,
                events: self.witnesses.last(),
                ..Different::default()
            }))));
        }
        Ok(None)
    }

    /// All turns have been played.
    fn end(&mut self, records: &Records) -> Result<Outcome, String> {
        if self.turns == 0 {
            return Ok(Outcome::Incomplete(
                "its journal has no turns yet".to_owned(),
            ));
        }
        let left = self.compared.left()?;
        if let Some(torn) = records.torn() {
            return Ok(Outcome::Incomplete(format!(
                "the journal ends early: {torn}"
            )));
        }
        if left > 0 {
            return Ok(Outcome::Incomplete(format!(
                "its last {left} records have no turns: the gateway was killed, or runs still"
            )));
        }
        if !records.has_ended() {
            return Ok(Outcome::Incomplete(NO_END.to_owned()));
        }
        Ok(Outcome::Identical)
    }
}
