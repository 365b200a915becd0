//! Time of each piece of the hot path, beside the best crates. Instructions: `make bench-check`.

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark has no users")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn pieces(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hot path");
    group.sample_size(20);
    group.warm_up_time(std::time::Duration::from_millis(200));
    group.measurement_time(std::time::Duration::from_millis(800));
    for mut piece in bench::micro::pieces().expect("the host has the memory") {
        group.throughput(Throughput::Elements(piece.operations));
        group.bench_function(piece.name.clone(), |bencher| {
            bencher.iter(|| piece.run_measured_pass());
        });
    }
    group.finish();
}

criterion_group!(benches, pieces);
criterion_main!(benches);
