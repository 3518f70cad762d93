use htl_datasets::{DataFolder, ImageSet, MaskUse};
use htl_metrics::{Confusion, Mask};
use htl_mining::{Population, ScoreRow, ScoreTable, column::TRUE_ERROR};

use crate::InferenceError;

/// What is wrong with pseudo-masks, for trainings that know: how wrong each is (column [`TRUE_ERROR`]: 1 - IoU with the true one), and maps
/// with the true masks in the place of pruned networks. Masks that nobody made are taken to be right.
///
/// # Errors
/// [`InferenceError::UnknownImage`] for maps of an image that the folder does not have, and from reading masks.
pub fn judge_pseudo_masks(data: &DataFolder, maps: &Population) -> Result<(ScoreTable, Population), InferenceError> {
    let (height, width) = maps.size();
    let mut table = ScoreTable::new([TRUE_ERROR]);
    let mut masks = Vec::with_capacity(maps.len());
    for (position, id) in maps.ids().iter().enumerate() {
        let sample = data
            .get(id)
            .ok_or_else(|| InferenceError::UnknownImage { image_id: id.clone() })?;
        let pseudo = Mask::above(height, width, &maps.planes(position)?[0], 0.5)?;
        let truth = match ImageSet::load(&[sample], height, MaskUse::IfPresent)?.mask_bytes(0) {
            Some(truth) => Mask::new(height, width, truth.to_vec())?,
            None => pseudo.clone(),
        };
        table.push(ScoreRow {
            image_id: id.clone(),
            scores: vec![Some(1.0 - Confusion::of(&pseudo, &truth)?.jaccard())],
            ..ScoreRow::default()
        })?;
        masks.push(truth);
    }
    let beside = maps.beside(&masks)?;
    Ok((table, beside))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    const SIDE: u32 = 16;

    /// Two images whose lesion is the left half, of which networks see the upper half and nothing; one without a mask.
    #[test]
    fn what_is_wrong_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["images", "masks"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        let mut table = String::from("image_id,split,age_approx,sex,anatom_site,dx\n");
        for id in ["a", "b", "c"] {
            let picture = image::RgbImage::from_pixel(SIDE, SIDE, image::Rgb([200, 160, 140]));
            picture.save(path(&format!("images/{id}.png"))).unwrap();
            if id != "c" {
                let half =
                    image::GrayImage::from_fn(SIDE, SIDE, |x, _| image::Luma([if x < SIDE / 2 { 255 } else { 0 }]));
                half.save(path(&format!("masks/{id}_segmentation.png"))).unwrap();
            }
            table += &format!("{id},train,,,,\n");
        }
        std::fs::write(path("metadata.csv"), table).unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        let of = |rows: &dyn Fn(usize) -> usize| {
            let side = SIDE as usize;
            let value = |at: usize| {
                f32::from(u8::from(
                    at % side < side / 2 && at % (side * side) / side < rows(at / side / side),
                ))
            };
            (0..3 * side * side).map(value).collect::<Vec<f32>>()
        };
        let seen = of(&|image| [8, 0, 4][image]);
        let maps = maps_of(&seen);
        let (table, beside) = judge_pseudo_masks(&data, &maps).unwrap();
        let errors: Vec<Option<f64>> = table.rows().iter().map(|row| row.scores[0]).collect();
        assert_eq!(errors, [Some(0.5), Some(1.0), Some(0.0)]);
        let whole = of(&|image| [16, 16, 4][image]);
        for (image, truth) in whole.chunks(256).enumerate() {
            assert_eq!(beside.planes(image).unwrap()[1], truth);
        }
    }

    fn maps_of(values: &[f32]) -> Population {
        let maps = Tensor::from_slice(values, (3, SIDE as usize, SIDE as usize), &Device::Cpu).unwrap();
        Population::new(["a", "b", "c"].map(String::from).into(), vec![maps]).unwrap()
    }
}
