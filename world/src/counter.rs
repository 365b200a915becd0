//! The exchange that orders go to, as a process: what it was told and has not kept dies with it, and what its disk has is where it
//! begins again.

use std::collections::BTreeMap;
use std::convert::Infallible;

use order_sim::exchange::Exchange;
use order_sim::file;
use order_sim::options::Options;
use order_sim::store::Store;

use crate::ACCOUNTS;
use rt::clock::SECOND_NS;

/// Messages of a feed's session whose orders may suffer what a script wants: those after are treated well.
pub(crate) const SCRIPTED: u64 = 0x300;
/// The longest that it is gone.
const GONE_NS: u64 = 4 * SECOND_NS;

/// What the exchange does to the orders that some messages cause.
const BEHAVIOURS: [&str; 7] = [
    "reject\"\nreason = 7\n#\"",
    "late\"\nafter_ms = 3\n#\"",
    "ignore",
    "fill_half",
    "fill_twice",
    "bust",
    "fill_on_cancel",
];

/// The exchange that orders go to.
pub(crate) struct Counter {
    pub(crate) options: Options,
    pub(crate) exchange: Exchange,
    /// What its disk has of each account.
    files: BTreeMap<String, Vec<u8>>,
    /// It was killed: when it is there again.
    back_ns: Option<u64>,
    /// How often it was.
    pub(crate) kills: u64,
}

impl Counter {
    pub(crate) fn new(random: &mut fastrand::Rng, now_ns: u64) -> Self {
        let options = options(random);
        let files = ACCOUNTS.map(|name| (name.to_owned(), Vec::new()));
        Self {
            exchange: Exchange::new(&options, now_ns),
            options,
            files: files.into(),
            back_ns: None,
            kills: 0,
        }
    }

    /// Nobody answers at its ports.
    pub(crate) fn is_gone(&self) -> bool {
        self.back_ns.is_some()
    }

    /// Its answers are kept: before that nobody hears of them.
    pub(crate) fn save(&mut self) {
        self.write(|_| usize::MAX);
    }

    /// The process is killed, perhaps in the middle of a write. What it has sent was kept.
    pub(crate) fn kill(&mut self, now_ns: u64, random: &mut fastrand::Rng) {
        self.write(|len| random.usize(0..=len));
        self.back_ns = Some(now_ns + random.u64(0..GONE_NS));
        self.kills += 1;
    }

    /// Begins again with what the disk has, when it is time.
    pub(crate) fn turn(&mut self, now_ns: u64) {
        if self.back_ns.is_none_or(|back_ns| now_ns < back_ns) {
            return;
        }
        self.back_ns = None;
        self.exchange = Exchange::new(&self.options, now_ns);
        for (name, file) in &mut self.files {
            let restored = Store::restore(self.options.store_max, file);
            let restored = restored.expect("a killed process leaves whole records and a torn one");
            file.truncate(restored.whole_bytes);
            let account = self.exchange.account(name).expect("configured");
            self.exchange.restore(account, restored.store);
        }
    }

    /// At most this many bytes of what each account's file lacks.
    fn write(&mut self, mut most: impl FnMut(usize) -> usize) {
        let Self {
            exchange, files, ..
        } = self;
        let Ok(()) = exchange.save(|name, bytes| {
            let file = files.get_mut(name).expect("configured");
            file.extend_from_slice(&bytes[..bytes.len().min(most(bytes.len()))]);
            Ok::<_, Infallible>(())
        });
    }
}

fn options(random: &mut fastrand::Rng) -> Options {
    let fill_every = [0, 0, 2, 5][random.usize(0..4)];
    let mut text = format!(
        "address = \"127.0.0.1:1\"\nfill_every = {fill_every}\n[engine]\norders_max = 4000\nlevels_max = \
         256\ntrades_max = 4000\n"
    );
    for name in ACCOUNTS {
        // What would trade with the account's own is taken off both, a part of an order at a time.
        text += &format!("[account.{name}]\npassword = \"secret\"\nself_match = \"D\"\n");
    }
    // A ClOrdID begins with the strategy (of its session), the feed and the number of the message.
    for (strategy, feed) in [(0, 0), (1, 1), (0, 1)] {
        for block in 1..SCRIPTED / 16 {
            if let Some(act) = BEHAVIOURS.get(random.usize(0..16)) {
                let prefix = format!("{strategy:02X}{feed:02X}{block:09X}");
                text += &format!("[[behaviour]]\nprefix = \"{prefix}\"\ndo = \"{act}\"\n");
            }
        }
    }
    file::parse(&text).expect("sane").exchange
}
