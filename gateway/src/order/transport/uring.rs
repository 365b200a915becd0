//! The byte stream to an exchange on io_uring.
//!
//! ```text
//!  room ── commit ── flush ──> one SEND ──> socket (registered file)
//!  poll <── completion queue <── RECV multishot into provided buffers <── socket
//! ```
//!
//! Thread:      order core, hot
//! Invariants:  one write is under way at a time, so bytes leave in order; what is committed meanwhile
//!              goes in the next one. The ring is made on the thread that uses it (SINGLE_ISSUER). A
//!              completion of an older connection carries an older generation and is ignored.
//! System calls: `io_uring_enter`: to submit, and to let the kernel post completions when it says
//!              that it has some (DEFER_TASKRUN). With `sqpoll` a kernel thread submits instead.
//! When full:   `room` shrinks until the kernel has taken what is before; order entry refuses orders
//!              that do not fit.

#![allow(
    unsafe_code,
    reason = "io_uring submissions name memory that the kernel reads and writes"
)]

mod pending;

use std::io;
use std::net::{Shutdown, SocketAddrV4};
use std::os::fd::AsRawFd;

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use rt::mem::{Pages, Want};
use socket2::{Domain, Protocol, Socket, Type};

pub(super) use pending::Pending;

use super::provided::{BUFFER_BYTES, GROUP, Provided};
use super::sockopt::busy_poll;
use super::{HEARD_BYTES_MAX, Transport, TransportEvent, prefetch_room};

/// Bytes that may wait to be sent: about 1,200 orders.
const TX_BYTES: usize = 64 * 1024;
const RING_ENTRIES: u32 = 64;
/// Completions handled in one turn at most.
const BATCH: usize = HEARD_BYTES_MAX / BUFFER_BYTES;
const _: () = assert!(BATCH > 0);
/// The socket's place among registered files, and that of what shall be there until the socket has gone: a kernel
/// from 6.13 on gives registered files up from the last one on, and ends what it gave up last first.
const SOCKET: types::Fixed = types::Fixed(0);
const KEPT: u32 = 1;
const FILES: u32 = 2;

/// How submissions reach the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submit {
    /// By a system call on this core.
    Enter,
    /// By a kernel thread that polls the ring; needs a CPU of its own.
    Sqpoll {
        /// The CPU of that thread; `None`: wherever the kernel likes.
        cpu: Option<u32>,
        /// How long it polls an idle ring before it sleeps, ms.
        idle_ms: u32,
    },
}

/// How to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UringOptions {
    /// How submissions reach the kernel.
    pub submit: Submit,
    /// `SO_BUSY_POLL` of the socket in µs; 0: off.
    pub busy_poll_us: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
enum Kind {
    Connect = 1,
    Receive = 2,
    Send = 3,
}

/// The stream.
pub struct UringTransport {
    options: UringOptions,
    /// `None` until `start`.
    ring: Option<IoUring>,
    /// Where the kernel reads the address while connecting.
    address: Box<libc::sockaddr_in>,
    tx: Pages<u8>,
    rx: Provided,
    generation: u64,
    is_connected: bool,
    /// The connection's socket; the ring holds it too, in its place among registered files.
    socket: Option<Socket>,
    /// tx[..sent] is with TCP, tx[sent..sending] under way, tx[sending..committed] waits.
    sent: usize,
    sending: usize,
    committed: usize,
    /// Bytes that TCP has taken on this connection, modulo 2^32.
    taken: u32,
    /// Bytes of the connection that have left past TCP, if any may, modulo 2^32.
    left: Option<u32>,
    /// The kernel did not take what was submitted: the next turn submits it again.
    is_refused: bool,
    /// A failure that has no completion to tell it.
    failed: Option<i32>,
}

impl std::fmt::Debug for UringTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UringTransport")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl UringTransport {
    /// Takes the memory; the ring comes with [`Transport::start`].
    ///
    /// # Errors
    /// The host has not that much memory.
    pub fn new(options: UringOptions) -> io::Result<Self> {
        // Refused here, by name, and not as a connection that never comes about.
        let trial = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        busy_poll(&trial, options.busy_poll_us).map_err(|error| {
            io::Error::new(
                error.kind(),
                "busy_poll_us: SO_BUSY_POLL needs CAP_NET_ADMIN",
            )
        })?;
        // SAFETY: an all-zero address is valid; where to is filled in with each connection.
        let mut address: Box<libc::sockaddr_in> = Box::new(unsafe { std::mem::zeroed() });
        address.sin_family = u16::try_from(libc::AF_INET).unwrap_or(0);
        Ok(Self {
            options,
            ring: None,
            address,
            tx: Pages::zeroed(TX_BYTES, Want::HOT)?,
            rx: Provided::new()?,
            generation: 0,
            is_connected: false,
            socket: None,
            sent: 0,
            sending: 0,
            committed: 0,
            taken: 0,
            left: None,
            is_refused: false,
            failed: None,
        })
    }

    fn aim(&mut self, to: SocketAddrV4) {
        self.address.sin_port = to.port().to_be();
        self.address.sin_addr.s_addr = to.ip().to_bits().to_be();
    }

    fn build(&self) -> io::Result<IoUring> {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_cqsize(RING_ENTRIES * 4);
        match self.options.submit {
            Submit::Enter => {
                builder.setup_defer_taskrun().setup_taskrun_flag();
            }
            Submit::Sqpoll { cpu, idle_ms } => {
                builder.setup_sqpoll(idle_ms);
                if let Some(cpu) = cpu {
                    builder.setup_sqpoll_cpu(cpu);
                }
            }
        }
        builder.build(RING_ENTRIES)
    }

    fn register(&mut self, ring: &IoUring) -> io::Result<()> {
        ring.submitter().register_files_sparse(FILES)?;
        self.rx.register(ring)
    }

    #[inline]
    fn push(&mut self, entry: squeue::Entry, kind: Kind) {
        let entry = entry.user_data(self.generation << 8 | kind as u64);
        let Some(ring) = &mut self.ring else { return };
        // SAFETY: every entry names memory of `self` (address, tx, provided buffers) that outlives
        // the ring: fields drop in order, the ring before the memory.
        let pushed = unsafe { ring.submission().push(&entry) };
        if pushed.is_err() {
            // 64 entries, and at most four operations are under way.
            self.failed = Some(libc::ENOBUFS);
        }
    }

    /// One system call: hands submissions over and lets the kernel post completions.
    #[inline]
    fn enter(&mut self) {
        let Some(ring) = &self.ring else { return };
        let result = match self.options.submit {
            Submit::Enter => submit_and_run_deferred(ring),
            Submit::Sqpoll { .. } => ring.submit().map(|_| ()),
        };
        self.on_entered(result);
    }

    /// EINTR: a signal. EBUSY: completions wait to be read first. EAGAIN: no memory for now. Each leaves
    /// submissions where they are, so the next turn, which reads completions first, enters again.
    #[inline]
    fn on_entered(&mut self, result: io::Result<()>) {
        self.is_refused = false;
        let Err(error) = result else { return };
        match error.raw_os_error() {
            Some(libc::EINTR | libc::EBUSY | libc::EAGAIN) => self.is_refused = true,
            errno => self.failed = Some(errno.unwrap_or(libc::EIO)),
        }
    }

    fn open_socket(&mut self, prepare: impl FnOnce(&Socket) -> io::Result<()>) -> io::Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        busy_poll(&socket, self.options.busy_poll_us)?;
        prepare(&socket)?;
        let Some(ring) = &self.ring else {
            return Ok(());
        };
        ring.submitter()
            .register_files_update(SOCKET.0, &[socket.as_raw_fd()])?;
        self.socket = Some(socket);
        Ok(())
    }

    fn receive(&mut self) {
        self.push(opcode::RecvMulti::new(SOCKET, GROUP).build(), Kind::Receive);
    }

    /// Starts the next write, if none is under way.
    #[inline]
    fn write(&mut self) {
        if self.sent != self.sending || self.committed == self.sending || !self.is_connected {
            return;
        }
        let Some(bytes) = self.tx.get(self.sent..self.committed) else {
            return;
        };
        let len = u32::try_from(bytes.len()).unwrap_or(0);
        // Not a write from a registered buffer, which takes longer. What is sent in part is told as such, as with a write,
        // since it does not wait for all; a socket that is shut down is told by EPIPE alone.
        let entry = opcode::Send::new(SOCKET, bytes.as_ptr(), len)
            .flags(libc::MSG_NOSIGNAL)
            .build();
        self.sending = self.committed;
        self.push(entry, Kind::Send);
    }

    /// Moves what waits to the front, between two writes, when the kernel names none of it. Only when
    /// little room is left and what waits fits where it goes: then no byte is moved more often than
    /// another leaves.
    #[inline]
    fn make_room(&mut self) {
        let waiting = self.committed - self.sent;
        if self.committed > TX_BYTES / 2 && waiting <= self.sent {
            self.tx.copy_within(self.sent..self.committed, 0);
            (self.sent, self.sending, self.committed) = (0, 0, waiting);
        }
    }

    /// A write is done: all of it, part of it, or none.
    #[inline]
    fn on_sent(&mut self, result: i32) -> Option<i32> {
        match usize::try_from(result) {
            Ok(0) | Err(_) => return Some(-result),
            Ok(len) => {
                self.sent += len;
                self.taken = self.taken.wrapping_add(result.unsigned_abs());
            }
        }
        debug_assert!(self.sent <= self.sending && self.sending <= self.committed);
        if self.sent == self.committed {
            (self.sent, self.sending, self.committed) = (0, 0, 0);
        } else {
            // Part of it went, or more was committed meanwhile: go on behind what went.
            self.sending = self.sent;
            self.make_room();
            self.write();
            self.enter();
        }
        None
    }
}

impl UringTransport {
    /// Begins to connect by a socket that was made ready.
    pub(super) fn connect_prepared(
        &mut self,
        to: SocketAddrV4,
        prepare: impl FnOnce(&Socket) -> io::Result<()>,
    ) {
        self.close();
        self.aim(to);
        self.generation += 1;
        (self.sent, self.sending, self.committed) = (0, 0, 0);
        (self.taken, self.left) = (0, None);
        (self.is_connected, self.failed) = (false, None);
        if let Err(error) = self.open_socket(prepare) {
            self.failed = Some(error.raw_os_error().unwrap_or(libc::EIO));
            return;
        }
        let address: *const libc::sockaddr_in = &raw const *self.address;
        let len = u32::try_from(size_of::<libc::sockaddr_in>()).unwrap_or(0);
        self.push(
            opcode::Connect::new(SOCKET, address.cast(), len).build(),
            Kind::Connect,
        );
        self.enter();
    }
}

impl Transport for UringTransport {
    fn start(&mut self) -> io::Result<()> {
        let ring = self.build()?;
        self.register(&ring)?;
        self.ring = Some(ring);
        Ok(())
    }

    fn connect(&mut self, to: SocketAddrV4) {
        self.connect_prepared(to, |_| Ok(()));
    }

    fn close(&mut self) {
        self.end_in_order();
        self.failed = None;
        let Some(socket) = self.socket.take() else {
            return;
        };
        // Ends everything under way on it. Not through the ring: there it would run in a worker of the
        // kernel's, which looks the file up late and could find the next connection in its place.
        // ENOTCONN: it never came about, and closing it ends the attempt.
        let _ = socket.shutdown(Shutdown::Both);
        if let Some(ring) = &self.ring {
            // Failing leaves the file in its place; the next connection replaces it.
            let _ = ring.submitter().register_files_update(SOCKET.0, &[-1]);
        }
        self.generation += 1;
        self.is_connected = false;
    }

    #[inline]
    fn room(&mut self) -> &mut [u8] {
        self.tx.get_mut(self.committed..).unwrap_or_default()
    }

    #[inline]
    fn commit(&mut self, len: usize) {
        self.committed += len;
        debug_assert!(self.committed <= TX_BYTES);
    }

    #[inline]
    fn flush(&mut self) {
        self.write();
        self.enter();
    }

    #[inline]
    fn prefetch(&self) {
        prefetch_room(self.tx.get(self.committed..));
    }

    #[inline]
    fn poll(&mut self, mut on: impl FnMut(TransportEvent<'_>)) -> usize {
        let Some(ring) = &mut self.ring else { return 0 };
        if ring.submission().taskrun() {
            self.enter();
        }
        let mut count = 0;
        while count < BATCH {
            let Some(ring) = &mut self.ring else { break };
            let Some(completion) = ring.completion().next() else {
                break;
            };
            count += 1;
            self.on_completion(&completion, &mut on);
        }
        if self.is_refused {
            self.enter();
        }
        if let Some(errno) = self.failed.take() {
            self.close();
            on(TransportEvent::Closed(errno));
            count += 1;
        }
        count
    }
}

impl UringTransport {
    #[inline]
    fn on_completion(
        &mut self,
        completion: &cqueue::Entry,
        on: &mut impl FnMut(TransportEvent<'_>),
    ) {
        let is_current = completion.user_data() >> 8 == self.generation;
        let kind = completion.user_data() & 0xFF;
        let result = completion.result();
        if kind == Kind::Receive as u64 {
            return self.on_received(completion, is_current, on);
        }
        if !is_current {
            return;
        }
        if kind == Kind::Connect as u64 {
            if result < 0 {
                self.close();
                return on(TransportEvent::Closed(-result));
            }
            self.is_connected = true;
            self.receive();
            self.enter();
            on(TransportEvent::Connected);
        } else if kind == Kind::Send as u64
            && let Some(errno) = self.on_sent(result)
        {
            self.close();
            on(TransportEvent::Closed(errno));
        }
    }

    #[inline]
    fn on_received(
        &mut self,
        completion: &cqueue::Entry,
        is_current: bool,
        on: &mut impl FnMut(TransportEvent<'_>),
    ) {
        let result = completion.result();
        let buffer = cqueue::buffer_select(completion.flags());
        if let Some(buffer) = buffer {
            let len = usize::try_from(result).unwrap_or(0);
            if is_current && let Some(bytes) = self.rx.bytes(buffer, len) {
                on(TransportEvent::Bytes(bytes));
            }
            self.rx.lend(buffer);
        }
        if !is_current || cqueue::more(completion.flags()) {
            return;
        }
        // ENOBUFS: every buffer was in use for a moment; they are back now.
        if result > 0 || result == -libc::ENOBUFS {
            self.receive();
            self.enter();
        } else {
            self.close();
            on(TransportEvent::Closed(-result));
        }
    }
}

/// Submits and runs what the kernel deferred to this thread, in one call.
#[inline]
fn submit_and_run_deferred(ring: &IoUring) -> io::Result<()> {
    const GETEVENTS: u32 = 1;
    // SAFETY: reads the queue's length only; nobody else holds the submission queue now.
    let pending = unsafe { ring.submission_shared() }.len();
    let pending = u32::try_from(pending).unwrap_or(0);
    // SAFETY: no argument is passed; the entries were checked when they were pushed.
    unsafe {
        ring.submitter()
            .enter::<libc::sigset_t>(pending, 0, GETEVENTS, None)
    }
    .map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn submission_that_the_kernel_refused_goes_with_the_next_turn() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut transport = UringTransport::new(UringOptions {
            submit: Submit::Enter,
            busy_poll_us: 0,
        })
        .unwrap();
        transport.start().unwrap();
        transport.aim(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
        for errno in [libc::EAGAIN, libc::EBUSY, libc::EINTR] {
            transport.open_socket(|_| Ok(())).unwrap();
            let address: *const libc::sockaddr_in = &raw const *transport.address;
            let entry = opcode::Connect::new(SOCKET, address.cast(), 16).build();
            transport.push(entry, Kind::Connect);
            transport.on_entered(Err(io::Error::from_raw_os_error(errno)));
            let mut connected = 0;
            for _ in 0..1000 {
                transport
                    .poll(|news| connected += u32::from(matches!(news, TransportEvent::Connected)));
            }
            assert_eq!((connected, transport.failed), (1, None));
            transport.close();
        }
    }

    #[test]
    fn another_failure_of_entering_ends_the_connection_with_its_number() {
        let mut transport = UringTransport::new(UringOptions {
            submit: Submit::Enter,
            busy_poll_us: 0,
        })
        .unwrap();
        transport.start().unwrap();
        transport.on_entered(Err(io::Error::from_raw_os_error(libc::EBADFD)));
        let mut closed = Vec::new();
        for _ in 0..10 {
            transport.poll(|news| closed.push(format!("{news:?}")));
        }
        assert_eq!(closed, [format!("Closed({})", libc::EBADFD)]);
    }
}
