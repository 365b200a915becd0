//! The feed's sockets: packets out on each line, re-requests in and answered.

use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::{Line, Options, Shared};
use crate::exchange::Exchange;

/// Kernel buffer of each line: a burst must not be lost before it leaves.
const SEND_BUFFER_BYTES: usize = 8 << 20;
/// Packets that one call sends on a line before clients get their turn.
const PACKETS_AT_ONCE: usize = 512;
const DATAGRAM_BYTES: usize = 65_536;

#[derive(Debug)]
pub(super) struct Lines {
    lines: Vec<(UdpSocket, SocketAddr)>,
    rerequest: Option<SocketAddr>,
}

impl Lines {
    pub(super) fn open(options: &Options) -> Result<Self, String> {
        let lines = options.lines.iter().map(|line| {
            let socket = open(line).map_err(|error| format!("line {}: {error}", line.address))?;
            Ok((socket, line.address.into()))
        });
        Ok(Self {
            lines: lines.collect::<Result<_, String>>()?,
            rerequest: options.rerequest.map(Into::into),
        })
    }

    /// Sends what is due. `on_sent` hears of each message's number as it leaves on the first line.
    pub(super) fn send(&self, exchange: &mut Exchange, mut on_sent: impl FnMut(u64)) {
        for (at, (socket, address)) in self.lines.iter().enumerate() {
            for _ in 0..PACKETS_AT_ONCE {
                let Some(packet) = exchange.take_packet(at) else {
                    break;
                };
                if at == 0 {
                    exchange.numbers_in(&packet).for_each(&mut on_sent);
                }
                // EAGAIN, ENOBUFS: the packet is lost, as on a wire. ECONNREFUSED: nobody listens on a
                // unicast address; it is sent all the same.
                if let Err(error) = socket.send_to(&packet, address)
                    && error.kind() != std::io::ErrorKind::ConnectionRefused
                    && let Some(counters) = exchange.feed_counters()
                {
                    counters.packets_lost.increment();
                }
            }
        }
    }

    /// Starts answering re-requests.
    pub(super) fn listen(&self, shared: &Rc<Shared>) -> Result<(), String> {
        let Some(address) = self.rerequest else {
            return Ok(());
        };
        let socket = UdpSocket::bind(address)
            .map_err(|error| format!("re-requests on {address}: {error}"))?;
        socket
            .set_nonblocking(true)
            .map_err(|error| error.to_string())?;
        let socket = tokio_uring::net::UdpSocket::from_std(socket);
        tokio_uring::spawn(answer(socket, Rc::clone(shared)));
        Ok(())
    }
}

async fn answer(socket: tokio_uring::net::UdpSocket, shared: Rc<Shared>) {
    let (mut buffer, mut reply) = (vec![0; DATAGRAM_BYTES], vec![0; DATAGRAM_BYTES]);
    loop {
        let (result, back) = socket.recv_from(buffer).await;
        buffer = back;
        let Ok((len, peer)) = result else { continue };
        let request = buffer.get(..len).unwrap_or_default();
        let answer = shared
            .exchange
            .borrow_mut()
            .on_rerequest(request, &mut reply)
            .map(|(answer, late_ns)| (answer.to_vec(), late_ns));
        if let Some((answer, late_ns)) = answer {
            if late_ns > 0 {
                tokio::time::sleep(Duration::from_nanos(late_ns)).await;
            }
            // Lost on the way: the client asks again.
            let _ = socket.send_to(answer, peer).await;
        }
    }
}

fn open(line: &Line) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // A smaller buffer than asked for is what the host allows.
    let _ = socket.set_send_buffer_size(SEND_BUFFER_BYTES);
    if line.address.ip().is_multicast() {
        if let Some(interface) = line.interface {
            socket.set_multicast_if_v4(&interface)?;
        }
        socket.set_multicast_ttl_v4(1)?;
    } else if let Some(interface) = line.interface {
        socket.bind(&SocketAddr::from((interface, 0)).into())?;
    }
    Ok(socket.into())
}
