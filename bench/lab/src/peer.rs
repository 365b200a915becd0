//! A peer's process in the lab: what it is told, what it sends, and what it counted.
//!
//! Every peer, whoever wrote it, waits for the same two bytes of a packet and answers with the same
//! order, so that what differs is the way between.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use feeds::triggers;
use protocol::mold::Header;
use protocol::ouch::{AccountQuery, ClientOrderId, EnterOrder, TIF_IOC};
use protocol::soup::{self, HEADER_LEN, LoginRequest};
use protocol::types::{Price4, Qty, Seq, Side as BookSide, Symbol, UserRefNum};
use zerocopy::IntoBytes;

use crate::netns::{EXCHANGE, FEED_RECEIVER, GROUPS, Lab, PORT, Side};
use crate::process::Process;

/// A peer's program, ready to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The peer's name in reports.
    pub name: &'static str,
    /// The file.
    pub path: PathBuf,
}

/// Starts a peer and waits until it is logged in.
///
/// # Errors
/// It failed, or did not log in.
pub fn start(lab: &Lab, program: &Program, stop: &AtomicBool) -> Result<Process> {
    let mut command = lab.command(Side::Gateway, &program.path);
    command.args(Arguments::for_this_host().to_list());
    let mut peer = Process::start(program.name, command)?;
    peer.await_line("ready", Duration::from_secs(20), stop)?;
    Ok(peer)
}

/// Stops a peer, or workers, and gives the packets and orders that it counted.
///
/// # Errors
/// It failed, or told no counts.
pub fn end(peer: &mut Process, stop: &AtomicBool) -> Result<(u64, u64)> {
    peer.signal(libc::SIGTERM);
    if !peer.wait(Duration::from_secs(5), stop)? {
        bail!("a peer failed:\n{}", peer.said.join("\n"));
    }
    let counts = peer.said.iter().rev().find_map(|line| counts(line));
    counts.with_context(|| format!("a peer told no counts:\n{}", peer.said.join("\n")))
}

/// What a peer is told on its command line. Peers in Rust read it here, those in C in `peer.h`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The line.
    pub group: SocketAddrV4,
    /// Own address on it.
    pub own: Ipv4Addr,
    /// The exchange.
    pub exchange: SocketAddrV4,
    /// Locate code of triggers.
    pub locate: u16,
    /// CPU to run on.
    pub cpu: usize,
    /// What is sent first.
    pub login: Vec<u8>,
    /// What answers a trigger.
    pub order: Vec<u8>,
}

impl Arguments {
    fn for_this_host() -> Self {
        let [group, _] = GROUPS;
        Self {
            group,
            own: FEED_RECEIVER,
            exchange: SocketAddrV4::new(EXCHANGE, PORT),
            locate: triggers::LOCATE,
            // The last CPU, as the gateway takes.
            cpu: rt::cpu::allowed().last().copied().unwrap_or(0),
            login: login(),
            order: order(),
        }
    }

    fn to_list(&self) -> [String; 9] {
        [
            self.group.ip().to_string(),
            self.group.port().to_string(),
            self.own.to_string(),
            self.exchange.ip().to_string(),
            self.exchange.port().to_string(),
            self.locate.to_string(),
            self.cpu.to_string(),
            hex(&self.login),
            hex(&self.order),
        ]
    }

    /// Reads this program's own.
    ///
    /// # Errors
    /// Not the nine of `peer.h`.
    pub fn read() -> Result<Self> {
        Self::of_list(&std::env::args().skip(1).collect::<Vec<_>>())
    }

    fn of_list(list: &[String]) -> Result<Self> {
        let [
            group,
            port,
            own,
            exchange,
            exchange_port,
            locate,
            cpu,
            login,
            order,
        ] = list
        else {
            bail!("expected 9 arguments, got {}: see peer.h", list.len());
        };
        Ok(Self {
            group: SocketAddrV4::new(group.parse()?, port.parse()?),
            own: own.parse()?,
            exchange: SocketAddrV4::new(exchange.parse()?, exchange_port.parse()?),
            locate: locate.parse()?,
            cpu: cpu.parse()?,
            login: unhex(login)?,
            order: unhex(order)?,
        })
    }
}

/// Reads "packets N orders N".
fn counts(line: &str) -> Option<(u64, u64)> {
    let rest = line.strip_prefix("packets ")?;
    let (packets, orders) = rest.split_once(" orders ")?;
    Some((packets.parse().ok()?, orders.parse().ok()?))
}

/// What a peer sends to log in: the login, and a query whose answer tells the exchange that it is up.
#[must_use]
pub fn login() -> Vec<u8> {
    let request = LoginRequest::new("demo", "demo", "", Seq(0));
    let query = AccountQuery {
        kind: AccountQuery::KIND,
    };
    [
        framed(soup::kind::LOGIN_REQUEST, request.as_bytes()),
        framed(
            soup::kind::UNSEQUENCED,
            &encoded(|out| query.encode(&[], out)),
        ),
    ]
    .concat()
}

/// The constant order, with places for its reference number and for what caused it.
#[must_use]
pub fn order() -> Vec<u8> {
    let order = enter_order();
    framed(
        soup::kind::UNSEQUENCED,
        &encoded(|out| order.encode(&[], out)),
    )
}

/// The same as a message.
#[must_use]
pub fn enter_order() -> EnterOrder {
    EnterOrder {
        kind: EnterOrder::KIND,
        user_ref: UserRefNum(0).into(),
        side: BookSide::Buy as u8,
        qty: Qty(100).into(),
        symbol: Symbol::new(triggers::SYMBOL).unwrap_or(Symbol::BLANK),
        price: Price4(1_000_000).into(),
        time_in_force: TIF_IOC,
        display: b'Y',
        capacity: b'P',
        iso: b'N',
        cross: b'N',
        client_order_id: *b"00000000000000",
    }
}

fn encoded(encode: impl FnOnce(&mut [u8]) -> Option<usize>) -> Vec<u8> {
    let mut out = vec![0; 128];
    let len = encode(&mut out).unwrap_or(0);
    out.truncate(len);
    out
}

/// A payload in its SoupBinTCP packet.
#[must_use]
pub fn framed(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; HEADER_LEN + payload.len()];
    let written = soup::Packet { kind, payload }.encode(&mut out);
    debug_assert_eq!(
        written,
        Some(out.len()),
        "the room is as long as the packet"
    );
    out
}

/// Bytes as the peers' arguments carry them.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads what [`hex`] wrote.
///
/// # Errors
/// Not pairs of hexadecimal digits.
pub fn unhex(text: &str) -> Result<Vec<u8>> {
    let pair = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).context("not hexadecimal")?;
        u8::from_str_radix(pair, 16).with_context(|| format!("\"{pair}\" is not hexadecimal"))
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

/// Whether a MoldUDP64 packet's first message is of the triggers' symbol. Decodes nothing else.
#[inline]
#[must_use]
pub fn is_trigger(packet: &[u8], locate: u16) -> bool {
    const AT: usize = Header::LEN + 3;
    packet.get(AT..AT + 2) == Some(&locate.to_be_bytes())
}

/// The sequence number of a packet's first message.
#[inline]
#[must_use]
pub fn seq_of(packet: &[u8]) -> u64 {
    let bytes = packet.get(10..18).and_then(|bytes| bytes.try_into().ok());
    u64::from_be_bytes(bytes.unwrap_or_default())
}

/// The order that a Rust peer sends, patched for each trigger.
#[derive(Clone, Debug)]
pub struct Order {
    bytes: Vec<u8>,
    count: u32,
}

impl Order {
    /// From [`order`]'s bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, count: 0 }
    }

    /// The bytes for the next trigger.
    #[inline]
    pub fn next(&mut self, seq: u64) -> &[u8] {
        self.count += 1;
        if let Some(user_ref) = self.bytes.get_mut(HEADER_LEN + 1..HEADER_LEN + 5) {
            user_ref.copy_from_slice(&self.count.to_be_bytes());
        }
        // The last field in front of the length of the appendage.
        let id = ClientOrderId::new(0, 0, seq).encode();
        let end = self.bytes.len().saturating_sub(2);
        let place = self.bytes.get_mut(end.saturating_sub(id.len())..end);
        if let Some(place) = place.filter(|place| place.len() == id.len()) {
            place.copy_from_slice(&id);
        }
        &self.bytes
    }

    /// Orders so far.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use order_sim::exchange::origin_seq;

    use super::*;

    #[test]
    fn a_peer_reads_what_it_was_told() {
        let told = Arguments::for_this_host();
        assert_eq!(Arguments::of_list(&told.to_list()).unwrap(), told);
        assert!(Arguments::of_list(&told.to_list()[..8]).is_err());
    }

    #[test]
    fn the_exchange_reads_what_caused_a_peers_order() {
        let mut order = Order::new(unhex(&hex(&order())).unwrap());
        for (count, seq) in [(1, 5), (2, 0x00AB_CDEF_0123)] {
            let bytes = order.next(seq).to_vec();
            assert_eq!(origin_seq(&bytes[HEADER_LEN..]), Some(seq));
            assert_eq!(order.count(), count);
            assert_eq!(bytes[HEADER_LEN + 1..HEADER_LEN + 5], count.to_be_bytes());
        }
    }
}
