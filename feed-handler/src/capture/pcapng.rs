//! pcapng, as much of it as writing a capture takes: a section, its interfaces, and packets with comments.
//!
//! Written by hand because what trades shall not carry a library for three kinds of blocks, and because the library that
//! reads captures here (`feeds`) then judges them, as `tshark` does (`world/tests/capture.rs`).
//!
//! Layout:      little-endian, stamps in nanoseconds.
//! When wrong:  an option that is longer than its length can say is left out.
//! Spec:        draft-ietf-opsawg-pcapng-02: 3.1 General Block Structure, 3.5 Options, 4.1 Section Header Block,
//!              4.2 Interface Description Block, 4.3 Enhanced Packet Block.

/// 4.1: the four characters `\n\r\r\n`, the same in either byte order.
pub(super) const SECTION_HEADER: u32 = 0x0A0D_0D0A;
/// 4.1: the byte-order magic; how it reads tells the section's byte order.
pub(super) const BYTE_ORDER_MAGIC: u32 = 0x1A2B_3C4D;
/// 4.1: a section length of -1: not specified.
const LENGTH_NOT_SPECIFIED: u64 = u64::MAX;
const INTERFACE_DESCRIPTION: u32 = 1;
pub(super) const ENHANCED_PACKET: u32 = 6;
/// The registry of link types: `LINKTYPE_ETHERNET`.
const LINK_ETHERNET: u16 = 1;
/// 4.2: a snap length of zero: no limit.
const SNAP_LENGTH_NONE: u32 = 0;

const END_OF_OPTIONS: u16 = 0;
pub(super) const COMMENT: u16 = 1;
const SECTION_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_TEXT: u16 = 3;
const INTERFACE_RESOLUTION: u16 = 9;
/// 4.2, `if_tsresol`: the top bit is clear, so the rest is a negative power of ten.
const NANOSECONDS: u8 = 9;
pub(super) const PACKET_DROPS: u16 = 4;

/// Appends the header of a section, with which a file begins.
pub(super) fn section(application: &str, comment: &str, out: &mut Vec<u8>) {
    block(SECTION_HEADER, out, |out| {
        out.extend_from_slice(&BYTE_ORDER_MAGIC.to_le_bytes());
        // Version 1.0.
        out.extend_from_slice(&1u16.to_le_bytes());
        out.extend_from_slice(&0u16.to_le_bytes());
        out.extend_from_slice(&LENGTH_NOT_SPECIFIED.to_le_bytes());
        option(COMMENT, comment.as_bytes(), out);
        option(SECTION_APPLICATION, application.as_bytes(), out);
        option(END_OF_OPTIONS, &[], out);
    });
}

/// Appends an Ethernet interface; packets name it by its place in the section, from 0.
pub(super) fn interface(name: &str, description: &str, out: &mut Vec<u8>) {
    block(INTERFACE_DESCRIPTION, out, |out| {
        out.extend_from_slice(&LINK_ETHERNET.to_le_bytes());
        out.extend_from_slice(&0u16.to_le_bytes());
        out.extend_from_slice(&SNAP_LENGTH_NONE.to_le_bytes());
        option(INTERFACE_NAME, name.as_bytes(), out);
        option(INTERFACE_TEXT, description.as_bytes(), out);
        option(INTERFACE_RESOLUTION, &[NANOSECONDS], out);
        option(END_OF_OPTIONS, &[], out);
    });
}

/// A captured frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct EnhancedPacket<'a> {
    /// Which interface brought it, by its place in the section.
    pub(super) interface: u32,
    /// When it arrived, ns since 1970.
    pub(super) arrived_realtime_ns: u64,
    /// All of it.
    pub(super) frame: &'a [u8],
    /// Packets lost between this one and the one before it; 0: not said.
    pub(super) drops: u64,
}

impl EnhancedPacket<'_> {
    /// Appends the packet, with these comments.
    pub(super) fn encode<'a>(&self, comments: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
        block(ENHANCED_PACKET, out, |out| {
            let len = u32::try_from(self.frame.len()).unwrap_or(u32::MAX);
            // 4.3: the upper 32 bits of the stamp come first, in either byte order.
            let high = u32::try_from(self.arrived_realtime_ns >> 32).unwrap_or(u32::MAX);
            let low = u32::try_from(self.arrived_realtime_ns & 0xFFFF_FFFF).unwrap_or(u32::MAX);
            for word in [self.interface, high, low, len, len] {
                out.extend_from_slice(&word.to_le_bytes());
            }
            padded(self.frame, out);
            for comment in comments {
                option(COMMENT, comment.as_bytes(), out);
            }
            if self.drops > 0 {
                option(PACKET_DROPS, &self.drops.to_le_bytes(), out);
            }
            option(END_OF_OPTIONS, &[], out);
        });
    }
}

/// 3.1: type, total length, body padded to 32 bits, total length again.
fn block(kind: u32, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let total = u32::try_from(out.len() - start + 4).unwrap_or(u32::MAX);
    out.extend_from_slice(&total.to_le_bytes());
    if let Some(place) = out.get_mut(length_at..length_at + 4) {
        place.copy_from_slice(&total.to_le_bytes());
    }
}

/// 3.5: code, length without padding, value padded to 32 bits.
fn option(code: u16, value: &[u8], out: &mut Vec<u8>) {
    let Ok(len) = u16::try_from(value.len()) else {
        return;
    };
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    padded(value, out);
}

fn padded(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(bytes);
    out.resize(out.len() + bytes.len().next_multiple_of(4) - bytes.len(), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_is_laid_out_as_the_draft_draws_it() {
        let packet = EnhancedPacket {
            interface: 1,
            arrived_realtime_ns: 0x0102_0304_0506_0708,
            frame: &[0xAA, 0xBB, 0xCC, 0xDD, 0xEE],
            drops: 3,
        };
        let mut out = Vec::new();
        packet.encode(["abc"].into_iter(), &mut out);
        let expected: &[&[u8]] = &[
            &[6, 0, 0, 0],
            &[64, 0, 0, 0],
            &[1, 0, 0, 0],
            &[4, 3, 2, 1],
            &[8, 7, 6, 5],
            &[5, 0, 0, 0],
            &[5, 0, 0, 0],
            &[0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0, 0, 0],
            &[1, 0, 3, 0, b'a', b'b', b'c', 0],
            &[4, 0, 8, 0, 3, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0],
            &[64, 0, 0, 0],
        ];
        assert_eq!(out, expected.concat());
    }

    #[test]
    fn option_that_is_too_long_is_left_out() {
        let (mut without, mut out) = (Vec::new(), Vec::new());
        let packet = EnhancedPacket {
            interface: 0,
            arrived_realtime_ns: 1,
            frame: &[],
            drops: 0,
        };
        let long = "x".repeat(1 << 16);
        packet.encode([].into_iter(), &mut without);
        packet.encode([long.as_str()].into_iter(), &mut out);
        assert_eq!(out, without);
        packet.encode([&long[1..]].into_iter(), &mut out);
        assert!(out.len() > 1 << 16);
    }
}
