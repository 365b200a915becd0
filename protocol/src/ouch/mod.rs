//! OUCH 5.0: orders to the exchange and its answers, with appendages.
//!
//! ```text
//!  | fixed part | appendage length (u16) | len tag value | len tag value | ...
//! ```
//!
//! The fixed part is a view over its bytes; what follows it is an [`Appendage`]. Some messages must
//! carry the appendage length even when it is zero, others carry nothing then.
//!
//! Spec:        OUCH 5.0 revision 1.04. Prices have eight bytes and four decimals.

mod appendage;
mod inbound;
mod outbound;

pub use appendage::{APPENDAGE_LEN_MAX, Appendage, AppendageBuffer, Element, Elements};
pub use inbound::{
    AccountQuery, CancelOrder, DisableOrderEntry, EnableOrderEntry, EnterOrder, Inbound,
    MassCancel, ModifyOrder, ReplaceOrder,
};
pub use outbound::{
    AccountQueryResponse, AiqCanceled, BrokenTrade, CancelPending, CancelReject, Canceled,
    DisableResponse, EnableResponse, Executed, MassCancelResponse, Modified, OrderAccepted,
    OrderReplaced, Outbound, PriorityUpdate, Rejected, Restated, SystemEvent,
};

use crate::types::{DecodeError, Price4, Qty};

/// The largest quantity of one order, and of one chain of replacements (section 1: 0 < quantity <
/// 1,000,000).
pub const QTY_MAX: Qty = Qty(999_999);
/// The largest limit price: 199,999.9900.
pub const PRICE_MAX: Price4 = Price4(0x7735_939C);
/// The price that makes a market order.
pub const PRICE_MARKET: Price4 = Price4(0x7FFF_FFFF);

/// Time in force: rests until the close of market hours.
pub const TIF_DAY: u8 = b'0';
/// Time in force: what does not trade at once is cancelled.
pub const TIF_IOC: u8 = b'3';

/// Reject reasons that this project sends or explains, with the specification's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[expect(missing_docs, reason = "the names are the specification's own")]
pub enum RejectReason {
    QuoteUnavailable = 0x01,
    DestinationClosed = 0x02,
    InvalidDisplay = 0x03,
    InvalidMaxFloor = 0x04,
    InvalidPegType = 0x05,
    FatFinger = 0x06,
    Halted = 0x07,
    IsoNotAllowed = 0x08,
    InvalidSide = 0x09,
    ProcessingError = 0x0A,
    CancelPending = 0x0B,
    FirmNotAuthorized = 0x0C,
    InvalidMinQuantity = 0x0D,
    Other = 0x0F,
    InvalidQuantity = 0x13,
    InvalidCrossOrder = 0x14,
    ReplaceNotAllowed = 0x15,
    InvalidSymbol = 0x17,
    InvalidPrice = 0x1D,
    SharesExceedThreshold = 0x1E,
    ExceedsMaxNotional = 0x1F,
}

/// How a message's appendage is carried when there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// The length is always there.
    Mandatory,
    /// Length and elements may both be absent.
    Optional,
}

/// Splits a message after its fixed part and checks what follows.
fn split<T>(
    bytes: &[u8],
    kind: u8,
    len: usize,
    tail: Tail,
) -> Result<(&T, Appendage<'_>), DecodeError>
where
    T: zerocopy::FromBytes + zerocopy::KnownLayout + zerocopy::Immutable + zerocopy::Unaligned,
{
    let least = if tail == Tail::Mandatory {
        len + 2
    } else {
        len
    };
    let short = DecodeError::WrongLength {
        kind,
        expected: least,
        found: bytes.len(),
    };
    let (fixed, rest) = bytes.split_at_checked(len).ok_or(short)?;
    let fixed = T::ref_from_bytes(fixed).map_err(|_| short)?;
    match (rest.split_first_chunk::<2>(), rest.is_empty(), tail) {
        (Some((stated, elements)), _, _)
            if usize::from(u16::from_be_bytes(*stated)) == elements.len() =>
        {
            Ok((fixed, Appendage::checked(elements)?))
        }
        (None, true, Tail::Optional) => Ok((fixed, Appendage::NONE)),
        (None, true, Tail::Mandatory) => Err(short),
        _ => Err(DecodeError::BadAppendage),
    }
}

/// Writes fixed part and appendage to the front of `out`; `None` when they do not fit.
#[inline]
fn join(fixed: &[u8], appendage: &[u8], tail: Tail, out: &mut [u8]) -> Option<usize> {
    let (head, rest) = out.split_at_mut_checked(fixed.len())?;
    head.copy_from_slice(fixed);
    if appendage.is_empty() && tail == Tail::Optional {
        return Some(fixed.len());
    }
    let (len, rest) = rest.split_first_chunk_mut::<2>()?;
    *len = u16::try_from(appendage.len()).ok()?.to_be_bytes();
    rest.get_mut(..appendage.len())?.copy_from_slice(appendage);
    Some(fixed.len() + 2 + appendage.len())
}

/// Ties layouts to type bytes for one direction.
macro_rules! messages {
    ($(#[$doc:meta])* $enum:ident { $($code:literal $name:ident $tail:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $enum<'a> {
            $(
                #[doc = concat!("See [`", stringify!($name), "`].")]
                $name(&'a $name),
            )+
        }

        impl<'a> $enum<'a> {
            /// Every type byte of this direction.
            pub const KINDS: &'static [u8] = &[$($code),+];

            /// Reads one message and its appendage.
            ///
            /// # Errors
            /// No bytes, an unknown type, fewer bytes than the type has, or an appendage whose
            /// lengths do not add up.
            #[inline]
            pub fn decode(bytes: &'a [u8]) -> Result<(Self, crate::ouch::Appendage<'a>), crate::types::DecodeError> {
                match bytes.first() {
                    None => Err(crate::types::DecodeError::Empty),
                    $(Some(&$code) => {
                        let (view, appendage) = crate::ouch::split::<$name>(
                            bytes, $code, $name::LEN, crate::ouch::Tail::$tail,
                        )?;
                        Ok((Self::$name(view), appendage))
                    })+
                    Some(&other) => Err(crate::types::DecodeError::UnknownType(other)),
                }
            }
        }

        $(impl $name {
            /// The type byte.
            pub const KIND: u8 = $code;

            /// Writes the message with the appendage's elements to the front of `out` and returns
            /// its length; `None` when it does not fit.
            #[inline]
            #[must_use]
            pub fn encode(&self, appendage: &[u8], out: &mut [u8]) -> Option<usize> {
                crate::ouch::join(
                    zerocopy::IntoBytes::as_bytes(self), appendage, crate::ouch::Tail::$tail, out,
                )
            }
        })+
    };
}
use messages;
