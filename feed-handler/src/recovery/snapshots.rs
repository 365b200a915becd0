//! Gets snapshots into the spare books: one server after the other, until one has helped.
//!
//! ```text
//!  Idle ──asked──> Waiting ──connect──> Loading ──end──> CatchingUp ──ring empty──> Given (to the feed core)
//!                     ^ pause, next server  │ failed         │ broken                 │ books come back
//!                     └─────────────────────┴────────────────┘          Idle <────────┘
//! ```
//!
//! Path:        wire (TCP) -> glimpse -> spare -> baton
//! Thread:      recovery core
//! Invariants:  the spare is here in every state but `Given`. Live messages are thrown away only before a
//!              snapshot is asked for: the one that is asked for then has them.
//! Time:        comes in as `now_ns`.
//! When wrong:  a failed try costs a pause, twice as long after each further one; after `tries_max` the
//!              feed core is told that there will be no snapshot.

use super::counters::RecoveryCounters;
use super::glimpse::{Failure, Glimpse, GlimpseOptions, Heard};
use super::link::{Answer, StageEnd};
use super::spare::Broken;
use super::wire::{TcpEvent, Wire};

/// Live messages that one turn applies.
const CATCH_UP_EACH: usize = 4096;
/// The longest pause between two tries.
const PAUSE_NS_MAX: u64 = 10_000_000_000;

/// How to get snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// Servers that can be asked, in turn.
    pub servers: usize,
    /// Login and time-outs.
    pub glimpse: GlimpseOptions,
    /// The pause after a first failed try, ns.
    pub pause_ns: u64,
    /// Failed tries after which the feed stays stale until its next session.
    pub tries_max: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// The next try begins then.
    Waiting(u64),
    /// Connected, or on the way to be, since then.
    Loading(u64),
    CatchingUp,
    Given,
}

/// What a turn is done with.
#[derive(Debug)]
pub(crate) struct With<'a, W> {
    pub(crate) now_ns: u64,
    pub(crate) end: &'a mut StageEnd,
    pub(crate) wire: &'a mut W,
    pub(crate) counters: &'a RecoveryCounters,
}

/// What goes on about snapshots.
#[derive(Debug)]
pub(crate) struct Snapshots {
    options: SnapshotOptions,
    glimpse: Glimpse,
    state: State,
    epoch: u32,
    server: usize,
    tries: u32,
    out: Vec<u8>,
    /// The last failure, and how often there was one: for the operator.
    failed: Option<Failure>,
}

impl Snapshots {
    pub(crate) fn new(options: SnapshotOptions) -> Self {
        Self {
            glimpse: Glimpse::new(options.glimpse.clone()),
            options,
            state: State::Idle,
            epoch: 0,
            server: 0,
            tries: 0,
            out: Vec::new(),
            failed: None,
        }
    }

    /// A snapshot is wanted, for which the feed core copies messages under this epoch.
    pub(crate) fn begin(&mut self, epoch: u32, now_ns: u64, wire: &mut impl Wire) {
        wire.close();
        (self.epoch, self.tries) = (epoch, 0);
        self.state = State::Waiting(now_ns);
    }

    /// None is wanted any more.
    pub(crate) fn abort(&mut self, wire: &mut impl Wire) {
        wire.close();
        self.state = State::Idle;
    }

    /// Whether nothing is wanted, or what was wanted is handed over.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle | State::Given)
    }

    /// Why the last try failed, told once: the server's number, and why.
    pub(crate) fn take_failure(&mut self) -> Option<(usize, Failure)> {
        let servers = self.options.servers.max(1);
        let failed = self.failed.take()?;
        Some(((self.server + servers - 1) % servers, failed))
    }

    /// One turn; whether there was anything to do.
    pub(crate) fn poll(&mut self, with: &mut With<'_, impl Wire>) -> bool {
        if let Some(spare) = with.end.to_stage.take() {
            with.end.spare = Some(spare);
            if self.state == State::Given {
                self.state = State::Idle;
            }
        }
        match self.state {
            State::Idle | State::Given => false,
            State::Waiting(until_ns) => self.wait(until_ns, with),
            State::Loading(since_ns) => self.load(since_ns, with),
            State::CatchingUp => self.catch_up(with),
        }
    }

    fn wait(&mut self, until_ns: u64, with: &mut With<'_, impl Wire>) -> bool {
        let Some(spare) = &mut with.end.spare else {
            return false;
        };
        if with.now_ns < until_ns {
            spare.discard();
            return false;
        }
        spare.begin(self.epoch);
        with.counters.snapshots_begun.increment();
        with.wire.connect(self.server);
        self.state = State::Loading(with.now_ns);
        true
    }

    fn load(&mut self, since_ns: u64, with: &mut With<'_, impl Wire>) -> bool {
        let With {
            now_ns,
            end,
            wire,
            counters,
        } = with;
        let now_ns = *now_ns;
        let Some(spare) = &mut end.spare else {
            return false;
        };
        let (mut failure, mut next_seq) = (None, None);
        let Self { glimpse, out, .. } = self;
        let events = wire.read(|event| match event {
            TcpEvent::Connected => glimpse.on_connected(now_ns, out),
            TcpEvent::Bytes(bytes) => glimpse.on_bytes(bytes, now_ns, |heard| match heard {
                Heard::Message(message) => {
                    counters.snapshot_messages.increment();
                    if !spare.load(message) {
                        failure = Some(Failure::Unreadable);
                    }
                }
                Heard::End(seq) => next_seq = Some(seq.0),
                Heard::Failed(why) => failure = Some(why),
            }),
            TcpEvent::Closed => failure = failure.or(Some(Failure::Closed)),
        });
        // What closes behind the end has nothing more to say.
        if let (Some(next_seq), None | Some(Failure::Closed)) = (next_seq, failure) {
            spare.on_loaded(next_seq, now_ns);
            counters.snapshots_loaded.increment();
            wire.close();
            self.state = State::CatchingUp;
            return true;
        }
        let silence_ns = self.options.glimpse.silence_ns;
        let has_waited = glimpse.is_over() && now_ns.saturating_sub(since_ns) >= silence_ns;
        failure = failure
            .or_else(|| glimpse.on_timeout(now_ns, out))
            .or_else(|| has_waited.then_some(Failure::Closed));
        if !out.is_empty() {
            wire.write(out);
            out.clear();
        }
        if let Some(failure) = failure {
            self.fail(failure, with);
        }
        events > 0
    }

    fn catch_up(&mut self, with: &mut With<'_, impl Wire>) -> bool {
        let Some(mut spare) = with.end.spare.take() else {
            return false;
        };
        match spare.catch_up(CATCH_UP_EACH) {
            Ok(CATCH_UP_EACH) => with.end.spare = Some(spare),
            Ok(_) => {
                with.end.to_feed.give(spare);
                self.state = State::Given;
            }
            Err(Broken) => {
                with.end.spare = Some(spare);
                self.fail(Failure::Gapped, with);
            }
        }
        true
    }

    fn fail(&mut self, failure: Failure, with: &mut With<'_, impl Wire>) {
        with.wire.close();
        with.counters.snapshots_failed.increment();
        self.failed = Some(failure);
        self.server = (self.server + 1) % self.options.servers.max(1);
        let doublings = self.tries.min(16);
        self.tries += 1;
        if self.tries >= self.options.tries_max {
            with.counters.snapshots_given_up.increment();
            // A ring that is full is asked again: the feed core empties it.
            if with
                .end
                .answers
                .push(Answer::NoSnapshot(self.epoch))
                .is_ok()
            {
                self.state = State::Idle;
                return;
            }
        }
        let pause_ns = (self.options.pause_ns << doublings).min(PAUSE_NS_MAX);
        self.state = State::Waiting(with.now_ns.saturating_add(pause_ns));
    }
}
