//! The host held against its certificate: at the start, once the service has given up what it does not need, and then every minute.
//! Drift is an alarm.
//!
//! ```text
//!  start:                   files, cards, kernel ─> checks ─┐
//!  running, every minute:   files ────────────────> checks ─┴─> Certificate::drift ─> log, counters, `ctl status`
//! ```
//!
//! Thread:      housekeeping
//! Invariants:  a drift is told when it comes, when it is another, and when it has gone. What the service may not see any
//!              more (cards, after the start) stays as it was seen, and is named once.
//! Bounded by:  the checks, and so the lines of a look.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rt::counters;
use tickgate_host::{Certificate, Finding, Host, Plan, Tree, checks};

/// How often the files are read: what an operator changes is told while he still knows that he did.
const LOOK_NS: u64 = 60_000_000_000;
/// Asking it interrupts every core on some kernels, and no host changes its processors while it runs.
const PROCESSORS: &str = "/proc/cpuinfo";

/// Files and folders that a look reads, for the sandbox.
pub(super) const READ: [&str; 14] = [
    "/proc/cmdline",
    "/proc/irq",
    "/proc/meminfo",
    // Its files are other inodes each time that they are looked up: what can be named is the folder.
    "/proc/thread-self/net",
    "/proc/swaps",
    "/proc/sys/kernel",
    "/proc/sys/net",
    "/proc/self/limits",
    "/proc/self/status",
    "/sys/class/net",
    "/sys/devices",
    "/sys/fs/cgroup/cpuset.cpus.isolated",
    "/sys/kernel/debug/sched",
    "/sys/kernel/mm/transparent_hugepage",
];

/// What is compared with what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CertificateOptions {
    /// The file that `tickgate doctor --save` has written.
    pub file: PathBuf,
    /// What this gateway asks of its host.
    pub plan: Plan,
}

counters! {
    /// What came of looking at the host.
    pub struct CertificateCounters {
        /// Looks at the host, each held against its certificate.
        host_looks,
        /// Things of the host that became other than its certificate says, each time that one did.
        host_drifts,
    }
}

/// How many things are other than the certificate says, for other threads.
pub(crate) type Standing = Arc<AtomicU64>;

/// The comparison.
#[derive(Debug)]
pub(super) struct HostWatch {
    certificate: Certificate,
    plan: Plan,
    tree: Tree,
    /// What could be compared at the start, by name; `None`: the running service has looked.
    at_start: Option<BTreeSet<String>>,
    /// What has drifted, by name, and how it was told.
    drifted: BTreeMap<String, String>,
    counters: Arc<CertificateCounters>,
    standing: Standing,
    next_ns: u64,
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// How many things the running service compares, and which it could compare at the start only.
    Begun {
        compared: usize,
        at_start_only: Vec<String>,
    },
    Drifted(String),
    Back(String),
}

impl HostWatch {
    /// Reads the certificate, and looks at the host below `root` with all the rights of the start.
    ///
    /// # Errors
    /// There is no certificate.
    pub(super) fn open(
        options: CertificateOptions,
        root: &Path,
    ) -> Result<(Self, Vec<Told>), String> {
        let CertificateOptions { file, plan } = options;
        let certificate = Certificate::read(&file).map_err(|error| {
            format!(
                "host.certificate: {}: {error}; expected what `tickgate doctor --config FILE --save` keeps",
                file.display()
            )
        })?;
        let findings = checks::run(&Host::read(root, &plan), &plan);
        let mut watch = Self {
            certificate,
            plan,
            tree: Tree::at(root).keeping(PROCESSORS),
            at_start: None,
            drifted: BTreeMap::new(),
            counters: Arc::default(),
            standing: Arc::default(),
            next_ns: 0,
        };
        watch.at_start = Some(watch.judged(&findings).map(Finding::name).collect());
        let told = watch.compare(&findings);
        Ok((watch, told))
    }

    pub(super) fn counters(&self) -> Arc<CertificateCounters> {
        Arc::clone(&self.counters)
    }

    pub(super) fn standing(&self) -> Standing {
        Arc::clone(&self.standing)
    }

    /// Looks again if it is time: in its first turn, and a minute after the last one that did.
    pub(super) fn turn(&mut self, now_ns: u64) -> Vec<Told> {
        if now_ns < self.next_ns {
            return Vec::new();
        }
        self.next_ns = now_ns + LOOK_NS;
        let findings = checks::run(&Host::of_files(self.tree.clone()), &self.plan);
        let mut told = Vec::new();
        if let Some(at_start) = self.at_start.take() {
            let seen: BTreeSet<String> = self.judged(&findings).map(Finding::name).collect();
            told.push(Told::Begun {
                compared: seen.len(),
                at_start_only: at_start.difference(&seen).cloned().collect(),
            });
        }
        told.extend(self.compare(&findings));
        told
    }

    /// What can be held against the certificate.
    fn judged<'a>(&'a self, findings: &'a [Finding]) -> impl Iterator<Item = &'a Finding> {
        let findings = findings.iter();
        findings.filter(|it| self.certificate.can_judge(it))
    }

    fn compare(&mut self, findings: &[Finding]) -> Vec<Told> {
        self.counters.host_looks.increment();
        let judged: Vec<Finding> = self.judged(findings).cloned().collect();
        // What is not there now was not seen: that is no news of the host.
        let drifts = self.certificate.drift(&judged).into_iter();
        let mut now: BTreeMap<String, String> = drifts
            .filter(|drift| !drift.now.is_empty())
            .map(|drift| (drift.name.clone(), drift.to_string()))
            .collect();
        let mut told = Vec::new();
        for finding in &judged {
            let name = finding.name();
            match now.remove(&name) {
                Some(text) if self.drifted.get(&name) != Some(&text) => {
                    self.counters.host_drifts.increment();
                    told.push(Told::Drifted(text.clone()));
                    self.drifted.insert(name, text);
                }
                Some(_) => {}
                None => {
                    if self.drifted.remove(&name).is_some() {
                        told.push(Told::Back(name));
                    }
                }
            }
        }
        let standing = u64::try_from(self.drifted.len()).unwrap_or(u64::MAX);
        self.standing.store(standing, Ordering::Relaxed);
        told
    }
}

impl Told {
    /// Writes it.
    pub(super) fn log(&self) {
        match self {
            Self::Begun {
                compared,
                at_start_only,
            } => {
                let only = at_start_only.join(", ");
                log::info!(
                    "the host is held against its certificate every minute: {compared} things; at the start only: {only}"
                );
            }
            Self::Drifted(text) => tickgate_log::tell(
                log::Level::Warn,
                module_path!(),
                &[("TICKGATE_EVENT", "HostDrifted")],
                format_args!("the host has drifted from its certificate: {text}"),
            ),
            Self::Back(name) => log::info!("the host is as its certificate says again: {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_NS: u64 = 60_000_000_000;

    /// A host of two files, and its certificate.
    fn host() -> (tempfile::TempDir, CertificateOptions) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        put(root, "proc/swaps", "Filename\n");
        put(root, "proc/cpuinfo", "flags : constant_tsc nonstop_tsc\n");
        put(root, "proc/self/limits", "Max locked memory unlimited\n");
        let asked = r#"{"af_xdp":"","cards":{}}"#;
        put(root, "asked.json", asked);
        let plan = Plan::default();
        let certificate = Certificate {
            tool: "a test".to_owned(),
            version: String::new(),
            findings: checks::run(&Host::read(root, &plan), &plan),
            plan: plan.clone(),
        };
        let file = root.join("host.json");
        certificate.save(&file).unwrap();
        (folder, CertificateOptions { file, plan })
    }

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    const SWAP: &str = "Filename\n/dev/sda2 partition 1 0 -2\n";

    fn drifted(text: &str) -> Vec<Told> {
        vec![Told::Drifted(text.to_owned())]
    }

    #[test]
    fn drift_while_it_runs_is_told_once_and_so_is_its_end() {
        let (folder, options) = host();
        let root = folder.path();
        let (mut watch, told) = HostWatch::open(options, root).unwrap();
        assert_eq!(told, []);
        let standing = watch.standing();
        let mut at = |minute: u64| watch.turn(MINUTE_NS * minute);
        let begun = Told::Begun {
            compared: 2,
            at_start_only: vec!["AF_XDP".to_owned()],
        };
        assert_eq!(at(1), [begun]);
        put(root, "proc/swaps", SWAP);
        let swap = "swap: was none, is /dev/sda2";
        assert_eq!(at(2), drifted(swap));
        assert_eq!(standing.load(Ordering::Relaxed), 1);
        assert_eq!(at(3), [], "it is told once");
        // A file that hides says nothing of the host.
        std::fs::remove_file(root.join("proc/swaps")).unwrap();
        assert_eq!(at(4), []);
        assert_eq!(standing.load(Ordering::Relaxed), 1);
        put(root, "proc/swaps", "Filename\n");
        assert_eq!(at(5), [Told::Back("swap".to_owned())]);
        assert_eq!(standing.load(Ordering::Relaxed), 0);
        assert_eq!(watch.counters().host_looks.get(), 6);
        assert_eq!(watch.counters().host_drifts.get(), 1);
    }

    #[test]
    fn drift_since_the_certificate_is_told_at_the_start_and_stays_where_only_a_start_can_see_it() {
        let (folder, options) = host();
        let root = folder.path();
        put(root, "asked.json", r#"{"af_xdp":"refused","cards":{}}"#);
        put(root, "proc/swaps", SWAP);
        let (mut watch, told) = HostWatch::open(options, root).unwrap();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(matches!(watch.turn(MINUTE_NS)[..], [Told::Begun { .. }]));
        assert_eq!(watch.turn(2 * MINUTE_NS), []);
        assert_eq!(watch.standing().load(Ordering::Relaxed), 2);
    }

    #[test]
    fn processors_are_asked_once_and_rights_of_this_process_are_nobodys_drift() {
        let (folder, options) = host();
        let root = folder.path();
        let (mut watch, _) = HostWatch::open(options, root).unwrap();
        put(root, "proc/cpuinfo", "flags : none\n");
        put(root, "proc/self/limits", "Max locked memory 65536\n");
        watch.turn(MINUTE_NS);
        assert_eq!(watch.turn(2 * MINUTE_NS), []);
        assert_eq!(watch.counters().host_looks.get(), 3);
    }

    #[test]
    fn certificate_that_is_not_there_refuses_the_start() {
        let (folder, mut options) = host();
        options.file = folder.path().join("none.json");
        let error = HostWatch::open(options, folder.path()).unwrap_err();
        assert!(error.starts_with("host.certificate: "), "{error}");
    }
}
