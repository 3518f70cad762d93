//! Max pooling of features.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

use super::map::{Map, Slot, Values};
use super::{Features, token, token_storage};
use crate::OpsError;
use crate::buffer::Buffer;
use crate::pool::{Window, max_backward, max_forward};
use crate::real::{Real, by_dtype};

impl Features {
    /// [`max_pool2d`](crate::max_pool2d) of these maps.
    ///
    /// # Errors
    /// As [`max_pool2d`](crate::max_pool2d).
    pub fn max_pool(&self, kernel: usize, stride: usize, padding: usize) -> Result<Self, OpsError> {
        const OP: &str = "max_pool2d";
        let [batch, channels, _, _] = self.dims();
        let window = Window::new(OP, self.dims(), kernel, stride, padding)?;
        Ok(by_dtype!(self.dtype(), OP, T => {
            let x = self.map::<T>()?;
            let mut out = Buffer::stale(batch * channels * window.oh * window.ow);
            max_forward::<T>(&window, x.values.read().get()?, &mut out);
            let map = Map::new(Values::Own(out));
            let node = self.node.apply_op1(MaxPool { window, x, slot: map.slot.clone() })?;
            Ok(Self::new(node, [batch, channels, window.oh, window.ow], map))
        })?)
    }
}

struct MaxPool<T: Real> {
    window: Window,
    x: Map<T>,
    slot: Arc<Slot<T>>,
}

impl<T: Real> CustomOp1 for MaxPool<T> {
    fn name(&self) -> &'static str {
        "htl-max-pool2d"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok(token_storage::<T>())
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, _: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let grad = self.slot.take()?;
        let values = self.x.values.read();
        let values = values.get()?;
        let mut dx = Buffer::stale(values.len());
        max_backward(&self.window, values, grad.read().get()?, &mut dx);
        self.x.slot.add(Values::Own(dx))?;
        token::<T>(x).map(Some)
    }
}
