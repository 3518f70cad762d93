//! Feature maps on their way through a network.
//!
//! Candle's backward pass writes zeros for every tensor that receives a gradient and adds to them in a new tensor: for the
//! maps of a convolutional network that is a tenth to a quarter of a training step. [`Features`] stand in candle's graph
//! with a single element, which orders the backward pass; values and gradients stay with the operations, in buffers that
//! are used again.

mod add;
mod block;
pub(crate) mod device;
mod join;
mod map;
mod node;
mod pool;
mod precision;

pub use block::{conv_norm, conv_norm_relu};
pub use join::upsample_concat_conv_norm_relu;
pub use precision::Precision;

use std::any::Any;
use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Tensor};

use crate::OpsError;
use crate::portable;
use crate::real::{Real, by_dtype, dims4};
pub(crate) use map::poisoned;
use map::{Map, Slot, Values};
use node::Node;
pub(crate) use node::token;

/// Feature maps inside of a network, `[batch, channels, height, width]`: the same operations as on tensors, with less
/// traffic of gradients.
///
/// ```
/// use candle_core::{DType, Device, Tensor, Var};
/// use htl_ops::{Activation, Conv2dParams, Features, Norm};
///
/// let x = Tensor::randn(0f32, 1., (2, 3, 16, 16), &Device::Cpu)?;
/// let weight = Var::randn(0f32, 0.1, (8, 3, 3, 3), &Device::Cpu)?;
/// let (gamma, beta) = (Tensor::ones(8, DType::F32, &Device::Cpu)?, Tensor::zeros(8, DType::F32, &Device::Cpu)?);
/// let norm = Norm::Batch { eps: 1e-5 };
/// let (maps, _) =
///     Features::of(&x)?.conv_norm(&weight, &gamma, &beta, &norm, Conv2dParams::same(3), Activation::Relu)?;
/// let loss = maps.max_pool(2, 2, 0)?.into_tensor()?.sum_all()?;
/// assert!(loss.backward()?.get(&weight).is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Gradients reach variables and tensors as ever; in between there is no tensor to ask for one. Backward passes of graphs
/// that share features must run one after the other.
#[derive(Clone)]
pub struct Features {
    /// What stands for the maps in candle's graph.
    node: Tensor,
    dims: [usize; 4],
    held: Held,
}

/// Where the maps are.
#[derive(Clone)]
enum Held {
    /// On the CPU, in a [`Map`] of the node's number type; the node is a single element.
    Own(Arc<dyn Any + Send + Sync>),
    /// On another device, where operations are composed of candle's: the node is the maps themselves.
    Composed,
    /// On a device with kernels of ours; the node is a single element.
    Device(crate::gpu::Map),
}

impl std::fmt::Debug for Features {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Features({:?}, {:?})", self.dims, self.node.dtype())
    }
}

impl Features {
    /// The values of a tensor, not copied if they are contiguous.
    ///
    /// # Shapes
    /// - `x`: `[batch, channels, height, width]`, `f32` or `f64`
    ///
    /// # Errors
    /// [`OpsError`] naming the shape for other tensors, or an empty one.
    pub fn of(x: &Tensor) -> Result<Self, OpsError> {
        Self::named("Features::of", "x", x)
    }

    /// [`Features::of`] with the numbers that a CUDA device is to use.
    ///
    /// # Errors
    /// As [`Features::of`]; [`OpsError::Parameter`] for a precision that the tensor's device does not have.
    pub fn with_precision(x: &Tensor, precision: Precision) -> Result<Self, OpsError> {
        if let Some((features, _)) = device::enter("Features::with_precision", "x", x, precision)? {
            return Ok(features);
        }
        if precision != Precision::F32 {
            return Err(OpsError::Parameter {
                op: "Features::with_precision",
                parameter: "precision",
                requirement: "f32 unless the tensor is on a CUDA device",
                found: precision.to_string(),
            });
        }
        Self::of(x)
    }

    /// [`Features::of`] for an operation's argument.
    pub(crate) fn named(op: &'static str, argument: &'static str, x: &Tensor) -> Result<Self, OpsError> {
        if let Some((features, _)) = device::enter(op, argument, x, Precision::F32)? {
            return Ok(features);
        }
        let dims = dims4(op, argument, x)?;
        let x = x.contiguous()?;
        if portable::takes(&x) {
            return Ok(Self::compose(x, dims));
        }
        by_dtype!(x.dtype(), op, T => {
            let map = Map::<T>::new(Values::Tensor(x.detach()));
            let node = if x.track_op() { x.apply_op1(enter(map.slot.clone()))? } else { token::<T>(&x)? };
            Ok(Self::new(node, dims, map))
        })
        .map_err(OpsError::Candle)
    }

    /// Batch, channels, height and width.
    #[must_use]
    pub fn dims(&self) -> [usize; 4] {
        self.dims
    }

    /// `f32` or `f64`.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.node.dtype()
    }

    /// The maps as a tensor, moved if nothing else holds them.
    ///
    /// # Errors
    /// Those of making a tensor.
    pub fn into_tensor(self) -> Result<Tensor, OpsError> {
        if self.composed().is_some() {
            return Ok(self.node);
        }
        if let Held::Device(map) = self.held {
            return Ok(device::into_tensor(&self.node, map)?);
        }
        let dims = self.dims;
        Ok(by_dtype!(self.dtype(), "Features::into_tensor", T => {
            let Map { values, slot } = self.map::<T>()?;
            let node = self.node;
            // The last holder of the map moves its values.
            drop(self.held);
            let values = match Arc::try_unwrap(values) {
                Ok(values) => values.into_vec()?,
                Err(shared) => shared.read().get()?.to_vec(),
            };
            node.apply_op1(Leave::<T> { values: Mutex::new(values), slot, dims })
        })?)
    }

    fn new<T: Real>(node: Tensor, dims: [usize; 4], map: Map<T>) -> Self {
        Self {
            node,
            dims,
            held: Held::Own(Arc::new(map)),
        }
    }

    /// Maps that are a tensor in candle's graph.
    fn compose(maps: Tensor, dims: [usize; 4]) -> Self {
        Self {
            node: maps,
            dims,
            held: Held::Composed,
        }
    }

    /// The maps, if they are a tensor in candle's graph.
    fn composed(&self) -> Option<&Tensor> {
        matches!(self.held, Held::Composed).then_some(&self.node)
    }

    /// Both maps, if they are tensors in candle's graph.
    fn both_composed<'a>(
        &'a self,
        op: &'static str,
        other: &'a Self,
    ) -> Result<Option<(&'a Tensor, &'a Tensor)>, OpsError> {
        match (self.composed(), other.composed()) {
            (None, None) => Ok(None),
            (Some(a), Some(b)) => Ok(Some((a, b))),
            _ => Err(candle_core::Error::Msg(format!("{op}: only one of the two features is composed")).into()),
        }
    }

    fn map<T: Real>(&self) -> candle_core::Result<Map<T>> {
        let map = match &self.held {
            Held::Own(map) => map.downcast_ref::<Map<T>>(),
            _ => None,
        };
        map.cloned()
            .ok_or_else(|| candle_core::Error::Msg("htl-ops: features of two number types".into()).bt())
    }

    /// A tensor that stands for these maps where shapes and types of arguments are compared.
    fn like(&self) -> &Tensor {
        &self.node
    }

    fn is_tracked(&self) -> bool {
        self.node.track_op()
    }
}

/// From a tensor to features.
fn enter<T: Real>(slot: Arc<Slot<T>>) -> impl CustomOp1 + Send + Sync {
    Node::<T, 1, _>::new("htl-enter", move |[x]| {
        Ok([Some(match slot.take()? {
            Values::Tensor(gradient) => gradient,
            own => Tensor::from_vec(own.into_vec()?, x.shape(), x.device())?,
        })])
    })
}

/// From features to a tensor.
struct Leave<T: Real> {
    values: Mutex<Vec<T>>,
    slot: Arc<Slot<T>>,
    dims: [usize; 4],
}

impl<T: Real> CustomOp1 for Leave<T> {
    fn name(&self) -> &'static str {
        "htl-leave"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let mut values = self.values.lock().map_err(map::poisoned)?;
        let [batch, channels, height, width] = self.dims;
        let shape = Shape::from((batch, channels, height, width));
        Ok((T::to_cpu_storage_owned(std::mem::take(&mut *values)), shape))
    }

    fn bwd(&self, node: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        self.slot.add(Values::Tensor(grad.contiguous()?))?;
        token::<T>(node).map(Some)
    }
}
