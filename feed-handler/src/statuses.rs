//! The table of how symbols are traded, beside that of best prices.
//!
//! ```text
//!  message ──hear──> row, its pieces told ──load──> SymbolStatus: value or nothing, stale or not
//!  gap     ──────> era + 1: no piece is told any more     a piece that is said again is known again
//!  snapshot ─────> proves PHASE, SHORT_SALE, HALT         the rest waits until it is said again
//!  session ──────> rows empty, era + 1: nothing is hidden; a reader that still holds a row of before finds it stale
//! ```
//!
//! Thread:      written by one feed core; read by any, without a lock
//! Invariants:  a row is read whole or not at all ([`Versioned`]), and stands before the event of its message does.
//!              A piece is stale exactly when a gap of this session may hide a later word about it, or the feed
//!              as a whole is not heard.
//! Cost:        a message that is about something else does none of this; a gap is one store.
//! When wrong:  a reader gives up as one of best prices does.

use std::io;

use protocol::types::{Price4, Price8};
use rt::mem::{Pages, Want};
use rt::versioned::Versioned;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, transmute};

use crate::marks::{Eras, Marks};
use crate::trading::{
    Collar, Complete, Cross, Hours, Imbalance, Market, Phase, Release, Said, ShortSale,
};

/// A piece of a status that is said, and gets stale, by itself: a bit of [`SymbolStatus::stale`] or
/// [`MarketStatus::stale`].
pub type Piece = u8;

/// How the symbol is traded.
pub const PHASE: Piece = 1;
/// Whether short sales are restricted.
pub const SHORT_SALE: Piece = 1 << 1;
/// Halts of any market; [`SymbolStatus::halts_stale`] has each.
pub const HALT: Piece = 1 << 2;
/// Opening and closing process.
pub const SESSION: Piece = 1 << 3;
/// The auction's collar.
pub const COLLAR: Piece = 1 << 4;
/// A new offering's release.
pub const RELEASE: Piece = 1 << 5;
/// The auction's imbalance.
pub const IMBALANCE: Piece = 1 << 6;
/// The last cross.
pub const CROSS: Piece = 1 << 7;

/// How far the market's day is.
pub const HOURS: Piece = 1;
/// Levels of the circuit breaker.
pub const LEVELS: Piece = 1 << 1;
/// Their breach.
pub const BREACH: Piece = 1 << 2;

/// What a snapshot says of each symbol, if only by saying nothing (GLIMPSE 5.0: a symbol without `H` is halted,
/// one without `h` is not).
const PROVEN: Piece = PHASE | SHORT_SALE | HALT;

/// How one symbol is traded. `None`: nobody has said so in this session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SymbolStatus {
    /// How it is traded. Venues say it before the day begins; one that says nothing of a symbol has halted it.
    pub phase: Option<Phase>,
    /// The venue's code for why; spaces or zeros: none.
    pub reason: [u8; 4],
    /// Whether short sales are restricted.
    pub short_sale: Option<ShortSale>,
    /// Which markets have halted it for reasons of their own: [`SymbolStatus::is_halted_on`].
    pub halts: u8,
    /// Markets that may have halted it or let it go by now; bits as in `halts`.
    pub halts_stale: u8,
    /// What of its day is complete.
    pub complete: Option<Complete>,
    /// Between which prices the auction may end.
    pub collar: Option<Collar>,
    /// When a new offering is released.
    pub release: Option<Release>,
    /// The auction to come.
    pub imbalance: Option<Imbalance>,
    /// The last auction.
    pub cross: Option<Cross>,
    /// Pieces that may be others by now.
    pub stale: Piece,
}

/// How the market as a whole is. `None`: nobody has said so in this session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MarketStatus {
    /// How far its day is.
    pub hours: Option<Hours>,
    /// Declines of the index at which it stops.
    pub levels: Option<[Price8; 3]>,
    /// The highest level that was breached.
    pub breach: Option<u8>,
    /// Pieces that may be others by now.
    pub stale: Piece,
}

impl SymbolStatus {
    /// Whether this market has halted the symbol for reasons of its own.
    #[must_use]
    pub fn is_halted_on(&self, market: Market) -> bool {
        self.halts & market as u8 != 0
    }

    /// Whether any of these pieces may be others by now.
    #[must_use]
    pub fn is_stale(&self, pieces: Piece) -> bool {
        self.stale & pieces != 0
    }

    /// Whether orders are known to meet on this market now: what a check before an order asks.
    #[must_use]
    pub fn is_trading_on(&self, market: Market) -> bool {
        self.phase == Some(Phase::Trading)
            && !self.is_stale(PHASE)
            && (self.halts | self.halts_stale) & market as u8 == 0
    }
}

/// One symbol, as the table has it.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct State {
    /// The gap after which `told` counts; 0: nothing was said.
    era: u32,
    /// Pieces that were said since.
    told: u8,
    /// Pieces that were said at all.
    said: u8,
    phase: u8,
    short_sale: u8,
    reason: [u8; 4],
    halts: u8,
    complete: u8,
    is_cancelled: u8,
    direction: u8,
    next_cross: u8,
    variation: u8,
    last_cross: u8,
    /// Markets of which it was said since whether they halted it.
    halts_told: u8,
    collar_reference: u32,
    collar_upper: u32,
    collar_lower: u32,
    collar_extensions: u32,
    release_s: u32,
    release_price: u32,
    cross_price: u32,
    cross_shares: u64,
    paired: u64,
    imbalance: u64,
    far: u32,
    near: u32,
    reference: u32,
    _pad_end: u32,
}

const WORDS: usize = 11;
const _: () = assert!(size_of::<State>() == 8 * WORDS);

/// One row: a cache line and a half.
#[derive(Debug, FromZeros)]
#[repr(C, align(32))]
struct Row {
    words: Versioned<WORDS>,
}

const _: () = assert!(size_of::<Row>() == 96);

/// The market, as the table has it.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct MarketState {
    era: u32,
    told: u8,
    said: u8,
    hours: u8,
    breach: u8,
    levels: [u64; 3],
}

/// The table, one row for each locate code and one for the market.
#[derive(Debug)]
pub struct Statuses {
    rows: Pages<Row>,
    market: Versioned<4>,
    marks: Marks,
}

impl Statuses {
    /// Maps the table: 6 MiB.
    ///
    /// # Errors
    /// The host has not that much memory.
    pub fn new(want: Want) -> io::Result<Self> {
        Ok(Self {
            rows: Pages::zeroed(1 << 16, want)?,
            market: Versioned::default(),
            marks: Marks::default(),
        })
    }

    /// A symbol's status; `None` when its row kept moving.
    #[must_use]
    pub fn load(&self, locate: u16) -> Option<SymbolStatus> {
        let state: State = transmute!(self.rows.get(usize::from(locate))?.words.load()?);
        // After the row: a gap that came in between makes it stale.
        Some(state.show(self.marks.eras()))
    }

    /// Whether the symbol is known not to trade: halted, paused, only quoted, or halted by any market for
    /// reasons of its own; so is one whose row kept moving. Where nobody has said anything it trades: a feed that
    /// may have missed it is stale.
    #[inline]
    #[must_use]
    pub fn is_stopped(&self, locate: u16) -> bool {
        let words = self.rows.get(usize::from(locate));
        let Some(words) = words.and_then(|row| row.words.load()) else {
            return true;
        };
        let state: State = transmute!(words);
        state.halts != 0 || (state.phase != 0 && state.phase != Phase::Trading as u8)
    }

    /// The market's status; `None` when it kept moving.
    #[must_use]
    pub fn market(&self) -> Option<MarketStatus> {
        let state: MarketState = transmute!(self.market.load()?);
        let said = |piece| state.said & piece != 0;
        Some(MarketStatus {
            hours: Hours::of_code(state.hours),
            levels: said(LEVELS).then(|| state.levels.map(Price8)),
            breach: said(BREACH).then_some(state.breach),
            stale: self.marks.eras().stale(state.era, state.told) & (HOURS | LEVELS | BREACH),
        })
    }

    /// Takes what was said. `locate` 0: of the market.
    #[cold]
    pub(crate) fn hear(&self, locate: u16, said: &Said) {
        let era = self.marks.eras().now;
        if let Some(piece) = piece_of_market(said) {
            let mut state: MarketState = transmute!(self.market.own());
            if state.era != era {
                (state.era, state.told) = (era, 0);
            }
            (state.told, state.said) = (state.told | piece, state.said | piece);
            match *said {
                Said::Hours(hours) => state.hours = hours as u8,
                Said::Levels(levels) => state.levels = levels.map(|level| level.0),
                Said::Breach(level) => state.breach = state.breach.max(level),
                _ => {}
            }
            self.market.store(transmute!(state));
        } else {
            self.change(locate, |state| state.hear(era, said));
        }
    }

    /// An auction is over.
    #[cold]
    pub(crate) fn hear_cross(&self, locate: u16, cross: &Cross) {
        let era = self.marks.eras().now;
        self.change(locate, |state| state.hear_cross(era, cross));
    }

    /// Takes what a snapshot proves of a symbol that it names, where nothing was said since the gap. Whether
    /// anything is another than before.
    pub(crate) fn take(&self, locate: u16, snapshot: &State) -> bool {
        let eras = self.marks.eras();
        let mut is_changed = false;
        self.change(locate, |state| {
            let before = *state;
            state.take(eras.now, snapshot);
            // That nothing is stale any more is told of the feed as a whole.
            let values = |state: &State| SymbolStatus {
                halts_stale: 0,
                stale: 0,
                ..state.show(eras)
            };
            is_changed = values(&before) != values(state);
        });
        is_changed
    }

    /// Messages will not come: what they may have said is stale until it is said again.
    #[cold]
    pub(crate) fn on_gap(&self) {
        self.marks.on_gap();
    }

    /// Whether the feed is not heard, or waits for messages that may still come.
    pub(crate) fn set_unheard(&self, is_unheard: bool) {
        self.marks.set_unheard(is_unheard);
    }

    /// Forgets everything: a new day begins.
    pub(crate) fn clear(&self) {
        for row in self.rows.iter() {
            if row.words.own() != [0; WORDS] {
                row.words.store([0; WORDS]);
            }
        }
        self.market.store([0; 4]);
        // Behind the rows: who reads an old one finds the old era, or that the new one has not told it.
        self.marks.on_session();
    }

    fn change(&self, locate: u16, change: impl FnOnce(&mut State)) {
        let Some(row) = self.rows.get(usize::from(locate)) else {
            return;
        };
        let mut state: State = transmute!(row.words.own());
        change(&mut state);
        row.words.store(transmute!(state));
    }
}

fn piece_of_market(said: &Said) -> Option<Piece> {
    match said {
        Said::Hours(_) => Some(HOURS),
        Said::Levels(_) => Some(LEVELS),
        Said::Breach(_) => Some(BREACH),
        _ => None,
    }
}

impl State {
    /// Takes what was said of the symbol.
    pub(crate) fn hear(&mut self, era: u32, said: &Said) {
        let piece = match *said {
            Said::Phase(phase, reason) => {
                (self.phase, self.reason) = (phase as u8, reason);
                PHASE
            }
            Said::ShortSale(state) => {
                self.short_sale = state as u8;
                SHORT_SALE
            }
            Said::Halt(market, is_halted) => {
                self.mark(era, 0);
                self.halts_told |= market as u8;
                self.halts &= !(market as u8);
                self.halts |= if is_halted { market as u8 } else { 0 };
                // Of the other markets nothing was said.
                0
            }
            Said::Complete(what) => {
                self.complete = what as u8;
                SESSION
            }
            Said::Collar(collar) => {
                self.collar_reference = collar.reference.0;
                self.collar_upper = collar.upper.0;
                self.collar_lower = collar.lower.0;
                self.collar_extensions = collar.extensions;
                COLLAR
            }
            Said::Release(_, release) => {
                (self.release_s, self.release_price) = (release.at_s, release.price.0);
                self.is_cancelled = u8::from(release.is_cancelled);
                RELEASE
            }
            Said::Imbalance(imbalance) => {
                (self.paired, self.imbalance) = (imbalance.paired, imbalance.shares);
                (self.far, self.near) = (imbalance.far.0, imbalance.near.0);
                (self.reference, self.direction) = (imbalance.reference.0, imbalance.direction);
                (self.next_cross, self.variation) = (imbalance.cross, imbalance.variation);
                IMBALANCE
            }
            Said::Hours(_) | Said::Levels(_) | Said::Breach(_) => return,
        };
        self.mark(era, piece);
    }

    fn hear_cross(&mut self, era: u32, cross: &Cross) {
        (self.cross_shares, self.cross_price) = (cross.shares, cross.price.0);
        self.last_cross = cross.cross;
        self.mark(era, CROSS);
    }

    fn mark(&mut self, era: u32, piece: Piece) {
        if self.era != era {
            (self.era, self.told, self.halts_told) = (era, 0, 0);
        }
        (self.told, self.said) = (self.told | piece, self.said | piece);
    }

    fn take(&mut self, era: u32, snapshot: &Self) {
        self.mark(era, 0);
        let is_due = |piece, told| told & piece == 0;
        if is_due(PHASE, self.told) {
            let is_blank = snapshot.reason == [b' '; 4];
            if snapshot.phase != self.phase || !is_blank {
                self.reason = snapshot.reason;
            }
            self.phase = snapshot.phase;
        }
        if is_due(SHORT_SALE, self.told) {
            self.short_sale = snapshot.short_sale;
        }
        self.halts = self.halts & self.halts_told | snapshot.halts & !self.halts_told;
        self.halts_told = u8::MAX;
        // What else was said behind the snapshot was said to the feed, too, and after the gap.
        self.mark(era, PROVEN);
    }

    fn show(&self, eras: Eras) -> SymbolStatus {
        let said = |piece| self.said & piece != 0;
        SymbolStatus {
            phase: Phase::of_code(self.phase),
            reason: self.reason,
            short_sale: ShortSale::of_code(self.short_sale),
            halts: self.halts,
            halts_stale: eras.stale(self.era, self.halts_told),
            complete: Complete::of_code(self.complete),
            collar: said(COLLAR).then_some(Collar {
                reference: Price4(self.collar_reference),
                upper: Price4(self.collar_upper),
                lower: Price4(self.collar_lower),
                extensions: self.collar_extensions,
            }),
            release: said(RELEASE).then_some(Release {
                at_s: self.release_s,
                price: Price4(self.release_price),
                is_cancelled: self.is_cancelled != 0,
            }),
            imbalance: said(IMBALANCE).then_some(Imbalance {
                paired: self.paired,
                shares: self.imbalance,
                direction: self.direction,
                far: Price4(self.far),
                near: Price4(self.near),
                reference: Price4(self.reference),
                cross: self.next_cross,
                variation: self.variation,
            }),
            cross: said(CROSS).then_some(Cross {
                shares: self.cross_shares,
                price: Price4(self.cross_price),
                cross: self.last_cross,
            }),
            stale: eras.stale(self.era, self.told),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALTED: Said = Said::Phase(Phase::Halted, *b"T1  ");
    const TRADING: Said = Said::Phase(Phase::Trading, *b"    ");

    fn table() -> Statuses {
        Statuses::new(Want::LAZY).unwrap()
    }

    fn collar() -> Said {
        Said::Collar(Collar {
            reference: Price4(100),
            upper: Price4(110),
            lower: Price4(90),
            extensions: 1,
        })
    }

    #[test]
    fn gap_makes_each_piece_stale_until_it_is_said_again() {
        let table = table();
        table.hear(7, &TRADING);
        table.hear(7, &collar());
        let status = table.load(7).unwrap();
        assert!(status.is_trading_on(Market::Nasdaq) && status.stale == 0);
        table.on_gap();
        let status = table.load(7).unwrap();
        assert_eq!(status.phase, Some(Phase::Trading));
        assert!(status.is_stale(PHASE) && !status.is_trading_on(Market::Nasdaq));
        table.hear(7, &HALTED);
        let status = table.load(7).unwrap();
        assert_eq!(
            (status.phase, status.reason),
            (Some(Phase::Halted), *b"T1  ")
        );
        assert!(!status.is_stale(PHASE) && status.is_stale(COLLAR) && status.is_stale(HALT));
        // Of a symbol that nobody has spoken of, something may be hidden, too.
        assert!(table.load(8).unwrap().is_stale(PHASE));
    }

    #[test]
    fn snapshot_proves_what_it_says_and_not_what_was_said_since() {
        let table = table();
        table.hear(7, &TRADING);
        table.hear(7, &collar());
        table.hear(8, &TRADING);
        table.on_gap();
        table.hear(8, &HALTED);
        let mut snapshot = State::default();
        snapshot.hear(0, &TRADING);
        snapshot.hear(0, &Said::Halt(Market::Nasdaq, true));
        assert!(table.take(7, &snapshot) && table.take(8, &snapshot));
        let status = table.load(7).unwrap();
        assert!(status.is_halted_on(Market::Nasdaq) && !status.is_halted_on(Market::Psx));
        assert_eq!(status.stale & PROVEN, 0);
        assert!(status.is_stale(COLLAR) && status.collar.is_some());
        assert_eq!(table.load(8).unwrap().phase, Some(Phase::Halted));
        // Named and without a word of how it is traded: halted (GLIMPSE 5.0), and that is known.
        assert!(!table.take(9, &State::default()), "nothing is another");
        let silent = table.load(9).unwrap();
        assert_eq!((silent.phase, silent.stale & PROVEN), (None, 0));
    }

    #[test]
    fn halt_of_one_market_says_nothing_of_another() {
        let table = table();
        table.hear(7, &TRADING);
        table.on_gap();
        table.hear(7, &TRADING);
        table.hear(7, &Said::Halt(Market::Nasdaq, false));
        let status = table.load(7).unwrap();
        assert!(status.is_trading_on(Market::Nasdaq) && !status.is_trading_on(Market::Psx));
        assert!(status.is_stale(HALT));
        table.hear(7, &Said::Halt(Market::Nasdaq, true));
        assert!(!table.load(7).unwrap().is_trading_on(Market::Nasdaq));
    }

    #[test]
    fn symbol_is_stopped_where_somebody_has_said_so() {
        let table = table();
        assert!(!table.is_stopped(7), "nobody has said anything");
        for phase in [Phase::Halted, Phase::Paused, Phase::QuotationOnly] {
            table.hear(7, &Said::Phase(phase, *b"    "));
            assert!(table.is_stopped(7) && !table.is_stopped(8), "{phase:?}");
        }
        table.hear(7, &TRADING);
        assert!(!table.is_stopped(7));
        table.hear(7, &Said::Halt(Market::Psx, true));
        assert!(table.is_stopped(7));
        table.hear(7, &Said::Halt(Market::Psx, false));
        assert!(!table.is_stopped(7));
    }

    #[test]
    fn session_begins_empty_and_with_nothing_hidden() {
        let table = table();
        table.hear(7, &HALTED);
        table.hear(0, &Said::Breach(1));
        table.on_gap();
        table.clear();
        assert_eq!(table.load(7), Some(SymbolStatus::default()));
        assert_eq!(table.market(), Some(MarketStatus::default()));
        table.set_unheard(true);
        assert!(table.load(7).unwrap().is_stale(PHASE));
        assert_eq!(table.market().unwrap().stale, HOURS | LEVELS | BREACH);
    }

    #[test]
    fn row_that_a_reader_took_before_the_session_began_is_stale() {
        let table = table();
        table.hear(7, &TRADING);
        let held: State = transmute!(table.rows.get(7).unwrap().words.load().unwrap());
        assert!(held.show(table.marks.eras()).is_trading_on(Market::Nasdaq));
        table.clear();
        let shown = held.show(table.marks.eras());
        assert!(shown.is_stale(PHASE) && !shown.is_trading_on(Market::Nasdaq));
        assert_eq!(shown.halts_stale, u8::MAX);
    }

    #[test]
    fn breach_of_a_higher_level_stands_whatever_comes_after() {
        let table = table();
        table.hear(0, &Said::Levels([Price8(3), Price8(2), Price8(1)]));
        table.hear(0, &Said::Breach(2));
        table.hear(0, &Said::Breach(1));
        table.hear(0, &Said::Hours(Hours::MarketBegin));
        let market = table.market().unwrap();
        assert_eq!(market.breach, Some(2));
        assert_eq!(market.levels, Some([Price8(3), Price8(2), Price8(1)]));
        assert_eq!((market.hours, market.stale), (Some(Hours::MarketBegin), 0));
        table.on_gap();
        assert_eq!(table.market().unwrap().stale, HOURS | LEVELS | BREACH);
    }
}
