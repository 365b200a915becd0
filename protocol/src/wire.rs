//! The grammar of a layout: big-endian fields that read as typed numbers, and the macro that ties a
//! struct to the offsets of a specification's table at compile time.
//!
//! Invariants:  every layout is unaligned, has no padding and accepts any bytes, so one length check
//!              turns a slice into a reference and each read is a load and a byte swap.

use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::types::{MatchNumber, Nanos, OrderRef, Price4, Price8, Qty, Seq, UserRefNum};

/// Declares a big-endian field that reads as a typed number.
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
