//! What a host was when somebody found it good, to hold it against later.

use std::path::Path;
use std::{fmt, fs, io};

use serde::{Deserialize, Serialize};

use crate::{Finding, Plan, Verdict, measure};

/// Findings of one moment, as `tickgate doctor --json` prints and `--save` keeps them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Who found them.
    pub tool: String,
    /// Its version.
    pub version: String,
    /// For what they were judged.
    pub plan: Plan,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// One thing that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// What it is called.
    pub name: String,
    /// What it was; empty: it was not looked at.
    pub then: String,
    /// What it is; empty: it is no longer there.
    pub now: String,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, then, now } = self;
        match (then.is_empty(), now.is_empty()) {
            (true, _) => write!(f, "{name}: {now}, and nothing was said of it"),
            (_, true) => write!(f, "{name}: was {then}, and is gone"),
            (false, false) => write!(f, "{name}: was {then}, is {now}"),
        }
    }
}

/// What is the looking process's own, and not the host's: its rights.
const OF_PROCESS: [&str; 3] = ["CPUs", "locked memory limit", "real-time priority limit"];

/// What counts up by itself: only that it has become worse is drift.
const COUNTED: [&str; 2] = ["netdev_max_backlog", "connection tracking"];

impl Certificate {
    /// Reads one.
    ///
    /// # Errors
    /// It is not there, or is none.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
    }

    /// Keeps it, whole or not at all.
    ///
    /// # Errors
    /// The folder may not be written, or the disk is full.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        let mut written = path.as_os_str().to_owned();
        written.push(".new");
        fs::write(&written, text)?;
        fs::rename(written, path)
    }

    /// Whether a finding of now can be held against the certificate by whoever has other rights than who kept it: both saw it, and
    /// it is the host's.
    #[must_use]
    pub fn can_judge(&self, now: &Finding) -> bool {
        let is_seen = |it: &Finding| it.verdict != Verdict::Unseen;
        let mut then = self.findings.iter();
        let then = then.find(|then| then.check == now.check && then.subject == now.subject);
        is_seen(now) && then.is_none_or(is_seen) && !OF_PROCESS.contains(&now.check.as_str())
    }

    /// What is not what it was. A measure differs each time: it has drifted where its verdict is a worse one; one that was not
    /// taken again has not.
    #[must_use]
    pub fn drift(&self, now: &[Finding]) -> Vec<Drift> {
        let same = |a: &Finding, b: &Finding| a.check == b.check && a.subject == b.subject;
        let told = |it: Option<&Finding>| it.map(|it| it.found.clone()).unwrap_or_default();
        let drift = |then: Option<&Finding>, now: Option<&Finding>| Drift {
            name: then.or(now).map(Finding::name).unwrap_or_default(),
            then: told(then),
            now: told(now),
        };
        let mut drifts = Vec::new();
        for then in &self.findings {
            let now = now.iter().find(|now| same(then, now));
            let has_drifted = match now {
                None => !is_measured(then),
                Some(now) if is_measured(then) || COUNTED.contains(&then.check.as_str()) => {
                    badness(now.verdict) > badness(then.verdict)
                }
                Some(now) => now.found != then.found || now.verdict != then.verdict,
            };
            if has_drifted {
                drifts.push(drift(Some(then), now));
            }
        }
        let new = now
            .iter()
            .filter(|now| !is_measured(now) && !self.findings.iter().any(|then| same(then, now)));
        drifts.extend(new.map(|now| drift(None, Some(now))));
        drifts
    }
}

fn is_measured(finding: &Finding) -> bool {
    measure::CHECKS
        .iter()
        .any(|check| check.name == finding.check)
}

fn badness(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Good => 0,
        Verdict::Unseen => 1,
        Verdict::Costs => 2,
        Verdict::Fails => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(check: &str, verdict: Verdict, found: &str) -> Finding {
        Finding {
            check: check.to_owned(),
            subject: String::new(),
            verdict,
            found: found.to_owned(),
            wanted: String::new(),
            why: String::new(),
            how: String::new(),
        }
    }

    fn certificate(findings: &[Finding]) -> Certificate {
        Certificate {
            tool: "a test".to_owned(),
            version: "0".to_owned(),
            plan: Plan::default(),
            findings: findings.to_vec(),
        }
    }

    fn drift(then: &[Finding], now: &[Finding]) -> Vec<String> {
        let drifts = certificate(then).drift(now);
        drifts.iter().map(Drift::to_string).collect()
    }

    use Verdict::{Costs, Good};

    #[test]
    fn what_is_read_has_drifted_when_it_says_something_else() {
        let then = [
            finding("swap", Good, "none"),
            finding("kernel", Good, "6.1"),
        ];
        assert!(drift(&then, &then).is_empty());
        let now = [
            finding("swap", Costs, "/dev/sda2"),
            finding("kernel", Good, "6.12"),
        ];
        assert_eq!(
            drift(&then, &now),
            ["swap: was none, is /dev/sda2", "kernel: was 6.1, is 6.12"]
        );
        let gone = drift(&then, &then[..1]);
        assert_eq!(gone, ["kernel: was 6.1, and is gone"]);
        let new = drift(&then[..1], &then);
        assert_eq!(new, ["kernel: 6.1, and nothing was said of it"]);
    }

    #[test]
    fn what_is_measured_or_counted_has_drifted_only_when_it_is_worse() {
        for name in ["jitter", "connection tracking"] {
            let then = [finding(name, Good, "one")];
            assert!(drift(&then, &[finding(name, Good, "two")]).is_empty());
            assert_eq!(drift(&then, &[finding(name, Costs, "two")]).len(), 1);
            let worse = [finding(name, Costs, "two")];
            assert!(drift(&worse, &then).is_empty());
        }
        let measured = [finding("jitter", Good, "one")];
        assert!(drift(&measured, &[]).is_empty());
        assert!(drift(&[], &measured).is_empty());
    }

    #[test]
    fn what_one_of_both_did_not_see_and_what_is_of_the_process_is_not_judged() {
        let kept = certificate(&[
            finding("swap", Good, "none"),
            finding("kernel", Verdict::Unseen, "not visible here"),
            finding("locked memory limit", Good, "unlimited"),
        ]);
        let can = |check: &str, verdict| kept.can_judge(&finding(check, verdict, "now"));
        assert!(can("swap", Costs));
        assert!(!can("swap", Verdict::Unseen));
        assert!(!can("kernel", Good));
        assert!(!can("locked memory limit", Costs));
        assert!(can("new", Costs));
    }

    #[test]
    fn kept_certificate_is_read_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.json");
        let kept = certificate(&[finding("swap", Good, "none")]);
        kept.save(&path).unwrap();
        assert_eq!(Certificate::read(&path).unwrap(), kept);
        fs::write(&path, "{}").unwrap();
        assert!(Certificate::read(&path).is_err());
    }
}
