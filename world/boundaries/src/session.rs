//! Any bytes, cut anywhere, at the exchange's ports: order entry before and after a login, re-requests, and
//! the configuration file.
use std::sync::LazyLock;

use order_sim::exchange::Exchange;
use order_sim::file;
use order_sim::options::Options;
use order_sim::session::{Received, Session, SessionEvent};

static OPTIONS: LazyLock<Options> = LazyLock::new(|| {
    let text = "address = \"127.0.0.1:1\"\n[engine]\norders_max = 64\nlevels_max = 8\ntrades_max = 8\n\
                [feed]\nkeep = 16\nlines = [{ address = \"127.0.0.1:2\" }]\n[account.a]\npassword = \"p\"\n";
    file::parse(text).expect("sane").exchange
});
/// A login of account `a` that asks for number 1.
const LOGIN: &[u8] = b"\0\x2FLa     p                            1";

/// One input.
pub(crate) fn run(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    if choice & 3 == 3 {
        let _ = file::parse(&String::from_utf8_lossy(data));
        return;
    }
    let mut exchange = Exchange::new(&OPTIONS, 0);
    let mut reply = [0; 2048];
    let _ = exchange.on_rerequest(data, &mut reply);
    let mut session = Session::new(0);
    let (mut out, mut now) = (Vec::new(), 0);
    let mut login = LOGIN.to_vec();
    login.resize(49, b' ');
    let mut rest = data;
    let mut say = |bytes: &[u8], exchange: &mut Exchange, now: u64| {
        let received = Received { bytes, now_ns: now };
        session.on_bytes(received, &OPTIONS, &mut out, |heard| match heard {
            SessionEvent::LoggedIn(account) => exchange.stored(account),
            SessionEvent::Message(account, message) => {
                exchange.advance(now);
                exchange.on_message(account, message);
                0
            }
        })
    };
    if choice & 1 == 1 && say(&login, &mut exchange, now).is_err() {
        panic!("the login is good");
    }
    let step = usize::from(choice >> 2).max(1);
    while !rest.is_empty() {
        let (bytes, after) = rest.split_at(step.min(rest.len()));
        rest = after;
        now += 1_000_000;
        if say(bytes, &mut exchange, now).is_err() {
            break;
        }
    }
}

/// What to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let enter = [b"\0\x30UO\0\0\0\x01B\0\0\0\x05A       ", &[0; 40][..]].concat();
    let mut request = b"\x02          ".to_vec();
    request.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 0, 5]);
    vec![
        [b"\x09", &enter[..]].concat(),
        [b"\x08", LOGIN].concat(),
        request,
        b"\x03address = \"127.0.0.1:1\"\n".to_vec(),
    ]
}
