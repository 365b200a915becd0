//! `tickgate doctor`: is this host fit for what is configured?
//!
//! Settings become a plan, the host's crate judges, and this prints.

mod granted;
mod plan;
mod table;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;
use tickgate_config::Settings;
use tickgate_host::{Certificate, Drift, Finding, Host, Plan, Verdict, checks, measure};

use granted::Granted;

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
    /// Spin on each hot CPU that long, walk and talk there, and ask for zero-copy: takes these CPUs and the feeds' interfaces
    /// meanwhile, so not beside a running gateway.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "3",
        value_parser = clap::value_parser!(u64).range(1..=600))]
    measure: Option<u64>,
    /// Keep what was found as the host's certificate.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Say what has drifted since a certificate was kept; status 1 where something has.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
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
    let then = how.against.as_deref().map(Certificate::read).transpose();
    let then = match then {
        Ok(then) => then,
        Err(error) => return unreadable(how.against.as_deref(), &error),
    };
    let plan = match settings {
        Some(settings) => plan_of(settings),
        None => plan::in_general(&how.root, &rt::cpu::allowed()),
    };
    let host = Host::read(&how.root, &plan);
    let mut findings = checks::run(&host, &plan);
    let mut measured = serde_json::Value::Null;
    if let Some(seconds) = how.measure {
        let cores = measure::cores(&host, &plan, seconds);
        let hops = measure::hops(&plan);
        findings.extend(measure::findings(&cores, &hops));
        let granted = settings
            .map(|it| Granted::of(it, &plan))
            .unwrap_or_default();
        findings.extend(granted.findings);
        measured = json!({ "cores": cores, "hops": hops, "wake_ups": granted.wake_ups });
    }
    let counts = Counts::of(&findings);
    let certificate = Certificate {
        tool: "tickgate doctor".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        plan,
        findings,
    };
    let drifts = then.map(|then| then.drift(&certificate.findings));
    let told = if how.json {
        json(&certificate, measured, drifts.as_deref(), counts)
    } else {
        text(&certificate.findings, drifts.as_deref(), counts, how)
    };
    // Whoever has seen enough (`| head`) may close it.
    let _ = std::io::stdout().write_all(told.as_bytes());
    if let Some(Err(error)) = how.save.as_deref().map(|path| certificate.save(path)) {
        return unreadable(how.save.as_deref(), &error);
    }
    let has_drifted = drifts.is_some_and(|drifts| !drifts.is_empty());
    if counts.is_fit(how.strict) && !has_drifted {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(super::FAILED)
    }
}

/// What a configuration asks of this host.
pub(super) fn plan_of(settings: &Settings) -> Plan {
    plan::of(settings, &rt::cpu::allowed(), plan::interface_to)
}

fn unreadable(path: Option<&Path>, error: &std::io::Error) -> ExitCode {
    let name = path.map(|path| path.display().to_string());
    super::fail(
        super::WRONG_USAGE,
        &format!("{}: {error}", name.unwrap_or_default()),
    )
}

fn json(
    certificate: &Certificate,
    measured: serde_json::Value,
    drifts: Option<&[Drift]>,
    counts: Counts,
) -> String {
    let mut object = json!(certificate);
    if let Some(object) = object.as_object_mut() {
        let each = drifts.map(|drifts| drifts.iter().map(Drift::to_string).collect::<Vec<_>>());
        let Counts {
            good,
            costs,
            fails,
            unseen,
        } = counts;
        for (key, value) in [
            ("good", json!(good)),
            ("costs", json!(costs)),
            ("fails", json!(fails)),
            ("unseen", json!(unseen)),
            ("measured", measured),
            ("drifted", json!(each)),
        ] {
            if !value.is_null() {
                object.insert(key.to_owned(), value);
            }
        }
    }
    format!("{object:#}\n")
}

fn text(findings: &[Finding], drifts: Option<&[Drift]>, counts: Counts, how: &How) -> String {
    let mut out = table::text(findings, how.explain);
    for drift in drifts.unwrap_or_default() {
        out.push_str(&format!("drifted: {drift}\n"));
    }
    out.push_str(&counts.told());
    if let Some(drifts) = drifts {
        out.push_str(&format!(", {} drifted", drifts.len()));
    }
    out.push('\n');
    out
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
