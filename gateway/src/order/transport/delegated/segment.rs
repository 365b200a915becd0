//! The segment that leaves before the kernel's: Ethernet, IPv4, TCP, and an order's bytes.
//!
//! ```text
//!  0            14       34                      54        66
//!  [ Ethernet ] [ IPv4 ] [ ports, numbers, sum ] [ clock ] [ bytes
//! ```
//!
//! Path:        lane -> segment -> packet memory
//! Thread:      order core, hot
//! Invariants:  Ethernet and IPv4 are those of the kernel's last segment, lengths, identification and checksum apart.
//!              No byte is written beyond the room.
//! Spec:        RFC 791, 3.1; RFC 9293, 3.1; RFC 7323, 3.2; RFC 1071

/// Bytes of Ethernet and IPv4 without options.
pub(super) const HEADER_BYTES: usize = 34;
const ETHERNET_BYTES: usize = 14;
/// Bytes of TCP without options.
const TCP_BYTES: usize = 20;
/// Bytes of TCP's timestamps, and what stands in front of them: two no-operations, kind and length.
pub(super) const CLOCK_BYTES: usize = 12;
const CLOCK_OPTION: [u8; 4] = [1, 1, 8, 10];
const ACK_AND_PUSH: u8 = 0x18;
/// TCP's number among IPv4's protocols.
const TCP: u64 = 6;

/// What is the same in all segments of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Template {
    /// Ethernet and IPv4 as the kernel wrote them last.
    pub(super) header: [u8; HEADER_BYTES],
    /// Ours and the exchange's, as on the wire.
    pub(super) ports: [u8; 4],
}

/// Number, acknowledgement, window and clock of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    /// Of its first byte.
    pub(super) from: u32,
    /// Of the next byte that we expect.
    pub(super) ack: u32,
    /// As it stands on the wire, not scaled.
    pub(super) window: u16,
    /// Where the connection has them.
    pub(super) clock: Option<Timestamps>,
}

/// TSval and TSecr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timestamps {
    pub(super) value: u32,
    pub(super) echo: u32,
}

/// Writes a segment; its length, or `None`: it does not fit the room, or IPv4's length.
#[inline]
pub(super) fn write(
    room: &mut [u8],
    template: &Template,
    numbers: &Numbers,
    bytes: &[u8],
) -> Option<usize> {
    let options = numbers.clock.map_or(0, |_| CLOCK_BYTES);
    let tcp_len = TCP_BYTES + options + bytes.len();
    let len = HEADER_BYTES + tcp_len;
    let total = u16::try_from(len - ETHERNET_BYTES).ok()?;
    let (header, tcp) = room.get_mut(..len)?.split_first_chunk_mut()?;
    write_header(header, &template.header, total);
    write_tcp(tcp, template, numbers, bytes)?;
    let addresses = sum(header.get(26..)?);
    let sum = fold(addresses + TCP + u64::try_from(tcp_len).ok()? + sum(tcp));
    tcp.get_mut(16..18)?.copy_from_slice(&(!sum).to_be_bytes());
    Some(len)
}

#[inline]
fn write_header(header: &mut [u8; HEADER_BYTES], template: &[u8; HEADER_BYTES], total: u16) {
    *header = *template;
    let (words, _) = header.as_chunks_mut::<2>();
    // Length, identification, checksum. The identification says nothing in what is no part of anything larger
    // (RFC 6864, 4.1).
    for (at, word) in [(8, total), (9, 0), (12, 0)] {
        if let Some(place) = words.get_mut(at) {
            *place = word.to_be_bytes();
        }
    }
    let ip = words.get(ETHERNET_BYTES / 2..).unwrap_or_default();
    let check = !fold(sum(ip.as_flattened()));
    if let Some(place) = words.get_mut(12) {
        *place = check.to_be_bytes();
    }
}

/// All but the checksum, which is left 0.
#[inline]
fn write_tcp(tcp: &mut [u8], template: &Template, numbers: &Numbers, bytes: &[u8]) -> Option<()> {
    let (fixed, rest) = tcp.split_first_chunk_mut::<TCP_BYTES>()?;
    let words = rest.len() - bytes.len() + TCP_BYTES;
    let [f0, f1, f2, f3] = numbers.from.to_be_bytes();
    let [a0, a1, a2, a3] = numbers.ack.to_be_bytes();
    let [w0, w1] = numbers.window.to_be_bytes();
    let [p0, p1, p2, p3] = template.ports;
    // The length stands in words of four bytes in the upper half of its byte.
    let offset = u8::try_from(words << 2).ok()?;
    *fixed = [
        p0,
        p1,
        p2,
        p3,
        f0,
        f1,
        f2,
        f3,
        a0,
        a1,
        a2,
        a3,
        offset,
        ACK_AND_PUSH,
        w0,
        w1,
        0,
        0,
        0,
        0,
    ];
    let mut rest = rest;
    if let Some(clock) = numbers.clock {
        let (option, after) = rest.split_first_chunk_mut::<CLOCK_BYTES>()?;
        let [o0, o1, o2, o3] = CLOCK_OPTION;
        let [v0, v1, v2, v3] = clock.value.to_be_bytes();
        let [e0, e1, e2, e3] = clock.echo.to_be_bytes();
        *option = [o0, o1, o2, o3, v0, v1, v2, v3, e0, e1, e2, e3];
        rest = after;
    }
    rest.copy_from_slice(bytes);
    Some(())
}

/// The sum of words of two bytes in the wire's order; a last odd byte counts as a word's upper half.
#[inline]
fn sum(bytes: &[u8]) -> u64 {
    let (words, odd) = bytes.as_chunks::<2>();
    let words = words
        .iter()
        .map(|word| u64::from(u16::from_be_bytes(*word)));
    words.sum::<u64>() + odd.first().map_or(0, |byte| u64::from(*byte) << 8)
}

/// Adds what was carried out of 16 bits until nothing is.
#[inline]
fn fold(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Linux 6.18 put on the wire for [`BYTES`], with checksums of its own; tshark finds both correct.
    #[rustfmt::skip]
    const KERNELS: [u8; 66] = [
        0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x07, 0x08, 0x00, 0x45, 0x00,
        0x00, 0x4B, 0x42, 0x13, 0x40, 0x00, 0x40, 0x06, 0xD4, 0x80, 0x0A, 0x09, 0x08, 0x07, 0x0A, 0x09,
        0x08, 0x01, 0xE8, 0xA8, 0x12, 0x34, 0xE2, 0xE3, 0x4F, 0x34, 0x00, 0x00, 0x03, 0xE9, 0x80, 0x18,
        0xFA, 0xF0, 0xEB, 0xCC, 0x00, 0x00, 0x01, 0x01, 0x08, 0x0A, 0x4D, 0xD7, 0xDB, 0x57, 0x11, 0x22,
        0x33, 0x44,
    ];
    const BYTES: &[u8] = b"An odd number of bytes.";

    fn template() -> Template {
        // As of another segment: lengths, identification and checksum are not taken over.
        let mut header = *KERNELS.first_chunk().unwrap();
        header[16..20].fill(0xAA);
        header[24..26].fill(0xAA);
        let ports = *KERNELS[34..].first_chunk().unwrap();
        Template { header, ports }
    }

    const NUMBERS: Numbers = Numbers {
        from: 0xE2E3_4F34,
        ack: 1001,
        window: 0xFAF0,
        clock: Some(Timestamps {
            value: 0x4DD7_DB57,
            echo: 0x1122_3344,
        }),
    };

    #[test]
    fn segment_is_what_the_kernel_sends_for_the_same_bytes() {
        let mut room = [0x55; 128];
        assert_eq!(write(&mut room, &template(), &NUMBERS, BYTES), Some(89));
        let mut expected = [&KERNELS[..], BYTES].concat();
        // But for the identification, and IPv4's checksum with it (RFC 1624, 3).
        expected[18..20].copy_from_slice(&[0, 0]);
        expected[24..26].copy_from_slice(&[0x16, 0x94]);
        assert_eq!(room[..89], expected);
        assert!(room[89..].iter().all(|byte| *byte == 0x55));
    }

    #[test]
    fn checksums_hold_for_every_length_with_and_without_a_clock() {
        let bytes: Vec<u8> = (0..1460u32).map(|at| at.to_le_bytes()[0] ^ 0x5A).collect();
        for clock in [NUMBERS.clock, None] {
            let numbers = Numbers { clock, ..NUMBERS };
            for len in 0..=1448 {
                let mut room = [0; 2048];
                let len = write(&mut room, &template(), &numbers, &bytes[..len]).unwrap();
                assert_eq!(fold(sum(&room[14..34])), 0xFFFF, "IPv4, {len}");
                let pseudo = sum(&room[26..34]) + 6 + (len - 34) as u64;
                assert_eq!(fold(pseudo + sum(&room[34..len])), 0xFFFF, "TCP, {len}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_the_room_is_not_written() {
        for room in 0..89 {
            let mut room = vec![0; room];
            assert_eq!(write(&mut room, &template(), &NUMBERS, BYTES), None);
        }
        let mut room = vec![0; 1 << 17];
        let bytes = vec![0; 65_484];
        assert_eq!(write(&mut room, &template(), &NUMBERS, &bytes), None);
        assert!(write(&mut room, &template(), &NUMBERS, &bytes[..65_483]).is_some());
    }
}
