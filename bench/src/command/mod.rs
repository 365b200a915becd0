//! The commands of `tickgate-bench`, one file each.

pub(crate) mod book;
pub(crate) mod compare;
pub(crate) mod cost;
pub(crate) mod exchange;
pub(crate) mod flood;
pub(crate) mod lag;
pub(crate) mod latency;
pub(crate) mod micro;
pub(crate) mod recovery;
mod shown;
pub(crate) mod suite;
