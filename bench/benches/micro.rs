//! Time of each piece of the hot path, beside the best crates. Instructions: `make bench-check`.

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark has no users")]

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rt::clock::monotonic_ns;

fn pieces(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hot path");
    group.sample_size(20);
    group.warm_up_time(Duration::from_millis(200));
    group.measurement_time(Duration::from_millis(800));
    for mut piece in bench::micro::pieces().expect("the host has the memory") {
        group.throughput(Throughput::Elements(piece.operations));
        group.bench_function(piece.name.clone(), |bencher| {
            bencher.iter_custom(|passes| {
                let mut took = Duration::ZERO;
                for _ in 0..passes {
                    piece.prepare().expect("the host has the memory");
                    let from_ns = monotonic_ns();
                    piece.run_measured_pass();
                    took += Duration::from_nanos(monotonic_ns() - from_ns);
                }
                took
            });
        });
    }
    group.finish();
}

criterion_group!(benches, pieces);
criterion_main!(benches);
