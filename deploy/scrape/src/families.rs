//! Metric families by name, so that each is told once.
//!
//! Names:       `_total` ends a counter's; units stand in names. docs/metrics.md has the rules.

use std::collections::BTreeMap;

use prometheus::proto::{Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

/// Metric families.
#[derive(Debug, Default)]
pub struct Families(BTreeMap<String, MetricFamily>);

impl Families {
    /// Each family, in the order of their names.
    pub fn each(&self) -> impl Iterator<Item = &MetricFamily> {
        self.0.values()
    }

    /// All of them as text, in Prometheus' format 0.0.4.
    #[must_use]
    pub fn text(self) -> String {
        let families: Vec<MetricFamily> = self.0.into_values().collect();
        let mut out = Vec::new();
        // It writes into memory, and every family has a metric.
        let _ = TextEncoder::new().encode(&families, &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// Adds what goes up and down, of whom the labels name.
    pub fn gauge(&mut self, name: &str, help: &str, whose: &[(&str, &str)], value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = Metric::from_label(labels(whose));
        metric.set_gauge(gauge);
        self.add(name, help, MetricType::GAUGE, metric);
    }

    /// Adds what only grows.
    pub fn counter(&mut self, name: &str, help: &str, whose: &[(&str, &str)], value: f64) {
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut metric = Metric::from_label(labels(whose));
        metric.set_counter(counter);
        self.add(name, help, MetricType::COUNTER, metric);
    }

    /// Adds what was measured.
    pub fn histogram(&mut self, name: &str, help: &str, whose: &[(&str, &str)], of: Histogram) {
        let mut metric = Metric::from_label(labels(whose));
        metric.set_histogram(of);
        self.add(name, help, MetricType::HISTOGRAM, metric);
    }

    fn add(&mut self, name: &str, help: &str, kind: MetricType, metric: Metric) {
        let family = self.0.entry(name.to_owned()).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            family
        });
        family.mut_metric().push(metric);
    }
}

fn labels(pairs: &[(&str, &str)]) -> Vec<LabelPair> {
    let pairs = pairs.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn family_is_told_once_with_each_of_its_metrics() {
        let mut families = Families::default();
        families.counter("x_orders_total", "Orders.", &[("who", "a\"b")], 7.0);
        families.gauge("x_up", "Whether it is up.", &[], 1.0);
        families.counter("x_orders_total", "Orders.", &[("who", "c")], 0.0);
        let text = "# HELP x_orders_total Orders.\n# TYPE x_orders_total counter\n\
                    x_orders_total{who=\"a\\\"b\"} 7\nx_orders_total{who=\"c\"} 0\n\
                    # HELP x_up Whether it is up.\n# TYPE x_up gauge\nx_up 1\n";
        assert_eq!(families.text(), text);
    }
}
