//! A scrape: the sum of all workers' metrics.

use std::collections::BTreeMap;

use prometheus::proto::{self, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

use super::Metrics;

/// The sum of all workers' metrics in Prometheus' text format.
#[must_use]
pub fn scrape<'a>(workers: impl Iterator<Item = &'a Metrics>) -> String {
    let mut families: BTreeMap<String, MetricFamily> = BTreeMap::new();
    for worker in workers {
        for family in worker.registry.gather() {
            match families.get_mut(family.name()) {
                Some(sum) => add_family(sum, &family),
                None => drop(families.insert(family.name().to_owned(), family)),
            }
        }
    }
    let mut text = Vec::new();
    let families: Vec<_> = families.into_values().collect();
    // Writing to memory fails only for a family without metrics, which the table has none of.
    let _ = TextEncoder::new().encode(&families, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Adds metric by metric: all workers register one table, so both are in the same order.
fn add_family(sum: &mut MetricFamily, family: &MetricFamily) {
    let kind = family.get_field_type();
    let pairs = sum.get_metric().iter().zip(family.get_metric());
    let metrics = pairs.map(|(one, other)| add_metric(kind, one, other)).collect();
    sum.set_metric(metrics);
}

fn add_metric(kind: MetricType, one: &Metric, other: &Metric) -> Metric {
    let mut sum = one.clone();
    match kind {
        MetricType::COUNTER => {
            let mut counter = one.get_counter().clone();
            counter.set_value(one.get_counter().get_value() + other.get_counter().get_value());
            sum.set_counter(counter);
        }
        MetricType::GAUGE => {
            let mut gauge = one.get_gauge().clone();
            gauge.set_value(one.get_gauge().get_value() + other.get_gauge().get_value());
            sum.set_gauge(gauge);
        }
        MetricType::HISTOGRAM => sum.set_histogram(add_histogram(one.get_histogram(), other.get_histogram())),
        // The table has none of these.
        MetricType::SUMMARY | MetricType::UNTYPED => {}
    }
    sum
}

fn add_histogram(one: &proto::Histogram, other: &proto::Histogram) -> proto::Histogram {
    let mut sum = one.clone();
    sum.set_sample_count(one.get_sample_count() + other.get_sample_count());
    sum.set_sample_sum(one.get_sample_sum() + other.get_sample_sum());
    let buckets = one.get_bucket().iter().zip(other.get_bucket()).map(|(one, other)| {
        let mut bucket = one.clone();
        bucket.set_cumulative_count(one.cumulative_count() + other.cumulative_count());
        bucket
    });
    sum.set_bucket(buckets.collect());
    sum
}

#[cfg(test)]
mod tests {
    use sidegate_core::denial::Code;
    use sidegate_core::dialect::Operation;

    use super::*;
    use crate::metrics::Listener;

    #[test]
    fn a_scrape_adds_the_workers_up() {
        let workers = [Metrics::new().expect("a table"), Metrics::new().expect("a table")];
        let operation = Operation::all().next().expect("an operation");
        for worker in &workers {
            worker.request(operation, 200, 0.002);
            worker.denial(Code::InvalidToken);
            worker.connections(Listener::Public).inc();
        }
        let text = scrape(workers.iter());
        assert!(text.contains("sidegate_denials_total{code=\"INVALID_TOKEN\"} 2"), "{text}");
        assert!(text.contains("sidegate_connections{listener=\"public\"} 2"), "{text}");
        assert!(text.contains("le=\"0.0025\"} 2"), "{text}");
        assert!(
            text.contains("sidegate_requests_total{method=\"POST\",route=\"/api/v1/tasks\",status=\"2xx\"} 2"),
            "{text}"
        );
    }
}
