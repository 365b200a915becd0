//! What must be true at the end of a world.

use gateway::order::entry::Phase;
use gateway::order::orders::Owner;
use protocol::types::Side;

use crate::traders::belief;
use crate::world::World;
use crate::{ACCOUNTS, HALF_SPREAD, QUOTER, REQUOTE_AT, STRATEGIES, SYMBOLS, symbol};

/// Both ends, and every strategy, believe the same.
pub(crate) fn all_believe_the_same(world: &mut World) {
    for (at, name) in ACCOUNTS.into_iter().enumerate() {
        let exchange = world.exchange();
        let account = exchange.account(name).expect("configured");
        let (open, stored) = (exchange.open_orders(account), exchange.stored(account));
        let entry = world.lines[at].stage.entry();
        assert_eq!(entry.phase(), Phase::Open, "session {at}");
        let live = entry.live_orders();
        let believed: Vec<_> = live.iter().map(|it| (it.user_ref, it.open)).collect();
        assert_eq!(believed, open, "session {at}");
        let heard = entry.next_seq().0 - 1;
        assert_eq!(heard, stored as u64, "session {at} has heard everything");
    }
    for (trader, (_, session)) in STRATEGIES.into_iter().enumerate() {
        if trader == QUOTER {
            continue;
        }
        let believed = belief(trader);
        assert!(believed.unanswered.is_empty(), "{believed:?}");
        let of_session = STRATEGIES.iter().take(trader).filter(|it| it.1 == session);
        let owner = Owner(u8::try_from(of_session.count()).expect("few"));
        let live = world.lines[session].stage.entry().live_orders();
        let mut live: Vec<_> = live
            .iter()
            .filter_map(|it| {
                it.desk
                    .filter(|desk| desk.0 == owner)
                    .map(|desk| (desk.1, it.open))
            })
            .collect();
        live.sort_unstable();
        let believed: Vec<_> = believed.live.iter().map(|(id, it)| (*id, it.2)).collect();
        assert_eq!(believed, live, "trader {trader}");
    }
}

/// On a fresh market the quoter has at most one bid and one ask for each symbol. Where nobody refused it
/// anything for longer than it rests after a refusal, it has both, and where they belong. Says whether it was
/// that free.
pub(crate) fn quotes_stand_where_they_belong(world: &mut World) -> bool {
    let is_free = world.is_quoter_free();
    let (feed, session) = STRATEGIES[QUOTER];
    let live = world.lines[session].stage.entry().live_orders();
    for name in SYMBOLS[feed] {
        let middle = world.middle(feed, name);
        for side in [Side::Buy, Side::Sell] {
            let is_its = |owner: Owner| owner == Owner(1);
            let quotes: Vec<_> = live
                .iter()
                .filter(|it| it.desk.is_some_and(|desk| is_its(desk.0)))
                .filter(|it| it.symbol == symbol(name) && it.side == side)
                .collect();
            assert!(quotes.len() <= 1, "{quotes:?}");
            if let Some(middle) = middle.filter(|_| is_free) {
                let quote = quotes
                    .first()
                    .unwrap_or_else(|| panic!("no {side:?} in {name}"));
                let off = quote.price.0.abs_diff(middle);
                assert!(
                    off.abs_diff(HALF_SPREAD) <= 2 * REQUOTE_AT,
                    "{quote:?} for a middle of {middle}"
                );
            }
        }
    }
    is_free
}

/// Nothing of the quoter stands once its feed has a gap.
pub(crate) fn gap_withdraws_quotes(world: &mut World) {
    let (feed, session) = STRATEGIES[QUOTER];
    world.lose_a_packet(feed);
    assert!(world.hearings[feed].prices.feed_is_stale(), "a lost packet");
    let live = world.lines[session].stage.entry().live_orders();
    let left = live
        .iter()
        .find(|it| it.desk.is_some_and(|desk| desk.0 == Owner(1)));
    assert_eq!(left, None);
    if world.recovers {
        // The first market's servers are Nasdaq's; the second has none.
        world.lose_a_packet(0);
        world.recover(0);
    }
}
