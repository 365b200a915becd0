//! What the market sees: ITCH messages, packed into MoldUDP64 on one or two lines, kept for those who ask
//! again.
//!
//! ```text
//!  engine events ──> encoder (ITCH) ──> publisher (packets) ──> line A, line B
//!                                      └─ kept messages ──> re-requests
//!  engine ──> snapshot ──> GLIMPSE
//! ```

pub(crate) mod encoder;
pub(crate) mod publisher;
pub(crate) mod snapshot;
