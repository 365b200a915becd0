//! The grammar of a layout: fields that read as typed numbers, the macro that ties a struct to the offsets of
//! a specification's table at compile time, and the one that ties structs to type bytes.
//!
//! Invariants:  every layout is unaligned, has no padding and accepts any bytes, so one length check
//!              turns a slice into a reference and each read is a load and a byte swap.

use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::byteorder::little_endian::{I64 as I64Le, U32 as U32Le, U64 as U64Le};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::types::{
    DecodeError, MatchNumber, Nanos, OrderRef, Price4, Price8, Qty, Seq, SignedPrice4, UserRefNum,
};

/// Declares a field that reads as a typed number.
macro_rules! field {
    ($(#[$doc:meta])* $name:ident: $raw:ident as $native:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
            Unaligned,
        )]
        #[repr(transparent)]
        pub struct $name($raw);

        impl $name {
            /// The number in the host's byte order.
            #[inline]
            #[must_use]
            pub fn get(self) -> $native {
                $native(self.0.get())
            }
        }

        impl From<$native> for $name {
            #[inline]
            fn from(value: $native) -> Self {
                Self($raw::new(value.0))
            }
        }
    };
}

field! {
    /// Four-byte price, four decimals.
    Price4Be: U32 as Price4
}
field! {
    /// Eight-byte price, eight decimals.
    Price8Be: U64 as Price8
}
field! {
    /// Four-byte share count.
    QtyBe: U32 as Qty
}
field! {
    /// Eight-byte order reference.
    OrderRefBe: U64 as OrderRef
}
field! {
    /// Eight-byte match number.
    MatchBe: U64 as MatchNumber
}
field! {
    /// Eight-byte sequence number.
    SeqBe: U64 as Seq
}
field! {
    /// Eight-byte nanosecond timestamp (OUCH).
    NanosBe: U64 as Nanos
}
field! {
    /// Four-byte OUCH user reference number.
    UserRefNumBe: U32 as UserRefNum
}

field! {
    /// Eight-byte signed price, four decimals, little-endian.
    SignedPrice4Le: I64Le as SignedPrice4
}
field! {
    /// Four-byte share count, little-endian.
    QtyLe: U32Le as Qty
}
field! {
    /// Eight-byte order reference, little-endian.
    OrderRefLe: U64Le as OrderRef
}
field! {
    /// Eight-byte trade number, little-endian.
    MatchLe: U64Le as MatchNumber
}
field! {
    /// Eight-byte sequence number, little-endian.
    SeqLe: U64Le as Seq
}
field! {
    /// Eight-byte nanosecond timestamp, little-endian.
    NanosLe: U64Le as Nanos
}

/// Six-byte nanoseconds since midnight (ITCH).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(transparent)]
pub struct Nanos48Be([u8; 6]);

impl Nanos48Be {
    /// The largest time six bytes can hold; a day has 8.64e13 ns, well below it.
    pub const MAX: u64 = (1 << 48) - 1;

    /// The number in the host's byte order.
    #[inline]
    #[must_use]
    pub fn get(self) -> Nanos {
        let [a, b, c, d, e, f] = self.0;
        Nanos(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }
}

impl From<Nanos> for Nanos48Be {
    /// Keeps the low 48 bits.
    #[inline]
    fn from(value: Nanos) -> Self {
        let [_, _, a, b, c, d, e, f] = value.0.to_be_bytes();
        Self([a, b, c, d, e, f])
    }
}

/// OUCH's eight-byte price with four decimals. Its values fit 32 bits: the largest limit is
/// 199,999.9900 and a market order is 0x7FFFFFFF.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(transparent)]
pub struct WidePriceBe(U64);

impl WidePriceBe {
    /// The price as sent.
    #[inline]
    #[must_use]
    pub fn raw(self) -> u64 {
        self.0.get()
    }

    /// The price, or `None` when it is beyond what 32 bits hold (no valid OUCH price is).
    #[inline]
    #[must_use]
    pub fn get(self) -> Option<Price4> {
        u32::try_from(self.0.get()).ok().map(Price4)
    }
}

impl From<Price4> for WidePriceBe {
    #[inline]
    fn from(value: Price4) -> Self {
        Self(U64::new(u64::from(value.0)))
    }
}

/// Declares one fixed layout with the offsets its specification prints; a wrong offset or length
/// does not compile.
macro_rules! layout {
    ($(
        $(#[$doc:meta])*
        $name:ident, $len:literal { $($offset:literal $field:ident: $ty:ty,)+ }
    )+) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, zerocopy::FromBytes, zerocopy::IntoBytes,
            zerocopy::KnownLayout, zerocopy::Immutable, zerocopy::Unaligned,
        )]
        #[repr(C)]
        pub struct $name {
            $(
                #[doc = concat!("`", stringify!($field), "`, from byte ", stringify!($offset), ".")]
                pub $field: $ty,
            )+
        }

        impl $name {
            /// Bytes on the wire.
            pub const LEN: usize = $len;
        }

        const _: () = {
            assert!(size_of::<$name>() == $len);
            $(assert!(core::mem::offset_of!($name, $field) == $offset);)+
        };
    )+};
}
pub(crate) use layout;

/// Reads a layout whose length never changes.
#[inline]
pub(crate) fn exact<T: FromBytes + KnownLayout + Immutable + Unaligned>(
    bytes: &[u8],
) -> Option<&T> {
    T::ref_from_bytes(bytes).ok()
}

/// Reads a layout that may grow at its end.
#[inline]
pub(crate) fn at_least<T: FromBytes + KnownLayout + Immutable + Unaligned>(
    bytes: &[u8],
) -> Option<&T> {
    T::ref_from_prefix(bytes).ok().map(|(view, _)| view)
}

#[cold]
pub(crate) fn wrong_length(kind: u8, expected: usize, bytes: &[u8]) -> DecodeError {
    DecodeError::WrongLength {
        kind,
        expected,
        found: bytes.len(),
    }
}

/// Ties each layout to its type byte and builds the enum, the decoder and the list of kinds. `$read` is
/// [`exact`] or [`at_least`]; `$common` the field that every message has.
macro_rules! messages {
    ($read:ident, $common:ident: $common_ty:ty; $($code:literal $name:ident,)+) => {
        /// One message, still over its bytes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Message<'a> {
            $(
                #[doc = concat!("See [`", stringify!($name), "`].")]
                $name(&'a $name),
            )+
        }

        $(impl $name {
            /// The type byte.
            pub const KIND: u8 = $code;
        })+

        /// Every type byte of the protocol.
        pub const KINDS: &[u8] = &[$($code),+];

        /// Bytes of the largest message.
        pub const LEN_MAX: usize = {
            let mut max = 0;
            $(if $name::LEN > max {
                max = $name::LEN;
            })+
            max
        };

        impl<'a> Message<'a> {
            /// Reads one message.
            ///
            /// # Errors
            /// No bytes, an unknown type, or a length that the type cannot have.
            // Always inlined: what follows it asks for the type again, and only together are both one branch.
            #[inline(always)]
            pub fn decode(bytes: &'a [u8]) -> Result<Self, $crate::types::DecodeError> {
                match bytes.first() {
                    None => Err($crate::types::DecodeError::Empty),
                    $(Some(&$code) => match $read::<$name>(bytes) {
                        Some(view) => Ok(Self::$name(view)),
                        None => Err($crate::wire::wrong_length($code, $name::LEN, bytes)),
                    },)+
                    Some(&other) => Err($crate::types::DecodeError::UnknownType(other)),
                }
            }

            /// The bytes it was read from, as far as the layout goes.
            #[must_use]
            pub fn as_bytes(&self) -> &'a [u8] {
                match *self {
                    $(Self::$name(view) => zerocopy::IntoBytes::as_bytes(view),)+
                }
            }

            /// What every message has.
            #[inline]
            #[must_use]
            pub fn $common(&self) -> &'a $common_ty {
                match *self {
                    $(Self::$name(view) => &view.$common,)+
                }
            }
        }

        /// Bytes of a message of this type, `None` for an unknown type.
        #[must_use]
        pub const fn len_of(kind: u8) -> Option<usize> {
            match kind {
                $($code => Some($name::LEN),)+
                _ => None,
            }
        }
    };
}
pub(crate) use messages;
