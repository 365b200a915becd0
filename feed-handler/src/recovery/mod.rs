//! Recovery: what the lines did not bring is asked for, and what nobody has any more is replaced by a snapshot.
//!
//! ```text
//!   feed core                    rings                     recovery core
//!   sequencer ──missing────────── asks ──────────────────> requester ──> UDP, re-request servers
//!   arbiter  <──packets──────── answers <────────────────────────────<── their packets
//!   room     ──each message────── live ──────────────────> spare <── glimpse <── TCP, snapshot servers
//!   rejoin   <── books, and the live messages that they lack ──'
//! ```
//!
//! A hole waits for the other line; then it is asked for, and what comes meanwhile is kept in order. What no
//! server has is a gap: books are stale. From then on every message is copied to the recovery core, which loads
//! a snapshot into spare books, brings them up to date, and hands them over; the feed core applies the last
//! few messages, and swaps at exactly the number that it has reached.
//!
//! Thread:      `link` says which end is whose; the feed core's end is hot
//! Invariants:  the feed core never waits for the recovery core, and never calls the kernel for it. One
//!              spare exists; whoever holds it has its live messages too. A message reaches the spare
//!              exactly once, or the spare is thrown away.
//! When full:   an ask that finds no room is tried again; an answer is lost, and asked for again; a live
//!              message is lost, and the snapshot begins again. Each is counted.

pub mod answer;
pub mod counters;
pub mod glimpse;
pub mod link;
pub mod live;
pub(crate) mod rejoin;
pub mod request;
pub mod requester;
pub mod snapshots;
pub mod sockets;
pub mod spare;
pub mod stage;
pub mod wire;

/// Messages that a hole may miss and still be asked for. What is longer (a late join) is a gap at once.
pub const ASK_MAX: u64 = 1 << 14;

const _: () = assert!(ASK_MAX <= crate::stream::JUMP_MAX);
const _: () = assert!(ASK_MAX / requester::PIECES_MAX as u64 <= 16);
