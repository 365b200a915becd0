//! Two network namespaces with a pair of virtual interfaces for the feed and one for orders.
//!
//! ```text
//!   tg-PID-N-x (exchange, sender)                  tg-PID-N-g (gateway)
//!   feed0   10.77.1.1  ───────────────────────────  feed0   10.77.1.2
//!   order0  10.77.2.1  ───────────────────────────  order0  10.77.2.2
//! ```
//!
//! With a middle, what either end of the orders' pair sends comes out in a third namespace, tg-PID-N-m, whose program
//! decides what becomes of it:
//!
//! ```text
//!   order0 (exchange) ──── right   tg-PID-N-m   left ──── order0 (gateway)
//! ```
//!
//! In a virtual machine its cards stand in for the virtual interfaces, each end a card ([`Cards`]).
//!
//! Nothing outside them is touched. They are removed when the lab is dropped; what a killed lab left
//! behind is removed by the next one.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

/// The sender's and exchange's own addresses, and the gateway's.
pub const FEED_SENDER: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 1);
/// The gateway's address on the feed's pair.
pub const FEED_RECEIVER: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 2);
/// Address of the exchange's order entry.
pub const EXCHANGE: Ipv4Addr = Ipv4Addr::new(10, 77, 2, 1);
/// Port of order entry.
pub const PORT: u16 = 12_000;
/// The port of an exchange to which no order goes.
pub(crate) const IDLE_PORT: u16 = 12_001;
/// Groups of lines A and B.
pub const GROUPS: [SocketAddrV4; 2] = [
    SocketAddrV4::new(Ipv4Addr::new(239, 77, 0, 1), 26_400),
    SocketAddrV4::new(Ipv4Addr::new(239, 77, 0, 2), 26_401),
];

/// The namespaces.
#[derive(Debug)]
pub struct Lab {
    exchange: String,
    gateway: String,
    /// Between them on the orders' way; `None`: one pair of interfaces joins them.
    middle: Option<String>,
}

/// The interfaces of the middle: of the gateway's side, and of the exchange's.
pub const MIDDLE_LINKS: [&str; 2] = ["left", "right"];

/// Cards that stand in for the two pairs of virtual interfaces, by name; what one end of a pair sends reaches the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cards {
    /// The feed's pair: the exchange's end, the gateway's end.
    pub feed: [String; 2],
    /// The same for orders.
    pub orders: [String; 2],
}

/// Which namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Sender and exchange.
    Exchange,
    /// Gateway.
    Gateway,
}

impl Lab {
    /// Makes both namespaces.
    ///
    /// # Errors
    /// Not root, or `ip` is not installed.
    pub fn new() -> Result<Self> {
        Self::with_feed_queues(1)
    }

    /// Makes both namespaces, with this many queues on the feed's pair: what the exchange's side sends from CPU n comes
    /// in on queue n.
    ///
    /// # Errors
    /// Not root, or `ip` is not installed; fewer CPUs than queues, or a kernel without XPS.
    pub fn with_feed_queues(queues: u32) -> Result<Self> {
        Self::make(queues, false)
    }

    /// Makes both namespaces, and one in the middle of the orders' way: nothing gets through unless a program there
    /// hands it on.
    ///
    /// # Errors
    /// Not root, or `ip` is not installed.
    pub fn with_middle() -> Result<Self> {
        Self::make(1, true)
    }

    /// Makes both namespaces of cards of this machine, which lose their names and addresses, and come back when the
    /// namespaces go.
    ///
    /// # Errors
    /// Not root, `ip` is not installed, or there is no such card.
    pub fn of_cards(cards: &Cards) -> Result<Self> {
        let lab = Self::bare(false)?;
        for (link, ends) in [("feed0", &cards.feed), ("order0", &cards.orders)] {
            for (card, namespace) in ends.iter().zip([&lab.exchange, &lab.gateway]) {
                ip(&["link", "set", card, "netns", namespace, "name", link])?;
            }
        }
        lab.address()?;
        Ok(lab)
    }

    fn make(queues: u32, has_middle: bool) -> Result<Self> {
        let lab = Self::bare(has_middle)?;
        let (x, g) = (&lab.exchange, &lab.gateway);
        pair([x, "feed0"], [g, "feed0"], queues)?;
        if let Some(middle) = &lab.middle {
            let [left, right] = MIDDLE_LINKS;
            pair([g, "order0"], [middle, left], 1)?;
            pair([x, "order0"], [middle, right], 1)?;
            for link in MIDDLE_LINKS {
                ip(&["-n", middle, "link", "set", link, "up"])?;
            }
        } else {
            pair([x, "order0"], [g, "order0"], 1)?;
        }
        lab.address()?;
        if queues > 1 {
            for queue in 0..queues {
                lab.send_from_cpu_on_queue(queue)?;
            }
        }
        Ok(lab)
    }

    /// The namespaces, with nothing in them.
    fn bare(has_middle: bool) -> Result<Self> {
        remove_stale();
        // A name of its own for each lab of this process: the kernel takes its time to let one go.
        static LABS: AtomicU32 = AtomicU32::new(0);
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let name = |side| format!("tg-{}-{number}-{side}", std::process::id());
        let lab = Self {
            exchange: name('x'),
            gateway: name('g'),
            middle: has_middle.then(|| name('m')),
        };
        let (x, g) = (&lab.exchange, &lab.gateway);
        for namespace in [Some(x), Some(g), lab.middle.as_ref()]
            .into_iter()
            .flatten()
        {
            ip(&["netns", "add", namespace])
                .context("making a network namespace needs root and Debian's iproute2")?;
        }
        Ok(lab)
    }

    /// Gives every interface its address, and sets it up.
    fn address(&self) -> Result<()> {
        for namespace in [&self.exchange, &self.gateway] {
            let host = if *namespace == self.exchange { 1 } else { 2 };
            for (link, net) in [("feed0", 1), ("order0", 2)] {
                let address = format!("10.77.{net}.{host}/24");
                ip(&["-n", namespace, "addr", "add", &address, "dev", link])?;
                ip(&["-n", namespace, "link", "set", link, "up"])?;
            }
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
        }
        Ok(())
    }

    /// Transmit packet steering: the queue takes what the CPU of the same number sends. The pair turns it into
    /// the same receive queue.
    fn send_from_cpu_on_queue(&self, queue: u32) -> Result<()> {
        let file = format!("/sys/class/net/feed0/queues/tx-{queue}/xps_cpus");
        let cpus = format!("{:x}", 1u64 << queue);
        // Only a shell of that namespace sees its interfaces in /sys.
        let script = format!("echo {cpus} > {file}");
        ip(&["netns", "exec", &self.exchange, "sh", "-c", &script])
            .with_context(|| format!("CPU {queue} on queue {queue} (XPS)"))
    }

    /// The name of a namespace.
    #[must_use]
    pub fn name(&self, side: Side) -> &str {
        match side {
            Side::Exchange => &self.exchange,
            Side::Gateway => &self.gateway,
        }
    }

    /// The name of the namespace in the middle.
    #[must_use]
    pub fn middle(&self) -> Option<&str> {
        self.middle.as_deref()
    }

    /// A command that runs in a namespace, in a process group of its own: Ctrl-C is ours to handle.
    #[must_use]
    pub fn command(&self, side: Side, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", self.name(side)])
            .arg(program)
            .process_group(0);
        command
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let all = [
            Some(&self.exchange),
            Some(&self.gateway),
            self.middle.as_ref(),
        ];
        for namespace in all.into_iter().flatten() {
            // A failure leaves it to the next lab.
            let _ = ip(&["netns", "delete", namespace]);
        }
    }
}

/// Removes namespaces of labs whose process is gone, and those of virtual machines.
pub fn remove_stale() {
    let Ok(output) = Command::new("ip").args(["netns", "list"]).output() else {
        return;
    };
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let name = line.split_ascii_whitespace().next().unwrap_or_default();
        let pid = name
            .strip_prefix("tg-")
            .and_then(|rest| rest.split('-').next());
        let is_ours = ["-x", "-g", "-m", "-v"]
            .iter()
            .any(|end| name.ends_with(end));
        if let Some(pid) = pid
            .filter(|_| is_ours)
            .and_then(|pid| pid.parse::<u32>().ok())
            && !Path::new(&format!("/proc/{pid}")).exists()
        {
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

/// A pair of virtual interfaces, each given as namespace and name, with this many queues.
fn pair([here, link]: [&str; 2], [there, peer]: [&str; 2], queues: u32) -> Result<()> {
    let ends = format!("numrxqueues {queues} numtxqueues {queues}");
    let pair = format!(
        "link add {link} netns {here} {ends} type veth peer name {peer} netns {there} {ends}"
    );
    ip(&pair.split(' ').collect::<Vec<_>>())
}

/// Runs `ip`.
///
/// # Errors
/// It is not installed, or what it says.
pub fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .context("running ip")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("ip {}: {}", arguments.join(" "), said.trim());
    }
    Ok(())
}
