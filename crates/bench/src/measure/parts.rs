//! The operations of a U-Net's training step, each alone, beside the least time that the device could take for them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor, Var};
use htl_device::Spread;
use htl_models::{Mode, Network};
use htl_ops::optim::{AdamW, AdamWParams};
use htl_ops::{Activation, Conv2dParams, Features, Norm, Precision};
use serde::Serialize;

use super::floor;

/// Sizes of the step.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub batch: usize,
    pub size: usize,
    pub width: usize,
    pub steps: usize,
}

/// What `--by-operation` adds.
#[derive(Serialize)]
pub struct Parts {
    /// 10^9 bytes per second that a copy reads and writes.
    copy_gbs: f64,
    /// 10^9 operations per second of a product of large matrices, in the same numbers.
    product_gflops: f64,
    /// In the step's order.
    operations: Vec<Part>,
    /// Of all operations, forward and backward.
    ms: f64,
    floor_ms: f64,
}

/// One operation: its parts of the step, and the longer of the times that its bytes and its multiplications take at best.
#[derive(Serialize)]
struct Part {
    name: String,
    forward_ms: f64,
    forward_floor_ms: f64,
    /// Less what it costs that a gradient enters and leaves the maps as a tensor, which it does not in a network.
    backward_ms: f64,
    backward_floor_ms: f64,
    /// Least bytes and multiplications of both passes, an addition counted as one more.
    gigabytes: f64,
    gigaflops: f64,
}

/// What an operation is, on maps whose longer side is `size`.
#[derive(Clone, Copy)]
enum Kind {
    /// 3x3 convolution, normalisation, ReLU.
    Block { inputs: usize, outputs: usize },
    /// The same on the doubled maps from below beside the skip connection.
    Join { low: usize, skip: usize, outputs: usize },
    /// 2x2.
    MaxPool { channels: usize },
    /// 1x1 to one channel.
    Head { inputs: usize },
}

impl Kind {
    fn name(self, size: usize) -> String {
        match self {
            Self::Block { inputs, outputs } => format!("block-{inputs}-{outputs}-at{size}"),
            Self::Join { low, skip, outputs } => format!("join-{low}-{skip}-{outputs}-at{size}"),
            Self::MaxPool { channels } => format!("max-pool-{channels}-at{size}"),
            Self::Head { inputs } => format!("head-{inputs}-at{size}"),
        }
    }

    /// Numbers per image in all inputs and in the result, and multiplications per image.
    fn work(self, size: usize) -> [f64; 3] {
        let area = (size * size) as f64;
        let [inputs, outputs, products] = match self {
            Self::Block { inputs, outputs } => [inputs as f64, outputs as f64, (9 * inputs * outputs) as f64],
            Self::Join { low, skip, outputs } => [
                low as f64 / 4.0 + skip as f64,
                outputs as f64,
                (9 * (low + skip) * outputs) as f64,
            ],
            Self::MaxPool { channels } => [channels as f64, channels as f64 / 4.0, 0.0],
            Self::Head { inputs } => [inputs as f64, 1.0, inputs as f64],
        };
        [inputs * area, outputs * area, products * area]
    }

    /// Channels and size of the result.
    fn result(self, size: usize) -> [usize; 2] {
        match self {
            Self::Block { outputs, .. } | Self::Join { outputs, .. } => [outputs, size],
            Self::MaxPool { channels } => [channels, size / 2],
            Self::Head { .. } => [1, size],
        }
    }
}

/// The reference U-Net's, with the size each works at.
fn operations(width: usize, size: usize) -> Vec<(Kind, usize)> {
    const HALVINGS: usize = 3;
    let mut all = Vec::new();
    for level in 0..=HALVINGS {
        let (outputs, size) = (width << level, size >> level);
        let inputs = if level == 0 { 3 } else { outputs / 2 };
        if level > 0 {
            all.push((Kind::MaxPool { channels: inputs }, 2 * size));
        }
        all.extend([inputs, outputs].map(|inputs| (Kind::Block { inputs, outputs }, size)));
    }
    for level in (0..HALVINGS).rev() {
        let (outputs, size) = (width << level, size >> level);
        let join = Kind::Join {
            low: 2 * outputs,
            skip: outputs,
            outputs,
        };
        let block = Kind::Block {
            inputs: outputs,
            outputs,
        };
        all.extend([(join, size), (block, size)]);
    }
    all.push((Kind::Head { inputs: width }, size));
    all
}

/// How fast the device is at best.
struct Best {
    copy_gbs: f64,
    product_gflops: f64,
}

impl Best {
    fn ms(&self, bytes: f64, flops: f64) -> f64 {
        (bytes / self.copy_gbs).max(flops / self.product_gflops) / 1e6
    }
}

struct Bench<'a> {
    device: &'a Device,
    precision: Precision,
    sizes: Sizes,
    best: Best,
    /// Of maps of these channels and this size: milliseconds from features to a tensor and back, and again to a tensor.
    crossings: HashMap<[usize; 2], f64>,
}

/// Measures every operation of the network's step.
pub fn measure(network: &Network, device: &Device, precision: Precision, sizes: Sizes) -> anyhow::Result<Parts> {
    let best = best(device, precision)?;
    let mut bench = Bench {
        device,
        precision,
        sizes,
        best,
        crossings: HashMap::new(),
    };
    let mut rows = Vec::new();
    for (at, (kind, size)) in operations(sizes.width, sizes.size).into_iter().enumerate() {
        // Images need no gradient.
        rows.push(bench.part(kind, size, at > 0)?);
    }
    rows.push(bench.loss()?);
    rows.push(bench.optimiser(network)?);
    Ok(Parts {
        copy_gbs: bench.best.copy_gbs,
        product_gflops: bench.best.product_gflops,
        ms: rows.iter().map(|row| row.forward_ms + row.backward_ms).sum(),
        floor_ms: rows
            .iter()
            .map(|row| row.forward_floor_ms + row.backward_floor_ms)
            .sum(),
        operations: rows,
    })
}

impl Bench<'_> {
    /// Median milliseconds of a call; a GPU is waited for once in a block of calls.
    fn time(&self, mut call: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
        let (warm_up, block) = if self.device.is_cpu() { (1, 1) } else { (5, 10) };
        for _ in 0..warm_up {
            call()?;
        }
        self.device.synchronize()?;
        let mut times = Vec::new();
        for _ in 0..self.sizes.steps.div_ceil(block) {
            let start = Instant::now();
            for _ in 0..block {
                call()?;
            }
            self.device.synchronize()?;
            times.push(start.elapsed().as_secs_f64() * 1e3 / block as f64);
        }
        Ok(Spread::of(times).median)
    }

    fn var(&self, shape: &[usize]) -> anyhow::Result<Var> {
        let drawn = Tensor::randn(0f32, 0.1, shape, &Device::Cpu)?;
        Ok(Var::from_tensor(&drawn.to_device(self.device)?)?)
    }

    fn maps(&self, [channels, size]: [usize; 2]) -> anyhow::Result<Var> {
        self.var(&[self.sizes.batch, channels, size, size])
    }

    fn features(&self, x: &Tensor) -> anyhow::Result<Features> {
        Ok(Features::with_precision(x, self.precision)?)
    }

    fn crossing(&mut self, shape: [usize; 2]) -> anyhow::Result<f64> {
        if let Some(ms) = self.crossings.get(&shape) {
            return Ok(*ms);
        }
        let x = self.features(self.maps(shape)?.as_tensor())?;
        let ms = self.time(|| {
            htl_ops::backward(&x.clone().into_tensor()?)?;
            Ok(())
        })?;
        self.crossings.insert(shape, ms);
        Ok(ms)
    }

    fn part(&mut self, kind: Kind, size: usize, tracked: bool) -> anyhow::Result<Part> {
        let shapes = match kind {
            Kind::Block { inputs, .. } | Kind::Head { inputs } => vec![[inputs, size]],
            Kind::Join { low, skip, .. } => vec![[low, size / 2], [skip, size]],
            Kind::MaxPool { channels } => vec![[channels, size]],
        };
        let mut inputs = Vec::new();
        for shape in &shapes {
            let var = self.maps(*shape)?;
            let x = if tracked {
                var.as_tensor().clone()
            } else {
                var.as_detached_tensor()
            };
            inputs.push(self.features(&x)?);
        }
        let call = self.call(kind, inputs)?;
        let forward_ms = self.time(|| call().map(|_| ()))?;
        let both = self.time(|| {
            htl_ops::backward(&call()?.into_tensor()?)?;
            Ok(())
        })?;
        // One pass of three enters the inputs' gradients as tensors, two leave the result and take its gradient.
        let mut crossings = self.crossing(kind.result(size))? * 2.0 / 3.0;
        if tracked {
            for shape in shapes {
                crossings += self.crossing(shape)? / 3.0;
            }
        }
        let [inputs, outputs, products] = kind.work(size);
        let element = if self.precision == Precision::Bf16 { 2.0 } else { 4.0 };
        let numbers = element * self.sizes.batch as f64;
        let gradients = if tracked { inputs } else { 0.0 };
        let flops = 2.0 * products * self.sizes.batch as f64;
        let forward = [numbers * (inputs + outputs), flops];
        let backward = [
            // The input, the result, its gradient; and out goes that of the input.
            numbers * (inputs + 2.0 * outputs + gradients),
            flops * if tracked { 2.0 } else { 1.0 },
        ];
        let backward_ms = (both - forward_ms - crossings).max(0.0);
        Ok(self.row(kind.name(size), [forward_ms, backward_ms], [forward, backward]))
    }

    /// The operation, with parameters drawn.
    fn call(&self, kind: Kind, inputs: Vec<Features>) -> anyhow::Result<impl Fn() -> anyhow::Result<Features> + use<>> {
        let (weight, outputs) = match kind {
            Kind::Block { inputs, outputs } => (vec![outputs, inputs, 3, 3], outputs),
            Kind::Join { low, skip, outputs } => (vec![outputs, low + skip, 3, 3], outputs),
            // The pooling's is not used.
            Kind::MaxPool { .. } => (vec![1], 1),
            Kind::Head { inputs } => (vec![1, inputs, 1, 1], 1),
        };
        let (weight, gamma, beta) = (self.var(&weight)?, self.var(&[outputs])?, self.var(&[outputs])?);
        let norm = Norm::Batch { eps: 1e-5 };
        Ok(move || {
            let (first, last) = match inputs.as_slice() {
                [one] => (one, one),
                [first, last, ..] => (first, last),
                [] => anyhow::bail!("an operation without maps"),
            };
            Ok(match kind {
                Kind::Block { .. } => {
                    let same = Conv2dParams::same(3);
                    first
                        .conv_norm(&weight, &gamma, &beta, &norm, same, Activation::Relu)?
                        .0
                }
                Kind::Join { .. } => {
                    let (maps, _) = first.upsample_concat_conv_norm_relu(Some(last), &weight, &gamma, &beta, &norm)?;
                    maps
                }
                Kind::MaxPool { .. } => first.max_pool(2, 2, 0)?,
                Kind::Head { .. } => first.conv(&weight, Some(&beta), Conv2dParams::default())?,
            })
        })
    }

    fn loss(&self) -> anyhow::Result<Part> {
        let size = self.sizes.size;
        let logits = self.maps([1, size])?;
        let target = logits.as_detached_tensor().gt(0.0)?.to_dtype(DType::F32)?;
        let call = || anyhow::Ok(htl_ops::bce_with_logits(&logits, &target, None)?.mean_all()?);
        let forward_ms = self.time(|| call().map(|_| ()))?;
        let both = self.time(|| {
            htl_ops::backward(&call()?)?;
            Ok(())
        })?;
        let bytes = 4.0 * (self.sizes.batch * size * size) as f64;
        let times = [forward_ms, (both - forward_ms).max(0.0)];
        Ok(self.row(format!("bce-at{size}"), times, [[2.0 * bytes, 0.0], [3.0 * bytes, 0.0]]))
    }

    fn optimiser(&self, network: &Network) -> anyhow::Result<Part> {
        let variables = network.parameters().trainable().to_vec();
        let count: usize = variables.iter().map(|(_, var)| var.elem_count()).sum();
        let mut optimiser = AdamW::new(variables, AdamWParams::default())?;
        // Gradients are the same whatever the images' size.
        let images = Tensor::zeros((1, 3, 16, 16), DType::F32, self.device)?;
        let gradients = network.forward(&images, Mode::Train)?.mean_all()?.backward()?;
        let ms = self.time(|| Ok(optimiser.step(&gradients, 1e-3)?))?;
        // Reads parameter, gradient and two moments; writes all but the gradient.
        Ok(self.row("adamw".into(), [ms, 0.0], [[28.0 * count as f64, 0.0], [0.0; 2]]))
    }

    fn row(&self, name: String, times: [f64; 2], [forward, backward]: [[f64; 2]; 2]) -> Part {
        Part {
            name,
            forward_ms: times[0],
            forward_floor_ms: self.best.ms(forward[0], forward[1]),
            backward_ms: times[1],
            backward_floor_ms: self.best.ms(backward[0], backward[1]),
            gigabytes: (forward[0] + backward[0]) / 1e9,
            gigaflops: (forward[1] + backward[1]) / 1e9,
        }
    }
}

/// How long each of the two is repeated on the CPU.
const SEARCH: Duration = Duration::from_millis(500);

fn best(device: &Device, precision: Precision) -> anyhow::Result<Best> {
    if device.is_cpu() {
        let [product_gflops, copy_gbs] = floor::all_threads(SEARCH);
        return Ok(Best {
            copy_gbs,
            product_gflops,
        });
    }
    let shortest = |call: &dyn Fn() -> candle_core::Result<Tensor>| -> anyhow::Result<f64> {
        const CALLS: usize = 5;
        call()?;
        device.synchronize()?;
        let mut best = f64::INFINITY;
        for _ in 0..4 {
            let start = Instant::now();
            for _ in 0..CALLS {
                call()?;
            }
            device.synchronize()?;
            best = best.min(start.elapsed().as_secs_f64() / CALLS as f64);
        }
        Ok(best)
    };
    let large = Tensor::zeros(1 << 28, DType::F32, device)?;
    let copy_gbs = 2.0 * f64::from(1u32 << 30) / shortest(&|| large.copy())? / 1e9;
    drop(large);
    const SIDE: usize = 8192;
    let dtype = match precision {
        Precision::Bf16 => DType::BF16,
        _ => DType::F32,
    };
    let matrix = Tensor::randn(0f32, 1.0, (SIDE, SIDE), device)?.to_dtype(dtype)?;
    #[cfg(feature = "cuda")]
    candle_core::cuda_backend::set_gemm_reduced_precision_f32(precision == Precision::Tf32);
    let seconds = shortest(&|| matrix.matmul(&matrix));
    #[cfg(feature = "cuda")]
    candle_core::cuda_backend::set_gemm_reduced_precision_f32(false);
    Ok(Best {
        copy_gbs,
        product_gflops: 2.0 * (SIDE * SIDE * SIDE) as f64 / seconds? / 1e9,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All multiplications of the network's convolutions, counted another way: three times per output and weight.
    #[test]
    fn the_operations_are_the_networks() {
        let all = operations(16, 64);
        assert_eq!(all.len(), 3 + 8 + 6 + 1);
        let products: f64 = all.iter().map(|(kind, size)| kind.work(*size)[2]).sum();
        let w = 16.0 * 16.0 * 9.0;
        let area = 64.0 * 64.0;
        let encoder = 3.0 * 16.0 * 9.0 + w + (2.0 + 4.0) * w / 4.0 + (8.0 + 16.0) * w / 16.0 + (32.0 + 64.0) * w / 64.0;
        let decoder = (48.0 + 16.0) * w / 16.0 + (12.0 + 4.0) * w / 4.0 + (3.0 + 1.0) * w;
        assert_eq!(products, area * (encoder + decoder + 16.0));
    }

    /// Every operation runs and takes longer than nothing, and the sums are of all.
    #[test]
    fn every_operation_is_measured() {
        let sizes = Sizes {
            batch: 1,
            size: 16,
            width: 2,
            steps: 1,
        };
        let network = Network::build(&htl_models::Architecture::unet(2).unwrap(), 0, &Device::Cpu).unwrap();
        let parts = measure(&network, &Device::Cpu, Precision::F32, sizes).unwrap();
        assert_eq!(parts.operations.len(), 20);
        assert!(
            parts
                .operations
                .iter()
                .all(|part| part.forward_ms > 0.0 && part.forward_floor_ms > 0.0)
        );
        assert!(parts.copy_gbs > 0.0 && parts.product_gflops > 0.0);
        let sum = |of: fn(&Part) -> f64| parts.operations.iter().map(of).sum::<f64>();
        assert_eq!(parts.ms, sum(|part| part.forward_ms + part.backward_ms));
        assert_eq!(
            parts.floor_ms,
            sum(|part| part.forward_floor_ms + part.backward_floor_ms)
        );
    }
}
