//! Where a session's exchange may be: its first address, and those to go on with where nothing comes of that.
//!
//! Thread:      order core, cold
//! Invariants:  an address at which the session was open for `STEADY_NS` is tried again first: an exchange that restarts
//!              comes back there. One that brings less than that, or swallows orders, is left for the next in turn.
//! Time:        the pause doubles with each round over all addresses, and no two accounts keep step: everybody comes
//!              back when an exchange does.

use std::net::{Ipv4Addr, SocketAddrV4};

/// First pause before another try to connect, ms; it doubles up to the last, and each may be a quarter longer.
const PAUSE_FIRST_MS: u32 = 100;
const PAUSE_LAST_MS: u32 = 5_000;
/// An exchange that closes sooner than this after it has let us in does so to everybody who tries again.
const STEADY_NS: u64 = 250_000_000;
const NOWHERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

/// The addresses, and whose turn it is. By default none: for a driver whose connection is what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    all: Box<[SocketAddrV4]>,
    current: usize,
    /// Tries since the session was open.
    tries: usize,
    /// Since when the session is open there.
    open_since_ns: Option<u64>,
    /// It lets us in, and does not do what it is for.
    is_useless: bool,
}

impl Addresses {
    /// Those to fall back on come after the first, in this order.
    #[must_use]
    pub fn new(first: SocketAddrV4, backups: &[SocketAddrV4]) -> Self {
        let all = std::iter::once(first).chain(backups.iter().copied());
        Self {
            all: all.collect(),
            current: 0,
            tries: 0,
            open_since_ns: None,
            is_useless: false,
        }
    }

    /// Where the connection stands, or is tried next.
    #[must_use]
    pub fn current(&self) -> SocketAddrV4 {
        self.all.get(self.current).copied().unwrap_or(NOWHERE)
    }

    /// Each, in turn.
    #[must_use]
    pub fn all(&self) -> &[SocketAddrV4] {
        &self.all
    }

    /// How many stand before it.
    #[must_use]
    pub fn index(&self) -> usize {
        self.current
    }

    /// The session is open there.
    pub(super) fn on_open(&mut self, now_ns: u64) {
        self.open_since_ns = Some(now_ns);
    }

    /// What is there lets us in and does not do what it is for.
    pub(super) fn on_useless(&mut self) {
        self.is_useless = true;
    }

    /// The connection is gone, or never came about; the pause before the next try, ms. `chance` is any number: it moves
    /// the pause by up to a quarter either way.
    pub(super) fn on_closed(&mut self, chance: u64, now_ns: u64) -> u32 {
        let since_ns = self.open_since_ns.take();
        let is_steady =
            since_ns.is_some_and(|since_ns| now_ns.saturating_sub(since_ns) >= STEADY_NS);
        if is_steady {
            self.tries = 0;
        }
        let rounds = self.tries.checked_div(self.all.len()).unwrap_or(0);
        if std::mem::take(&mut self.is_useless) || !is_steady {
            self.tries += 1;
            self.current = (self.current + 1) % self.all.len().max(1);
        }
        let doublings = u32::try_from(rounds).unwrap_or(u32::MAX).min(16);
        let pause_ms = (PAUSE_FIRST_MS << doublings).min(PAUSE_LAST_MS);
        let spread = u64::from(pause_ms / 2);
        let moved = u32::try_from(mixed(chance) % (spread + 1)).unwrap_or(0);
        pause_ms - pause_ms / 4 + moved
    }
}

/// Spreads the bits of a number (splitmix64's last steps).
fn mixed(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ number >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: u8) -> SocketAddrV4 {
        SocketAddrV4::new([10, 0, 0, host].into(), 12_000)
    }

    #[test]
    fn address_that_brings_nothing_is_left_and_one_that_was_open_is_tried_again() {
        let mut addresses = Addresses::new(address(1), &[address(2), address(3)]);
        let mut tried = Vec::new();
        for _ in 0..4 {
            tried.push(addresses.current());
            addresses.on_closed(0, 0);
        }
        assert_eq!(tried, [address(1), address(2), address(3), address(1)]);
        assert_eq!(addresses.current(), address(2));
        addresses.on_open(1);
        addresses.on_closed(0, 1 + STEADY_NS);
        assert_eq!(addresses.current(), address(2), "it restarts there");
        addresses.on_closed(0, 0);
        assert_eq!((addresses.current(), addresses.index()), (address(3), 2));
    }

    #[test]
    fn pause_doubles_with_each_round_and_begins_anew_once_the_session_was_open() {
        let mut addresses = Addresses::new(address(1), &[address(2)]);
        for expected_ms in [100, 100, 200, 200, 400, 400, 800, 800, 1600, 1600, 3200] {
            let pause_ms = addresses.on_closed(7, 0);
            let range = expected_ms * 3 / 4..=expected_ms * 5 / 4;
            assert!(range.contains(&pause_ms), "{pause_ms} for {expected_ms}");
        }
        for _ in 0..40 {
            assert!(addresses.on_closed(7, 0) <= PAUSE_LAST_MS * 5 / 4);
        }
        addresses.on_open(1);
        assert!(addresses.on_closed(7, 1 + STEADY_NS) <= 125);
    }

    #[test]
    fn address_that_lets_in_and_closes_or_swallows_is_left_and_the_pause_grows() {
        let mut addresses = Addresses::new(address(1), &[address(2)]);
        let mut pauses = Vec::new();
        for turn in 0..6 {
            let expected = address(1 + turn % 2);
            assert_eq!(addresses.current(), expected);
            addresses.on_open(1);
            pauses.push(addresses.on_closed(0, STEADY_NS));
        }
        assert!(pauses[4] > 2 * pauses[0], "{pauses:?}");
        addresses.on_open(1);
        addresses.on_useless();
        // What was open for hours has no old tries held against it.
        assert!(addresses.on_closed(0, u64::MAX) <= 125);
        assert_eq!(addresses.current(), address(2));
    }

    #[test]
    fn pauses_of_many_spread_over_the_half_that_is_theirs() {
        let pauses = (0..1_000).map(|chance| Addresses::new(address(1), &[]).on_closed(chance, 0));
        let pauses: std::collections::BTreeSet<u32> = pauses.collect();
        assert_eq!((pauses.first(), pauses.last()), (Some(&75), Some(&125)));
        assert_eq!(pauses.len(), 51);
    }
}
