//! What an interface is to its host: where its card is, its interrupts, whose packets leave through it.

use crate::{CpuList, Host};

impl Host {
    /// A file of the card behind an interface, or of the bus device that the card hangs on (virtio).
    pub(crate) fn of_card(&self, interface: &str, file: &str) -> Option<String> {
        let own = self.of_interface(interface, &format!("device/{file}"));
        own.or_else(|| self.of_interface(interface, &format!("device/../{file}")))
    }

    /// Interrupts of the card behind an interface.
    pub(crate) fn irqs(&self, interface: &str) -> Vec<u32> {
        let folder = |at: &str| format!("/sys/class/net/{interface}/device/{at}msi_irqs");
        let mut names = self.tree.names(&folder(""));
        if names.is_empty() {
            names = self.tree.names(&folder("../"));
        }
        let mut irqs: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
        irqs.sort_unstable();
        irqs
    }

    /// Where an interrupt goes: the CPU that the kernel chose, or those among which it may.
    pub(crate) fn irq_cpus(&self, irq: u32) -> Option<CpuList> {
        let chosen = self.cpus(&format!("/proc/irq/{irq}/effective_affinity_list"));
        chosen
            .filter(|cpus| !cpus.is_empty())
            .or_else(|| self.cpus(&format!("/proc/irq/{irq}/smp_affinity_list")))
    }

    /// Whether a default route of this network namespace leaves through the interface.
    #[must_use]
    pub fn carries_default_route(&self, interface: &str) -> Option<bool> {
        let v4 = self.tree.text("/proc/thread-self/net/route")?;
        let v6 = self.tree.text("/proc/thread-self/net/ipv6_route");
        let mut v4 = v4
            .lines()
            .skip(1)
            .map(|line| line.split_ascii_whitespace().collect());
        let v4 = v4.any(|fields: Vec<&str>| {
            let [name, destination, _, _, _, _, _, mask, ..] = fields[..] else {
                return false;
            };
            name == interface && destination == "00000000" && mask == "00000000"
        });
        let v6 = v6.unwrap_or_default();
        let mut v6 = v6
            .lines()
            .map(|line| line.split_ascii_whitespace().collect());
        let v6 = v6.any(|fields: Vec<&str>| {
            let [destination, bits, _, _, _, _, _, _, flags, name] = fields[..] else {
                return false;
            };
            let flags = u32::from_str_radix(flags, 16).unwrap_or(REJECT);
            let is_all = destination.bytes().all(|digit| digit == b'0') && bits == "00";
            name == interface && is_all && flags & REJECT == 0
        });
        Some(v4 || v6)
    }
}

/// `RTF_REJECT`: a route that leads nowhere.
const REJECT: u32 = 0x200;
