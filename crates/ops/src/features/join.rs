//! The first layer of a U-Net's decoder block as one operation.

use candle_core::Tensor;

use super::Features;
use super::block::{Block, like, same_padding};
use super::device;
use super::map::{Map, Values, ValuesReading};
use super::node::{Node, token};
use crate::OpsError;
use crate::conv::{Doubled, Geometry};
use crate::gpu::Affine;
use crate::norm::{Activation, BatchStatistics, Norm, Source};
use crate::portable;
use crate::real::{Reading, by_dtype, check_shape, dims4};
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
/// Matches the two operations; in `f32` to rounding, for there nothing is doubled where that can be avoided.
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
    let (maps, statistics) = x.upsample_concat_conv_norm_relu(Some(&skip), weight, gamma, beta, norm)?;
    Ok((maps.into_tensor()?, statistics))
}

impl Features {
    /// [`upsample_concat_conv_norm_relu`] of these maps and a skip connection's, or of these maps alone.
    ///
    /// # Errors
    /// As [`upsample_concat_conv_norm_relu`].
    pub fn upsample_concat_conv_norm_relu(
        &self,
        skip: Option<&Self>,
        weight: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        norm: &Norm,
    ) -> Result<(Self, Option<BatchStatistics>), OpsError> {
        const OP: &str = "upsample_concat_conv_norm_relu";
        let join = Join::new(self.dims(), skip.map(Self::dims))?;
        if let Some(skip) = skip {
            check_shape(OP, "skip", skip.like(), skip.like().dims(), self.like())?;
        }
        let wd = dims4(OP, "weight", weight)?;
        let joined = [join.batch, join.low + join.skip, 2 * join.h, 2 * join.w];
        let geometry = Geometry::new(OP, joined, wd, same_padding(OP, wd)?)?;
        check_shape(OP, "weight", weight, &wd, self.like())?;
        check_shape(OP, "gamma", gamma, &[geometry.cout], self.like())?;
        check_shape(OP, "beta", beta, &[geometry.cout], self.like())?;
        if let Some(low) = self.device() {
            Source::check(OP, norm, geometry.cout, self.like())?;
            let affine = Affine {
                gamma,
                beta,
                norm,
                activation: Activation::Relu,
            };
            let both = skip.map(|skip| self.both_on_device(OP, skip)).transpose()?.flatten();
            let (joined, map) = match (skip, both) {
                (Some(skip), Some(maps)) => device::join([self, skip], maps)?,
                _ => device::double(self, low)?,
            };
            return Ok(device::conv_norm(&joined, &map, &geometry, weight, &affine)?);
        }
        let skip_composed = skip.map(|skip| self.both_composed(OP, skip)).transpose()?.flatten();
        if let Some(x) = self.composed() {
            let skip = skip_composed.map(|(_, skip)| skip);
            Source::check(OP, norm, geometry.cout, x)?;
            let y = portable::resize::upsample_concat(join, x, skip)?;
            let y = portable::conv::conv2d(geometry, &y, weight, None)?;
            let (y, statistics) = portable::norm::batch_norm(&y, gamma, beta, norm, Activation::Relu)?;
            return Ok((Self::compose(y, geometry.out_dims()), statistics));
        }
        let source = Source::of(OP, norm, geometry.cout, self.like())?;
        // An operation takes three inputs: weight, gamma and beta travel as one.
        let parameters = Tensor::cat(&[&weight.flatten_all()?, gamma, beta], 0)?;
        Ok(by_dtype!(self.dtype(), OP, T => {
            let x = self.map::<T>()?;
            let skip_map = skip.map(Self::map::<T>).transpose()?;
            let doubled = Doubled::new(join, geometry);
            let tracked = [self.is_tracked(), skip.is_some_and(Self::is_tracked)];
            let made = {
                let reading = Reading::of(&parameters);
                let (w, affine) = reading.get::<T>()?.split_at(geometry.w_len());
                let (low, high) = (x.values.read(), skip_map.as_ref().map(|skip| skip.values.read()));
                let high = high.as_ref().map(ValuesReading::get).transpose()?.unwrap_or_default();
                let low = low.get()?;
                let any = [tracked[0], tracked[1], parameters.track_op()];
                Block::forward(geometry, &source, Activation::Relu, affine, any, |y| {
                    doubled.forward::<T>(low, high, w, y);
                })
            };
            let statistics = made.statistics(weight)?;
            let map = Map::new(Values::Own(made.out));
            let Some(block) = made.block else {
                return Ok((Self::new(token::<T>(&self.node)?, geometry.out_dims(), map), statistics));
            };
            let slot = map.slot.clone();
            // An element stands for the skip connection where there is none.
            let skip_node = skip.map_or_else(|| token::<T>(&self.node), |skip| Ok(skip.node.clone()))?;
            let node = self.node.apply_op3(&skip_node, &parameters, Node::<T, 3, _>::new("htl-upsample-concat-conv-norm-relu", move |[x_node, skip_node, p]| {
                let grad = slot.take()?;
                let reading = Reading::of(p);
                let (w, affine) = reading.get::<T>()?.split_at(geometry.w_len());
                let grad = grad.read();
                let grad = grad.get()?;
                let back = block.backward(affine, grad);
                let (mut parts, mut dp) = ([None, None], None);
                if tracked.contains(&true) || p.track_op() {
                    let dy = block.convolved(&back, grad);
                    let gradient = doubled.gradient::<T>(&dy);
                    parts = doubled.backward_input::<T>(&gradient, w, tracked);
                    if p.track_op() {
                        let (low, high) = (x.values.read(), skip_map.as_ref().map(|skip| skip.values.read()));
                        let high = high.as_ref().map(ValuesReading::get).transpose()?.unwrap_or_default();
                        let mut weight = vec![T::default(); geometry.w_len()];
                        doubled.backward_weight::<T>(low.get()?, high, &gradient, &mut weight);
                        weight.extend(back.dgamma.iter().chain(&back.dbeta));
                        dp = Some(weight);
                    }
                }
                let [low, high] = parts;
                let skipped = skip_map.as_ref().map(|skip| skip.receive(high, skip_node));
                Ok([x.receive(low, x_node)?, skipped.transpose()?.flatten(), like(dp, p)?])
            }))?;
            Ok((Self::new(node, geometry.out_dims(), map), statistics))
        })?)
    }
}
