//! The market of a run: a recorded day, or agents from a seed.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use order_sim::exchange::Exchange;
use order_sim::file;
use order_sim::flow::recorded::{Pace, Recorded};
use order_sim::options::Options;
use protocol::binary_file;
use protocol::itch::Message;
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
/// Live orders of a day, of the record and own.
pub(crate) const ORDERS_MAX: u32 = 1 << 20;
/// Price levels of a day.
pub(crate) const LEVELS_MAX: u32 = 1 << 18;

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
    /// It cannot be read.
    pub fn open(path: &Path) -> Result<Self, String> {
        let wrong = |error| format!("{}: {error}", path.display());
        let mut magic = [0; 2];
        let mut file = File::open(path).map_err(wrong)?;
        file.read_exact(&mut magic).map_err(wrong)?;
        let whole = BufReader::new(Cursor::new(magic).chain(file));
        Ok(Self::Day(match magic {
            [0x1F, 0x8B] => Box::new(BufReader::new(MultiGzDecoder::new(whole))),
            _ => Box::new(whole),
        }))
    }
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
            "address = \"127.0.0.1:1\"\n[engine]\norders_max = {ORDERS_MAX}\nlevels_max = {LEVELS_MAX}\n\
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

    /// Whether the market has nothing more to say.
    pub(crate) fn is_over(&self) -> bool {
        let is_enough = |max| self.messages() >= max;
        self.messages_max
            .map_or_else(|| self.exchange.is_flow_over(), is_enough)
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
