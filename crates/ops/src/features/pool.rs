//! Max pooling of features.

use super::Features;
use super::map::{Map, Values};
use super::node::Node;
use crate::OpsError;
use crate::buffer::Buffer;
use crate::pool::{Kind, Window, max_backward, max_forward};
use crate::portable;
use crate::real::by_dtype;

impl Features {
    /// [`max_pool2d`](crate::max_pool2d) of these maps.
    ///
    /// # Errors
    /// As [`max_pool2d`](crate::max_pool2d).
    pub fn max_pool(&self, kernel: usize, stride: usize, padding: usize) -> Result<Self, OpsError> {
        const OP: &str = "max_pool2d";
        let [batch, channels, _, _] = self.dims();
        let window = Window::new(OP, self.dims(), kernel, stride, padding)?;
        if let Some(map) = self.device() {
            return Ok(super::device::pool(Kind::Max, self, map, window)?);
        }
        if let Some(x) = self.composed() {
            let y = portable::pool::max(window, x)?;
            return Ok(Self::compose(y, [batch, channels, window.oh, window.ow]));
        }
        Ok(by_dtype!(self.dtype(), OP, T => {
            let x = self.map::<T>()?;
            let mut out = Buffer::stale(batch * channels * window.oh * window.ow);
            max_forward::<T>(&window, x.values.read().get()?, &mut out);
            let map = Map::new(Values::Own(out));
            let slot = map.slot.clone();
            let node = self.node.apply_op1(Node::<T, 1, _>::new("htl-max-pool2d", move |[node]| {
                let grad = slot.take()?;
                let values = x.values.read();
                let values = values.get()?;
                let mut dx = Buffer::stale(values.len());
                max_backward::<T>(&window, values, grad.read().get()?, &mut dx);
                Ok([x.receive(Some(dx), node)?])
            }))?;
            Ok(Self::new(node, [batch, channels, window.oh, window.ow], map))
        })?)
    }
}
