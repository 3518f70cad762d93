//! How long masks take to make and to apply: `cargo run --release -p htl-pruning --example speed`.

use std::time::Instant;

use candle_core::{DType, Device, Tensor, Var};
use htl_pruning::{CRITERIA, Criterion, PruneParams, WeightSet};

/// Median of repeated runs, in milliseconds.
fn median_ms(
    repeats: usize,
    mut run: impl FnMut() -> Result<(), htl_pruning::PruneError>,
) -> Result<f64, htl_pruning::PruneError> {
    let mut times = Vec::with_capacity(repeats);
    for _ in 0..repeats {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[repeats / 2])
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The convolutions of a U-Net of width 32: two million weights.
    let shapes = [
        (32, 3),
        (64, 32),
        (64, 64),
        (128, 64),
        (128, 128),
        (256, 128),
        (256, 256),
        (128, 384),
        (64, 192),
        (32, 96),
    ];
    let mut network = Vec::new();
    for (index, (outputs, inputs)) in shapes.into_iter().enumerate() {
        let weight = Tensor::randn(0f32, 1.0, (outputs, inputs, 3, 3), &Device::Cpu)?;
        network.push((
            format!("{index}.weight"),
            Var::from_tensor(&weight.to_dtype(DType::F32)?)?,
        ));
    }
    let weights = WeightSet::from_vars(&network);
    println!("{} weights", weights.prunable_weights());
    for criterion in CRITERIA {
        let params = PruneParams::new(criterion).sparsity(0.9).check()?;
        println!(
            "masks, {criterion}: {:.2} ms",
            median_ms(5, || params.masks(&weights).map(drop))?
        );
    }
    let masks = PruneParams::new(Criterion::GLOBAL_MAGNITUDE)
        .sparsity(0.9)
        .check()?
        .masks(&weights)?;
    println!("apply: {:.3} ms", median_ms(100, || masks.apply(&network))?);
    Ok(())
}
