//! How long scoring takes, and how much memory: 1,000 images of 128 x 128, dense, sparse and sham of five seeds each.
//!
//! `cargo run --release -p htl-mining --example speed`

use std::time::Instant;

use candle_core::{Device, Tensor};
use htl_mining::{Comparison, Encoding, Population, ScoreParams, column, scores, split_statistics, top};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (images, side, seeds) = (1000, 128, 5);
    let ids: Vec<String> = (0..images).map(|i| format!("ISIC_{i:07}")).collect();
    let population = |shift: f64| -> Result<Population, Box<dyn std::error::Error>> {
        let mut maps = Vec::new();
        for seed in 0..seeds {
            let mut values = Vec::with_capacity(images * side * side);
            for image in 0..images {
                let radius = 20.0 + (image % 40) as f64 + shift * seed as f64;
                for p in 0..side * side {
                    let distance = ((p / side) as f64 - 64.0).hypot((p % side) as f64 - 64.0);
                    values.push(1.0 / (1.0 + ((distance - radius) as f32).exp()));
                }
            }
            maps.push(Tensor::from_vec(values, (images, side, side), &Device::Cpu)?);
        }
        Ok(Population::new(ids.clone(), maps)?)
    };
    let (dense, sparse, sham) = (population(0.1)?, population(0.9)?, population(0.2)?);
    let megabytes = 3 * seeds * images * side * side * 4 / 1_000_000;
    println!("maps {megabytes} MB, peak before scoring {}", peak());
    let comparison = Comparison::new(&dense, &sparse).with_sham(&sham);
    let params = ScoreParams::default().check()?;
    let start = Instant::now();
    let table = scores(&comparison, &params)?;
    println!("scores: {:.2} s, peak {}", start.elapsed().as_secs_f64(), peak());
    let start = Instant::now();
    split_statistics(&comparison, &params)?;
    println!(
        "knockoff statistics: {:.2} s, peak {}",
        start.elapsed().as_secs_f64(),
        peak()
    );
    println!("hardest: {:?}", top(&table, column::DISAGREEMENT, 0.002, 0)?.ids);
    let folder = tempfile::tempdir()?;
    for encoding in [Encoding::F32, Encoding::U8] {
        let path = folder.path().join("maps.safetensors");
        let start = Instant::now();
        dense.save(&path, encoding)?;
        let saved = start.elapsed().as_secs_f64();
        let start = Instant::now();
        Population::load(&path)?;
        println!(
            "{encoding:?}: saved in {saved:.2} s, loaded in {:.2} s",
            start.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

/// Peak memory of this process as Linux tells it.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or("unknown".into(), |peak| peak.trim().to_string())
}
