use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use htl_ops::optim::{AdamW, AdamWParams};
use htl_ops::{Activation, Conv2dParams, Corners, Norm};

use super::{BATCH, Filter, Kind, Operation};

/// An operation with inputs, ready to run on the CPU again and again.
pub struct Prepared {
    kind: Kind,
    /// What gradients are asked for.
    inputs: Vec<Var>,
    /// Of a loss.
    target: Option<Tensor>,
    optimizer: Option<(AdamW, GradStore)>,
}

impl Operation {
    /// Draws the inputs.
    ///
    /// # Errors
    /// Those of candle.
    pub fn prepare(&self) -> Result<Prepared> {
        let var = |shape: &[usize]| Var::randn(0f32, 1.0, shape, &Device::Cpu);
        let logits = |size: usize| var(&[BATCH, 1, size, size]);
        let (mut target, mut optimizer) = (None, None);
        let inputs = match self.kind {
            Kind::Conv(conv) => {
                let [inputs, outputs] = conv.channels;
                let weight = [outputs, inputs / conv.groups, conv.kernel, conv.kernel];
                vec![var(&[BATCH, inputs, conv.size, conv.size])?, var(&weight)?]
            }
            Kind::BatchNormRelu { channels, size } => {
                vec![
                    var(&[BATCH, channels, size, size])?,
                    var(&[channels])?,
                    var(&[channels])?,
                ]
            }
            Kind::MaxPool { channels, size, .. } | Kind::Upsample { channels, size, .. } => {
                vec![var(&[BATCH, channels, size, size])?]
            }
            Kind::Bce { size } | Kind::SoftDice { size } => {
                target = Some(logits(size)?.as_detached_tensor().gt(0.0)?.to_dtype(DType::F32)?);
                vec![logits(size)?]
            }
            Kind::AdamW { parameters } => {
                let value = var(&[parameters])?;
                // A gradient with a value of its own for every parameter.
                let gradients = value.sqr()?.sum_all()?.backward()?;
                let adamw = AdamW::new(vec![("value".into(), value)], AdamWParams::default())?;
                optimizer = Some((adamw, gradients));
                Vec::new()
            }
        };
        Ok(Prepared {
            kind: self.kind,
            inputs,
            target,
            optimizer,
        })
    }
}

impl Prepared {
    /// The operation with its graph recorded; the loss of losses; for an optimiser, one step and nothing of interest.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn forward(&mut self) -> Result<Tensor> {
        if let Some((optimizer, gradients)) = &mut self.optimizer {
            optimizer.step(gradients, 1e-3)?;
            return Tensor::new(0f32, &Device::Cpu);
        }
        let input = |index: usize| -> Result<&Tensor> {
            let missing = || candle_core::Error::Msg(format!("input {index} of {:?} is missing", self.kind));
            self.inputs.get(index).map(Var::as_tensor).ok_or_else(missing)
        };
        let x = input(0)?;
        let target = self.target.as_ref().unwrap_or(x);
        Ok(match self.kind {
            Kind::Conv(conv) => {
                let params = Conv2dParams {
                    stride: conv.stride,
                    groups: conv.groups,
                    ..Conv2dParams::same(conv.kernel)
                };
                htl_ops::conv2d(x, input(1)?, None, params)?
            }
            Kind::BatchNormRelu { .. } => {
                let norm = Norm::Batch { eps: 1e-5 };
                htl_ops::batch_norm(x, input(1)?, input(2)?, &norm, Activation::Relu)?.0
            }
            Kind::MaxPool { kernel, padding, .. } => htl_ops::max_pool2d(x, kernel, 2, padding)?,
            Kind::Upsample { size, filter, .. } => {
                let to = (2 * size, 2 * size);
                match filter {
                    Filter::Nearest => htl_ops::upsample_nearest2d(x, to)?,
                    Filter::Bilinear => htl_ops::upsample_bilinear2d(x, to, Corners::HalfPixel)?,
                }
            }
            Kind::Bce { .. } => htl_ops::bce_with_logits(x, target, None)?.mean_all()?,
            Kind::SoftDice { .. } => htl_ops::soft_dice(x, target, None)?.mean_all()?,
            Kind::AdamW { .. } => x.clone(),
        })
    }

    /// All gradients of a forward pass's output, from a tensor of ones; `None` for an optimiser.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn backward(&self, output: &Tensor) -> Result<Option<GradStore>> {
        if self.optimizer.is_some() {
            return Ok(None);
        }
        output.backward().map(Some)
    }
}
