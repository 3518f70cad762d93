//! Optimisers that touch each parameter once, with state that can be saved.

mod adamw;
mod clip;
mod ema;
mod sgd;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, DType, Device, InplaceOp2, Layout, Tensor, Var};
use std::collections::BTreeMap;
use std::sync::Mutex;

pub use adamw::{AdamW, AdamWParams, Decay};
pub use clip::{clip_gradients, gradient_norm};
pub use ema::Ema;
pub use sgd::{Sgd, SgdParams};

use crate::OpsError;
use crate::gpu;
use crate::portable;
use crate::real::{Real, by_dtype, check_device, elements};

/// Numbers kept per element of a parameter, in the parameter's type.
#[derive(Debug, Clone)]
pub(crate) enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
    /// Where the parameter is, if that is not the CPU.
    Device(Tensor),
}

impl Values {
    fn zeros(op: &'static str, var: &Var) -> Result<Self, OpsError> {
        crate::real::check_real(op, "parameter", var)?;
        if portable::takes(var) || gpu::engine_of(var)?.is_some() {
            return Ok(Values::Device(Tensor::zeros(var.shape(), var.dtype(), var.device())?));
        }
        Ok(match var.dtype() {
            DType::F32 => Values::F32(vec![0.0; var.elem_count()]),
            _ => Values::F64(vec![0.0; var.elem_count()]),
        })
    }

    /// Nothing, for updates that keep less than two numbers per element.
    fn none(var: &Var) -> Self {
        match var.dtype() {
            DType::F64 => Values::F64(Vec::new()),
            _ => Values::F32(Vec::new()),
        }
    }

    /// A tensor of the host, whatever the parameter's device.
    fn tensor(&self, var: &Var) -> Result<Tensor, OpsError> {
        Ok(match self {
            Values::F32(v) => Tensor::from_slice(v, var.shape(), &Device::Cpu)?,
            Values::F64(v) => Tensor::from_slice(v, var.shape(), &Device::Cpu)?,
            Values::Device(t) => t.to_device(&Device::Cpu)?,
        })
    }

    fn slice_mut<T: Real>(&mut self) -> candle_core::Result<&mut [T]> {
        let any: &mut dyn std::any::Any = match self {
            Values::F32(v) => v,
            Values::F64(v) => v,
            Values::Device(_) => return Err(moved()),
        };
        any.downcast_mut::<Vec<T>>()
            .map(Vec::as_mut_slice)
            .ok_or_else(|| candle_core::Error::Msg("parameter changed its type".into()).bt())
    }

    fn device(&mut self) -> candle_core::Result<&mut Tensor> {
        match self {
            Values::Device(t) => Ok(t),
            _ => Err(moved()),
        }
    }

    fn load(&mut self, name: &str, var: &Var, entry: &str, state: &BTreeMap<String, Tensor>) -> Result<(), OpsError> {
        let problem = |problem: String| OpsError::State {
            name: name.to_owned(),
            problem,
        };
        let tensor = state
            .get(entry)
            .ok_or_else(|| problem(format!("entry `{entry}` is missing")))?;
        if tensor.dims() != var.dims() {
            let (found, expected) = (tensor.dims(), var.dims());
            return Err(problem(format!(
                "entry `{entry}` has shape {found:?} instead of {expected:?}"
            )));
        }
        let flat = tensor.detach().flatten_all()?;
        *self = match self {
            Values::Device(_) => Values::Device(
                flat.to_dtype(var.dtype())?
                    .to_device(var.device())?
                    .reshape(var.shape())?
                    .force_contiguous()?,
            ),
            Values::F32(_) => Values::F32(flat.to_dtype(DType::F32)?.to_vec1()?),
            Values::F64(_) => Values::F64(flat.to_dtype(DType::F64)?.to_vec1()?),
        };
        Ok(())
    }
}

fn moved() -> candle_core::Error {
    candle_core::Error::Msg("the optimiser's state is on another device than the parameter".into()).bt()
}

/// An update `parameter, gradient, state -> parameter, state` in one pass.
trait Update: Send + Sync {
    fn run<T: Real>(&self, parameter: &mut [T], other: &[T], state: [&mut [T]; 2]);
    /// The same, composed of candle's operations.
    fn compose(&self, parameter: &Var, other: &Tensor, state: [&mut Values; 2]) -> candle_core::Result<()>;
}

struct InPlace<'a, U> {
    update: U,
    state: Mutex<[&'a mut Values; 2]>,
}

impl<U: Update> InplaceOp2 for InPlace<'_, U> {
    fn name(&self) -> &'static str {
        "htl-update"
    }

    fn cpu_fwd(&self, p: &mut CpuStorage, pl: &Layout, g: &CpuStorage, gl: &Layout) -> candle_core::Result<()> {
        let Some((from, to)) = pl.contiguous_offsets() else {
            return Err(candle_core::Error::RequiresContiguous { op: "htl-update" }.bt());
        };
        by_dtype!(g.dtype(), "htl-update", T => {
            let gradient = elements::<T>(g, gl)?;
            let data = values_mut::<T>(p)?;
            let mut state = self.state.lock().map_err(|_| candle_core::Error::Msg("poisoned lock".into()).bt())?;
            let [first, second] = &mut *state;
            self.update.run(&mut data[from..to], gradient, [first.slice_mut::<T>()?, second.slice_mut::<T>()?]);
            Ok(())
        })
    }
}

fn values_mut<T: Real>(storage: &mut CpuStorage) -> candle_core::Result<&mut [T]> {
    let any: &mut dyn std::any::Any = match storage {
        CpuStorage::F32(v) => v,
        CpuStorage::F64(v) => v,
        other => return Err(candle_core::Error::UnsupportedDTypeForOp(other.dtype(), "htl-update").bt()),
    };
    any.downcast_mut::<Vec<T>>()
        .map(Vec::as_mut_slice)
        .ok_or_else(|| candle_core::Error::Msg("parameter and gradient differ in type".into()).bt())
}

/// Checks that a gradient has its variable's shape.
fn check_gradient(var: &Var, other: &Tensor) -> Result<(), OpsError> {
    if other.dims() != var.dims() {
        let (expected, found) = (var.dims().to_vec(), other.dims().to_vec());
        return Err(OpsError::Shape {
            op: "optimiser step",
            argument: "gradient",
            expected,
            found,
        });
    }
    Ok(())
}

/// Runs `update` on a variable in place.
fn update_in_place<U: Update>(
    var: &Var,
    other: &Tensor,
    update: U,
    first: &mut Values,
    second: &mut Values,
) -> Result<(), OpsError> {
    check_gradient(var, other)?;
    check_device("optimiser step", "gradient", other, var)?;
    if portable::takes(var) {
        return Ok(update.compose(var, other, [first, second])?);
    }
    let op = InPlace {
        update,
        state: Mutex::new([first, second]),
    };
    Ok(var.as_tensor().inplace_op2(&other.contiguous()?, &op)?)
}

fn check_fraction(op: &'static str, parameter: &'static str, value: f64) -> Result<(), OpsError> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(OpsError::Parameter {
        op,
        parameter,
        requirement: "in [0, 1)",
        found: value.to_string(),
    })
}

fn check_not_negative(op: &'static str, parameter: &'static str, value: f64) -> Result<(), OpsError> {
    if value >= 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(OpsError::Parameter {
        op,
        parameter,
        requirement: "finite and not negative",
        found: value.to_string(),
    })
}

/// Sorts by name and refuses doubles: candle's `VarMap` iterates in random order.
fn sorted(mut vars: Vec<(String, Var)>) -> Result<Vec<(String, Var)>, OpsError> {
    vars.sort_by(|a, b| a.0.cmp(&b.0));
    match vars.windows(2).find(|w| w[0].0 == w[1].0) {
        Some(w) => Err(OpsError::State {
            name: w[0].0.clone(),
            problem: "two parameters share this name".into(),
        }),
        None => Ok(vars),
    }
}

fn load_step(name: &str, state: &BTreeMap<String, Tensor>) -> Result<u32, OpsError> {
    let entry = format!("{name}.step");
    let problem = |problem: String| OpsError::State {
        name: name.to_owned(),
        problem,
    };
    let tensor = state
        .get(&entry)
        .ok_or_else(|| problem(format!("entry `{entry}` is missing")))?;
    tensor
        .to_scalar::<u32>()
        .map_err(|e| problem(format!("entry `{entry}` is not one u32 ({e})")))
}
