//! Every place where bytes of others come in, and what must hold whatever they are.
//!
//! ```text
//!  fuzz (libFuzzer, nightly) ──┐
//!                              ├─> TARGETS ─> run(bytes): nothing, or a panic that says what does not hold
//!  tests/smoke.rs (stable) ────┘
//! ```
//!
//! A target is a function of bytes. Most take them twice: as they are, and as a script by which something right is built
//! and then turned, so that lengths, checksums and signatures do not stop them at the door. Where something simple can
//! judge, it does: what is decoded and encoded again is the same, pieces say what the whole says, sums are taken a second
//! time.
//!
//! Must not know: what makes the bytes up.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::too_many_lines,
    clippy::duplicate_mod,
    reason = "what does not hold is told by a panic; a table of what can happen is long; a test's script is included twice"
)]

pub mod captures;

mod input;
mod packets;
mod scratch;
mod seeds;

mod frame;
mod iex_tp;
mod messages;
mod mold;

mod feed;
mod iex;

mod glimpse;

mod answers;
mod soup;

mod orders;
mod session;

mod command;
mod configuration;
mod control;
mod files;
mod http;
mod journal;

/// A boundary.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// Takes one input.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them, as a packet meets them and then as an operator does.
pub const TARGETS: [Target; 17] = [
    Target {
        name: "frame",
        run: frame::run,
        seeds: frame::seeds,
    },
    Target {
        name: "mold",
        run: mold::run,
        seeds: mold::seeds,
    },
    Target {
        name: "iex_tp",
        run: iex_tp::run,
        seeds: iex_tp::seeds,
    },
    Target {
        name: "messages",
        run: messages::run,
        seeds: messages::seeds,
    },
    Target {
        name: "feed",
        run: feed::run,
        seeds: scripts,
    },
    Target {
        name: "iex",
        run: iex::run,
        seeds: scripts,
    },
    Target {
        name: "glimpse",
        run: glimpse::run,
        seeds: glimpse::seeds,
    },
    Target {
        name: "soup",
        run: soup::run,
        seeds: soup::seeds,
    },
    Target {
        name: "answers",
        run: answers::run,
        seeds: answers::seeds,
    },
    Target {
        name: "session",
        run: session::run,
        seeds: session::seeds,
    },
    Target {
        name: "orders",
        run: orders::run,
        seeds: orders::seeds,
    },
    Target {
        name: "files",
        run: files::run,
        seeds: files::seeds,
    },
    Target {
        name: "journal",
        run: journal::run,
        seeds: journal::seeds,
    },
    Target {
        name: "configuration",
        run: configuration::run,
        seeds: configuration::seeds,
    },
    Target {
        name: "control",
        run: control::run,
        seeds: control::seeds,
    },
    Target {
        name: "http",
        run: http::run,
        seeds: http::seeds,
    },
    Target {
        name: "command",
        run: command::run,
        seeds: command::seeds,
    },
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Scripts of several lengths, for what takes any bytes as one.
fn scripts() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(15);
    [0, 16, 64, 256, 1024]
        .iter()
        .map(|len| (0..*len).map(|_| random.u8(..)).collect())
        .collect()
}
