//! What the market sees: ITCH messages in MoldUDP64, or DEEP+ in IEX-TP, on one or two lines, kept for those
//! who ask again.
//!
//! ```text
//!  engine events ──> encoder (ITCH) ─────┬─> publisher, framing (packets) ──> line A, line B
//!                └─> deep_plus (DEEP+) ──┘   └─ kept messages ──> re-requests
//!  engine ──> snapshot ──> GLIMPSE
//! ```

pub(crate) mod deep_plus;
pub(crate) mod encoder;
mod framing;
pub(crate) mod publisher;
pub(crate) mod snapshot;

use crate::engine::StockStatus;

/// What the market is told that no event of the engine causes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Notice<'a> {
    /// `O`, `S`, `Q`, `M`, `E` or `C`, as ITCH has them.
    SystemEvent(u8),
    /// Levels of the market-wide circuit breaker.
    DeclineLevels,
    /// A symbol was listed; locate codes rise by one.
    Listed(&'a StockStatus),
}
