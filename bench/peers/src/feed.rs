//! The feed as the peers in Rust receive it by AF_XDP, and where their addresses are.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};
use feed_handler::xdp::{self, Mode, Rung, SocketOptions, Wanted, Watch, XdpSource};
use lab::peer::Arguments;

/// Opens the line that a peer is told. The watching end has to be kept.
///
/// # Errors
/// No interface with the peer's address, or no AF_XDP on it.
pub fn open(arguments: &Arguments) -> Result<(XdpSource, Watch)> {
    let own = Place::all()?
        .into_iter()
        .find(|place| place.address == arguments.own)
        .with_context(|| format!("no interface has the address {}", arguments.own))?;
    let opened = xdp::open(&xdp::Options {
        interface: own.interface,
        wanted: vec![Wanted {
            address: arguments.group,
            line: 0,
        }],
        mode: Mode::Auto,
        require: Rung::Generic,
        trusted_drivers: Vec::new(),
        queues: Vec::new(),
        allow_default_route: false,
        trial: Duration::ZERO,
        socket: SocketOptions {
            frames: 8192,
            frame_bytes: 2048,
            rx_ring: 4096,
            batch: 32,
            huge_pages: true,
            busy_poll_us: 0,
            busy_poll_budget: 64,
        },
    })
    .map_err(anyhow::Error::msg)?;
    opened.source.context("no AF_XDP here")
}

/// An address of this host, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The interface.
    pub interface: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Leading bits of the address that all on the same network have, 1 to 32.
    pub prefix_bits: u8,
}

impl Place {
    /// Every IPv4 address of this host.
    ///
    /// # Errors
    /// `ip` is not installed.
    pub fn all() -> Result<Vec<Self>> {
        let output = std::process::Command::new("ip")
            .args(["-o", "-4", "addr", "show"])
            .output()
            .context("running ip")?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().filter_map(Self::of_line).collect())
    }

    /// Reads "2: order0    inet 10.77.2.2/24 scope global order0".
    fn of_line(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace().skip(1);
        let interface = words.next()?.to_owned();
        let (address, bits) = words.nth(1)?.split_once('/')?;
        Some(Self {
            interface,
            address: address.parse().ok()?,
            prefix_bits: bits.parse().ok().filter(|bits| (1..=32).contains(bits))?,
        })
    }

    /// Whether another address is on the same network.
    #[must_use]
    pub fn is_beside(&self, other: Ipv4Addr) -> bool {
        let differing = u32::from(self.address) ^ u32::from(other);
        differing >> (32 - u32::from(self.prefix_bits)) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_ip_shows_them() {
        let line = "2: order0    inet 10.77.2.2/24 scope global order0\\       valid_lft forever";
        let place = Place::of_line(line).unwrap();
        assert_eq!(
            (&*place.interface, place.address, place.prefix_bits),
            ("order0", Ipv4Addr::new(10, 77, 2, 2), 24)
        );
        assert!(place.is_beside(Ipv4Addr::new(10, 77, 2, 1)));
        assert!(!place.is_beside(Ipv4Addr::new(10, 77, 1, 1)));
        for wrong in [
            "",
            "2: order0",
            "2: order0 inet 10.77.2.2/0",
            "2: order0 inet x/24",
        ] {
            assert_eq!(Place::of_line(wrong), None, "{wrong}");
        }
    }
}
