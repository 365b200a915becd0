//! By which interfaces operators are logged in: what must not be turned lightly.
//!
//! A login is a TCP connection of a process that this one descends from, one to port 22, or what `SSH_CONNECTION` says; its
//! interface is the one by which packets to its other end leave.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Host, Tree};

impl Host {
    /// Interfaces of logins. `ssh` is `SSH_CONNECTION` of the environment.
    #[must_use]
    pub fn login_interfaces(&self, ssh: Option<&str>) -> BTreeSet<String> {
        let mut peers = BTreeSet::new();
        let named = ssh.and_then(|ssh| ssh.split(' ').next()?.parse::<IpAddr>().ok());
        peers.extend(named.map(plain));
        let inodes = sockets_of_ancestors(&self.tree);
        for file in ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"] {
            let table = self.tree.text(file).unwrap_or_default();
            for line in table.lines().skip(1) {
                if let Some(connection) = connection(line)
                    && (connection.port == SSH || inodes.contains(connection.inode))
                {
                    peers.insert(connection.peer);
                }
            }
        }
        let by = |peer: &IpAddr| match peer {
            IpAddr::V4(peer) => by_v4(&self.tree, *peer),
            IpAddr::V6(peer) => by_v6(&self.tree, *peer),
        };
        peers.iter().filter_map(by).collect()
    }
}

const SSH: u16 = 22;
/// Processes between this one and the first: far fewer in life.
const ANCESTORS_MAX: usize = 64;

/// Inodes of the sockets of the processes that this one descends from, the first of all apart.
fn sockets_of_ancestors(tree: &Tree) -> BTreeSet<String> {
    let mut inodes = BTreeSet::new();
    let mut of = "self".to_owned();
    for _ in 0..ANCESTORS_MAX {
        let parent = tree.field(&format!("/proc/{of}/status"), "PPid");
        let Some(parent) = parent.filter(|parent| parent != "0" && parent != "1") else {
            break;
        };
        let folder = format!("/proc/{parent}/fd");
        for fd in tree.names(&folder) {
            let target = tree.link(&format!("{folder}/{fd}")).unwrap_or_default();
            let inode = target.strip_prefix("socket:[");
            inodes.extend(inode.map(|inode| inode.trim_end_matches(']').to_owned()));
        }
        of = parent;
    }
    inodes
}

struct Connection<'a> {
    port: u16,
    peer: IpAddr,
    inode: &'a str,
}

/// A line of the kernel's table: number, local and other address, state (01: established), ..., the socket's inode.
fn connection(line: &str) -> Option<Connection<'_>> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, local, other, "01", _, _, _, _, _, inode, ..] = fields[..] else {
        return None;
    };
    let (_, port) = local.split_once(':')?;
    let (peer, _) = other.split_once(':')?;
    Some(Connection {
        port: u16::from_str_radix(port, 16).ok()?,
        peer: address(peer)?,
        inode,
    })
}

/// An address as words in the host's order, eight hexadecimal digits each.
fn address(digits: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(digits.get(at * 8..at * 8 + 8)?, 16).ok();
    if digits.len() == 8 {
        return Some(IpAddr::V4(Ipv4Addr::from(word(0)?.to_ne_bytes())));
    }
    let mut octets = [0; 16];
    for (at, place) in octets.chunks_exact_mut(4).enumerate() {
        place.copy_from_slice(&word(at)?.to_ne_bytes());
    }
    Some(plain(IpAddr::V6(Ipv6Addr::from(octets))))
}

/// IPv4 inside IPv6 is IPv4.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn by_v4(tree: &Tree, peer: Ipv4Addr) -> Option<String> {
    let table = tree.text("/proc/thread-self/net/route")?;
    let peer = u32::from_ne_bytes(peer.octets());
    let routes = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [name, destination, _, _, _, _, _, mask, ..] = fields[..] else {
            return None;
        };
        let number = |digits| u32::from_str_radix(digits, 16).ok();
        let (destination, mask) = (number(destination)?, number(mask)?);
        (peer & mask == destination).then(|| (mask.count_ones(), name.to_owned()))
    });
    routes.max_by_key(|(bits, _)| *bits).map(|(_, name)| name)
}

fn by_v6(tree: &Tree, peer: Ipv6Addr) -> Option<String> {
    let table = tree.text("/proc/thread-self/net/ipv6_route")?;
    let routes = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [destination, bits, .., name] = fields[..] else {
            return None;
        };
        let destination = u128::from_str_radix(destination, 16).ok()?;
        let bits = u32::from_str_radix(bits, 16).ok()?;
        let mask = u128::MAX
            .checked_shl(128u32.saturating_sub(bits))
            .unwrap_or(0);
        let is_of = u128::from(peer) & mask == destination && name != "lo";
        is_of.then(|| (bits, name.to_owned()))
    });
    routes.max_by_key(|(bits, _)| *bits).map(|(_, name)| name)
}
