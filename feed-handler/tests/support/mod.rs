//! Interfaces of a test's own, in a network namespace that ends with its thread.

#![allow(dead_code, reason = "each test file uses its part")]

use std::ffi::CString;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::Duration;

use feed_handler::xdp::{Mode, Options, Rung, SocketOptions};
use socket2::{Domain, Socket, Type};

/// A virtual pair: what is sent from one end arrives at the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wire {
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    address: Ipv4Addr,
}

impl Wire {
    pub(crate) const FIRST: Self = Self {
        from: "tg-a0",
        to: "tg-b0",
        address: Ipv4Addr::new(10, 77, 9, 1),
    };
    pub(crate) const SECOND: Self = Self {
        from: "tg-a1",
        to: "tg-b1",
        address: Ipv4Addr::new(10, 78, 9, 1),
    };

    /// Sends a datagram to a group.
    pub(crate) fn send(self, to: SocketAddrV4, payload: &[u8]) {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
        socket.set_multicast_loop_v4(false).expect("set");
        socket.set_multicast_if_v4(&self.address).expect("set");
        socket.send_to(payload, &to.into()).expect("sent");
    }

    /// Sends a frame as it is, checksums included, this often.
    #[expect(unsafe_code, reason = "a packet socket's address")]
    pub(crate) fn send_frames(self, frame: &[u8], times: u64) {
        let socket = Socket::new(Domain::PACKET, Type::RAW, None).expect("a socket");
        let name = CString::new(self.from).expect("no zero in it");
        // SAFETY: every field of it is a number, for which zeros are a value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).expect("small");
        // SAFETY: the name ends with a zero and outlives the call.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        address.sll_ifindex = i32::try_from(index).expect("small");
        let len = u32::try_from(size_of_val(&address)).expect("small");
        for _ in 0..times {
            // SAFETY: both pointers are to memory of the lengths that go with them, and outlive the call.
            let sent = unsafe {
                libc::sendto(
                    socket.as_raw_fd(),
                    frame.as_ptr().cast(),
                    frame.len(),
                    0,
                    (&raw const address).cast(),
                    len,
                )
            };
            assert_eq!(usize::try_from(sent), Ok(frame.len()));
        }
    }

    /// Both ends with this many queues each, up. The kernel takes packets from its own addresses there.
    fn lay(self, queues: u32) {
        let Self { from, to, address } = self;
        let ends = format!("numrxqueues {queues} numtxqueues {queues}");
        ip(&format!(
            "link add {from} {ends} type veth peer name {to} {ends}"
        ));
        for (key, value) in [("accept_local", 1), ("rp_filter", 0)] {
            let path = format!("/proc/sys/net/ipv4/conf/{to}/{key}");
            std::fs::write(path, value.to_string()).expect("an own namespace's setting");
        }
        ip(&format!("addr add {address}/24 dev {from}"));
        ip(&format!("link set {from} up"));
        ip(&format!("link set {to} up"));
        // Until the kernel has noticed that both are, it drops what is sent.
        while !said_by_ip(&format!("-o link show {from}")).contains("state UP") {
            std::thread::yield_now();
        }
    }
}

fn said_by_ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    String::from_utf8_lossy(&output.expect("ip runs").stdout).into_owned()
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.expect("ip runs").success(), "ip {arguments}");
}

/// Moves this thread into a network namespace of its own, with both wires. `false`: no rights to.
pub(crate) fn own_network() -> bool {
    own_network_with_queues(1)
}

/// The same, with this many receive queues on each interface.
#[expect(unsafe_code, reason = "unshare")]
pub(crate) fn own_network_with_queues(queues: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if !status.lines().any(|line| line.starts_with("Uid:\t0\t0")) {
        // Past the test harness, which shows what a passing test prints to nobody.
        let said = "SKIPPED: needs root for network namespaces and XDP";
        let _ = writeln!(std::io::stderr(), "{said}");
        return false;
    }
    // SAFETY: takes a flag; only this thread's network namespace changes.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
    std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "0").expect("an own setting");
    ip("link set lo up");
    Wire::FIRST.lay(queues);
    Wire::SECOND.lay(queues);
    true
}

/// A small socket on the far end of a wire, in native copy mode; nothing is wanted yet.
pub(crate) fn xdp_options(wire: Wire) -> Options {
    Options {
        interface: wire.to.to_owned(),
        wanted: Vec::new(),
        mode: Mode::Auto,
        require: Rung::NativeCopy,
        trusted_drivers: Vec::new(),
        queues: Vec::new(),
        allow_default_route: false,
        trial: Duration::ZERO,
        socket: SocketOptions {
            frames: 1024,
            frame_bytes: 2048,
            rx_ring: 512,
            batch: 32,
            huge_pages: false,
            busy_poll_us: 0,
            busy_poll_budget: 64,
        },
    }
}
