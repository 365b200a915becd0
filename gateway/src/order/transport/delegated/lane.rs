//! Whether an order's bytes may leave before the kernel's own copy of them, and with which numbers.
//!
//! ```text
//!  what the kernel sent last ─┐
//!  what the exchange said ────┼─> judge ─> numbers of the segment, or why the ordinary path is taken
//!  bytes that it has taken ───┘
//! ```
//!
//! Path:        transport -> lane -> segment
//! Thread:      order core, hot
//! Invariants:  a segment is only ever sent at the number that the kernel will give the same bytes: nothing written
//!              before waits in the kernel. It never goes beyond the exchange's window, acknowledges no more than the kernel has
//!              acknowledged, and its clock is the kernel's last: neither ahead of it nor behind.
//! When wrong:  any doubt is a [`Detour`]: the bytes go by the kernel alone.
//! Spec:        RFC 9293, 3.4 (numbers wrap); RFC 7323, 2.2 (windows are scaled), 5.3 (a clock that goes back)

use rt::counters;

use super::segment::{HEADER_BYTES, Numbers, Timestamps};

/// Segments of full size that may be on their way unacknowledged: what a new connection may send (RFC 6928).
/// More waits for the kernel, which knows the path.
const IN_FLIGHT_SEGMENTS: u32 = 10;

counters! {
    /// What leaves past the kernel's TCP, and why the rest does not.
    pub struct DelegatedCounters {
        /// Segments that left before the kernel's copy of them.
        delegated_sent,
        /// Bytes in segments that left before the kernel's copy of them.
        delegated_bytes,
        /// Writes by the ordinary path: there is no connection on the interface, or its first packet was not seen.
        ordinary_unseen,
        /// Writes by the ordinary path: what was written before has not left the kernel yet.
        ordinary_behind,
        /// Writes by the ordinary path: the kernel is at what was written before.
        ordinary_writing,
        /// Writes by the ordinary path: the kernel was sending at that moment.
        ordinary_moving,
        /// Writes by the ordinary path: the exchange's window has no room for it.
        ordinary_window,
        /// Writes by the ordinary path: too much is on its way that the exchange has not acknowledged.
        ordinary_in_flight,
        /// Writes by the ordinary path: more bytes than a segment has.
        ordinary_long,
        /// Writes by the ordinary path: the kernel's segments have options that ours would not have.
        ordinary_options,
        /// Writes by the ordinary path: all frames are with the kernel.
        ordinary_no_frame,
        /// Writes by the ordinary path: the kernel did not send the frame; it may leave later, as a copy.
        ordinary_refused,
        /// Writes by the ordinary path: the kernel has sent something again, and what was on its way then is not acknowledged.
        ordinary_again,
        /// Writes by the ordinary path: one of the programs was taken off its interface.
        ordinary_detached,
        /// Connections that leave the host by another interface than the lane's.
        connections_elsewhere,
        /// Connections without the lane: the kernel refused a route, an address, or a congestion control that does not pace.
        connections_refused,
    }
}

/// Why the ordinary path is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detour {
    Unseen,
    Behind,
    Writing,
    Moving,
    Window,
    InFlight,
    Long,
    Options,
    NoFrame,
    Refused,
    Again,
    Detached,
}

impl DelegatedCounters {
    /// Counts what was not delegated.
    #[inline]
    pub(super) fn count(&self, detour: Detour) {
        match detour {
            Detour::Unseen => &self.ordinary_unseen,
            Detour::Behind => &self.ordinary_behind,
            Detour::Writing => &self.ordinary_writing,
            Detour::Moving => &self.ordinary_moving,
            Detour::Window => &self.ordinary_window,
            Detour::InFlight => &self.ordinary_in_flight,
            Detour::Long => &self.ordinary_long,
            Detour::Options => &self.ordinary_options,
            Detour::NoFrame => &self.ordinary_no_frame,
            Detour::Refused => &self.ordinary_refused,
            Detour::Again => &self.ordinary_again,
            Detour::Detached => &self.ordinary_detached,
        }
        .increment();
    }
}

/// What the kernel's TCP sent last, as the program that sees it leave has written it down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KernelState {
    /// The number of the connection's first byte.
    pub(super) start: u32,
    /// The number behind the last byte that has left.
    pub(super) next: u32,
    /// Of its last packet: acknowledgement, window, timestamps, bytes of options.
    pub(super) ack: u32,
    pub(super) window: u32,
    pub(super) clock: u32,
    pub(super) echo: u32,
    pub(super) options: u32,
    /// Which header it is; 0: none was seen.
    pub(super) header_version: u32,
    /// When this is acknowledged, what the kernel sent again is over.
    pub(super) again: u32,
    pub(super) header: [u8; HEADER_BYTES],
}

/// What the exchange said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerState {
    pub(super) ack: u32,
    /// As it stands on the wire, not scaled.
    pub(super) window: u16,
}

/// What is known of a connection from its beginning on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    /// By how much the exchange's windows are scaled.
    pub(super) window_shift: u8,
    /// Bytes of a full segment.
    pub(super) segment_bytes: u32,
}

/// What is to be sent: how many bytes, behind how many that the kernel has taken since the connection began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Modulo 2^32, as numbers are.
    pub(super) taken: u32,
    pub(super) len: usize,
}

impl Connection {
    /// The numbers of the segment that may leave now.
    #[inline]
    pub(super) fn judge(
        &self,
        kernel: &KernelState,
        peer: Option<PeerState>,
        waiting: Waiting,
    ) -> Result<Numbers, Detour> {
        let peer = peer.ok_or(Detour::Unseen)?;
        if kernel.header_version == 0 {
            return Err(Detour::Unseen);
        }
        // The first bytes are the login, whose password is no capture's to keep.
        if waiting.taken == 0 {
            return Err(Detour::Unseen);
        }
        let from = kernel.start.wrapping_add(waiting.taken);
        if kernel.next != from {
            return Err(Detour::Behind);
        }
        let len = u32::try_from(waiting.len).map_err(|_| Detour::Long)?;
        if len > self.segment_bytes {
            return Err(Detour::Long);
        }
        let upto = from.wrapping_add(len);
        // It has more than was ever sent on this connection: nothing that it says is to be built on.
        if is_after(peer.ack, from) {
            return Err(Detour::Behind);
        }
        // Its congestion window is small then, so that the copy would wait while the segment adds to what is too much.
        if is_after(kernel.again, peer.ack) {
            return Err(Detour::Again);
        }
        let in_flight = upto.wrapping_sub(peer.ack);
        if in_flight > u32::from(peer.window) << self.window_shift {
            return Err(Detour::Window);
        }
        if in_flight > IN_FLIGHT_SEGMENTS * self.segment_bytes {
            return Err(Detour::InFlight);
        }
        let clock = match kernel.options {
            0 => None,
            12 => Some(Timestamps {
                value: kernel.clock,
                echo: kernel.echo,
            }),
            _ => return Err(Detour::Options),
        };
        Ok(Numbers {
            from,
            ack: kernel.ack,
            window: u16::try_from(kernel.window).map_err(|_| Detour::Options)?,
            clock,
        })
    }
}

/// Whether the first number lies behind the second, as TCP counts (RFC 9293, 3.4).
#[inline]
fn is_after(first: u32, second: u32) -> bool {
    second.wrapping_sub(first) > u32::MAX / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECTION: Connection = Connection {
        window_shift: 7,
        segment_bytes: 1448,
    };

    fn kernel(start: u32, sent: u32) -> KernelState {
        KernelState {
            start,
            next: start.wrapping_add(sent),
            ack: 77,
            window: 502,
            clock: 1000,
            echo: 900,
            options: 12,
            header_version: 1,
            again: start.wrapping_sub(1 << 16),
            header: [0; HEADER_BYTES],
        }
    }

    fn peer(ack: u32, window: u16) -> Option<PeerState> {
        Some(PeerState { ack, window })
    }

    fn judge(kernel: &KernelState, ack: u32, len: usize) -> Result<u32, Detour> {
        let waiting = Waiting { taken: 100, len };
        let judged = CONNECTION.judge(kernel, peer(ack, 500), waiting);
        judged.map(|numbers| numbers.from)
    }

    #[test]
    fn segment_has_the_kernels_next_number_its_last_acknowledgement_window_and_clock() {
        let waiting = Waiting {
            taken: 100,
            len: 49,
        };
        let numbers = CONNECTION.judge(&kernel(5, 100), peer(105, 500), waiting);
        let clock = Some(Timestamps {
            value: 1000,
            echo: 900,
        });
        let expected = Numbers {
            from: 105,
            ack: 77,
            window: 502,
            clock,
        };
        assert_eq!(numbers, Ok(expected));
        let mut without = kernel(5, 100);
        without.options = 0;
        let numbers = CONNECTION.judge(&without, peer(105, 500), waiting);
        assert_eq!(numbers.map(|numbers| numbers.clock), Ok(None));
    }

    #[test]
    fn numbers_wrap_at_every_place() {
        for start in (0..300).map(|before| 0u32.wrapping_sub(before)) {
            let from = start.wrapping_add(100);
            for ack in [start, start.wrapping_add(50), from] {
                assert_eq!(judge(&kernel(start, 100), ack, 49), Ok(from), "{start}");
            }
            assert_eq!(judge(&kernel(start, 99), start, 49), Err(Detour::Behind));
            assert_eq!(judge(&kernel(start, 101), start, 49), Err(Detour::Behind));
        }
    }

    #[test]
    fn nothing_goes_past_the_kernel_before_its_first_packet_was_seen() {
        let unseen = KernelState {
            header_version: 0,
            ..kernel(5, 100)
        };
        assert_eq!(judge(&unseen, 105, 49), Err(Detour::Unseen));
        let waiting = Waiting {
            taken: 100,
            len: 49,
        };
        let unheard = CONNECTION.judge(&kernel(5, 100), None, waiting);
        assert_eq!(unheard, Err(Detour::Unseen));
    }

    #[test]
    fn window_of_the_exchange_is_scaled_and_never_passed() {
        let judged = |window, len| {
            let waiting = Waiting { taken: 100, len };
            let judged = CONNECTION.judge(&kernel(5, 100), peer(55, window), waiting);
            judged.map(|_| ())
        };
        // 50 bytes are on their way, and a window of 2 stands for 256.
        assert_eq!(judged(2, 206), Ok(()));
        assert_eq!(judged(2, 207), Err(Detour::Window));
        assert_eq!(judged(0, 1), Err(Detour::Window));
    }

    #[test]
    fn what_is_on_its_way_is_bounded() {
        let far = 100u32.wrapping_sub(IN_FLIGHT_SEGMENTS * CONNECTION.segment_bytes);
        let last = far.wrapping_add(5 + 49);
        assert_eq!(judge(&kernel(5, 100), last, 49), Ok(105));
        let beyond = last.wrapping_sub(1);
        assert_eq!(judge(&kernel(5, 100), beyond, 49), Err(Detour::InFlight));
    }

    #[test]
    fn after_something_was_sent_again_the_kernel_sends_until_all_of_it_is_acknowledged() {
        let again = KernelState {
            again: 90,
            ..kernel(5, 100)
        };
        assert_eq!(judge(&again, 89, 49), Err(Detour::Again));
        assert_eq!(judge(&again, 90, 49), Ok(105));
    }

    #[test]
    fn acknowledgement_of_more_than_was_sent_is_doubted() {
        assert_eq!(judge(&kernel(5, 100), 106, 49), Err(Detour::Behind));
    }

    #[test]
    fn more_than_a_segment_and_unknown_options_are_the_kernels() {
        assert_eq!(judge(&kernel(5, 100), 105, 1448), Ok(105));
        assert_eq!(judge(&kernel(5, 100), 105, 1449), Err(Detour::Long));
        let other = KernelState {
            options: 24,
            ..kernel(5, 100)
        };
        assert_eq!(judge(&other, 105, 49), Err(Detour::Options));
    }
}
