//! The trial of an opened interface: do wanted frames arrive, and does the kernel still hear the rest?
//!
//! Drivers have granted zero-copy and then lost what they redirected, or what the program passed on. The
//! program's own counts say what was sent either way; sockets and a tap say what came.
//!
//! Path:        `open` -> trial -> the rung holds, or the next one is tried
//! Thread:      start-up

use std::time::Duration;

use rt::clock::monotonic_ns;

use super::program::{Program, Verdict};
use super::receiver::QueueWatch;
use super::socket::XskSocket;
use super::tap::PacketTap;

/// What a trial saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// Wanted frames arrived, and the kernel hears the rest (or nothing else came).
    Passed,
    /// No wanted frame came in time, so nothing is proven; the watchdog goes on watching.
    NothingSeen,
    /// No trial was asked for.
    Skipped,
}

/// Why a rung does not hold, and what an operator can do about it.
pub(super) type Refused = (String, &'static str);

/// A feed on trial, beside whatever other feeds the program serves.
pub(super) struct Watched<'a> {
    pub(super) program: &'a Program,
    pub(super) queues: &'a [QueueWatch],
}

impl Watched<'_> {
    /// Frames redirected to the feed since its sockets are there.
    fn sent(&self) -> u64 {
        let queues = self.queues.iter();
        queues.map(|queue| queue.redirected(self.program)).sum()
    }
}

/// Waits, at most `trial`, until wanted frames were seen to arrive and, where frames were passed on, the kernel was
/// seen to hear them. The frames stay in the rings for the feed stage.
pub(super) fn run(
    interface: &str,
    trial: Duration,
    watched: &Watched<'_>,
    sockets: &mut [XskSocket],
) -> Result<Trial, Refused> {
    if trial.is_zero() {
        return Ok(Trial::Skipped);
    }
    let plain = |e: std::io::Error| (e.to_string(), "a packet socket is needed for the trial");
    let tap = PacketTap::open(interface).map_err(plain)?;
    // What was passed on before the tap was open says nothing.
    let before = passed(watched.program);
    let mut look = || {
        let (passed, sent) = (passed(watched.program), watched.sent());
        let arrived = sockets.iter_mut().map(XskSocket::waiting).sum();
        tap.heard().map(|heard| Seen {
            sent,
            arrived,
            passed: passed - before,
            heard,
        })
    };
    let until = monotonic_ns() + u64::try_from(trial.as_nanos()).unwrap_or(u64::MAX);
    while monotonic_ns() < until {
        let seen = look().map_err(plain)?;
        if seen.sent > 0 && seen.arrived > 0 && (seen.passed == 0 || seen.heard > 0) {
            return Ok(Trial::Passed);
        }
        tap.wait(Duration::from_millis(1));
    }
    // A frame that came last may still be on its way through the driver.
    let mut seen = look().map_err(plain)?;
    tap.wait(LAST_FRAME);
    let settled = look().map_err(plain)?;
    (seen.arrived, seen.heard) = (settled.arrived, settled.heard);
    seen.judge()
}

/// How long a frame may take from the program to a socket.
const LAST_FRAME: Duration = Duration::from_millis(20);

/// What a trial has counted: by the program, and by those who should have got the frames.
#[derive(Clone, Copy, Debug)]
struct Seen {
    sent: u64,
    arrived: u32,
    passed: u64,
    heard: u64,
}

impl Seen {
    fn judge(&self) -> Result<Trial, Refused> {
        let Self {
            sent,
            arrived,
            passed,
            heard,
        } = *self;
        if sent > 0 && arrived == 0 {
            let why = format!("{sent} wanted frames were redirected and none arrived");
            return Err((
                why,
                "the driver drops redirected frames; try another rung or kernel",
            ));
        }
        if passed > 0 && heard == 0 {
            let why = format!("{passed} frames were passed on and the kernel heard none");
            return Err((
                why,
                "the driver loses frames that XDP passes; try generic mode",
            ));
        }
        Ok(if sent > 0 {
            Trial::Passed
        } else {
            Trial::NothingSeen
        })
    }
}

/// Frames that the program passed on.
fn passed(program: &Program) -> u64 {
    let all = Verdict::ALL.iter().zip(program.verdicts());
    let is_sent = |verdict| matches!(verdict, Verdict::Redirected | Verdict::RedirectedUnstamped);
    let passed = all.filter(|((verdict, ..), _)| !is_sent(*verdict));
    passed.map(|(_, frames)| frames).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trial_is_judged_by_what_arrived_and_what_was_heard() {
        let seen = |sent, arrived, passed, heard| {
            Seen {
                sent,
                arrived,
                passed,
                heard,
            }
            .judge()
        };
        assert_eq!(seen(0, 0, 0, 0), Ok(Trial::NothingSeen));
        assert_eq!(seen(0, 0, 5, 5), Ok(Trial::NothingSeen));
        assert_eq!(seen(3, 3, 0, 0), Ok(Trial::Passed));
        assert_eq!(seen(3, 1, 9, 2), Ok(Trial::Passed));
        let (why, _) = seen(3, 0, 0, 0).unwrap_err();
        assert_eq!(why, "3 wanted frames were redirected and none arrived");
        let (why, _) = seen(3, 3, 4, 0).unwrap_err();
        assert_eq!(why, "4 frames were passed on and the kernel heard none");
    }
}
