use candle_core::{DType, Tensor};

use super::{
    change::{BatchChange, ChangeParts},
    form::{Form, Parameter},
    image_info::ImageInfo,
};
use crate::{TrainError, batches::MaskBatch};

/// Weighs attended images in the loss, less the pixels that a wrong mask would explain (after the loss of top-k images and
/// bottom-sigma pixels, Diagnostics 2025, 15(17) 2189, whose hard images are those of a batch with the largest loss).
pub(super) struct BottomPixels;

const LEFT_OUT: &str = "left_out";

impl Form for BottomPixels {
    fn key(&self) -> &'static str {
        "bottom-pixels"
    }

    fn about(&self) -> &'static str {
        "Losses of attended images are multiplied by `weight`, and the pixels that they are worst at do not count."
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[Parameter {
            key: LEFT_OUT,
            default: 0.05,
            least: 0.0,
            most: 0.9,
            about: "share of an attended image's pixels that do not count",
        }]
    }

    fn loss_weight(&self, image: &ImageInfo) -> f64 {
        image.weight
    }

    fn change(&self, parts: &ChangeParts<'_>) -> Option<Box<dyn BatchChange>> {
        Some(Box::new(Bottom {
            left_out: parts.params.get(LEFT_OUT),
        }))
    }
}

struct Bottom {
    left_out: f64,
}

impl BatchChange for Bottom {
    fn judged(&self, batch: MaskBatch, outputs: &Tensor) -> Result<MaskBatch, TrainError> {
        // (2 target - 1) logit: the cross entropy falls with it.
        let outputs = outputs.detach().to_dtype(DType::F32)?;
        let margins = (batch.targets.affine(2.0, -1.0)? * outputs)?.flatten_from(1)?;
        let margins: Vec<Vec<f32>> = margins.to_vec2()?;
        let counted = margins.iter().zip(&batch.attended).flat_map(|(margins, attended)| {
            let share = self.left_out * f64::from(*attended);
            without_worst(margins, (share * margins.len() as f64).round() as usize)
        });
        let counted: Vec<f32> = counted.collect();
        let counted = Tensor::from_vec(counted, batch.targets.shape(), batch.targets.device())?;
        Ok(MaskBatch {
            pixels: Some(match &batch.pixels {
                Some(pixels) => (pixels * counted)?,
                None => counted,
            }),
            ..batch
        })
    }
}

/// 0 for so many values, the smallest, 1 for the others; of equal ones the first go.
fn without_worst(margins: &[f32], count: usize) -> Vec<f32> {
    let mut counted = vec![1.0; margins.len()];
    if count == 0 {
        return counted;
    }
    let mut places: Vec<usize> = (0..margins.len()).collect();
    let by_margin = |a: &usize, b: &usize| margins[*a].total_cmp(&margins[*b]).then(a.cmp(b));
    if count < places.len() {
        places.select_nth_unstable_by(count, by_margin);
    }
    for place in places.into_iter().take(count) {
        counted[place] = 0.0;
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// The pixels that are most wrong go, in attended images alone and by how much they are attended to.
    #[test]
    fn the_worst_pixels_of_attended_images_go() {
        let device = Device::Cpu;
        let batch = MaskBatch {
            images: Tensor::zeros((3, 3, 2, 2), DType::F32, &device).unwrap(),
            targets: Tensor::new(&[[[[1f32, 0.], [1., 0.]]]; 3], &device)
                .unwrap()
                .reshape((3, 1, 2, 2))
                .unwrap(),
            weights: Tensor::ones(3, DType::F32, &device).unwrap(),
            pixels: None,
            strong: None,
            attended: vec![1.0, 0.0, 0.5],
        };
        let outputs = Tensor::new(&[[[[3f32, 2.], [-1., -4.]]]; 3], &device)
            .unwrap()
            .reshape((3, 1, 2, 2))
            .unwrap();
        let judged = Bottom { left_out: 0.5 }.judged(batch, &outputs).unwrap();
        let pixels: Vec<Vec<f32>> = judged.pixels.unwrap().flatten_from(1).unwrap().to_vec2().unwrap();
        assert_eq!(pixels, [[1., 0., 0., 1.], [1., 1., 1., 1.], [1., 0., 1., 1.]]);
    }

    #[test]
    fn equal_pixels_go_in_order() {
        assert_eq!(without_worst(&[1.0, 1.0, 1.0], 2), [0.0, 0.0, 1.0]);
        assert_eq!(without_worst(&[1.0, 0.0], 2), [0.0, 0.0]);
        assert_eq!(without_worst(&[1.0, 0.0], 0), [1.0, 1.0]);
    }
}
