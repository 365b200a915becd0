//! The book as GLIMPSE tells it: directory, states, restrictions, every shown order, and the number of the
//! first feed message to apply.
//!
//! Spec:        GLIMPSE 5.0, 13 Feb 2026. Orders of one price come in the order of their queue, so that a
//!              reader that keeps priority gets it right.

use protocol::glimpse::EndOfSnapshot;
use protocol::types::{Seq, Side};
use zerocopy::IntoBytes;

use super::encoder::Stamped;
use crate::engine::Engine;

/// Writes a snapshot whose reader goes on with message `next` of the feed.
pub(crate) fn write(engine: &Engine, encoder: Stamped<'_>, next: Seq, out: &mut impl FnMut(&[u8])) {
    let stocks = || (1..=engine.listed()).filter_map(|locate| engine.status(locate));
    for stock in stocks() {
        out(encoder.directory(stock.locate).as_bytes());
    }
    for stock in stocks() {
        out(encoder
            .action(stock.locate, stock.state, *b"    ")
            .as_bytes());
    }
    for stock in stocks() {
        out(encoder
            .reg_sho(stock.locate, stock.is_short_restricted)
            .as_bytes());
    }
    for stock in stocks() {
        for side in [Side::Buy, Side::Sell] {
            for rested in engine.shown(stock.locate, side) {
                encoder.add(&rested, out);
            }
        }
    }
    out(EndOfSnapshot::new(next).as_bytes());
}
