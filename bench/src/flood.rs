//! Receivers under a flood: how many packets a second each takes while one core sends as fast as it can.
//!
//! Path:        packets in memory -> `sendmmsg` -> receiver -> its own count
//!
//! The sender is one core with plain sockets; on a virtual pair the receiver's XDP program runs on that
//! core too. Where nothing is lost, the rate is the sender's, not the receiver's, limit.

#![allow(unsafe_code, reason = "sendmmsg")]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use feeds::replay::session_name;
use lab::gateway::Gateway;
use lab::netns::{FEED_RECEIVER, FEED_SENDER, GROUPS, Lab, Side};
use lab::peer::Program;
use lab::process::Process;
use lab::traffic::Traffic;
use peers::Peers;
use protocol::itch::{AddOrder, Head, OrderDelete};
use protocol::mold::PacketBuilder;
use protocol::types::{Nanos, OrderRef, Price4, Qty, Seq, Side as BookSide, Symbol};
use report::Flood;
use socket2::{Domain, Protocol, Socket, Type};
use zerocopy::IntoBytes;

/// Packets that one call sends.
const BATCH: usize = 64;
/// Largest payload.
const PAYLOAD_MAX: usize = 1400;

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Where to.
    pub to: SocketAddrV4,
    /// Own address.
    pub from: Ipv4Addr,
    /// Packets.
    pub packets: u64,
    /// Messages in each.
    pub pack: u16,
}

/// Sends as fast as it goes, and says how long it took, ns.
///
/// # Errors
/// A socket; a packet that does not fit.
pub fn send(options: &Options) -> Result<u64> {
    let packets = build(options)?;
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    if options.to.ip().is_multicast() {
        socket.set_multicast_if_v4(&options.from)?;
    }
    socket.connect(&options.to.into())?;
    socket.set_send_buffer_size(4 << 20)?;
    let first = packets.first().map_or(0, Vec::len);
    // Packets of one length go to the kernel in one piece, which it cuts (UDP_SEGMENT).
    let is_even = packets.iter().all(|packet| packet.len() == first);
    let is_cut = is_even && segment(&socket, first).is_ok();
    let pieces: Vec<Vec<u8>> = if is_cut {
        packets.chunks(BATCH).map(<[Vec<u8>]>::concat).collect()
    } else {
        Vec::new()
    };
    let start_ns = rt::clock::monotonic_ns();
    if is_cut {
        for piece in &pieces {
            // A queue that is full: as on a wire, those packets are lost.
            let _ = socket.send(piece);
        }
    } else {
        for chunk in packets.chunks(BATCH) {
            send_batch(&socket, chunk);
        }
    }
    Ok(rt::clock::monotonic_ns() - start_ns)
}

/// Lets the kernel cut what is sent into packets of this length.
fn segment(socket: &Socket, len: usize) -> std::io::Result<()> {
    const UDP_SEGMENT: i32 = 103;
    let len = i32::try_from(len).unwrap_or(0);
    // SAFETY: the value lives across the call and its size is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            UDP_SEGMENT,
            (&raw const len).cast(),
            4,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// Adds and deletes in turn, over a hundred symbols: with an even number in a packet all are of one
/// length.
fn build(options: &Options) -> Result<Vec<Vec<u8>>> {
    let session = session_name("TICKGATE01");
    let pack = u64::from(options.pack.max(1));
    let packet = |number: u64| -> Result<Vec<u8>> {
        let mut buffer = [0; PAYLOAD_MAX];
        let mut packet = PacketBuilder::new(&mut buffer, session, Seq(number * pack + 1))
            .context("a packet's header")?;
        for message in number * pack..(number + 1) * pack {
            let pushed = if message.is_multiple_of(2) {
                packet.push(add(message / 2).as_bytes())
            } else {
                packet.push(delete(message / 2).as_bytes())
            };
            if !pushed {
                bail!("{pack} messages do not fit a packet");
            }
        }
        Ok(packet.finish().to_vec())
    };
    (0..options.packets).map(packet).collect()
}

fn head(kind: u8, order: u64) -> Head {
    Head {
        kind,
        locate: (u16::try_from(order % 100).unwrap_or(0) + 1).into(),
        tracking: 0.into(),
        timestamp: Nanos(34_200_000_000_000 + order).into(),
    }
}

fn add(order: u64) -> AddOrder {
    let price = u32::try_from(order % 40).unwrap_or(0) * 100;
    AddOrder {
        head: head(AddOrder::KIND, order),
        order: OrderRef(order + 1).into(),
        side: BookSide::Buy as u8,
        shares: Qty(100).into(),
        stock: Symbol::new("FLOOD").unwrap_or(Symbol::BLANK),
        price: Price4(1_000_000 + price).into(),
    }
}

fn delete(order: u64) -> OrderDelete {
    OrderDelete {
        head: head(OrderDelete::KIND, order),
        order: OrderRef(order + 1).into(),
    }
}

fn send_batch(socket: &Socket, packets: &[Vec<u8>]) {
    // SAFETY: all-zero headers are valid; what is used is filled in below.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
    let mut parts = [libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    }; BATCH];
    for ((packet, part), header) in packets.iter().zip(&mut parts).zip(&mut headers) {
        part.iov_base = packet.as_ptr().cast_mut().cast();
        part.iov_len = packet.len();
        header.msg_hdr.msg_iov = part;
        header.msg_hdr.msg_iovlen = 1;
    }
    let mut done = 0;
    while done < packets.len() {
        let rest = headers.get_mut(done..packets.len()).unwrap_or_default();
        let count = u32::try_from(rest.len()).unwrap_or(0);
        // SAFETY: `count` headers, each with one part that names bytes which outlive the call.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), count, 0) };
        match usize::try_from(sent) {
            Ok(sent) => done += sent,
            // Nobody listens there, or a queue is full: as on a wire, that packet is lost.
            Err(_) => done += 1,
        }
    }
}

/// A gateway that is flooded.
struct Receiver {
    name: &'static str,
    receive: &'static str,
    /// Messages in a packet.
    pack: u16,
}

const RECEIVERS: [Receiver; 4] = [
    Receiver {
        name: "gateway, books, af_xdp",
        receive: "af_xdp",
        pack: 1,
    },
    Receiver {
        name: "gateway, books, af_xdp",
        receive: "af_xdp",
        pack: 2,
    },
    Receiver {
        name: "gateway, books, af_xdp",
        receive: "af_xdp",
        pack: 10,
    },
    Receiver {
        name: "gateway, books, recvmmsg",
        receive: "udp",
        pack: 1,
    },
];

/// Several processes that share a line.
struct Workers {
    name: &'static str,
    /// What the program is told.
    mode: &'static str,
}

const WORKERS: [Workers; 2] = [
    Workers {
        name: "2 forked workers",
        mode: "fork",
    },
    Workers {
        name: "2 SO_REUSEPORT workers",
        mode: "reuseport",
    },
];

/// Floods every receiver that is there. `on_done` hears of each.
///
/// # Errors
/// The first that failed.
pub fn all(
    lab: &Lab,
    packets: u64,
    stop: &AtomicBool,
    mut on_done: impl FnMut(&Flood),
) -> Result<(Vec<Flood>, Vec<String>)> {
    let (mut floods, mut skipped) = (Vec::new(), Vec::new());
    let mut done = |flood: Flood| {
        on_done(&flood);
        floods.push(flood);
    };
    for receiver in &RECEIVERS {
        done(gateway(lab, receiver, packets, stop)?);
    }
    let peers = Peers::build(peers::ALL.iter().filter(|peer| peer.is_flooded))?;
    for (peer, why) in &peers.skipped {
        skipped.push(format!("{}: {why}", peer.name));
    }
    for ready in &peers.ready {
        done(peer(lab, ready, packets, stop)?);
    }
    let folder = tempfile::tempdir()?;
    match peers::workers(folder.path()) {
        Ok(program) => {
            for kind in &WORKERS {
                done(workers(lab, &program, kind, packets, stop)?);
            }
        }
        Err(why) => skipped.push(format!("workers: {why:#}")),
    }
    match testpmd(lab, packets, stop) {
        Ok(flood) => done(flood),
        Err(why) => skipped.push(format!("dpdk-testpmd: {why:#}")),
    }
    Ok((floods, skipped))
}

/// Sends and gives rates; `count` tells afterwards how many packets arrived.
fn flood(
    lab: &Lab,
    name: &str,
    options: &Options,
    stop: &AtomicBool,
    count: impl FnOnce() -> Result<u64>,
) -> Result<Flood> {
    let mut command = lab.command(Side::Exchange, &std::env::current_exe()?);
    let Options {
        to,
        from,
        packets,
        pack,
    } = options;
    command.args(["flood", &to.to_string(), &from.to_string()]);
    command.args([packets.to_string(), pack.to_string()]);
    let mut sender = Process::start("flood", command)?;
    if !sender.wait(Duration::from_secs(60), stop)? {
        bail!("the sender failed:\n{}", sender.said.join("\n"));
    }
    let took = sender
        .said
        .iter()
        .find_map(|line| line.strip_prefix("took_ns "));
    let took_ns: f64 = took.context("the sender told no time")?.parse()?;
    // What still lies in rings and socket buffers is received, too.
    std::thread::park_timeout(Duration::from_millis(300));
    let received = count()?;
    let seconds = took_ns / 1e9;
    Ok(Flood {
        name: name.to_owned(),
        pack: *pack,
        sent: *packets,
        sent_per_second: *packets as f64 / seconds,
        received,
        received_per_second: received as f64 / seconds,
    })
}

/// A flood on line A, to which gateways and peers listen.
fn on_line_a(packets: u64) -> Options {
    let [to, _] = GROUPS;
    Options {
        to,
        from: FEED_SENDER,
        packets,
        pack: 1,
    }
}

fn gateway(lab: &Lab, receiver: &Receiver, packets: u64, stop: &AtomicBool) -> Result<Flood> {
    let folder = tempfile::tempdir()?;
    let options = Gateway {
        receive: receiver.receive.to_owned(),
        // Books of every symbol are built; the strategy hears of one that is not there.
        sets: vec!["strategy.probe.symbols=[\"NONE\"]".to_owned()],
        ..Gateway::default()
    };
    let _exchange = lab::exchange::start(lab, folder.path(), None, stop)?;
    let traffic = Traffic::quiet();
    let mut gateway = lab::gateway::start(lab, folder.path(), &traffic, &options, stop)?;
    let options = Options {
        pack: receiver.pack,
        ..on_line_a(packets)
    };
    flood(lab, receiver.name, &options, stop, || {
        let run = lab::gateway::end(&mut gateway, folder.path(), stop)?;
        // Messages in order; a packet that did not come is missing from them.
        Ok(run.received / u64::from(receiver.pack))
    })
}

fn peer(lab: &Lab, ready: &Program, packets: u64, stop: &AtomicBool) -> Result<Flood> {
    let folder = tempfile::tempdir()?;
    let _exchange = lab::exchange::start(lab, folder.path(), None, stop)?;
    let mut process = lab::peer::start(lab, ready, stop)?;
    flood(lab, ready.name, &on_line_a(packets), stop, || {
        Ok(lab::peer::end(&mut process, stop)?.0)
    })
}

fn workers(
    lab: &Lab,
    program: &Path,
    kind: &Workers,
    packets: u64,
    stop: &AtomicBool,
) -> Result<Flood> {
    let options = Options {
        to: SocketAddrV4::new(FEED_RECEIVER, 26_400),
        ..on_line_a(packets)
    };
    let mut command = lab.command(Side::Gateway, program);
    let own = FEED_RECEIVER.to_string();
    command.args([kind.mode, "2", &own, "26400", &own]);
    let mut process = Process::start("workers", command)?;
    process.await_line("ready", Duration::from_secs(5), stop)?;
    std::thread::park_timeout(Duration::from_millis(200));
    flood(lab, kind.name, &options, stop, || {
        Ok(lab::peer::end(&mut process, stop)?.0)
    })
}

/// DPDK's own measuring program, on its AF_XDP driver.
fn testpmd(lab: &Lab, packets: u64, stop: &AtomicBool) -> Result<Flood> {
    let found = std::process::Command::new("sh")
        .args(["-c", "command -v dpdk-testpmd"])
        .output()?;
    if !found.status.success() {
        bail!("not installed: Debian's package is dpdk-dev");
    }
    let program = String::from_utf8(found.stdout)?;
    // It prints its statistics on standard output; the lab listens to standard error.
    let script = format!(
        "exec {} --no-pci --no-huge -m 512 -l 0,1 --file-prefix tg-{} --vdev \
         net_af_xdp0,iface=feed0 -- --forward-mode=rxonly --auto-start --stats-period 1 \
         --no-mlockall --total-num-mbufs=16384 1>&2",
        program.trim(),
        std::process::id()
    );
    let mut command = lab.command(Side::Gateway, Path::new("/bin/sh"));
    command.args(["-c", &script]);
    let mut process = Process::start("dpdk-testpmd", command)?;
    process.await_line("NIC statistics", Duration::from_secs(20), stop)?;
    std::thread::park_timeout(Duration::from_secs(1));
    flood(
        lab,
        "dpdk-testpmd, af_xdp",
        &on_line_a(packets),
        stop,
        || {
            std::thread::park_timeout(Duration::from_millis(1500));
            process.signal(libc::SIGINT);
            process.wait(Duration::from_secs(10), stop)?;
            let counts = process.said.iter().filter_map(|line| {
                let rest = line.split("RX-packets:").nth(1)?;
                rest.split_ascii_whitespace().next()?.parse().ok()
            });
            counts
                .max()
                .with_context(|| format!("it told no counts:\n{}", process.said.join("\n")))
        },
    )
}
