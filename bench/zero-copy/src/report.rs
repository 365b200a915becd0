//! What a machine reports: what the kernel granted, what became of each frame and each order; and whether it is well.

use std::fmt::{self, Write as _};

use anyhow::{Result, bail};
use gateway::telemetry::{Host, Kind, Run, grouped};
use serde::{Deserialize, Serialize};

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Report {
    /// The machine.
    pub host: Option<Host>,
    /// Queues of each card.
    pub queues: u32,
    /// Frames by the gateway's sockets.
    pub frames: Vec<FramesRun>,
    /// The main job.
    pub jobs: Vec<JobRun>,
}

/// Frames from one card to another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct FramesRun {
    /// On which cards.
    pub name: String,
    /// The kernel's answer for the receiving sockets.
    pub receive: String,
    /// The kernel's answer for the sending ones.
    pub send: String,
    /// Packet memory of the receiving sockets lies on huge pages.
    pub huge_pages: bool,
    /// Busy polling of them, µs; 0: none.
    pub busy_poll_us: u32,
    /// Frames that were to be sent.
    pub asked: u64,
    /// Frames sent.
    pub sent: u64,
    /// Times that the kernel did not send a frame at once.
    pub refused: u64,
    /// Sending sockets that had a frame with the kernel at the end.
    pub uncompleted: u64,
    /// Frames received whole, each counted once.
    pub received: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Frames that never came.
    pub lost: u64,
    /// Frames with a byte that is not as it was sent.
    pub corrupt: u64,
    /// Frames that came again.
    pub twice: u64,
    /// Frames that came behind a later one of their flow.
    pub out_of_order: u64,
    /// Emulated, ms.
    pub took_ms: u64,
    /// Each receiving queue.
    pub queues: Vec<QueueRun>,
}

/// What a receiving queue counted, and the kernel for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct QueueRun {
    /// Its number.
    pub queue: u32,
    /// Frames.
    pub received: u64,
    /// Of them, without the XDP program's stamp.
    pub unstamped: u64,
    /// Times that the kernel was asked for more.
    pub wake_ups: u64,
    /// The kernel had no frame for a packet.
    pub rx_dropped: u64,
    /// The receive ring had no room.
    pub rx_ring_full: u64,
    /// The kernel found the fill ring empty.
    pub fill_ring_empty: u64,
}

impl fmt::Display for FramesRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pages = if self.huge_pages { "huge" } else { "normal" };
        write!(
            f,
            "receive {}, send {}, {pages} pages, busy polling {} µs: {} sent of {}, {} received, {} lost, {} corrupt, {} twice, \
             {} out of order; by queue",
            self.receive,
            self.send,
            self.busy_poll_us,
            grouped(self.sent),
            grouped(self.asked),
            grouped(self.received),
            self.lost,
            self.corrupt,
            self.twice,
            self.out_of_order,
        )?;
        for queue in &self.queues {
            write!(f, " {}", grouped(queue.received))?;
        }
        write!(f, "; {} ms (emulated)", grouped(self.took_ms))
    }
}

/// The main job, run once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct JobRun {
    /// On which cards, and how orders left.
    pub name: String,
    /// How orders were to leave.
    pub submit: String,
    /// The kernel's answer for the feed's sockets.
    pub receive: String,
    /// The kernel's answer for the lane's socket; "kernel": there is none.
    pub send: String,
    /// The gateway's report.
    pub run: Run,
    /// What the gateway said.
    pub said: Vec<String>,
}

impl JobRun {
    /// Of a run; what the kernel granted is in what the gateway said.
    #[must_use]
    pub fn new(name: String, submit: &str, run: Run, said: Vec<String>) -> Self {
        let granted = |line: &str, before: &str, after: &str| {
            let line = said.iter().find(|said| said.contains(line))?;
            let (_, rest) = line.split_once(before)?;
            let (granted, _) = rest.split_once(after)?;
            Some(granted.to_owned())
        };
        let receive = granted(" trial ", "): ", ",").unwrap_or_default();
        let send = granted("delegated by queue", "of order0 (", ")");
        let send = send.unwrap_or_else(|| "kernel".to_owned());
        Self {
            name,
            submit: submit.to_owned(),
            receive,
            send,
            run,
            said,
        }
    }

    fn count(&self, kind: Kind, counter: &str) -> u64 {
        let name = match kind {
            Kind::Session => "ouch",
            Kind::Core => return self.core(counter),
            Kind::Interface => "feed0",
            _ => "itch",
        };
        self.run.counter(kind, name, counter).unwrap_or(0)
    }

    fn core(&self, counter: &str) -> u64 {
        let cores = self.run.counters.get(&Kind::Core).into_iter().flatten();
        cores
            .filter_map(|(_, counters)| counters.get(counter))
            .sum()
    }

    /// Whether the whole day came, and every order was answered.
    ///
    /// # Errors
    /// The first thing that is not so.
    pub fn check(&self) -> Result<()> {
        let Self { name, run, .. } = self;
        if run.sent != Some(run.received) || run.lost > 0 || run.received == 0 {
            bail!(
                "{name}: {:?} messages sent, {} received, {} lost",
                run.sent,
                run.received,
                run.lost
            );
        }
        for counter in ["gaps", "missing_ref", "rejected", "messages_lost"] {
            let count = self.count(Kind::Feed, counter);
            if count > 0 {
                bail!("{name}: feed.{counter} is {count}");
            }
        }
        let fills = self.count(Kind::Session, "fills");
        if run.orders == 0 || run.orders != run.acks || fills == 0 {
            bail!(
                "{name}: {} orders, {} answers, {fills} fills",
                run.orders,
                run.acks
            );
        }
        // An order that came a second time would be accepted or refused a second time.
        let [accepted, refused] =
            ["accepted", "refused"].map(|counter| self.count(Kind::Session, counter));
        if accepted != run.orders || refused > 0 {
            let orders = run.orders;
            bail!("{name}: {orders} orders, {accepted} accepted, {refused} refused");
        }
        let delegated = self.count(Kind::Session, "delegated_sent");
        if self.submit == "delegated" && delegated == 0 {
            bail!("{name}: nothing was delegated");
        }
        Ok(())
    }
}

impl fmt::Display for JobRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: receive {}, send {}: {} messages, {} orders, {} answers, {} fills, {} delegated",
            self.name,
            self.receive,
            self.send,
            grouped(self.run.received),
            grouped(self.run.orders),
            grouped(self.run.acks),
            grouped(self.count(Kind::Session, "fills")),
            grouped(self.count(Kind::Session, "delegated_sent")),
        )
    }
}

/// What copy and zero-copy are compared by.
const COMPARED: [(Kind, &str); 22] = [
    (Kind::Feed, "packets"),
    (Kind::Feed, "messages"),
    (Kind::Feed, "packets_duplicate"),
    (Kind::Feed, "bbo_changes"),
    (Kind::Feed, "trades"),
    (Kind::Feed, "gaps"),
    (Kind::Socket, "frames"),
    (Kind::Socket, "unstamped"),
    (Kind::Socket, "wake_ups"),
    (Kind::Socket, "rx_dropped"),
    (Kind::Socket, "rx_ring_full"),
    (Kind::Socket, "fill_ring_empty"),
    (Kind::Session, "orders"),
    (Kind::Session, "accepted"),
    (Kind::Session, "fills"),
    (Kind::Session, "refused"),
    (Kind::Session, "delegated_sent"),
    (Kind::Session, "ordinary_unseen"),
    (Kind::Session, "ordinary_no_frame"),
    (Kind::Session, "ordinary_behind"),
    (Kind::Session, "copies_stolen"),
    (Kind::Session, "passed_again"),
];

/// What must be the same in every job.
const ALIKE: [(Kind, &str); 6] = [
    (Kind::Feed, "packets"),
    (Kind::Feed, "messages"),
    (Kind::Feed, "bbo_changes"),
    (Kind::Feed, "trades"),
    (Kind::Session, "orders"),
    (Kind::Session, "fills"),
];

impl Report {
    /// Whether all is well: what was asked for was granted, nothing is lost or damaged, both queues were used, every order was
    /// answered.
    ///
    /// # Errors
    /// The first thing that is not.
    pub fn check(&self) -> Result<()> {
        for run in &self.frames {
            let granted = if run.name == "zero" {
                ["zero-copy"; 2]
            } else {
                ["native-copy", "copy"]
            };
            if [run.receive.as_str(), &run.send] != granted {
                bail!("the kernel did not grant {granted:?}: {run}");
            }
            let faults = run.lost + run.corrupt + run.twice + run.out_of_order + run.uncompleted;
            let idle = run
                .queues
                .iter()
                .filter(|queue| queue.received == 0)
                .count();
            let are_all_there = run.queues.len() == self.queues as usize && idle == 0;
            if run.sent < run.asked
                || run.asked == 0
                || faults > 0
                || !run.huge_pages
                || !are_all_there
            {
                bail!("not every frame came as it should: {run}");
            }
        }
        for job in &self.jobs {
            let is_zero = job.name.starts_with("zero");
            let receive = if is_zero { "zero-copy" } else { "native-copy" };
            let send = match (job.submit.as_str(), is_zero) {
                ("delegated", true) => "zero-copy",
                ("delegated", false) => "copy",
                _ => "kernel",
            };
            if (job.receive.as_str(), job.send.as_str()) != (receive, send) {
                bail!("the kernel did not grant {receive} and {send}: {job}");
            }
            job.check()?;
        }
        self.is_alike()?;
        if self.frames.is_empty() || self.jobs.is_empty() {
            bail!("nothing was run");
        }
        Ok(())
    }

    /// The same day makes the same book, orders and fills, however its packets come and its orders leave.
    fn is_alike(&self) -> Result<()> {
        for pair in self.jobs.windows(2) {
            let [one, other] = pair else { continue };
            for (kind, counter) in ALIKE {
                let counts = [one, other].map(|job| job.count(kind, counter));
                if counts[0] != counts[1] {
                    let names = [&one.name, &other.name];
                    bail!("{kind:?}.{counter} is {counts:?} in {names:?}");
                }
            }
        }
        Ok(())
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Some(host) = &self.host {
            let _ = writeln!(
                text,
                "machine: Linux {}, {}, {} CPUs, emulated",
                host.kernel, host.cpu, host.cpus
            );
        }
        for run in &self.frames {
            let _ = writeln!(text, "frames: {run}");
        }
        for job in &self.jobs {
            let _ = writeln!(text, "job {job}");
        }
        let _ = write!(text, "\n{:28}", "the job, by counter");
        for job in &self.jobs {
            let _ = write!(text, "{:>16}", job.name);
        }
        let _ = writeln!(text);
        for (kind, counter) in COMPARED {
            let _ = write!(
                text,
                "{:28}",
                format!("{}.{counter}", format!("{kind:?}").to_lowercase())
            );
            for job in &self.jobs {
                let _ = write!(text, "{:>16}", grouped(job.count(kind, counter)));
            }
            let _ = writeln!(text);
        }
        for name in [
            "wire_to_seen",
            "tick_to_order",
            "encoded_to_submitted",
            "order_to_ack",
        ] {
            let _ = write!(text, "{:28}", format!("{name} p50, ns, emulated"));
            for job in &self.jobs {
                let summary = job.run.measured.histograms.get(name);
                let p50 = summary.map(|summary| summary.p50);
                let _ = write!(text, "{:>16}", p50.map_or_else(|| "-".to_owned(), grouped));
            }
            let _ = writeln!(text);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run in which everything came as it should.
    fn whole() -> FramesRun {
        let queue = |queue| QueueRun {
            queue,
            received: 50,
            ..QueueRun::default()
        };
        FramesRun {
            name: "zero".to_owned(),
            receive: "zero-copy".to_owned(),
            send: "zero-copy".to_owned(),
            huge_pages: true,
            asked: 100,
            sent: 100,
            received: 100,
            queues: vec![queue(0), queue(1)],
            ..FramesRun::default()
        }
    }

    fn said_of(run: FramesRun) -> String {
        let report = Report {
            queues: 2,
            frames: vec![run],
            ..Report::default()
        };
        report.check().expect_err("no job was run").to_string()
    }

    #[test]
    fn frames_that_were_never_sent_are_a_fault_as_those_that_never_came() {
        // All is well with the frames, so what is missing is the jobs.
        assert_eq!(said_of(whole()), "nothing was run");
        for change in [
            |run: &mut FramesRun| run.sent = 64,
            |run: &mut FramesRun| run.lost = 1,
            |run: &mut FramesRun| run.uncompleted = 1,
            |run: &mut FramesRun| run.queues[1].received = 0,
        ] {
            let mut run = whole();
            change(&mut run);
            let said = said_of(run);
            assert!(
                said.starts_with("not every frame came as it should"),
                "{said}"
            );
        }
    }
}
