use std::collections::BTreeMap;

use htl_datasets::Sampler;
use htl_mining::ScoreTable;

use super::{
    form::{Form, Views},
    image_info::ImageInfo,
    set::grades,
    settings::Attention,
};
use crate::TrainError;

/// Attention to each image of a set, in the order of the set.
#[derive(Clone)]
pub(crate) struct ImageAttention {
    form: Option<&'static dyn Form>,
    images: Vec<ImageInfo>,
    /// Share of the steps before attention begins.
    after: f64,
    /// Relative sampling frequency without attention; `None`: all alike.
    plain: Option<Vec<f64>>,
    /// The factor that attention has on it.
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
            after: 0.0,
            plain: None,
            sampling: None,
            loss: vec![1.0; images],
            strength: vec![1.0; images],
        }
    }

    /// Attention to the set that the table selects, or to every image by its score.
    pub fn from_table(
        attention: &Attention,
        form: &'static dyn Form,
        table: &ScoreTable,
        ids: &[&str],
        seed: u64,
    ) -> Result<Self, TrainError> {
        let grades = grades(attention, table, seed)?;
        if ids.iter().all(|id| !grades.contains_key(*id)) {
            return Err(TrainError::NobodyAttended {
                scores: attention.scores.clone().unwrap_or_else(|| "attention".into()),
            });
        }
        let info = |id: &&str| {
            let attended = grades.get(*id).copied().unwrap_or(0.0);
            ImageInfo {
                attended,
                weight: 1.0 + (attention.weight - 1.0) * attended,
                scores: scores(table, id),
                image_id: (*id).to_owned(),
            }
        };
        let images = ids.iter().map(info).collect();
        Ok(Self {
            after: attention.after,
            ..Self::of(form, images)
        })
    }

    fn of(form: &'static dyn Form, images: Vec<ImageInfo>) -> Self {
        let sampling: Vec<Option<f64>> = images.iter().map(|image| form.sampling_weight(image)).collect();
        let drawn_alike = sampling.iter().all(Option::is_none);
        Self {
            sampling: (!drawn_alike).then(|| sampling.into_iter().map(|w| w.unwrap_or(1.0)).collect()),
            loss: images.iter().map(|image| form.loss_weight(image) as f32).collect(),
            strength: images.iter().map(|image| form.augmentation_strength(image)).collect(),
            images,
            after: 0.0,
            plain: None,
            form: Some(form),
        }
    }

    /// The same, but images that are not kept are never drawn.
    pub fn only(self, kept: &[bool]) -> Self {
        if kept.iter().all(|kept| *kept) {
            return self;
        }
        let kept: Vec<f64> = kept.iter().map(|kept| f64::from(u8::from(*kept))).collect();
        self.drawn_by(&kept)
    }

    /// The same among images that are drawn with these relative frequencies without attention.
    pub fn drawn_by(mut self, frequencies: &[f64]) -> Self {
        self.plain = Some(multiplied(self.plain.as_deref(), frequencies));
        self
    }

    /// What holds before attention begins: every image alike, drawn and seen in as many views.
    pub fn before(&self) -> Self {
        let images = self.images.iter().map(|image| ImageInfo {
            attended: 0.0,
            weight: 1.0,
            ..image.clone()
        });
        Self {
            form: self.form,
            images: images.collect(),
            plain: self.plain.clone(),
            ..Self::uniform(self.len())
        }
    }

    /// Share of the steps before attention begins.
    pub fn after(&self) -> f64 {
        self.after
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.loss.len()
    }

    /// The order in which images are drawn.
    pub fn sampler(&self, seed: u64) -> Result<Sampler, TrainError> {
        let weights = match (&self.plain, &self.sampling) {
            (plain, Some(factors)) => multiplied(plain.as_deref(), factors),
            (Some(plain), None) => plain.clone(),
            (None, None) => return Ok(Sampler::uniform(self.len(), seed)?),
        };
        Ok(Sampler::weighted(&weights, seed)?)
    }

    /// The factors of these images' losses as parts of 1: they keep their mean, so a batch without attended images has
    /// the ordinary loss.
    pub fn loss_weights(&self, indices: &[usize]) -> Vec<f32> {
        let weights: Vec<f32> = indices.iter().map(|&i| self.loss[i]).collect();
        let total: f32 = weights.iter().sum();
        weights.iter().map(|w| w / total).collect()
    }

    /// How much these images are attended to: 1 fully, 0 not at all.
    pub fn attended(&self, indices: &[usize]) -> Vec<f32> {
        let attended = |&i: &usize| self.images.get(i).map_or(0.0, |image| image.attended);
        indices.iter().map(|i| attended(i) as f32).collect()
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

/// Weights times factors; no weights are ones.
fn multiplied(weights: Option<&[f64]>, factors: &[f64]) -> Vec<f64> {
    match weights {
        None => factors.to_vec(),
        Some(weights) => weights.iter().zip(factors).map(|(w, f)| w * f).collect(),
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
        Draws, FORMS,
        settings::{AttendedSet, Dose, Suspects},
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
            set,
            form: form.into(),
            weight: 3.0,
            suspects,
            ..Attention::to("unused")
        }
    }

    fn of(form: &str) -> ImageAttention {
        let ids: Vec<String> = table().ids();
        let ids: Vec<&str> = ids.iter().map(String::as_str).chain(["elsewhere"]).collect();
        let attention = attention(AttendedSet::Htl, Suspects::Keep, form);
        let form = FORMS.iter().copied().find(|f| f.key() == form).unwrap();
        ImageAttention::from_table(&attention, form, &table(), &ids, 0).unwrap()
    }

    /// Before attention begins, draws are those of a training without it; images that are left out stay so.
    #[test]
    fn attention_can_begin_late() {
        let kept: Vec<bool> = (0..21).map(|i| i != 20).collect();
        let late = ImageAttention {
            after: 0.5,
            ..of("sampling")
        };
        let draws = Draws::new(late.clone().only(&kept), 7, 10).unwrap();
        let without = Draws::new(ImageAttention::uniform(21).only(&kept), 7, 10).unwrap();
        let always = Draws::new(of("sampling").only(&kept), 7, 10).unwrap();
        for step in 0..10 {
            let (images, attention) = draws.at(step, 21);
            let expected = if step < 5 { &without } else { &always };
            assert_eq!(images, expected.at(step, 21).0, "step {step}");
            assert!(!images.contains(&20));
            assert_eq!(attention.attended(&[15]), [if step < 5 { 0.0 } else { 1.0 }]);
        }
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

    fn attended(attention: &Attention, seed: u64) -> BTreeMap<String, f64> {
        grades(attention, &table(), seed).unwrap().into_iter().collect()
    }

    #[test]
    fn the_random_set_is_as_large_and_differs_between_seeds() {
        let draw = |seed| attended(&attention(AttendedSet::Random, Suspects::Keep, "loss"), seed);
        assert_eq!(draw(0).len(), 5);
        assert_eq!(draw(0), draw(0));
        assert!((1..9).any(|seed| draw(seed) != draw(0)));
    }

    #[test]
    fn suspects_can_be_left_out_of_both_sets() {
        for set in [AttendedSet::Htl, AttendedSet::Random] {
            for seed in 0..20 {
                let chosen = attended(&attention(set, Suspects::LeaveOut, "loss"), seed);
                assert_eq!(chosen.len(), 4);
                assert!(!chosen.contains_key("i19"));
            }
        }
    }

    fn dosed(dose: Dose, set: AttendedSet) -> Attention {
        Attention {
            dose,
            ..attention(set, Suspects::Keep, "sampling")
        }
    }

    /// Scores are 0 to 19: in proportion to score and to rank alike, and a power bends both.
    #[test]
    fn doses_grow_with_the_score() {
        for dose in [Dose::Score, Dose::Rank] {
            let grades = attended(&dosed(dose, AttendedSet::Htl), 0);
            assert_eq!(grades.len(), 19, "the easiest is not attended to");
            for i in 1..20 {
                let grade = grades[&format!("i{i:02}")];
                assert!((grade - f64::from(i) / 19.0).abs() < 1e-12, "{i}: {grade}");
            }
            let mut squared = dosed(dose, AttendedSet::Htl);
            squared.power = 2.0;
            assert!((attended(&squared, 0)["i10"] - (10f64 / 19.0).powi(2)).abs() < 1e-12);
            squared.suspects = Suspects::LeaveOut;
            assert!(!attended(&squared, 0).contains_key("i19"));
        }
    }

    /// A control gives the same weights to other images; a matched one within tenths of the column, here pairs of images.
    #[test]
    fn controls_keep_the_doses() {
        let method = attended(&dosed(Dose::Rank, AttendedSet::Htl), 0);
        let sorted = |grades: &BTreeMap<String, f64>| {
            let mut values: Vec<f64> = grades.values().copied().collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let mut control = dosed(Dose::Rank, AttendedSet::Random);
        let random = attended(&control, 3);
        assert!(random != method && sorted(&random) == sorted(&method));
        control.matched = Some(column::DISAGREEMENT.into());
        let matched = attended(&control, 3);
        assert!(matched != method && sorted(&matched) == sorted(&method));
        for (id, grade) in &matched {
            assert!(
                (grade - method.get(id).copied().unwrap_or(0.0)).abs() < 1.01 / 19.0,
                "{id}"
            );
        }
        control.dose = Dose::Set;
        let matched = attended(&control, 3);
        assert_eq!(matched.len(), 5);
        let certain = ["i16", "i17", "i18", "i19"];
        assert!(certain.iter().all(|id| matched.contains_key(*id)), "{matched:?}");
        control.matched = Some("weight".into());
        assert!(grades(&control, &table(), 0).is_err());
    }
}
