//! Decoding and books beside itch-book's, each in turn with ours on the same file: by its Python on our own days, and by its
//! own programs on a day that its own generator makes.
//!
//! The programs lie beside its Python (`bench/itch-book/build`); without them, or without that, nothing is compared, and
//! the report says so.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use feeds::generate;
use report::Aim;
use report::statistics::median;

/// itch-book on the same file: building books without tables, as we do, ns a message, and its memory.
const JUDGE: &str = r#"
import sys, time, itch_book._core as core
data = open(sys.argv[1], "rb").read()
def timed(make, takes):
    best = None
    for _ in range(3):
        session = make()
        start = time.perf_counter_ns()
        for at in range(0, len(data), 1 << 20):
            session.feed(data[at:at + (1 << 20)])
            for take in takes:
                getattr(session, take)()
        took = time.perf_counter_ns() - start
        best = took if best is None else min(best, took)
    return best
bare = timed(lambda: core.Session([], 0, []), [])
books = timed(lambda: core.Session(["bbo", "trades"], 0, []), ["take_bbo", "take_trades"])
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
print(books, bare, int(peak.split()[1]) * 1024 - len(data))
"#;

/// Rounds in turn of both.
const ROUNDS: usize = 3;
/// Messages of a day that books are built from.
const BOOK_MESSAGES: u64 = 4_000_000;
/// Orders that a day of a whole market has at one time.
const LIVE: u32 = 1_000_000;

/// One day's figures, ns a message but for bytes.
struct BookDay {
    decode: f64,
    book: f64,
    bytes: f64,
    /// itch-book's: books with its tables, without, and bytes.
    theirs: Option<[f64; 3]>,
}

/// Decoding and books beside itch-book's, on a day that caches hold and on one that they do not; its own published
/// 8.4 ns stand for its decoding, which it does not offer alone.
///
/// # Errors
/// A day cannot be written or read.
pub fn of_books(folder: &Path, python: Option<&Path>) -> Result<Vec<Aim>> {
    let small = book_day(folder, 0, python)?;
    let large = book_day(folder, LIVE, python)?;
    let absent = || "itch-book is not there".to_owned();
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let books = |what: &str, bound, day: &BookDay| {
        let ours = day.book;
        Aim::at_most(
            what,
            bound,
            day.theirs.map(|[tables, ..]| ours / tables),
            day.theirs.map_or_else(absent, |[tables, bare, _]| {
                format!("{ours:.1} ns; itch-book {tables:.1} ns with its tables, {bare:.1} without")
            }),
        )
    };
    Ok(vec![
        Aim::at_most(
            "decode a message / itch-book's 8.4 ns",
            0.5,
            Some(small.decode / 8.4),
            format!("{:.1} ns: type, length, head and reference", small.decode),
        ),
        books("book a message / itch-book", 0.6, &small),
        books(
            "book a message, a million live orders / itch-book",
            0.5,
            &large,
        ),
        Aim::at_most(
            "memory / itch-book",
            1.0,
            small.theirs.map(|[.., bytes]| small.bytes / bytes),
            small.theirs.map_or_else(absent, |[.., bytes]| {
                format!("{:.0} MiB and {:.0} MiB", mib(small.bytes), mib(bytes))
            }),
        ),
    ])
}

/// Three rounds in turn of both: the median of ours, and the best of theirs.
fn book_day(folder: &Path, live: u32, python: Option<&Path>) -> Result<BookDay> {
    let day = folder.join("books.itch50");
    let options = generate::Options {
        seed: 1,
        messages: BOOK_MESSAGES,
        symbols: 500,
        live,
    };
    generate::to_file(&options, &day, |_| ())?;
    let mut ours = Vec::new();
    let mut theirs: Option<[f64; 3]> = None;
    for _ in 0..ROUNDS {
        ours.push(Ours::of(folder, &day)?);
        if let Some([tables, bare, peak]) = python.and_then(|python| judge(python, &day)) {
            let per_message = |ns: f64| ns / BOOK_MESSAGES as f64;
            let run = [per_message(tables), per_message(bare), peak];
            let best = theirs.get_or_insert(run);
            for (best, value) in best.iter_mut().zip(run) {
                *best = best.min(value);
            }
        }
    }
    Ok(BookDay {
        decode: Ours::median(&ours, |run| run.decode),
        book: Ours::median(&ours, |run| run.book),
        bytes: ours.iter().fold(0.0, |most, run| most.max(run.bytes)),
        theirs,
    })
}

/// One run of `tickgate-bench book`: ns a message, and bytes.
struct Ours {
    decode: f64,
    book: f64,
    bytes: f64,
    /// Messages that name an order that is not live.
    missing: f64,
    /// Adds that found no room: books that hold less than they should.
    refused: f64,
}

impl Ours {
    fn of(folder: &Path, day: &Path) -> Result<Self> {
        let json = folder.join("books.json");
        let status = Command::new(std::env::current_exe()?)
            .args(["book".as_ref(), day.as_os_str()])
            .args(["--json".as_ref(), json.as_os_str()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        ensure!(status.success(), "tickgate-bench book failed");
        let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json)?)?;
        let number = |name: &str| {
            let value = report.pointer(&format!("/runs/0/{name}"));
            value.and_then(serde_json::Value::as_f64).unwrap_or(0.0)
        };
        Ok(Self {
            decode: number("decode_ns_per_msg"),
            book: number("book_ns_per_msg"),
            bytes: number("peak_rss_bytes"),
            missing: number("missing_ref"),
            refused: number("refused_full"),
        })
    }

    fn median(runs: &[Self], of: fn(&Self) -> f64) -> f64 {
        median(&runs.iter().map(of).collect::<Vec<_>>())
    }
}

fn judge(python: &Path, day: &Path) -> Option<[f64; 3]> {
    let output = Command::new(python)
        .args(["-c".as_ref(), JUDGE.as_ref(), day.as_os_str()])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text
        .split_ascii_whitespace()
        .map(|number| number.parse::<f64>());
    let mut next = || numbers.next()?.ok();
    Some([next()?, next()?, next()?])
}

/// Messages of the day that itch-book's generator makes, and its symbols.
const THEIR_DAY: [&str; 2] = ["10000000", "500"];
/// Its ways to keep orders.
const STORES: [&str; 4] = ["inline", "pooled", "hash", "flathash"];

/// Decoding and books on a day of itch-book's own generator beside its own parser and its fastest books. Three rounds in
/// turn, the median of ours and the best of theirs; its slower stores run in the first round only.
///
/// # Errors
/// A program of its fails or says what cannot be read, or its books and ours do not find the same.
pub fn on_its_own_day(folder: &Path, python: Option<&Path>) -> Result<Vec<Aim>> {
    let programs = python.and_then(Programs::beside);
    let theirs = programs.map(|programs| programs.measure(folder));
    let theirs = theirs.transpose()?;
    let aim = |what: &str, bound, measured: Option<f64>, note: Option<String>| {
        let absent = || "itch-book's own programs are not there".to_owned();
        Aim::at_most(what, bound, measured, note.unwrap_or_else(absent))
    };
    let of = theirs.as_ref();
    Ok(vec![
        aim(
            "decode a message / itch-book's parser, its own day",
            0.5,
            of.map(|day| day.decode[0] / day.decode[1]),
            of.map(|day| {
                let [ours, theirs] = day.decode;
                format!("{ours:.1} ns: type, length, head and reference; itch-book {theirs:.1} ns: every field")
            }),
        ),
        aim(
            "book a message / itch-book's fastest store, its own day",
            0.45,
            of.map(|day| day.book[0] / day.book[1]),
            of.map(|day| {
                let [ours, theirs] = day.book;
                format!("{ours:.1} ns; itch-book {theirs:.1} ns ({})", day.store)
            }),
        ),
    ])
}

/// What itch-book's own day gave, ours and theirs, ns a message.
struct ItsDay {
    decode: [f64; 2],
    book: [f64; 2],
    store: &'static str,
}

/// itch-book's own programs.
struct Programs {
    generator: PathBuf,
    parser: PathBuf,
    books: PathBuf,
}

impl Programs {
    /// Those that lie beside a Python; `None` unless all are there.
    fn beside(python: &Path) -> Option<Self> {
        let program = |name: &str| {
            let path = python.with_file_name(format!("itch-book-{name}"));
            path.exists().then_some(path)
        };
        Some(Self {
            generator: program("gen_synthetic")?,
            parser: program("parse_throughput")?,
            books: program("book_throughput")?,
        })
    }

    fn measure(&self, folder: &Path) -> Result<ItsDay> {
        let day = folder.join("its-own.itch50");
        said(Command::new(&self.generator).arg(&day).args(THEIR_DAY))?;
        let mut ours = Vec::new();
        let mut decode = f64::INFINITY;
        let mut stores = STORES.to_vec();
        let mut book = ("", f64::INFINITY);
        for _ in 0..ROUNDS {
            let run = Ours::of(folder, &day)?;
            decode = decode.min(self.decode(&day)?);
            for &store in &stores {
                let (ns, missing) = self.book(&day, store)?;
                ensure!(
                    (run.missing, run.refused) == (missing, 0.0),
                    "{} unknown references and {} adds without room; itch-book finds {missing}",
                    run.missing,
                    run.refused
                );
                if ns < book.1 {
                    book = (store, ns);
                }
            }
            stores.retain(|store| *store == book.0);
            ours.push(run);
        }
        std::fs::remove_file(&day)?;
        Ok(ItsDay {
            decode: [Ours::median(&ours, |run| run.decode), decode],
            book: [Ours::median(&ours, |run| run.book), book.1],
            store: book.0,
        })
    }

    /// The best of the three that the parser makes.
    fn decode(&self, day: &Path) -> Result<f64> {
        let text = said(Command::new(&self.parser).arg(day))?;
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with("decode") && line.contains("best:"));
        line.and_then(|line| number_before(line, " ns/msg"))
            .with_context(|| format!("what itch-book's parser says:\n{text}"))
    }

    /// ns a message, and messages that name an order that is not live.
    fn book(&self, day: &Path, store: &str) -> Result<(f64, f64)> {
        let text = said(Command::new(&self.books).arg(day).arg(store))?;
        let ns = number_before(&text, " ns/msg")
            .with_context(|| format!("what itch-book's books say:\n{text}"))?;
        Ok((ns, number_before(&text, " dup").unwrap_or(0.0)))
    }
}

/// What a program prints.
fn said(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let name = command.get_program().display();
    ensure!(output.status.success(), "{name} failed");
    Ok(String::from_utf8(output.stdout)?)
}

/// The number in front of a word.
fn number_before(text: &str, word: &str) -> Option<f64> {
    let (before, _) = text.split_once(word)?;
    before.split_ascii_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_itch_books_programs_print_is_read() {
        let text = "inline      4.6 M msg/s  218.3 ns/msg  structures ~0.42 GB\n  \
                    anomalies: missing 150249 dup 0 rejected 0\n";
        assert_eq!(number_before(text, " ns/msg"), Some(218.3));
        assert_eq!(number_before(text, " dup"), Some(150_249.0));
        assert_eq!(number_before(text, " fish"), None);
        assert_eq!(number_before("none ns/msg", " ns/msg"), None);
    }

    #[test]
    fn without_its_programs_nothing_is_compared_and_the_report_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join("python");
        for python in [None, Some(python.as_path())] {
            let aims = on_its_own_day(folder.path(), python).unwrap();
            assert_eq!(aims.len(), 2);
            for aim in aims {
                assert_eq!(aim.measured, None);
                assert_eq!(aim.note, "itch-book's own programs are not there");
            }
        }
    }
}
