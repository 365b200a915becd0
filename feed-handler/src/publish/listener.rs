//! What a strategy holds of a feed: the next event, wherever it comes from, and what it missed made good.
//!
//! ```text
//!  calm:    own ring or shared ring ──> event
//!  behind:  lagged, gaps, end, stale ──> refreshed symbols ──> the event that came next ──> calm
//!           what was lost                the table of best prices, each symbol once
//! ```
//!
//! Thread:      strategy core, hot
//! Invariants:  a strategy that was told that it lagged hears of each symbol that it follows and that moved
//!              meanwhile before it hears anything else: how it stood at the moment at which events go on, or,
//!              where the table is already further, in the event that moved it there. So what it believes of a
//!              symbol never goes back.
//! When full:   the table is looked through in pieces, [`ROWS_PER_CALL`] a call; a row that keeps moving is
//!              tried again in the next.

use std::sync::Arc;

use rt::broadcast::Read;
use rt::ring::Consumer;

use super::shared::{SharedReader, last_before};
use super::subscription::{Locates, Subscription};
use crate::best_prices::{BestPrices, Row};
use crate::event::{FLAG_BBO_CHANGED, FLAG_STALE, Kind, MarketEvent, Origin};
use crate::position::Position;

/// Rows of the table that one call looks at: a few microseconds.
const ROWS_PER_CALL: u32 = 512;
/// Events of symbols that it does not follow that one call passes over.
const SKIPS_PER_CALL: u32 = 512;

/// A strategy's end of a feed.
#[derive(Debug)]
pub struct Listener {
    source: Source,
    subscription: Subscription,
    /// What it follows; not used where that is everything.
    follows: Locates,
    hears_all: bool,
    prices: Arc<BestPrices>,
    /// Nothing is to be told but what comes next.
    is_calm: bool,
    /// What came after a loss, until the loss is told.
    held: Option<MarketEvent>,
    behind: Option<Behind>,
    /// Sessions that ended, and the last number of this one that it was told.
    ended: u64,
    seq: u64,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one for each strategy, and looked into with each event"
)]
enum Source {
    Own(Consumer<MarketEvent>),
    Shared(SharedReader),
}

/// A lag was told; symbols that moved are not all refreshed yet.
#[derive(Clone, Copy, Debug)]
struct Behind {
    /// What it had heard before.
    since: Position,
    /// Where events go on; `None`: not yet known.
    upto: Option<Position>,
    /// The row that is looked at next.
    row: u32,
    /// When it was told.
    origin: Origin,
}

impl Listener {
    /// Listens on a ring of its own. `prices`: the table of the feed that fills it.
    #[must_use]
    pub fn own(
        ring: Consumer<MarketEvent>,
        subscription: Subscription,
        prices: Arc<BestPrices>,
    ) -> Self {
        Self::new(Source::Own(ring), subscription, prices)
    }

    pub(super) fn shared(
        reader: SharedReader,
        subscription: Subscription,
        prices: Arc<BestPrices>,
    ) -> Self {
        Self::new(Source::Shared(reader), subscription, prices)
    }

    fn new(source: Source, subscription: Subscription, prices: Arc<BestPrices>) -> Self {
        Self {
            source,
            hears_all: subscription == Subscription::All,
            subscription,
            follows: Locates::new(),
            prices,
            is_calm: true,
            held: None,
            behind: None,
            ended: 0,
            seq: 0,
        }
    }

    /// The next event. `None`: there is none for now.
    #[inline]
    pub fn hear(&mut self) -> Option<MarketEvent> {
        // Who hears everything on the shared ring, and has missed nothing: most of all calls.
        if self.is_calm
            && self.hears_all
            && let Source::Shared(reader) = &mut self.source
        {
            let count = match reader.read() {
                Read::Message(words) => {
                    let event = MarketEvent::of_words(words)?;
                    if event.is_news() {
                        reader.on_news(&event);
                    }
                    self.note(&event);
                    return Some(event);
                }
                Read::Nothing => return None,
                Read::Missed(count) => count,
            };
            self.is_calm = false;
            reader.on_overtaken(count);
        }
        self.hear_otherwise()
    }

    #[inline(never)]
    fn hear_otherwise(&mut self) -> Option<MarketEvent> {
        if self.is_calm {
            let event = self.read();
            if self.is_calm {
                let event = event?;
                self.note(&event);
                return Some(event);
            }
            self.held = event;
        }
        self.hear_of_loss()
    }

    /// Whether its own ring is full, so that events are being lost. A shared ring is never full.
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        match &self.source {
            Source::Own(ring) => ring.is_full(),
            Source::Shared(_) => false,
        }
    }

    /// Takes the next event that it follows out of its ring. Where it was overtaken it is not calm any more.
    #[inline]
    fn read(&mut self) -> Option<MarketEvent> {
        let reader = match &mut self.source {
            Source::Own(ring) => {
                let event = ring.pop()?;
                if event.kind == Kind::Directory || event.kind == Kind::EndOfSession {
                    self.learn(&event);
                }
                return Some(event);
            }
            Source::Shared(reader) => reader,
        };
        for _ in 0..SKIPS_PER_CALL {
            let words = match reader.read() {
                Read::Message(words) => words,
                Read::Nothing => return None,
                Read::Missed(count) => {
                    let ended = reader.on_overtaken(count);
                    self.is_calm = false;
                    if ended > self.ended {
                        self.follows.forget();
                    }
                    learn_from_table(&mut self.follows, &self.subscription, &self.prices, ended);
                    continue;
                }
            };
            if reader.is_lost {
                // Whether or not it follows this one: the loss ends before it.
                let found = MarketEvent::of_words(words)?;
                reader.on_found(last_before(&found));
            }
            if !self.hears_all {
                let head = MarketEvent::head_of_words(&words);
                if !self.follows.contains(head.locate) {
                    if !head.is_directory {
                        continue;
                    }
                    let event = MarketEvent::of_words(words)?;
                    if !event.symbol().is_some_and(|it| self.subscription.names(it)) {
                        continue;
                    }
                    self.follows.insert(head.locate);
                }
            }
            let event = MarketEvent::of_words(words)?;
            if event.is_news() {
                reader.on_news(&event);
                if event.kind == Kind::EndOfSession {
                    self.follows.forget();
                }
            }
            return Some(event);
        }
        None
    }

    #[cold]
    fn learn(&mut self, event: &MarketEvent) {
        if event.kind == Kind::EndOfSession {
            self.follows.forget();
        } else if event.symbol().is_some_and(|it| self.subscription.names(it)) {
            self.follows.insert(event.locate);
        }
    }

    fn position(&self) -> Position {
        Position::new(self.ended, self.seq)
    }

    /// Keeps up with what the strategy is told.
    #[inline]
    fn note(&mut self, event: &MarketEvent) {
        if event.is_news() {
            self.note_news(event);
        } else if event.origin.seq != 0 {
            self.seq = event.origin.seq;
        }
    }

    #[cold]
    fn note_news(&mut self, event: &MarketEvent) {
        match event.kind {
            Kind::Lagged => {
                let since = self.behind.map_or_else(|| self.position(), |it| it.since);
                self.behind = Some(Behind {
                    since,
                    upto: None,
                    row: 0,
                    origin: event.origin,
                });
                self.is_calm = false;
                self.seq = self.seq.max(event.origin.seq);
            }
            Kind::EndOfSession => {
                (self.ended, self.seq) = (event.number, 0);
                // Symbols of the session that is over are void; of the next one some may have moved already.
                if let Some(behind) = &mut self.behind {
                    (behind.upto, behind.row) = (None, 0);
                }
            }
            Kind::Stale | Kind::Fresh => self.seq = self.seq.max(event.origin.seq),
            _ => {}
        }
    }

    /// One step on the way back: a piece of what was lost, a symbol, what came next.
    #[cold]
    fn hear_of_loss(&mut self) -> Option<MarketEvent> {
        if self.held.is_none() {
            self.held = self.read();
        }
        if let Some(piece) = self.missed_piece() {
            self.note_news(&piece);
            return Some(piece);
        }
        // Only a number says up to where the table is to be read.
        let has_number = |event: &MarketEvent| !event.is_news() && event.origin.seq != 0;
        if let Some(news) = self.held.take_if(|held| !has_number(held)) {
            self.note(&news);
            return Some(news);
        }
        if let Some(behind) = self.behind {
            let found = self.refresh(behind);
            if found.is_some() || self.behind.is_some() {
                return found;
            }
        }
        self.is_calm = true;
        let event = self.held.take()?;
        self.note(&event);
        Some(event)
    }

    /// The next piece of what the shared ring's writer came round over. It waits for what comes after it, so
    /// that the loss is whole, unless nothing does.
    fn missed_piece(&mut self) -> Option<MarketEvent> {
        let Source::Shared(reader) = &mut self.source else {
            return None;
        };
        let is_stale = self.prices.feed_is_stale();
        let origin = self.held.map_or(reader.missed_origin, |held| held.origin);
        let piece = reader.missed.first(origin, is_stale)?;
        reader.missed.remove_first();
        Some(piece)
    }

    /// The next symbol that moved while it was behind. `None` and not behind any more: that was all.
    fn refresh(&mut self, mut behind: Behind) -> Option<MarketEvent> {
        let ended = self.ended;
        let upto = if let Some(upto) = behind.upto {
            upto
        } else {
            let upto = self.held.map_or_else(
                || Position::after(ended, self.seq),
                |held| Position::after(ended, last_before(&held)),
            );
            learn_from_table(&mut self.follows, &self.subscription, &self.prices, ended);
            behind.upto = Some(upto);
            upto
        };
        let end = self.prices.rows_used();
        for _ in 0..ROWS_PER_CALL {
            let Ok(locate) = u16::try_from(behind.row) else {
                break;
            };
            if behind.row >= end {
                break;
            }
            let is_followed = self.hears_all || self.follows.contains(locate);
            if is_followed {
                let Some(row) = self.prices.load_row(locate) else {
                    break;
                };
                // What a session left behind is over with it, and an emptied row tells nothing.
                let is_today = row.changed.ended() == upto.ended() && row.changed.seq() != 0;
                if is_today && row.changed > behind.since && row.changed <= upto {
                    behind.row += 1;
                    self.behind = Some(behind);
                    return Some(self.refreshed(locate, behind.origin, &row));
                }
            }
            behind.row += 1;
        }
        self.behind = (behind.row < end).then_some(behind);
        None
    }

    fn refreshed(&self, locate: u16, origin: Origin, row: &Row) -> MarketEvent {
        let best = row.best;
        let origin = Origin {
            seq: row.changed.seq(),
            ..origin
        };
        let symbol = self.prices.symbol(locate);
        let stale = if self.prices.is_stale(locate) {
            FLAG_STALE
        } else {
            0
        };
        MarketEvent {
            number: symbol.map_or(0, |symbol| u64::from_ne_bytes(symbol.0)),
            bid_price: best.bid_price,
            bid_qty: best.bid_qty,
            ask_price: best.ask_price,
            ask_qty: best.ask_qty,
            locate,
            flags: FLAG_BBO_CHANGED | stale,
            ..MarketEvent::bare(Kind::Refresh, origin)
        }
    }
}

/// Directories may be among what was missed: the table knows what they said, if it is of the same session.
#[cold]
fn learn_from_table(
    follows: &mut Locates,
    subscription: &Subscription,
    prices: &BestPrices,
    ended: u64,
) {
    if *subscription == Subscription::All {
        return;
    }
    let end = prices.rows_used();
    for locate in (0..=u16::MAX).take_while(|locate| u32::from(*locate) < end) {
        let symbol = prices.symbol(locate);
        if symbol.is_some_and(|it| subscription.names(it))
            && let Some(row) = prices.load_row(locate)
            && row.changed.ended() == ended
        {
            follows.insert(locate);
        }
    }
}
