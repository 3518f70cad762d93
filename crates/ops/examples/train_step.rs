//! One optimiser step of the reference U-Net, timed: forward, binary cross entropy, backward, AdamW, loss read back.
//!
//! ```text
//! cargo run --release -p htl-ops --example train_step -- --batch 8 --size 128 --width 16 --steps 10
//! ```
//! `RAYON_NUM_THREADS` sets the threads, `HTL_OPS_CPU` (plain, avx2, avx512) the instructions.

use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor, Var};
use htl_ops::optim::{AdamW, AdamWParams};
use htl_ops::{Activation, Conv2dParams, Features, Norm, bce_with_logits, keep_freed_memory};

/// Numbers in (-1, 1) from a linear congruential generator: no randomness to depend on.
struct Numbers(u64);

impl Numbers {
    fn tensor(&mut self, shape: &[usize], scale: f32) -> Result<Tensor> {
        let n = shape.iter().product();
        let data: Vec<f32> = (0..n)
            .map(|_| {
                self.0 = self
                    .0
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                ((self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * scale
            })
            .collect();
        Tensor::from_vec(data, shape, &Device::Cpu)
    }
}

struct Layer {
    weight: Var,
    gamma: Var,
    beta: Var,
}

struct UNet {
    blocks: Vec<[Layer; 2]>,
    head: Var,
    bias: Var,
}

impl UNet {
    fn new(width: usize, numbers: &mut Numbers) -> Result<(Self, Vec<(String, Var)>)> {
        let w = width;
        let sizes = [
            (3, w),
            (w, 2 * w),
            (2 * w, 4 * w),
            (4 * w, 8 * w),
            (12 * w, 4 * w),
            (6 * w, 2 * w),
            (3 * w, w),
        ];
        let mut vars = Vec::new();
        let mut layer = |name: String, input: usize, output: usize| -> Result<Layer> {
            let scale = (1.0 / (input * 9) as f32).sqrt();
            let weight = Var::from_tensor(&numbers.tensor(&[output, input, 3, 3], scale)?)?;
            let gamma = Var::ones(output, DType::F32, &Device::Cpu)?;
            let beta = Var::zeros(output, DType::F32, &Device::Cpu)?;
            for (part, var) in [("weight", &weight), ("gamma", &gamma), ("beta", &beta)] {
                vars.push((format!("{name}.{part}"), var.clone()));
            }
            Ok(Layer { weight, gamma, beta })
        };
        let mut blocks = Vec::new();
        for (i, (input, output)) in sizes.into_iter().enumerate() {
            blocks.push([
                layer(format!("{i}.0"), input, output)?,
                layer(format!("{i}.1"), output, output)?,
            ]);
        }
        let head = Var::from_tensor(&numbers.tensor(&[1, w, 1, 1], (1.0 / w as f32).sqrt())?)?;
        let bias = Var::zeros(1, DType::F32, &Device::Cpu)?;
        vars.push(("head.weight".into(), head.clone()));
        vars.push(("head.bias".into(), bias.clone()));
        Ok((Self { blocks, head, bias }, vars))
    }

    /// A block on `x`, or on `x` doubled and joined with `skip`.
    fn block(&self, index: usize, x: &Features, skip: Option<&Features>) -> Result<Features> {
        let same = Conv2dParams::same(3);
        let norm = Norm::Batch { eps: 1e-5 };
        let [first, second] = &self.blocks[index];
        let (weight, gamma, beta) = (&first.weight, &first.gamma, &first.beta);
        let x = match skip {
            None => x.conv_norm(weight, gamma, beta, &norm, same, Activation::Relu)?.0,
            Some(skip) => {
                x.upsample_concat_conv_norm_relu(Some(skip), weight, gamma, beta, &norm)?
                    .0
            }
        };
        let (weight, gamma, beta) = (&second.weight, &second.gamma, &second.beta);
        Ok(x.conv_norm(weight, gamma, beta, &norm, same, Activation::Relu)?.0)
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut skips = vec![self.block(0, &Features::of(x)?, None)?];
        for level in 1..4 {
            skips.push(self.block(level, &skips[level - 1].max_pool(2, 2, 0)?, None)?);
        }
        let mut x = skips[3].clone();
        for level in (0..3).rev() {
            x = self.block(6 - level, &x, Some(&skips[level]))?;
        }
        Ok(x.conv(&self.head, Some(&self.bias), Conv2dParams::default())?
            .into_tensor()?)
    }
}

/// The largest resident size so far, in bytes (Linux).
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace()
        .nth(1)?
        .parse::<u64>()
        .ok()
        .map(|kib| kib * 1024)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (mut batch, mut size, mut width, mut steps) = (8usize, 128usize, 16usize, 10usize);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for pair in arguments.chunks(2) {
        let [name, value] = pair else {
            return Err(format!("{} needs a value", pair[0]).into());
        };
        let slot = match name.as_str() {
            "--batch" => &mut batch,
            "--size" => &mut size,
            "--width" => &mut width,
            "--steps" => &mut steps,
            other => return Err(format!("unknown option {other}").into()),
        };
        *slot = value.parse()?;
    }
    keep_freed_memory();
    let mut numbers = Numbers(1);
    let (network, vars) = UNet::new(width, &mut numbers)?;
    let x = numbers.tensor(&[batch, 3, size, size], 1.0)?;
    let y = numbers
        .tensor(&[batch, 1, size, size], 1.0)?
        .ge(0.0)?
        .to_dtype(DType::F32)?;
    let mut optimiser = AdamW::new(vars, AdamWParams::default())?;
    let mut times = Vec::new();
    let mut losses = Vec::new();
    let mut parts = [0f64; 3];
    for step in 0..steps + 1 {
        let start = Instant::now();
        let loss = bce_with_logits(&network.forward(&x)?, &y, None)?.mean_all()?;
        let forward = start.elapsed().as_secs_f64();
        let gradients = loss.backward()?;
        let backward = start.elapsed().as_secs_f64();
        optimiser.step(&gradients, 1e-3)?;
        drop(gradients);
        losses.push(loss.to_scalar::<f32>()?);
        drop(loss);
        if step > 0 {
            let total = start.elapsed().as_secs_f64();
            times.push(total);
            for (part, value) in parts.iter_mut().zip([forward, backward - forward, total - backward]) {
                *part += value * 1e3 / steps as f64;
            }
        }
    }
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
    println!(
        "{}",
        serde_json::json!({
            "device": "cpu", "dtype": "f32", "batch": batch, "size": size, "width": width,
            "path": format!("{:?}", htl_ops::CpuPath::active()),
            "ms_per_step": (median * 1e5).round() / 1e2,
            "ms_best": times.first().map(|t| (t * 1e5).round() / 1e2),
            "ms_forward_backward_update": parts,
            "images_per_second": (batch as f64 / median * 100.0).round() / 100.0,
            "peak_bytes": peak_bytes(),
            "first_loss": losses.first(), "last_loss": losses.last(),
        })
    );
    Ok(())
}
