//! Every check, by name, with what is wanted, why, and how to get it.
//!
//! Path:        `Host`, `Plan` -> a check's function -> `Seen` -> `Finding`
//!
//! `docs/host.md` is this table for people; a test holds one against the other. In `how`, IF stands for the interface and CPUS
//! for the hot cores' CPUs.

mod cores;
mod interfaces;
mod memory;
mod stack;
mod system;

use crate::{Finding, Host, Plan, Verdict};

/// One check.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// What it is called everywhere.
    pub name: &'static str,
    /// What should be.
    pub wanted: &'static str,
    /// What it costs where it is not.
    pub why: &'static str,
    /// What changes it.
    pub how: &'static str,
    look: Look,
}

/// What a check looks at.
#[derive(Clone, Copy, Debug)]
enum Look {
    Host(fn(&Host, &Plan) -> Seen),
    /// Each interface of the plan that exists.
    Interface(fn(&Of<'_>) -> Seen),
}

/// What a check saw.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    verdict: Verdict,
    found: String,
}

impl Seen {
    fn good(found: impl Into<String>) -> Self {
        Self::new(Verdict::Good, found)
    }

    fn costs(found: impl Into<String>) -> Self {
        Self::new(Verdict::Costs, found)
    }

    fn fails(found: impl Into<String>) -> Self {
        Self::new(Verdict::Fails, found)
    }

    /// Not visible here, and what it is that is not.
    fn unseen(what: impl AsRef<str>) -> Self {
        Self::new(
            Verdict::Unseen,
            format!("not visible here: {}", what.as_ref()),
        )
    }

    fn good_if(is_good: bool, found: impl Into<String>) -> Self {
        let verdict = if is_good {
            Verdict::Good
        } else {
            Verdict::Costs
        };
        Self::new(verdict, found)
    }

    fn new(verdict: Verdict, found: impl Into<String>) -> Self {
        Self {
            verdict,
            found: found.into(),
        }
    }
}

/// An interface of the plan.
struct Of<'a> {
    name: &'a str,
    wish: &'a crate::InterfacePlan,
    card: crate::Card,
    host: &'a Host,
    plan: &'a Plan,
}

/// Every check, in the order in which they are told.
pub fn all() -> impl Iterator<Item = &'static Check> {
    cores::CHECKS
        .iter()
        .chain(memory::CHECKS)
        .chain(system::CHECKS)
        .chain(stack::CHECKS)
        .chain(interfaces::CHECKS)
}

/// Runs every check: those of the host, then those of each interface.
#[must_use]
pub fn run(host: &Host, plan: &Plan) -> Vec<Finding> {
    let of_host = all().filter_map(|check| match check.look {
        Look::Host(look) => Some(finding(check, "", plan, look(host, plan))),
        Look::Interface(_) => None,
    });
    let mut findings: Vec<Finding> = of_host.collect();
    for (name, wish) in &plan.interfaces {
        let of = Of {
            name,
            wish,
            card: host.card(name),
            host,
            plan,
        };
        let exists = interfaces::exists(&of);
        for check in all() {
            let Look::Interface(look) = check.look else {
                continue;
            };
            // What is not there has no driver either.
            if exists || check.name == interfaces::THERE {
                findings.push(finding(check, name, plan, look(&of)));
            }
        }
    }
    findings
}

fn finding(check: &Check, interface: &str, plan: &Plan, seen: Seen) -> Finding {
    let mut how = check.how.to_owned();
    if !interface.is_empty() {
        how = how.replace("IF", interface);
    }
    let cpus = plan.hot_cpus();
    if !cpus.is_empty() {
        how = how.replace("CPUS", &cpus.to_string());
    }
    Finding {
        check: check.name.to_owned(),
        subject: interface.to_owned(),
        verdict: seen.verdict,
        found: seen.found,
        wanted: check.wanted.to_owned(),
        why: check.why.to_owned(),
        how,
    }
}

/// What a list says, or that it says nothing.
fn or_none(text: impl ToString) -> String {
    let text = text.to_string();
    if text.is_empty() {
        "none".to_owned()
    } else {
        text
    }
}
