//! Cross entropy of classes.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Tensor, WithDType};

use crate::OpsError;
use crate::portable;
use crate::real::{Reading, Real, by_dtype, check_real, elements};

struct CrossEntropy {
    labels: Vec<u32>,
    classes: usize,
}

impl CrossEntropy {
    /// `ln Σ e^z` and the largest logit of a row.
    fn log_sum<T: Real>(row: &[T]) -> f64 {
        let largest = row.iter().map(|v| v.to_f64()).fold(f64::NEG_INFINITY, f64::max);
        largest + row.iter().map(|v| (v.to_f64() - largest).exp()).sum::<f64>().ln()
    }
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "htl-cross-entropy"
    }

    fn cpu_fwd(&self, z: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let loss = by_dtype!(z.dtype(), self.name(), T => {
            let rows = elements::<T>(z, layout)?.chunks(self.classes).zip(&self.labels);
            let loss: Vec<T> =
                rows.map(|(row, &label)| T::from_f64(Self::log_sum(row) - row[label as usize].to_f64())).collect();
            Ok(T::to_cpu_storage_owned(loss))
        })?;
        Ok((loss, Shape::from(self.labels.len())))
    }

    fn bwd(&self, z: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        by_dtype!(z.dtype(), self.name(), T => {
            let (z_read, g_read) = (Reading::of(z), Reading::of(&grad));
            let rows = z_read.get::<T>()?.chunks(self.classes).zip(g_read.get::<T>()?).zip(&self.labels);
            let mut dz = Vec::with_capacity(z.elem_count());
            for ((row, g), &label) in rows {
                let log_sum = Self::log_sum(row);
                dz.extend(row.iter().enumerate().map(|(class, v)| {
                    let p = (v.to_f64() - log_sum).exp();
                    T::from_f64(g.to_f64() * (p - f64::from(u8::from(class == label as usize))))
                }));
            }
            Tensor::from_vec(dz, z.shape(), z.device()).map(Some)
        })
    }
}

/// Cross entropy of each row's softmax with its label.
///
/// # Shapes
/// - `logits`: `[batch, classes]`, `f32` or `f64`
/// - `labels`: `[batch]`, `u32`; the host reads them, so on the host they make it wait for no device
/// - result: `[batch]`
///
/// # Errors
/// [`OpsError::Label`] for a label that is not below `classes`; [`OpsError`] for shapes and types.
///
/// Matches `torch.nn.functional.cross_entropy(..., reduction="none")`.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor, OpsError> {
    const OP: &str = "cross_entropy";
    let &[batch, classes] = logits.dims() else {
        let found = logits.dims().to_vec();
        return Err(OpsError::Rank {
            op: OP,
            argument: "logits",
            expected: "[batch, classes]",
            found,
        });
    };
    check_real(OP, "logits", logits)?;
    if labels.dims() != [batch] {
        let found = labels.dims().to_vec();
        return Err(OpsError::Shape {
            op: OP,
            argument: "labels",
            expected: vec![batch],
            found,
        });
    }
    if labels.dtype() != DType::U32 {
        return Err(OpsError::DType {
            op: OP,
            argument: "labels",
            expected: "u32",
            found: labels.dtype(),
        });
    }
    let labels = labels.to_vec1::<u32>()?;
    if let Some((row, &label)) = labels.iter().enumerate().find(|&(_, &label)| label as usize >= classes) {
        return Err(OpsError::Label { row, label, classes });
    }
    if portable::takes(logits) {
        return Ok(portable::loss::cross_entropy(logits, &labels, classes)?);
    }
    Ok(logits.contiguous()?.apply_op1(CrossEntropy { labels, classes })?)
}
