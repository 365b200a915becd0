//! Wire formats, shared by the gateway and the exchange: frames, market data, order entry.
//!
//! ```text
//!  frame ──> mold ────────> itch            market data: Ethernet to UDP, packet, message
//!            binary_file ─────┘             the same from a file
//!  frame ──> iex_tp ──────> deep_plus       the same of IEX
//!            soup ──> glimpse ──> itch      a snapshot
//!
//!            soup <── ouch requests         orders
//!            soup ──> ouch answers
//!
//!  types, wire, blocks: prices, quantities, numbers, as values and as bytes
//! ```
//!
//! Invariants:  no I/O, no clock, no allocation, no state machine; any bytes are read or refused.
//! Must not know: sockets, sessions, books, configuration.

#![forbid(unsafe_code)]
#![allow(
    unnameable_types,
    missing_debug_implementations,
    reason = "zerocopy's derives add hidden helper types to every layout"
)]

pub mod frame;

pub mod blocks;
pub mod iex_tp;
pub mod mold;

pub mod binary_file;
pub mod deep_plus;
pub mod glimpse;
pub mod itch;

pub mod ouch;
pub mod soup;

pub mod ascii;
pub mod types;
pub mod wire;
