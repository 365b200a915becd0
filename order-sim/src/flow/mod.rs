//! Where the market's own orders come from: agents with a seed, or a recorded day.

pub mod agents;
mod day_file;
pub mod recorded;

/// The whole part of a number that is not negative and far below 2^63.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates"
)]
pub(crate) fn whole(value: f64) -> u64 {
    value as u64
}
