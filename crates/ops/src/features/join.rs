//! The first layer of a U-Net's decoder block as one operation.

use candle_core::Tensor;

use super::Features;
use super::block::{Block, like, same_padding};
use super::device;
use super::map::{Map, Values};
use super::node::{Node, token};
use crate::OpsError;
use crate::buffer::Buffer;
use crate::conv::Geometry;
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
            let mut joined = Buffer::stale(join.out_len());
            match &skip_map {
                Some(skip) => join.forward::<T>(x.values.read().get()?, skip.values.read().get()?, &mut joined),
                None => join.forward::<T>(x.values.read().get()?, &[], &mut joined),
            }
            let reading = Reading::of(&parameters);
            let (w, affine) = reading.get::<T>()?.split_at(geometry.w_len());
            let (block, out) = Block::forward(geometry, &source, Activation::Relu, &joined, w, affine);
            let statistics = block.statistics(weight)?;
            let map = Map::new(Values::Own(out));
            let slot = map.slot.clone();
            let tracked = [self.is_tracked(), skip.is_some_and(Self::is_tracked)];
            // An element stands for the skip connection where there is none.
            let skip_node = skip.map_or_else(|| token::<T>(&self.node), |skip| Ok(skip.node.clone()))?;
            let node = self.node.apply_op3(&skip_node, &parameters, Node::<T, 3, _>::new("htl-upsample-concat-conv-norm-relu", move |[x_node, skip_node, p]| {
                let grad = slot.take()?;
                let reading = Reading::of(p);
                let (w, affine) = reading.get::<T>()?.split_at(geometry.w_len());
                let mut dx = tracked.contains(&true).then(|| Buffer::stale(joined.len()));
                let track_weight = p.track_op().then_some(&*joined);
                let gradients = block.backward(w, affine, grad.read().get()?, track_weight, dx.as_deref_mut());
                drop(grad);
                let mut parts = [None, None];
                if let Some(dx) = dx {
                    if tracked[0] {
                        let mut low = Buffer::stale(join.low_len());
                        join.backward_low::<T>(&dx, &mut low);
                        parts[0] = Some(low);
                    }
                    if tracked[1] {
                        let mut high = Buffer::stale(join.skip_len());
                        join.backward_skip::<T>(&dx, &mut high);
                        parts[1] = Some(high);
                    }
                }
                let [low, high] = parts;
                let dp = gradients.weight.map(|mut weight| {
                    weight.extend(gradients.affine);
                    weight
                });
                let skipped = skip_map.as_ref().map(|skip| skip.receive(high, skip_node));
                Ok([x.receive(low, x_node)?, skipped.transpose()?.flatten(), like(dp, p)?])
            }))?;
            Ok((Self::new(node, geometry.out_dims(), map), statistics))
        })?)
    }
}
