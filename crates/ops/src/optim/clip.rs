//! Gradient clipping.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};

use crate::OpsError;
use crate::cpu::vectorised;
use crate::portable;
use crate::real::{Reading, by_dtype};

vectorised! {
    fn square_sum<T: Real>(data: &[T]) -> f64 {
        let mut total = 0f64;
        for chunk in data.chunks(1024) {
            let mut lanes = [T::default(); 16];
            for block in chunk.chunks(16) {
                for (lane, &v) in lanes.iter_mut().zip(block) {
                    *lane += v * v;
                }
            }
            total += lanes.iter().map(|v| v.to_f64()).sum::<f64>();
        }
        total
    }
}

fn squared_norm(gradient: &Tensor) -> Result<f64, OpsError> {
    let gradient = gradient.contiguous()?;
    Ok(by_dtype!(gradient.dtype(), "gradient norm", T => Ok(square_sum(Reading::of(&gradient).get::<T>()?)))?)
}

/// Euclidean norm of all gradients together; variables without a gradient count as 0.
///
/// # Errors
/// [`OpsError::Candle`] for gradients that are not `f32` or `f64`.
pub fn gradient_norm(gradients: &GradStore, vars: &[(String, Var)]) -> Result<f64, OpsError> {
    let mut order: Vec<_> = vars.iter().collect();
    order.sort_by(|a, b| a.0.cmp(&b.0));
    let mut total = 0f64;
    let mut composed = Vec::new();
    for gradient in order.into_iter().filter_map(|(_, var)| gradients.get(var)) {
        if portable::takes(gradient) {
            composed.push(portable::optim::square_sum(gradient)?);
        } else {
            total += squared_norm(gradient)?;
        }
    }
    for dtype in [DType::F32, DType::F64] {
        // One transfer for all: each makes the host wait for the device.
        let sums: Vec<_> = composed.iter().filter(|sum| sum.dtype() == dtype).collect();
        if !sums.is_empty() {
            let sums = Tensor::cat(&sums, 0)?.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
            total += sums.to_vec1::<f64>()?.iter().sum::<f64>();
        }
    }
    Ok(total.sqrt())
}

/// Scales all gradients by one factor so that their [`gradient_norm`] is at most `max_norm`; returns the norm before.
///
/// # Errors
/// [`OpsError::Parameter`] unless `max_norm` is positive.
///
/// Matches `torch.nn.utils.clip_grad_norm_`.
pub fn clip_gradients(gradients: &mut GradStore, vars: &[(String, Var)], max_norm: f64) -> Result<f64, OpsError> {
    check_max_norm(max_norm)?;
    let norm = gradient_norm(gradients, vars)?;
    let factor = max_norm / (norm + 1e-6);
    if factor < 1.0 {
        for (_, var) in vars {
            if let Some(gradient) = gradients.get(var) {
                let scaled = gradient.affine(factor, 0.0)?;
                gradients.insert(var, scaled);
            }
        }
    }
    Ok(norm)
}

pub(super) fn check_max_norm(max_norm: f64) -> Result<(), OpsError> {
    if max_norm > 0.0 {
        return Ok(());
    }
    Err(OpsError::Parameter {
        op: "clip_gradients",
        parameter: "max_norm",
        requirement: "positive",
        found: max_norm.to_string(),
    })
}
