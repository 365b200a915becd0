//! Any bytes as a journal, as they are or as records behind a sound head: read, filtered and shown, never a panic, and
//! what is given out is what was written.
#![no_main]

#[path = "input/mod.rs"]
mod input;

use gateway::journal::event::Event;
use gateway::journal::filter::{Filter, Wanted};
use gateway::journal::format::{self, Header, Kind};
use gateway::journal::head::{self, Began, Names, SessionNames};
use gateway::journal::reader::{ReadError, Reader};
use gateway::journal::show;
use input::Input;
use libfuzzer_sys::fuzz_target;

const BEGAN: Began = Began { realtime_ns: 1_700_000_000_000_000_000, monotonic_ns: 7 };

/// A journal of records that the input makes up; its payloads in order.
fn write(input: &mut Input) -> (Vec<u8>, Vec<Vec<u8>>) {
    let session = SessionNames { name: "s".to_owned(), strategies: vec!["x".to_owned()], next: 1, ..SessionNames::default() };
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
    let Ok(mut reader) = Reader::new(bytes) else { return (payloads, false) };
    let head = reader.head().clone();
    let mut filter = Filter::new(Wanted { order: Some(1), ..Wanted::default() });
    loop {
        match reader.next_record() {
            Ok(Some(record)) => {
                assert!(Kind::of_code(record.header.kind) == Some(record.kind));
                if let Ok(event) = Event::of(&record) {
                    filter.wants(&head, &record, &event);
                    let _ = (show::text(&head, &record, &event), show::json(&head, &record, &event));
                }
                payloads.push(record.payload.to_vec());
            }
            Ok(None) => return (payloads, true),
            Err(ReadError::Damaged(_)) => return (payloads, false),
            Err(error) => panic!("memory can be read: {error}"),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    read(data);
    let mut input = Input(data);
    let (mut file, payloads) = write(&mut input);
    assert_eq!(read(&file), (payloads.clone(), true));
    // Bytes that turn, and an end that is missing.
    let at = usize::from(input.byte()) << 8 | usize::from(input.byte());
    let turn = input.byte();
    if at < file.len() {
        file[at] ^= turn;
        let (given, is_sound) = read(&file);
        assert!(payloads.starts_with(&given) && (turn == 0 || !is_sound));
        file[at] ^= turn;
    }
    file.truncate(file.len().saturating_sub(usize::from(input.byte())));
    assert!(payloads.starts_with(&read(&file).0));
});
