//! A feed: its lines, how frames come in, memory of its books. Each key's range stands beside it.

#![expect(missing_docs, reason = "default.toml is the manual of these fields")]

use std::net::SocketAddrV4;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Capture, Found, Recovery, Snapshot, power_of_two};

/// Ten minutes: a feed that may be silent for longer is not watched.
const STALE_MS_MAX: u64 = 600_000;
/// Copies of a feed: venues send two, and a firm may carry each over several providers.
const LINES_MAX: usize = 8;

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    pub venue: Venue,
    pub receive: Receive,
    pub lines: Vec<Line>,
    pub gap_timeout_us: u64,
    pub stale_ms: u64,
    pub af_xdp: AfXdp,
    pub udp: Udp,
    pub books: Books,
    pub recovery: Recovery,
    pub snapshot: Snapshot,
    pub capture: Capture,
}

impl Feed {
    /// What is out of range by itself, under the key of this section.
    pub(crate) fn check(&self, key: &str, found: &mut Vec<Found>) {
        if !(1..=LINES_MAX).contains(&self.lines.len()) {
            let text = format!("{} lines: expected 1 to {LINES_MAX}", self.lines.len());
            found.push((format!("{key}.lines"), text));
        }
        if !(1..=STALE_MS_MAX).contains(&self.stale_ms)
            || self.stale_ms * 1000 <= self.gap_timeout_us
        {
            let text = format!(
                "{}: expected 1 to {STALE_MS_MAX}, and more than gap_timeout_us = {} µs",
                self.stale_ms, self.gap_timeout_us
            );
            found.push((format!("{key}.stale_ms"), text));
        }
        for line in &self.lines {
            if line.interface.is_empty() && self.receive == Receive::AfXdp {
                let text = format!(
                    "{}: af_xdp needs the interface, expected interface = \"NAME\"",
                    line.address
                );
                found.push((format!("{key}.lines"), text));
            }
        }
        for (at, line) in self.lines.iter().enumerate() {
            if self.lines.iter().take(at).any(|other| other == line) {
                let text = format!("{} is there twice: expected each line once", line.address);
                found.push((format!("{key}.lines"), text));
            }
        }
        self.check_recovery(key, found);
        self.capture.check(&format!("{key}.capture"), found);
        let x = &self.af_xdp;
        power_of_two(&format!("{key}.af_xdp.frames"), u64::from(x.frames), found);
        power_of_two(
            &format!("{key}.af_xdp.rx_ring"),
            u64::from(x.rx_ring),
            found,
        );
        if x.frame_bytes != 2048 && x.frame_bytes != 4096 {
            let text = format!("{}: expected 2048 or 4096", x.frame_bytes);
            found.push((format!("{key}.af_xdp.frame_bytes"), text));
        }
        if !(1..=256).contains(&x.batch) {
            let text = format!("{}: expected 1 to 256 packets", x.batch);
            found.push((format!("{key}.af_xdp.batch"), text));
        }
        if x.rx_ring > x.frames {
            let text = format!(
                "{}: expected at most {key}.af_xdp.frames = {}",
                x.rx_ring, x.frames
            );
            found.push((format!("{key}.af_xdp.rx_ring"), text));
        }
        let books = &self.books;
        for (name, value) in [
            ("orders_max", u64::from(books.orders_max)),
            ("levels_max", u64::from(books.levels_max)),
        ] {
            if value == 0 {
                found.push((
                    format!("{key}.books.{name}"),
                    "0: expected at least 1".into(),
                ));
            }
        }
    }

    /// Servers, and what is out of range about asking them.
    fn check_recovery(&self, key: &str, found: &mut Vec<Found>) {
        if self.venue != Venue::Nasdaq && !self.snapshot.servers.is_empty() {
            let text = "only venue = \"nasdaq\" has snapshots; expected no servers";
            found.push((format!("{key}.snapshot.servers"), text.into()));
        }
        self.recovery.check(&format!("{key}.recovery"), found);
        self.snapshot.check(&format!("{key}.snapshot"), found);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Venue {
    Nasdaq,
    Iex,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Receive {
    AfXdp,
    Udp,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub address: SocketAddrV4,
    #[serde(default)]
    pub interface: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AfXdp {
    pub mode: Mode,
    pub require: Rung,
    pub trusted_drivers: Vec<String>,
    pub queues: Vec<u32>,
    pub allow_default_route: bool,
    pub trial_ms: u64,
    pub frames: u32,
    pub frame_bytes: u32,
    pub rx_ring: u32,
    pub batch: u32,
    pub busy_poll_us: u32,
    pub busy_poll_budget: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    Auto,
    Native,
    Generic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    ZeroCopy,
    NativeCopy,
    Generic,
    KernelSocket,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Udp {
    pub block_us: u32,
    pub receive_buffer_bytes: usize,
    pub busy_poll_us: u32,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Books {
    pub orders_max: u32,
    pub levels_max: u32,
}
