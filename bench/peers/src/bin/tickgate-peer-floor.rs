//! Peer: the floor. AF_XDP in, a constant order out by io_uring, and nothing between. No decoding, no book,
//! no risk, no stamps; what the gateway takes longer than this is what its work costs.
//!
//! Path:        frame -> two bytes compared -> constant order patched -> io_uring_enter
//!
//! Arguments as in `peer.h`.

#![allow(
    unsafe_code,
    reason = "io_uring submissions name memory that the kernel reads"
)]

use std::io::Read;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use io_uring::types::Fixed;
use io_uring::{IoUring, opcode};

use lab::peer::{Arguments, Order};
use peers::turns::{self, Exchange};

/// Orders that may be under way at once; a burst of more waits for completions.
const SLOTS: usize = 128;

fn main() -> Result<()> {
    turns::run::<Floor>()
}

/// The connection and its ring.
struct Floor {
    ring: IoUring,
    stream: TcpStream,
    order: Order,
    /// Orders under way lie here until the kernel has taken them.
    slots: Box<[[u8; 128]; SLOTS]>,
    pushed: usize,
    answers: Box<[u8; 4096]>,
}

impl Exchange for Floor {
    fn connect(arguments: &Arguments) -> Result<Self> {
        use std::io::Write as _;
        let until = rt::clock::monotonic_ns() + 5_000_000_000;
        let mut stream = loop {
            match TcpStream::connect(arguments.exchange) {
                Ok(stream) => break stream,
                Err(error) if rt::clock::monotonic_ns() > until => {
                    return Err(error).context("the exchange");
                }
                Err(_) => std::thread::park_timeout(Duration::from_millis(20)),
            }
        };
        stream.set_nodelay(true)?;
        stream.write_all(&arguments.login)?;
        stream.set_nonblocking(true)?;
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(u32::try_from(SLOTS)?)?;
        ring.submitter().register_files(&[stream.as_raw_fd()])?;
        Ok(Self {
            ring,
            stream,
            order: Order::new(arguments.order.clone()),
            slots: Box::new([[0; 128]; SLOTS]),
            pushed: 0,
            answers: Box::new([0; 4096]),
        })
    }

    #[inline]
    fn push(&mut self, seq: u64) {
        let order = self.order.next(seq);
        let Some(slot) = self.slots.get_mut(self.pushed) else {
            return;
        };
        let Some(room) = slot.get_mut(..order.len()) else {
            return;
        };
        room.copy_from_slice(order);
        let len = u32::try_from(room.len()).unwrap_or(0);
        let entry = opcode::Send::new(Fixed(0), room.as_ptr(), len).build();
        // SAFETY: the slot lives in a box beside the ring and is not written again before `submit`
        // has seen the completion.
        if unsafe { self.ring.submission().push(&entry) }.is_ok() {
            self.pushed += 1;
        }
    }

    /// Hands over what was pushed; a TCP send with room completes inside the call.
    #[inline]
    fn submit(&mut self) -> Result<()> {
        if self.pushed == 0 {
            return Ok(());
        }
        self.ring.submit_and_wait(self.pushed)?;
        for completion in self.ring.completion() {
            self.pushed -= 1;
            if completion.result() <= 0 {
                bail!("sending: error {}", -completion.result());
            }
        }
        Ok(())
    }

    fn read(&mut self) -> Result<bool> {
        match self.stream.read(&mut self.answers[..]) {
            Ok(len) => Ok(len > 0),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error).context("reading answers"),
        }
    }

    fn orders(&self) -> u32 {
        self.order.count()
    }
}
