use candle_core::{DType, Tensor};

use crate::error::PruneError;

/// Absolute values in row-major order.
pub(super) fn scores(name: &str, weight: &Tensor) -> Result<Vec<f64>, PruneError> {
    let mut values = weight.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    for (index, value) in values.iter_mut().enumerate() {
        if !value.is_finite() {
            return Err(PruneError::NotFinite {
                name: name.to_string(),
                index,
                value: *value,
            });
        }
        *value = value.abs();
    }
    Ok(values)
}
