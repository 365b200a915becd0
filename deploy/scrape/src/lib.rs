//! What Prometheus scrapes: one small HTTP server, and metric families as text.
//!
//! ```text
//!  Prometheus ──GET /metrics──> http ──> whoever knows the figures ──> Families ──> text
//! ```
//!
//! The gateway's exporter, a process of its own, and the exchange, by a thread of its own, serve by it.
//!
//! Must not know: gateways, exchanges, what the figures mean.

mod families;
pub mod http;
mod server;

pub use families::Families;
pub use server::serve;
