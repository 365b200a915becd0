//! The machine's cards: who is joined to whom, and which of them grant zero-copy.

use std::path::Path;

use anyhow::{Context, Result};

/// What a card's device grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Zero-copy.
    ZeroCopy,
    /// Copies alone.
    Copy,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::ZeroCopy, Self::Copy];

    /// Short, for names of interfaces and runs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ZeroCopy => "zero",
            Self::Copy => "copy",
        }
    }
}

/// What a pair of cards is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The feed.
    Feed,
    /// Orders.
    Orders,
}

/// One card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Card {
    /// What it grants.
    pub kind: Kind,
    /// What it is for.
    pub link: Link,
    /// The exchange's end of the pair (0), or the gateway's (1).
    pub end: u8,
}

/// Queues of each card.
pub const QUEUES: u32 = 2;

impl Card {
    /// All of a machine's.
    pub fn all() -> impl Iterator<Item = Self> {
        Kind::ALL.into_iter().flat_map(|kind| {
            [Link::Feed, Link::Orders]
                .into_iter()
                .flat_map(move |link| [0, 1].into_iter().map(move |end| Self { kind, link, end }))
        })
    }

    /// The name of the bridge that joins it to its peer.
    #[must_use]
    pub fn bridge(self) -> String {
        format!("tg-{}{}", self.kind.name(), self.link as u8)
    }

    /// The name of its tap on the host.
    #[must_use]
    pub fn tap(self) -> String {
        format!("{}{}", self.bridge(), if self.end == 0 { 'x' } else { 'g' })
    }

    /// Its hardware address: locally administered, and which card it is.
    #[must_use]
    pub fn mac(self) -> [u8; 6] {
        [0x02, 0x74, 0x67, self.kind as u8, self.link as u8, self.end]
    }

    /// Its hardware address as QEMU and Linux write it.
    #[must_use]
    pub fn mac_text(self) -> String {
        let octets = self.mac().map(|octet| format!("{octet:02x}"));
        octets.join(":")
    }

    /// What Linux calls it now, in this network namespace.
    ///
    /// # Errors
    /// There is no such card.
    pub fn interface(self) -> Result<String> {
        let folder = Path::new("/sys/class/net");
        let wanted = self.mac_text();
        for entry in std::fs::read_dir(folder)?.flatten() {
            let address = std::fs::read_to_string(entry.path().join("address"));
            if address.is_ok_and(|address| address.trim() == wanted) {
                return Ok(entry.file_name().to_string_lossy().into_owned());
            }
        }
        None.with_context(|| format!("no card has the address {wanted}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_card_has_a_name_and_an_address_of_its_own() {
        let taps: HashSet<String> = Card::all().map(Card::tap).collect();
        let macs: HashSet<[u8; 6]> = Card::all().map(Card::mac).collect();
        let bridges: HashSet<String> = Card::all().map(Card::bridge).collect();
        assert_eq!((taps.len(), macs.len(), bridges.len()), (8, 8, 4));
        // Linux has room for 15.
        assert!(taps.iter().all(|name| name.len() <= 15), "{taps:?}");
    }
}
