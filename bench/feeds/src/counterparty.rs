//! The exchange on the sender's own core, polled between packets: for measuring.
//!
//! A server that sleeps must be woken for each order, and the wake-up (tens of microseconds on a
//! virtual machine) is paid by whoever sends. Exchanges poll; so does this one. Session and matching
//! rule are order-sim's own.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result};
use order_sim::exchange::{Exchange, origin_seq};
use order_sim::file;
use order_sim::options::Options;
use order_sim::session::{Received, Session, SessionEvent};
use rt::clock::{DAY_NS, realtime_ns};
use rt::wire_stamps::WireStamps;

const BUFFER_BYTES: usize = 64 * 1024;

/// The exchange.
#[derive(Debug)]
pub(crate) struct Counterparty {
    options: Options,
    listener: TcpListener,
    client: Option<(TcpStream, Session)>,
    exchange: Exchange,
    buffer: Vec<u8>,
    out: Vec<u8>,
    heard: u64,
    /// Answers wait this long: a slow exchange.
    hold_ns: u64,
    answer_after_ns: u64,
}

impl Counterparty {
    /// Listens, with one account `demo`, password `demo`.
    ///
    /// # Errors
    /// The address is taken.
    pub(crate) fn open(address: SocketAddr, hold_ns: u64) -> Result<Self> {
        let text = format!(
            "address = \"{address}\"\nfill_every = 2\n[account.demo]\npassword = \"demo\"\n\
             orders_max = 2000000\n[engine]\norders_max = 2000000\n"
        );
        let options = file::parse(&text).map_err(anyhow::Error::msg)?.exchange;
        let listener =
            TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            exchange: Exchange::new(&options, realtime_ns() % DAY_NS),
            options,
            listener,
            client: None,
            buffer: vec![0; BUFFER_BYTES],
            out: Vec::with_capacity(BUFFER_BYTES),
            heard: 0,
            hold_ns,
            answer_after_ns: 0,
        })
    }

    /// Whether a client has logged in and sent its first message: orders can follow.
    #[must_use]
    pub(crate) fn is_ready(&self) -> bool {
        self.heard > 0
    }

    /// Takes what has arrived, stamps it, answers. A connection that fails is dropped; the gateway
    /// comes back.
    pub(crate) fn poll(&mut self, now_ns: impl Fn() -> u64, stamps: Option<&WireStamps>) {
        if self.client.is_none() {
            self.accept(now_ns());
            return;
        }
        if self.serve(now_ns, stamps).is_none() {
            self.client = None;
        }
    }

    fn accept(&mut self, now_ns: u64) {
        let Ok((stream, _)) = self.listener.accept() else {
            return;
        };
        // A connection that cannot be set up is dropped at once.
        if stream.set_nonblocking(true).is_ok() && stream.set_nodelay(true).is_ok() {
            self.client = Some((stream, Session::new(now_ns)));
        }
    }

    /// `None`: the connection is over.
    fn serve(&mut self, clock: impl Fn() -> u64, stamps: Option<&WireStamps>) -> Option<()> {
        let Self {
            options,
            client,
            exchange,
            buffer,
            out,
            heard,
            hold_ns,
            answer_after_ns,
            ..
        } = self;
        let (stream, session) = client.as_mut()?;
        let len = match stream.read(buffer) {
            Ok(0) => return None,
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return None,
        };
        if len > 0 {
            let now_ns = clock();
            let bytes = buffer.get(..len).unwrap_or_default();
            let received = Received { bytes, now_ns };
            let result = session.on_bytes(received, options, out, |said| match said {
                SessionEvent::LoggedIn(account) => exchange.stored(account),
                SessionEvent::Message(account, message) => {
                    *heard += 1;
                    if let (Some(stamps), Some(seq)) = (stamps, origin_seq(message)) {
                        stamps.set_received(seq, now_ns);
                    }
                    exchange.advance(realtime_ns() % DAY_NS);
                    exchange.on_message(account, message);
                    0
                }
            });
            result.ok()?;
            if *heard > 1 {
                *answer_after_ns = now_ns + *hold_ns;
            }
            let message = |account, at| exchange.message(account, at);
            session
                .write_stored(message, BUFFER_BYTES, None, out)
                .ok()?;
        } else {
            session.on_timeout(clock(), out).ok()?;
        }
        if !out.is_empty() && (*hold_ns == 0 || clock() >= *answer_after_ns) {
            // Small answers on an empty socket: a partial write would mean that nobody reads.
            let written = stream.write(out).ok()?;
            session.on_sent(clock());
            out.drain(..written);
        }
        Some(())
    }
}
