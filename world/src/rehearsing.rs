//! A world whose every stage rehearses after every turn, and what a world leaves behind, folded into one number: by that a
//! world that rehearses is held against the same one that does not.
//!
//! Folded are, at the end of each life of the gateway: every byte that went to the exchange, the orders that are live,
//! what its sessions and feeds counted, and every order of every book.

use std::cell::{Cell, RefCell};
use std::hash::{DefaultHasher, Hash, Hasher};

use feed_handler::book::Books;
use feed_handler::feed::Counters;
use gateway::core_loop::Stage;
use gateway::order::risk::Limits;
use gateway::order::stage::OrderStage;
use gateway::order::understudy::Understudy;
use gateway::strategy::StrategyStage;
use protocol::types::Side;
use rt::clock::Clock;

use crate::connection::Connection;
use crate::venue::LISTED;

thread_local! {
    static REHEARSES: Cell<bool> = const { Cell::new(false) };
    static REHEARSALS: Cell<u64> = const { Cell::new(0) };
    static LEFT: RefCell<DefaultHasher> = RefCell::default();
}

/// A world begins on this thread.
pub(crate) fn begin(rehearses: bool) {
    REHEARSES.set(rehearses);
    REHEARSALS.set(0);
    LEFT.take();
}

/// Whether its stages rehearse.
pub(crate) fn is_on() -> bool {
    REHEARSES.get()
}

/// How often they have.
pub(crate) fn count() -> u64 {
    REHEARSALS.get()
}

/// What everything that was folded comes to.
pub(crate) fn left() -> u64 {
    LEFT.with_borrow(DefaultHasher::finish)
}

/// A strategies' stage that can rehearse, if the world does.
pub(crate) fn strategies(stage: StrategyStage) -> StrategyStage {
    if is_on() {
        return stage.with_rehearsal().expect("memory");
    }
    stage
}

/// A session's stage that can rehearse, if the world does.
pub(crate) fn session(stage: OrderStage<Connection>) -> OrderStage<Connection> {
    if is_on() {
        let every_check = Limits {
            duplicate_window_ns: 1,
            may_self_cross: false,
            ..Limits::WIDEST
        };
        let understudy = Understudy::new(&every_check, true);
        return stage.with_rehearsal(understudy.expect("memory"));
    }
    stage
}

/// One turn of a stage, and a rehearsal.
pub(crate) fn turn(stage: &mut impl Stage, clock: &Clock) {
    stage.poll(clock);
    rehearse(|| stage.rehearse(clock));
}

/// A rehearsal, if the world has them.
pub(crate) fn rehearse(rehearse: impl FnOnce()) {
    if is_on() {
        rehearse();
        REHEARSALS.set(REHEARSALS.get() + 1);
    }
}

/// A life of a session is over.
pub(crate) fn fold_session(stage: &mut OrderStage<Connection>) {
    let (live, counters) = (stage.live_orders(), stage.entry().counters().list());
    let told = std::mem::take(&mut stage.transport().told);
    LEFT.with_borrow_mut(|left| {
        told.hash(left);
        format!("{live:?} {counters:?}").hash(left);
    });
    stage.transport().told = told;
}

/// A life of a feed is over.
pub(crate) fn fold_feed(books: &Books, counters: &Counters) {
    let counted = [
        counters.feed.list(),
        counters.arbiter.list(),
        counters.join.list(),
        counters.book.list(),
        counters.check.list(),
        counters.publish.list(),
    ];
    LEFT.with_borrow_mut(|left| {
        // What is measured of turns by the clock depends on none here: it stands still in a turn.
        format!("{counted:?} {}", counters.status.stale()).hash(left);
        for locate in 1..=u16::try_from(LISTED).expect("few") {
            for side in [Side::Buy, Side::Sell] {
                for (top, queue) in books.levels(locate, side) {
                    let orders: Vec<_> = queue.into_iter().collect();
                    format!("{top:?} {orders:?}").hash(left);
                }
            }
        }
    });
}
