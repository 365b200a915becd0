//! What an order gains where it leaves past the kernel's TCP, without a feed before it: the same bytes from one thread, in turn
//! by a session's `enter` and by its `delegated`, each over a pair of interfaces of its own.
//!
//! ```text
//!   sender (last CPU)                       exchange (first CPU), polls both
//!   enter      ── feed0 ─────────────────>  stamp of the kernel at the interface, stamp behind recv
//!   delegated  ── order0 ────────────────>  the same
//! ```
//!
//! The sender's stamp is in the bytes, so each order is judged by itself. The interface's stamp is the one that the kernel gives a
//! packet as it takes it from the device (`SO_TIMESTAMPNS`), before IP and TCP.

use std::fs::File;
use std::io::{IoSliceMut, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};

use anyhow::{Context, Result, bail, ensure};
use gateway::order::transport::delegated::DelegatedOptions;
use gateway::order::transport::{Transport, TransportEvent, TransportOptions, TransportUser, Way};
use hdrhistogram::Histogram;
use lab::netns::{EXCHANGE, FEED_SENDER, Lab, Side};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use rt::clock::{monotonic_ns, realtime_offset_ns};
use rt::histogram::empty;

/// Who takes turns, and where the exchange listens for it.
const WAYS: [(Way, Ipv4Addr); 2] = [(Way::Enter, FEED_SENDER), (Way::Delegated, EXCHANGE)];
const PORT: u16 = 12_010;
/// Bytes of an order: OUCH's with its frame.
const ORDER_BYTES: usize = 49;
/// Orders of each way that do not count.
const WARM_UP: u64 = 2_000;
/// Between two orders: 20,000 a second.
const PAUSE_NS: u64 = 50_000;
/// Far more than anything takes.
const PATIENCE_NS: u64 = 2_000_000_000;
/// What of the delegated orders may have taken the ordinary way.
const ORDINARY_SHARE_MAX: f64 = 0.01;

/// What one way gave, ns from before the order's bytes are handed over.
#[derive(Debug)]
pub struct Sent {
    /// Its name in the configuration.
    pub way: &'static str,
    /// Until the sender goes on.
    pub handed: Histogram<u64>,
    /// Until the packet is at the exchange's interface.
    pub at_interface: Histogram<u64>,
    /// Until the exchange has the bytes.
    pub at_exchange: Histogram<u64>,
}

impl Sent {
    fn new(way: Way) -> Self {
        Self {
            way: way.name(),
            handed: empty(),
            at_interface: empty(),
            at_exchange: empty(),
        }
    }
}

/// One order as the exchange has it.
struct Seen {
    way: usize,
    sent_ns: u64,
    at_interface_ns: u64,
    at_exchange_ns: u64,
}

/// Sends this many orders by each way that count; `enter` first in what it returns.
///
/// # Errors
/// One CPU; the host grants no lane, or over a hundredth of the orders did not take it; a connection that ended.
pub fn measure(lab: &Lab, orders: u64) -> Result<[Sent; 2]> {
    let cpus = rt::cpu::allowed();
    let [exchange_cpu, .., sender_cpu] = cpus.as_slice() else {
        bail!("one CPU: an exchange that polls would take the sender's time; expected two");
    };
    let total = WARM_UP + orders;
    let (listening, listens) = channel();
    let mut ways = WAYS.map(|(way, _)| Sent::new(way));
    let seen = std::thread::scope(|scope| {
        let exchange = scope.spawn(move || {
            enter(lab.name(Side::Exchange))?;
            rt::cpu::pin(*exchange_cpu)?;
            exchange(listening)
        });
        let sender = scope.spawn(move || {
            enter(lab.name(Side::Gateway))?;
            rt::cpu::pin(*sender_cpu)?;
            listens.recv().context("the exchange does not listen")?;
            let plain = TransportOptions::PLAIN;
            Way::Enter.open(&plain, First { total })?
        });
        // The exchange goes on until both connections are over; where it fails, the sender only hears the end.
        let panicked = |_| anyhow::anyhow!("a thread panicked");
        let handed = sender.join().map_err(panicked)?;
        let seen = exchange.join().map_err(panicked)??;
        for (way, handed) in ways.iter_mut().zip(handed?) {
            way.handed = handed;
        }
        anyhow::Ok(seen)
    })?;
    let mut skipped = [0; 2];
    for order in seen {
        let (Some(skipped), Some(way)) = (skipped.get_mut(order.way), ways.get_mut(order.way))
        else {
            continue;
        };
        *skipped += 1;
        if *skipped <= WARM_UP {
            continue;
        }
        // A step of the real clock between two looks could put the interface's stamp before it.
        let since = |ns: u64| {
            let since = ns.checked_sub(order.sent_ns);
            since.context("a stamp lies before the order was sent: the real clock was set")
        };
        way.at_interface
            .saturating_record(since(order.at_interface_ns)?);
        way.at_exchange
            .saturating_record(since(order.at_exchange_ns)?);
    }
    Ok(ways)
}

/// This thread goes into a namespace and stays there.
fn enter(namespace: &str) -> Result<()> {
    let path = Path::new("/run/netns").join(namespace);
    let file = File::open(&path).with_context(|| path.display().to_string())?;
    setns(file, CloneFlags::CLONE_NEWNET).context("entering a network namespace needs root")
}

/// Takes both connections, and answers each order with as many bytes, until both are over.
fn exchange(listening: Sender<()>) -> Result<Vec<Seen>> {
    let listeners = WAYS
        .iter()
        .map(|(_, at)| TcpListener::bind((*at, PORT)))
        .collect::<std::io::Result<Vec<_>>>()?;
    // A sender that has gone says why itself.
    let _ = listening.send(());
    let mut connections = Vec::new();
    for listener in listeners {
        listener.set_nonblocking(true)?;
        connections.push(accept(&listener)?);
    }
    let mut seen = Vec::new();
    let mut open = connections.iter().flatten().count();
    let mut offset_ns = realtime_offset_ns();
    while open > 0 {
        for (way, connection) in connections.iter_mut().enumerate() {
            let Some(stream) = connection else { continue };
            match take(stream, offset_ns)? {
                Taken::Nothing => {}
                Taken::Order([sent_ns, at_interface_ns, at_exchange_ns]) => {
                    stream.write_all(&[0; ORDER_BYTES])?;
                    seen.push(Seen {
                        way,
                        sent_ns,
                        at_interface_ns,
                        at_exchange_ns,
                    });
                    // Behind the answer, where it holds nothing up.
                    offset_ns = realtime_offset_ns();
                }
                Taken::End => {
                    *connection = None;
                    open -= 1;
                }
            }
        }
    }
    Ok(seen)
}

/// The connection that comes, ready to be polled; `None`: none came, so its sender has failed.
fn accept(listener: &TcpListener) -> Result<Option<TcpStream>> {
    let until_ns = monotonic_ns() + PATIENCE_NS;
    while monotonic_ns() < until_ns {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::yield_now();
            continue;
        };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        setsockopt(&stream, sockopt::ReceiveTimestampns, &true)?;
        return Ok(Some(stream));
    }
    Ok(None)
}

enum Taken {
    Nothing,
    /// When it was sent, at the interface, here.
    Order([u64; 3]),
    End,
}

fn take(stream: &TcpStream, offset_ns: i64) -> Result<Taken> {
    let mut bytes = [0; 4 * ORDER_BYTES];
    let mut control = [0; 128];
    let mut into = [IoSliceMut::new(&mut bytes)];
    let message = match recvmsg::<()>(
        stream.as_raw_fd(),
        &mut into,
        Some(&mut control),
        MsgFlags::empty(),
    ) {
        Ok(message) => message,
        Err(Errno::EAGAIN) => return Ok(Taken::Nothing),
        Err(Errno::ECONNRESET) => return Ok(Taken::End),
        Err(error) => return Err(error.into()),
    };
    let here_ns = monotonic_ns();
    let len = message.bytes;
    let stamp = message.cmsgs()?.find_map(|told| match told {
        ControlMessageOwned::ScmTimestampns(time) => Some(time),
        _ => None,
    });
    if len == 0 {
        return Ok(Taken::End);
    }
    // The sender waits for the answer to each.
    ensure!(
        len == ORDER_BYTES,
        "{len} bytes came at once, expected {ORDER_BYTES}"
    );
    let stamp = stamp.context("the kernel gave no receive stamp")?;
    let real_ns = stamp.tv_sec() * 1_000_000_000 + stamp.tv_nsec();
    let at_interface_ns = u64::try_from(real_ns - offset_ns)?;
    let (first, _) = bytes.split_first_chunk::<8>().context("eight bytes")?;
    Ok(Taken::Order([
        u64::from_le_bytes(*first),
        at_interface_ns,
        here_ns,
    ]))
}

/// Has `enter`, and wants `delegated` beside it.
struct First {
    total: u64,
}

impl TransportUser for First {
    type Made = Result<[Histogram<u64>; 2]>;

    fn with<T: Transport + Send + 'static>(self, enter: T) -> Self::Made {
        let options = TransportOptions {
            delegated: DelegatedOptions {
                session: "sends".to_owned(),
                exchange: Some(EXCHANGE),
                is_required: true,
                ..DelegatedOptions::NONE
            },
            ..TransportOptions::PLAIN
        };
        let total = self.total;
        Way::Delegated.open(&options, Both { enter, total })?
    }
}

/// Has both.
struct Both<E> {
    enter: E,
    total: u64,
}

impl<E: Transport> TransportUser for Both<E> {
    type Made = Result<[Histogram<u64>; 2]>;

    fn with<T: Transport + Send + 'static>(self, delegated: T) -> Self::Made {
        let counts = delegated.counts().context("a lane counts")?;
        let (mut enter, mut delegated) = (Line::new(self.enter)?, Line::new(delegated)?);
        enter.connect(WAYS[0].1)?;
        delegated.connect(WAYS[1].1)?;
        let mut next_ns = monotonic_ns();
        for _ in 0..self.total {
            enter.order(next_ns)?;
            next_ns += PAUSE_NS;
            delegated.order(next_ns)?;
            next_ns = (next_ns + PAUSE_NS).max(monotonic_ns());
        }
        let left = counts()
            .into_iter()
            .find_map(|(name, _, count)| (name == "delegated_sent").then_some(count));
        let left = left.context("the lane counts no delegated_sent")?;
        ensure!(
            left as f64 >= self.total as f64 * (1.0 - ORDINARY_SHARE_MAX),
            "of {} orders only {left} left past the kernel's TCP: {:?}",
            self.total,
            counts()
        );
        enter.transport.close();
        delegated.transport.close();
        Ok([enter.handed, delegated.handed])
    }
}

/// One connection of the sender.
struct Line<T> {
    transport: T,
    number: u64,
    handed: Histogram<u64>,
}

impl<T: Transport> Line<T> {
    fn new(mut transport: T) -> Result<Self> {
        transport.start()?;
        Ok(Self {
            transport,
            number: 0,
            handed: empty(),
        })
    }

    fn connect(&mut self, to: Ipv4Addr) -> Result<()> {
        self.transport.connect(SocketAddrV4::new(to, PORT));
        self.until(
            |event| matches!(event, TransportEvent::Connected).then_some(1),
            1,
        )
    }

    /// Sends an order at that time, and waits for the answer.
    fn order(&mut self, due_ns: u64) -> Result<()> {
        while monotonic_ns() < due_ns {
            std::hint::spin_loop();
        }
        let sent_ns = monotonic_ns();
        let room = self.transport.room().first_chunk_mut::<ORDER_BYTES>();
        let room = room.context("no room for an order")?;
        room[..8].copy_from_slice(&sent_ns.to_le_bytes());
        self.transport.commit(ORDER_BYTES);
        self.transport.flush();
        let handed_ns = monotonic_ns();
        self.number += 1;
        if self.number > WARM_UP {
            self.handed.saturating_record(handed_ns - sent_ns);
        }
        let bytes = |event: &TransportEvent<'_>| match event {
            TransportEvent::Bytes(bytes) => Some(bytes.len()),
            _ => None,
        };
        self.until(bytes, ORDER_BYTES)
    }

    /// Polls until there was as much of it.
    fn until(
        &mut self,
        of: impl Fn(&TransportEvent<'_>) -> Option<usize>,
        much: usize,
    ) -> Result<()> {
        let until_ns = monotonic_ns() + PATIENCE_NS;
        let (mut sum, mut end) = (0, None);
        while sum < much {
            self.transport.poll(|event| {
                sum += of(&event).unwrap_or(0);
                if let TransportEvent::Closed(errno) = event {
                    end = Some(errno);
                }
            });
            if let Some(errno) = end {
                bail!(
                    "the connection ended: {}",
                    std::io::Error::from_raw_os_error(errno)
                );
            }
            ensure!(monotonic_ns() < until_ns, "the exchange does not answer");
        }
        Ok(())
    }
}
