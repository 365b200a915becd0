//! Asks re-request servers for what is missing: all holes at once, in pieces, paced, a server after the other.
//!
//! ```text
//!  want 10..80     | waiting 10..42 | waiting 42..74 | waiting 74..80 |
//!  poll_transmit   |  asked 10..42  |  asked 42..74  | waiting 74..80 |     two in flight at most
//!  answer 10..40   40..42 waiting   |  asked 42..74  | waiting 74..80 |     a packet holds what it holds, and
//!                                                                          where it need not hold all: 40..42 asked
//!  time-out        40..42 asked     | waiting 42..74 | waiting 74..80 |     the next server is asked
//! ```
//!
//! Path:        recovery::stage -> requester -> UDP
//! Thread:      recovery core
//! Contract:    **after each call, send what `poll_transmit` gives until it gives nothing, and call
//!              `on_timeout` when `deadline_ns` has passed.**
//! Invariants:  pieces are in order and do not meet; what has come is never asked for again; a piece is asked
//!              for at most `tries_max` times after it last became shorter.
//! Time:        comes in as `now_ns`; this file reads no clock.
//! When full:   what finds no room among [`PIECES_MAX`] pieces is given up at once.
//! When wrong:  a server that does not answer in time loses its turn to the next one; an answer to nothing
//!              that was asked for, or to more than that, changes nothing.

use super::request::{Range, Request, RequestProtocol, SessionKey};

/// Pieces at one time: [`super::ASK_MAX`] messages in the smallest pieces that are worth a packet.
pub const PIECES_MAX: usize = 1024;

/// How to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestOptions {
    /// Servers that can be asked; 0: none, everything is given up at once.
    pub servers: usize,
    /// How long an answer may take, ns.
    pub timeout_ns: u64,
    /// Requests in flight at one time.
    pub requests_max: usize,
    /// The least time between two requests, ns.
    pub interval_ns: u64,
    /// Messages that one request asks for; a packet holds about 30.
    pub messages_max: u16,
    /// How often a piece is asked for in vain before it is given up.
    pub tries_max: u32,
}

/// What an answer brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brought {
    /// Messages of it that were still missing.
    pub messages: u64,
    /// It held fewer than were asked for: the rest is asked for again.
    pub is_partial: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    range: Range,
    /// What the first request for it asked for, before it became shorter; `None`: there was none.
    asked: Option<Range>,
    tries: u32,
    server: usize,
    /// When the answer is overdue; `None`: not asked for at present.
    due_ns: Option<u64>,
}

/// What is missing, and how far asking for it is.
#[derive(Debug)]
pub struct Requester {
    options: RequestOptions,
    /// An answer may be several packets: what one of them leaves open is waited for.
    comes_in_parts: bool,
    session: SessionKey,
    pieces: Vec<Piece>,
    /// The server that answered last, or the one after it that did not.
    preferred: usize,
    next_request_ns: u64,
}

impl Requester {
    /// Nothing is missing.
    #[must_use]
    pub fn new(protocol: RequestProtocol, options: RequestOptions) -> Self {
        Self {
            comes_in_parts: protocol.comes_in_parts(),
            options: RequestOptions {
                messages_max: options.messages_max.max(1),
                ..options
            },
            session: [0; 10],
            pieces: Vec::with_capacity(PIECES_MAX),
            preferred: 0,
            next_request_ns: 0,
        }
    }

    /// A hole of this session. Another session's holes are forgotten. What cannot be asked for is given
    /// back.
    pub fn want(&mut self, session: SessionKey, hole: Range) -> Option<Range> {
        if session != self.session {
            self.pieces.clear();
            self.session = session;
        }
        if self.options.servers == 0 {
            return Some(hole);
        }
        let mut first = hole.first;
        // Each turn goes on by a piece at least, and the room for them is bounded.
        while first < hole.end {
            let at = self.pieces.partition_point(|it| it.range.end <= first);
            let next = self.pieces.get(at).map_or(u64::MAX, |it| it.range.first);
            if next <= first {
                // It is wanted already.
                first = self.pieces.get(at).map_or(hole.end, |it| it.range.end);
                continue;
            }
            if self.pieces.len() == PIECES_MAX {
                return Some(Range { first, ..hole });
            }
            let end = first
                .saturating_add(u64::from(self.options.messages_max))
                .min(hole.end)
                .min(next);
            let piece = Piece {
                range: Range { first, end },
                asked: None,
                tries: 0,
                server: 0,
                due_ns: None,
            };
            self.pieces.insert(at, piece);
            first = end;
        }
        None
    }

    /// What is to be sent now, if anything.
    pub fn poll_transmit(&mut self, now_ns: u64) -> Option<Request> {
        let in_flight = self.pieces.iter().filter(|it| it.due_ns.is_some()).count();
        if now_ns < self.next_request_ns || in_flight >= self.options.requests_max {
            return None;
        }
        let piece = self.pieces.iter_mut().find(|it| it.due_ns.is_none())?;
        piece.due_ns = Some(now_ns.saturating_add(self.options.timeout_ns));
        piece.server = self.preferred;
        piece.asked.get_or_insert(piece.range);
        piece.tries += 1;
        self.next_request_ns = now_ns.saturating_add(self.options.interval_ns);
        let Range { first, end } = piece.range;
        Some(Request {
            server: piece.server,
            session: self.session,
            first,
            count: u16::try_from(end - first).unwrap_or(self.options.messages_max),
        })
    }

    /// A packet of a server has brought these numbers of this session; `None`: nobody asked for them, or they go beyond
    /// what was asked for.
    pub fn on_answer(
        &mut self,
        server: usize,
        session: SessionKey,
        brought: Range,
    ) -> Option<Brought> {
        if session != self.session {
            return None;
        }
        let piece = self.pieces.iter().find(|it| it.is_answered_by(brought))?;
        let has_ended = !self.comes_in_parts;
        let is_partial = has_ended && piece.due_ns.is_some() && brought.end < piece.range.end;
        self.preferred = server.min(self.options.servers.saturating_sub(1));
        let messages = self.fill(brought, has_ended);
        Some(Brought {
            messages,
            is_partial,
        })
    }

    /// These numbers are no longer missing, and no answer brought them: what is left of a piece is waited for as before.
    pub fn on_filled(&mut self, filled: Range) {
        self.fill(filled, false);
    }

    /// Takes numbers out of the pieces; how many were missing. What is left of a piece is asked for anew if nothing more
    /// comes of its answer, else when that is overdue.
    fn fill(&mut self, filled: Range, has_ended: bool) -> u64 {
        let mut messages = 0;
        let mut index = self
            .pieces
            .partition_point(|it| it.range.end <= filled.first);
        // Each turn takes a piece out, or goes on by one.
        while let Some(piece) = self.pieces.get(index).copied()
            && piece.range.first < filled.end
        {
            let Range { first, end } = piece.range;
            messages += end.min(filled.end) - first.max(filled.first);
            self.pieces.remove(index);
            let rests = [
                Range {
                    first,
                    end: filled.first,
                },
                Range {
                    first: filled.end,
                    end,
                },
            ];
            for range in rests.into_iter().filter(|it| it.first < it.end) {
                let rest = Piece {
                    range,
                    tries: 0,
                    due_ns: piece.due_ns.filter(|_| !has_ended),
                    ..piece
                };
                // One more than before at most, for what fills the middle of a piece.
                self.pieces.insert(index, rest);
                index += 1;
            }
        }
        messages
    }

    /// Takes back what was not answered in time: it is asked for again, or given up.
    pub fn on_timeout(&mut self, now_ns: u64, mut on_timed_out: impl FnMut(Option<Range>)) {
        let Self {
            options,
            pieces,
            preferred,
            ..
        } = self;
        pieces.retain_mut(|piece| {
            if piece.due_ns.is_none_or(|due_ns| due_ns > now_ns) {
                return true;
            }
            piece.due_ns = None;
            // Of several requests to one server the first turns away from it.
            if piece.server == *preferred {
                *preferred = (*preferred + 1) % options.servers.max(1);
            }
            let is_lost = piece.tries >= options.tries_max;
            on_timed_out(is_lost.then_some(piece.range));
            !is_lost
        });
    }

    /// When something is to be done: an answer is overdue, or a request may be sent. Never: `u64::MAX`.
    #[must_use]
    pub fn deadline_ns(&self) -> u64 {
        let overdue = self.pieces.iter().filter_map(|it| it.due_ns).min();
        let in_flight = self.pieces.iter().filter(|it| it.due_ns.is_some()).count();
        let is_waiting = in_flight < self.pieces.len() && in_flight < self.options.requests_max;
        let next = is_waiting.then_some(self.next_request_ns);
        overdue.into_iter().chain(next).min().unwrap_or(u64::MAX)
    }

    /// Forgets everything: another session begins.
    pub fn clear(&mut self) {
        self.pieces.clear();
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.pieces.is_empty()
    }
}

impl Piece {
    /// Whether an answer with these numbers is one to a request for this piece, and holds some of it.
    fn is_answered_by(&self, brought: Range) -> bool {
        let is_asked = self
            .asked
            .is_some_and(|asked| asked.first <= brought.first && brought.end <= asked.end);
        is_asked && self.range.first < brought.end && brought.first < self.range.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionKey = *b"SESSION001";
    const OPTIONS: RequestOptions = RequestOptions {
        servers: 2,
        timeout_ns: 100,
        requests_max: 2,
        interval_ns: 0,
        messages_max: 32,
        tries_max: 3,
    };

    fn range(first: u64, end: u64) -> Range {
        Range { first, end }
    }

    fn mold(options: RequestOptions) -> Requester {
        Requester::new(RequestProtocol::Mold, options)
    }

    fn sent(requester: &mut Requester, now_ns: u64) -> Vec<(usize, u64, u16)> {
        std::iter::from_fn(|| requester.poll_transmit(now_ns))
            .map(|request| (request.server, request.first, request.count))
            .collect()
    }

    /// What is given up.
    fn timed_out(requester: &mut Requester, now_ns: u64) -> Vec<Range> {
        let mut lost = Vec::new();
        requester.on_timeout(now_ns, |range| lost.extend(range));
        lost
    }

    #[test]
    fn holes_are_asked_for_at_once_in_pieces_and_no_more_than_may_fly() {
        let mut requester = mold(OPTIONS);
        assert_eq!(requester.want(SESSION, range(10, 80)), None);
        assert_eq!(requester.want(SESSION, range(200, 201)), None);
        assert_eq!(sent(&mut requester, 0), [(0, 10, 32), (0, 42, 32)]);
        let brought = requester.on_answer(0, SESSION, range(10, 42)).unwrap();
        assert_eq!((brought.messages, brought.is_partial), (32, false));
        assert_eq!(sent(&mut requester, 1), [(0, 74, 6)]);
        requester.on_answer(0, SESSION, range(42, 74)).unwrap();
        requester.on_answer(0, SESSION, range(74, 80)).unwrap();
        assert_eq!(sent(&mut requester, 2), [(0, 200, 1)]);
        requester.on_answer(0, SESSION, range(200, 201)).unwrap();
        assert!(requester.is_idle());
        assert_eq!(requester.deadline_ns(), u64::MAX);
    }

    #[test]
    fn rest_of_a_partial_answer_is_asked_for_at_once() {
        let mut requester = mold(OPTIONS);
        requester.want(SESSION, range(1, 21));
        assert_eq!(sent(&mut requester, 0), [(0, 1, 20)]);
        let brought = requester.on_answer(0, SESSION, range(1, 13)).unwrap();
        assert_eq!((brought.messages, brought.is_partial), (12, true));
        assert_eq!(sent(&mut requester, 10), [(0, 13, 8)]);
        // What the answer repeats counts once.
        let brought = requester.on_answer(0, SESSION, range(10, 21)).unwrap();
        assert_eq!((brought.messages, brought.is_partial), (8, false));
        assert!(requester.is_idle());
    }

    #[test]
    fn silent_server_loses_its_turn_and_an_answering_one_keeps_it() {
        let mut requester = mold(OPTIONS);
        requester.want(SESSION, range(1, 65));
        assert_eq!(sent(&mut requester, 0), [(0, 1, 32), (0, 33, 32)]);
        assert_eq!(requester.deadline_ns(), 100);
        assert_eq!(timed_out(&mut requester, 99), []);
        assert_eq!(sent(&mut requester, 99), []);
        assert_eq!(timed_out(&mut requester, 100), []);
        assert_eq!(sent(&mut requester, 100), [(1, 1, 32), (1, 33, 32)]);
        requester.on_answer(1, SESSION, range(1, 33)).unwrap();
        requester.on_answer(1, SESSION, range(33, 65)).unwrap();
        requester.want(SESSION, range(100, 101));
        assert_eq!(sent(&mut requester, 200), [(1, 100, 1)]);
    }

    #[test]
    fn piece_is_given_up_after_its_last_try_and_others_go_on() {
        let mut requester = mold(OPTIONS);
        requester.want(SESSION, range(1, 3));
        for now_ns in [0, 100, 200] {
            assert_eq!(timed_out(&mut requester, now_ns), []);
            assert_eq!(sent(&mut requester, now_ns).len(), 1);
        }
        requester.want(SESSION, range(9, 10));
        assert_eq!(sent(&mut requester, 250).len(), 1);
        assert_eq!(timed_out(&mut requester, 300), [range(1, 3)]);
        assert_eq!(requester.deadline_ns(), 350);
        assert!(!requester.is_idle());
    }

    #[test]
    fn requests_keep_their_distance() {
        let options = RequestOptions {
            interval_ns: 10,
            ..OPTIONS
        };
        let mut requester = mold(options);
        requester.want(SESSION, range(1, 65));
        assert_eq!(sent(&mut requester, 5).len(), 1);
        assert_eq!(requester.deadline_ns(), 15);
        assert_eq!(sent(&mut requester, 14).len(), 0);
        assert_eq!(sent(&mut requester, 15).len(), 1);
    }

    #[test]
    fn what_came_by_itself_is_not_asked_for_and_splits_a_piece() {
        let mut requester = mold(OPTIONS);
        requester.want(SESSION, range(1, 31));
        requester.on_filled(range(5, 10));
        assert_eq!(sent(&mut requester, 0), [(0, 1, 4), (0, 10, 21)]);
        requester.on_filled(range(0, 100));
        assert!(requester.is_idle());
    }

    #[test]
    fn what_a_line_brings_late_shortens_a_piece_whose_answer_is_still_waited_for() {
        let mut requester = mold(OPTIONS);
        requester.want(SESSION, range(1, 31));
        assert_eq!(sent(&mut requester, 0), [(0, 1, 30)]);
        requester.on_filled(range(0, 11));
        assert_eq!(sent(&mut requester, 1), []);
        // It answers what was asked for, with more than is missing by now.
        let brought = requester.on_answer(0, SESSION, range(1, 31)).unwrap();
        assert_eq!((brought.messages, brought.is_partial), (20, false));
        assert!(requester.is_idle());
    }

    #[test]
    fn answer_in_several_segments_is_asked_for_once() {
        let mut requester = Requester::new(RequestProtocol::IexTp, OPTIONS);
        requester.want(SESSION, range(1, 31));
        assert_eq!(sent(&mut requester, 0), [(0, 1, 30)]);
        for (first, end) in [(1, 9), (17, 25), (9, 17)] {
            let brought = requester.on_answer(0, SESSION, range(first, end)).unwrap();
            assert_eq!((brought.messages, brought.is_partial), (8, false));
            assert_eq!(sent(&mut requester, 50), []);
        }
        assert_eq!(requester.deadline_ns(), 100);
        // The last segment is lost: its messages are asked for when it is overdue, and nothing else is.
        assert_eq!(timed_out(&mut requester, 100), []);
        assert_eq!(sent(&mut requester, 100), [(1, 25, 6)]);
        requester.on_answer(1, SESSION, range(25, 31)).unwrap();
        assert!(requester.is_idle());
    }

    #[test]
    fn answer_with_more_than_was_asked_for_is_none() {
        let mut requester = mold(OPTIONS);
        requester.want(SESSION, range(5, 10));
        assert_eq!(
            requester.on_answer(0, SESSION, range(5, 10)),
            None,
            "not asked"
        );
        assert_eq!(sent(&mut requester, 0).len(), 1);
        assert_eq!(requester.on_answer(0, SESSION, range(4, 10)), None);
        assert_eq!(requester.on_answer(0, SESSION, range(5, 11)), None);
        assert!(requester.on_answer(0, SESSION, range(5, 10)).is_some());
    }

    #[test]
    fn hole_that_is_wanted_already_is_asked_for_once() {
        let mut requester = mold(OPTIONS);
        requester.want(SESSION, range(5, 10));
        requester.want(SESSION, range(1, 20));
        let options = RequestOptions {
            requests_max: 9,
            ..OPTIONS
        };
        requester.options = options;
        let expected = [(0, 1, 4), (0, 5, 5), (0, 10, 10)];
        assert_eq!(sent(&mut requester, 0), expected);
    }

    #[test]
    fn answer_to_nothing_that_was_asked_changes_nothing() {
        let mut requester = mold(OPTIONS);
        requester.want(SESSION, range(5, 10));
        assert_eq!(sent(&mut requester, 0).len(), 1);
        assert_eq!(requester.on_answer(1, SESSION, range(1, 5)), None);
        assert_eq!(requester.on_answer(1, SESSION, range(10, 99)), None);
        assert_eq!(requester.on_answer(1, *b"SESSION002", range(5, 10)), None);
        assert_eq!(requester.deadline_ns(), 100);
    }

    #[test]
    fn other_session_forgets_what_was_missing() {
        let mut requester = mold(OPTIONS);
        requester.want(SESSION, range(5, 10));
        requester.want(*b"SESSION002", range(1, 2));
        assert_eq!(sent(&mut requester, 0), [(0, 1, 1)]);
    }

    #[test]
    fn hole_beyond_the_room_is_given_back_and_nothing_grows() {
        let mut requester = mold(RequestOptions {
            messages_max: 1,
            ..OPTIONS
        });
        let room = PIECES_MAX as u64;
        let left = requester.want(SESSION, range(0, room + 7));
        assert_eq!(left, Some(range(room, room + 7)));
        assert_eq!(requester.pieces.capacity(), PIECES_MAX);
    }

    #[test]
    fn without_servers_everything_is_given_back() {
        let mut requester = mold(RequestOptions {
            servers: 0,
            ..OPTIONS
        });
        assert_eq!(requester.want(SESSION, range(1, 2)), Some(range(1, 2)));
        assert!(requester.is_idle());
    }
}
