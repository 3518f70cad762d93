//! The first layer of a U-Net's decoder block as one operation.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};

use super::block::{Block, same_padding};
use super::map::{Map, Slot, Values};
use super::{Features, token, token_storage};
use crate::OpsError;
use crate::buffer::Buffer;
use crate::conv::Geometry;
use crate::norm::{Activation, BatchStatistics, Norm, Source};
use crate::real::{Reading, Real, by_dtype, check_shape, dims4};
use crate::upsample::Join;

/// [`upsample_concat`](crate::upsample_concat) followed by [`conv_norm_relu`](crate::conv_norm_relu), without the joined
/// tensor or its gradient in candle's graph: the first layer of a U-Net's decoder block.
///
/// # Shapes
/// - `x`: `[batch, a, height, width]`, `f32` or `f64`
/// - `skip`: `[batch, b, 2 height, 2 width]`
/// - `weight`: `[out_channels, a + b, k, k]`, k odd; its first `a` input channels see `x`
/// - `gamma`, `beta`: `[out_channels]`
/// - result: `[batch, out_channels, 2 height, 2 width]`; with [`Norm::Batch`] also the batch's mean and unbiased variance
///
/// # Errors
/// As the two operations.
///
/// Matches the two operations, bit for bit.
pub fn upsample_concat_conv_norm_relu(
    x: &Tensor,
    skip: &Tensor,
    weight: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    norm: &Norm,
) -> Result<(Tensor, Option<BatchStatistics>), OpsError> {
    const OP: &str = "upsample_concat_conv_norm_relu";
    let (x, skip) = (Features::named(OP, "x", x)?, Features::named(OP, "skip", skip)?);
    let (maps, statistics) = x.upsample_concat_conv_norm_relu(&skip, weight, gamma, beta, norm)?;
    Ok((maps.into_tensor()?, statistics))
}

impl Features {
    /// [`upsample_concat_conv_norm_relu`] of these maps and a skip connection's.
    ///
    /// # Errors
    /// As [`upsample_concat_conv_norm_relu`].
    pub fn upsample_concat_conv_norm_relu(
        &self,
        skip: &Self,
        weight: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        norm: &Norm,
    ) -> Result<(Self, Option<BatchStatistics>), OpsError> {
        const OP: &str = "upsample_concat_conv_norm_relu";
        let join = Join::new(self.dims(), skip.dims())?;
        check_shape(OP, "skip", skip.like(), skip.like().dims(), self.like())?;
        let [_, _, height, width] = skip.dims();
        let wd = dims4(OP, "weight", weight)?;
        let joined = [join.batch, join.low + join.skip, height, width];
        let geometry = Geometry::new(OP, joined, wd, same_padding(OP, wd)?)?;
        check_shape(OP, "weight", weight, &wd, self.like())?;
        check_shape(OP, "gamma", gamma, &[geometry.cout], self.like())?;
        check_shape(OP, "beta", beta, &[geometry.cout], self.like())?;
        let source = Source::of(OP, norm, geometry.cout)?;
        // An operation takes three inputs: weight, gamma and beta travel as one.
        let parameters = Tensor::cat(&[&weight.flatten_all()?, gamma, beta], 0)?;
        Ok(by_dtype!(self.dtype(), OP, T => {
            let (x, skip_map) = (self.map::<T>()?, skip.map::<T>()?);
            let mut joined = Buffer::stale(join.out_len());
            join.forward::<T>(x.values.read().get()?, skip_map.values.read().get()?, &mut joined);
            let reading = Reading::of(&parameters);
            let (w, affine) = reading.get::<T>()?.split_at(geometry.w_len());
            let (block, out) = Block::forward(geometry, &source, Activation::Relu, &joined, w, affine);
            let statistics = block.statistics(weight)?;
            let map = Map::new(Values::Own(out));
            let op = JoinConvNorm {
                block,
                join,
                lengths: [join.low_len(), join.skip_len()],
                weights: geometry.w_len(),
                tracked: [self.is_tracked(), skip.is_tracked()],
                joined,
                inputs: [x.slot, skip_map.slot],
                slot: map.slot.clone(),
            };
            let node = self.node.apply_op3(&skip.node, &parameters, op)?;
            Ok((Self::new(node, geometry.out_dims(), map), statistics))
        })?)
    }
}

struct JoinConvNorm<T: Real> {
    block: Block<T>,
    join: Join,
    /// Elements of x and skip.
    lengths: [usize; 2],
    /// Elements of the weight.
    weights: usize,
    /// Whether x and skip need a gradient.
    tracked: [bool; 2],
    joined: Buffer<T>,
    inputs: [Arc<Slot<T>>; 2],
    slot: Arc<Slot<T>>,
}

impl<T: Real> CustomOp3 for JoinConvNorm<T> {
    fn name(&self) -> &'static str {
        "htl-upsample-concat-conv-norm-relu"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok(token_storage::<T>())
    }

    fn bwd(
        &self,
        x: &Tensor,
        skip: &Tensor,
        parameters: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = self.slot.take()?;
        let reading = Reading::of(parameters);
        let (w, affine) = reading.get::<T>()?.split_at(self.weights);
        let mut dx = self.tracked.contains(&true).then(|| Buffer::stale(self.joined.len()));
        let track_weight = parameters.track_op().then_some(&*self.joined);
        let gradients = self
            .block
            .backward(w, affine, grad.read().get()?, track_weight, dx.as_deref_mut());
        drop(grad);
        let mut tokens = [None, None];
        if let Some(dx) = dx {
            for (i, node) in [x, skip].into_iter().enumerate() {
                if !self.tracked[i] {
                    continue;
                }
                let mut part = Buffer::stale(self.lengths[i]);
                match i {
                    0 => self.join.backward_low(&dx, &mut part),
                    _ => self.join.backward_skip(&dx, &mut part),
                }
                self.inputs[i].add(Values::Own(part))?;
                tokens[i] = Some(token::<T>(node)?);
            }
        }
        let [low, high] = tokens;
        let dp = gradients.weight.map(|mut weight| {
            weight.extend(gradients.affine);
            Tensor::from_vec(weight, parameters.shape(), parameters.device())
        });
        Ok((low, high, dp.transpose()?))
    }
}
