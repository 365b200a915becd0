//! A start after a day of orders, judged by counts: what both ends believe, what the drop copy has, which number comes next.

#![allow(clippy::expect_used, reason = "tests")]

use std::sync::atomic::AtomicBool;

use bench::recovery;

static NEVER: AtomicBool = AtomicBool::new(false);

#[test]
fn gateway_after_a_day_of_20_000_orders_believes_what_the_exchange_does_and_uses_no_number_again() {
    let found = recovery::measure(20_000, |_| (), &NEVER).expect("both ends agree");
    assert_eq!(found.orders, 20_000);
    // Orders and positions are the exchange's, or `measure` had failed; here that there were some.
    assert!(found.open > 100, "{} orders stand", found.open);
    assert!(
        found.positions.len() > 40,
        "{} positions",
        found.positions.len()
    );
    assert!(found.messages > 2 * found.orders, "{}", found.messages);
    assert!(found.executions > found.orders / 3, "{}", found.executions);
    assert_eq!(
        found.executions, found.executions_told,
        "each execution has one line"
    );
    // An order is a record, and so is each answer, once.
    let told_once = found.messages + found.orders;
    assert!(found.records > told_once, "{} records", found.records);
    // The day's last run was killed: what may have been in its memory is skipped, and nothing else.
    let expected = found.number_last + found.numbers_skipped + 1;
    assert_eq!(found.number_next, expected);
}
