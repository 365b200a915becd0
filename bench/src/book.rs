//! Decodes a feed from a file and builds its books: counts, rates, best prices and trades as CSV.
//!
//! Each chunk is decoded once alone and once into the books, so both costs are told apart; the chunk
//! lies in the cache both times, and reading it from the file is in neither.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use feed_handler::book::{Bbo, BookCounters, BookSink, Books, Limits, TradePrint};
use feed_handler::look_ahead::LookAhead;
use feed_handler::venue::Nasdaq;
use protocol::binary_file::Messages;
use protocol::itch::{Message, Whole};
use protocol::types::{DecodeError, Side};
use rt::clock::Clock;
use rt::cpu::peak_rss_bytes;
use rt::mem::Want;
use serde_json::{Value, json};

use feeds::feed_file::FeedFile;

/// Columns of the file of best prices.
pub const BBO_COLUMNS: &str = "ts,seq,locate,bid_px,bid_sz,bid_ct,ask_px,ask_sz,ask_ct";
/// Columns of the file of trades.
pub const TRADE_COLUMNS: &str =
    "ts,seq,locate,kind,price,size,side,order_id,match_number,cross_type";

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Write best prices there.
    pub bbo: Option<PathBuf>,
    /// Write trades there.
    pub trades: Option<PathBuf>,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Well-formed messages.
    pub messages: u64,
    /// Of each type.
    pub by_type: BTreeMap<char, u64>,
    /// Messages of unknown types; skipped.
    pub unknown: u64,
    /// Messages with the wrong length; skipped.
    pub malformed: u64,
    /// Messages naming an order that is not live.
    pub missing_ref: u64,
    /// Adds and replaces without shares, price or reference.
    pub rejected: u64,
    /// Adds for which the books had no room.
    pub refused_full: u64,
    /// Changes of best prices.
    pub bbo_rows: u64,
    /// Trades.
    pub trade_rows: u64,
    /// Decoding alone.
    pub decode_ns_per_msg: f64,
    /// Decoding and building books (and writing CSV where asked).
    pub book_ns_per_msg: f64,
    /// The most memory that the process had.
    pub peak_rss_bytes: u64,
}

impl Outcome {
    /// As the JSON object of the run.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "messages": self.messages,
            "by_type": self.by_type,
            "unknown": self.unknown,
            "malformed": self.malformed,
            "missing_ref": self.missing_ref,
            "rejected": self.rejected,
            "refused_full": self.refused_full,
            "bbo_rows": self.bbo_rows,
            "trade_rows": self.trade_rows,
            "decode_ns_per_msg": self.decode_ns_per_msg,
            "book_ns_per_msg": self.book_ns_per_msg,
            "peak_rss_bytes": self.peak_rss_bytes,
        })
    }
}

/// Writes rows and counts them.
struct Rows<W> {
    bbo: Option<W>,
    trades: Option<W>,
    bbo_rows: u64,
    trade_rows: u64,
    ts: u64,
    seq: u64,
    /// The first write that failed; the rest is not tried.
    failed: Option<io::Error>,
}

/// Builds the books of a file. `progress` hears of bytes done.
///
/// # Errors
/// A file that is no feed or is truncated, or a CSV file that cannot be written.
pub fn build(path: &Path, options: &Options, mut progress: impl FnMut(u64)) -> Result<Outcome> {
    let mut feed = FeedFile::open(path)?;
    let mut books = Books::new(&Limits::TOOL, Want::LAZY).context("memory for books")?;
    let counters = BookCounters::default();
    let mut rows = Rows {
        bbo: create(options.bbo.as_deref(), BBO_COLUMNS)?,
        trades: create(options.trades.as_deref(), TRADE_COLUMNS)?,
        bbo_rows: 0,
        trade_rows: 0,
        ts: 0,
        seq: 0,
        failed: None,
    };
    let clock = Clock::new();
    let mut outcome = Outcome::default();
    let (mut decode_ns, mut book_ns, mut bytes) = (0, 0, 0);
    let mut by_type = [0u64; 256];
    while let Some(chunk) = feed.next_chunk()? {
        let start = clock.now_ns();
        decode(chunk, &mut outcome, &mut by_type);
        let decoded = clock.now_ns();
        apply(chunk, &mut books, &counters, &mut rows);
        book_ns += clock.now_ns() - decoded;
        decode_ns += decoded - start;
        bytes += chunk.len() as u64;
        progress(bytes);
    }
    rows.finish()?;
    outcome.by_type = (0u8..=255)
        .zip(by_type)
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| (kind as char, count))
        .collect();
    let per_message = |ns: u64| ns as f64 / outcome.messages.max(1) as f64;
    outcome.decode_ns_per_msg = per_message(decode_ns);
    outcome.book_ns_per_msg = per_message(book_ns);
    outcome.missing_ref = counters.missing_ref.get();
    outcome.rejected = counters.rejected.get();
    outcome.refused_full = counters.refused_full.get();
    outcome.bbo_rows = rows.bbo_rows;
    outcome.trade_rows = rows.trade_rows;
    outcome.peak_rss_bytes = peak_rss_bytes();
    Ok(outcome)
}

/// Decodes every message and looks at what each has in common, so that nothing is optimised away.
#[inline(never)]
fn decode(chunk: &[u8], outcome: &mut Outcome, by_type: &mut [u64; 256]) {
    let mut last = 0;
    for bytes in Messages::new(chunk) {
        match Whole::decode(bytes) {
            Ok(message) => {
                let head = message.head();
                last ^= head.timestamp.get().0 ^ u64::from(head.locate.get()) ^ message.order().0;
                outcome.messages += 1;
                if let Some(count) = by_type.get_mut(usize::from(head.kind)) {
                    *count += 1;
                }
            }
            Err(DecodeError::UnknownType(_)) => outcome.unknown += 1,
            Err(_) => outcome.malformed += 1,
        }
    }
    std::hint::black_box(last);
}

#[inline(never)]
fn apply<W: Write>(chunk: &[u8], books: &mut Books, counters: &BookCounters, rows: &mut Rows<W>) {
    let mut ahead: LookAhead<Nasdaq, _> = LookAhead::new(Messages::new(chunk), books);
    for bytes in Messages::new(chunk) {
        ahead.advance(books);
        if let Ok(message) = Message::decode(bytes) {
            rows.ts = message.head().timestamp.get().0;
            rows.seq += 1;
            books.apply(&Nasdaq::read(&message), counters, rows);
        }
    }
}

fn create(path: Option<&Path>, columns: &str) -> Result<Option<BufWriter<File>>> {
    let Some(path) = path else { return Ok(None) };
    let shown = || path.display().to_string();
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).with_context(shown)?);
    writeln!(out, "{columns}").with_context(shown)?;
    Ok(Some(out))
}

impl<W: Write> Rows<W> {
    fn finish(&mut self) -> Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error).context("writing CSV");
        }
        for out in [&mut self.bbo, &mut self.trades].into_iter().flatten() {
            out.flush().context("writing CSV")?;
        }
        Ok(())
    }
}

impl<W: Write> BookSink for Rows<W> {
    #[inline]
    fn on_bbo(&mut self, locate: u16, bbo: &Bbo) {
        self.bbo_rows += 1;
        let Some(out) = &mut self.bbo else { return };
        // Sizes are printed in 32 bits, as the independent judge does.
        let size = |shares: u64| shares & u64::from(u32::MAX);
        let (bid, ask) = (&bbo.bid, &bbo.ask);
        let written = writeln!(
            out,
            "{},{},{locate},{},{},{},{},{},{}",
            self.ts,
            self.seq,
            bid.price.0,
            size(bid.shares),
            bid.orders,
            ask.price.0,
            size(ask.shares),
            ask.orders
        );
        if let Err(error) = written {
            self.failed.get_or_insert(error);
        }
    }

    #[inline]
    fn on_trade(&mut self, print: &TradePrint) {
        self.trade_rows += 1;
        let Some(out) = &mut self.trades else { return };
        let side = match print.side {
            Some(Side::Buy) => 'B',
            Some(Side::Sell) => 'S',
            None => 'N',
        };
        let cross = if print.cross_type == b' ' {
            'N'
        } else {
            print.cross_type as char
        };
        let written = writeln!(
            out,
            "{},{},{},{},{},{},{side},{},{},{cross}",
            self.ts,
            self.seq,
            print.locate,
            print.kind as char,
            print.price.0,
            print.shares,
            print.order.0,
            print.match_number.0
        );
        if let Err(error) = written {
            self.failed.get_or_insert(error);
        }
    }
}
