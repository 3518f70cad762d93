use candle_core::{DType, Device, Tensor};

use crate::error::PruneError;

/// Absolute values in row-major order.
pub(super) fn scores(name: &str, weight: &Tensor) -> Result<Vec<f64>, PruneError> {
    // On the CPU: not every device has 64 bits.
    let weight = weight.to_device(&Device::Cpu)?.flatten_all()?;
    let mut values = weight.to_dtype(DType::F64)?.to_vec1::<f64>()?;
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
