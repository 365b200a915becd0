//! The market of a run: a recorded day, or agents from a seed.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use order_sim::exchange::Exchange;
use order_sim::file;
use order_sim::flow::recorded::{Pace, Recorded};
use order_sim::options::Options;
use protocol::binary_file;
use protocol::itch::{self, Message};
use rt::clock::SECOND_NS;

/// The session's name at the exchange, and its password.
pub(crate) const ACCOUNT: &str = "tester";
/// Its index there: there is no other.
pub(crate) const THE_ACCOUNT: u16 = 0;
/// When the agents' market begins: ten o'clock.
const AGENTS_BEGIN_NS: u64 = 10 * 3600 * SECOND_NS;
/// The gateway is there this long before the first message: it has to log in, and heartbeats have to name the feed's
/// session, whose first messages are set aside and lost otherwise.
const BEFORE_NS: u64 = 5 * SECOND_NS;
/// Live orders of a day, of the record and own. All of Nasdaq has had 1.7 million at one time; what finds no room is counted as trouble.
pub(crate) const ORDERS_MAX: u32 = 1 << 21;
/// Price levels of a day, of all symbols together.
pub(crate) const LEVELS_MAX: u32 = 1 << 20;
/// Prices on one side of one symbol.
const PRICES_MAX: u32 = 1 << 18;

/// Where orders come from beside the strategy's.
pub enum Market {
    /// A day in BinaryFILE.
    Day(Box<dyn Read>),
    /// The agents' market: it ends after a number of messages of its feed.
    Agents {
        /// All dice.
        seed: u64,
        /// Messages.
        messages: u64,
    },
}

impl std::fmt::Debug for Market {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Day(_) => f.write_str("Day"),
            Self::Agents { seed, messages } => write!(f, "Agents({seed}, {messages})"),
        }
    }
}

impl Market {
    /// A day from a file, as it is or as gzip has packed it.
    ///
    /// # Errors
    /// It cannot be read, or does not begin as BinaryFILE of ITCH 5.0 does.
    pub fn open(path: &Path) -> Result<Self, String> {
        let wrong = |error: io::Error| format!("{}: {error}", path.display());
        let mut file = File::open(path).map_err(wrong)?;
        let magic = begin(&mut file, MAGIC.len()).map_err(wrong)?;
        let whole = BufReader::new(Cursor::new(magic.clone()).chain(file));
        let mut day: Box<dyn Read> = if magic == MAGIC {
            Box::new(BufReader::new(MultiGzDecoder::new(whole)))
        } else {
            Box::new(whole)
        };
        let first = begin(&mut day, binary_file::LENGTH_LEN + 1).map_err(wrong)?;
        let is_itch = matches!(first[..], [high, low, kind]
            if itch::len_of(kind) == Some(usize::from(u16::from_be_bytes([high, low]))));
        if !is_itch {
            return Err(format!(
                "{}: begins with {first:02x?}: expected BinaryFILE of ITCH 5.0, plain or as gzip has packed it",
                path.display()
            ));
        }
        Ok(Self::Day(Box::new(Cursor::new(first).chain(day))))
    }
}

/// What gzip begins with.
const MAGIC: &[u8] = &[0x1F, 0x8B];

/// The first `len` bytes, or all where there are fewer.
fn begin(from: &mut impl Read, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(len as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An exchange that is open, and when it is over.
pub(crate) struct Venue {
    pub(crate) options: Options,
    pub(crate) exchange: Exchange,
    pub(crate) begin_ns: u64,
    /// Messages of the feed after which the day ends; `None`: with the record.
    pub(crate) messages_max: Option<u64>,
}

impl Venue {
    pub(crate) fn open(market: Market) -> Result<Self, String> {
        let flow = match &market {
            Market::Day(_) => "[record]\nfile = \"-\"\n".to_owned(),
            Market::Agents { seed, .. } => {
                format!("[flow]\nseed = {seed}\nrate = 2000\ndepth = 6\nsymbols = 8\n")
            }
        };
        let text = format!(
            "address = \"127.0.0.1:1\"\n[engine]\norders_max = {ORDERS_MAX}\nlevels_max = {PRICES_MAX}\n\
             [account.{ACCOUNT}]\npassword = \"{ACCOUNT}\"\n[feed]\nlines = [{{ address = \"239.0.0.1:1\" \
             }}]\n{flow}"
        );
        let options = file::parse(&text)?.exchange;
        let (begin_ns, recorded, messages_max) = match market {
            Market::Agents { messages, .. } => (AGENTS_BEGIN_NS, None, Some(messages)),
            Market::Day(from) => {
                let (first_ns, from) = first_stamp(from)?;
                let begin_ns = first_ns.saturating_sub(BEFORE_NS);
                let recorded = Recorded::new(from, Pace::Speed(1.0), begin_ns + BEFORE_NS);
                (begin_ns, Some(recorded), None)
            }
        };
        Ok(Self {
            exchange: Exchange::open(&options, begin_ns, "BACKTEST", recorded),
            options,
            begin_ns,
            messages_max,
        })
    }

    /// Messages that the feed has published.
    pub(crate) fn messages(&self) -> u64 {
        let counters = self.exchange.feed_counters();
        counters.map_or(0, |counters| counters.messages.get())
    }

    /// Whether the market has nothing more to say. Agents who have said enough say nothing from then on.
    pub(crate) fn is_over(&mut self) -> bool {
        if self.messages_max.is_some_and(|max| self.messages() >= max) {
            self.exchange.end_flow();
        }
        self.exchange.is_flow_over()
    }
}

/// The first message's own time, and the whole day again.
fn first_stamp(mut from: Box<dyn Read>) -> Result<(u64, Box<dyn Read>), String> {
    let mut length = [0; binary_file::LENGTH_LEN];
    let unread = |error| format!("the day has no first message: {error}");
    from.read_exact(&mut length).map_err(unread)?;
    let len = binary_file::length(length).ok_or("the day has no message")?;
    let mut message = vec![0; len];
    from.read_exact(&mut message).map_err(unread)?;
    let stamp = Message::decode(&message)
        .map(|first| first.head().timestamp.get().0)
        .map_err(|error| format!("the day's first message is not ITCH 5.0: {error:?}"))?;
    let again = Cursor::new(length).chain(Cursor::new(message)).chain(from);
    Ok((stamp, Box::new(again)))
}
