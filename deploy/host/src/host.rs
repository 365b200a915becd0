//! What was read of a host.

use std::path::Path;

use crate::asked::Asked;
use crate::{Card, CpuList, Plan, Tree};

/// A host, as it shows itself.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its files.
    pub tree: Tree,
    /// Its answers.
    pub asked: Asked,
}

impl Host {
    /// Looks at the host whose files lie under `root`, and asks for the plan's interfaces.
    #[must_use]
    pub fn read(root: &Path, plan: &Plan) -> Self {
        let tree = Tree::at(root);
        let asked = Asked::of(&tree, plan.interfaces.keys());
        Self { tree, asked }
    }

    /// Only the files: nothing is asked of a card or the kernel, so what no file says is not visible.
    #[must_use]
    pub fn of_files(tree: Tree) -> Self {
        let asked = Asked::default();
        Self { tree, asked }
    }

    /// The CPUs that a file lists.
    pub(crate) fn cpus(&self, path: &str) -> Option<CpuList> {
        Some(CpuList::parse(&self.tree.text(path)?))
    }

    /// Kernel version, as far as two numbers say it.
    pub(crate) fn version(&self) -> Option<(u32, u32)> {
        let release = self.tree.text("/proc/sys/kernel/osrelease")?;
        let mut numbers = release
            .split(|c: char| !c.is_ascii_digit())
            .map(|number| number.parse().unwrap_or(0));
        Some((numbers.next()?, numbers.next()?))
    }

    /// What the kernel was booted with, by name; `Some("")`: the name alone.
    pub(crate) fn boot_option(&self, name: &str) -> Option<String> {
        let line = self.tree.text("/proc/cmdline")?;
        let options = line.split_ascii_whitespace();
        let mut options = options.map(|option| option.split_once('=').unwrap_or((option, "")));
        let (_, value) = options.rfind(|(key, _)| *key == name)?;
        Some(value.to_owned())
    }

    /// Flags of the first processor; `None`: this architecture has none, or they are hidden.
    pub(crate) fn cpu_flags(&self) -> Option<Vec<String>> {
        let flags = self.tree.field("/proc/cpuinfo", "flags")?;
        Some(flags.split_ascii_whitespace().map(str::to_owned).collect())
    }

    /// Whether a hypervisor made this machine up, topology included.
    pub(crate) fn is_guest(&self) -> bool {
        let flags = self.cpu_flags().unwrap_or_default();
        flags.iter().any(|flag| flag == "hypervisor")
    }

    /// Memory nodes and their CPUs.
    pub(crate) fn nodes(&self) -> Vec<(u32, CpuList)> {
        let names = self.tree.names("/sys/devices/system/node");
        let numbers = names
            .iter()
            .filter_map(|name| name.strip_prefix("node")?.parse::<u32>().ok());
        let cpus = |node| {
            let list = self.cpus(&format!("/sys/devices/system/node/node{node}/cpulist"));
            (node, list.unwrap_or_default())
        };
        numbers.map(cpus).collect()
    }

    /// Whether this process has a capability, by its number.
    pub(crate) fn may(&self, capability: u32) -> bool {
        let set = self.tree.field("/proc/self/status", "CapEff");
        let set = set.and_then(|set| u64::from_str_radix(&set, 16).ok());
        set.is_some_and(|set| set >> capability & 1 == 1)
    }

    /// A limit of this process: the soft value.
    pub(crate) fn limit(&self, name: &str) -> Option<String> {
        let limits = self.tree.text("/proc/self/limits")?;
        let values = limits.lines().find_map(|line| line.strip_prefix(name))?;
        values.split_ascii_whitespace().next().map(str::to_owned)
    }

    /// What an interface's card says.
    pub(crate) fn card(&self, interface: &str) -> Card {
        let card = self.asked.cards.get(interface);
        card.cloned().unwrap_or_default()
    }

    /// A file of an interface.
    pub(crate) fn of_interface(&self, interface: &str, file: &str) -> Option<String> {
        self.tree
            .text(&format!("/sys/class/net/{interface}/{file}"))
    }
}
