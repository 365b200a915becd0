//! The recorder's file, written and read: one JSON object a line.
//!
//! Path:        rings of the hot cores, and what the host did -> `SlowFile` -> the file -> [`read`]
//! Thread:      housekeeping writes; any reads
//! Invariants:  bounded: at `FILE_BYTES_MAX` a new file is begun, and one old one is kept.
//! When wrong:  a file that cannot be written is told once, and the service goes on.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use rt::ring::Consumer;
use serde::{Deserialize, Serialize};

use super::recorder::{OrderTrace, Stall};

/// A file of this size is moved to `NAME.1`, in place of the one before it.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// How often the host's counters are read.
const HOST_INTERVAL_NS: u64 = 1_000_000_000;
/// How often what hot cores told is written: seldom, because each time takes a CPU from someone.
const WRITE_INTERVAL_NS: u64 = 250_000_000;

/// One line of the recorder's file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// A slow order.
    Order(OrderTrace),
    /// A core was held up; `gap` in files of earlier versions.
    #[serde(alias = "gap")]
    Stall {
        /// The core.
        core: String,
        /// When and how.
        #[serde(flatten)]
        stall: Stall,
    },
    /// What the host did to a core's CPU meanwhile.
    Host {
        /// The core.
        core: String,
        /// Its CPU.
        cpu: usize,
        /// From when, ns on the host's monotonic clock.
        from_ns: u64,
        /// Until when.
        to_ns: u64,
        /// Time that the hypervisor gave to others, in ms (the kernel counts in steps of 10).
        steal_ms: u64,
        /// Interrupts on the CPU, of every kind.
        interrupts: u64,
    },
}

/// The file and what goes into it.
#[derive(Debug, Default)]
pub(crate) struct SlowFile {
    /// `None`: nothing is kept.
    path: Option<PathBuf>,
    file: Option<BufWriter<File>>,
    bytes: u64,
    traces: Vec<Consumer<OrderTrace>>,
    cores: Vec<CoreLog>,
    host_next_ns: u64,
    write_next_ns: u64,
    has_failed: bool,
}

/// A core's stalls, and its CPU's counters when last read.
#[derive(Debug)]
pub(crate) struct CoreLog {
    pub(crate) name: String,
    pub(crate) cpu: Option<usize>,
    pub(crate) stalls: Consumer<Stall>,
    read_ns: u64,
    steal_ms: u64,
    interrupts: u64,
}

impl CoreLog {
    pub(crate) fn new(name: String, cpu: Option<usize>, stalls: Consumer<Stall>) -> Self {
        Self {
            name,
            cpu,
            stalls,
            read_ns: 0,
            steal_ms: 0,
            interrupts: 0,
        }
    }

    /// What the host did since the last call.
    fn host(&mut self, now_ns: u64) -> Option<Line> {
        let cpu = self.cpu?;
        let (steal_ms, interrupts) = (steal_ms(cpu), interrupts(cpu));
        let line = Line::Host {
            core: self.name.clone(),
            cpu,
            from_ns: self.read_ns,
            to_ns: now_ns,
            steal_ms: steal_ms.saturating_sub(self.steal_ms),
            interrupts: interrupts.saturating_sub(self.interrupts),
        };
        let is_first = self.read_ns == 0;
        (self.read_ns, self.steal_ms, self.interrupts) = (now_ns, steal_ms, interrupts);
        (!is_first).then_some(line)
    }
}

impl SlowFile {
    pub(crate) fn new(
        path: Option<PathBuf>,
        traces: Vec<Consumer<OrderTrace>>,
        cores: Vec<CoreLog>,
    ) -> Self {
        Self {
            path,
            traces,
            cores,
            ..Self::default()
        }
    }

    /// Writes what has come, if it is time to.
    pub(crate) fn turn(&mut self, now_ns: u64) {
        if now_ns >= self.write_next_ns {
            self.write_next_ns = now_ns + WRITE_INTERVAL_NS;
            self.write_now(now_ns);
        }
    }

    /// Writes what has come. A file that cannot be written is told once, and the service goes on.
    pub(crate) fn write_now(&mut self, now_ns: u64) {
        let lines = self.drain(now_ns);
        let Some(path) = self.path.clone().filter(|_| !lines.is_empty()) else {
            return;
        };
        if let Err(error) = self.write(&lines)
            && !std::mem::replace(&mut self.has_failed, true)
        {
            log::warn!("telemetry.slow_orders: {}: {error}", path.display());
        }
    }

    fn drain(&mut self, now_ns: u64) -> Vec<Line> {
        let mut lines = Vec::new();
        for traces in &mut self.traces {
            lines.extend(std::iter::from_fn(|| traces.pop()).map(Line::Order));
        }
        for core in &mut self.cores {
            while let Some(stall) = core.stalls.pop() {
                let core = core.name.clone();
                lines.push(Line::Stall { core, stall });
            }
        }
        if now_ns >= self.host_next_ns {
            self.host_next_ns = now_ns + HOST_INTERVAL_NS;
            lines.extend(self.cores.iter_mut().filter_map(|core| core.host(now_ns)));
        }
        lines
    }

    fn write(&mut self, lines: &[Line]) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        if self.bytes > FILE_BYTES_MAX {
            self.file = None;
            let mut old = path.clone().into_os_string();
            old.push(".1");
            std::fs::rename(path, old)?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                self.bytes = 0;
                self.file.insert(BufWriter::new(File::create(path)?))
            }
        };
        for line in lines {
            let text = serde_json::to_string(line)?;
            writeln!(file, "{text}")?;
            self.bytes += text.len() as u64 + 1;
        }
        file.flush()
    }
}

/// Time that the hypervisor gave to others instead of this CPU, ms since boot.
fn steal_ms(cpu: usize) -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let name = format!("cpu{cpu}");
    let line = text
        .lines()
        .find(|line| line.split_ascii_whitespace().next() == Some(&name));
    // user nice system idle iowait irq softirq steal, in hundredths of a second.
    let steal = line.and_then(|line| line.split_ascii_whitespace().nth(8)?.parse::<u64>().ok());
    steal.unwrap_or(0) * 10
}

/// Interrupts of every kind on this CPU since boot.
fn interrupts(cpu: usize) -> u64 {
    let text = std::fs::read_to_string("/proc/interrupts").unwrap_or_default();
    let name = format!("CPU{cpu}");
    let header = text.lines().next().unwrap_or_default();
    let Some(column) = header
        .split_ascii_whitespace()
        .position(|head| head == name)
    else {
        return 0;
    };
    let count = |line: &str| {
        let value = line.split_ascii_whitespace().nth(column + 1)?;
        value.parse::<u64>().ok()
    };
    text.lines().skip(1).filter_map(count).sum()
}

/// A file of the recorder, read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Slow orders.
    pub traces: Vec<OrderTrace>,
    /// Turns that took too long, with their core.
    pub stalls: Vec<(String, Stall)>,
    /// What the host did: core, from, to, steal ms, interrupts.
    pub hosts: Vec<(String, u64, u64, u64, u64)>,
}

/// Reads a file of the recorder.
///
/// # Errors
/// It is not there, is empty, or a line is none of the recorder's.
pub fn read(path: &Path) -> io::Result<Record> {
    let text = std::fs::read_to_string(path)?;
    let mut record = Record::default();
    for (number, line) in text.lines().enumerate() {
        let line: Line = serde_json::from_str(line)
            .map_err(|error| invalid(format!("line {}: {error}", number + 1)))?;
        match line {
            Line::Order(trace) => record.traces.push(trace),
            Line::Stall { core, stall } => record.stalls.push((core, stall)),
            Line::Host {
                core,
                from_ns,
                to_ns,
                steal_ms,
                interrupts,
                ..
            } => record
                .hosts
                .push((core, from_ns, to_ns, steal_ms, interrupts)),
        }
    }
    if record == Record::default() {
        return Err(invalid(
            "empty; is it telemetry.slow_orders of a gateway?".to_owned(),
        ));
    }
    Ok(record)
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use rt::ring::ring;

    use super::*;

    #[test]
    fn the_file_holds_what_was_told_and_stays_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slow.jsonl");
        let (mut tell, traces) = ring(16).unwrap();
        let (mut stall, stalls) = ring(16).unwrap();
        let core = CoreLog::new("inline".to_owned(), Some(0), stalls);
        let mut file = SlowFile::new(Some(path.clone()), vec![traces], vec![core]);
        tell.push(OrderTrace::default()).unwrap();
        stall.push(Stall::default()).unwrap();
        file.turn(1);
        file.turn(HOST_INTERVAL_NS + 2);
        assert!(file.write_next_ns > HOST_INTERVAL_NS, "and seldom");
        let kinds: Vec<Line> = std::fs::read_to_string(&path)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(
            matches!(
                kinds[..],
                [Line::Order(_), Line::Stall { .. }, Line::Host { .. }]
            ),
            "{kinds:?}"
        );
        file.bytes = FILE_BYTES_MAX + 1;
        tell.push(OrderTrace::default()).unwrap();
        file.write_now(3);
        assert!(folder.path().join("slow.jsonl.1").is_file());
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
    }

    #[test]
    fn a_running_cpu_has_interrupts() {
        let cpu = *rt::cpu::allowed().first().unwrap();
        assert!(interrupts(cpu) > 0);
        assert_eq!(interrupts(100_000), 0);
    }

    #[test]
    fn lines_keep_their_form() {
        let line = Line::Stall {
            core: "inline".to_owned(),
            stall: Stall {
                from_ns: 1,
                to_ns: 2,
                ..Stall::default()
            },
        };
        let text = serde_json::to_string(&line).unwrap();
        assert!(text.starts_with("{\"kind\":\"stall\",\"core\":\"inline\",\"from_ns\":1"));
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
        let earlier = text.replace("stall", "gap");
        assert_eq!(serde_json::from_str::<Line>(&earlier).unwrap(), line);
    }

    #[test]
    fn a_file_that_is_none_of_the_recorders_is_refused_and_the_line_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slow.jsonl");
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, "").unwrap();
        let said = read(&path).unwrap_err().to_string();
        assert!(
            said.starts_with("empty; is it telemetry.slow_orders"),
            "{said}"
        );
        let good = serde_json::to_string(&Line::Order(OrderTrace::default())).unwrap();
        std::fs::write(&path, format!("{good}\n{{\"kind\":\"day\"}}\n")).unwrap();
        let said = read(&path).unwrap_err().to_string();
        assert!(said.starts_with("line 2: unknown variant `day`"), "{said}");
        std::fs::write(&path, good).unwrap();
        assert_eq!(read(&path).unwrap().traces, [OrderTrace::default()]);
    }
}
