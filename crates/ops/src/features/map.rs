//! What features hold: values, and a place for their gradient.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Tensor;

use super::node::token;
use crate::buffer::Buffer;
use crate::parallel;
use crate::real::{Reading, Real};

/// Numbers of their own, or those of a contiguous tensor.
pub(crate) enum Values<T: Real> {
    Own(Buffer<T>),
    Tensor(Tensor),
}

/// Values, held readable.
pub(crate) enum ValuesReading<'a, T> {
    Own(&'a [T]),
    Tensor(Reading<'a>),
}

impl<T: Real> ValuesReading<'_, T> {
    pub(crate) fn get(&self) -> candle_core::Result<&[T]> {
        match self {
            Self::Own(values) => Ok(values),
            Self::Tensor(reading) => reading.get(),
        }
    }
}

impl<T: Real> Values<T> {
    pub(crate) fn read(&self) -> ValuesReading<'_, T> {
        match self {
            Self::Own(buffer) => ValuesReading::Own(buffer),
            Self::Tensor(tensor) => ValuesReading::Tensor(Reading::of(tensor)),
        }
    }

    pub(crate) fn into_vec(self) -> candle_core::Result<Vec<T>> {
        match self {
            Self::Own(buffer) => Ok(buffer.into_vec()),
            Self::Tensor(tensor) => Ok(Reading::of(&tensor).get()?.to_vec()),
        }
    }
}

/// Where the gradient of a map adds up during a backward pass.
pub(crate) struct Slot<T: Real>(Mutex<Option<Values<T>>>);

/// A panic of another thread in the middle of an update.
pub(crate) fn poisoned<G>(_: PoisonError<G>) -> candle_core::Error {
    candle_core::Error::Msg("htl-ops: another thread panicked in a backward pass of these features".into()).bt()
}

/// Elements that one task adds.
pub(crate) const CHUNK: usize = 1 << 15;

impl<T: Real> Slot<T> {
    /// Adds a gradient; the first is kept as it is.
    pub(crate) fn add(&self, gradient: Values<T>) -> candle_core::Result<()> {
        let mut slot = self.0.lock().map_err(poisoned)?;
        let sum = match (slot.take(), gradient) {
            (None, first) => first,
            (Some(Values::Own(sum)), other) | (Some(other), Values::Own(sum)) => Values::Own(added(sum, &other)?),
            (Some(Values::Tensor(a)), Values::Tensor(b)) => {
                let mut sum = Buffer::stale(a.elem_count());
                sum.copy_from_slice(Reading::of(&a).get()?);
                Values::Own(added(sum, &Values::Tensor(b))?)
            }
        };
        *slot = Some(sum);
        Ok(())
    }

    /// The gradient; the slot is ready for the next backward pass.
    pub(crate) fn take(&self) -> candle_core::Result<Values<T>> {
        let missing = || candle_core::Error::Msg("htl-ops: two backward passes share features at one time".into()).bt();
        self.0.lock().map_err(poisoned)?.take().ok_or_else(missing)
    }
}

fn added<T: Real>(mut sum: Buffer<T>, other: &Values<T>) -> candle_core::Result<Buffer<T>> {
    let other = other.read();
    let other = other.get()?;
    parallel::chunks(&mut sum, CHUNK, |i, sum| {
        sum.iter_mut().zip(&other[i * CHUNK..]).for_each(|(a, &b)| *a += b);
    });
    Ok(sum)
}

/// Values and the place for their gradient, each held by the operations that need it.
pub(crate) struct Map<T: Real> {
    pub(crate) values: Arc<Values<T>>,
    pub(crate) slot: Arc<Slot<T>>,
}

impl<T: Real> Map<T> {
    /// Adds a gradient to the slot, if there is one, and returns what candle adds up in its place.
    pub(crate) fn receive(&self, gradient: Option<Buffer<T>>, node: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let Some(gradient) = gradient else {
            return Ok(None);
        };
        self.slot.add(Values::Own(gradient))?;
        token::<T>(node).map(Some)
    }

    pub(crate) fn new(values: Values<T>) -> Self {
        Self {
            values: Arc::new(values),
            slot: Arc::new(Slot(Mutex::new(None))),
        }
    }
}

impl<T: Real> Clone for Map<T> {
    fn clone(&self) -> Self {
        Self {
            values: self.values.clone(),
            slot: self.slot.clone(),
        }
    }
}
