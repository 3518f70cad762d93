use std::collections::BTreeMap;

use htl_datasets::Sampler;
use htl_mining::{ScoreTable, weights};

use super::{
    form::{Form, Views},
    image_info::ImageInfo,
    set::attended,
    settings::Attention,
};
use crate::TrainError;

/// Attention to each image of a set, in the order of the set.
#[derive(Clone)]
pub(crate) struct ImageAttention {
    form: Option<&'static dyn Form>,
    images: Vec<ImageInfo>,
    sampling: Option<Vec<f64>>,
    loss: Vec<f32>,
    strength: Vec<f32>,
}

impl ImageAttention {
    /// No attention.
    pub fn uniform(images: usize) -> Self {
        Self {
            form: None,
            images: Vec::new(),
            sampling: None,
            loss: vec![1.0; images],
            strength: vec![1.0; images],
        }
    }

    /// Attention to the set that the table selects.
    pub fn from_table(
        attention: &Attention,
        form: &'static dyn Form,
        table: &ScoreTable,
        ids: &[&str],
        seed: u64,
    ) -> Result<Self, TrainError> {
        let chosen = attended(attention, table, seed)?;
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        let selected: Vec<String> = ids.iter().filter(|id| chosen.contains(*id)).cloned().collect();
        if selected.is_empty() {
            return Err(TrainError::NobodyAttended {
                scores: attention.scores.clone(),
            });
        }
        let weights = weights(&ids, &selected, attention.weight)?;
        let info = |(image_id, weight): (String, f64)| ImageInfo {
            attended: chosen.contains(&image_id),
            scores: scores(table, &image_id),
            image_id,
            weight,
        };
        let images = ids.into_iter().zip(weights).map(info).collect();
        Ok(Self::of(form, images))
    }

    fn of(form: &'static dyn Form, images: Vec<ImageInfo>) -> Self {
        let sampling: Vec<Option<f64>> = images.iter().map(|image| form.sampling_weight(image)).collect();
        let drawn_alike = sampling.iter().all(Option::is_none);
        Self {
            sampling: (!drawn_alike).then(|| sampling.into_iter().map(|w| w.unwrap_or(1.0)).collect()),
            loss: images.iter().map(|image| form.loss_weight(image) as f32).collect(),
            strength: images.iter().map(|image| form.augmentation_strength(image)).collect(),
            images,
            form: Some(form),
        }
    }

    /// The same, but images that are not kept are never drawn.
    pub fn only(mut self, kept: &[bool]) -> Self {
        if kept.iter().all(|kept| *kept) {
            return self;
        }
        let weights = self.sampling.take().unwrap_or_else(|| vec![1.0; kept.len()]);
        let weights = weights.into_iter().zip(kept);
        self.sampling = Some(weights.map(|(weight, kept)| if *kept { weight } else { 0.0 }).collect());
        self
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.loss.len()
    }

    /// Relative sampling frequency of each image; `None`: all alike.
    pub fn sampling(&self) -> Option<&[f64]> {
        self.sampling.as_deref()
    }

    /// The order in which images are drawn.
    pub fn sampler(&self, seed: u64) -> Result<Sampler, TrainError> {
        Ok(match &self.sampling {
            Some(weights) => Sampler::weighted(weights, seed)?,
            None => Sampler::uniform(self.len(), seed)?,
        })
    }

    /// The factors of these images' losses as parts of 1: they keep their mean, so a batch without attended images has
    /// the ordinary loss.
    pub fn loss_weights(&self, indices: &[usize]) -> Vec<f32> {
        let weights: Vec<f32> = indices.iter().map(|&i| self.loss[i]).collect();
        let total: f32 = weights.iter().sum();
        weights.iter().map(|w| w / total).collect()
    }

    /// 1 for those of these images that are attended to, 0 for others.
    pub fn attended(&self, indices: &[usize]) -> Vec<f32> {
        let attended = |&i: &usize| self.images.get(i).is_some_and(|image| image.attended);
        indices.iter().map(|i| f32::from(u8::from(attended(i)))).collect()
    }

    /// Factor of the ranges that an image's augmentation is drawn from.
    pub fn strength(&self, index: usize) -> f32 {
        self.strength.get(index).copied().unwrap_or(1.0)
    }

    /// Which views of labelled images are made.
    pub fn views(&self) -> Views {
        self.form.map_or(Views::Weak, |form| form.views())
    }

    /// Weights of pixels, one map per image, if the form has any; `targets`: one map per image.
    pub fn pixel_masks(&self, targets: Option<&[Vec<f32>]>, size: usize) -> Option<Vec<Vec<f32>>> {
        let form = self.form?;
        let mask = |(index, image): (usize, &ImageInfo)| {
            let target = targets.and_then(|targets| targets.get(index)).map(Vec::as_slice);
            form.pixel_mask(image, target, size)
        };
        let masks: Vec<Option<Vec<f32>>> = self.images.iter().enumerate().map(mask).collect();
        let any = masks.iter().any(Option::is_some);
        let all_alike = || vec![1.0; size * size];
        any.then(|| masks.into_iter().map(|m| m.unwrap_or_else(all_alike)).collect())
    }
}

/// The scores of an image, by column.
fn scores(table: &ScoreTable, image_id: &str) -> BTreeMap<String, f64> {
    let Some(row) = table.get(image_id) else {
        return BTreeMap::new();
    };
    let columns = table.columns().iter().zip(&row.scores);
    columns
        .filter_map(|(name, score)| Some((name.clone(), (*score)?)))
        .collect()
}

#[cfg(test)]
impl ImageAttention {
    /// Attention with these weights.
    pub fn with_weights(sampling: Vec<f64>, loss: Vec<f32>) -> Self {
        Self {
            sampling: Some(sampling),
            loss: loss.clone(),
            ..Self::uniform(loss.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::{
        FORMS,
        settings::{AttendedSet, Suspects},
    };
    use htl_mining::{ScoreRow, column};

    fn table() -> ScoreTable {
        let mut table = ScoreTable::new([column::DISAGREEMENT, column::SUSPECT_LABEL]);
        for i in 0..20 {
            table
                .push(ScoreRow {
                    image_id: format!("i{i:02}"),
                    setting: String::new(),
                    fold: None,
                    scores: vec![Some(f64::from(i)), Some(f64::from(i == 19))],
                    htl: i >= 15,
                })
                .unwrap();
        }
        table
    }

    fn attention(set: AttendedSet, suspects: Suspects, form: &str) -> Attention {
        Attention {
            scores: "unused".into(),
            setting: None,
            fold: None,
            by: None,
            set,
            form: form.into(),
            weight: 3.0,
            suspects,
            params: BTreeMap::new(),
        }
    }

    fn of(form: &str) -> ImageAttention {
        let ids: Vec<String> = table().ids();
        let ids: Vec<&str> = ids.iter().map(String::as_str).chain(["elsewhere"]).collect();
        let attention = attention(AttendedSet::Htl, Suspects::Keep, form);
        let form = FORMS.iter().copied().find(|f| f.key() == form).unwrap();
        ImageAttention::from_table(&attention, form, &table(), &ids, 0).unwrap()
    }

    /// The attended set is the table's column, and each form changes what it says and nothing else.
    #[test]
    fn forms_change_one_thing_each() {
        let expected = [1.0, 3.0, 3.0, 3.0, 3.0, 3.0, 1.0];
        let ones = vec![1f32; 21];
        let sampling = of("sampling");
        assert_eq!(&sampling.sampling.as_ref().unwrap()[14..], expected);
        assert_eq!((&sampling.loss, &sampling.strength), (&ones, &ones));
        let loss = of("loss");
        assert_eq!(&loss.loss[14..], expected.map(|w| w as f32));
        assert_eq!((&loss.sampling, &loss.strength), (&None, &ones));
        let augmentation = of("augmentation");
        assert_eq!(&augmentation.strength[14..], expected.map(|w| w as f32));
        assert_eq!((&augmentation.sampling, &augmentation.loss), (&None, &ones));
        let consistency = of("consistency");
        assert_eq!((&consistency.sampling, &consistency.loss), (&None, &ones));
        assert_eq!(consistency.attended(&[0, 15, 20]), [0.0, 1.0, 0.0]);
        assert!(consistency.pixel_masks(None, 4).is_none());
    }

    /// A form reads scores and gives pixels weights; images that it has nothing to say about count as a whole.
    #[test]
    fn a_form_can_mask_pixels_by_score() {
        struct HalfOfTheHardest;
        impl Form for HalfOfTheHardest {
            fn key(&self) -> &'static str {
                "half"
            }
            fn about(&self) -> &'static str {
                "Counts the upper half of the hardest image's target."
            }
            fn pixel_mask(&self, image: &ImageInfo, target: Option<&[f32]>, size: usize) -> Option<Vec<f32>> {
                let hardest = image.score(column::DISAGREEMENT)? > 18.0 && image.image_id == "i19";
                let half = |at: usize| if at < size * size / 2 { 1.0 } else { 0.0 };
                hardest.then(|| {
                    target
                        .unwrap_or_default()
                        .iter()
                        .enumerate()
                        .map(|(at, t)| t * half(at))
                        .collect()
                })
            }
        }
        let attention = ImageAttention::of(&HalfOfTheHardest, of("loss").images);
        let masks = attention.pixel_masks(Some(&vec![vec![1.0; 4]; 21]), 2).unwrap();
        assert_eq!(masks[19], [1.0, 1.0, 0.0, 0.0]);
        assert!(masks.iter().enumerate().all(|(i, mask)| i == 19 || *mask == [1.0; 4]));
    }

    #[test]
    fn the_random_set_is_as_large_and_differs_between_seeds() {
        let draw = |seed| attended(&attention(AttendedSet::Random, Suspects::Keep, "loss"), &table(), seed).unwrap();
        assert_eq!(draw(0).len(), 5);
        assert_eq!(draw(0), draw(0));
        assert!((1..9).any(|seed| draw(seed) != draw(0)));
    }

    #[test]
    fn suspects_can_be_left_out_of_both_sets() {
        for set in [AttendedSet::Htl, AttendedSet::Random] {
            for seed in 0..20 {
                let chosen = attended(&attention(set, Suspects::LeaveOut, "loss"), &table(), seed).unwrap();
                assert_eq!(chosen.len(), 4);
                assert!(!chosen.contains("i19"));
            }
        }
    }
}
