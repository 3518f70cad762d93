//! The scores of an image: one row each, in files by what they look at.
mod context;
mod disagreement;
mod dynamics;
mod exemplar;
mod forgetting;
mod gradient;
mod label;
mod plain;
mod population;
mod quality;
mod votes;

pub use context::{ClassContext, DynamicsContext, Errors, ImageContext};

/// What a score needs beyond maps of a dense population; without it the score is blank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A sparse population.
    Sparse,
    /// A sham population.
    Sham,
    /// Forgetting curves.
    Curve,
    /// The image's true mask.
    Truth,
    /// At least two dense seeds.
    Seeds,
    /// Maps that are probabilities, not class activations.
    Probabilities,
    /// Class predictions.
    Classes,
    /// The photograph, measured where the networks see the lesion.
    Photograph,
    /// The history of a training: `dynamics.csv`.
    Dynamics,
    /// Norms of the gradient of each image's loss.
    Gradients,
}

impl Need {
    /// In words, as in "needs a sham population".
    pub fn words(self) -> &'static str {
        match self {
            Self::Sparse => "a sparse population",
            Self::Sham => "a sham population",
            Self::Curve => "forgetting curves",
            Self::Truth => "masks",
            Self::Seeds => "two dense seeds",
            Self::Probabilities => "probability maps",
            Self::Classes => "class predictions",
            Self::Photograph => "the photograph",
            Self::Dynamics => "`dynamics.csv`",
            Self::Gradients => "gradients",
        }
    }
}

/// How a score is computed; `None` where it is not defined although its needs are met.
#[derive(Debug, Clone, Copy)]
pub enum Measure {
    /// From maps and masks.
    Maps(fn(&ImageContext) -> Option<f64>),
    /// From class predictions.
    Classes(fn(&ClassContext) -> Option<f64>),
    /// From the history of a training.
    Dynamics(fn(&DynamicsContext) -> Option<f64>),
    /// From the norm of the gradient of the image's loss, one per network.
    Gradients(fn(&[f64]) -> Option<f64>),
}

/// What a score is computed from, and so in which tables it is a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Maps and masks: a column of every table of localizers or classifiers.
    Maps,
    /// Class predictions: a column where the networks are classifiers.
    Classes,
    /// The history of a training: a column where `dynamics.csv` is given.
    Dynamics,
    /// Gradients: a column where a program gives them.
    Gradients,
}

/// A score: a column of `scores.csv`. In every one higher = harder.
#[derive(Debug, Clone, Copy)]
pub struct Score {
    /// Name of the column, and what `htl mine --by` takes.
    pub key: &'static str,
    /// Name for a heading or a legend.
    pub label: &'static str,
    /// What it measures, in a sentence without a full stop.
    pub about: &'static str,
    /// What must be there for it to have a value.
    pub needs: &'static [Need],
    /// How it is computed.
    pub of: Measure,
}

impl Score {
    /// What it is computed from.
    pub const fn input(&self) -> Input {
        match self.of {
            Measure::Maps(_) => Input::Maps,
            Measure::Classes(_) => Input::Classes,
            Measure::Dynamics(_) => Input::Dynamics,
            Measure::Gradients(_) => Input::Gradients,
        }
    }

    /// The score of an image by its maps; `None` if a need is unmet, and for a score of classes.
    pub fn of_maps(&self, context: &ImageContext) -> Option<f64> {
        match self.of {
            Measure::Maps(of) if self.needs.iter().all(|need| context.meets(*need)) => of(context),
            _ => None,
        }
    }

    /// The score of an image by its classes; `None` if a need is unmet, and for a score of maps.
    pub fn of_classes(&self, context: &ClassContext) -> Option<f64> {
        match self.of {
            Measure::Classes(of) if self.needs.iter().all(|need| context.meets(*need)) => of(context),
            _ => None,
        }
    }

    /// The score of an image by its training's history; `None` for any other score.
    pub fn of_dynamics(&self, context: &DynamicsContext) -> Option<f64> {
        match self.of {
            Measure::Dynamics(of) => of(context),
            _ => None,
        }
    }

    /// The score of an image by the norms of its gradients, one per network; `None` for any other score.
    pub fn of_gradients(&self, norms: &[f64]) -> Option<f64> {
        match self.of {
            Measure::Gradients(of) => of(norms),
            _ => None,
        }
    }
}

/// Every score, in the order of the columns of `scores.csv`: those of maps; those of classes, which are there only where the
/// networks are classifiers; those of a training's history and of gradients, where these are given.
pub const SCORES: &[Score] = &[
    disagreement::DISAGREEMENT,
    disagreement::SOFT_DISAGREEMENT,
    disagreement::BOUNDARY_DISAGREEMENT,
    disagreement::SHAM,
    disagreement::SOFT_SHAM,
    disagreement::BOUNDARY_SHAM,
    disagreement::EXCESS,
    disagreement::SOFT_EXCESS,
    disagreement::BOUNDARY_EXCESS,
    forgetting::FORGETTING,
    forgetting::BOUNDARY_FORGETTING,
    forgetting::FORGETTING_RAW,
    forgetting::BOUNDARY_FORGETTING_RAW,
    forgetting::FORGETTING_RANDOM,
    forgetting::FORGETTING_RANDOM_RAW,
    forgetting::FORGETTING_NOISE,
    forgetting::FORGETTING_NOISE_RAW,
    forgetting::LOST_EARLY,
    forgetting::PIE_30,
    forgetting::PIE_50,
    forgetting::PIE_70,
    forgetting::PIE_90,
    population::DENSE_SPREAD,
    population::ENTROPY,
    exemplar::PIE,
    exemplar::BOTH_EMPTY,
    label::DENSE_ERROR,
    label::IOU_DROP,
    label::LABEL_CONFLICT,
    label::SUSPECT_LABEL,
    quality::SOFTMIN,
    plain::SIZE,
    plain::CONTRAST,
    plain::RANDOM,
    votes::CLASS_PIE,
    votes::CLASS_DISAGREEMENT,
    votes::CLASS_SHAM,
    forgetting::CLASS_FORGETTING,
    forgetting::CLASS_ORDER_LOST,
    dynamics::LOSS,
    dynamics::EL2N,
    dynamics::FORGETTING_EVENTS,
    dynamics::AUM,
    dynamics::CONFIDENCE,
    dynamics::VARIABILITY,
    gradient::GRAND,
];

const fn count(input: Input) -> usize {
    let (mut i, mut count) = (0, 0);
    while i < SCORES.len() {
        count += (SCORES[i].input() as u8 == input as u8) as usize;
        i += 1;
    }
    count
}

const fn columns<const N: usize>(input: Input) -> [&'static str; N] {
    let mut columns = [""; N];
    let (mut i, mut filled) = (0, 0);
    while i < SCORES.len() {
        if SCORES[i].input() as u8 == input as u8 {
            columns[filled] = SCORES[i].key;
            filled += 1;
        }
        i += 1;
    }
    columns
}

/// Columns of the scores that are computed from maps, in order.
pub const SCORE_COLUMNS: [&str; count(Input::Maps)] = columns(Input::Maps);

/// Columns of the scores that are computed from class predictions, in order.
pub const CLASS_COLUMNS: [&str; count(Input::Classes)] = columns(Input::Classes);

/// Columns of the scores that are computed from a training's history, in order.
pub const DYNAMICS_SCORE_COLUMNS: [&str; count(Input::Dynamics)] = columns(Input::Dynamics);

/// Columns of the scores that are computed from gradients, in order.
pub const GRADIENT_COLUMNS: [&str; count(Input::Gradients)] = columns(Input::Gradients);

/// The score of that key.
pub fn score_named(key: &str) -> Option<&'static Score> {
    SCORES.iter().find(|score| score.key == key)
}

/// A flag as a score.
fn flag(value: bool) -> Option<f64> {
    Some(f64::from(u8::from(value)))
}

#[cfg(test)]
mod tests {
    use htl_metrics::Mask;
    use htl_vocabulary::DynamicsRow;

    use super::*;
    use crate::{ClassForgetting, Forgetting, MapKind, ScoreParams};

    #[test]
    fn keys_and_labels_are_unique() {
        for (i, score) in SCORES.iter().enumerate() {
            let earlier = &SCORES[..i];
            assert!(earlier.iter().all(|other| other.key != score.key), "{}", score.key);
            assert!(
                earlier.iter().all(|other| other.label != score.label),
                "{}",
                score.label
            );
            assert!(!score.about.ends_with('.') && !score.about.is_empty(), "{}", score.key);
            for (input, need) in [
                (Input::Classes, Need::Classes),
                (Input::Dynamics, Need::Dynamics),
                (Input::Gradients, Need::Gradients),
            ] {
                assert_eq!(score.input() == input, score.needs.contains(&need), "{}", score.key);
            }
            assert_eq!(score_named(score.key).map(|found| found.label), Some(score.label));
        }
        let mut columns = SCORE_COLUMNS.to_vec();
        columns.extend(CLASS_COLUMNS);
        columns.extend(DYNAMICS_SCORE_COLUMNS);
        columns.extend(GRADIENT_COLUMNS);
        let keys: Vec<&str> = SCORES.iter().map(|score| score.key).collect();
        assert_eq!(columns, keys);
    }

    /// With everything there every score has a value; with one thing missing, those that need it have none and the others
    /// keep theirs.
    #[test]
    fn a_score_with_unmet_needs_is_blank() {
        // Graded, so that the highest quarter of a class map is not empty.
        let plane = |lesion: usize| -> Vec<f32> {
            let value = |p: usize| if p < lesion { 0.9 } else { 0.1 } - p as f32 / 1000.0;
            (0..16).map(value).collect()
        };
        let truth = Mask::new(4, 4, (0..16).map(|p| u8::from(p < 6)).collect()).unwrap();
        let params = ScoreParams::default().check().unwrap();
        let image = |missing: Option<Need>| {
            let is = |need| missing == Some(need);
            let kind = if is(Need::Probabilities) {
                MapKind::ClassActivation
            } else {
                MapKind::Probability
            };
            let dense = if is(Need::Seeds) {
                vec![plane(6)]
            } else {
                vec![plane(6), plane(7)]
            };
            ImageContext::new(kind, (4, 4), &params, dense)
                .unwrap()
                .named("a")
                .with_contrast((!is(Need::Photograph)).then_some(20.0))
                .with_sparse((!is(Need::Sparse)).then(|| vec![plane(3)]))
                .unwrap()
                .with_forgetting((!is(Need::Curve)).then_some(Forgetting {
                    areas: [Some(0.5); 6],
                    boundaries: [Some(0.5); 6],
                    lost_at: Some(0.5),
                    exemplar: [Some(true); 4],
                }))
                .with_sham((!is(Need::Sham)).then(|| vec![plane(5)]))
                .unwrap()
                .with_truth((!is(Need::Truth)).then(|| truth.clone()))
                .unwrap()
        };
        let classes = |missing: Option<Need>| ClassContext {
            dense: vec![0, 1],
            sparse: (missing != Some(Need::Sparse)).then(|| vec![1, 1]),
            sham: (missing != Some(Need::Sham)).then(|| vec![0, 0]),
            forgetting: (missing != Some(Need::Curve)).then_some(ClassForgetting {
                change: 0.5,
                order_lost: Some(0.5),
            }),
        };
        let row = DynamicsRow {
            image_id: "a".into(),
            epoch: 1,
            loss: 0.5,
            margin: 1.0,
            el2n: 0.3,
            correct: true,
        };
        let value = |score: &Score, missing| match score.of {
            Measure::Maps(_) => score.of_maps(&image(missing)),
            Measure::Classes(_) => score.of_classes(&classes(missing)),
            Measure::Dynamics(_) => score.of_dynamics(&DynamicsContext { runs: vec![vec![&row]] }),
            Measure::Gradients(_) => score.of_gradients(&[1.0]),
        };
        for score in SCORES {
            assert!(value(score, None).is_some(), "{}", score.key);
            for missing in [
                Need::Sparse,
                Need::Sham,
                Need::Curve,
                Need::Truth,
                Need::Seeds,
                Need::Probabilities,
                Need::Photograph,
            ] {
                let needed = score.needs.contains(&missing);
                assert_eq!(
                    value(score, Some(missing)).is_none(),
                    needed,
                    "{} without {}",
                    score.key,
                    missing.words()
                );
            }
        }
    }
}
