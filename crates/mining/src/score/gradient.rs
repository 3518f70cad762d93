use super::{Measure, Need, Score};

pub(super) const GRAND: Score = Score {
    key: "grand",
    label: "GraNd",
    about: "norm of the gradient of the image's loss by all parameters, mean over networks (Paul et al. 2021)",
    needs: &[Need::Gradients],
    of: Measure::Gradients(|norms| (!norms.is_empty()).then(|| norms.iter().sum::<f64>() / norms.len() as f64)),
};
