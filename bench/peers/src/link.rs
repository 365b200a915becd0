//! An interface whose TCP is this process's own: one AF_XDP socket as smoltcp wants a card.
//!
//! ```text
//!  wire ─> link.bpf.c ─┬─ TCP, ARP ─> receive ring ─> smoltcp ─> TX ring ── kick ─> wire
//!                      └─ the rest ─> kernel
//! ```
//!
//! Invariants:  a frame is with the kernel to receive into, in `held` until the next one is taken, free to send from, or with the
//!              kernel to be sent. The program goes with the process, however it ends.
//! System calls: `sendto` without bytes, one a frame that is sent: the kick. In copy mode the kernel has sent when it returns.
//! When wrong:  a kick that fails is kept in `failed`; TCP sends the frame again.

#![allow(unsafe_code, reason = "AF_XDP rings and packet memory")]

use std::ffi::CString;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail, ensure};
use aya::maps::XskMap;
use aya::programs::links::FdLink;
use aya::programs::{Xdp, XdpMode};
use aya::{Ebpf, include_bytes_aligned};
use feed_handler::xdp::nic;
use smoltcp::phy::{self, Checksum, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use xsk_rs::config::{
    BindFlags, FrameSize, Interface, LibxdpFlags, QueueSize, SocketConfig, UmemConfig,
};
use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue, Socket, TxQueue, Umem};

/// Frames to receive into, and entries of those rings: an exchange's answers to a burst of orders.
const RECEIVE_FRAMES: u32 = 1024;
/// Frames to send from, and entries of those rings.
const SEND_FRAMES: u32 = 256;
const FRAME_BYTES: u32 = 2048;
/// Ethernet's head, and what is behind it at most.
const FRAME_LEN_MAX: usize = 14 + 1500;

/// The socket, and the program that feeds it.
pub struct Link {
    // Dropped in this order: no frame comes any more, then the rings.
    _attached: FdLink,
    _program: Ebpf,
    receiver: Receiver,
    sender: Sender,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Link {
    /// Takes TCP and ARP of an interface with one queue.
    ///
    /// # Errors
    /// `EBUSY`: another program or socket is there. `EPERM`: neither root nor the capabilities. More than one queue.
    pub fn open(interface: &str) -> Result<Self> {
        let queues = nic::receive_queues(interface);
        ensure!(queues == 1, "{interface} has {queues} queues: expected one");
        let (receiver, sender) = open_socket(interface).context("an AF_XDP socket")?;
        let mut ebpf = Ebpf::load(include_bytes_aligned!(concat!(
            env!("OUT_DIR"),
            "/link.bpf.o"
        )))?;
        let sockets = ebpf.map_mut("sockets").context("the map is missing")?;
        XskMap::try_from(sockets)?.set(0, receiver.rx.fd().as_raw_fd(), 0)?;
        let own = ebpf.program_mut("own").context("the program is missing")?;
        let own: &mut Xdp = own.try_into()?;
        own.load()?;
        let index = nic::interface_index(interface)?;
        let id = own.attach_to_if_index(index, XdpMode::Driver)?;
        let Ok(attached) = FdLink::try_from(own.take_link(id)?) else {
            bail!("the kernel has no BPF links for XDP");
        };
        Ok(Self {
            _attached: attached,
            _program: ebpf,
            receiver,
            sender,
        })
    }

    /// The last kick that failed since it was asked for.
    pub fn failed(&mut self) -> Option<io::Error> {
        self.sender.failed.take()
    }
}

impl Device for Link {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = ToSend<'a>;

    #[inline]
    fn receive(&mut self, _now: Instant) -> Option<(Received<'_>, ToSend<'_>)> {
        if !self.sender.has_free() || !self.receiver.take() {
            return None;
        }
        Some((Received(&self.receiver), ToSend(&mut self.sender)))
    }

    #[inline]
    fn transmit(&mut self, _now: Instant) -> Option<ToSend<'_>> {
        self.sender.has_free().then_some(ToSend(&mut self.sender))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_LEN_MAX;
        // A virtual interface hands on what its host has sent without a sum, and says so to the kernel alone.
        capabilities.checksum.tcp = Checksum::Tx;
        capabilities
    }
}

/// A frame that has arrived.
#[derive(Debug)]
pub struct Received<'a>(&'a Receiver);

impl phy::RxToken for Received<'_> {
    #[inline]
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        let Self(receiver) = self;
        let [frame] = &receiver.held;
        // SAFETY: the kernel gave the frame to us; it goes back when the next one is taken.
        let data = unsafe { receiver.umem.data(frame) };
        read(data.contents())
    }
}

/// Leave to send a frame.
#[derive(Debug)]
pub struct ToSend<'a>(&'a mut Sender);

impl phy::TxToken for ToSend<'_> {
    #[inline]
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        self.0.send(len, write)
    }
}

/// The half that receives.
struct Receiver {
    rx: RxQueue,
    fill: FillQueue,
    umem: Umem,
    held: [FrameDesc; 1],
    is_held: bool,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl Receiver {
    /// Takes the next frame, and gives the one before it back.
    #[inline]
    fn take(&mut self) -> bool {
        if self.is_held {
            // SAFETY: the frame is of this memory, and nobody looks at it any more.
            self.is_held = unsafe { self.fill.produce(&self.held) } == 0;
        }
        if !self.is_held {
            // SAFETY: what is received is of this memory: its fill ring holds nothing else.
            self.is_held = unsafe { self.rx.consume(&mut self.held) } == 1;
            return self.is_held;
        }
        false
    }
}

/// The half that sends.
struct Sender {
    tx: TxQueue,
    completion: CompQueue,
    umem: Umem,
    /// The first `free` of them are free.
    frames: Vec<FrameDesc>,
    free: usize,
    failed: Option<io::Error>,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl Sender {
    /// Whether a frame can be sent; what the kernel is done with is taken back only when none is free.
    #[inline]
    fn has_free(&mut self) -> bool {
        if self.free == 0 {
            // SAFETY: what comes back is of this memory, and there is room for all of it: none is free.
            self.free = unsafe { self.completion.consume(&mut self.frames) };
        }
        self.free > 0
    }

    #[inline]
    fn send<R>(&mut self, len: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        let last = self.free.saturating_sub(1);
        let Some(frame) = self.frames.get_mut(last) else {
            unreachable!("leave to send is given while a frame is free");
        };
        // SAFETY: the frame is of this memory, and free.
        let mut data = unsafe { self.umem.data_mut(frame) };
        let mut cursor = data.cursor();
        cursor.set_pos(len);
        let written = write(data.contents_mut());
        // SAFETY: the frame is of this memory, and the kernel's from here on: it is not among the free ones.
        if unsafe { self.tx.produce_one(frame) } == 1 {
            self.free = last;
            if let Err(error) = self.tx.wakeup() {
                self.failed = Some(error);
            }
        }
        written
    }
}

/// Both halves of a socket on the only queue of an interface, in copy mode.
fn open_socket(interface: &str) -> Result<(Receiver, Sender)> {
    let memory = UmemConfig::builder()
        .frame_size(FrameSize::new(FRAME_BYTES)?)
        .fill_queue_size(QueueSize::new(RECEIVE_FRAMES * 2)?)
        .comp_queue_size(QueueSize::new(SEND_FRAMES)?)
        .build()?;
    let count = NonZeroU32::new(RECEIVE_FRAMES + SEND_FRAMES).context("no frames")?;
    let (umem, mut frames) = Umem::new(memory, count, false)?;
    let config = SocketConfig::builder()
        .rx_queue_size(QueueSize::new(RECEIVE_FRAMES)?)
        .tx_queue_size(QueueSize::new(SEND_FRAMES)?)
        .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
        .bind_flags(BindFlags::XDP_COPY | BindFlags::XDP_USE_NEED_WAKEUP)
        .build();
    let name = Interface::new(CString::new(interface)?);
    // SAFETY: no default program is loaded.
    let (tx, rx, rings) = unsafe { Socket::new(config, &umem, &name, 0) }?;
    let (mut fill, completion) = rings.context("another socket has the queue")?;
    let receiving = frames.split_off(SEND_FRAMES as usize);
    let blank = *receiving.first().context("no frames")?;
    // SAFETY: they are of this memory, and nobody else's from here on.
    let given = unsafe { fill.produce(&receiving) };
    ensure!(given == receiving.len(), "the fill ring has no room");
    let receiver = Receiver {
        rx,
        fill,
        umem: umem.clone(),
        held: [blank],
        is_held: false,
    };
    let sender = Sender {
        tx,
        completion,
        umem,
        free: frames.len(),
        frames,
        failed: None,
    };
    Ok((receiver, sender))
}
