//! Which rung a feed's interface truly stands on, and what waking its queues takes there: the ladder itself is asked, and let go at
//! once.

use feed_handler::xdp::{self, OpenError, Opened, Options, Rung};
use tickgate_config::{Mode, Receive, Settings};
use tickgate_host::measure::{self, WakeUp};
use tickgate_host::{Finding, Plan, Verdict};

use crate::cli::from_settings;

/// What was found of each interface of each feed by AF_XDP.
#[derive(Debug, Default)]
pub(super) struct Granted {
    pub(super) findings: Vec<Finding>,
    pub(super) wake_ups: Vec<WakeUp>,
}

impl Granted {
    /// Asks for all of them, each by itself.
    pub(super) fn of(settings: &Settings, plan: &Plan) -> Self {
        let mut granted = Self::default();
        for (name, feed) in &settings.feed {
            if feed.receive != Receive::AfXdp {
                continue;
            }
            let wants_zero_copy = feed.af_xdp.mode != Mode::Generic;
            match from_settings::feed(name, feed, &settings.host) {
                Ok(options) => {
                    let cpu = cpu_of(name, plan);
                    for options in &options.xdp {
                        granted.ask(options, wants_zero_copy, cpu);
                    }
                }
                Err(error) => {
                    let finding = measure::granted(name, Verdict::Fails, error);
                    granted.findings.push(finding);
                }
            }
        }
        granted
    }

    fn ask(&mut self, options: &Options, wants_zero_copy: bool, cpu: Option<usize>) {
        let interface = &options.interface;
        let opened = xdp::open(options);
        let (verdict, found) = judge(&opened, wants_zero_copy);
        self.findings
            .push(measure::granted(interface, verdict, found));
        if let Ok(Opened {
            source: Some((mut source, _watch)),
            ..
        }) = opened
        {
            let woken = measure::wake_ups(interface, cpu, |call| source.wake(call));
            self.findings.push(measure::woken(&woken));
            self.wake_ups.push(woken);
        }
    }
}

/// Where a feed's hot core runs: the core of its name, or else the first one, where `inline` is and feeds come first.
fn cpu_of(feed: &str, plan: &Plan) -> Option<usize> {
    let named = plan.hot.iter().find(|core| core.name == feed);
    named.or_else(|| plan.hot.first())?.cpu
}

fn judge(opened: &Result<Opened, OpenError>, wants_zero_copy: bool) -> (Verdict, String) {
    match opened {
        Err(error) => (Verdict::Fails, error.to_string()),
        Ok(opened) => {
            let mut found = format!("{}, trial {:?}", opened.rung, opened.trial);
            for step in &opened.steps {
                found.push_str(&format!("; {}: {}", step.from, step.why));
            }
            let is_good = opened.rung == Rung::ZeroCopy || !wants_zero_copy;
            let verdict = if is_good {
                Verdict::Good
            } else {
                Verdict::Costs
            };
            (verdict, found)
        }
    }
}

#[cfg(test)]
mod tests {
    use feed_handler::xdp::{StepDown, Trial};

    use super::*;

    fn opened(rung: Rung) -> Result<Opened, OpenError> {
        let step = StepDown {
            from: Rung::ZeroCopy,
            driver: "veth".into(),
            why: "EOPNOTSUPP".into(),
            hint: "another card",
        };
        Ok(Opened {
            rung,
            steps: vec![step],
            driver: "veth".into(),
            huge_pages: false,
            trial: Trial::NothingSeen,
            source: None,
        })
    }

    #[test]
    fn queue_is_woken_where_the_hot_core_of_its_feed_runs() {
        let core = |name: &str, cpu| tickgate_host::HotCore {
            name: name.to_owned(),
            cpu,
        };
        let plan = Plan {
            hot: vec![core("a", Some(2)), core("b", Some(3)), core("c", None)],
            ..Plan::default()
        };
        let cpus = ["a", "b", "c", "d"].map(|feed| cpu_of(feed, &plan));
        assert_eq!(cpus, [Some(2), Some(3), None, Some(2)]);
        assert_eq!(cpu_of("a", &Plan::default()), None);
    }

    #[test]
    fn rung_below_zero_copy_costs_where_zero_copy_is_wanted() {
        let (verdict, found) = judge(&opened(Rung::NativeCopy), true);
        assert_eq!(verdict, Verdict::Costs);
        assert!(
            found.contains("NothingSeen; ") && found.ends_with(": EOPNOTSUPP"),
            "{found}"
        );
        assert_eq!(judge(&opened(Rung::Generic), false).0, Verdict::Good);
        assert_eq!(judge(&opened(Rung::ZeroCopy), true).0, Verdict::Good);
        let none = Err(OpenError::NoInterface("tg-none".into()));
        let (verdict, found) = judge(&none, true);
        assert_eq!(
            (verdict, found.as_str()),
            (Verdict::Fails, "interface tg-none does not exist")
        );
    }
}
