//! The sandbox: once everything is open and before anything trades, each thread gives up what it does not need any more.
//!
//! ```text
//!  hot core:      stages start -> await_house -> enter(Hot) -> turns
//!                                     ^
//!  housekeeping:  cores begun -> enter(House) -> journal, capture, recovery and control threads, which inherit it
//! ```
//!
//! Thread:      whichever enters, once; nothing of it is called again but `tell`, by housekeeping
//! Invariants:  a thread that was let in never gets back what it gave up. `policy` says what that is and asks no kernel;
//!              `kernel` asks; `trap` counts.
//! When wrong:  a kernel without seccomp or Landlock: a rung lower, and the log says why; below `require` the start is refused

mod kernel;
pub mod policy;
mod trap;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rt::counters;

use policy::{Kind, Policy};

/// How often a core looks whether housekeeping is in.
const LOOK: Duration = Duration::from_millis(1);

/// What is done about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    #[default]
    Off,
    /// The kernel's log tells each call that would be refused; nothing is refused, nothing given up.
    Log,
    /// What the policy does not allow is refused and counted; what is deadly ends the process.
    Enforce,
}

/// How much of it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// Nothing.
    #[default]
    None,
    /// Capabilities are dropped and system calls filtered.
    Filter,
    /// Files and ports, too.
    Full,
}

/// What the configuration asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SandboxOptions {
    /// What is done.
    pub mode: Mode,
    /// Less than this refuses the start.
    pub require: Rung,
}

counters! {
    /// What the sandbox refused.
    pub struct SandboxCounters {
        /// System calls that no rule allows; each returned EPERM, and the log has its number.
        calls_refused,
        /// Folders of the policy that were not there when the sandbox was entered: what is written there later is refused.
        folders_missing,
    }
}

/// The process's sandbox.
#[derive(Debug)]
pub struct Sandbox {
    policy: Policy,
    options: SandboxOptions,
    counters: Arc<SandboxCounters>,
    /// Housekeeping is in: hot cores may follow.
    is_house_in: AtomicBool,
}

impl Sandbox {
    /// Gets ready: folders that are made only when they are first written to must be there, to be named.
    ///
    /// # Errors
    /// Refused calls cannot be counted, or a folder of the policy is the root: everything would lie below it.
    pub fn new(policy: Policy, options: SandboxOptions) -> Result<Self, String> {
        if options.mode == Mode::Enforce {
            trap::install().map_err(|error| format!("sandbox: SIGSYS: {error}"))?;
            for folder in &policy.folders {
                if std::fs::canonicalize(folder).is_ok_and(|it| it == Path::new("/")) {
                    return Err(format!(
                        "sandbox: {}: a file that is written late lies in the root folder, which would leave every file \
                         open; expected a folder of its own",
                        folder.display()
                    ));
                }
                if let Err(error) = std::fs::create_dir_all(folder) {
                    log::warn!("sandbox: {}: {error}", folder.display());
                }
            }
        }
        Ok(Self {
            policy,
            options,
            counters: Arc::default(),
            is_house_in: AtomicBool::new(false),
        })
    }

    /// Nothing is asked of it.
    pub(crate) fn is_off(&self) -> bool {
        self.options.mode == Mode::Off
    }

    /// What it refused.
    #[must_use]
    pub fn counters(&self) -> Arc<SandboxCounters> {
        Arc::clone(&self.counters)
    }

    /// Holds the calling thread, and those that it begins, to the policy; how much of it holds, and why not more.
    ///
    /// # Errors
    /// Less than required holds.
    pub fn enter(&self, kind: Kind) -> Result<(Rung, Vec<String>), String> {
        let mut reasons = Vec::new();
        let rung = match self.options.mode {
            Mode::Off => {
                reasons.push("sandbox.mode is \"off\"".to_owned());
                Rung::None
            }
            Mode::Log => {
                reasons.push("sandbox.mode is \"log\"".to_owned());
                reasons.extend(kernel::filter(&self.policy, kind, Mode::Log).err());
                Rung::None
            }
            Mode::Enforce => self.enforce(kind, &mut reasons),
        };
        if rung < self.options.require {
            return Err(format!(
                "sandbox.require: {:?} holds, required {:?}: {}",
                rung,
                self.options.require,
                reasons.join("; ")
            ));
        }
        if kind == Kind::House {
            self.is_house_in.store(true, Ordering::Release);
        }
        Ok((rung, reasons))
    }

    /// Waits until housekeeping is in, or the service stops: no core turns before, so nothing trades.
    pub(crate) fn await_house(&self, stop: &AtomicBool) {
        while !self.is_house_in.load(Ordering::Acquire) && !stop.load(Ordering::Relaxed) {
            std::thread::park_timeout(LOOK);
        }
    }

    /// A rule for what is not there holds nothing, and Landlock passes it over without a word.
    fn tell_missing(&self, missing: &[PathBuf]) {
        for folder in missing {
            self.counters.folders_missing.increment();
            log::error!(
                "sandbox: {}: not there, so nothing can be written there for as long as this process lives",
                folder.display()
            );
        }
    }

    fn enforce(&self, kind: Kind, reasons: &mut Vec<String>) -> Rung {
        let folders = self.policy.folders.iter();
        let missing: Vec<PathBuf> = folders.filter(|it| !it.is_dir()).cloned().collect();
        let before = kernel::drop_capabilities(&self.policy).err();
        let files = kernel::landlock(&self.policy, kind).err();
        let calls = kernel::filter(&self.policy, kind, Mode::Enforce).err();
        if kind == Kind::House {
            self.tell_missing(&missing);
        }
        let rung = match (&before, &calls, &files) {
            (None, None, None) => Rung::Full,
            (None, None, Some(_)) => Rung::Filter,
            _ => Rung::None,
        };
        reasons.extend([before, files, calls].into_iter().flatten());
        rung
    }

    /// What was refused since the last look, a line for each call.
    pub fn tell(&self, told: &mut BTreeMap<usize, u64>) -> Vec<String> {
        let mut lines = Vec::new();
        for (number, count) in trap::refused() {
            let before = told.insert(number, count).unwrap_or(0);
            if count > before {
                let more = count - before;
                self.counters.calls_refused.add(more);
                lines.push(format!(
                    "sandbox: system call {number} refused {more} times (`ausyscall {number}` names it)"
                ));
            }
        }
        lines
    }
}
