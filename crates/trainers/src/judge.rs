use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use crate::TrainError;

/// IoU from which a mask counts as found.
const FOUND: f64 = 0.5;

/// One sample as a network sees it: the numbers of [`DynamicsRow`](crate::DynamicsRow), which defines them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// Cross entropy of the given label, in nats (per pixel in masks).
    pub loss: f64,
    /// Logit of the given label less the largest other (mean over pixels in masks).
    pub margin: f64,
    /// Norm of probabilities less label (root mean square over pixels in masks).
    pub el2n: f64,
    /// Whether the prediction agrees with the label.
    pub correct: bool,
}

/// Judges a localizer's outputs against the masks that it is trained with.
///
/// Per image, with z the logits, p their sigmoid and y the mask: the mean binary cross entropy over pixels; the mean of
/// `(2y - 1) z`, which is the given label's logit less the other's, z being lesion's less skin's; the root mean square of
/// `p - y`, per pixel EL2N but for a factor; and whether the masks `z > 0` and `y > 0.5` have an IoU of at least 0.5, the
/// criterion of PASCAL VOC (Everingham et al. 2010), two empty masks being equal.
///
/// # Shapes
/// - `logits`, `masks`: `[n, ...]` alike, such as `[n, 1, height, width]`; masks in [0, 1]
/// - result: n
///
/// # Errors
/// [`TrainError::Samples`] if the shapes differ.
pub fn judge_masks(logits: &Tensor, masks: &Tensor) -> Result<Vec<Judgement>, TrainError> {
    if logits.dims() != masks.dims() || logits.elem_count() == 0 {
        return Err(unlike(logits, masks));
    }
    let (z, y) = (flat(logits)?, flat(masks)?);
    let pixels = z.len() / logits.dim(0)?;
    Ok(z.par_chunks(pixels)
        .zip(y.par_chunks(pixels))
        .map(|(z, y)| of_mask(z, y))
        .collect())
}

fn of_mask(z: &[f32], y: &[f32]) -> Judgement {
    let (mut loss, mut margin, mut squares) = (0.0, 0.0, 0.0);
    let (mut both, mut either) = (0usize, 0usize);
    for (&z, &y) in z.iter().zip(y) {
        let (z, y) = (f64::from(z), f64::from(y));
        let small = (-z.abs()).exp();
        // Softplus, which does not overflow.
        loss += z.max(0.0) - z * y + small.ln_1p();
        margin += (2.0 * y - 1.0) * z;
        let p = if z >= 0.0 {
            1.0 / (1.0 + small)
        } else {
            small / (1.0 + small)
        };
        squares += (p - y) * (p - y);
        both += usize::from(z > 0.0 && y > 0.5);
        either += usize::from(z > 0.0 || y > 0.5);
    }
    let pixels = z.len() as f64;
    Judgement {
        loss: loss / pixels,
        margin: margin / pixels,
        el2n: (squares / pixels).sqrt(),
        correct: both as f64 >= FOUND * either as f64,
    }
}

/// Judges a classifier's outputs against the classes that it is trained with.
///
/// Per image: cross entropy; the margin of Pleiss et al. 2020, the given class's logit less the largest other; EL2N of Paul et
/// al. 2021, the Euclidean norm of softmax less one-hot; and whether the given class has the largest logit, ties
/// going to the first class as in `argmax`.
///
/// # Shapes
/// - `logits`: `[n, classes]`, at least two classes
/// - `labels`: `[n]`, class numbers
/// - result: n
///
/// # Errors
/// [`TrainError::Samples`] if there is not one label, under the number of classes, for each row of logits.
pub fn judge_classes(logits: &Tensor, labels: &Tensor) -> Result<Vec<Judgement>, TrainError> {
    let (&[n, classes], &[count]) = (logits.dims(), labels.dims()) else {
        return Err(unlike(logits, labels));
    };
    let numbers: Vec<u32> = labels.to_dtype(DType::U32)?.to_device(&Device::Cpu)?.to_vec1()?;
    if n != count || n == 0 || classes < 2 || numbers.iter().any(|&label| label as usize >= classes) {
        return Err(unlike(logits, labels));
    }
    let z = flat(logits)?;
    let rows = z.chunks_exact(classes).zip(numbers);
    Ok(rows.map(|(z, label)| of_class(z, label as usize)).collect())
}

fn of_class(z: &[f32], label: usize) -> Judgement {
    let z: Vec<f64> = z.iter().copied().map(f64::from).collect();
    let largest = z.iter().copied().fold(f64::MIN, f64::max);
    let sum: f64 = z.iter().map(|z| (z - largest).exp()).sum();
    let given = z.get(label).copied().unwrap_or(largest);
    let (mut squares, mut other) = (0.0, f64::MIN);
    for (class, &z) in z.iter().enumerate() {
        let error = (z - largest).exp() / sum - f64::from(u8::from(class == label));
        squares += error * error;
        if class != label {
            other = other.max(z);
        }
    }
    let first = z.iter().position(|&z| z == largest);
    Judgement {
        loss: sum.ln() - (given - largest),
        margin: given - other,
        el2n: squares.sqrt(),
        correct: first == Some(label),
    }
}

fn flat(tensor: &Tensor) -> Result<Vec<f32>, TrainError> {
    let tensor = tensor.detach().to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
    Ok(tensor.flatten_all()?.to_vec1()?)
}

fn unlike(outputs: &Tensor, labels: &Tensor) -> TrainError {
    TrainError::Judged {
        outputs: outputs.dims().to_vec(),
        labels: labels.dims().to_vec(),
    }
}
