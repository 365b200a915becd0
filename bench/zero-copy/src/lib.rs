//! Zero-copy, proven where no card has it: the gateway in a virtual machine whose driver (virtio-net) does it for real.
//!
//! ```text
//!   this host: namespace tg-PID-0-v               virtual machine (QEMU, emulated; a Debian kernel of its own)
//!  ┌────────────────────────────────┐           ┌───────────────────────────────────────────────┐
//!  │ bridge tg-zero0 ── 2 taps ─────┼─ virtio ──┼─ a pair of cards that grant zero-copy: feed   │
//!  │ bridge tg-zero1 ── 2 taps ─────┼─ virtio ──┼─ the same: orders                             │
//!  │ bridge tg-copy0 ── 2 taps ─────┼─ virtio ──┼─ a pair of cards that refuse it: feed         │
//!  │ bridge tg-copy1 ── 2 taps ─────┼─ virtio ──┼─ the same: orders                             │
//!  └────────────────────────────────┘           └───────────────────────────────────────────────┘
//!    parts ─> image ─> machine ─ console, report ─> report        inside: frames, then the main job, on each
//! ```
//!
//! Two queues each. A card refuses where its device bypasses the platform's DMA (`iommu_platform=off`), and differs in
//! nothing else: so one machine compares the two.
//!
//! Must not know: how the gateway works inside, but for the sockets that receive and send its frames.

pub mod cards;

pub mod image;
pub mod links;
pub mod machine;
pub mod parts;

pub mod inside;

pub mod report;
