//! What an intent became, and what order entry has counted and measured.

use protocol::types::UserRefNum;
use rt::{counters, histograms};

use crate::order::risk::{Refusal, RefusalCounters};

counters! {
    /// What order entry did.
    pub struct EntryCounters {
        /// New orders sent.
        orders,
        /// Replaces sent.
        replaces,
        /// Cancels sent.
        cancels,
        /// Partial cancels sent.
        reductions,
        /// Orders accepted by the exchange.
        accepted,
        /// Orders rejected by the exchange.
        rejected,
        /// Answers to new orders: accepted and rejected.
        acks,
        /// Executions told by the exchange.
        fills,
        /// Shares in executions.
        filled_shares,
        /// Replaces confirmed.
        replaced,
        /// Cancels, also those that the exchange began.
        canceled,
        /// Replaces rejected; the order stands as it was.
        replaces_rejected,
        /// Cancels that the exchange refused.
        cancels_refused,
        /// Cancels that the exchange put off.
        cancels_pending,
        /// Times that something had no answer for too long, so that the exchange was asked.
        doubts,
        /// Doubts after which the connection ended, because the exchange had swallowed what was sent.
        doubts_lost,
        /// Messages to the exchange whose answers are not watched for, because too many others had none.
        unwatched,
        /// Replaces and cancels that went with a connection.
        changes_lost,
        /// Sizes that the exchange changed without a trade or a cancel.
        modified,
        /// Orders of which the exchange told another place in the book, or another size or price shown.
        restated,
        /// Beginnings and ends of the exchange's day.
        system_events,
        /// Trades undone by the exchange.
        trades_broken,
        /// Executions of more shares than an order had open. The position follows the exchange, and
        /// trading stops.
        overfills,
        /// Executions and undone trades that the exchange told again; they count once.
        executions_repeated,
        /// Things that must hold about money, and did not: trading stops.
        invariants_broken,
        /// Orders found at the exchange that this process had not sent in this life.
        adopted,
        /// Orders that the exchange never received: the connection went first, or the process of an earlier run.
        never_received,
        /// Orders of an earlier run that went back to their strategies.
        given_back,
        /// Messages of the exchange's past that the journals of earlier runs did not have.
        past_news,
        /// Messages of the exchange's past that the journals of earlier runs have otherwise: trading stops.
        past_differences,
        /// Executions of the day in sessions of the exchange that were left, out of the journals: positions have them.
        carried,
        /// Executions of the day in sessions of the exchange that were left, which cannot be carried, because no journal says whose they were: trading stops.
        not_carried,
        /// Answers about orders that are not known here.
        unknown_order,
        /// Answers that do not fit the order that they are about, or that nobody asked for.
        unexpected,
        /// Messages that are not OUCH 5.0: trading stops, as they may have been executions.
        malformed,
        /// Connections that came about.
        connections,
        /// Connections lost or refused.
        disconnections,
        /// Events that a strategy's full ring cost it. Its picture of its orders is wrong: it is
        /// stopped.
        execution_ring_full,
        /// Submissions to the kernel with orders in them.
        submissions,
        /// Commands of the operator that were taken.
        commands,
        /// Commands that named a strategy which this session does not have.
        commands_unknown,
        /// Intents refused, all causes.
        refused,
    }
    with {
        /// Intents refused, by cause.
        refusals: RefusalCounters,
    }
}

histograms! {
    /// The histograms that the order stage writes; `tick_to_order` for orders that a market event caused.
    pub struct OrderHistograms {
        /// intent made -> bytes ready
        decided_to_encoded,
        /// bytes ready -> io_uring_enter has returned
        encoded_to_submitted,
        /// feed stage has it -> bytes ready
        tick_to_order,
        /// bytes ready -> the exchange's answer is here
        order_to_ack,
    }
}

impl EntryCounters {
    /// Counts a refusal under its cause.
    pub fn refuse(&self, refusal: Refusal) {
        self.refused.increment();
        self.refusals.count(refusal);
    }
}

/// What an intent became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Bytes written.
    pub len: usize,
    /// The order's number.
    pub user_ref: UserRefNum,
    /// Whether it is a new order.
    pub is_new: bool,
}
