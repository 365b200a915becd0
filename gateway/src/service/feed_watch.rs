//! What the operator hears of a feed: gaps, ends of session, silence. It is read from the feed's own
//! counters, so nothing is lost however full strategies' rings are.
//!
//! Thread:      housekeeping
//! Invariants:  a change is told once. At most one look in [`PAUSE_NS`], so a feed that fails again and
//!              again writes a few lines a second; what happened in between is summed.

use std::fmt;
use std::sync::Arc;

use feed_handler::arbiter::ArbiterCounters;
use feed_handler::feed::{Counters, STALE_ENDED, STALE_GAP, STALE_SILENT, STALE_WAITING};

/// The least time between two looks.
const PAUSE_NS: u64 = 1_000_000_000;

/// One feed as housekeeping sees it.
#[derive(Debug)]
pub(crate) struct FeedWatch {
    name: String,
    lines: usize,
    counters: Arc<Counters>,
    /// There are servers that could fill a gap.
    has_snapshots: bool,
    next_ns: u64,
    before: Seen,
}

/// What was seen at the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    gaps: u64,
    lost: u64,
    malformed: u64,
    contradictions: u64,
    recovered: u64,
    joined: u64,
    stale_gap_ns: u64,
    ends: u64,
    begun: u64,
    silences: u64,
    stale: u64,
    silent_lines: u64,
}

/// One piece of news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// How many messages are lost in how many gaps, and where the last gap begins.
    Gap { lost: u64, gaps: u64, first: u64 },
    /// So many messages of a known type could not be read: each is a gap of one.
    Malformed(u64),
    /// So many messages contradicted the books of a feed that misses nothing.
    Contradicted(u64),
    /// So many holes were asked for and filled.
    Recovered(u64),
    /// So many snapshots took the place of what was lost, and how long the feed was stale for them, ms.
    Joined { snapshots: u64, stale_ms: u64 },
    /// The session is over.
    Ended,
    /// A session begins, and what belonged to the one before is cleared.
    Begun,
    /// No line speaks.
    Silent,
    /// All lines were silent meanwhile and speak again.
    WasSilent,
    /// Nothing is missing any more.
    Fresh,
    /// The feed speaks again, but for this reason (`STALE_` bits) stays stale.
    StillStale(u64),
    /// A line (from 0) is silent.
    LineSilent(usize),
    /// A line (from 0) is heard again.
    LineBack(usize),
}

impl FeedWatch {
    pub(crate) fn new(name: &str, lines: usize, counters: Arc<Counters>) -> Self {
        Self {
            name: name.to_owned(),
            lines,
            counters,
            has_snapshots: false,
            next_ns: 0,
            // As it is before the first packet: only what differs is news.
            before: Seen {
                stale: STALE_SILENT,
                ..Seen::default()
            },
        }
    }

    /// With servers that tell what a gap has taken.
    pub(crate) fn with_snapshots(self, has_snapshots: bool) -> Self {
        Self {
            has_snapshots,
            ..self
        }
    }

    pub(crate) fn has_snapshots(&self) -> bool {
        self.has_snapshots
    }

    /// `STALE_` bits.
    pub(crate) fn stale(&self) -> u64 {
        self.counters.status.stale()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn arbiter(&self) -> &ArbiterCounters {
        &self.counters.arbiter
    }

    /// Tells what has changed since the last look.
    pub(crate) fn turn(&mut self, now_ns: u64, mut tell: impl FnMut(News)) {
        if now_ns < self.next_ns {
            return;
        }
        let (before, now) = (self.before, self.look());
        if now == before {
            return;
        }
        self.next_ns = now_ns.saturating_add(PAUSE_NS);
        self.before = now;
        if now.gaps > before.gaps {
            tell(News::Gap {
                lost: now.lost - before.lost,
                gaps: now.gaps - before.gaps,
                first: self.counters.status.gap_first(),
            });
        }
        if now.malformed > before.malformed {
            tell(News::Malformed(now.malformed - before.malformed));
        }
        // Where messages are lost, contradictions are what follows from it.
        if now.contradictions > before.contradictions && (before.stale | now.stale) == 0 {
            tell(News::Contradicted(
                now.contradictions - before.contradictions,
            ));
        }
        if now.recovered > before.recovered {
            tell(News::Recovered(now.recovered - before.recovered));
        }
        if now.joined > before.joined {
            tell(News::Joined {
                snapshots: now.joined - before.joined,
                stale_ms: (now.stale_gap_ns - before.stale_gap_ns) / 1_000_000,
            });
        }
        if now.ends > before.ends {
            tell(News::Ended);
        }
        if now.begun > before.begun {
            tell(News::Begun);
        }
        let silences = now.silences - before.silences;
        let is_silent = now.stale & STALE_SILENT != 0;
        if silences > 0 {
            tell(if is_silent {
                News::Silent
            } else {
                News::WasSilent
            });
        }
        let is_over = before.stale & STALE_SILENT != 0 || silences > 0;
        if now.stale == 0 && before.stale != 0 {
            tell(News::Fresh);
        } else if is_over && !is_silent && now.stale != 0 {
            tell(News::StillStale(now.stale));
        }
        // Where every line is silent, the feed is: that is told above.
        if !is_silent && self.lines > 1 {
            for line in 0..self.lines {
                let [was, is] =
                    [before.silent_lines, now.silent_lines].map(|mask| mask >> line & 1 != 0);
                if was != is {
                    tell(if is {
                        News::LineSilent(line)
                    } else {
                        News::LineBack(line)
                    });
                }
            }
        }
    }

    fn look(&self) -> Seen {
        let Counters {
            feed,
            arbiter,
            book,
            join,
            status,
            ..
        } = &*self.counters;
        let contradictions = [
            &book.missing_ref,
            &book.duplicate_ref,
            &book.rejected,
            &book.clamped,
            &book.wrong_symbol,
        ];
        Seen {
            gaps: arbiter.gaps.get(),
            lost: arbiter.messages_lost.get(),
            malformed: feed.malformed.get(),
            contradictions: contradictions.map(|counter| counter.get()).iter().sum(),
            recovered: arbiter.holes_recovered.get(),
            // The last thing that a snapshot changes.
            joined: if status.stale() & STALE_GAP == 0 {
                join.snapshots_joined.get()
            } else {
                self.before.joined
            },
            stale_gap_ns: join.stale_gap_ns.get(),
            ends: arbiter.sessions_ended.get(),
            begun: arbiter.sessions_begun.get(),
            silences: feed.silences.get(),
            // Holes that are asked for come and go.
            stale: status.stale() & !STALE_WAITING,
            silent_lines: status.silent_lines(),
        }
    }
}

impl News {
    /// Whether it is worth an operator's attention at night.
    pub(crate) fn is_warning(self) -> bool {
        !matches!(
            self,
            Self::Begun
                | Self::Fresh
                | Self::LineBack(_)
                | Self::Recovered(_)
                | Self::Joined { .. }
        )
    }
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Gap {
                lost,
                gaps: 1,
                first,
            } => write!(
                f,
                "gap in the feed: {lost} messages from {first} on are lost; books are stale"
            ),
            Self::Gap { lost, gaps, first } => write!(
                f,
                "gaps in the feed: {lost} messages are lost in {gaps} gaps, the last from {first} \
                 on; books are stale"
            ),
            Self::Malformed(1) => {
                f.write_str("a message of the feed cannot be read; books are stale")
            }
            Self::Malformed(messages) => {
                write!(
                    f,
                    "{messages} messages of the feed cannot be read; books are stale"
                )
            }
            Self::Contradicted(1) => {
                f.write_str("a message contradicts its symbol's book; that book is stale")
            }
            Self::Contradicted(messages) => write!(
                f,
                "{messages} messages contradict their symbols' books; those books are stale"
            ),
            Self::Recovered(1) => f.write_str("a hole in the feed was asked for and filled"),
            Self::Recovered(holes) => {
                write!(f, "{holes} holes in the feed were asked for and filled")
            }
            Self::Joined {
                snapshots: 1,
                stale_ms,
            } => write!(
                f,
                "a snapshot took the place of what was lost; books were stale for {stale_ms} ms"
            ),
            Self::Joined {
                snapshots,
                stale_ms,
            } => write!(
                f,
                "{snapshots} snapshots took the place of what was lost; books were stale for {stale_ms} ms"
            ),
            Self::Ended => f.write_str("the feed's session is over; books are stale"),
            Self::Begun => f.write_str("the feed's session begins"),
            Self::Silent => f.write_str("the feed is silent on every line; books are stale"),
            Self::WasSilent => f.write_str("the feed was silent on every line"),
            Self::Fresh => f.write_str("the feed is fresh, nothing is missing"),
            Self::StillStale(why) => {
                let why = match why {
                    why if why & STALE_GAP != 0 => "messages are lost",
                    why if why & STALE_ENDED != 0 => "its session is over",
                    _ => "it has not caught up",
                };
                write!(f, "the feed speaks again; books stay stale: {why}")
            }
            Self::LineSilent(line) => write!(f, "line {} is silent", line + 1),
            Self::LineBack(line) => write!(f, "line {} is heard again", line + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use feed_handler::arbiter::{Arbiter, Patience};
    use feed_handler::best_prices::BestPrices;
    use feed_handler::book::{Books, Limits};
    use feed_handler::feed::{Feed, FeedHistograms, Parts};
    use feed_handler::publish::{Publisher, Subscription, Way};
    use feed_handler::source::{Packet, PacketSource};
    use feed_handler::venue::Nasdaq;
    use protocol::mold::PacketBuilder;
    use protocol::types::Seq;
    use rt::clock::Clock;
    use rt::mem::Want;

    use super::*;

    const STALE_NS: u64 = 2_000_000_000;

    /// What arrives in the next turn: line and payload.
    type Arrivals = Rc<RefCell<Vec<(u8, Vec<u8>)>>>;

    #[derive(Default)]
    struct Script(Arrivals);

    impl PacketSource for Script {
        fn acquire(&mut self) -> usize {
            self.0.borrow().len()
        }
        fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
            for (line, payload) in self.0.borrow().iter() {
                on_packet(Packet {
                    payload,
                    frame: &[],
                    wire_ns: 0,
                    line: *line,
                });
            }
        }
        fn release(&mut self) {
            self.0.borrow_mut().clear();
        }
        fn housekeep(&mut self) {}
    }

    fn heartbeat(seq: u64) -> Vec<u8> {
        let mut buffer = [0; 20];
        let packet = PacketBuilder::new(&mut buffer, *b"SESSION001", Seq(seq)).unwrap();
        packet.finish().to_vec()
    }

    /// Plays heartbeats (second, line, number) to a feed whose only strategy takes nothing from its
    /// full ring, and gives what the operator hears.
    fn told(plan: &[(u64, u8, u64)], until_s: u64) -> Vec<String> {
        let limits = Limits {
            orders_max: 8,
            levels_max: 8,
        };
        let prices = Arc::new(BestPrices::new(Want::LAZY).unwrap());
        let mut publisher = Publisher::new(prices, 1);
        let _full = publisher.listen(Subscription::All, Way::Own, 1).unwrap();
        let counters = Arc::new(Counters::default());
        let mut watch = FeedWatch::new("itch", 2, Arc::clone(&counters));
        let script = Script::default();
        let packets = Rc::clone(&script.0);
        let mut feed = Feed::new(Parts {
            source: script,
            venue: Nasdaq,
            arbiter: Arbiter::new(Patience {
                gap_timeout_ns: 0,
                stale_ns: STALE_NS,
            }),
            books: Books::new(&limits, Want::LAZY).unwrap(),
            publisher,
            counters,
            histograms: FeedHistograms::default(),
            feed: 0,
            lines: 2,
            stale_ns: STALE_NS,
        });
        let mut clock = Clock::manual(0);
        let mut said = Vec::new();
        for second in 1..=until_s {
            clock.set_ns(second * 1_000_000_000);
            for (_, line, seq) in plan.iter().filter(|(at, ..)| *at == second) {
                packets.borrow_mut().push((*line, heartbeat(*seq)));
            }
            // One quiet turn in 16 looks at the clock.
            for _ in 0..17 {
                feed.poll(&clock);
            }
            watch.turn(clock.now_ns(), |news| {
                said.push(format!("{second}: {news}"));
            });
        }
        said
    }

    #[test]
    fn gap_is_told_however_full_the_strategies_rings_are() {
        let plan = [(1, 0, 10), (1, 1, 10), (2, 0, 10), (3, 0, 10), (3, 1, 12)];
        let said = told(&plan, 3);
        let expected = [
            "2: gap in the feed: 9 messages from 1 on are lost; books are stale",
            "2: the feed's session begins",
            "2: the feed speaks again; books stay stale: messages are lost",
            "3: gap in the feed: 2 messages from 10 on are lost; books are stale",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn what_was_asked_for_and_what_a_snapshot_replaced_are_told_once() {
        let counters = Arc::new(Counters::default());
        let mut watch = FeedWatch::new("itch", 1, Arc::clone(&counters));
        counters.arbiter.holes_recovered.add(3);
        counters.join.snapshots_joined.increment();
        counters.join.stale_gap_ns.add(107_000_000);
        let mut said = Vec::new();
        for second in 1..5 {
            watch.turn(second * 1_000_000_000, |news| said.push(news.to_string()));
        }
        let expected = [
            "3 holes in the feed were asked for and filled",
            "a snapshot took the place of what was lost; books were stale for 107 ms",
            "the feed is fresh, nothing is missing",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn what_cannot_be_read_and_what_contradicts_a_book_is_told() {
        let counters = Arc::new(Counters::default());
        let mut watch = FeedWatch::new("itch", 1, Arc::clone(&counters));
        let mut said = Vec::new();
        for second in 1..5 {
            if second == 2 {
                counters.feed.malformed.increment();
                counters.book.missing_ref.increment();
                counters.book.clamped.increment();
            }
            watch.turn(second * 1_000_000_000, |news| said.push(news.to_string()));
        }
        let expected = [
            "the feed is fresh, nothing is missing",
            "a message of the feed cannot be read; books are stale",
            "2 messages contradict their symbols' books; those books are stale",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn feed_that_never_speaks_is_told_as_silent() {
        let expected = ["3: the feed is silent on every line; books are stale"];
        assert_eq!(told(&[], 9), expected);
    }

    #[test]
    fn silent_line_is_told_and_comes_back_by_itself() {
        let both = |second| [(second, 0, 1), (second, 1, 1)];
        let mut plan = [both(1), both(2), both(3)].concat();
        plan.extend((4..9).map(|second| (second, 0, 1)));
        plan.extend(both(9));
        let expected = [
            "2: the feed's session begins",
            "2: the feed is fresh, nothing is missing",
            "5: line 2 is silent",
            "9: line 2 is heard again",
        ];
        assert_eq!(told(&plan, 10), expected);
    }

    #[test]
    fn silence_of_every_line_is_told_and_so_is_its_end() {
        let plan = [(1, 0, 1), (1, 1, 1), (2, 0, 1), (6, 0, 1), (6, 1, 1)];
        let expected = [
            "2: the feed's session begins",
            "2: the feed is fresh, nothing is missing",
            // Its packet came before the session was believed.
            "3: line 2 is silent",
            "4: the feed is silent on every line; books are stale",
            "6: the feed is fresh, nothing is missing",
            "6: line 1 is heard again",
            "6: line 2 is heard again",
        ];
        assert_eq!(told(&plan, 6), expected);
    }
}
