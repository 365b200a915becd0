//! The exchange to trade against: SoupBinTCP and OUCH 5.0 behind a real socket.
//!
//! Path:        server (tokio-uring) -> session (SoupBinTCP) -> exchange (orders) -> store -> server
//! Thread:      one; the server's tasks take turns on it
//! Must not know: the gateway. Its session is its own, so that both ends are judged by the other.

pub mod engine;
pub mod exchange;
pub mod options;
pub mod server;
pub mod session;
