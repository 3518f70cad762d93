use htl_datasets::{DataFolder, Sample, Split, colour_prior};
use htl_metrics::{CentredDisc, ImageScores, Mask, PerImage, otsu_darkness, whole_image};
use htl_vocabulary::trivial::{self, Trivial};

use crate::InferenceError;
use crate::evaluate::with_groups;
use crate::truth::{stored_mask, with_masks};

/// The mask of one sample, which has `[height, width]`.
type MaskOf = Box<dyn Fn(&Sample, [usize; 2]) -> Result<Mask, InferenceError>>;

/// How a predictor that learns nothing is made: what it has to know of the training masks, and what it then says.
struct Row {
    trivial: &'static Trivial,
    fit: fn(&DataFolder) -> Result<MaskOf, InferenceError>,
}

const ROWS: &[Row] = &[
    Row {
        trivial: &trivial::WHOLE_IMAGE,
        fit: |_| Ok(Box::new(|_, [height, width]| Ok(whole_image(height, width)?))),
    },
    Row {
        trivial: &trivial::CENTRED_DISC,
        fit: |data| {
            let train = with_masks(data, Split::Train)?;
            let masks: Vec<Mask> = train.into_iter().map(stored_mask).collect::<Result<_, _>>()?;
            let disc = CentredDisc::fit(&masks)?;
            Ok(Box::new(move |_, [height, width]| Ok(disc.predict(height, width)?)))
        },
    },
    Row {
        trivial: &trivial::OTSU,
        fit: |_| {
            Ok(Box::new(|sample, [height, width]| {
                otsu_darkness(height, width, &planes(sample)?).map_err(|source| InferenceError::Image {
                    path: sample.image.clone(),
                    source,
                })
            }))
        },
    },
    Row {
        trivial: &trivial::COLOUR_PRIOR,
        fit: |_| {
            Ok(Box::new(|sample, [height, width]| {
                let prior = colour_prior(height, width, &planes(sample)?)?;
                Ok(Mask::new(height, width, prior.mask)?)
            }))
        },
    },
];

/// A stored image, `[3 * height * width]`, in [0, 1].
fn planes(sample: &Sample) -> Result<Vec<f32>, InferenceError> {
    let rgb = htl_datasets::read_rgb(&sample.image)?;
    let plane = |c: usize| rgb.pixels().map(move |pixel| f32::from(pixel.0[c]) / 255.0);
    Ok((0..3).flat_map(plane).collect())
}

/// The metrics of a predictor that learns nothing, image by image; `samples` all have a mask.
///
/// # Errors
/// [`InferenceError::UnknownPredictor`] for a row that is not of [`trivial::TRIVIAL`], [`InferenceError::NoMasks`] if the
/// predictor needs training masks and there are none, and from reading the files.
pub fn evaluate_trivial(
    predictor: &Trivial,
    data: &DataFolder,
    samples: &[&Sample],
) -> Result<PerImage, InferenceError> {
    let row = ROWS.iter().find(|row| row.trivial.key == predictor.key);
    let row = row.ok_or(InferenceError::UnknownPredictor { found: predictor.key })?;
    let mask_of = (row.fit)(data)?;
    let scores = samples
        .iter()
        .map(|sample| {
            let truth = stored_mask(sample)?;
            let mask = mask_of(sample, [truth.height(), truth.width()])?;
            Ok(ImageScores::of(&sample.image_id, &mask, &truth)?)
        })
        .collect::<Result<_, InferenceError>>()?;
    Ok(with_groups(scores, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every predictor that the vocabulary names can be made.
    #[test]
    fn every_named_predictor_has_its_row() {
        let rows: Vec<&str> = ROWS.iter().map(|row| row.trivial.key).collect();
        let named: Vec<&str> = trivial::TRIVIAL.iter().map(|trivial| trivial.key).collect();
        assert_eq!(rows, named);
    }
}
