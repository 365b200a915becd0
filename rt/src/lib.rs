//! The machine, markets unknown: time, memory, cores, and the structures that join and watch them.
//!
//! ```text
//!  cpu: pin, lock            mem: pages, huge and touched          at the start
//!       │                         │
//!  one hot core ───── ring ─────> the next hot core                each turn: clock, no lock, no allocation
//!       │  writes                                                  (alloc_guard counts them in tests)
//!       └── counters, histogram ──reads──> housekeeping            now and then
//! ```
//!
//! A closed list; a file enters with two users (`world/tests/tidy.rs` checks the table):
//!
//! | module | what it is | users |
//! |---|---|---|
//! | `clock` | nanoseconds from the TSC, kept to the kernel's monotonic clock; or set by a test | deploy, feed-handler, gateway, order-sim, world, backtest, bench |
//! | `cpu` | pinning, real-time class, locked memory, what the kernel counted of a thread | deploy, gateway, order-sim, bench |
//! | `mem` | zeroed pages, huge, locked and touched in advance; words shared between processes | feed-handler, gateway, order-sim, world, backtest, bench |
//! | `ring` | single-producer single-consumer ring for `Copy` messages | deploy, feed-handler, gateway, world, backtest, bench |
//! | `broadcast` | one writer, many readers, each message once in memory; who is overtaken is told | feed-handler, bench |
//! | `versioned` | a few words that one thread writes and any reads whole, without a lock | feed-handler, gateway, bench |
//! | `board` | words that threads show one another: of two who show and then look, one sees the other | gateway, world |
//! | `histogram` | latency histogram with one writer and no lock | feed-handler, gateway, world, bench |
//! | `counters` | named counters with one writer and no lock | feed-handler, gateway, order-sim |
//! | `turn_notes` | what one turn of a core was given from outside: kept, or given again | feed-handler, gateway |
//! | `wire_stamps` | when each message was sent, and its order received, across processes | order-sim, bench |
//! | `alloc_guard` | counts allocations on threads that must not allocate | feed-handler, gateway, world |
//!
//! Must not know: prices, orders, protocols, configuration.

pub mod alloc_guard;
pub mod board;
pub mod broadcast;
pub mod clock;
pub mod counters;
pub mod cpu;
pub mod histogram;
pub mod mem;
pub mod ring;
mod sync;
pub mod turn_notes;
pub mod versioned;
pub mod wire_stamps;
