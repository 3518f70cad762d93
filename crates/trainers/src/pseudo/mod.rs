//! Pseudo-masks: what stands in for masks where there are none, which of its pixels count, and which images.

mod leave_out;
mod params;
mod pixels;
mod source;

use htl_datasets::ImageSet;
use htl_metrics::Mask;

pub use params::{LeaveOut, PixelRule, PseudoMasks};
pub(crate) use pixels::without_outline;
use source::Source;
pub(crate) use source::{Prior, by_colour};

use crate::TrainError;

/// The pseudo-masks of the images of a set, in its order.
pub(crate) struct PseudoTargets {
    /// Targets, `[size * size]` values 0 or 1.
    pub targets: Vec<Vec<f32>>,
    /// Weights of pixels in the loss; `None`: all count.
    pub pixels: Option<Vec<Vec<f32>>>,
    /// Whether an image takes part.
    pub kept: Vec<bool>,
}

impl PseudoTargets {
    /// Makes them as the configuration says; `seed` draws what is left out at random.
    pub fn of(params: &PseudoMasks, prior: Prior<'_>, images: &ImageSet, seed: u64) -> Result<Self, TrainError> {
        let source = Source::of(params, prior, images)?;
        let pixels = pixels::weights(params.pixels, &source, prior, images)?;
        let kept = leave_out::kept(params, &source, prior, images, seed)?;
        let target = |mask: &Mask| mask.pixels().iter().map(|pixel| f32::from(*pixel)).collect();
        Ok(Self {
            targets: source.masks.iter().map(target).collect(),
            pixels,
            kept,
        })
    }
}

/// Weights of pixels by two rules, either of which may have none.
pub(crate) fn product(a: Option<Vec<Vec<f32>>>, b: Option<Vec<Vec<f32>>>) -> Option<Vec<Vec<f32>>> {
    match (a, b) {
        (Some(a), Some(b)) => {
            let image = |(a, b): (Vec<f32>, Vec<f32>)| a.iter().zip(b).map(|(a, b)| a * b).collect();
            Some(a.into_iter().zip(b).map(image).collect())
        }
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::Arc;

    use candle_core::{Device, Tensor};
    use htl_datasets::{DataFolder, MaskUse, Split};
    use htl_mining::{Encoding, Population, ScoreRow, ScoreTable};

    pub const SIZE: usize = 32;

    /// Six training photographs of a dark square on skin, without masks.
    pub fn images(folder: &std::path::Path) -> Arc<ImageSet> {
        std::fs::create_dir(folder.join("images")).unwrap();
        let mut table = String::from("image_id,split,age_approx,sex,anatom_site,dx\n");
        for i in 0..8u32 {
            let inside = |x: u32, y: u32| (10..22).contains(&x) && (8 + i..20 + i).contains(&y);
            let colour = |x, y| image::Rgb(if inside(x, y) { [100, 60, 50] } else { [220, 180, 160] });
            let picture = image::RgbImage::from_fn(SIZE as u32, SIZE as u32, colour);
            picture.save(folder.join(format!("images/i{i}.png"))).unwrap();
            let split = ["train", "val", "test"][i.saturating_sub(5) as usize];
            table.push_str(&format!("i{i},{split},,,,\n"));
        }
        std::fs::write(folder.join("metadata.csv"), table).unwrap();
        let data = DataFolder::open(folder).unwrap();
        let samples = data.split(Split::Train);
        Arc::new(ImageSet::load(&samples, SIZE, MaskUse::Ignore).unwrap())
    }

    /// Consensus maps in which dense networks see the left half and pruned ones a column less; the last image differs more.
    fn maps(folder: &std::path::Path) -> std::path::PathBuf {
        let plane = |columns: usize| (0..SIZE * SIZE).map(move |at| if at % SIZE < columns { 0.9f32 } else { 0.1 });
        let of = |columns: &dyn Fn(usize) -> usize| {
            let values: Vec<f32> = (0..6).flat_map(|image| plane(columns(image))).collect();
            Tensor::from_vec(values, (6, SIZE, SIZE), &Device::Cpu).unwrap()
        };
        let (dense, sparse) = (of(&|_| 16), of(&|image| if image == 5 { 4 } else { 15 }));
        let ids = (0..6).map(|i| format!("i{i}")).collect();
        let path = folder.join("maps.safetensors");
        Population::new(ids, vec![dense, sparse])
            .unwrap()
            .save(&path, Encoding::U8)
            .unwrap();
        path
    }

    #[test]
    fn colours_are_the_first_source() {
        let folder = tempfile::tempdir().unwrap();
        let images = images(folder.path());
        let found = PseudoTargets::of(&PseudoMasks::default(), Prior::Colours, &images, 0).unwrap();
        assert!(found.pixels.is_none() && found.kept.iter().all(|kept| *kept));
        for (index, target) in found.targets.iter().enumerate() {
            let area: f32 = target.iter().sum();
            assert!((90.0..260.0).contains(&area), "{index}: {area}");
            assert_eq!(target[(14 + index) * SIZE + 16], 1.0);
        }
        let certain = PseudoMasks {
            pixels: PixelRule::Certain,
            ..PseudoMasks::default()
        };
        let found = PseudoTargets::of(&certain, Prior::Colours, &images, 0).unwrap();
        let weights = &found.pixels.unwrap()[0];
        assert!(weights[0] == 1.0 && weights.contains(&0.0));
    }

    /// Pixels on which dense and pruned networks part do not count; as many along the outline are the control.
    #[test]
    fn pixels_on_which_networks_part_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let images = images(folder.path());
        let params = |pixels| PseudoMasks {
            maps: Some(maps(folder.path())),
            pixels,
            ..PseudoMasks::default()
        };
        let left_out = |pixels| -> Vec<usize> {
            let found = PseudoTargets::of(&params(pixels), Prior::Colours, &images, 0).unwrap();
            assert_eq!(found.targets[0].iter().sum::<f32>(), (16 * SIZE) as f32);
            let count = |weights: &Vec<f32>| weights.iter().filter(|weight| **weight == 0.0).count();
            found.pixels.unwrap().iter().map(count).collect()
        };
        let agreed = left_out(PixelRule::Agreed);
        assert_eq!((agreed[0], agreed[5]), (SIZE, 12 * SIZE));
        assert_eq!(left_out(PixelRule::Outline), agreed);
        let alone = PseudoMasks {
            pixels: PixelRule::Agreed,
            ..PseudoMasks::default()
        };
        let said = PseudoTargets::of(&alone, Prior::Colours, &images, 0)
            .err()
            .unwrap()
            .to_string();
        assert!(said.contains("pseudo.maps"), "{said}");
    }

    /// Networks may not say lesion outside a box; where they say nothing inside, the box speaks.
    #[test]
    fn boxes_cut_what_networks_say() {
        let folder = tempfile::tempdir().unwrap();
        let images = images(folder.path());
        let bounds = |left, right| {
            Some(htl_datasets::PixelBox {
                top: 4,
                left,
                bottom: 12,
                right,
            })
        };
        // Networks see the left half: this box lies across its border, the last one beyond it. One image shows no lesion.
        let mut boxes = vec![bounds(10, 20); 6];
        boxes[4] = None;
        boxes[5] = bounds(20, 28);
        let params = PseudoMasks {
            maps: Some(maps(folder.path())),
            ..PseudoMasks::default()
        };
        let prior = Prior::Boxes {
            boxes: &boxes,
            targets: crate::BoxTargets::FilledBox,
        };
        let found = PseudoTargets::of(&params, prior, &images, 0).unwrap();
        let area = |image: usize| found.targets[image].iter().sum::<f32>();
        assert_eq!((area(0), area(4), area(5)), (8.0 * 6.0, 0.0, 8.0 * 8.0));
        for targets in [
            crate::BoxTargets::FilledBox,
            crate::BoxTargets::Ellipse,
            crate::BoxTargets::Refined,
        ] {
            let prior = Prior::Boxes { boxes: &boxes, targets };
            let found = PseudoTargets::of(&PseudoMasks::default(), prior, &images, 0).unwrap();
            let area = |image: usize| found.targets[image].iter().sum::<f32>();
            assert!(area(0) > 0.0 && area(4) == 0.0, "{targets:?}");
        }
        let found = PseudoTargets::of(&PseudoMasks::default(), prior, &images, 0).unwrap();
        assert_eq!(found.targets[0].iter().sum::<f32>(), 8.0 * 10.0);
    }

    /// The images with the largest score are left out, by a table, by the colour prior, or by lot.
    #[test]
    fn images_are_left_out_by_any_score() {
        let folder = tempfile::tempdir().unwrap();
        let images = images(folder.path());
        let mut table = ScoreTable::new(["forgetting_raw"]);
        for i in 0..6 {
            let scores = vec![Some(f64::from(i == 2) + f64::from(i) / 10.0)];
            let image_id = format!("i{i}");
            table
                .push(ScoreRow {
                    image_id,
                    scores,
                    ..ScoreRow::default()
                })
                .unwrap();
        }
        let scores = folder.path().join("scores.csv");
        table.write(&scores).unwrap();
        let kept = |by: &str, seed| {
            let params = PseudoMasks {
                maps: Some(maps(folder.path())),
                leave_out: Some(LeaveOut {
                    share: 0.34,
                    by: by.into(),
                    scores: Some(scores.clone()),
                }),
                ..PseudoMasks::default()
            };
            PseudoTargets::of(&params, Prior::Colours, &images, seed).map(|found| found.kept)
        };
        assert_eq!(
            kept("forgetting_raw", 0).unwrap(),
            [true, true, false, true, true, false]
        );
        let random = kept("random", 0).unwrap();
        assert_eq!(random.iter().filter(|kept| **kept).count(), 4);
        assert!((1..9).any(|seed| kept("random", seed).unwrap() != random));
        assert_eq!(kept("prior", 0).unwrap().iter().filter(|kept| **kept).count(), 4);
        assert!(kept("nonsense", 0).err().unwrap().to_string().contains("nonsense"));
    }
}
