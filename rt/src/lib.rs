//! The machine, markets unknown: time, memory, cores, and the structures that join and watch them.
//!
//! A closed list; a file enters with two users:
//!
//! | module | what it is | users |
//! |---|---|---|
//! | `clock` | nanoseconds from the TSC, aligned with the kernel's monotonic clock | feed-handler, gateway, order-sim, bench |
//! | `cpu` | pinning, real-time class, locked memory | gateway, bench |
//! | `mem` | zeroed pages, huge, locked and touched in advance; memory shared between processes | feed-handler, gateway, bench, order-sim |
//! | `ring` | single-producer single-consumer ring for `Copy` messages | gateway, bench |
//! | `histogram` | latency histogram with one writer and no lock | gateway, bench |
//! | `counters` | named counters with one writer and no lock | feed-handler, gateway, order-sim |
//! | `wire_stamps` | when each message was sent, and its order received, across processes | order-sim, bench |
//! | `alloc_guard` | counts allocations on threads that must not allocate | gateway, bench |
//!
//! Must not know: prices, orders, protocols, configuration.

pub mod alloc_guard;
pub mod clock;
pub mod counters;
pub mod cpu;
pub mod histogram;
pub mod mem;
pub mod ring;
pub mod wire_stamps;
