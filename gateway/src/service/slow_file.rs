//! The slow-order recorder's file: drains what hot cores tell, adds what the host did, and keeps it
//! bounded.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use rt::ring::Consumer;

use crate::slow::{Gap, Line, Story};

/// A file of this size is moved to `NAME.1`, in place of the one before it.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// How often the host's counters are read.
const HOST_INTERVAL_NS: u64 = 1_000_000_000;
/// How often what hot cores told is written: seldom, because each time takes a CPU from someone.
const WRITE_INTERVAL_NS: u64 = 250_000_000;

/// The file and what goes into it.
#[derive(Debug, Default)]
pub(super) struct SlowFile {
    /// `None`: nothing is kept.
    path: Option<PathBuf>,
    file: Option<BufWriter<File>>,
    bytes: u64,
    stories: Vec<Consumer<Story>>,
    cores: Vec<CoreLog>,
    host_next_ns: u64,
    write_next_ns: u64,
    has_failed: bool,
}

/// A core's gaps, and its CPU's counters when last read.
#[derive(Debug)]
pub(super) struct CoreLog {
    pub(super) name: String,
    pub(super) cpu: Option<usize>,
    pub(super) gaps: Consumer<Gap>,
    read_ns: u64,
    steal_ms: u64,
    interrupts: u64,
}

impl CoreLog {
    pub(super) fn new(name: String, cpu: Option<usize>, gaps: Consumer<Gap>) -> Self {
        Self {
            name,
            cpu,
            gaps,
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
    pub(super) fn new(
        path: Option<PathBuf>,
        stories: Vec<Consumer<Story>>,
        cores: Vec<CoreLog>,
    ) -> Self {
        Self {
            path,
            stories,
            cores,
            ..Self::default()
        }
    }

    /// Writes what has come, if it is time to.
    pub(super) fn turn(&mut self, now_ns: u64) {
        if now_ns >= self.write_next_ns {
            self.write_next_ns = now_ns + WRITE_INTERVAL_NS;
            self.write_now(now_ns);
        }
    }

    /// Writes what has come. A file that cannot be written is told once, and the service goes on.
    pub(super) fn write_now(&mut self, now_ns: u64) {
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
        for stories in &mut self.stories {
            lines.extend(std::iter::from_fn(|| stories.pop()).map(Line::Order));
        }
        for core in &mut self.cores {
            while let Some(gap) = core.gaps.pop() {
                let core = core.name.clone();
                lines.push(Line::Gap { core, gap });
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

#[cfg(test)]
mod tests {
    use rt::ring::ring;

    use super::*;

    #[test]
    fn the_file_holds_what_was_told_and_stays_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slow.jsonl");
        let (mut tell, stories) = ring(16).unwrap();
        let (mut gap, gaps) = ring(16).unwrap();
        let core = CoreLog::new("inline".to_owned(), Some(0), gaps);
        let mut file = SlowFile::new(Some(path.clone()), vec![stories], vec![core]);
        tell.push(Story::default()).unwrap();
        gap.push(Gap::default()).unwrap();
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
                [Line::Order(_), Line::Gap { .. }, Line::Host { .. }]
            ),
            "{kinds:?}"
        );
        file.bytes = FILE_BYTES_MAX + 1;
        tell.push(Story::default()).unwrap();
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
}
