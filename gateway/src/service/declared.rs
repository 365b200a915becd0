//! Every counter that a gateway can have, without a gateway, at zero: what the metrics reference is made of.
//!
//! A service registers only what its configuration asks for; a test holds what a running one tells against this list.

use std::sync::Arc;

use feed_handler::capture::counters::CaptureCounters;
use feed_handler::capture::tap::TapCounters;
use feed_handler::feed::{Counters, LineCounters};
use feed_handler::own_books::OwnBookCounters;
use feed_handler::recovery::counters::RecoveryCounters;
use feed_handler::udp::UdpCounters;
use feed_handler::xdp::{Verdict, Watch};

use super::certificate::CertificateCounters;
use super::control::ControlCounters;
use super::feed;
use super::sandbox::SandboxCounters;
use crate::core_loop::{ClockCounters, RehearsalCounters};
use crate::journal::inlet::InletCounters;
use crate::journal::writer::WriterCounters;
use crate::order::entry::EntryCounters;
use crate::order::transport::delegated;
use crate::strategy::StrategyCounters;
use crate::telemetry::{Count, Kind};

/// The counters of each kind.
pub(crate) fn counters() -> Vec<(Kind, Vec<Count>)> {
    let capture = CaptureCounters {
        tap: Arc::new(TapCounters::default()),
        ..CaptureCounters::default()
    };
    vec![
        (Kind::Feed, feed::counts(&Counters::default())),
        (Kind::Line, LineCounters::default().list()),
        (Kind::Socket, UdpCounters::default().list()),
        (Kind::Socket, of_xdp_sockets()),
        (Kind::Interface, of_interfaces()),
        (Kind::Recovery, RecoveryCounters::default().list()),
        (Kind::Capture, capture.list()),
        (Kind::Strategy, StrategyCounters::default().list()),
        (Kind::Strategy, OwnBookCounters::default().list()),
        (Kind::Session, EntryCounters::default().list()),
        (Kind::Session, delegated::declared()),
        (Kind::Journal, InletCounters::default().list()),
        (Kind::Journal, WriterCounters::default().list()),
        (Kind::Core, ClockCounters::default().list()),
        (Kind::Core, RehearsalCounters::default().list()),
        (Kind::Control, ControlCounters::default().list()),
        (Kind::Control, CertificateCounters::default().list()),
        (Kind::Control, SandboxCounters::default().list()),
    ]
}

/// Those of a feed's AF_XDP sockets.
pub(super) fn of_xdp_sockets() -> Vec<Count> {
    let mut counts = Watch::declared();
    counts.push(queue_stalls(0));
    counts
}

/// Those of an interface: its program's verdicts, and its sockets over all feeds.
pub(super) fn of_interfaces() -> Vec<Count> {
    let verdicts = Verdict::ALL.iter();
    let verdicts = verdicts.map(|(_, name, text)| (*name, *text, 0));
    verdicts.chain(of_xdp_sockets()).collect()
}

/// What housekeeping counts of queues.
pub(super) fn queue_stalls(stalls: u64) -> Count {
    let text = "Seconds in which the program sent frames to a socket and its feed took none.";
    ("queue_stalls", text, stalls)
}
