//! Ethernet, 802.1Q, IPv4 and UDP: from a frame to the datagram it carries, and back.
//!
//! ```text
//!  0    6    12    (+4 per tag)   14          34+options     42
//!  | dst | src | [8100 tci]* | 0800 | IPv4 header | UDP header | payload | (trailer)
//! ```
//!
//! Invariants:  a datagram's payload lies inside the bytes given; bytes after the IPv4 total length
//!              (Ethernet padding, captured trailers) are not part of it.
//! When wrong:  every way not to be a whole UDP datagram is one [`NotUdp`]; the caller counts it.
//! Spec:        IEEE 802.3, 802.1Q; RFC 791, RFC 768, RFC 1071, RFC 1112 (multicast addresses).

use core::net::{Ipv4Addr, SocketAddrV4};

use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::{FromBytes, IntoBytes};

use crate::wire::layout;

layout! {
    /// Destination, source and the type of what follows (or the first tag).
    Ethernet, 14 {
        0 destination: [u8; 6],
        6 source: [u8; 6],
        12 ether_type: U16,
    }

    /// What follows an 802.1Q tag type.
    VlanTag, 4 {
        0 control: U16,
        2 ether_type: U16,
    }

    /// IPv4 header without options.
    Ipv4, 20 {
        0 version_and_words: u8,
        1 service: u8,
        2 total_len: U16,
        4 identification: U16,
        6 fragment: U16,
        8 ttl: u8,
        9 protocol: u8,
        10 checksum: U16,
        12 source: U32,
        16 destination: U32,
    }

    /// UDP header.
    Udp, 8 {
        0 source_port: U16,
        2 destination_port: U16,
        4 len: U16,
        6 checksum: U16,
    }
}

/// Ether type of IPv4.
pub const ETHER_IPV4: u16 = 0x0800;
/// Ether type of a customer VLAN tag.
pub const ETHER_VLAN: u16 = 0x8100;
/// Ether type of a service VLAN tag (802.1ad).
pub const ETHER_SERVICE_VLAN: u16 = 0x88A8;
/// IPv4 protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;
/// More-fragments flag and fragment offset: anything set makes the packet a fragment.
const FRAGMENT_MASK: u16 = 0x3FFF;
/// Tags that are looked through: one of the provider, one of the customer.
pub const VLAN_TAGS_MAX: usize = 2;

/// Why a frame carries no whole UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotUdp {
    /// Ends before a header or before the length that a header states.
    Truncated,
    /// Another ether type than IPv4, or more than two VLAN tags.
    NotIpv4,
    /// IPv4 version or header length that cannot be.
    BadIpv4,
    /// A fragment: its rest would have to be awaited, which the hot path never does.
    Fragment,
    /// Another protocol than UDP.
    NotUdp,
    /// A UDP length shorter than its header or longer than the packet.
    BadUdp,
    /// A checksum that does not fit.
    Checksum,
}

/// A UDP datagram inside a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub source: SocketAddrV4,
    /// Whom it is for.
    pub destination: SocketAddrV4,
    /// Innermost VLAN identifier, if the frame was tagged.
    pub vlan: Option<u16>,
    /// The UDP payload.
    pub payload: &'a [u8],
    ip: &'a [u8],
    udp: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Finds the datagram in an Ethernet frame.
    ///
    /// # Errors
    /// The reason why there is none.
    #[inline]
    pub fn parse(frame: &'a [u8]) -> Result<Self, NotUdp> {
        let (ethernet, mut rest) =
            Ethernet::ref_from_prefix(frame).map_err(|_| NotUdp::Truncated)?;
        let mut ether_type = ethernet.ether_type.get();
        let mut vlan = None;
        for _ in 0..VLAN_TAGS_MAX {
            if ether_type != ETHER_VLAN && ether_type != ETHER_SERVICE_VLAN {
                break;
            }
            let (tag, inner) = VlanTag::ref_from_prefix(rest).map_err(|_| NotUdp::Truncated)?;
            vlan = Some(tag.control.get() & 0x0FFF);
            ether_type = tag.ether_type.get();
            rest = inner;
        }
        if ether_type != ETHER_IPV4 {
            return Err(NotUdp::NotIpv4);
        }
        Ok(Self {
            vlan,
            ..Self::parse_ipv4(rest)?
        })
    }

    /// Finds the datagram in a frame, if its checksums fit: what a receiver that the kernel does not check for takes.
    ///
    /// # Errors
    /// The reason why there is none.
    #[inline]
    pub fn parse_whole(frame: &'a [u8]) -> Result<Self, NotUdp> {
        let datagram = Self::parse(frame)?;
        if datagram.checksums_fit() {
            Ok(datagram)
        } else {
            Err(NotUdp::Checksum)
        }
    }

    /// Finds the datagram in an IPv4 packet (raw IP captures, VLAN already taken off).
    ///
    /// # Errors
    /// The reason why there is none.
    #[inline]
    pub fn parse_ipv4(packet: &'a [u8]) -> Result<Self, NotUdp> {
        let (ip, _) = Ipv4::ref_from_prefix(packet).map_err(|_| NotUdp::Truncated)?;
        let header_len = usize::from(ip.version_and_words & 0x0F) * 4;
        let total_len = usize::from(ip.total_len.get());
        if ip.version_and_words >> 4 != 4 || header_len < Ipv4::LEN || total_len < header_len {
            return Err(NotUdp::BadIpv4);
        }
        let packet = packet.get(..total_len).ok_or(NotUdp::Truncated)?;
        if ip.fragment.get() & FRAGMENT_MASK != 0 {
            return Err(NotUdp::Fragment);
        }
        if ip.protocol != PROTOCOL_UDP {
            return Err(NotUdp::NotUdp);
        }
        let (ip_bytes, segment) = packet
            .split_at_checked(header_len)
            .ok_or(NotUdp::Truncated)?;
        let (udp, _) = Udp::ref_from_prefix(segment).map_err(|_| NotUdp::Truncated)?;
        let segment = segment
            .get(..usize::from(udp.len.get()))
            .ok_or(NotUdp::BadUdp)?;
        let payload = segment.get(Udp::LEN..).ok_or(NotUdp::BadUdp)?;
        Ok(Self {
            source: SocketAddrV4::new(Ipv4Addr::from_bits(ip.source.get()), udp.source_port.get()),
            destination: SocketAddrV4::new(
                Ipv4Addr::from_bits(ip.destination.get()),
                udp.destination_port.get(),
            ),
            vlan: None,
            payload,
            ip: ip_bytes,
            udp: segment,
        })
    }

    /// Whether both checksums fit. A UDP checksum of zero means "none". One that holds the sum of the
    /// pseudo-header alone was left for a card to finish: a local socket sent the frame through a virtual
    /// pair, and its bytes have not been on a wire.
    #[inline]
    #[must_use]
    pub fn checksums_fit(&self) -> bool {
        let (Ok((ip, _)), Ok((udp, _))) = (
            Ipv4::ref_from_prefix(self.ip),
            Udp::ref_from_prefix(self.udp),
        ) else {
            return false;
        };
        // All of it in the host's byte order: sums of both orders are each other's, turned (RFC 1071,
        // section 2 (B)), and all ones and zero are the same either way.
        let native = |number: u16| u64::from(u16::from_ne_bytes(number.to_be_bytes()));
        let addresses = words(ip.source.as_bytes()) + words(ip.destination.as_bytes());
        let pseudo = addresses + native(u16::from(PROTOCOL_UDP)) + native(udp.len.get());
        let said = native(udp.checksum.get());
        let udp_fits = said == 0
            || narrow(add(pseudo, words(self.udp))) == 0xFFFF
            || said == u64::from(narrow(pseudo));
        narrow(words(self.ip)) == 0xFFFF && udp_fits
    }
}

/// Addresses for the frames of one stream; builds frames with right lengths and checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameBuilder {
    /// Sender's hardware address.
    pub source_mac: [u8; 6],
    /// Receiver's hardware address; see [`multicast_mac`].
    pub destination_mac: [u8; 6],
    /// VLAN identifier, if frames are to be tagged.
    pub vlan: Option<u16>,
    /// Sender.
    pub source: SocketAddrV4,
    /// Receiver.
    pub destination: SocketAddrV4,
    /// Hops allowed; market data stays on its network, so 1 is common.
    pub ttl: u8,
}

impl FrameBuilder {
    /// Bytes in front of the payload.
    #[must_use]
    pub fn header_len(&self) -> usize {
        let tag = if self.vlan.is_some() { VlanTag::LEN } else { 0 };
        Ethernet::LEN + tag + Ipv4::LEN + Udp::LEN
    }

    /// Writes one frame into `out` and returns its length; `None` when it does not fit there or in
    /// an IPv4 packet.
    #[must_use]
    pub fn build(&self, payload: &[u8], out: &mut [u8]) -> Option<usize> {
        let frame_len = self.header_len() + payload.len();
        let out = out.get_mut(..frame_len)?;
        let udp_len = u16::try_from(Udp::LEN + payload.len()).ok()?;
        let total_len = u16::try_from(Ipv4::LEN + Udp::LEN + payload.len()).ok()?;
        let ether_type = if self.vlan.is_some() {
            ETHER_VLAN
        } else {
            ETHER_IPV4
        };
        let ethernet = Ethernet {
            destination: self.destination_mac,
            source: self.source_mac,
            ether_type: U16::new(ether_type),
        };
        let (head, mut rest) = out.split_at_mut_checked(Ethernet::LEN)?;
        ethernet.write_to(head).ok()?;
        if let Some(vlan) = self.vlan {
            let tag = VlanTag {
                control: U16::new(vlan),
                ether_type: U16::new(ETHER_IPV4),
            };
            let (head, tail) = rest.split_at_mut_checked(VlanTag::LEN)?;
            tag.write_to(head).ok()?;
            rest = tail;
        }
        let mut ip = Ipv4 {
            version_and_words: 0x45,
            service: 0,
            total_len: U16::new(total_len),
            identification: U16::new(0),
            fragment: U16::new(0x4000),
            ttl: self.ttl,
            protocol: PROTOCOL_UDP,
            checksum: U16::new(0),
            source: U32::new(self.source.ip().to_bits()),
            destination: U32::new(self.destination.ip().to_bits()),
        };
        ip.checksum = U16::new(!fold(sum(0, ip.as_bytes())));
        let mut udp = Udp {
            source_port: U16::new(self.source.port()),
            destination_port: U16::new(self.destination.port()),
            len: U16::new(udp_len),
            checksum: U16::new(0),
        };
        let pseudo = sum(pseudo_sum(&ip, udp_len), udp.as_bytes());
        // RFC 768: a computed zero is sent as all ones, because zero means "no checksum".
        let checksum = match !fold(sum(pseudo, payload)) {
            0 => 0xFFFF,
            checksum => checksum,
        };
        udp.checksum = U16::new(checksum);
        let (head, rest) = rest.split_at_mut_checked(Ipv4::LEN)?;
        ip.write_to(head).ok()?;
        let (head, body) = rest.split_at_mut_checked(Udp::LEN)?;
        udp.write_to(head).ok()?;
        body.copy_from_slice(payload);
        Some(frame_len)
    }
}

/// The hardware address that an IPv4 multicast group maps to (RFC 1112 section 6.4).
#[must_use]
pub fn multicast_mac(group: Ipv4Addr) -> [u8; 6] {
    let [_, b, c, d] = group.octets();
    [0x01, 0x00, 0x5E, b & 0x7F, c, d]
}

/// Adds `bytes` to a one's complement sum of big-endian words. The sum of four bytes at a time in the
/// host's order, folded and turned, is the same (RFC 1071, section 2 (B)); at most 65,535 bytes are
/// summed, so 64 bits never overflow.
#[inline]
fn sum(start: u32, bytes: &[u8]) -> u32 {
    start + u32::from(u16::from_be_bytes(narrow(words(bytes)).to_ne_bytes()))
}

/// The words of eight bytes, in the host's order, added up, each carry added in again; what is missing of
/// the last one is zero.
#[inline]
fn words(bytes: &[u8]) -> u64 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut wide = 0;
    for eight in eights {
        wide = add(wide, u64::from_ne_bytes(*eight));
    }
    if rest.is_empty() {
        return wide;
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    add(wide, u64::from_ne_bytes(last))
}

/// One's complement addition.
#[inline]
fn add(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u64::from(carry)
}

/// A sum of words as one of sixteen bits, every carry added in again.
#[inline]
fn narrow(wide: u64) -> u16 {
    let half = (wide & 0xFFFF_FFFF) + (wide >> 32);
    let quarter = (half & 0xFFFF) + (half >> 16 & 0xFFFF) + (half >> 32);
    fold(u32::try_from(quarter).unwrap_or(u32::MAX))
}

fn pseudo_sum(ip: &Ipv4, udp_len: u16) -> u32 {
    sum(sum(0, ip.source.as_bytes()), ip.destination.as_bytes())
        + u32::from(PROTOCOL_UDP)
        + u32::from(udp_len)
}

fn fold(sum: u32) -> u16 {
    let once = (sum & 0xFFFF) + (sum >> 16);
    let twice = (once & 0xFFFF) + (once >> 16);
    u16::try_from(twice).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILDER: FrameBuilder = FrameBuilder {
        source_mac: [2, 0, 0, 0, 0, 1],
        destination_mac: [1, 0, 0x5E, 0x36, 0x0C, 0x6F],
        vlan: Some(141),
        source: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 50_000),
        destination: SocketAddrV4::new(Ipv4Addr::new(233, 54, 12, 111), 26_477),
        ttl: 1,
    };

    fn built(builder: &FrameBuilder, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0; 2048];
        let len = builder.build(payload, &mut out).unwrap();
        out.truncate(len);
        out
    }

    #[test]
    fn built_frame_parses_back_with_right_checksums() {
        for vlan in [None, Some(141)] {
            for payload in [&b""[..], b"x", b"odd", b"even"] {
                let frame = built(&FrameBuilder { vlan, ..BUILDER }, payload);
                let datagram = Datagram::parse(&frame).unwrap();
                assert_eq!(datagram.payload, payload);
                assert_eq!(datagram.source, BUILDER.source);
                assert_eq!(datagram.destination, BUILDER.destination);
                assert_eq!(datagram.vlan, vlan);
                assert!(datagram.checksums_fit());
            }
        }
    }

    #[test]
    fn checksum_of_rfc_1071_example() {
        assert_eq!(
            fold(sum(0, &[0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7])),
            0xDDF2
        );
    }

    #[test]
    fn any_changed_byte_of_a_datagram_is_seen() {
        let plain = FrameBuilder {
            vlan: None,
            ..BUILDER
        };
        for payload in [&b"odd"[..], b"even", b"five!", b"sixsix", b"sevens!"] {
            let frame = built(&plain, payload);
            assert!(Datagram::parse(&frame).unwrap().checksums_fit());
            // Addresses and everything behind them, but for the UDP length, which parsing sees.
            for at in (26..38).chain(40..frame.len()) {
                for bit in 0..8 {
                    let mut damaged = frame.clone();
                    damaged[at] ^= 1 << bit;
                    assert!(!Datagram::parse(&damaged).unwrap().checksums_fit(), "{at}");
                }
            }
        }
    }

    #[test]
    fn checksum_that_is_absent_or_left_to_the_card_is_no_fault() {
        let plain = FrameBuilder {
            vlan: None,
            ..BUILDER
        };
        let mut frame = built(&plain, b"payload");
        let pseudo = {
            let (ip, _) = Ipv4::ref_from_prefix(&frame[14..]).unwrap();
            fold(pseudo_sum(ip, 8 + 7))
        };
        for said in [0, pseudo] {
            frame[40..42].copy_from_slice(&said.to_be_bytes());
            assert!(Datagram::parse(&frame).unwrap().checksums_fit());
        }
        frame[41] ^= 1;
        assert!(!Datagram::parse(&frame).unwrap().checksums_fit());
    }

    #[test]
    fn options_are_skipped_and_trailer_ignored() {
        let mut frame = built(
            &FrameBuilder {
                vlan: None,
                ..BUILDER
            },
            b"payload",
        );
        // Two words of options: header length 7 words, total length 8 more.
        frame[14] = 0x47;
        frame[17] += 8;
        frame.splice(34..34, [1; 8]);
        frame.extend_from_slice(b"trailer");
        assert_eq!(Datagram::parse(&frame).unwrap().payload, b"payload");
    }

    #[test]
    fn each_reason_is_told_apart() {
        let good = built(
            &FrameBuilder {
                vlan: None,
                ..BUILDER
            },
            b"payload",
        );
        let with = |at: usize, value: u8| {
            let mut frame = good.clone();
            frame[at] = value;
            frame
        };
        assert_eq!(Datagram::parse(&with(13, 6)), Err(NotUdp::NotIpv4));
        assert_eq!(Datagram::parse(&with(14, 0x65)), Err(NotUdp::BadIpv4));
        assert_eq!(Datagram::parse(&with(14, 0x44)), Err(NotUdp::BadIpv4));
        assert_eq!(Datagram::parse(&with(20, 0x20)), Err(NotUdp::Fragment));
        assert_eq!(Datagram::parse(&with(21, 0x01)), Err(NotUdp::Fragment));
        assert_eq!(Datagram::parse(&with(23, 6)), Err(NotUdp::NotUdp));
        assert_eq!(Datagram::parse(&with(39, 7)), Err(NotUdp::BadUdp));
        assert_eq!(Datagram::parse(&with(39, 200)), Err(NotUdp::BadUdp));
    }

    #[test]
    fn truncation_at_every_length_is_refused() {
        let frame = built(&BUILDER, b"payload");
        for len in 0..frame.len() {
            assert!(
                Datagram::parse(&frame[..len]).is_err(),
                "accepted {len} bytes"
            );
        }
    }

    #[test]
    fn third_tag_is_not_looked_through() {
        let mut frame = built(&BUILDER, b"payload");
        for _ in 0..2 {
            frame.splice(12..12, [0x81, 0x00, 0x00, 0x05]);
        }
        assert_eq!(Datagram::parse(&frame), Err(NotUdp::NotIpv4));
    }

    #[test]
    fn group_maps_to_its_hardware_address() {
        let mac = multicast_mac(Ipv4Addr::new(233, 182, 12, 111));
        assert_eq!(mac, [0x01, 0x00, 0x5E, 0x36, 0x0C, 0x6F]);
    }
}
