//! A broker that is none: it takes connections, and says whatever the test says.
//! Spec: MQTT 5.0, 2.1 (fixed header), 3 (packets)

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// A connection, accepted; without properties.
pub(crate) const CONNACK: [u8; 5] = [0x20, 3, 0, 0, 0];
/// The same, refused: not authorized.
pub(crate) const REFUSED: [u8; 5] = [0x20, 3, 0, 0x87, 0];
/// Of a message that nobody has published.
pub(crate) const STRAY_PUBACK: [u8; 4] = [0x40, 2, 0x7F, 0xFF];
/// The beginning of a message of 256 MiB.
pub(crate) const HUGE: [u8; 5] = [0x30, 0xFF, 0xFF, 0xFF, 0x7F];
/// The property that gives a topic a number.
pub(crate) const TOPIC_ALIAS: u8 = 35;
/// Against a hang only.
const LONG: Duration = Duration::from_secs(20);

/// What the first byte of a packet says.
pub(crate) mod kind {
    pub(crate) const CONNECT: u8 = 1;
    pub(crate) const PUBLISH: u8 = 3;
    pub(crate) const PUBACK: u8 = 4;
    pub(crate) const SUBSCRIBE: u8 = 8;
}

/// One that listens.
pub(crate) struct Liar(TcpListener);

/// A client of its, which has said CONNECT.
pub(crate) struct Victim(TcpStream);

/// What it said.
#[derive(Debug)]
pub(crate) struct Packet {
    first: u8,
    body: Vec<u8>,
}

impl Liar {
    pub(crate) fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").expect("a port"))
    }

    pub(crate) fn address(&self) -> String {
        self.0.local_addr().expect("bound").to_string()
    }

    pub(crate) fn next(&self) -> Victim {
        let (stream, _) = self.0.accept().expect("a client");
        stream.set_read_timeout(Some(LONG)).expect("set");
        let mut victim = Victim(stream);
        let hello = victim.hear().expect("it says something");
        assert_eq!(hello.kind(), kind::CONNECT);
        victim
    }
}

impl Victim {
    /// Says it; `false`: the client has gone.
    pub(crate) fn say(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// The client's next packet; `None`: it has gone.
    pub(crate) fn hear(&mut self) -> Option<Packet> {
        let [first] = self.bytes::<1>()?;
        let mut len = 0;
        for shift in [0, 7, 14, 21] {
            let [byte] = self.bytes::<1>()?;
            len |= usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; len];
        self.0.read_exact(&mut body).ok()?;
        Some(Packet { first, body })
    }

    fn bytes<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        let mut bytes = [0; LEN];
        match self.0.read_exact(&mut bytes) {
            Ok(()) => Some(bytes),
            Err(error) => {
                let waits = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(!waits, "it says nothing, and stays");
                None
            }
        }
    }

    /// Hears it until it has gone.
    pub(crate) fn is_left(&mut self) {
        while self.hear().is_some() {}
    }
}

impl Packet {
    pub(crate) fn kind(&self) -> u8 {
        self.first >> 4
    }

    /// Of a message that wants to be acknowledged: the acknowledgement.
    pub(crate) fn acknowledgement(&self) -> Option<[u8; 4]> {
        let is_it = self.kind() == kind::PUBLISH && self.first & 6 == 2;
        let at = 2 + usize::from(u16::from_be_bytes([self.body[0], self.body[1]]));
        is_it.then(|| [0x40, 2, self.body[at], self.body[at + 1]])
    }

    /// Of a message without properties: its topic, and its text.
    pub(crate) fn message(&self) -> (String, String) {
        let end = 2 + usize::from(u16::from_be_bytes([self.body[0], self.body[1]]));
        let number = if self.first & 6 == 0 { 0 } else { 2 };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let payload = &self.body[end + number + 1..];
        (text(&self.body[2..end]), text(payload))
    }
}

/// A message with this number, 0: that nobody has to acknowledge, and these properties.
pub(crate) fn publish(topic: &str, number: u16, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(topic.len()).expect("short");
    let mut body = [&len.to_be_bytes(), topic.as_bytes()].concat();
    if number > 0 {
        body.extend(number.to_be_bytes());
    }
    body.push(u8::try_from(properties.len()).expect("short"));
    body.extend(properties);
    body.extend(payload);
    let mut out = vec![if number > 0 { 0x32 } else { 0x30 }];
    let mut len = body.len();
    while len > 127 {
        out.push(0x80 | u8::try_from(len & 127).expect("small"));
        len >>= 7;
    }
    out.push(u8::try_from(len).expect("small"));
    out.extend(body);
    out
}
