//! Any bytes as a journal, as they are or as records behind a sound head: read, filtered, shown, made into orders and
//! executions as an export does and into what a gateway knows at its start, never a panic, and what is given out is
//! what was written.

use crate::input::Input;
use gateway::journal::event::Event;
use gateway::journal::executions::Executions;
use gateway::journal::filter::{Filter, Wanted};
use gateway::journal::format::{self, Header, Kind};
use gateway::journal::head::{self, Began, Names, SessionNames};
use gateway::journal::orders::Orders;
use gateway::journal::past::Pasts;
use gateway::journal::reader::{ReadError, Reader};
use gateway::journal::replay::Hearer;
use gateway::journal::show;

const BEGAN: Began = Began {
    realtime_ns: 1_700_000_000_000_000_000,
    monotonic_ns: 7,
};

/// A journal of records that the input makes up; its payloads in order.
fn write(input: &mut Input<'_>) -> (Vec<u8>, Vec<Vec<u8>>) {
    let session = SessionNames {
        name: "s".to_owned(),
        strategies: vec!["x".to_owned()],
        next: 1,
        ..SessionNames::default()
    };
    let mut file = head::encode(BEGAN, 0, &Names::new(vec![session], Vec::new()));
    let mut payloads = Vec::new();
    for sequence in 1..=u64::from(input.byte() % 16) {
        let len = usize::from(input.byte());
        let payload = input.bytes(len);
        let header = Header {
            sequence: sequence.into(),
            time_ns: sequence.into(),
            kind: 1 + input.byte() % 13,
            detail: [input.byte(), input.byte()],
            ..Header::default()
        };
        format::encode(BEGAN.salt(), header, &payload, &mut file);
        payloads.push(payload);
    }
    (file, payloads)
}

/// Reads all that can be read; the payloads, and whether the end is sound.
fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut payloads = Vec::new();
    let Ok(mut reader) = Reader::new(bytes) else {
        return (payloads, false);
    };
    let head = reader.head().clone();
    let (mut orders, mut executions) = (Orders::default(), Executions::default());
    orders.begin_file(head.began, &head.names);
    executions.begin_file(head.began, &head.names);
    let mut pasts = Pasts::new(&head.names.sessions, 64);
    pasts.begin_file(&head);
    let mut filter = Filter::new(Wanted {
        order: Some(1),
        ..Wanted::default()
    });
    let is_sound = loop {
        match reader.next_record() {
            Ok(Some(record)) => {
                assert!(Kind::of_code(record.header.kind) == Some(record.kind));
                if let Ok(event) = Event::of(&record) {
                    filter.wants(&head, &record, &event);
                    orders.on_record(&record.header, &event);
                    executions.on_record(&record.header, &event);
                    pasts.on_record(&record.header, &event);
                    let _ = (
                        show::text(&head, &record, &event),
                        show::json(&head, &record, &event),
                    );
                }
                payloads.push(record.payload.to_vec());
            }
            Ok(None) => break true,
            Err(ReadError::Damaged(_)) => break false,
            Err(error) => panic!("memory can be read: {error}"),
        }
    };
    orders.finish();
    let _ = (executions.clash(), pasts.finish());
    (payloads, is_sound)
}

/// One input.
pub(crate) fn run(data: &[u8]) {
    read(data);
    // What is turned is drawn first: the records may use all that comes after it.
    let mut input = Input(data);
    let (place, turn, missing) = (input.number(), input.byte().max(1), input.byte());
    let (mut file, payloads) = write(&mut input);
    assert_eq!(read(&file), (payloads.clone(), true));
    // A byte that turns, always another one and always in the file, and an end that is missing.
    let at = place % file.len();
    file[at] ^= turn;
    let (given, is_sound) = read(&file);
    assert!(payloads.starts_with(&given) && !is_sound);
    file[at] ^= turn;
    file.truncate(file.len().saturating_sub(usize::from(missing)));
    assert!(payloads.starts_with(&read(&file).0));
}
