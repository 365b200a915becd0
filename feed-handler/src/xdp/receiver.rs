//! AF_XDP sockets as a source of packets, and the view of them that housekeeping keeps.
//!
//! Thread:      `XdpSource`: feed core, hot; `Watch`: housekeeping
//! System calls: one wake-up a turn at most (`socket`), of one queue in its turn, and never before packets
//!              that wait are handled: busy polling an empty queue takes microseconds.
//! When wrong:  a frame that is no whole UDP datagram of a line is counted by cause. The program lets
//!              through what its headers say is one, so a line's own malformed packets are counted here.

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use protocol::frame::{Datagram, NotUdp};
use rt::counters;

use super::program::{FeedQueue, Program, QUEUES_MAX, Verdict, Wanted};
use super::socket::XskSocket;
use super::sockopt::{Statistics, statistics};
use crate::source::{Packet, PacketSource};

counters! {
    /// What came out of AF_XDP sockets.
    pub struct XdpCounters {
        /// Frames received.
        frames,
        /// Bytes in frames received.
        bytes,
        /// Times that the kernel was asked for more: each busy poll is one.
        wake_ups,
        /// Frames without the program's stamp.
        unstamped,
        /// Frames shorter than a length inside them states.
        truncated,
        /// Frames that are not IPv4.
        not_ipv4,
        /// Frames with an impossible IPv4 header.
        bad_ipv4,
        /// IPv4 fragments.
        fragments,
        /// Frames that are not UDP.
        not_udp,
        /// Frames with an impossible UDP length.
        bad_udp,
        /// Datagrams whose IPv4 or UDP checksum is wrong.
        checksum_wrong,
        /// Datagrams for a destination that is no line.
        not_wanted,
    }
}

/// The sockets of one feed.
#[derive(Debug)]
pub struct XdpSource {
    queues: Vec<Queue>,
    /// The queue whose turn it is to be woken.
    next_wake: usize,
    /// Keeps groups joined; never read.
    memberships: Vec<socket2::Socket>,
}

/// One receive queue of one interface.
#[derive(Debug)]
struct Queue {
    socket: XskSocket,
    /// One for each queue, so that a watchdog can tell which stands still.
    counters: Arc<XdpCounters>,
    /// What the interface's program lets through. A feed has a line or two, so they are compared in turn.
    wanted: Arc<[Wanted]>,
}

impl XdpSource {
    pub(super) fn new(
        sockets: Vec<XskSocket>,
        counters: Vec<Arc<XdpCounters>>,
        wanted: &[Wanted],
        memberships: Vec<socket2::Socket>,
    ) -> Self {
        assert_eq!(sockets.len(), counters.len(), "a socket without counters");
        let wanted: Arc<[Wanted]> = wanted.into();
        let queue = |(socket, counters)| Queue {
            socket,
            counters,
            wanted: Arc::clone(&wanted),
        };
        Self {
            queues: sockets.into_iter().zip(counters).map(queue).collect(),
            next_wake: 0,
            memberships,
        }
    }

    /// Joins the sockets of several interfaces (lines A and B on two cards).
    pub fn append(&mut self, mut other: Self) {
        self.queues.append(&mut other.queues);
        self.memberships.append(&mut other.memberships);
    }

    /// Wakes the queue of this number, of all in turn, as a turn that finds nothing would: what it takes is measured before a feed
    /// begins.
    #[cold]
    pub fn wake(&mut self, number: usize) {
        let place = number.checked_rem(self.queues.len()).unwrap_or(0);
        if let Some(queue) = self.queues.get_mut(place) {
            queue.socket.wake();
        }
    }

    #[inline]
    fn take_all(&mut self) -> usize {
        let sockets = self.queues.iter_mut().map(|queue| &mut queue.socket);
        sockets.map(XskSocket::acquire).sum()
    }

    /// Wakes the next queue in turn that wants it: a queue that is never empty keeps none from its turn.
    #[inline]
    fn wake_one(&mut self) -> Option<&mut Queue> {
        let (before, from) = self.queues.split_at_mut_checked(self.next_wake)?;
        let places = (self.next_wake..).zip(from).chain((0..).zip(before));
        let mut wanting = places.filter(|(_, queue)| queue.socket.wants_wake());
        let (place, queue) = wanting.next()?;
        self.next_wake = place + 1;
        queue.counters.wake_ups.increment();
        queue.socket.wake();
        Some(queue)
    }
}

impl PacketSource for XdpSource {
    #[inline]
    fn acquire(&mut self) -> usize {
        let taken = self.take_all();
        if taken != 0 {
            return taken;
        }
        // Nothing waits, so nothing is held up.
        self.wake_one().map_or(0, |queue| queue.socket.acquire())
    }

    #[inline]
    fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
        for queue in &self.queues {
            let counters = &queue.counters;
            queue.socket.each(|frame, stamp_ns| {
                counters.frames.increment();
                counters.bytes.add(frame.len() as u64);
                if stamp_ns == 0 {
                    counters.unstamped.increment();
                }
                // Checksums as the kernel looks at them for its sockets.
                let datagram = match Datagram::parse_whole(frame) {
                    Ok(datagram) => datagram,
                    Err(reason) => return count_drop(counters, reason),
                };
                let Some(line) = queue.line_of(datagram.destination) else {
                    return counters.not_wanted.increment();
                };
                on_packet(Packet {
                    payload: datagram.payload,
                    frame,
                    wire_ns: stamp_ns,
                    line,
                });
            });
        }
    }

    #[inline]
    fn release(&mut self) {
        for queue in &mut self.queues {
            queue.socket.release();
        }
        self.wake_one();
    }

    fn housekeep(&mut self) {}
}

impl Queue {
    /// Which line has this destination.
    #[inline]
    fn line_of(&self, destination: SocketAddrV4) -> Option<u8> {
        let mut wanted = self.wanted.iter();
        let found = wanted.find(|wanted| wanted.address == destination)?;
        Some(found.line)
    }
}

#[cold]
fn count_drop(counters: &XdpCounters, reason: NotUdp) {
    match reason {
        NotUdp::Truncated => counters.truncated.increment(),
        NotUdp::NotIpv4 => counters.not_ipv4.increment(),
        NotUdp::BadIpv4 => counters.bad_ipv4.increment(),
        NotUdp::Fragment => counters.fragments.increment(),
        NotUdp::NotUdp => counters.not_udp.increment(),
        NotUdp::BadUdp => counters.bad_udp.increment(),
        NotUdp::Checksum => counters.checksum_wrong.increment(),
    }
}

/// One queue of a feed as housekeeping sees it.
#[derive(Debug)]
pub struct QueueWatch {
    /// The receive queue.
    pub queue: u32,
    of: FeedQueue,
    socket: OwnedFd,
    counters: Arc<XdpCounters>,
    /// Another feed's socket opened the queue, and counts for both how often the fill ring was empty.
    is_beside: bool,
    redirected_before: u64,
    frames_before: u64,
}

/// A queue on which the feed arrives and where it has no socket: its packets are lost to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unserved {
    /// The receive queue; [`QUEUES_MAX`]: one or more from there on.
    pub queue: u32,
    /// Wanted frames that went to the kernel instead since the last look.
    pub frames: u64,
}

/// A feed on one interface as housekeeping sees it. The last one of an interface takes the program off.
#[derive(Debug)]
pub struct Watch {
    /// The interface.
    pub interface: String,
    /// The program on it, the same for all feeds there.
    pub program: Arc<Program>,
    /// The queues that the feed serves.
    pub queues: Vec<QueueWatch>,
    feed: u32,
    unserved_before: [u64; UNSERVED_PLACES],
}

/// Queues that a program can serve, and one place for the rest.
const UNSERVED_PLACES: usize = QUEUES_MAX as usize + 1;

impl QueueWatch {
    pub(super) fn new(
        of: FeedQueue,
        socket: OwnedFd,
        counters: Arc<XdpCounters>,
        is_beside: bool,
    ) -> Self {
        Self {
            queue: of.queue,
            of,
            socket,
            counters,
            is_beside,
            redirected_before: 0,
            frames_before: 0,
        }
    }

    pub(super) fn shared_counters(&self) -> Arc<XdpCounters> {
        Arc::clone(&self.counters)
    }

    /// Frames that the program sent to the socket.
    pub(super) fn redirected(&self, program: &Program) -> u64 {
        program.redirected(self.of)
    }

    /// Frames that the stage took.
    #[must_use]
    pub fn counters(&self) -> &XdpCounters {
        &self.counters
    }

    /// The kernel's statistics. What it counts for a queue and not for a socket is told by the queue's first
    /// socket alone.
    ///
    /// # Errors
    /// What `getsockopt` says.
    pub fn statistics(&self) -> io::Result<Statistics> {
        let mut all = statistics(self.socket.as_raw_fd())?;
        if self.is_beside {
            all.fill_ring_empty = 0;
        }
        Ok(all)
    }
}

impl Watch {
    /// A feed whose sockets are in the program's map, before its first frame.
    pub(super) fn new(
        interface: String,
        program: Arc<Program>,
        feed: u32,
        queues: Vec<QueueWatch>,
    ) -> Self {
        Self {
            interface,
            program,
            queues,
            feed,
            unserved_before: [0; UNSERVED_PLACES],
        }
    }

    /// Frames per verdict of the program, over all feeds of the interface: counter's name, what it means, value.
    #[must_use]
    pub fn verdicts(&self) -> Vec<(&'static str, &'static str, u64)> {
        let counts = self.program.verdicts();
        Verdict::ALL
            .iter()
            .zip(counts)
            .map(|((_, name, text), count)| (*name, *text, count))
            .collect()
    }

    /// What the feed's sockets here have counted, and the kernel for them, beginning with `unserved`: counter's name, what it
    /// means, value.
    #[must_use]
    pub fn counts(&self) -> Vec<(&'static str, &'static str, u64)> {
        let frames = (0..=QUEUES_MAX).map(|queue| self.unserved(queue)).sum();
        let mut counts = vec![unserved(frames)];
        for queue in &self.queues {
            counts.extend(queue.counters().list());
            let Ok(kernel) = queue.statistics() else {
                continue;
            };
            counts.extend(kernel.list());
        }
        counts
    }

    /// Every counter of [`counts`](Self::counts), at zero.
    #[must_use]
    pub fn declared() -> Vec<(&'static str, &'static str, u64)> {
        let mut counts = vec![unserved(0)];
        counts.extend(XdpCounters::default().list());
        counts.extend(Statistics::default().list());
        counts
    }

    /// Queues on which, since the last call, frames of the feed arrived and where it has no socket.
    pub fn unserved_queues(&mut self) -> Vec<Unserved> {
        let mut found = Vec::new();
        for queue in 0..=QUEUES_MAX {
            let now = self.unserved(queue);
            let Some(before) = self.unserved_before.get_mut(queue as usize) else {
                continue;
            };
            let frames = now.saturating_sub(std::mem::replace(before, now));
            if frames > 0 {
                found.push(Unserved { queue, frames });
            }
        }
        found
    }

    fn unserved(&self, queue: u32) -> u64 {
        let feed = self.feed;
        self.program.unserved(FeedQueue { feed, queue })
    }

    /// Queues on which, since the last call, the program redirected frames to the feed and its stage took none:
    /// they stand still. Call it about once a second.
    pub fn stalled_queues(&mut self) -> Vec<u32> {
        let Self {
            program, queues, ..
        } = self;
        let stalled = queues.iter_mut().filter_map(|queue| {
            let redirected = queue.redirected(program);
            let frames = queue.counters.frames.get();
            let is_stalled = redirected > queue.redirected_before && frames == queue.frames_before;
            queue.redirected_before = redirected;
            queue.frames_before = frames;
            is_stalled.then_some(queue.queue)
        });
        stalled.collect()
    }
}

/// Frames of a feed that no socket of it received.
fn unserved(frames: u64) -> (&'static str, &'static str, u64) {
    let text = "Frames of the feed on queues where it has no socket.";
    ("unserved", text, frames)
}
