//! What a capture says beside its frames: text for people, which `feeds::capture` reads back.
//!
//! | where | what | example |
//! |---|---|---|
//! | section | [`Scale`] | `time = monotonic clock + 1764171234000000000 ns; ...` |
//! | packet | [`Turn`] | `seen +834 ns, packet 1 of 3` |
//! | packet | what was announced before it | `gap: 3 messages from 1001 on are lost` |

use std::fmt;

use super::tap::Header;

/// From the gateway's clock to a file's: one number for the whole file, so that all stamps of one file lie as they lay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Real time minus monotonic time, ns.
    pub realtime_offset_ns: i64,
}

const SCALE_BEFORE: &str = "time = monotonic clock + ";
const SCALE_AFTER: &str = " ns; interface N brought line N of the feed, from 0";

impl Scale {
    /// A stamp of the gateway as the file has it.
    #[must_use]
    pub fn realtime_ns(self, monotonic_ns: u64) -> u64 {
        monotonic_ns.saturating_add_signed(self.realtime_offset_ns)
    }

    /// And back.
    #[must_use]
    pub fn monotonic_ns(self, realtime_ns: u64) -> u64 {
        realtime_ns.saturating_add_signed(self.realtime_offset_ns.saturating_neg())
    }

    /// Reads a section's comment.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.strip_prefix(SCALE_BEFORE)?.strip_suffix(SCALE_AFTER)?;
        Some(Self {
            realtime_offset_ns: number.parse().ok()?,
        })
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { realtime_offset_ns } = self;
        write!(f, "{SCALE_BEFORE}{realtime_offset_ns}{SCALE_AFTER}")
    }
}

/// How the feed core met a packet: in which turn, and when that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// From the packet's wire stamp, which is its time in the file, to when it was seen, ns; `None`: it had no wire
    /// stamp, and its time in the file is when it was seen.
    pub seen_delta_ns: Option<i64>,
    /// Its place among the packets of that turn, from 0.
    pub place: u8,
    /// Packets that the turn took.
    pub batch: u8,
}

const NO_STAMP: &str = "no wire stamp";

impl Turn {
    pub(super) fn of(header: &Header) -> Self {
        let delta = header.seen_ns.wrapping_sub(header.wire_ns).cast_signed();
        Self {
            seen_delta_ns: (header.wire_ns != 0).then_some(delta),
            place: header.place,
            batch: header.batch,
        }
    }

    /// Reads a packet's comment; `None`: it says something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (seen, place) = text.split_once(", packet ")?;
        let (place, batch) = place.split_once(" of ")?;
        let seen_delta_ns = if seen == NO_STAMP {
            None
        } else {
            let number = seen.strip_prefix("seen ")?.strip_suffix(" ns")?;
            Some(number.parse().ok()?)
        };
        Some(Self {
            seen_delta_ns,
            place: place.parse::<u8>().ok()?.checked_sub(1)?,
            batch: batch.parse().ok()?,
        })
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seen_delta_ns {
            Some(delta) => write!(f, "seen {delta:+} ns")?,
            None => f.write_str(NO_STAMP)?,
        }
        let place = self.place.saturating_add(1);
        write!(f, ", packet {place} of {}", self.batch)
    }
}

/// What the feed announced between two packets.
pub(super) fn announced(before: &Header, header: &Header) -> Vec<String> {
    let mut said = Vec::new();
    if header.gaps > before.gaps {
        let lost = header.messages_lost.saturating_sub(before.messages_lost);
        let first = header.gap_first;
        said.push(match header.gaps - before.gaps {
            1 => format!("gap: {lost} messages from {first} on are lost"),
            gaps => format!("{gaps} gaps: {lost} messages are lost, the last from {first} on"),
        });
    }
    if header.ended > before.ended {
        said.push("the feed's session is over".to_owned());
    }
    if header.begun > before.begun {
        said.push("the feed's session has begun".to_owned());
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_back() {
        for seen_delta_ns in [None, Some(0), Some(834), Some(-5), Some(i64::MAX)] {
            for place in [0, 2, 254] {
                let turn = Turn {
                    seen_delta_ns,
                    place,
                    batch: 255,
                };
                assert_eq!(Turn::parse(&turn.to_string()), Some(turn), "{turn}");
            }
        }
        for realtime_offset_ns in [0, -5, 1_764_171_234_000_000_001] {
            let scale = Scale { realtime_offset_ns };
            assert_eq!(Scale::parse(&scale.to_string()), Some(scale), "{scale}");
        }
        for other in [
            "",
            "gap: 3 messages from 1 on are lost",
            "seen +1 ns",
            "time",
        ] {
            assert_eq!((Turn::parse(other), Scale::parse(other)), (None, None));
        }
    }

    #[test]
    fn stamps_go_to_the_files_scale_and_back() {
        let scale = Scale {
            realtime_offset_ns: 1_764_171_234_000_000_001,
        };
        let there = scale.realtime_ns(77);
        assert_eq!(
            (there, scale.monotonic_ns(there)),
            (1_764_171_234_000_000_078, 77)
        );
    }

    #[test]
    fn what_was_announced_between_two_packets_is_said_once() {
        let before = Header {
            gaps: 1,
            messages_lost: 10,
            ..Header::default()
        };
        let mut header = Header {
            gaps: 2,
            messages_lost: 13,
            gap_first: 1001,
            begun: 1,
            ended: 1,
            ..before
        };
        let said = announced(&before, &header);
        let expected = [
            "gap: 3 messages from 1001 on are lost",
            "the feed's session is over",
            "the feed's session has begun",
        ];
        assert_eq!(said, expected);
        header.gaps = 3;
        let said = announced(&before, &header);
        assert_eq!(
            said[0],
            "2 gaps: 3 messages are lost, the last from 1001 on"
        );
        assert!(announced(&header, &header).is_empty());
    }
}
