//! Any bytes, cut anywhere, at the exchange's ports: order entry before and after a login, re-requests, and
//! the configuration file. The same bytes are answered the same in any pieces, every answer is one, silence ends a
//! session when it should, and whoever logs in afterwards can trade.
use std::sync::LazyLock;

use order_sim::exchange::Exchange;
use order_sim::file;
use order_sim::options::Options;
use order_sim::session::{Received, Session, SessionEvent};
use protocol::mold;
use protocol::ouch::{AccountQuery, EnterOrder, Outbound};
use protocol::soup::{self, Packet, kind};
use protocol::types::{Price4, Qty, Symbol, UserRefNum};
use zerocopy::FromBytes;

static OPTIONS: LazyLock<Options> = LazyLock::new(|| {
    let text = "address = \"127.0.0.1:1\"\n[engine]\norders_max = 64\nlevels_max = 8\ntrades_max = 8\n\
                [[symbol]]\nname = \"A\"\nprice = \"1.00\"\n\
                [feed]\nkeep = 16\nlines = [{ address = \"127.0.0.1:2\" }]\n[account.a]\npassword = \"p\"\n\
                [account.b]\npassword = \"another\"\n";
    file::parse(text).expect("sane").exchange
});
/// Orders that there is room for.
const ORDERS_MAX: usize = 64;
/// A login of account `a` that asks for number 1.
const LOGIN: &[u8] = b"\0\x2FLa     p                            1";
/// The same of account `b`.
const LOGIN_B: &[u8] = b"\0\x2FLb     another                      1";
/// Bytes that one call writes at most.
const WRITE_BYTES: usize = 512;
/// SoupBinTCP section 2: the server says that it lives after a second.
const HEARTBEAT_NS: u64 = 1_000_000_000;
/// "Typically": a silent client is cut off after 15 s, one that does not log in after 30 s.
const CLIENT_TIMEOUT_NS: u64 = 15_000_000_000;
const LOGIN_TIMEOUT_NS: u64 = 30_000_000_000;

/// A client, and what it was told.
struct Client {
    session: Session,
    out: Vec<u8>,
    is_over: bool,
}

impl Client {
    fn new(now_ns: u64) -> Self {
        Self {
            session: Session::new(now_ns),
            out: Vec::new(),
            is_over: false,
        }
    }

    /// Its bytes come in pieces of this size, and what it is to be told goes out; nothing after the end.
    fn say(&mut self, exchange: &mut Exchange, bytes: &[u8], piece: usize, now_ns: u64) {
        for bytes in bytes.chunks(piece.max(1)) {
            if self.is_over {
                return;
            }
            let received = Received { bytes, now_ns };
            let hear = |heard: SessionEvent<'_>| match heard {
                SessionEvent::LoggedIn(account) => exchange.stored(account),
                SessionEvent::Message(account, message) => {
                    exchange.advance(now_ns);
                    exchange.on_message(account, message);
                    0
                }
            };
            let taken = (self.session).on_bytes(received, &OPTIONS, &mut self.out, hear);
            self.is_over = taken.is_err();
        }
    }

    /// Everything that it is to be told, as a socket would take it.
    fn take_all(&mut self, exchange: &Exchange) {
        loop {
            let mut out = Vec::new();
            let message = |account, index| exchange.message(account, index);
            let written = (self.session).write_stored(message, WRITE_BYTES, None, &mut out);
            assert!(written.is_ok(), "nothing is to be cut");
            if out.is_empty() {
                return;
            }
            self.out.append(&mut out);
        }
    }

    /// The messages with a number that it was told, in order: its answers are packets that there are, and OUCH.
    fn answers(&self) -> Vec<&[u8]> {
        let (mut rest, mut answers) = (&self.out[..], Vec::new());
        while let Some((packet, after)) = Packet::decode(rest).expect("in step") {
            match packet.kind {
                kind::SEQUENCED => {
                    Outbound::decode(packet.payload).expect("an answer");
                    answers.push(packet.payload);
                }
                kind::LOGIN_ACCEPTED => assert_eq!(packet.payload.len(), 30),
                kind::LOGIN_REJECTED => assert!(matches!(packet.payload, b"A" | b"S")),
                other => panic!("{other} was not asked for"),
            }
            rest = after;
        }
        assert_eq!(rest, b"", "whole packets");
        answers
    }
}

/// A message as a packet.
fn unsequenced(encode: impl FnOnce(&mut [u8]) -> Option<usize>) -> Vec<u8> {
    let mut packet = [0; 128];
    let len = soup::frame(kind::UNSEQUENCED, &mut packet, encode).expect("room");
    packet[..len].to_vec()
}

fn login(of: &[u8]) -> Vec<u8> {
    let mut login = of.to_vec();
    login.resize(49, b' ');
    login
}

/// An exchange that has heard these bytes in such pieces, and who said them.
fn conversation(data: &[u8], is_logged_in: bool, piece: usize) -> (Exchange, Client) {
    let mut exchange = Exchange::new(&OPTIONS, 0);
    let mut client = Client::new(0);
    if is_logged_in {
        client.say(&mut exchange, &login(LOGIN), usize::MAX, 0);
        assert!(client.session.place().is_some(), "the login is good");
    }
    client.say(&mut exchange, data, piece, 0);
    client.take_all(&exchange);
    (exchange, client)
}

/// Whoever comes afterwards can log in, ask, order, and is told of it all.
fn trades_afterwards(exchange: &mut Exchange) {
    let mut client = Client::new(2_000_000);
    let number = UserRefNum(1);
    let query = unsequenced(|body| {
        AccountQuery {
            kind: AccountQuery::KIND,
        }
        .encode(&[], body)
    });
    let enter = unsequenced(|body| {
        EnterOrder {
            kind: EnterOrder::KIND,
            user_ref: number.into(),
            side: b'B',
            qty: Qty(1).into(),
            symbol: Symbol(*b"A       "),
            price: Price4(100).into(),
            time_in_force: b'0',
            display: b'Y',
            capacity: b'P',
            iso: b'N',
            cross: b'N',
            client_order_id: [b' '; 14],
        }
        .encode(&[], body)
    });
    let live = exchange.engine().totals().live;
    for said in [login(LOGIN_B), query, enter] {
        client.say(exchange, &said, usize::MAX, 2_000_000);
    }
    client.take_all(exchange);
    assert!(!client.is_over && client.session.place().is_some());
    let answers = client.answers();
    let [first, second, ..] = answers[..] else {
        panic!("{} answers", answers.len())
    };
    match Outbound::decode(first) {
        Ok((Outbound::AccountQueryResponse(m), _)) => assert_eq!(m.next_user_ref.get(), number),
        other => panic!("{other:?}"),
    }
    match Outbound::decode(second) {
        Ok((Outbound::OrderAccepted(m), _)) => assert_eq!(m.user_ref.get(), number),
        other => assert!(
            usize::try_from(live).unwrap_or(0) >= ORDERS_MAX,
            "{other:?}"
        ),
    }
}

/// Silence: a heartbeat each second, and the end when it has lasted too long.
fn judge_silence(client: &mut Client) {
    let is_logged_in = client.session.place().is_some();
    let timeout_ns = if is_logged_in {
        CLIENT_TIMEOUT_NS
    } else {
        LOGIN_TIMEOUT_NS
    };
    let (mut now_ns, mut sent_ns) = (0, 0);
    loop {
        now_ns += HEARTBEAT_NS / 2 + 1;
        let mut out = Vec::new();
        let is_over = client.session.on_timeout(now_ns, &mut out).is_err();
        assert_eq!(is_over, now_ns > timeout_ns, "silent until {now_ns}");
        if is_over {
            return;
        }
        let is_due = is_logged_in && now_ns - sent_ns >= HEARTBEAT_NS;
        assert_eq!(out, if is_due { &b"\0\x01H"[..] } else { b"" });
        if is_due {
            sent_ns = now_ns;
        }
    }
}

/// What is answered to a re-request is what was asked for, whole.
fn judge_rerequest(request: &[u8]) {
    let mut exchange = Exchange::new(&OPTIONS, 0);
    let mut reply = [0; 2048];
    let Some((answer, _)) = exchange.on_rerequest(request, &mut reply) else {
        return;
    };
    let packet = mold::Packet::decode(answer).expect("a packet");
    let asked = mold::Header::ref_from_bytes(request).expect("a request");
    assert!(packet.is_exact() && packet.header.count.get() <= asked.count.get());
    assert_eq!(
        (packet.header.session, packet.header.seq),
        (asked.session, asked.seq)
    );
}

/// One input.
pub(crate) fn run(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    if choice & 3 == 3 {
        let _ = file::parse(&String::from_utf8_lossy(data));
        return;
    }
    judge_rerequest(data);
    let is_logged_in = choice & 1 == 1;
    let (mut exchange, mut client) = conversation(data, is_logged_in, usize::MAX);
    client.answers();
    for piece in [usize::from(choice >> 2), 1] {
        let (_, other) = conversation(data, is_logged_in, piece);
        assert_eq!((&other.out, other.is_over), (&client.out, client.is_over));
        assert_eq!(other.session.place(), client.session.place());
    }
    trades_afterwards(&mut exchange);
    // A login of its own may have named another time.
    let is_own = !is_logged_in && client.session.place().is_some();
    if !client.is_over && !is_own {
        judge_silence(&mut client);
    }
}

/// What to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let enter = [
        b"\0\x30UO\0\0\0\x01B\0\0\0\x05A       ",
        &[0, 0, 0, 0, 0, 0, 0, 100][..],
        b"0YPNN",
        &[b' '; 14],
        &[0; 2],
    ]
    .concat();
    let mut request = b"\x02          ".to_vec();
    request.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 0, 5]);
    vec![
        [b"\x09", &enter[..]].concat(),
        [b"\x15", &enter[..], b"\0\x01R\0\x02UQ\0\x01O"].concat(),
        [b"\x08", &login(LOGIN)[..]].concat(),
        // Longer than any packet may be.
        [b"\xFD\x04\x4CU", &[b'x'; 1099][..], &enter].concat(),
        request,
        b"\x03address = \"127.0.0.1:1\"\n".to_vec(),
    ]
}
