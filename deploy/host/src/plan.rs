//! What is to run on a host: the configuration, as far as a host must fit it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::CpuList;

/// What is to run here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// Threads that never yield.
    pub hot: Vec<HotCore>,
    /// Interfaces by which feeds come in or orders go out.
    pub interfaces: BTreeMap<String, InterfacePlan>,
    /// `SCHED_FIFO` priority of hot cores; 0: the normal class.
    pub realtime_priority: u8,
    /// Memory is to be locked.
    pub lock_memory: bool,
    /// Bytes that shall lie on huge pages; 0: none, `None`: not known.
    pub huge_bytes: Option<u64>,
    /// What becomes of the plan without AF_XDP sockets.
    pub af_xdp: Need,
    /// A session sends past the kernel's TCP.
    pub delegates: bool,
    /// Drivers whose native XDP is used.
    pub drivers: Vec<Driver>,
}

impl Plan {
    /// CPUs that hot cores are pinned to.
    #[must_use]
    pub fn hot_cpus(&self) -> CpuList {
        self.hot.iter().filter_map(|core| core.cpu).collect()
    }
}

/// A thread that never yields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HotCore {
    /// The core's name, or the stages that it runs.
    pub name: String,
    /// Where it is pinned to; `None`: nowhere.
    pub cpu: Option<usize>,
}

/// A driver whose native XDP is used without being asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Driver {
    /// The driver, as ethtool says it.
    pub name: String,
    /// Why it is trusted.
    pub why: String,
}

/// How much something is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Not at all.
    #[default]
    None,
    /// There is a slower way.
    Better,
    /// There is no other way.
    Must,
}

/// How frames of an interface are received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receive {
    /// By AF_XDP sockets.
    AfXdp,
    /// By the kernel's network stack.
    #[default]
    Sockets,
}

/// What is wanted of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InterfacePlan {
    /// How the feed comes in.
    pub receive: Receive,
    /// Receive queues to serve; empty: all.
    pub queues: Vec<u32>,
    /// XDP may be attached though the default route leaves here.
    pub allow_default_route: bool,
    /// The hot core polls the card, so interrupts are to wait.
    pub busy_poll: bool,
    /// How much zero-copy is needed.
    pub zero_copy: Need,
}
