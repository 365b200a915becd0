//! `tickgate doctor`: is this host fit for what is configured?
//!
//! Settings become a plan, the host's crate judges, and this prints.

mod plan;
mod table;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use tickgate_config::Settings;
use tickgate_host::{Finding, Host, Verdict, checks};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Look at what this configuration needs; without one, at what a host needs in general.
    #[command(flatten)]
    pub(super) source: super::OptionalSource,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
pub(super) struct How {
    /// Print one JSON object in place of the tables.
    #[arg(long)]
    json: bool,
    /// Status 1 also where something costs latency.
    #[arg(long)]
    strict: bool,
    /// Say what is wanted, why and how of what is good, too.
    #[arg(long)]
    explain: bool,
    /// Judge the files of a host under this folder, its /proc and /sys: a copy, or another root.
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    root: PathBuf,
}

impl Arguments {
    pub(super) fn parts(self) -> (super::OptionalSource, How) {
        (self.source, self.how)
    }
}

/// Runs every check and prints it. Status 0: fit.
pub(super) fn run(settings: Option<&Settings>, how: &How) -> ExitCode {
    let plan = match settings {
        Some(settings) => plan::of(settings, &rt::cpu::allowed(), plan::interface_to),
        None => plan::in_general(&how.root, &rt::cpu::allowed()),
    };
    let host = Host::read(&how.root, &plan);
    let findings = checks::run(&host, &plan);
    let counts = Counts::of(&findings);
    let told = if how.json {
        let object = json!({
            "tool": "tickgate doctor",
            "version": env!("CARGO_PKG_VERSION"),
            "plan": plan,
            "good": counts.good, "costs": counts.costs, "fails": counts.fails, "unseen": counts.unseen,
            "findings": findings,
        });
        format!("{object:#}\n")
    } else {
        let table = table::text(&findings, how.explain);
        format!("{table}{}\n", counts.told())
    };
    // Whoever has seen enough (`| head`) may close it.
    let _ = std::io::stdout().write_all(told.as_bytes());
    if counts.is_fit(how.strict) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(super::FAILED)
    }
}

/// Findings of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    good: usize,
    costs: usize,
    fails: usize,
    unseen: usize,
}

impl Counts {
    fn of(findings: &[Finding]) -> Self {
        let mut counts = Self::default();
        for finding in findings {
            match finding.verdict {
                Verdict::Good => counts.good += 1,
                Verdict::Costs => counts.costs += 1,
                Verdict::Fails => counts.fails += 1,
                Verdict::Unseen => counts.unseen += 1,
            }
        }
        counts
    }

    fn told(self) -> String {
        let Self {
            good,
            costs,
            fails,
            unseen,
        } = self;
        format!("{good} good, {costs} cost latency, {fails} fail, {unseen} not visible here")
    }

    fn is_fit(self, strict: bool) -> bool {
        self.fails == 0 && !(strict && self.costs > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_is_fit_until_something_fails_or_when_strict_costs() {
        let with = |costs, fails| Counts {
            costs,
            fails,
            unseen: 3,
            ..Counts::default()
        };
        assert!(with(2, 0).is_fit(false));
        assert!(!with(2, 0).is_fit(true));
        assert!(with(0, 0).is_fit(true));
        assert!(!with(0, 1).is_fit(false));
    }
}
