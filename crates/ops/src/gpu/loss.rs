//! Losses over the pixels of each image, and counts for metrics: partial sums of many blocks, then a number per image.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};

use super::engine::{Arg, Engine};
use super::shape::{BLOCK, THREADS, WARP, check_count, grid, room, small};
use crate::loss::{FocalParams, LossKind, TverskyParams};
use crate::portable::graph::attach;
use crate::portable::loss::Pixels;

/// Blocks that share the images of a batch.
const BLOCKS: u32 = 528;

impl LossKind {
    /// The kernels that sum, and that give the gradient of each pixel.
    fn kernels(&self) -> [&'static str; 2] {
        match self {
            Self::Bce => ["bce_sums", "bce_gradient"],
            Self::Focal(_) => ["focal_sums", "focal_gradient"],
            Self::Dice { .. } => ["overlap_sums", "overlap_gradient"],
            Self::Tversky(_) => ["confusion_sums", "overlap_gradient"],
        }
    }

    /// The three numbers that these kernels take.
    fn numbers(&self) -> [Arg<'static>; 3] {
        let [a, b, gamma] = match self {
            Self::Focal(FocalParams { gamma, alpha: None }) => [1.0, 0.0, *gamma],
            Self::Focal(FocalParams {
                gamma,
                alpha: Some(alpha),
            }) => [1.0 - alpha, 2.0 * alpha - 1.0, *gamma],
            _ => [0.0; 3],
        };
        [a, b, gamma].map(|number| Arg::F32(number as f32))
    }

    /// `LossParameters` of the kernels.
    fn parameters(&self, area: u32) -> Vec<u8> {
        let (kind, numbers) = match *self {
            Self::Bce | Self::Focal(_) => (0u32, [0.0; 4]),
            Self::Dice { smooth } => (1, [0.0, 0.0, 0.0, smooth]),
            Self::Tversky(TverskyParams {
                alpha,
                beta,
                gamma,
                smooth,
            }) => (2, [alpha, beta, gamma, smooth]),
        };
        let mut bytes = [kind.to_ne_bytes(), area.to_ne_bytes()].concat();
        bytes.extend(numbers.iter().flat_map(|&number| (number as f32).to_ne_bytes()));
        bytes
    }
}

/// What the kernels read: contiguous, in no graph.
struct Inputs {
    logits: Tensor,
    target: Tensor,
    weights: Option<Tensor>,
    images: u32,
    area: u32,
}

impl Inputs {
    fn of(pixels: &Pixels<'_>) -> Result<Self> {
        let count = check_count(pixels.logits.elem_count())?;
        let images = small(pixels.logits.dims()[0]);
        Ok(Self {
            logits: pixels.logits.detach().contiguous()?,
            target: pixels.target.detach().contiguous()?,
            weights: pixels.weights.map(|w| w.detach().contiguous()).transpose()?,
            images,
            area: count / images,
        })
    }

    fn weights(&self) -> Arg<'_> {
        self.weights.as_ref().map_or(Arg::Missing, Arg::Tensor)
    }

    /// Sums `[images, 3]` of every image by a kernel, and what they make of the loss `[images]`.
    fn sums(&self, engine: &dyn Engine, kernel: &str, numbers: [Arg<'_>; 3], finish: &[u8]) -> Result<[Tensor; 2]> {
        let most = self.area.div_ceil(4 * THREADS);
        let splits = BLOCKS.div_ceil(self.images).clamp(1, most.max(1));
        let partial = room(self.images * splits * 3, DType::F32, &self.logits)?;
        let [a, b, gamma] = numbers;
        let args = [
            Arg::Tensor(&self.logits),
            Arg::Tensor(&self.target),
            self.weights(),
            Arg::U32(self.area),
            Arg::Tensor(&partial),
            a,
            b,
            gamma,
        ];
        engine.launch(kernel, [splits, self.images, 1], BLOCK, &args)?;
        let sums = room(self.images * 3, DType::F32, &self.logits)?;
        let loss = room(self.images, DType::F32, &self.logits)?;
        let args = [
            Arg::Tensor(&partial),
            Arg::U32(splits),
            Arg::Bytes(finish),
            Arg::Tensor(&sums),
            Arg::Tensor(&loss),
        ];
        engine.launch("loss_finish", [self.images, 1, 1], WARP, &args)?;
        Ok([sums, loss])
    }

    /// The gradient of the logits from that of every image's loss.
    fn gradient(&self, engine: &dyn Engine, kind: &LossKind, sums: &Tensor, grad: &Tensor) -> Result<Tensor> {
        let coefficients = room(self.images * 2, DType::F32, &self.logits)?;
        let parameters = kind.parameters(self.area);
        let args = [
            Arg::Tensor(sums),
            Arg::Tensor(grad),
            Arg::U32(self.images),
            Arg::Bytes(&parameters),
            Arg::Tensor(&coefficients),
        ];
        engine.launch("loss_coefficients", grid(self.images), BLOCK, &args)?;
        let count = self.images * self.area;
        let dz = room(count, DType::F32, &self.logits)?;
        let [a, b, gamma] = kind.numbers();
        let args = [
            Arg::Tensor(&self.logits),
            Arg::Tensor(&self.target),
            self.weights(),
            Arg::Tensor(&coefficients),
            Arg::U32(self.area),
            Arg::U32(count),
            a,
            b,
            gamma,
            Arg::Tensor(&dz),
        ];
        engine.launch(kind.kernels()[1], grid(count), BLOCK, &args)?;
        dz.reshape(self.logits.shape())
    }
}

/// The loss of every image, `[batch]`, in candle's graph.
pub(crate) fn pixel_loss(engine: Arc<dyn Engine>, kind: LossKind, pixels: &Pixels<'_>) -> Result<Tensor> {
    let inputs = Inputs::of(pixels)?;
    let parameters = kind.parameters(inputs.area);
    let [sums, loss] = inputs.sums(&*engine, kind.kernels()[0], kind.numbers(), &parameters)?;
    attach("htl-pixel-loss", &[pixels.logits], loss, move |_, grad| {
        Ok(vec![Some(inputs.gradient(&*engine, &kind, &sums, grad)?)])
    })
}

/// Pixels above the threshold in both maps, in the first and in the second, of every image, `[batch, 3]` in f32.
pub(crate) fn mask_sums(engine: &dyn Engine, maps: [&Tensor; 2], threshold: f64) -> Result<Tensor> {
    const COUNTS: u32 = 3;
    let [logits, target] = maps;
    let inputs = Inputs::of(&Pixels {
        logits,
        target,
        weights: None,
    })?;
    let threshold = Arg::F32(threshold as f32);
    let mut finish = COUNTS.to_ne_bytes().to_vec();
    finish.extend([0; 20]);
    let [sums, _] = inputs.sums(engine, "mask_sums", [threshold; 3], &finish)?;
    sums.reshape((inputs.images as usize, 3))
}
