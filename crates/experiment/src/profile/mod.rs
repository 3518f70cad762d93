//! How large an experiment is.

mod built_in;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use htl_metrics::Metric;
use htl_vocabulary::results::Contrast;
use htl_vocabulary::{LARGEST_BATCH, LARGEST_SIDE, arm, readable, setting};
use serde::{Deserialize, Serialize};

use crate::ExperimentError;
pub use built_in::PROFILES;
use built_in::built_in;

/// Training precision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit.
    #[default]
    F32,
    /// 32-bit, products with 10-bit mantissas on tensor cores.
    Tf32,
    /// 16-bit brain floats.
    Bf16,
}

impl Precision {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::Tf32, Self::Bf16];

    /// Name in configurations and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        }
    }
}

impl std::str::FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|precision| precision.name() == text);
        found.ok_or_else(|| format!("unknown precision `{text}`: choose f32, tf32 or bf16"))
    }
}

/// Everything about an experiment that is not the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name on the command line.
    pub name: String,
    /// Side of the square images the networks see, in pixels.
    pub size: usize,
    /// Channels of the first level of the networks.
    pub width: usize,
    /// The networks' encoder, as `network.encoder` of a training has it: a name, and settings behind it.
    #[serde(default = "plain")]
    pub encoder: String,
    /// Their decoder likewise.
    #[serde(default = "unet")]
    pub decoder: String,
    /// Weights that encoders begin with (`htl weights`); without them they begin at random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<PathBuf>,
    /// SHA-256 of these weights; found by [`with_weights`](Self::with_weights), which checks one that is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrained_sha256: Option<String>,
    /// How networks are trained, where that is not as the reference U-Net: keys of `recipe` of a training.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub recipe: toml::Table,
    /// How weights are pruned: a method of `htl prune`.
    #[serde(default = "global_magnitude")]
    pub pruning: String,
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
    /// Seeds of the label-free setting; 0 leaves it out.
    #[serde(default)]
    pub label_free_seeds: u64,
    /// Sparsities to choose from, ascending.
    pub candidates: Vec<f64>,
    /// How far below the dense network a pruned one may fall, in the setting's own validation quality.
    pub tolerance: f64,
    /// Sparsities of the forgetting curves, ascending.
    pub curve: Vec<f64>,
    /// Share of the images that count as hard to learn.
    pub top: f64,
    /// How often the hardest image is drawn, the easiest once.
    pub attention_weight: f64,
    /// Share of the training masks that the semi-supervised setting may use.
    pub labelled_share: f64,
    /// Epochs between validations.
    pub validate_every: usize,
    /// Training precision.
    #[serde(default)]
    pub precision: Precision,
    /// Limit the data to this many images for training, validation and test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<[usize; 3]>,
    /// Whether data have to be named: nothing fitting comes with the program.
    #[serde(default)]
    pub own_data_only: bool,
    /// The one comparison that each setting is about, by setting: the method against its strongest control. Declared here,
    /// before the run, and tested with Holm's adjustment over the settings; a setting that is not named has none.
    #[serde(default)]
    pub primary: BTreeMap<String, Contrast>,
}

fn plain() -> String {
    "plain".into()
}

fn unet() -> String {
    "unet".into()
}

fn global_magnitude() -> String {
    "global-magnitude".into()
}

impl Profile {
    /// The built-in profile of that name.
    ///
    /// # Errors
    /// [`ExperimentError::NoSuchProfile`]; the message lists those that exist.
    pub fn named(name: &str) -> Result<Self, ExperimentError> {
        built_in(name).ok_or_else(|| ExperimentError::NoSuchProfile {
            name: name.into(),
            known: PROFILES.map(String::from).to_vec(),
        })
    }

    /// A profile from a TOML file: any field of a profile, and `base`, the built-in profile that the others come from
    /// (`embedded` if left out).
    ///
    /// # Errors
    /// [`ExperimentError::ProfileFile`] with the line or field; what [`check`](Self::check) refuses.
    pub fn from_file(path: &Path) -> Result<Self, ExperimentError> {
        let wrong = |reason: String| ExperimentError::ProfileFile {
            path: path.into(),
            reason,
        };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let given = text
            .parse()
            .map_err(|error: toml::de::Error| wrong(readable(&error.to_string())))?;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        Self::from_table(&stem.unwrap_or_else(|| "profile".into()), given).map_err(|error| match error {
            ExperimentError::ProfileTable { reason } => wrong(reason),
            other => other,
        })
    }

    /// The same from a table that was read already.
    ///
    /// # Errors
    /// [`ExperimentError::ProfileTable`] with the field; what [`check`](Self::check) refuses.
    pub fn from_table(name: &str, mut given: toml::Table) -> Result<Self, ExperimentError> {
        let wrong = |reason: String| ExperimentError::ProfileTable { reason };
        let base = match given.remove("base") {
            None => "embedded".into(),
            Some(toml::Value::String(base)) => base,
            Some(other) => return Err(wrong(format!("`base` must be the name of a profile, found {other}"))),
        };
        let base = Self::named(&base)?;
        let mut table = toml::Table::try_from(&base).map_err(|error| wrong(error.to_string()))?;
        table.insert("name".into(), name.into());
        table.extend(given);
        let profile: Self = table
            .try_into()
            .map_err(|error: toml::de::Error| wrong(readable(error.message())))?;
        profile.check()?;
        Ok(profile)
    }

    /// With the hash of the weights that encoders begin with, by which results are told apart.
    ///
    /// # Errors
    /// [`ExperimentError::Option`] where they cannot be read, or are not those of `pretrained_sha256`.
    pub fn with_weights(mut self) -> Result<Self, ExperimentError> {
        let wrong = |reason: String| ExperimentError::Option {
            option: "--pretrained",
            reason,
        };
        let Some(path) = &self.pretrained else {
            return Ok(self);
        };
        let path = std::path::absolute(path).map_err(|error| wrong(format!("{}: {error}", path.display())))?;
        let found = htl_datasets::sha256_file(&path).map_err(|error| wrong(error.to_string()))?;
        if let Some(expected) = &self.pretrained_sha256
            && *expected != found
        {
            return Err(wrong(format!(
                "{} has the SHA-256 {found}, and the profile wants {expected}",
                path.display()
            )));
        }
        self.pretrained_sha256 = Some(found);
        self.pretrained = Some(path);
        Ok(self)
    }

    /// The sparsities of the forgetting curves, as options take them.
    pub(crate) fn curve_text(&self) -> String {
        let sparsities: Vec<String> = self.curve.iter().map(f64::to_string).collect();
        sparsities.join(",")
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`ExperimentError::Profile`] for the first one that makes no sense.
    pub fn check(&self) -> Result<(), ExperimentError> {
        let unless = |good: bool, field, expected, found: String| {
            if good {
                return Ok(());
            }
            Err(ExperimentError::Profile {
                profile: self.name.clone(),
                field,
                expected,
                found,
            })
        };
        let counts = [
            ("width", self.width),
            ("batch", self.batch),
            ("image_steps", self.image_steps),
            ("fine_tune_steps", self.fine_tune_steps),
            ("validate_every", self.validate_every),
        ];
        for (field, found) in counts {
            unless(found > 0, field, "at least 1", found.to_string())?;
        }
        unless(
            self.batch <= LARGEST_BATCH,
            "batch",
            "at most 65536",
            self.batch.to_string(),
        )?;
        unless(
            self.size > 0 && self.size.is_multiple_of(8) && self.size <= LARGEST_SIDE,
            "size",
            "a multiple of 8 up to 2048",
            self.size.to_string(),
        )?;
        let seeds = [
            ("supervised_seeds", self.supervised_seeds),
            ("cross_fit_seeds", self.cross_fit_seeds),
            ("semi_seeds", self.semi_seeds),
            ("weak_seeds", self.weak_seeds),
        ];
        let found = self.label_free_seeds;
        unless(found <= 1000, "label_free_seeds", "from 0 to 1000", found.to_string())?;
        for (field, found) in seeds {
            unless((1..=1000).contains(&found), field, "from 1 to 1000", found.to_string())?;
        }
        let positive = [
            ("learning_rate", self.learning_rate),
            ("fine_tune_rate", self.fine_tune_rate),
            ("attention_weight", self.attention_weight),
        ];
        for (field, found) in positive {
            unless(
                found.is_finite() && found > 0.,
                field,
                "a positive number",
                found.to_string(),
            )?;
        }
        let shares = [("top", self.top), ("labelled_share", self.labelled_share)];
        for (field, found) in shares {
            unless(found > 0. && found <= 1., field, "in (0, 1]", found.to_string())?;
        }
        unless(
            self.tolerance.is_finite() && self.tolerance >= 0.,
            "tolerance",
            "0 or more",
            self.tolerance.to_string(),
        )?;
        let climbs = self.curve.windows(2).all(|pair| pair[0] < pair[1]);
        unless(
            !self.curve.is_empty() && climbs && self.curve.iter().all(|sparsity| (0. ..1.).contains(sparsity)),
            "curve",
            "sparsities in [0, 1), ascending, at least one",
            format!("{:?}", self.curve),
        )?;
        let in_range = self.candidates.iter().all(|candidate| (0. ..1.).contains(candidate));
        unless(
            !self.candidates.is_empty() && in_range && self.candidates.is_sorted(),
            "candidates",
            "sparsities in [0, 1), ascending, at least one",
            format!("{:?}", self.candidates),
        )?;
        for (name, contrast) in &self.primary {
            let known = |arm: &str| arm::named(arm).is_some();
            let of_images = Metric::per_image().any(|metric| metric.key == contrast.metric && metric.better.is_some());
            unless(
                setting::named(name).is_some(),
                "primary",
                "comparisons by the name of a setting",
                format!("`{name}`"),
            )?;
            unless(
                known(&contrast.method) && known(&contrast.control) && contrast.method != contrast.control,
                "primary",
                "two different arms, as `method` and `control`",
                format!("`{}` and `{}` in {name}", contrast.method, contrast.control),
            )?;
            unless(
                of_images,
                "primary",
                "a metric that every image has",
                format!("`{}` in {name}", contrast.metric),
            )?;
        }
        Ok(())
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
        for name in PROFILES {
            let profile = Profile::named(name).unwrap();
            profile.check().unwrap();
            assert_eq!(profile.name, name);
            assert!(profile.image_steps.is_multiple_of(profile.batch), "{name}");
            assert_eq!(profile.primary.len(), setting::SETTINGS.len(), "{name}");
        }
    }

    /// A file changes what it names and nothing else; what makes no sense is refused by name.
    #[test]
    fn a_file_changes_what_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Profile::from_file(&path)
        };
        let found = read("base = \"smoke\"\nweak_seeds = 3\n").unwrap();
        let expected = Profile {
            name: "mine".into(),
            weak_seeds: 3,
            ..Profile::named("smoke").unwrap()
        };
        assert_eq!(found, expected);
        let other = read("[primary.supervised]\nmethod = \"htl\"\ncontrol = \"sham\"\n").unwrap();
        assert_eq!(other.primary["supervised"], Contrast::new("htl", "sham"));
        for (text, word) in [
            ("wide = 3", "wide"),
            ("batch = 0", "batch"),
            ("top = nan", "top"),
            ("candidates = [0.9, 0.5]", "candidates"),
            ("base = \"huge\"", "huge"),
            ("size = \"large\"", "invalid type"),
            ("size = ", "mine.toml"),
            ("[primary.supervised]\nmethod = \"htl\"\ncontrol = \"htl\"", "primary"),
            ("[primary.supervised]\nmethod = \"htl\"\ncontrol = \"nobody\"", "nobody"),
            (
                "[primary.supervise]\nmethod = \"htl\"\ncontrol = \"sham\"",
                "`supervise`",
            ),
            (
                "[primary.supervised]\nmethod = \"htl\"\ncontrol = \"sham\"\nmetric = \"px_ap\"",
                "px_ap",
            ),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(word), "{word} in {message}");
        }
    }
}
