//! Entries of systemd's journal: a datagram each, a field a line, lengths where a value has line ends.
//!
//! Spec:        systemd, "Native Journal Protocol"; systemd.journal-fields(7)
//! When full:   a datagram that the journal does not take at once is given back: nobody waits for it

use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use log::{Level, Record};

/// The longest text of an entry: well below what a datagram may have (some 200 KiB), and above any line of ours.
const TEXT_BYTES_MAX: usize = 32 << 10;

/// The journal's door.
#[derive(Debug)]
pub(crate) struct Journal {
    socket: UnixDatagram,
    /// Named anew for each entry: a journal that was started again has another socket there.
    path: PathBuf,
    program: &'static str,
}

impl Journal {
    /// The journal, if standard error leads there: systemd says then which file that is (systemd.exec(5), `JOURNAL_STREAM`).
    pub(crate) fn of_stderr(path: &Path, program: &'static str) -> Option<Self> {
        let named = std::env::var("JOURNAL_STREAM").ok()?;
        let stderr = std::fs::metadata("/proc/self/fd/2").ok()?;
        (named == format!("{}:{}", stderr.dev(), stderr.ino()))
            .then(|| Self::at(path, program))
            .flatten()
    }

    fn at(path: &Path, program: &'static str) -> Option<Self> {
        let socket = UnixDatagram::unbound().ok()?;
        socket.set_nonblocking(true).ok()?;
        Some(Self {
            socket,
            path: path.to_owned(),
            program,
        })
    }

    /// Puts an entry; `false`: it was not taken.
    pub(crate) fn put(&self, record: &Record<'_>, fields: &[(&str, &str)]) -> bool {
        let entry = entry(record, fields, self.program);
        self.socket.send_to(&entry, &self.path).is_ok()
    }
}

/// An entry's bytes.
fn entry(record: &Record<'_>, fields: &[(&str, &str)], program: &str) -> Vec<u8> {
    let mut text = record.args().to_string();
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    // syslog(3)'s numbers.
    let priority = match record.level() {
        Level::Error => "3",
        Level::Warn => "4",
        Level::Info => "6",
        Level::Debug | Level::Trace => "7",
    };
    let mut out = Vec::with_capacity(text.len() + 256);
    for (name, value) in [
        ("MESSAGE", text.as_str()),
        ("PRIORITY", priority),
        ("SYSLOG_IDENTIFIER", program),
        ("TICKGATE_TARGET", record.target()),
    ] {
        field(&mut out, name, value);
    }
    for (name, value) in fields {
        field(&mut out, name, value);
    }
    out
}

fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    // Writing to memory does not fail.
    if value.contains('\n') {
        let _ = writeln!(out, "{name}");
        out.extend((value.len() as u64).to_le_bytes());
        let _ = writeln!(out, "{value}");
    } else {
        let _ = writeln!(out, "{name}={value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: std::fmt::Arguments<'_>, then: impl FnOnce(&Record<'_>)) {
        let mut record = Record::builder();
        let record = record.level(Level::Warn).target("here").args(text);
        then(&record.build());
    }

    #[test]
    fn entry_has_its_fields_a_line_each_and_lengths_where_values_have_line_ends() {
        record(format_args!("gap in the feed"), |record| {
            let fields = [("TICKGATE_FEED", "itch"), ("TICKGATE_EVENT", "a\nb")];
            let expected = [
                &b"MESSAGE=gap in the feed\nPRIORITY=4\nSYSLOG_IDENTIFIER=tickgate\nTICKGATE_TARGET=here\n\
                   TICKGATE_FEED=itch\nTICKGATE_EVENT\n"[..],
                &3_u64.to_le_bytes(),
                b"a\nb\n",
            ]
            .concat();
            assert_eq!(entry(record, &fields, "tickgate"), expected);
        });
    }

    #[test]
    fn text_without_end_is_cut_between_letters() {
        let long = "ä".repeat(TEXT_BYTES_MAX);
        record(format_args!("x{long}"), |record| {
            let entry = entry(record, &[], "tickgate");
            let text = String::from_utf8(entry).unwrap();
            let message = text.lines().next().unwrap();
            assert_eq!(message.len(), "MESSAGE=".len() + TEXT_BYTES_MAX - 1);
        });
    }

    #[test]
    fn entry_is_given_back_where_no_journal_takes_it_and_taken_again_by_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journal = Journal::at(&path, "tickgate").unwrap();
        record(format_args!("one"), |record| {
            assert!(!journal.put(record, &[]), "nobody is there");
            for _ in 0..2 {
                let taker = UnixDatagram::bind(&path).unwrap();
                assert!(journal.put(record, &[]));
                let mut bytes = [0; 256];
                let len = taker.recv(&mut bytes).unwrap();
                assert!(bytes[..len].starts_with(b"MESSAGE=one\n"));
                // One that does not read fills up, and nobody waits for it.
                while journal.put(record, &[]) {}
                drop(taker);
                std::fs::remove_file(&path).unwrap();
            }
        });
    }
}
