//! Any bytes as a journal, as they are or as records behind a sound head: read, filtered, shown, made into orders and
//! executions as an export does and into what a gateway knows at its start, never a panic, and what is given out is
//! what was written. Records of every kind, most of them with a payload of their kind: what they come to is counted a second
//! time (`naive`).

mod naive;

use crate::answers;
use crate::input::Input;
use gateway::journal::event::Event;
use gateway::journal::executions::Executions;
use gateway::journal::filter::{Filter, Wanted};
use gateway::journal::format::{self, ACCEPTED, GATEWAY, Header, IntentRecord, Kind};
use gateway::journal::head::{self, Began, Names, SessionNames};
use gateway::journal::orders::Orders;
use gateway::journal::past::Pasts;
use gateway::journal::reader::{ReadError, Reader};
use gateway::journal::replay::Hearer;
use gateway::journal::show;
use gateway::journal::turns::Turns;
use gateway::message::intent::Action;
use gateway::order::risk::RowLimits;
use naive::Naive;
use protocol::ouch::{CancelOrder, EnterOrder, ReplaceOrder};
use protocol::soup::{self, kind::UNSEQUENCED};
use protocol::types::{Price4, Qty, Symbol, UserRefNum};
use zerocopy::IntoBytes;

const BEGAN: Began = Began {
    realtime_ns: 1_700_000_000_000_000_000,
    monotonic_ns: 7,
};
/// Numbers of orders are few, so that records are about the same ones.
const NUMBERS: u8 = 10;
/// Orders that a killed gateway may have sent without a record.
const UNWRITTEN_MAX: u32 = 64;

/// A record as it was written.
struct Written {
    payload: Vec<u8>,
    /// The payload is one of its kind.
    is_right: bool,
}

/// A packet to the exchange, as it goes with an intent.
fn packet(input: &mut Input<'_>, action: Action) -> (u32, Vec<u8>) {
    let [number, old, qty, side] = [0; 4].map(|_: u8| input.byte());
    let number = u32::from(1 + number % NUMBERS);
    let user_ref = UserRefNum(number).into();
    let original_user_ref = UserRefNum(u32::from(old % NUMBERS)).into();
    let (qty, price) = (Qty(u32::from(qty)).into(), Price4(1_000_000).into());
    let client_order_id = [b' '; 14];
    let mut out = [0; 128];
    let len = soup::frame(UNSEQUENCED, &mut out, |body| match action {
        Action::Enter => EnterOrder {
            kind: EnterOrder::KIND,
            user_ref,
            side: if side & 1 == 0 { b'B' } else { b'S' },
            qty,
            symbol: Symbol(*b"A       "),
            price,
            time_in_force: b'0',
            display: b'Y',
            capacity: b'P',
            iso: b'N',
            cross: b'N',
            client_order_id,
        }
        .encode(&[], body),
        Action::Replace => ReplaceOrder {
            kind: ReplaceOrder::KIND,
            original_user_ref,
            user_ref,
            qty,
            price,
            time_in_force: b'0',
            display: b'Y',
            iso: b'N',
            client_order_id,
        }
        .encode(&[], body),
        Action::Cancel | Action::Reduce => CancelOrder {
            kind: CancelOrder::KIND,
            user_ref,
            qty,
        }
        .encode(&[], body),
    });
    (number, out[..len.expect("room")].to_vec())
}

fn intent(input: &mut Input<'_>, refusal: u8) -> (Action, IntentRecord) {
    let [flags, id, owner] = [0; 3].map(|_: u8| input.byte());
    let record = IntentRecord {
        id: u32::from(id).into(),
        qty: u32::from(id).into(),
        locate: 1.into(),
        // Mostly the one that there is.
        owner: owner / 128,
        flags,
        refusal,
        ..IntentRecord::default()
    };
    (record.action().expect("two bits are an action"), record)
}

/// A payload of this kind.
fn right(input: &mut Input<'_>, kind: Kind) -> Vec<u8> {
    match kind {
        Kind::Start
        | Kind::Stop
        | Kind::Connected
        | Kind::Opened
        | Kind::KillOn
        | Kind::KillOff
        | Kind::Command => Vec::new(),
        Kind::Sent => {
            let (action, mut intent) = intent(input, ACCEPTED);
            let (number, packet) = packet(input, action);
            intent.user_ref = number.into();
            [intent.as_bytes(), &packet].concat()
        }
        Kind::Refused => {
            let refusal = input.byte() % ACCEPTED;
            intent(input, refusal).1.as_bytes().to_vec()
        }
        Kind::Cancels => packet(input, Action::Cancel).1,
        Kind::Heard => {
            let seq = u64::from(input.byte() % 32);
            let mut record = [0; 16];
            for byte in &mut record {
                *byte = input.byte();
            }
            let message = answers::answer(&record, u32::from(NUMBERS));
            [&seq.to_le_bytes()[..], &message].concat()
        }
        Kind::LoggedIn => {
            let which = input.byte() & 1;
            [&7_u64.to_le_bytes()[..], b"DAY00000", &[b'1' + which, b' ']].concat()
        }
        Kind::Closed => input.bytes(4),
        Kind::Limits => {
            let count = usize::from(input.byte() % 4);
            input.bytes(8 + 17 * count)
        }
        Kind::Row => {
            let mut row = input.bytes(8);
            row.extend([input.byte() % 4, input.byte() & 1, input.byte() & 1]);
            row.extend(b"AB*\0\0\0\0\0\0");
            row.extend(input.bytes(16 * RowLimits::KEYS.len()));
            row
        }
        Kind::Turns => {
            let len = usize::from(input.byte() % 32);
            input.bytes(len)
        }
        Kind::Asked => [&input.bytes(8)[..], b"kill \"a drill\""].concat(),
        Kind::Aside => {
            let len = usize::from(input.byte() % 32);
            input.bytes(len)
        }
    }
}

/// A journal of records that the input makes up.
fn write(input: &mut Input<'_>) -> (Vec<u8>, Vec<Written>) {
    let session = SessionNames {
        name: "s".to_owned(),
        strategies: vec!["x".to_owned()],
        next: 1,
        ..SessionNames::default()
    };
    let mut file = head::encode(BEGAN, 0, &Names::new(vec![session], Vec::new()));
    let mut written = Vec::new();
    let mut next = [1_u64; 2];
    for time_ns in 1..=u64::from(input.byte() % 24) {
        let [which, how] = [0; 2].map(|_: u8| input.byte());
        let (kind, _) = Kind::ALL[usize::from(which) % Kind::ALL.len()];
        let is_gateways = matches!(kind, Kind::Start | Kind::Stop | Kind::Asked);
        let is_right = how >= 64;
        let payload = if is_right {
            right(input, kind)
        } else if how >= 32 {
            // One of its kind that was cut, or has more.
            let mut payload = right(input, kind);
            payload.resize(usize::from(how & 31) * 4, how);
            payload
        } else {
            let len = usize::from(input.byte());
            let mut payload = input.bytes(len);
            // A number takes a place in tables: those of hundreds of megabytes tell nothing more.
            payload.iter_mut().skip(2).take(2).for_each(|it| *it = 0);
            payload
        };
        let detail = match kind {
            Kind::Command => [1 + how % 3, input.byte()],
            _ => [how & 1, input.byte()],
        };
        let sequence = &mut next[usize::from(is_gateways)];
        let header = Header {
            sequence: (*sequence).into(),
            time_ns: time_ns.into(),
            // A code that this version does not know, mostly.
            kind: if kind == Kind::Aside {
                kind as u8 - how % 16
            } else {
                kind as u8
            },
            session: if is_gateways { GATEWAY } else { 0 },
            detail,
            ..Header::default()
        };
        *sequence += 1;
        format::encode(BEGAN.salt(), header, &payload, &mut file);
        written.push(Written { payload, is_right });
    }
    (file, written)
}

/// Reads all that can be read; the payloads, whether each could be told, and whether the end is sound. `is_ours`: `write`
/// has made it, or most of it.
fn read(bytes: &[u8], is_ours: bool) -> (Vec<(Vec<u8>, bool)>, bool) {
    let mut payloads = Vec::new();
    let Ok(mut reader) = Reader::new(bytes) else {
        return (payloads, false);
    };
    let head = reader.head().clone();
    let (mut orders, mut executions) = (Orders::default(), Executions::default());
    orders.begin_file(head.began, &head.names);
    executions.begin_file(head.began, &head.names);
    let mut pasts = Pasts::new(&head.names.sessions, UNWRITTEN_MAX);
    pasts.begin_file(&head);
    let mut filter = Filter::new(Wanted {
        order: Some(1),
        ..Wanted::default()
    });
    let mut naive = Naive::default();
    let is_sound = loop {
        match reader.next_record() {
            Ok(Some(record)) => {
                assert!(Kind::of_code(record.header.kind) == Some(record.kind));
                let event = Event::of(&record);
                if let Ok(event) = &event {
                    filter.wants(&head, &record, event);
                    orders.on_record(&record.header, event);
                    let told = executions.on_record(&record.header, event);
                    let expected = naive.on_record(&record.header, event);
                    assert!(!is_ours || told.as_ref().map(naive::of) == expected);
                    pasts.on_record(&record.header, event);
                    if let Event::Turns(turns) = event {
                        let _ = Turns::of(turns).count();
                    }
                    let _ = (
                        show::text(&head, &record, event),
                        show::json(&head, &record, event),
                    );
                }
                payloads.push((record.payload.to_vec(), event.is_ok()));
            }
            Ok(None) => break true,
            Err(ReadError::Damaged(_)) => break false,
            Err(error) => panic!("memory can be read: {error}"),
        }
    };
    orders.finish();
    let _ = executions.clash();
    let pasts = pasts.finish();
    if is_ours {
        naive.judge_orders(&orders.ended.orders);
        naive.judge_past(&pasts[0]);
    }
    (payloads, is_sound)
}

/// Whether what was read is what was written, as far as it goes, each of its kind where it is one.
fn is_written(given: &[(Vec<u8>, bool)], written: &[Written]) -> bool {
    let is_it = |(payload, is_told): &(Vec<u8>, bool), it: &Written| {
        *payload == it.payload && (*is_told || !it.is_right)
    };
    given.len() <= written.len()
        && given
            .iter()
            .zip(written)
            .all(|(given, it)| is_it(given, it))
}

/// One input.
pub(crate) fn run(data: &[u8]) {
    read(data, false);
    // What is turned is drawn first: the records may use all that comes after it.
    let mut input = Input(data);
    let (place, turn, missing) = (input.number(), input.byte().max(1), input.byte());
    let (mut file, written) = write(&mut input);
    let (given, is_sound) = read(&file, true);
    assert!(is_sound && given.len() == written.len());
    assert!(is_written(&given, &written));
    // A byte that turns, always another one and always in the file, and an end that is missing.
    let at = place % file.len();
    file[at] ^= turn;
    let (given, is_sound) = read(&file, true);
    assert!(is_written(&given, &written) && !is_sound);
    file[at] ^= turn;
    file.truncate(file.len().saturating_sub(usize::from(missing)));
    assert!(is_written(&read(&file, true).0, &written));
}

/// What to begin with: any scripts, and an order's life with a message that is heard twice.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let place = |kind: Kind| {
        let mut all = Kind::ALL.iter();
        let place = all.position(|(it, _)| *it == kind).expect("a kind");
        u8::try_from(place).expect("few")
    };
    let record = |kind, fields: &[u8]| [&[place(kind), 64][..], fields, &[0]].concat();
    // By its number: what it is, by its place among the answers, about order 1, in trade 1.
    let heard = |seq, which| {
        let about = NUMBERS - 1;
        let answer = [0, which, about, 40, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        record(Kind::Heard, &[&[seq][..], &answer].concat())
    };
    let life = [
        vec![0, 200, 1, 0, 11],
        record(Kind::Start, &[]),
        record(Kind::Connected, &[]),
        record(Kind::LoggedIn, &[0]),
        record(Kind::Opened, &[]),
        record(Kind::Sent, &[0, 7, 0, 0, 0, 100, 0]),
        heard(1, 0),
        heard(2, 4),
        heard(2, 4),
        heard(3, 5),
        record(Kind::Asked, &[0; 8]),
        record(Kind::Stop, &[]),
    ];
    let mut seeds = crate::scripts();
    seeds.push(life.concat());
    // One record of each kind.
    seeds.extend(Kind::ALL.iter().map(|(kind, _)| {
        let front = vec![1, 0, 1, 9, 1];
        [front, record(*kind, &[3; 120])].concat()
    }));
    seeds
}
