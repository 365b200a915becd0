//! The order journal: every decision, every message of the exchange, every command and every turn of the kill
//! switch, in a file that only grows.
//!
//! ```text
//!  entry ──records──> inlet ──ring of cells──> records ──> batch ──> disk ──> file     journal core
//!  (order core, before the transport is flushed)    │        └ checksums, padding
//!                                                   └──> memory, in `world`
//!  file ──> reader ──> event ─┬> show: `tickgate journal`
//!                             └> look back ──> past: what the next run has to know
//!  records of all runs ──> days ─┬> executions ──> drop copy ┬> export: Parquet files
//!                                └> orders ──────────────────┘
//! ```
//!
//! # Layout, version 1
//!
//! Numbers are little-endian; what was sent or heard lies there as it was on the wire. A file begins with a head:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `TGJOURNL` |
//! | 8 | 4 | version: 1 |
//! | 12 | 4 | length of the head in bytes, a multiple of 8 |
//! | 16 | 8 | when the run began, ns since 1970 |
//! | 24 | 8 | the same moment on the clock of the records (`CLOCK_MONOTONIC`), ns |
//! | 32 | 4 | salt: what checksums of this run's records begin from |
//! | 36 | 4 | part of the run: 0, 1, 2 ... where files are bounded |
//! | 40 | 4 | length of the text in bytes |
//! | 44 | 4 | CRC-32 (IEEE) of the head but for these four bytes |
//! | 48 | | text, JSON (`head::Names`): the gateway's version and host, its sessions and their strategies, what codes mean, and the sequence number that each session's next record has; then zeros |
//!
//! Records follow, each at a multiple of 8:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | CRC-32 of the rest, padding included, beginning from the salt |
//! | 4 | 4 | length of the payload in bytes |
//! | 8 | 8 | sequence number, of the session in this run: 1, 2, 3 ... |
//! | 16 | 8 | when, ns: the time at which what was sent was judged, or what arrived was here |
//! | 24 | 4 | records lost before this one: the ring was full; the sequence number counts them |
//! | 28 | 1 | kind |
//! | 29 | 1 | session, in the order of the head; 255: the gateway |
//! | 30 | 2 | the kind's own |
//! | 32 | | payload, then zeros up to the next multiple of 8 |
//!
//! | kind | what | payload; the kind's own two bytes |
//! |---|---|---|
//! | 1 | the gateway starts, session 255 | none |
//! | 2 | it has stopped: a run without it has crashed | none |
//! | 3 | an intent was accepted | the intent (46 bytes), then the SoupBinTCP packet that goes out |
//! | 4 | an intent was refused | the intent; the row of limits that refused it, counted from 1, 0: none of them, 0 |
//! | 5 | cancels of the kill switch, of a stop or of the operator | the packets that go out |
//! | 6 | a message of the exchange | its SoupBinTCP sequence number (8), the message; 1: it was said before the connection was begun |
//! | 7 | a connection stands | none |
//! | 8 | the login was accepted | the number of the next message (8), the session's name (10) |
//! | 9 | the connection is gone | the pause before the next try, ms (4) |
//! | 10 | orders go out: the past is known | none |
//! | 11 | a command of the operator | none; code (1 cancel all, 2 pause, 3 unpause), strategy. Bit 7 of the code: there is no such strategy |
//! | 12 | the kill switch is on | none; cause, who began it: 0 this session, or nobody said, 255 housekeeping, which has found the kill file, else 1 and the place of the session |
//! | 13 | the kill switch is off | none |
//! | 16 | a row of limits is another one | the table's number (4), the user (4), the row from 0 (1), 1: it is for one strategy (1), the strategy (1), the symbols as a configuration has them, then zeros (9), then of each of [`RowLimits::KEYS`](crate::order::risk::RowLimits::KEYS) the value before (8) and now (8), in the configuration's units, all ones: none |
//! | 14 | limits are other ones | the table's number (4), the user who changed it (4), then for each limit that changes its code (1), the value before (8), the value now (8), in the configuration's units: [`LimitKey`](crate::order::risk::LimitKey) |
//! | 15 | turns of the core, in `journal.replayable`'s own session | what each was given from outside, as `turns` draws it |
//! | 128 | somebody asked for something by the control socket, and it was understood; or a guard fell silent. In the session `control` | the user (4; all ones: the gateway itself), the process (4), the request as an operator would type it, UTF-8 |
//!
//! From 128 on kinds tell nothing that orders, positions, limits or kill switches follow from, and a version that does not
//! know one passes over it. One below that it does not know is damage: what follows from it cannot be known.
//!
//! The intent: `decided_ns` (8), `seen_ns` (8) and sequence number (8) of the market message behind it, the strategy's
//! `OrderId` (4), the order's `UserRefNum` (4; 0: refused; a replace's new number is in its packet), price (4),
//! shares (4), locate code (2), strategy (1), flags (1: bits 0-1 action: 0 enter,
//! 1 replace, 2 cancel, 3 reduce; 2 sell, 3 immediate or cancel, 4 caused by an
//! execution, 5 by a timer), refusal (1; 255: accepted), feed (1; 255: beyond).
//!
//! So every number that was ever used is here: `UserRefNum` in the packets of kind 3, `OrderId` beside it.
//!
//! Invariants:  a record is in the ring before the bytes that it tells of are handed to the kernel. A record that was
//!              lost is counted in the next one, and has turned the kill switch on.
//! When wrong:  a full ring or a disk error stops trading; the gateway goes on to cancel. See `inlet` and `writer`.
//! Must not know: configuration, sockets.

pub mod inlet;

pub mod event;
pub mod format;
pub mod head;
pub mod limit_row;
pub mod limits;

pub mod turns;

pub mod writer;

pub mod batch;
pub mod records;

pub mod disk;
pub mod files;
pub mod uring;
pub mod write;

pub mod reader;
pub mod replay;

pub mod carried;
pub mod continuity;

pub mod look_back;
pub mod past;

mod days;
mod heard;
mod ranges;

pub mod copy_format;
pub mod drop_copy;
pub mod executions;

mod columns;
pub mod export;
mod order_life;
pub mod orders;
pub mod rows;
pub mod table;

pub mod filter;
mod ouch;
pub mod show;
