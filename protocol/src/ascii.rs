//! Numbers as padded ASCII digits, as SoupBinTCP and GLIMPSE write them.

/// `value` in decimal, right-justified and padded with spaces. Digits that do not fit are cut off on
/// the left; 20 bytes hold every `u64`.
#[must_use]
pub fn digits<const N: usize>(mut value: u64) -> [u8; N] {
    let mut out = [b' '; N];
    for byte in out.iter_mut().rev() {
        *byte = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out
}

/// The number in `text`, padded with spaces on either side; blank is no number.
#[must_use]
pub fn number(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_number_are_inverse() {
        for value in [0, 1, 9, 10, 12_345, u64::MAX] {
            assert_eq!(number(&digits::<20>(value)), Some(value));
        }
        assert_eq!(&digits::<5>(42), b"   42");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            &b""[..],
            b"   ",
            b"12a",
            b"-1",
            b"1 2",
            b"18446744073709551616",
        ] {
            assert_eq!(number(text), None);
        }
    }
}
