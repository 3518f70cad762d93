//! Residual connections.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};

use super::map::{Map, Slot, Values};
use super::{Features, token, token_storage};
use crate::OpsError;
use crate::buffer::Buffer;
use crate::parallel;
use crate::real::{Real, by_dtype, check_shape};

/// Elements that one task adds.
const CHUNK: usize = 1 << 15;

impl Features {
    /// The sum of two maps of one shape: a residual connection.
    ///
    /// # Errors
    /// [`OpsError::Shape`] if the shapes differ, [`OpsError::DType`] if the types do.
    pub fn add(&self, other: &Self) -> Result<Self, OpsError> {
        const OP: &str = "add";
        if self.dims() != other.dims() {
            return Err(OpsError::Shape {
                op: OP,
                argument: "other",
                expected: self.dims().to_vec(),
                found: other.dims().to_vec(),
            });
        }
        check_shape(OP, "other", other.like(), other.like().dims(), self.like())?;
        Ok(by_dtype!(self.dtype(), OP, T => {
            let (a, b) = (self.map::<T>()?, other.map::<T>()?);
            let mut out = Buffer::<T>::stale(self.dims().iter().product());
            {
                let (x, y) = (a.values.read(), b.values.read());
                let (x, y) = (x.get()?, y.get()?);
                parallel::chunks(&mut out, CHUNK, |i, out| {
                    let at = i * CHUNK;
                    for ((o, &x), &y) in out.iter_mut().zip(&x[at..]).zip(&y[at..]) {
                        *o = x + y;
                    }
                });
            }
            let map = Map::new(Values::Own(out));
            let tracked = [self.is_tracked(), other.is_tracked()];
            let op = Add { inputs: [a.slot, b.slot], tracked, slot: map.slot.clone() };
            let node = self.node.apply_op2(&other.node, op)?;
            Ok(Self::new(node, self.dims(), map))
        })?)
    }
}

struct Add<T: Real> {
    inputs: [Arc<Slot<T>>; 2],
    tracked: [bool; 2],
    slot: Arc<Slot<T>>,
}

impl<T: Real> CustomOp2 for Add<T> {
    fn name(&self) -> &'static str {
        "htl-add"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok(token_storage::<T>())
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = self.slot.take()?;
        if self.tracked == [true, true] {
            let copy = {
                let grad = grad.read();
                let grad = grad.get()?;
                let mut copy = Buffer::<T>::stale(grad.len());
                copy.copy_from_slice(grad);
                copy
            };
            self.inputs[1].add(Values::Own(copy))?;
            self.inputs[0].add(grad)?;
            return Ok((Some(token::<T>(a)?), Some(token::<T>(b)?)));
        }
        let only = usize::from(self.tracked[1]);
        self.inputs[only].add(grad)?;
        let token = Some(token::<T>(if only == 0 { a } else { b })?);
        Ok(if only == 0 { (token, None) } else { (None, token) })
    }
}
