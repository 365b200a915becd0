//! Real packets for tests: from hexadecimal digits, and from captures that lie beside the project.

#![allow(clippy::expect_used, reason = "tests")]

use std::io::Write;
use std::path::PathBuf;

use pcap_file::pcap::PcapReader;

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).expect("digits"));
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).expect("two digits"))
        .collect()
}

/// Captures are third-party data that lies beside the project, not in it.
pub(crate) fn capture(name: &str) -> Option<Vec<Vec<u8>>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data")
        .join(name);
    let Ok(file) = std::fs::File::open(&path) else {
        // Past the test harness, which shows what a passing test prints to nobody.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {} is not there",
            path.display()
        );
        return None;
    };
    let mut reader = PcapReader::new(file).expect("a capture");
    let mut frames = Vec::new();
    while let Some(packet) = reader.next_packet() {
        frames.push(packet.expect("a packet").data.into_owned());
    }
    Some(frames)
}
