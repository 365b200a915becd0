//! Peer: the floor past the kernel's TCP. AF_XDP in, a constant order out by the gateway's own delegated transport, and nothing
//! between: what a delegated gateway takes longer than this is what its work costs.
//!
//! Path:        frame -> two bytes compared -> constant order patched -> segment, kick, io_uring_enter
//!
//! Arguments as in `peer.h`.

use std::net::SocketAddrV4;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gateway::order::transport::delegated::DelegatedOptions;
use gateway::order::transport::{Transport, TransportEvent, TransportOptions, TransportUser, Way};
use lab::peer::{Arguments, Order};
use peers::turns::{self, Exchange};
use rt::clock::monotonic_ns;

/// How long the exchange may take to be there, ns.
const PATIENCE_NS: u64 = 5_000_000_000;

fn main() -> Result<()> {
    turns::run::<Floor>()
}

/// What was heard of the connection.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    is_connected: bool,
    closed: Option<i32>,
}

/// A transport, whose type has no name here.
trait Line {
    fn connect(&mut self, to: SocketAddrV4);
    /// Whether there was room.
    fn put(&mut self, bytes: &[u8]) -> bool;
    fn flush(&mut self);
    fn poll(&mut self) -> Heard;
    fn close(&mut self);
}

impl<T: Transport> Line for T {
    fn connect(&mut self, to: SocketAddrV4) {
        Transport::connect(self, to);
    }

    fn put(&mut self, bytes: &[u8]) -> bool {
        let Some(room) = self.room().get_mut(..bytes.len()) else {
            return false;
        };
        room.copy_from_slice(bytes);
        self.commit(bytes.len());
        true
    }

    fn flush(&mut self) {
        Transport::flush(self);
    }

    fn poll(&mut self) -> Heard {
        let mut heard = Heard::default();
        Transport::poll(self, |event| match event {
            TransportEvent::Connected => heard.is_connected = true,
            TransportEvent::Closed(errno) => heard.closed = Some(errno),
            TransportEvent::Bytes(_) => {}
        });
        heard
    }

    fn close(&mut self) {
        Transport::close(self);
    }
}

/// Starts it, and keeps it.
struct Open;

impl TransportUser for Open {
    type Made = Result<Box<dyn Line>>;

    fn with<T: Transport + Send + 'static>(self, mut transport: T) -> Self::Made {
        transport.start()?;
        Ok(Box::new(transport))
    }
}

/// The connection.
struct Floor {
    line: Box<dyn Line>,
    order: Order,
    is_over: bool,
}

impl Floor {
    /// Until the exchange is there.
    fn await_exchange(&mut self, at: SocketAddrV4) -> Result<()> {
        let until_ns = monotonic_ns() + PATIENCE_NS;
        self.line.connect(at);
        loop {
            let heard = self.line.poll();
            if heard.is_connected {
                return Ok(());
            }
            if monotonic_ns() > until_ns {
                bail!("the exchange: {:?} at {at}", heard.closed);
            }
            if heard.closed.is_some() {
                std::thread::park_timeout(Duration::from_millis(20));
                self.line.connect(at);
            }
        }
    }
}

impl Exchange for Floor {
    fn connect(arguments: &Arguments) -> Result<Self> {
        let options = TransportOptions {
            delegated: DelegatedOptions {
                session: "floor".to_owned(),
                exchange: Some(*arguments.exchange.ip()),
                is_required: true,
                ..DelegatedOptions::NONE
            },
            ..TransportOptions::PLAIN
        };
        let line = Way::Delegated.open(&options, Open).context("the lane")??;
        let order = Order::new(arguments.order.clone());
        let mut floor = Self {
            line,
            order,
            is_over: false,
        };
        floor.await_exchange(arguments.exchange)?;
        if !floor.line.put(&arguments.login) {
            bail!("no room for the login");
        }
        floor.line.flush();
        Ok(floor)
    }

    #[inline]
    fn push(&mut self, seq: u64) {
        // Without room it is not sent, which the laboratory sees.
        self.line.put(self.order.next(seq));
    }

    #[inline]
    fn submit(&mut self) -> Result<()> {
        self.line.flush();
        // What the kernel has taken by now need not be waited for by the next.
        self.read().map(|_| ())
    }

    #[inline]
    fn read(&mut self) -> Result<bool> {
        self.is_over |= self.line.poll().closed.is_some();
        Ok(!self.is_over)
    }

    fn orders(&self) -> u32 {
        self.order.count()
    }

    fn close(&mut self) {
        self.line.close();
    }
}
