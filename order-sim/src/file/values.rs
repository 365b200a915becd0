//! How the configuration writes times of day, symbols and prices.

use serde::{Deserialize, Deserializer};

pub(in crate::file) fn time_of_day<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let text = String::deserialize(from)?;
    parse_time(&text).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "\"{text}\": expected a time of day as \"09:30:00\""
        ))
    })
}

pub(in crate::file) fn time_of_day_or_none<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<u64>, D::Error> {
    time_of_day(from).map(Some)
}

fn parse_time(text: &str) -> Option<u64> {
    let mut parts = text.split(':');
    let mut next = |below: u64| {
        let value: u64 = parts.next()?.parse().ok()?;
        (value < below).then_some(value)
    };
    let (hours, minutes, seconds) = (next(24)?, next(60)?, next(60)?);
    let is_whole = parts.next().is_none();
    is_whole.then_some((hours * 3600 + minutes * 60 + seconds) * 1_000_000_000)
}

pub(in crate::file) fn symbol<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<protocol::types::Symbol, D::Error> {
    let text = String::deserialize(from)?;
    protocol::types::Symbol::new(&text).ok_or_else(|| {
        serde::de::Error::custom(format!("\"{text}\": expected 1 to 8 printable characters"))
    })
}

pub(in crate::file) fn price<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let text = String::deserialize(from)?;
    parse_price(&text).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "\"{text}\": expected a price above 0 with at most 4 decimals, as \"102.50\""
        ))
    })
}

fn parse_price(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if part.len() > 4 || whole.is_empty() || !is_number(whole) || !is_number(part) {
        return None;
    }
    let part: u32 = format!("{part:0<4}").parse().ok()?;
    let price = whole
        .parse::<u32>()
        .ok()?
        .checked_mul(10_000)?
        .checked_add(part)?;
    (price > 0 && price <= protocol::ouch::PRICE_MAX.0).then_some(price)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_prices_are_read_strictly() {
        assert_eq!(parse_time("09:30:00"), Some(34_200_000_000_000));
        for wrong in ["9:30", "24:00:00", "09:60:00", "a:b:c", "09:30:00:00", ""] {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
        assert_eq!(parse_price("102.5"), Some(1_025_000));
        assert_eq!(parse_price("0.0001"), Some(1));
        for wrong in ["", ".5", "0", "-1", "1.00001", "1e3", "999999999"] {
            assert_eq!(parse_price(wrong), None, "{wrong}");
        }
    }
}
