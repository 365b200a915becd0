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
mod client_order_id;
mod inbound;
mod outbound;

pub use appendage::{APPENDAGE_LEN_MAX, Appendage, AppendageBuffer, Element, Elements};
pub use client_order_id::ClientOrderId;
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
/// Time in force: rests until the end of system hours.
pub const TIF_GTX: u8 = b'5';
/// Time in force: rests until the time that tag 15 states.
pub const TIF_GTT: u8 = b'6';
/// Time in force: for the hours after the close.
pub const TIF_AFTER_HOURS: u8 = b'E';
/// State in Order Accepted and Order Replaced: the order is over already, and nothing more comes of it.
pub const STATE_DEAD: u8 = b'D';

macro_rules! reject_reasons {
    ($($code:literal $name:ident $text:literal,)+) => {
        /// Why an order was refused, with the specification's numbers (revision 1.04; 0x40: 1.05).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub enum RejectReason {
            $(#[doc = $text] $name = $code,)+
        }

        impl RejectReason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The reason of a number.
            #[must_use]
            pub fn of(code: u16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// The specification's words.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

reject_reasons! {
    0x01 QuoteUnavailable "quote unavailable",
    0x02 DestinationClosed "destination closed",
    0x03 InvalidDisplay "invalid display",
    0x04 InvalidMaxFloor "invalid max floor",
    0x05 InvalidPegType "invalid peg type",
    0x06 FatFinger "fat finger",
    0x07 Halted "halted",
    0x08 IsoNotAllowed "iso not allowed",
    0x09 InvalidSide "invalid side",
    0x0A ProcessingError "processing error",
    0x0B CancelPending "cancel pending",
    0x0C FirmNotAuthorized "firm not authorized",
    0x0D InvalidMinQuantity "invalid min quantity",
    0x0E NoClosingReferencePrice "no closing reference price",
    0x0F Other "other",
    0x10 CancelNotAllowed "cancel not allowed",
    0x11 PeggingNotAllowed "pegging not allowed",
    0x12 CrossedMarket "crossed market",
    0x13 InvalidQuantity "invalid quantity",
    0x14 InvalidCrossOrder "invalid cross order",
    0x15 ReplaceNotAllowed "replace not allowed",
    0x16 RoutingNotAllowed "routing not allowed",
    0x17 InvalidSymbol "invalid symbol",
    0x18 Test "test",
    0x19 LateLocTooAggressive "late loc too aggressive",
    0x1A RetailNotAllowed "retail not allowed",
    0x1B InvalidMidpointPostOnlyPrice "invalid midpoint post only price",
    0x1C InvalidDestination "invalid destination",
    0x1D InvalidPrice "invalid price",
    0x1E SharesExceedThreshold "shares exceed threshold",
    0x1F ExceedsMaxNotional "exceeds maximum allowed notional value",
    0x20 RiskAggregateExposure "risk: aggregate exposure exceeded",
    0x21 RiskMarketImpact "risk: market impact",
    0x22 RiskRestrictedStock "risk: restricted stock",
    0x23 RiskShortSellRestricted "risk: short sell restricted",
    0x24 RiskIsoNotAllowed "risk: iso not allowed",
    0x25 RiskExceedsAdvLimit "risk: exceeds adv limit",
    0x26 RiskFatFinger "risk: fat finger",
    0x27 RiskLocateRequired "risk: locate required",
    0x28 RiskSymbolMessageRate "risk: symbol message rate restriction",
    0x29 RiskPortMessageRate "risk: port message rate restriction",
    0x2A RiskDuplicateMessageRate "risk: duplicate message rate restriction",
    0x2B RiskShortSellNotAllowed "risk: short sell not allowed",
    0x2C RiskMarketOrderNotAllowed "risk: market order not allowed",
    0x2D RiskPreMarketNotAllowed "risk: pre-market not allowed",
    0x2E RiskPostMarketNotAllowed "risk: post-market not allowed",
    0x2F RiskShortExemptNotAllowed "risk: short sell exempt not allowed",
    0x30 RiskSingleOrderNotional "risk: single order notional exceeded",
    0x31 RiskMaxQuantity "risk: max quantity exceeded",
    0x32 RiskShoStateNotAvailable "risk: reg sho state not available",
    0x33 RiskIpoMarketBuyNotAllowed "risk: ipo market buy not allowed",
    0x40 InvalidAiq "invalid aiq",
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
#[inline]
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
            // Nothing stands behind most messages, and walking nothing costs a call.
            let appendage = match elements {
                [] => Appendage::NONE,
                elements => Appendage::checked(elements)?,
            };
            Ok((fixed, appendage))
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
