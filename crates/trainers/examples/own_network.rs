//! Trains a network that is not one of ours on images in memory: two convolutions that find dark discs.
//!
//! `cargo run --release -p htl-trainers --example own_network`

use candle_core::{Device, Result, Tensor, Var};
use htl_ops::{Conv2dParams, bce_with_logits, conv2d};
use htl_trainers::{
    TrainError, Trainer, TrainerParams,
    observe::{EpochLog, ProgressBar},
};

const SIDE: usize = 16;

/// Two convolutions with a ReLU in between.
struct TwoLayers {
    first: Var,
    second: Var,
}

impl TwoLayers {
    fn new() -> Result<Self> {
        // Fixed values that are spread well enough; a real network draws them.
        let spread = |count: usize| (0..count).map(|i| ((i * 7919 % 97) as f32 / 96.0 - 0.5) * 0.6);
        let var = |shape: (usize, usize, usize, usize)| {
            let (a, b, c, d) = shape;
            let values: Vec<f32> = spread(a * b * c * d).collect();
            Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu)?)
        };
        Ok(Self {
            first: var((8, 3, 3, 3))?,
            second: var((1, 8, 3, 3))?,
        })
    }

    /// What the optimiser changes, sorted by name.
    fn variables(&self) -> [(String, Var); 2] {
        [
            ("first.weight".into(), self.first.clone()),
            ("second.weight".into(), self.second.clone()),
        ]
    }

    fn logits(&self, images: &Tensor) -> Result<Tensor> {
        let same = Conv2dParams {
            padding: 1,
            ..Conv2dParams::default()
        };
        let features = conv2d(images, &self.first, None, same)?.relu()?;
        Ok(conv2d(&features, &self.second, None, same)?)
    }
}

/// Images `[count, 3, SIDE, SIDE]` of dark discs on light ground, and their masks `[count, 1, SIDE, SIDE]`.
fn discs(count: usize) -> Result<(Tensor, Tensor)> {
    let (mut images, mut masks) = (Vec::new(), Vec::new());
    for i in 0..count {
        let centre = [4 + i * 5 % 8, 4 + i * 3 % 8].map(|v| v as f32);
        let inside = |at: usize| {
            let [x, y] = [at % SIDE, at / SIDE].map(|v| v as f32);
            (x - centre[0]).hypot(y - centre[1]) < 4.0
        };
        let plane = (0..SIDE * SIDE).map(inside);
        masks.extend(plane.clone().map(|inside| f32::from(u8::from(inside))));
        for tint in [0f32, 0.1, 0.2] {
            images.extend(plane.clone().map(|inside| if inside { 0.2 + tint } else { 0.9 - tint }));
        }
    }
    Ok((
        Tensor::from_vec(images, (count, 3, SIDE, SIDE), &Device::Cpu)?,
        Tensor::from_vec(masks, (count, 1, SIDE, SIDE), &Device::Cpu)?,
    ))
}

/// Share of pixels on the right side of one half.
fn accuracy(logits: &Tensor, masks: &Tensor) -> Result<f64> {
    let right = logits.gt(0f32)?.eq(&masks.gt(0.5f32)?)?;
    Ok(f64::from(
        right
            .to_dtype(candle_core::DType::F32)?
            .mean_all()?
            .to_scalar::<f32>()?,
    ))
}

/// Trains, and returns the accuracy on images that were not trained on, before and after.
fn run(steps: usize) -> std::result::Result<[f64; 2], TrainError> {
    let network = TwoLayers::new()?;
    let (images, masks) = discs(24)?;
    let (held_out, held_out_masks) = discs(32)?;
    let quality = || Ok(accuracy(&network.logits(&held_out)?, &held_out_masks)?);
    let before = quality()?;
    let params = TrainerParams {
        steps,
        batch: 8,
        learning_rate: 2e-2,
        ..TrainerParams::default()
    };
    let history = Trainer::new(params.check()?)
        .observe(ProgressBar::new("discs"))
        .observe(EpochLog::new(std::io::stderr()))
        .validate(quality)
        // A closure is a network for candle.
        .fit(
            &|x: &Tensor| network.logits(x),
            &network.variables(),
            &images,
            &masks,
            |logits, masks| bce_with_logits(logits, masks, None)?.mean_all(),
        )?;
    let after = history.last().and_then(|row| row.val_quality).unwrap_or(f64::NAN);
    Ok([before, after])
}

fn main() -> std::result::Result<(), TrainError> {
    let [before, after] = run(120)?;
    println!("pixel accuracy on other discs: {before:.3} before, {after:.3} after");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_learns() {
        let [before, after] = run(120).unwrap();
        assert!(after > 0.95 && after > before, "{before:.3} to {after:.3}");
    }
}
