//! Names of topics: `PREFIX/INSTANCE/...`. docs/mqtt.md has the list.
//!
//! Invariants:  a name from a configuration is one level of a topic, whatever is in it.

/// The topics of one gateway.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    base: String,
}

impl Topics {
    pub(super) fn new(prefix: &str, instance: &str) -> Self {
        let base = format!("{prefix}/{instance}");
        Self { base }
    }

    /// How the gateway is; `offline`: its publisher is gone.
    pub(super) fn status(&self) -> String {
        format!("{}/status", self.base)
    }

    /// What the publisher itself counts.
    pub(super) fn publisher(&self) -> String {
        format!("{}/publisher", self.base)
    }

    pub(super) fn counters(&self) -> String {
        format!("{}/counters", self.base)
    }

    /// A histogram of one interval; `place`: `all`, or a stage.
    pub(super) fn histogram(&self, place: &str, name: &str) -> String {
        format!("{}/histograms/{}/{}", self.base, level(place), level(name))
    }

    /// A histogram of the run so far.
    pub(super) fn total(&self, place: &str, name: &str) -> String {
        format!("{}/totals/{}/{}", self.base, level(place), level(name))
    }

    pub(super) fn alert(&self, alert: &str, of: &str) -> String {
        format!("{}/alerts/{}/{}", self.base, level(alert), level(of))
    }

    pub(super) fn orders(&self, session: &str) -> String {
        format!("{}/orders/{}", self.base, level(session))
    }

    pub(super) fn fills(&self, session: &str) -> String {
        format!("{}/fills/{}", self.base, level(session))
    }

    /// Where commands come in.
    pub(super) fn command(&self) -> String {
        format!("{}/command", self.base)
    }

    /// What commands came to.
    pub(super) fn result(&self) -> String {
        format!("{}/result", self.base)
    }
}

/// One level: separators, wildcards and control characters are none.
fn level(name: &str) -> String {
    if name.is_empty() {
        return "_".to_owned();
    }
    let is_special = |c: char| matches!(c, '/' | '+' | '#') || c.is_control();
    name.replace(is_special, "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_something_to_a_broker_are_one_level_all_the_same() {
        let topics = Topics::new("desk/lab", "one");
        assert_eq!(topics.orders("ouch"), "desk/lab/one/orders/ouch");
        assert_eq!(topics.orders("a/+/#\n"), "desk/lab/one/orders/a_____");
        assert_eq!(topics.fills(""), "desk/lab/one/fills/_");
        assert_eq!(
            topics.histogram("feed.sim", "tick_to_order"),
            "desk/lab/one/histograms/feed.sim/tick_to_order"
        );
    }
}
