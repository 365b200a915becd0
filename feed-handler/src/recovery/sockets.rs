//! The network of recovery: a UDP socket for each re-request server, one TCP connection for a snapshot.
//!
//! Thread:      recovery core
//! Invariants:  nothing blocks. A UDP socket is connected to its server, so it hears nobody else.
//! When full:   a request that the socket does not take is counted by the caller; a server that does not
//!              read its few bytes is given up with its connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};

use socket2::{Domain, Socket, Type};

use super::wire::{TcpEvent, Wire};
use crate::kept::PACKET_LEN_MAX;

/// Packets of one server that one turn takes.
const PACKETS_EACH: usize = 64;
/// Reads of the connection in one turn, and bytes of each.
const READS_EACH: usize = 16;
const READ_BYTES: usize = 64 * 1024;

/// Sockets.
#[derive(Debug)]
pub struct Sockets {
    requests: Vec<UdpSocket>,
    snapshot_servers: Vec<SocketAddrV4>,
    connection: Connection,
    buffer: Box<[u8]>,
}

#[derive(Debug)]
enum Connection {
    Closed,
    /// It did not come about; to be told.
    Refused,
    Connecting(TcpStream),
    Open(TcpStream),
}

impl Sockets {
    /// Opens a socket for each re-request server; snapshot servers are connected to when they are needed.
    ///
    /// # Errors
    /// The kernel refuses a socket, or there is no way to a server.
    pub fn open(
        request_servers: &[SocketAddrV4],
        snapshot_servers: Vec<SocketAddrV4>,
    ) -> io::Result<Self> {
        let requests = request_servers.iter().map(|server| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.connect(server)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        Ok(Self {
            requests: requests.collect::<io::Result<_>>()?,
            snapshot_servers,
            connection: Connection::Closed,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
        })
    }

    fn begin(&self, server: usize) -> io::Result<TcpStream> {
        let missing = || io::Error::from(ErrorKind::NotFound);
        let address = *self.snapshot_servers.get(server).ok_or_else(missing)?;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&SocketAddr::V4(address).into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            _ => Ok(socket.into()),
        }
    }
}

/// Whether a connection that was begun stands by now.
fn is_connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

impl Wire for Sockets {
    fn request(&mut self, server: usize, packet: &[u8]) -> bool {
        let socket = self.requests.get(server);
        // What an earlier request met ("connection refused") is told by the next call: it is tried again.
        socket.is_some_and(|socket| socket.send(packet).or_else(|_| socket.send(packet)).is_ok())
    }

    fn answers(&mut self, mut on_packet: impl FnMut(usize, &[u8])) -> usize {
        let mut buffer = [0; PACKET_LEN_MAX + 1];
        let mut taken = 0;
        for (server, socket) in self.requests.iter().enumerate() {
            for _ in 0..PACKETS_EACH {
                let Ok(len) = socket.recv(&mut buffer) else {
                    break;
                };
                taken += 1;
                on_packet(server, buffer.get(..len).unwrap_or_default());
            }
        }
        taken
    }

    fn connect(&mut self, server: usize) {
        self.connection = match self.begin(server) {
            Ok(stream) => Connection::Connecting(stream),
            Err(_) => Connection::Refused,
        };
    }

    fn close(&mut self) {
        self.connection = Connection::Closed;
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Connection::Open(stream) = &mut self.connection
            && !stream.write(bytes).is_ok_and(|len| len == bytes.len())
        {
            self.connection = Connection::Refused;
        }
    }

    fn read(&mut self, mut on_event: impl FnMut(TcpEvent<'_>)) -> usize {
        let Self {
            connection, buffer, ..
        } = self;
        let mut events = 0;
        if let Connection::Connecting(stream) = connection {
            match is_connected(stream) {
                Ok(false) => return 0,
                Ok(true) => {
                    let Connection::Connecting(stream) =
                        std::mem::replace(connection, Connection::Closed)
                    else {
                        return 0;
                    };
                    *connection = Connection::Open(stream);
                    on_event(TcpEvent::Connected);
                    return 1;
                }
                Err(_) => *connection = Connection::Refused,
            }
        }
        if let Connection::Open(stream) = connection {
            for _ in 0..READS_EACH {
                match stream.read(buffer) {
                    Ok(0) => {
                        *connection = Connection::Refused;
                        break;
                    }
                    Ok(len) => {
                        events += 1;
                        on_event(TcpEvent::Bytes(buffer.get(..len).unwrap_or_default()));
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => {
                        *connection = Connection::Refused;
                        break;
                    }
                }
            }
        }
        if matches!(connection, Connection::Refused) {
            *connection = Connection::Closed;
            events += 1;
            on_event(TcpEvent::Closed);
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_from_another_address_than_the_servers_is_not_heard() {
        let [server, stranger] = [(); 2].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)));
        let (server, stranger) = (server.unwrap(), stranger.unwrap());
        let port = server.local_addr().unwrap().port();
        let at = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let mut sockets = Sockets::open(&[at], Vec::new()).unwrap();
        assert!(sockets.request(0, b"asked"));
        let (_, us) = server.recv_from(&mut [0; 8]).unwrap();
        stranger.send_to(b"false", us).unwrap();
        server.send_to(b"true", us).unwrap();
        let mut heard = Vec::new();
        while heard.is_empty() {
            sockets.answers(|from, packet| heard.push((from, packet.to_vec())));
        }
        assert_eq!(heard, [(0, b"true".to_vec())]);
    }
}
