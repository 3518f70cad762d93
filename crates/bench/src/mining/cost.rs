use htl_mining::{Input, Need, Score};

use super::settings::Settings;

/// What a score costs with all the networks that it needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// In dense trainings.
    pub trainings: f64,
    /// Forward passes per image, a backward pass counting two. Normalisation statistics that are estimated anew take a pass over
    /// the training images, which is counted as one per image.
    pub passes: f64,
}

impl Cost {
    /// Of one score, had it been the only one.
    pub fn of(score: &Score, settings: &Settings) -> Self {
        let seeds = settings.seeds as f64;
        let tuning = settings.fine_tune_steps as f64 / settings.image_steps as f64;
        let early = settings.early_steps as f64 / settings.image_steps as f64;
        let needs = |need| score.needs.contains(&need);
        let judged = (settings.epochs as f64 / settings.judge_every as f64).ceil();
        let (trainings, passes) = match score.input() {
            Input::Gradients => (early, 3.0),
            Input::Dynamics if score.key == "el2n" => (early, 1.0),
            Input::Dynamics if score.key == "loss" => (1.0, 1.0),
            Input::Dynamics => (1.0, judged),
            Input::Maps | Input::Classes if score.key == "random" => (0.0, 0.0),
            Input::Maps | Input::Classes => {
                let tuned = [Need::Sparse, Need::Sham]
                    .into_iter()
                    .filter(|need| needs(*need))
                    .count() as f64;
                let curve = match needs(Need::Curve) {
                    true => 2.0 * settings.sparsities.len() as f64,
                    false => 0.0,
                };
                (1.0 + tuned * tuning, 1.0 + tuned + curve)
            }
        };
        Self {
            trainings: seeds * trainings,
            passes: seeds * passes,
        }
    }
}
