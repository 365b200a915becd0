//! How long things are on their way.

/// Latencies of one run, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Exchange's packet -> feed stage.
    pub feed_ns: u64,
    /// Order stage -> exchange.
    pub orders_ns: u64,
    /// Exchange's answer -> order stage.
    pub answers_ns: u64,
}

impl Latency {
    /// The same on every way.
    #[must_use]
    pub fn constant(ns: u64) -> Self {
        Self {
            feed_ns: ns,
            orders_ns: ns,
            answers_ns: ns,
        }
    }

    /// Reads `5us`, or `feed=2us,orders=5us,answers=5us`; a way that is not named takes no time.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.contains('=') {
            return Ok(Self::constant(duration(text)?));
        }
        let mut latency = Self::default();
        for part in text.split(',') {
            let (way, time) = part.split_once('=').unwrap_or((part, ""));
            let ns = duration(time)?;
            match way {
                "feed" => latency.feed_ns = ns,
                "orders" => latency.orders_ns = ns,
                "answers" => latency.answers_ns = ns,
                _ => {
                    return Err(format!(
                        "unknown way \"{way}\", expected feed, orders or answers"
                    ));
                }
            }
        }
        Ok(latency)
    }
}

/// The longest that anything may be on its way: a minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

fn duration(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("\"{text}\" is no latency, expected a number with ns, us or ms, up to a minute");
    let end = text
        .find(|it: char| !it.is_ascii_digit())
        .ok_or_else(wrong)?;
    let (number, unit) = text.split_at(end);
    let unit_ns = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let ns = number.checked_mul(unit_ns);
    ns.filter(|ns| *ns <= LATENCY_NS_MAX).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_is_one_time_or_one_for_each_way() {
        assert_eq!(Latency::parse("5us"), Ok(Latency::constant(5_000)));
        let each = Latency {
            feed_ns: 2_000,
            orders_ns: 70,
            answers_ns: 0,
        };
        assert_eq!(Latency::parse("feed=2us,orders=70ns"), Ok(each));
        for wrong in ["", "5", "us", "5s", "-1us", "feed=", "wire=1us", "60001ms"] {
            assert!(Latency::parse(wrong).is_err(), "{wrong}");
        }
    }
}
