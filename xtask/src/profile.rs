//! How large an experiment is.

use anyhow::{Result, bail};

/// Numbers the networks are trained in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Precision {
    /// 32-bit
    #[default]
    F32,
    /// 32-bit, products with 10-bit mantissas on tensor cores
    Tf32,
    /// 16-bit brain floats
    Bf16,
}

impl Precision {
    /// As the configuration of a training has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        }
    }
}

/// Everything about an experiment that is not the data.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its name on the command line.
    pub name: &'static str,
    /// Side of the square images the networks see, in pixels.
    pub size: usize,
    /// Channels of the first level of the networks.
    pub width: usize,
    /// Images per gradient step.
    pub batch: usize,
    /// Images each training sees, counted with repetition.
    pub image_steps: usize,
    /// The same for the fine-tuning after pruning and for its sham.
    pub fine_tune_steps: usize,
    /// Peak learning rate of a training.
    pub learning_rate: f64,
    /// Peak learning rate of a fine-tuning.
    pub fine_tune_rate: f64,
    /// Seeds of the supervised setting.
    pub supervised_seeds: u64,
    /// Seeds of each fold of the cross-fit.
    pub cross_fit_seeds: u64,
    /// Seeds of the semi-supervised setting.
    pub semi_seeds: u64,
    /// Seeds of the weakly-supervised settings.
    pub weak_seeds: u64,
    /// Sparsities to choose from.
    pub candidates: &'static [f64],
    /// How far below the dense network a pruned one may fall, in the setting's own validation quality.
    pub tolerance: f64,
    /// Share of the images that count as hard to learn.
    pub top: f64,
    /// Sampling weight of an attended image; others have 1.
    pub attention_weight: f64,
    /// Epochs between validations.
    pub validate_every: usize,
    /// Numbers to train in.
    pub precision: Precision,
    /// Cut the data to so many images for training, validation and test.
    pub subset: Option<[usize; 3]>,
    /// Whether data has to be named: nothing fitting is in the repository.
    pub own_data_only: bool,
}

/// Share of the training masks the semi-supervised setting may use.
pub const LABELLED_SHARE: f64 = 0.2;

/// All profiles, smallest first.
pub const PROFILES: [Profile; 4] = [TINY, SMOKE, EMBEDDED, ISIC2018];

const EMBEDDED: Profile = Profile {
    name: "embedded",
    size: 64,
    width: 8,
    batch: 16,
    image_steps: 7200,
    fine_tune_steps: 1500,
    learning_rate: 3e-3,
    fine_tune_rate: 2e-3,
    supervised_seeds: 5,
    cross_fit_seeds: 3,
    semi_seeds: 5,
    weak_seeds: 5,
    candidates: &[0.5, 0.6, 0.7, 0.8, 0.9, 0.95],
    tolerance: 0.02,
    top: 0.2,
    attention_weight: 2.,
    validate_every: 5,
    precision: Precision::F32,
    subset: None,
    own_data_only: false,
};

const SMOKE: Profile = Profile {
    name: "smoke",
    size: 48,
    batch: 8,
    image_steps: 240,
    fine_tune_steps: 64,
    learning_rate: 1e-3,
    fine_tune_rate: 1e-3,
    supervised_seeds: 1,
    cross_fit_seeds: 1,
    semi_seeds: 1,
    weak_seeds: 1,
    candidates: &[0.5, 0.8],
    ..EMBEDDED
};

const TINY: Profile = Profile {
    name: "tiny",
    size: 16,
    width: 4,
    batch: 8,
    image_steps: 32,
    fine_tune_steps: 8,
    candidates: &[0.5],
    subset: Some([16, 4, 6]),
    ..SMOKE
};

const ISIC2018: Profile = Profile {
    name: "isic2018",
    size: 192,
    width: 24,
    batch: 32,
    image_steps: 53_760,
    fine_tune_steps: 13_440,
    learning_rate: 1e-3,
    fine_tune_rate: 5e-4,
    supervised_seeds: 5,
    cross_fit_seeds: 3,
    semi_seeds: 5,
    weak_seeds: 5,
    own_data_only: true,
    ..EMBEDDED
};

impl Profile {
    /// The profile of that name.
    ///
    /// # Errors
    /// When there is none; the message lists those that exist.
    pub fn named(name: &str) -> Result<Self> {
        let Some(profile) = PROFILES.iter().find(|profile| profile.name == name) else {
            let names: Vec<&str> = PROFILES.iter().map(|profile| profile.name).collect();
            bail!("no profile is called `{name}`; there are {}", names.join(", "));
        };
        Ok(profile.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the promises about the profiles say.
    #[test]
    fn profiles_keep_their_promises() {
        let embedded = Profile::named("embedded").unwrap();
        assert!(embedded.size == 64 && embedded.width == 8 && embedded.image_steps >= 6000);
        assert!(embedded.supervised_seeds >= 2 && embedded.semi_seeds >= 3 && embedded.weak_seeds >= 2);
        let smoke = Profile::named("smoke").unwrap();
        assert!(smoke.size == 48 && smoke.image_steps >= 200 && smoke.supervised_seeds == 1);
        assert!(Profile::named("huge").unwrap_err().to_string().contains("embedded"));
        let large = Profile::named("isic2018").unwrap();
        assert!((192..=256).contains(&large.size) && large.size.is_multiple_of(32));
        // Over the 1,188 images of the development pool.
        assert!(large.image_steps >= 40 * 1188 && large.fine_tune_steps >= 10 * 1188);
        assert!([large.supervised_seeds, large.semi_seeds, large.weak_seeds] == [5; 3]);
        for profile in PROFILES {
            assert!(profile.image_steps.is_multiple_of(profile.batch), "{}", profile.name);
            assert!(profile.candidates.is_sorted(), "{}", profile.name);
        }
    }
}
