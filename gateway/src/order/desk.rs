//! A strategy's place in a session: its feed, its symbols, and what is remembered of its orders that ended.
//!
//! Thread:      order core, hot
//! When full:   the oldest of [`ENDED_KEPT`] ended orders is forgotten; a change of it that comes later still is
//!              answered without symbol and side.

use protocol::types::{Side, Symbol};

use super::instruments::{Instrument, InstrumentSet, Instruments};
use crate::message::intent::OrderId;

/// Strategies of one session: an [`Owner`](crate::message::intent::Owner) is a byte.
pub const DESKS_MAX: usize = 256;
/// Ended orders that a strategy's late intents may still mean.
const ENDED_KEPT: usize = 1024;

/// A strategy that trades on this session, as its configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeskOptions {
    /// Its feed, in the order of the configuration: locate codes are that feed's.
    pub feed: u16,
    /// Symbols that it may trade; `None`: every one.
    pub symbols: Option<Vec<Symbol>>,
    /// Trades although its feed has a gap.
    pub trade_on_stale: bool,
}

/// A strategy that trades on this session.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) feed: u16,
    pub(super) trade_on_stale: bool,
    /// The operator lets it send nothing new.
    pub(super) is_paused: bool,
    /// `None`: it may trade every one.
    allowed: Option<InstrumentSet>,
    /// Orders that ended, by the low bits of their numbers.
    ended: Box<[Ended]>,
}

/// What is still known of an order that is over, or never was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) id: OrderId,
    pub(super) locate: u16,
    pub(super) side: Side,
}

impl Desk {
    pub(super) fn new(options: &DeskOptions, instruments: &mut Instruments) -> Self {
        let allowed = options.symbols.as_ref().map(|symbols| {
            let mut allowed = InstrumentSet::default();
            let known = symbols.iter().filter_map(|it| instruments.of_symbol(*it));
            known.for_each(|instrument| allowed.insert(instrument));
            allowed
        });
        let nothing = Ended {
            id: OrderId(0),
            locate: 0,
            side: Side::Buy,
        };
        Self {
            feed: options.feed,
            trade_on_stale: options.trade_on_stale,
            is_paused: false,
            allowed,
            ended: vec![nothing; ENDED_KEPT].into_boxed_slice(),
        }
    }

    #[inline]
    pub(super) fn may_trade(&self, instrument: Instrument) -> bool {
        let allowed = self.allowed.as_ref();
        allowed.is_none_or(|allowed| allowed.has(instrument))
    }

    #[inline]
    pub(super) fn ended_mut(&mut self, id: OrderId) -> Option<&mut Ended> {
        self.ended.get_mut(id.0 as usize & (ENDED_KEPT - 1))
    }
}
