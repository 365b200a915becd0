//! The ring that strategies share: each event once, each reader at its own place.
//!
//! ```text
//!  feed ──> events ─────────────────────────────> reader: next, next, overtaken by n
//!     └───> news: gaps, ends, staleness, each     │          └─> what of the news lies in the n?
//!           with its place among the events ──────┘              else the sums of all that is lost
//! ```
//!
//! Thread:      the writer on the feed core, each reader on its strategy's core, hot
//! Invariants:  what a reader was overtaken by is exactly what [`News`] then says: how many messages, each gap
//!              and end, the last staleness. A piece of news stands in its own ring before it stands among
//!              the events.
//! When full:   the oldest events are overwritten; the writer never looks. The news' own ring is written over
//!              only after [`NEWS_ROOM`] gaps and ends: then its newest entry has the sums of all before it.

use rt::broadcast::{Read, Reader, Writer, broadcast};
use rt::ring::NotPowerOfTwo;

use super::news::News;
use crate::event::{FLAG_NO_MESSAGE, Kind, MarketEvent, Origin, WORDS};

/// Gaps, ends and changes of staleness that are kept for who was overtaken, where as many events are: one lost packet in a hundred at
/// 50,000 packets a second fills it in two seconds.
const NEWS_ROOM: usize = 1024;

/// What was announced until now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    /// Numbers that never came.
    lost: u64,
    /// How many of them before the last end.
    lost_before_end: u64,
    /// The first of them in this session; 0: none.
    lost_first: u64,
    /// The number after the last of them in this session.
    lost_to: u64,
    /// Sessions that ended.
    ended: u64,
    /// The number at which the last one ended.
    end_seq: u64,
    /// Messages before that.
    messages_before_end: u64,
    /// `Kind::Stale` or `Kind::Fresh` where nothing later contradicts.
    staleness: Option<Kind>,
}

/// One piece of news.
#[derive(Clone, Copy, Debug)]
struct Entry {
    event: MarketEvent,
    /// Its place among the events.
    at: u64,
    /// What was announced, this included.
    totals: Totals,
}

const ENTRY_WORDS: usize = WORDS + 9;

/// The feed's end.
#[derive(Debug)]
pub(super) struct SharedWriter {
    events: Writer<WORDS>,
    news: Writer<ENTRY_WORDS>,
    totals: Totals,
}

/// A strategy's end.
#[derive(Debug)]
pub(super) struct SharedReader {
    events: Reader<WORDS>,
    news: Reader<ENTRY_WORDS>,
    /// News that it has heard or been told of in sum.
    news_heard: u64,
    /// The next piece, already taken from the news' ring.
    next_news: Option<Entry>,
    totals: Totals,
    /// What it was overtaken by and has not been told yet.
    pub(super) missed: News,
    /// When the last of that was.
    pub(super) missed_origin: Origin,
    /// What comes after it has not been read yet.
    pub(super) is_lost: bool,
}

impl SharedWriter {
    pub(super) fn new(room: usize) -> Result<Self, NotPowerOfTwo> {
        Ok(Self {
            events: broadcast(room)?,
            news: broadcast(room.min(NEWS_ROOM))?,
            totals: Totals::default(),
        })
    }

    /// A reader of what comes from now on.
    pub(super) fn reader(&self) -> SharedReader {
        SharedReader {
            events: self.events.reader(),
            news: self.news.reader(),
            news_heard: self.news.written(),
            next_news: None,
            totals: self.totals,
            missed: News::default(),
            missed_origin: Origin::default(),
            is_lost: false,
        }
    }

    #[inline]
    pub(super) fn prefetch(&self) {
        self.events.prefetch();
    }

    #[inline]
    pub(super) fn publish(&mut self, event: &MarketEvent) {
        self.events.write(event.to_words());
    }

    pub(super) fn announce(&mut self, event: &MarketEvent) {
        let at = self.events.written();
        self.totals.note(event, at - self.news.written());
        let entry = Entry {
            event: *event,
            at,
            totals: self.totals,
        };
        self.news.write(entry.to_words());
        self.events.write(event.to_words());
    }
}

impl SharedReader {
    /// The next event's words.
    #[inline]
    pub(super) fn read(&mut self) -> Read<WORDS> {
        self.events.read()
    }

    /// A piece of news was read among the events.
    pub(super) fn on_news(&mut self, event: &MarketEvent) {
        let messages = (self.events.position() - 1).saturating_sub(self.news_heard);
        self.totals.note(event, messages);
        self.news_heard += 1;
        self.news.skip_to(self.news_heard);
        self.next_news = None;
    }

    /// The writer came round: this many events before the next one are lost. What they were joins
    /// [`SharedReader::missed`]. Returns how many sessions have ended by then.
    #[cold]
    pub(super) fn on_overtaken(&mut self, count: u64) -> u64 {
        self.is_lost = true;
        let mut from = self.events.position() - count;
        // What was lost is bounded by the ring of news; twice, for what comes meanwhile.
        for _ in 0..2 * NEWS_ROOM {
            if self.next_news.is_none() {
                match self.news.read() {
                    Read::Message(words) => self.next_news = Entry::of_words(&words),
                    Read::Nothing => break,
                    Read::Missed(_) => {
                        from = self.sum_up(from);
                        continue;
                    }
                }
            }
            let Some(entry) = self
                .next_news
                .filter(|entry| entry.at < self.events.position())
            else {
                break;
            };
            self.miss(entry.at - from, last_before(&entry.event));
            self.missed.note(&entry.event);
            self.missed_origin = entry.event.origin;
            self.totals = entry.totals;
            self.news_heard += 1;
            self.next_news = None;
            from = entry.at + 1;
        }
        self.miss(self.events.position() - from, 0);
        self.totals.ended
    }

    /// What comes after the loss has been read: the last number before it is known.
    pub(super) fn on_found(&mut self, last_seq: u64) {
        self.is_lost = false;
        self.missed.miss(0, last_seq);
    }

    fn miss(&mut self, messages: u64, last_seq: u64) {
        if messages > 0 {
            self.missed.miss(messages, last_seq);
        }
    }

    /// News are lost, too: the newest entry has their sum, and with it everything up to there is told.
    /// Returns the place after it.
    fn sum_up(&mut self, from: u64) -> u64 {
        let Read::Message(words) = self.news.read() else {
            return from;
        };
        let Some(Entry { event, at, totals }) = Entry::of_words(&words) else {
            return from;
        };
        let heard_messages = from - self.news_heard;
        self.news_heard = self.news.position();
        let messages = at + 1 - self.news_heard - heard_messages;
        let mut lost_from = self.totals.lost;
        let mut messages_left = messages;
        let origin = |seq| Origin {
            seq,
            ..event.origin
        };
        // Where the first of several began is not known when one of this session was told before; not before
        // that one ended.
        let mut gap_first = match self.totals.lost_to {
            0 => totals.lost_first,
            told => told,
        };
        if totals.ended > self.totals.ended {
            let before_end = totals.messages_before_end - heard_messages;
            self.miss(before_end, totals.end_seq.saturating_sub(1));
            let is_next = totals.ended == self.totals.ended + 1;
            let told = if is_next { self.totals.lost_to } else { 0 };
            self.note_gap(totals.lost_before_end - lost_from, origin(told));
            self.missed.note(&MarketEvent {
                number: totals.ended,
                ..MarketEvent::bare(Kind::EndOfSession, origin(totals.end_seq))
            });
            messages_left -= before_end;
            lost_from = totals.lost_before_end;
            gap_first = totals.lost_first;
        }
        self.miss(messages_left, last_before(&event));
        self.note_gap(totals.lost - lost_from, origin(gap_first));
        if let Some(kind) = totals.staleness {
            self.missed.note(&MarketEvent::bare(kind, origin(0)));
        }
        self.missed_origin = event.origin;
        self.totals = totals;
        self.events.skip_to(at + 1);
        at + 1
    }

    fn note_gap(&mut self, lost: u64, origin: Origin) {
        if lost > 0 {
            self.missed.note(&MarketEvent {
                number: lost,
                ..MarketEvent::bare(Kind::Gap, origin)
            });
        }
    }
}

/// The last number before an event.
pub(super) fn last_before(event: &MarketEvent) -> u64 {
    let bears_the_last = matches!(event.kind, Kind::Stale | Kind::Fresh);
    if bears_the_last || event.has(FLAG_NO_MESSAGE) {
        event.origin.seq
    } else {
        event.origin.seq.saturating_sub(1)
    }
}

impl Totals {
    /// `messages`: how many came before it.
    fn note(&mut self, event: &MarketEvent, messages: u64) {
        self.staleness = self.staleness.filter(|kind| *kind != Kind::Fresh);
        match event.kind {
            Kind::Gap => {
                self.lost += event.number;
                if self.lost_first == 0 {
                    self.lost_first = event.origin.seq;
                }
                self.lost_to = event.origin.seq.saturating_add(event.number);
            }
            Kind::EndOfSession => {
                self.lost_before_end = self.lost;
                (self.lost_first, self.lost_to) = (0, 0);
                self.ended = event.number;
                self.end_seq = event.origin.seq;
                self.messages_before_end = messages;
            }
            kind => self.staleness = Some(kind),
        }
    }
}

impl Entry {
    fn to_words(self) -> [u64; ENTRY_WORDS] {
        let Totals {
            lost,
            lost_before_end,
            lost_first,
            lost_to,
            ended,
            end_seq,
            messages_before_end,
            staleness,
        } = self.totals;
        let [a, b, c, d, e, f, g, h, i] = self.event.to_words();
        let staleness = staleness.map_or(0, |kind| kind as u64);
        [
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            h,
            i,
            self.at,
            lost,
            lost_before_end,
            lost_first,
            lost_to,
            ended,
            end_seq,
            messages_before_end,
            staleness,
        ]
    }

    fn of_words(words: &[u64; ENTRY_WORDS]) -> Option<Self> {
        let [
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            h,
            i,
            at,
            lost,
            lost_before_end,
            lost_first,
            lost_to,
            ended,
            end_seq,
            messages_before_end,
            staleness,
        ] = *words;
        let kinds = [Kind::Stale, Kind::Fresh];
        Some(Self {
            event: MarketEvent::of_words([a, b, c, d, e, f, g, h, i])?,
            at,
            totals: Totals {
                lost,
                lost_before_end,
                lost_first,
                lost_to,
                ended,
                end_seq,
                messages_before_end,
                staleness: kinds.into_iter().find(|kind| *kind as u64 == staleness),
            },
        })
    }
}
