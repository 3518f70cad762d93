//! Checks of weights before they are used or kept.

use std::collections::BTreeMap;

use candle_core::{DType, Result, Tensor, Var};
use htl_models::Parameters;

use crate::TrainError;

/// Checks that every value is finite; the error is the name of the first tensor with one that is not.
pub(crate) fn check_finite(tensors: &BTreeMap<String, Tensor>) -> std::result::Result<(), String> {
    for (name, tensor) in tensors {
        // A tensor that cannot be read is no better than one that is not finite.
        if !all_values(tensor, |value| value.is_finite()).unwrap_or(false) {
            return Err(name.clone());
        }
    }
    Ok(())
}

/// Checks the weights of a network after so many steps of its training.
///
/// # Errors
/// [`TrainError::NotFinite`] names the first one that is not finite.
pub(crate) fn check_parameters(parameters: &Parameters, step: usize) -> std::result::Result<(), TrainError> {
    check_variables(&parameters.all(), step)
}

/// The same of any network's variables.
pub(crate) fn check_variables(variables: &[(String, Var)], step: usize) -> std::result::Result<(), TrainError> {
    for (name, var) in variables {
        if !all_values(var, |value| value.is_finite())? {
            let name = name.clone();
            return Err(TrainError::NotFinite { name, step });
        }
    }
    Ok(())
}

/// Describes why the weights of a network are unusable; `None` if they are fine.
pub(crate) fn problem(parameters: &Parameters) -> Result<Option<String>> {
    for (name, var) in parameters.all() {
        if !all_values(&var, |value| value.is_finite())? {
            return Ok(Some(format!("`{name}` holds a value that is not finite")));
        }
        if name.ends_with("running_var") && !all_values(&var, |value| value >= 0.0)? {
            return Ok(Some(format!("`{name}` holds a negative variance")));
        }
    }
    Ok(None)
}

/// Returns whether `holds` is true of every value.
fn all_values(tensor: &Tensor, holds: impl Fn(f64) -> bool) -> Result<bool> {
    let values = tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    Ok(values.into_iter().all(holds))
}
