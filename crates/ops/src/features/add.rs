//! Residual connections.

use super::Features;
use super::map::{CHUNK, Map, Values};
use super::node::{Node, token};
use crate::OpsError;
use crate::buffer::Buffer;
use crate::norm::{Activation, bounds, within};
use crate::parallel;
use crate::portable;
use crate::real::{Real, by_dtype, check_shape};

impl Features {
    /// The sum of two maps of one shape: a residual connection.
    ///
    /// # Errors
    /// [`OpsError::Shape`] if the shapes differ, [`OpsError::DType`] if the types do.
    pub fn add(&self, other: &Self) -> Result<Self, OpsError> {
        self.add_activated(other, Activation::None)
    }

    /// `activation(self + other)`, as at the end of a ResNet's block.
    ///
    /// # Errors
    /// As [`Features::add`].
    pub fn add_activated(&self, other: &Self, activation: Activation) -> Result<Self, OpsError> {
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
        if let Some(maps) = self.both_on_device(OP, other)? {
            return Ok(super::device::add([self, other], maps, activation)?);
        }
        if let Some((a, b)) = self.both_composed(OP, other)? {
            return Ok(Self::compose(portable::norm::add(a, b, activation)?, self.dims()));
        }
        Ok(by_dtype!(self.dtype(), OP, T => {
            let (a, b) = (self.map::<T>()?, other.map::<T>()?);
            let limits = bounds::<T>(activation);
            let mut out = Buffer::<T>::stale(self.dims().iter().product());
            {
                let (x, y) = (a.values.read(), b.values.read());
                let (x, y) = (x.get()?, y.get()?);
                parallel::chunks(&mut out, CHUNK, |i, out| {
                    let at = i * CHUNK;
                    for ((o, &x), &y) in out.iter_mut().zip(&x[at..]).zip(&y[at..]) {
                        *o = within(x + y, limits);
                    }
                });
            }
            let map = Map::new(Values::Own(out));
            let tracked = [self.is_tracked(), other.is_tracked()];
            let (slot, result) = (map.slot.clone(), map.values.clone());
            let node = self.node.apply_op2(&other.node, Node::<T, 2, _>::new("htl-add", move |[x, y]| {
                let mut grad = slot.take()?;
                if activation != Activation::None {
                    grad = Values::Own(passed::<T>(&result, &grad, limits)?);
                }
                let tokens = [tracked[0].then(|| token::<T>(x)), tracked[1].then(|| token::<T>(y))];
                if tracked[1] {
                    let copy = {
                        let grad = grad.read();
                        let mut copy = Buffer::<T>::stale(grad.get()?.len());
                        copy.copy_from_slice(grad.get()?);
                        copy
                    };
                    b.slot.add(Values::Own(copy))?;
                }
                if tracked[0] {
                    a.slot.add(grad)?;
                }
                let [x, y] = tokens;
                Ok([x.transpose()?, y.transpose()?])
            }))?;
            Ok(Self::new(node, self.dims(), map))
        })?)
    }
}

/// The gradient where the result is within the activation's bounds, 0 elsewhere.
fn passed<T: Real>(result: &Values<T>, grad: &Values<T>, [low, high]: [T; 2]) -> candle_core::Result<Buffer<T>> {
    let (result, grad) = (result.read(), grad.read());
    let (result, grad) = (result.get()?, grad.get()?);
    let mut out = Buffer::<T>::stale(grad.len());
    parallel::chunks(&mut out, CHUNK, |i, out| {
        let at = i * CHUNK;
        for ((o, &z), &g) in out.iter_mut().zip(&result[at..]).zip(&grad[at..]) {
            *o = if z > low && z < high { g } else { T::default() };
        }
    });
    Ok(out)
}
