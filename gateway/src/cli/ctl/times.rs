//! Times of what the gateway answers, for people.

use jiff::Timestamp;

/// Seconds, as `1 d 02:03:04`.
pub(in crate::cli) fn duration(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (hours, minutes) = (rest / 3_600, rest % 3_600 / 60);
    format!("{days} d {hours:02}:{minutes:02}:{:02}", rest % 60)
}

/// A moment, as `2026-11-26T19:00:00Z`.
pub(super) fn time_of(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok();
    let moment = moment.and_then(|seconds| Timestamp::from_second(seconds).ok());
    // What somebody wrote into the kill file may be no time.
    moment.map_or_else(|| format!("second {seconds}"), |moment| moment.to_string())
}
