//! Order entry: from a strategy's intent to the exchange and back.
//!
//! ```text
//!  intent ──> stage ──> entry ──> ledger: risk, orders, account ──> OUCH, SoupBinTCP ──> transport
//!                                                                                        │
//!  execution <── links <── hearing <── telling <── answers, changes, recovery <── lifecycle <── inbox
//! ```
//!
//! Thread:      one order core owns sessions, open orders, positions and risk

pub mod stage;

mod parts;

mod hearing;
pub mod links;

pub mod entry;

pub mod addresses;
pub mod inbox;
pub mod lifecycle;

mod ledger;
pub mod risk;

pub mod account;
pub mod instruments;

mod desk;
mod doubt;
mod index;
mod lists;
pub mod live;
pub mod orders;
mod session_orders;
mod session_state;

mod answers;
mod carried;
mod changes;
mod commands;
mod endings;
mod fills;
mod recovery;
mod reductions;
pub mod telling;
mod unexpected;

mod progress;

pub mod opening;
pub mod snapshot;

mod together;
pub mod transport;
pub mod understudy;
