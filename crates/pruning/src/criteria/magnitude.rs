use candle_core::{DType, Device, Tensor};

use super::{Context, Criterion, Needs, Scope};
use crate::error::PruneError;

pub(super) static GLOBAL_MAGNITUDE: Criterion = Criterion {
    name: "global-magnitude",
    about: "smallest absolute value over all prunable weights together",
    reference: "`torch.nn.utils.prune.global_unstructured` with `L1Unstructured` (golden test)",
    scope: Scope::Global,
    needs: Needs::Weights,
    scores: |context| scores(context),
};

pub(super) static LAYER_MAGNITUDE: Criterion = Criterion {
    name: "layer-magnitude",
    about: "smallest absolute value within each tensor",
    reference: "`torch.nn.utils.prune.l1_unstructured` on each layer (golden test)",
    scope: Scope::Layer,
    needs: Needs::Weights,
    scores: |context| scores(context),
};

/// Absolute values in row-major order.
pub(super) fn scores(context: &Context) -> Result<Vec<f64>, PruneError> {
    let mut values = finite_values(context.name, context.weight)?;
    values.iter_mut().for_each(|value| *value = value.abs());
    Ok(values)
}

/// The values of a tensor in row-major order.
pub(super) fn finite_values(name: &str, tensor: &Tensor) -> Result<Vec<f64>, PruneError> {
    // On the CPU: not every device has 64 bits.
    let tensor = tensor.to_device(&Device::Cpu)?.flatten_all()?;
    let values = tensor.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(values),
        Some(index) => Err(PruneError::NotFinite {
            name: name.to_string(),
            index,
            value: values[index],
        }),
    }
}
