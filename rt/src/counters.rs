//! Named counters that one thread adds to and others read, without a lock.
//!
//! Every way a packet or an order can end has one. A group of them is declared by `counters!`, so
//! that none can be forgotten where they are listed for people.

use std::sync::atomic::{AtomicU64, Ordering};

/// A count with one writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds. Only the owning thread may: it is a load and a store.
    #[inline]
    pub fn add(&self, more: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(more),
            Ordering::Relaxed,
        );
    }

    /// Adds one.
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// Replaces the value, for counts that the kernel keeps.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The count now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Declares a group of counters, each with the sentence that explains it to an operator. `with` names groups
/// that are declared elsewhere and listed with this one.
#[macro_export]
macro_rules! counters {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[doc = $text:literal])+ $field:ident,)+ }
     $(with { $($(#[doc = $group_text:literal])+ $group:ident: $kind:ty,)+ })?) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct $name {
            $($(#[doc = $text])+ pub $field: $crate::counters::Counter,)+
            $($($(#[doc = $group_text])+ pub $group: $kind,)+)?
        }

        impl $name {
            /// Every counter: name, what it means, value.
            #[must_use]
            pub fn list(&self) -> Vec<(&'static str, &'static str, u64)> {
                let own = [
                    $((stringify!($field), concat!($($text),+).trim_ascii(), self.$field.get())),+
                ];
                own.into_iter()$($(.chain(self.$group.list()))+)?.collect()
            }
        }
    };
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "the macro declares public groups")]
mod tests {
    counters! {
        /// For the test.
        pub struct Some {
            /// Frames in.
            frames,
            /// Frames lost.
            lost,
        }
    }

    counters! {
        /// With another group.
        pub struct More {
            /// Frames twice.
            twice,
        }
        with {
            /// The other group.
            some: Some,
        }
    }

    #[test]
    fn list_names_the_counters_of_its_groups() {
        let more = More::default();
        more.some.lost.increment();
        let names: Vec<_> = more
            .list()
            .iter()
            .map(|(name, _, value)| (*name, *value))
            .collect();
        assert_eq!(names, [("twice", 0), ("frames", 0), ("lost", 1)]);
    }

    #[test]
    fn list_names_every_counter() {
        let some = Some::default();
        some.frames.add(3);
        some.lost.increment();
        assert_eq!(
            some.list(),
            [("frames", "Frames in.", 3), ("lost", "Frames lost.", 1)]
        );
    }
}
