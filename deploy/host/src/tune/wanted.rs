//! What should be set on a host while it runs, for what is planned there.

use super::{Change, Knob, Value};
use crate::{Coalescing, CpuList, Host, Plan};

/// Each knob that does not stand where it should.
#[must_use]
pub fn changes(host: &Host, plan: &Plan) -> Vec<Change> {
    let wanted = Wanted {
        host,
        plan,
        hot: plan.hot_cpus(),
        interface: "",
        changes: Vec::new(),
    };
    wanted.all()
}

struct Wanted<'a> {
    host: &'a Host,
    plan: &'a Plan,
    hot: CpuList,
    /// The one at which we are; empty: none.
    interface: &'a str,
    changes: Vec<Change>,
}

/// A state of sleep that takes longer to leave is seen in a latency, µs.
const WAKE_US_MAX: i64 = 10;
/// Polls without a packet after which the card may interrupt again, and how long the kernel waits for one, ns: what the kernel's
/// documentation of busy polling has.
const POLLED_DEFER: &str = "2";
const POLLED_FLUSH_NS: &str = "200000";

impl<'a> Wanted<'a> {
    fn all(mut self) -> Vec<Change> {
        self.cores();
        self.memory();
        self.stack();
        let plan = self.plan;
        for (name, wish) in &plan.interfaces {
            self.interface(name, wish.busy_poll);
        }
        self.changes
    }

    fn cores(&mut self) {
        let hot = self.hot.clone();
        for cpu in hot.iter() {
            let folder = format!("/sys/devices/system/cpu/cpu{cpu}");
            let offered = self
                .host
                .tree
                .text(&format!("{folder}/cpufreq/scaling_available_governors"));
            if offered.is_none_or(|offered| offered.contains("performance")) {
                self.file(&format!("{folder}/cpufreq/scaling_governor"), "performance");
            }
            for state in self.host.tree.names(&format!("{folder}/cpuidle")) {
                let state = format!("{folder}/cpuidle/{state}");
                let latency = self.host.tree.number(&format!("{state}/latency"));
                if latency.is_some_and(|latency| latency > WAKE_US_MAX) {
                    self.file(&format!("{state}/disable"), "1");
                }
            }
        }
        self.file("/proc/sys/kernel/numa_balancing", "0");
        let cost = "/sys/kernel/debug/sched/migration_cost_ns";
        self.at_least(cost, 5_000_000);
        self.realtime();
    }

    /// Without throttling a hot core that nobody isolated could take the host away from everybody else.
    fn realtime(&mut self) {
        let isolated = self.host.cpus("/sys/devices/system/cpu/isolated");
        let isolated = isolated.unwrap_or_default();
        let is_safe = !self.hot.is_empty() && self.hot.without(&isolated).is_empty();
        if self.plan.realtime_priority == 0 || !is_safe {
            return;
        }
        self.file("/proc/sys/kernel/sched_rt_runtime_us", "-1");
        for cpu in self.hot.clone().iter() {
            self.file(
                &format!("/sys/kernel/debug/sched/fair_server/cpu{cpu}/runtime"),
                "0",
            );
        }
    }

    fn memory(&mut self) {
        let huge = Knob::Choice("/sys/kernel/mm/transparent_hugepage/enabled".to_owned());
        if huge.read(&self.host.tree) == Some(Value::Text("always".to_owned())) {
            self.wish(huge, Value::Text("madvise".to_owned()));
        }
        let table = self.host.tree.text("/proc/swaps").unwrap_or_default();
        for line in table.lines().skip(1) {
            if let Some(device) = line.split_ascii_whitespace().next() {
                self.wish(Knob::Swap(device.to_owned()), Value::Off);
            }
        }
    }

    fn stack(&mut self) {
        self.file("/proc/sys/net/core/busy_poll", "0");
        self.file("/proc/sys/net/core/busy_read", "0");
        self.at_least("/proc/sys/net/core/netdev_max_backlog", 4096);
    }

    fn interface(&mut self, name: &'a str, is_polled: bool) {
        self.interface = name;
        let file = |file: &str| format!("/sys/class/net/{name}/{file}");
        let (defer, flush) = (file("napi_defer_hard_irqs"), file("gro_flush_timeout"));
        if is_polled {
            // What an operator chose is left alone.
            for (path, value) in [(defer, POLLED_DEFER), (flush, POLLED_FLUSH_NS)] {
                if self.host.tree.number(&path) == Some(0) {
                    self.file(&path, value);
                }
            }
        } else {
            self.file(&defer, "0");
            self.file(&flush, "0");
        }
        self.wish(Knob::Lro(name.to_owned()), Value::Off);
        self.wish(Knob::Gro(name.to_owned()), Value::Off);
        if let Some(now) = self.host.card(name).coalescing {
            let none = Coalescing {
                rx_us: 0,
                is_adaptive_rx: false,
                ..now
            };
            self.wish(Knob::Coalescing(name.to_owned()), Value::Waits(none));
        }
        self.interrupts(name);
    }

    /// Interrupts of the card that may go to a hot CPU: to the others of its memory node, or of the host.
    fn interrupts(&mut self, name: &str) {
        let near = self.host.of_card(name, "local_cpulist");
        let near = near.map(|list| CpuList::parse(&list)).unwrap_or_default();
        let online = self.host.cpus("/sys/devices/system/cpu/online");
        let online = online.unwrap_or_default().without(&self.hot);
        let others = near.without(&self.hot).both(&online);
        let to = if others.is_empty() { online } else { others };
        if to.is_empty() {
            return;
        }
        for irq in self.host.irqs(name) {
            let path = format!("/proc/irq/{irq}/smp_affinity_list");
            let may = self.host.cpus(&path).unwrap_or_default();
            if !may.both(&self.hot).is_empty() {
                self.file(&path, &to.to_string());
            }
        }
    }

    fn at_least(&mut self, path: &str, least: i64) {
        if self.host.tree.number(path).is_some_and(|now| now < least) {
            self.file(path, &least.to_string());
        }
    }

    fn file(&mut self, path: &str, value: &str) {
        self.wish(
            Knob::File(path.to_owned()),
            Value::Text(format!("{value}\n")),
        );
    }

    /// What is not there cannot be turned, and what stands where it should is left.
    fn wish(&mut self, knob: Knob, after: Value) {
        let Some(before) = knob.read(&self.host.tree) else {
            return;
        };
        if before.to_string() != after.to_string() {
            self.changes.push(Change {
                knob,
                interface: self.interface.to_owned(),
                before,
                after,
            });
        }
    }
}
