//! The machine's network on this host: taps with two queues, two to a bridge, in a namespace of their own.
//!
//! A hub inside QEMU has one queue; a tap has as many as asked for, and spreads flows over them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use lab::netns::{ip, remove_stale};

use crate::cards::Card;

/// The namespace. Dropped, it is removed.
#[derive(Debug)]
pub struct Links {
    namespace: String,
}

/// Frames that wait in a tap for the machine: more than are on their way at any time.
const WAITING_MAX: &str = "4096";

impl Links {
    /// Lays it.
    ///
    /// # Errors
    /// Not root, no `ip`, or a kernel without taps or bridges.
    pub fn lay() -> Result<Self> {
        remove_stale();
        let links = Self {
            namespace: format!("tg-{}-0-v", std::process::id()),
        };
        let name = &links.namespace;
        ip(&["netns", "add", name])
            .context("making a network namespace needs root and Debian's iproute2")?;
        for card in Card::all() {
            let (bridge, tap) = (card.bridge(), card.tap());
            if card.end == 0 {
                ip(&[
                    "-n",
                    name,
                    "link",
                    "add",
                    &bridge,
                    "type",
                    "bridge",
                    "mcast_snooping",
                    "0",
                ])
                .context("a bridge")?;
                ip(&["-n", name, "link", "set", &bridge, "up"])?;
            }
            ip(&[
                "-n",
                name,
                "tuntap",
                "add",
                "dev",
                &tap,
                "mode",
                "tap",
                "multi_queue",
            ])
            .context("a tap")?;
            ip(&["-n", name, "link", "set", &tap, "txqueuelen", WAITING_MAX])?;
            ip(&["-n", name, "link", "set", &tap, "master", &bridge, "up"])?;
        }
        Ok(links)
    }

    /// A command that runs in it.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace])
            .arg(program);
        command
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        // A failure leaves it to the next one.
        let _ = ip(&["netns", "delete", &self.namespace]);
    }
}
