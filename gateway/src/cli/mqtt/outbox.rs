//! What is on its way to the broker, and what has to be said again when a connection is gone.
//!
//! ```text
//!  keep ──> waiting ──hand──> handed ──on_sent──> flying ──on_acknowledged──> done
//!              ^                 │ QoS 0: done       │
//!              └────on_down──────┴───────────────────┘
//! ```
//!
//! **Hand what waits, tell it of each message that the client has written and that the broker has acknowledged, in the client's
//! order, and of the connection's end.** No socket, no clock.
//!
//! Invariants:  a message that is kept leaves as done, or as refused by the broker; in between it is here. Messages of the journal are
//!              handed in its order, and again in its order.
//! When full:   messages of the journal are not taken out of it; others are given back.

use std::collections::{BTreeMap, VecDeque};

use super::message::{Class, Message};
use super::position::Position;

/// Messages beside those of the journal that may wait for a broker: alerts and answers. More than a gateway can raise at once;
/// each takes some hundred bytes.
pub(super) const BESIDE_MAX: usize = 512;

/// One that must not be lost.
#[derive(Clone, Debug)]
struct Kept {
    number: u64,
    message: Message,
    /// Where its record begins in the journal; `None`: it is not of it.
    position: Option<Position>,
}

/// One that the client has taken and not yet written.
#[derive(Debug)]
enum Handed {
    Kept(Kept),
    /// Nobody misses it.
    Loose(Class),
}

/// What has become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) class: Class,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Messages of the journal at once.
    journaled_max: usize,
    journaled: usize,
    beside: usize,
    next: u64,
    waiting: VecDeque<Kept>,
    handed: VecDeque<Handed>,
    flying: BTreeMap<u16, Handed>,
}

impl Outbox {
    pub(super) fn new(journaled_max: usize) -> Self {
        Self {
            journaled_max,
            journaled: 0,
            beside: 0,
            next: 0,
            waiting: VecDeque::new(),
            handed: VecDeque::new(),
            flying: BTreeMap::new(),
        }
    }

    /// Whether another message of the journal can be kept.
    pub(super) fn has_room(&self) -> bool {
        self.journaled < self.journaled_max
    }

    /// Keeps a message of the journal: whoever calls has asked for room.
    pub(super) fn keep_journaled(&mut self, message: Message, position: Position) {
        self.journaled += 1;
        self.push(message, Some(position));
    }

    /// Keeps another message, unless the same one waits already; gives it back where there is no room.
    pub(super) fn keep(&mut self, message: Message) -> Result<(), Message> {
        if self.waiting.iter().any(|kept| kept.message == message) {
            return Ok(());
        }
        if self.beside == BESIDE_MAX {
            return Err(message);
        }
        self.beside += 1;
        self.push(message, None);
        Ok(())
    }

    fn push(&mut self, message: Message, position: Option<Position>) {
        let number = self.next;
        self.next += 1;
        self.waiting.push_back(Kept {
            number,
            message,
            position,
        });
    }

    /// Gives what waits to a client, as long as it takes.
    pub(super) fn hand(&mut self, mut takes: impl FnMut(&Message) -> bool) {
        while let Some(kept) = self.waiting.pop_front() {
            if !takes(&kept.message) {
                return self.waiting.push_front(kept);
            }
            self.handed.push_back(Handed::Kept(kept));
        }
    }

    /// The client has taken a message that nobody misses.
    pub(super) fn handed_loose(&mut self, class: Class) {
        self.handed.push_back(Handed::Loose(class));
    }

    /// The client has written the next message; `packet` 0: nobody will acknowledge it.
    pub(super) fn on_sent(&mut self, packet: u16) -> Option<Done> {
        let handed = self.handed.pop_front()?;
        if packet == 0 {
            return Some(self.end(handed));
        }
        self.flying.insert(packet, handed);
        None
    }

    /// The broker has the message, or will never take it.
    pub(super) fn on_acknowledged(&mut self, packet: u16) -> Option<Done> {
        let handed = self.flying.remove(&packet)?;
        Some(self.end(handed))
    }

    fn end(&mut self, handed: Handed) -> Done {
        let class = match handed {
            Handed::Loose(class) => class,
            Handed::Kept(kept) => {
                match kept.position {
                    Some(_) => self.journaled -= 1,
                    None => self.beside -= 1,
                }
                kept.message.class
            }
        };
        Done { class }
    }

    /// The connection is gone: what was not acknowledged waits again. How many messages that were handed that is, and those that
    /// nobody misses and that are lost.
    pub(super) fn on_down(&mut self) -> (usize, Vec<Class>) {
        let handed = std::mem::take(&mut self.handed).into_iter();
        let flying = std::mem::take(&mut self.flying).into_values();
        let (mut again, mut lost) = (Vec::new(), Vec::new());
        for handed in handed.chain(flying) {
            match handed {
                Handed::Kept(kept) => again.push(kept),
                Handed::Loose(class) => lost.push(class),
            }
        }
        let count = again.len();
        again.extend(std::mem::take(&mut self.waiting));
        again.sort_unstable_by_key(|kept| kept.number);
        self.waiting = again.into();
        (count, lost)
    }

    /// Where the earliest message of the journal begins that is not done: everything before has been dealt with.
    pub(super) fn earliest(&self) -> Option<&Position> {
        let away = self.handed.iter().chain(self.flying.values());
        let away = away.filter_map(|handed| match handed {
            Handed::Kept(kept) => Some(kept),
            Handed::Loose(_) => None,
        });
        let all = self.waiting.iter().chain(away);
        let journaled = all.filter_map(|kept| Some((kept.number, kept.position.as_ref()?)));
        let first = journaled.min_by_key(|(number, _)| *number);
        first.map(|(_, position)| position)
    }

    /// Messages that have to be acknowledged, or handed, before all is said.
    pub(super) fn len(&self) -> usize {
        self.journaled + self.beside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        Message {
            class: Class::Orders,
            topic: "t".to_owned(),
            payload: text.to_owned(),
            is_acknowledged: true,
            is_retained: false,
        }
    }

    fn at(offset: u64) -> Position {
        Position {
            file: "journal-1.tgj".to_owned(),
            offset,
        }
    }

    fn handed(outbox: &mut Outbox, most: usize) -> Vec<String> {
        let mut out = Vec::new();
        outbox.hand(|message| {
            let takes = out.len() < most;
            if takes {
                out.push(message.payload.clone());
            }
            takes
        });
        out
    }

    #[test]
    fn cursor_waits_for_the_earliest_message_whatever_is_acknowledged_behind_it() {
        let mut outbox = Outbox::new(8);
        for offset in 1..=3 {
            outbox.keep_journaled(message(&offset.to_string()), at(offset));
        }
        assert_eq!(handed(&mut outbox, 8), ["1", "2", "3"]);
        for packet in 1..=3 {
            assert_eq!(outbox.on_sent(packet), None);
        }
        let class = Class::Orders;
        assert_eq!(outbox.on_acknowledged(3), Some(Done { class }));
        assert_eq!(outbox.on_acknowledged(2), Some(Done { class }));
        assert_eq!(outbox.on_acknowledged(2), None, "nobody knows it any more");
        assert_eq!(outbox.earliest(), Some(&at(1)));
        assert_eq!(outbox.on_acknowledged(1), Some(Done { class }));
        assert_eq!((outbox.earliest(), outbox.len()), (None, 0));
    }

    #[test]
    fn lost_connection_has_everything_said_again_in_order_that_was_not_acknowledged() {
        let mut outbox = Outbox::new(8);
        for offset in 1..=5 {
            outbox.keep_journaled(message(&offset.to_string()), at(offset));
        }
        assert_eq!(handed(&mut outbox, 4).len(), 4);
        outbox.handed_loose(Class::Counters);
        for packet in [1, 2, 3] {
            outbox.on_sent(packet);
        }
        outbox.on_acknowledged(2);
        assert_eq!(outbox.on_down(), (3, vec![Class::Counters]));
        assert_eq!(handed(&mut outbox, 8), ["1", "3", "4", "5"]);
        // The new connection numbers anew.
        for packet in [1, 2, 3, 4] {
            outbox.on_sent(packet);
            assert!(outbox.on_acknowledged(packet).is_some());
        }
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    fn messages_that_nobody_acknowledges_are_done_when_they_are_written() {
        let mut outbox = Outbox::new(1);
        outbox.keep_journaled(message("1"), at(1));
        assert!(!outbox.has_room());
        handed(&mut outbox, 1);
        assert_eq!(
            outbox.on_sent(0),
            Some(Done {
                class: Class::Orders
            })
        );
        assert!(outbox.has_room());
        assert_eq!(outbox.on_sent(0), None, "nothing was handed");
    }

    #[test]
    fn full_outbox_gives_a_message_back() {
        let mut outbox = Outbox::new(1);
        for number in 0..BESIDE_MAX {
            assert_eq!(outbox.keep(message(&number.to_string())), Ok(()));
        }
        assert_eq!(outbox.keep(message("0")), Ok(()), "it waits already");
        assert_eq!(outbox.len(), BESIDE_MAX);
        assert_eq!(outbox.keep(message("one more")), Err(message("one more")));
        assert!(outbox.has_room(), "the journal has its own room");
    }
}
