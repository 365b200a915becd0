//! Who hands frames on between two interfaces: each once, or not, twice, late, or with a bit that turned; and remembers
//! what went through.

#![allow(
    unsafe_code,
    clippy::disallowed_types,
    reason = "packet sockets, and the interfaces' offloads; nothing here is hot"
)]
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use feed_handler::xdp::nic;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, Socket, Type};

/// What happens to one frame in this many, of each kind; 0: to none.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) one_in: AtomicU32,
    /// Frames from the near end are lost, all of them.
    pub(crate) is_near_cut: AtomicBool,
    /// Frames from the far end are lost, all of them.
    pub(crate) is_far_cut: AtomicBool,
    /// What goes through is not remembered.
    pub(crate) is_forgotten: AtomicBool,
}

/// A frame that went through, as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    pub(crate) is_from_near: bool,
    pub(crate) bytes: Vec<u8>,
}

/// The middle.
pub(crate) struct Middle {
    pub(crate) faults: Arc<Faults>,
    passed: Arc<Mutex<Vec<Passed>>>,
    is_over: Arc<AtomicBool>,
}

impl Middle {
    /// Hands on between two sockets of [`packet_socket`]'s, of the near end and the far one; faults come from the seed.
    pub(crate) fn start(seed: u64, sockets: [Socket; 2]) -> Self {
        let faults = Arc::new(Faults::default());
        let passed = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let hander = Hander {
            faults: Arc::clone(&faults),
            passed: Arc::clone(&passed),
            is_over: Arc::clone(&is_over),
            random: fastrand::Rng::with_seed(seed),
            late: [VecDeque::new(), VecDeque::new()],
        };
        std::thread::spawn(move || hander.run(sockets));
        Self {
            faults,
            passed,
            is_over,
        }
    }

    /// What has gone through since the last time.
    pub(crate) fn take(&self) -> Vec<Passed> {
        std::mem::take(&mut *self.passed.lock().expect("whole"))
    }
}

impl Drop for Middle {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

struct Hander {
    faults: Arc<Faults>,
    passed: Arc<Mutex<Vec<Passed>>>,
    is_over: Arc<AtomicBool>,
    random: fastrand::Rng,
    /// Frames that wait until the next one has gone, by the end that they come from.
    late: [VecDeque<Vec<u8>>; 2],
}

impl Hander {
    fn run(mut self, mut sockets: [Socket; 2]) {
        let mut bytes = vec![0; 1 << 16];
        while !self.is_over.load(Ordering::Relaxed) {
            {
                let [left, right] = &sockets;
                let mut ready = [left, right].map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN));
                let _ = poll(&mut ready, PollTimeout::from(5u8));
            }
            for from in 0..2 {
                // Bounded, so that the other end has its turn.
                for _ in 0..64 {
                    let len = match sockets[from].read(&mut bytes) {
                        Ok(len) => len,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(_) => break,
                    };
                    let frame = bytes[..len].to_vec();
                    self.hand_on(from, frame, &mut sockets[1 - from]);
                }
                // What waits for a next one that does not come.
                for frame in self.late[from].drain(..) {
                    let _ = sockets[1 - from].write(&frame);
                }
            }
        }
    }

    fn hand_on(&mut self, from: usize, mut frame: Vec<u8>, to: &mut Socket) {
        let is_from_near = from == 0;
        if !self.faults.is_forgotten.load(Ordering::Relaxed) {
            let passed = Passed {
                is_from_near,
                bytes: frame.clone(),
            };
            self.passed.lock().expect("whole").push(passed);
        }
        let cut = if is_from_near {
            &self.faults.is_near_cut
        } else {
            &self.faults.is_far_cut
        };
        if cut.load(Ordering::SeqCst) {
            return;
        }
        let one_in = self.faults.one_in.load(Ordering::Relaxed);
        // Of TCP alone: who asks for a neighbour is left alone.
        let is_tcp = frame.len() >= 54 && frame[12..14] == [8, 0] && frame[23] == 6;
        let mut happens = || is_tcp && one_in > 0 && self.random.u32(..one_in) == 0;
        let (is_lost, is_doubled, is_late, is_turned) =
            (happens(), happens(), happens(), happens());
        if is_lost {
            return;
        }
        if is_turned {
            let at = self.random.usize(14..frame.len());
            frame[at] ^= 1 << self.random.u32(..8);
        }
        if is_late {
            self.late[from].push_back(frame);
            return;
        }
        let times = if is_doubled { 2 } else { 1 };
        for _ in 0..times {
            let _ = to.write(&frame);
        }
        if let Some(late) = self.late[from].pop_front() {
            let _ = to.write(&late);
        }
    }
}

/// A socket that has every frame of an interface of this thread's namespace, and sends any.
pub(crate) fn packet_socket(name: &str) -> Socket {
    const EVERY: u16 = 3;
    let protocol = Protocol::from(i32::from(EVERY.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol)).expect("a socket");
    socket.set_nonblocking(true).expect("set");
    socket.set_recv_buffer_size(8 << 20).expect("set");
    // SAFETY: an all-zero address is valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).expect("small");
    address.sll_protocol = EVERY.to_be();
    let index = nic::interface_index(name).expect("it is there");
    address.sll_ifindex = i32::try_from(index).expect("small");
    let len = u32::try_from(size_of::<libc::sockaddr_ll>()).expect("small");
    // SAFETY: the address lives across the call, and its size is given.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
    assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
    socket
}

/// Lets the kernel compute checksums itself, and so cut segments, too.
pub(crate) fn no_checksum_offload(name: &str) {
    const SIOCETHTOOL: libc::c_ulong = 0x8946;
    const ETHTOOL_STXCSUM: u32 = 0x17;
    let mut value = [ETHTOOL_STXCSUM, 0];
    // SAFETY: an all-zero request is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
    // SAFETY: the request names two words, which the command takes.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}
