//! Micro-benchmarks of the operations of `htl-bench`, with as many threads as `RAYON_NUM_THREADS` says.
//!
//! ```text
//! cargo bench -p htl-bench --bench operations                           # all
//! cargo bench -p htl-bench --bench operations -- 'forward.*depthwise'  # some
//! ```

use divan::Bencher;
use htl_bench::{OPERATIONS, find};

fn main() {
    htl_ops::keep_freed_memory();
    divan::main();
}

fn names() -> impl Iterator<Item = &'static str> {
    OPERATIONS.iter().map(|operation| operation.name)
}

/// The operation with its graph recorded.
#[divan::bench(args = names())]
fn forward(bencher: Bencher<'_, '_>, name: &str) {
    let mut prepared = find(name).unwrap().prepare().unwrap();
    bencher.bench_local(|| prepared.forward().unwrap());
}

/// The operation and all its gradients.
#[divan::bench(args = names())]
fn forward_and_backward(bencher: Bencher<'_, '_>, name: &str) {
    let mut prepared = find(name).unwrap().prepare().unwrap();
    bencher.bench_local(|| {
        let output = prepared.forward().unwrap();
        prepared.backward(&output).unwrap()
    });
}
