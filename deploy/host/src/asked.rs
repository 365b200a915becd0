//! What a host says only when it is asked: cards, and whether an AF_XDP socket can be made.
//!
//! Plain values: a test fills them, a copy of a host's files has them in `asked.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Card, Tree, kernel, netdev};

/// What the kernel answered. `None` anywhere: it did not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Asked {
    /// Why no AF_XDP socket can be made; empty: one can.
    pub af_xdp: Option<String>,
    /// Cards by the name of their interface.
    pub cards: BTreeMap<String, Card>,
}

/// The file of a copied tree that has these answers.
pub(crate) const KEPT: &str = "/asked.json";

impl Asked {
    /// Asks the kernel, or reads what it once answered.
    pub(crate) fn of<'a>(tree: &Tree, interfaces: impl Iterator<Item = &'a String>) -> Self {
        if !tree.is_live() {
            let kept = tree.text(KEPT);
            return kept
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default();
        }
        let error = kernel::af_xdp().err();
        Self {
            af_xdp: Some(error.map(|error| error.to_string()).unwrap_or_default()),
            cards: interfaces
                .map(|name| (name.clone(), card(tree, name)))
                .collect(),
        }
    }
}

fn card(tree: &Tree, interface: &str) -> Card {
    let index = tree
        .number(&format!("/sys/class/net/{interface}/ifindex"))
        .and_then(|index| u32::try_from(index).ok());
    let features = index.and_then(|index| netdev::xdp_features(index).ok());
    Card {
        driver: kernel::driver(interface).ok(),
        queues: kernel::queues(interface).ok(),
        rings: kernel::rings(interface).ok(),
        coalescing: kernel::coalescing(interface).ok(),
        lro: kernel::lro(interface).ok(),
        gro: kernel::gro(interface).ok(),
        steering_rules: kernel::steering_rules(interface).ok(),
        zero_copy: features.map(|features| features & netdev::ZERO_COPY != 0),
    }
}
