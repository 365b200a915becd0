//! Which rung a feed's interface truly stands on: the ladder itself is asked, and let go at once.

use feed_handler::xdp::{self, OpenError, Opened, Rung};
use tickgate_config::{Mode, Receive, Settings};
use tickgate_host::{Finding, Verdict, measure};

use crate::cli::from_settings;

/// A finding for each interface of each feed by AF_XDP.
pub(super) fn findings(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, feed) in &settings.feed {
        if feed.receive != Receive::AfXdp {
            continue;
        }
        let options = from_settings::feed(name, feed, &settings.host);
        let wants_zero_copy = feed.af_xdp.mode != Mode::Generic;
        match options {
            Ok(options) => findings.extend(options.xdp.iter().map(|options| {
                let (verdict, found) = judge(&xdp::open(options), wants_zero_copy);
                measure::granted(&options.interface, verdict, found)
            })),
            Err(error) => findings.push(measure::granted(name, Verdict::Fails, error)),
        }
    }
    findings
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
