//! What a network card says of itself.

use serde::{Deserialize, Serialize};

/// A network card, as far as it says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Card {
    /// Its driver.
    pub driver: Option<String>,
    /// Its receive queues.
    pub queues: Option<Queues>,
    /// Its descriptor rings.
    pub rings: Option<RingSizes>,
    /// How long it holds an interrupt back.
    pub coalescing: Option<Coalescing>,
    /// The card joins frames.
    pub lro: Option<bool>,
    /// The kernel joins frames.
    pub gro: Option<bool>,
    /// Rules that steer flows to queues.
    pub steering_rules: Option<u32>,
    /// The driver says that it can AF_XDP zero-copy.
    pub zero_copy: Option<bool>,
}

/// Receive queues of a card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queues {
    /// In use.
    pub used: u32,
    /// The most that it can have.
    pub max: u32,
}

/// Descriptors of a card's rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingSizes {
    /// To receive.
    pub rx: u32,
    /// The most that it can have.
    pub rx_max: u32,
    /// To send.
    pub tx: u32,
    /// The most that it can have.
    pub tx_max: u32,
}

/// How long a card holds an interrupt back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coalescing {
    /// After a frame has come, µs.
    pub rx_us: u32,
    /// After a frame has gone, µs.
    pub tx_us: u32,
    /// The driver chooses by load.
    pub is_adaptive_rx: bool,
    /// The same for sending.
    pub is_adaptive_tx: bool,
}
