//! Peer: a TCP that is a library in user space. What the floor does, with smoltcp on an AF_XDP socket instead of the kernel's TCP
//! by io_uring.
//!
//! Path:        frame -> two bytes compared -> constant order patched -> smoltcp -> AF_XDP
//!
//! Arguments as in `peer.h`.

use anyhow::{Context, Result, bail, ensure};
use lab::peer::{Arguments, Order};
use peers::feed::Place;
use peers::link::Link;
use peers::turns::{self, Exchange};
use rt::clock::Clock;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpCidr};

/// Bytes under way in each direction at most.
const BUFFER_BYTES: usize = 1 << 16;
/// The first port of those that nobody is given (RFC 6335), and how many there are.
const PORTS: [u16; 2] = [49_152, 16_384];
/// How long a connection may take to come, and to go.
const PATIENCE_NS: u64 = 5_000_000_000;

fn main() -> Result<()> {
    turns::run::<Smoltcp>()
}

/// The connection.
struct Smoltcp {
    clock: Clock,
    link: Link,
    stack: Interface,
    sockets: SocketSet<'static>,
    connection: SocketHandle,
    order: Order,
    /// An order found no room.
    is_full: bool,
}

impl Exchange for Smoltcp {
    fn connect(arguments: &Arguments) -> Result<Self> {
        let exchange = *arguments.exchange.ip();
        let place = Place::all()?
            .into_iter()
            .find(|place| place.is_beside(exchange))
            .with_context(|| format!("no interface beside {exchange}"))?;
        let card = std::fs::read_to_string(format!("/sys/class/net/{}/address", place.interface))?;
        let card: EthernetAddress = card
            .trim()
            .parse()
            .map_err(|()| anyhow::anyhow!("{card} is no Ethernet address"))?;
        let mut link = Link::open(&place.interface)?;
        let clock = Clock::new();
        let seed = rt::clock::monotonic_ns() ^ u64::from(std::process::id()).rotate_left(32);
        let mut config = Config::new(card.into());
        config.random_seed = seed;
        let mut stack = Interface::new(config, &mut link, now(&clock));
        stack.update_ip_addrs(|addresses| {
            // There is room: it is the first one.
            let _ = addresses.push(IpCidr::new(place.address.into(), place.prefix_bits));
        });
        let buffer = || SocketBuffer::new(vec![0; BUFFER_BYTES]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        let [first, count] = PORTS;
        let port = first + u16::try_from(seed % u64::from(count))?;
        let to = (exchange, arguments.exchange.port());
        socket
            .connect(stack.context(), to, (place.address, port))
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        let mut sockets = SocketSet::new(Vec::new());
        let connection = sockets.add(socket);
        let mut it = Self {
            clock,
            link,
            stack,
            sockets,
            connection,
            order: Order::new(arguments.order.clone()),
            is_full: false,
        };
        it.poll_until(|socket| socket.may_send())
            .context("the exchange")?;
        ensure!(it.send(&arguments.login), "no room for the login");
        it.poll_until(|socket| socket.send_queue() == 0)
            .context("the login")?;
        Ok(it)
    }

    #[inline]
    fn push(&mut self, seq: u64) {
        let order = self.order.next(seq);
        let socket: &mut Socket<'_> = self.sockets.get_mut(self.connection);
        self.is_full |= socket.send_slice(order) != Ok(order.len());
    }

    #[inline]
    fn submit(&mut self) -> Result<()> {
        ensure!(!self.is_full, "smoltcp has no room for an order");
        let now = now(&self.clock);
        self.stack
            .poll_egress(now, &mut self.link, &mut self.sockets);
        match self.link.failed() {
            Some(error) => Err(error).context("sending"),
            None => Ok(()),
        }
    }

    fn read(&mut self) -> Result<bool> {
        self.poll();
        let socket = self.socket();
        // An error says that there is nothing.
        let _ = socket.recv(|bytes| (bytes.len(), ()));
        Ok(socket.may_recv())
    }

    fn orders(&self) -> u32 {
        self.order.count()
    }

    fn close(&mut self) {
        self.socket().close();
        // It may have gone without a word.
        let _ = self.poll_until(|socket| !socket.may_recv());
    }
}

impl Smoltcp {
    fn poll_until(&mut self, is_done: impl Fn(&Socket<'_>) -> bool) -> Result<()> {
        let until_ns = self.clock.now_ns() + PATIENCE_NS;
        while !is_done(self.sockets.get(self.connection)) {
            if self.clock.now_ns() > until_ns {
                let state = self.sockets.get::<Socket<'_>>(self.connection).state();
                bail!("it stays in state {state}");
            }
            self.poll();
        }
        Ok(())
    }

    /// Everything that arrived, and all that is due.
    fn poll(&mut self) {
        let now = now(&self.clock);
        self.stack.poll(now, &mut self.link, &mut self.sockets);
    }

    #[inline]
    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.connection)
    }

    /// Whether all of it is smoltcp's.
    #[inline]
    fn send(&mut self, bytes: &[u8]) -> bool {
        self.socket().send_slice(bytes) == Ok(bytes.len())
    }
}

fn now(clock: &Clock) -> Instant {
    Instant::from_micros(i64::try_from(clock.now_ns() / 1000).unwrap_or(i64::MAX))
}
