//! Optional fields behind a message: `len tag value` elements, one after another.
//!
//! Invariants:  an [`Appendage`] is walked once when it is made, so iterating over it never meets a
//!              length that runs past the end.
//! When wrong:  a length of zero, one past the end, or one that is not the tag's own is refused. A
//!              tag of a later revision is passed on as [`Element::Unknown`].
//! Spec:        OUCH 5.0 revision 1.04, appendix "Optional Appendage"; tags 29 and 30 revision 1.05.

use crate::types::{DecodeError, Qty};

/// Room for every element of the protocol once: 11 of one byte, 2 of two, 10 of four, 3 of eight,
/// with two bytes of head each, and nearly as much again for what later revisions add.
pub const APPENDAGE_LEN_MAX: usize = 256;
const _: () = assert!(EACH_ONCE_LEN == 11 * 3 + 2 * 4 + 10 * 6 + 3 * 10);
const _: () = assert!(EACH_ONCE_LEN <= APPENDAGE_LEN_MAX);

/// The checked elements behind a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appendage<'a>(&'a [u8]);

impl<'a> Appendage<'a> {
    /// No elements.
    pub const NONE: Self = Self(&[]);

    /// Walks the elements once.
    pub(super) fn checked(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut elements = Elements(bytes);
        while elements.next().is_some() {}
        if elements.0.is_empty() {
            Ok(Self(bytes))
        } else {
            Err(DecodeError::BadAppendage)
        }
    }

    /// The elements in order.
    #[must_use]
    pub fn elements(&self) -> Elements<'a> {
        Elements(self.0)
    }

    /// The elements as they were sent.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

/// Iterates over elements; stops in front of the first one that is malformed.
#[derive(Clone, Debug)]
pub struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (&len, rest) = self.0.split_first()?;
        let (element, rest) = rest.split_at_checked(usize::from(len))?;
        let (&tag, value) = element.split_first()?;
        let element = Element::decode(tag, value)?;
        self.0 = rest;
        Some(element)
    }
}

/// Elements under construction in a fixed buffer.
#[derive(Clone, Copy, Debug)]
pub struct AppendageBuffer {
    bytes: [u8; APPENDAGE_LEN_MAX],
    len: usize,
}

impl Default for AppendageBuffer {
    fn default() -> Self {
        Self {
            bytes: [0; APPENDAGE_LEN_MAX],
            len: 0,
        }
    }
}

impl AppendageBuffer {
    /// Appends an element; `false` when there is no room, and nothing is changed then.
    #[must_use]
    pub fn push(&mut self, element: Element<'_>) -> bool {
        let Some(room) = self.bytes.get_mut(self.len..) else {
            return false;
        };
        let Some(written) = element.encode(room) else {
            return false;
        };
        self.len += written;
        true
    }

    /// The elements so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// How a value is carried.
trait Value<'a>: Sized {
    fn read(bytes: &'a [u8]) -> Option<Self>;
    fn write(&self, out: &mut [u8]) -> Option<usize>;
}

macro_rules! value {
    ($ty:ty, $bytes:ident => $read:expr, $value:ident => $write:expr) => {
        impl<'a> Value<'a> for $ty {
            fn read(bytes: &'a [u8]) -> Option<Self> {
                let $bytes = bytes.try_into().ok()?;
                Some($read)
            }

            fn write(&self, out: &mut [u8]) -> Option<usize> {
                let $value = self;
                let bytes = $write;
                out.get_mut(..bytes.len())?.copy_from_slice(&bytes);
                Some(bytes.len())
            }
        }
    };
}

value!(u8, b => u8::from_be_bytes(b), v => v.to_be_bytes());
value!(u16, b => u16::from_be_bytes(b), v => v.to_be_bytes());
value!(u32, b => u32::from_be_bytes(b), v => v.to_be_bytes());
value!(i32, b => i32::from_be_bytes(b), v => v.to_be_bytes());
value!(u64, b => u64::from_be_bytes(b), v => v.to_be_bytes());
value!([u8; 4], b => b, v => *v);
value!([u8; 2], b => b, v => *v);
value!(Qty, b => Qty(u32::from_be_bytes(b)), v => v.0.to_be_bytes());

macro_rules! elements {
    ($($(#[$doc:meta])* $tag:literal $name:ident($ty:ty),)+) => {
        /// One optional field.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Element<'a> {
            $($(#[$doc])* $name($ty),)+
            /// A tag that this revision does not know, with its value.
            Unknown(u8, &'a [u8]),
        }

        /// Bytes of one element of each tag.
        const EACH_ONCE_LEN: usize = 0 $(+ 2 + size_of::<$ty>())+;

        impl<'a> Element<'a> {
            /// The value of a tag; `None` when the value has not the tag's length.
            fn decode(tag: u8, value: &'a [u8]) -> Option<Self> {
                match tag {
                    $($tag => Some(Self::$name(Value::read(value)?)),)+
                    _ => Some(Self::Unknown(tag, value)),
                }
            }

            /// Writes the element to the front of `out`; `None` when it does not fit.
            #[must_use]
            pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
                let (head, body) = out.split_first_chunk_mut::<2>()?;
                let (tag, len) = match *self {
                    $(Self::$name(ref value) => ($tag, value.write(body)?),)+
                    Self::Unknown(tag, value) => {
                        body.get_mut(..value.len())?.copy_from_slice(value);
                        (tag, value.len())
                    }
                };
                *head = [u8::try_from(len + 1).ok()?, tag];
                Some(2 + len)
            }
        }
    };
}

elements! {
    /// Secondary order reference number.
    1 SecondaryOrderRef(u64),
    /// Firm, when it is not the port's default.
    2 Firm([u8; 4]),
    /// Least quantity of one execution.
    3 MinQty(Qty),
    /// `R` retail, `N` not.
    4 CustomerType(u8),
    /// Shares shown at a time.
    5 MaxFloor(Qty),
    /// `L` limit, `P` market peg, `M` midpoint peg, `R` primary peg, `Q` market maker peg,
    /// `m` midpoint and trade now.
    6 PriceType(u8),
    /// Signed distance from the pegged price, four decimals.
    7 PegOffset(i32),
    /// Discretion price, four decimals.
    9 DiscretionPrice(u64),
    /// `L`, `P`, `M`, `R`.
    10 DiscretionPriceType(u8),
    /// Signed, four decimals.
    11 DiscretionPegOffset(i32),
    /// `P` post only, `N` not.
    12 PostOnly(u8),
    /// Range of random reserve, shares.
    13 RandomReserves(Qty),
    /// Routing strategy.
    14 Route([u8; 4]),
    /// Seconds since midnight, below 86,400.
    15 ExpireTimeSeconds(u32),
    /// `Y`, `N`.
    16 TradeNow(u8),
    /// `I`, `O`, `T`, `Q`, `B`, `D`.
    17 HandleInst(u8),
    /// Weight of the order at the best price.
    18 BboWeight(u8),
    /// Displayed quantity after a restatement.
    22 DisplayQty(Qty),
    /// Displayed price after a restatement, four decimals.
    23 DisplayPrice(u64),
    /// Group that a mass cancel can name.
    24 GroupId(u16),
    /// `Y`, `N`.
    25 SharesLocated(u8),
    /// Broker that located the shares (revision 1.04).
    26 LocateBroker([u8; 4]),
    /// Side of a mass cancel (revision 1.03).
    27 Side(u8),
    /// Channel of reference numbers on this port (revision 1.04).
    28 UserRefIndex(u8),
    /// Self-match prevention strategy (revision 1.05).
    29 AiqStrategy(u8),
    /// Self-match prevention group (revision 1.05).
    30 AiqGroup([u8; 2]),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_written_elements_are_read() {
        let bytes = b"\x02\x0CP\x05\x03\0\0\0\x64\x03\xC8xy";
        let appendage = Appendage::checked(bytes).unwrap();
        let elements: Vec<_> = appendage.elements().collect();
        assert_eq!(
            elements,
            [
                Element::PostOnly(b'P'),
                Element::MinQty(Qty(100)),
                Element::Unknown(0xC8, b"xy")
            ]
        );
        let mut buffer = AppendageBuffer::default();
        for element in elements {
            assert!(buffer.push(element));
        }
        assert_eq!(buffer.as_bytes(), bytes);
    }

    #[test]
    fn lengths_that_do_not_add_up_are_refused() {
        for bytes in [
            &b"\0"[..],
            b"\x01",
            b"\x03\x0CPP",
            b"\x02\x03\0",
            b"\x05\x03\0\0",
        ] {
            assert_eq!(Appendage::checked(bytes), Err(DecodeError::BadAppendage));
        }
    }
}
