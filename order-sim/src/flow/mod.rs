//! Where the market's own orders come from.

pub mod agents;
