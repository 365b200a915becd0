//! Order entry: from a strategy's intent to the exchange and back.
//!
//! Path:        intent -> risk -> table -> OUCH -> SoupBinTCP -> transport; answers the other way
//! Thread:      one order core owns sessions, open orders, positions and risk

pub mod answers;
mod connection;
pub mod entry;
mod fills;
mod hearing;
mod index;
pub mod instruments;
pub mod intent;
pub mod invariant;
mod ledger;
pub mod links;
pub mod orders;
mod progress;
mod recovery;
pub mod risk;
pub mod session;
pub mod stage;
pub mod transport;
