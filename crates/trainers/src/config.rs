mod explained;
mod overrides;

use std::path::{Path, PathBuf};

use candle_core::Device;
use htl_ops::Precision;
use htl_vocabulary::{LARGEST_BATCH, LARGEST_SIDE, readable, setting};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    TrainError,
    attention::{self, Attention},
    dynamics::DynamicsParams,
    keep::Keep,
    network_choice::NetworkChoice,
    objective::{Boxes, MeanTeacher, OBJECTIVES, Objective, objective},
    pseudo::PseudoMasks,
    recipe::Recipe,
    samples::Unlisted,
};

/// Most images through the gradient: a year's work of the fastest machines.
const MOST_IMAGE_STEPS: usize = 1_000_000_000_000;

/// Everything that determines a training; read from TOML, checked once by [`TrainConfig::check`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Which labels are used: the key of a setting, such as `supervised`; see [`settings`](crate::settings).
    pub setting: String,
    /// The data folder.
    pub data: PathBuf,
    /// One seed for initialisation, order and augmentation.
    pub seed: u64,
    /// Side of the square the network sees, in pixels; a multiple of 8, at most 2048.
    pub size: usize,
    /// Channels of the plain encoder and of the U-Net decoder at full size, at most 1024.
    pub width: usize,
    /// Which network is trained, if not the reference U-Net.
    #[serde(skip_serializing_if = "NetworkChoice::is_default")]
    pub network: NetworkChoice,
    /// Labelled images per gradient step, at most 65536.
    pub batch: usize,
    /// Labelled images through the gradient in all: `image_steps / batch` gradient steps.
    pub image_steps: usize,
    /// Peak of the one-cycle learning rate.
    pub learning_rate: f64,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f64,
    /// Numbers of the feature maps: `f32`, or on CUDA also `tf32` and `bf16`. Parameters are `f32` in any case.
    #[serde(skip_serializing_if = "is_f32")]
    #[schemars(with = "String")]
    pub precision: Precision,
    /// How it is trained, where that is not as the reference U-Net.
    #[serde(skip_serializing_if = "Recipe::is_default")]
    pub recipe: Recipe,
    /// Epochs between two looks at the validation split.
    pub validate_every: usize,
    /// Which of the networks that were validated is kept.
    #[serde(skip_serializing_if = "Keep::is_last")]
    pub keep: Keep,
    /// CSV with a column `image_id`: the images whose masks may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labelled: Option<PathBuf>,
    /// Checkpoint to start from; the zeros of a sparse one stay zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Attention to a set of samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention: Option<Attention>,
    /// Whether `dynamics.csv` is written, and how often the training images are judged for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dynamics: Option<DynamicsParams>,
    /// Mean teacher, for `semi-supervised`.
    pub mean_teacher: MeanTeacher,
    /// Box supervision, for `weakly-supervised-boxes`.
    pub boxes: Boxes,
    /// Pseudo-masks, for `label-free`.
    pub pseudo: PseudoMasks,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            setting: setting::SUPERVISED.key.to_owned(),
            data: PathBuf::new(),
            seed: 0,
            size: 64,
            width: 8,
            network: NetworkChoice::default(),
            batch: 16,
            image_steps: 6000,
            learning_rate: 4e-3,
            weight_decay: 1e-2,
            precision: Precision::F32,
            recipe: Recipe::default(),
            validate_every: 5,
            keep: Keep::Last,
            labelled: None,
            init: None,
            attention: None,
            dynamics: None,
            mean_teacher: MeanTeacher::default(),
            boxes: Boxes::default(),
            pseudo: PseudoMasks::default(),
        }
    }
}

fn is_f32(precision: &Precision) -> bool {
    *precision == Precision::F32
}

impl TrainConfig {
    /// Reads a TOML file and applies `overrides` (`key=value`, dotted keys, values in TOML syntax or bare strings).
    ///
    /// # Errors
    /// [`TrainError::ConfigRead`] and [`TrainError::ConfigSyntax`], which name the file or the override and the key.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(|source| TrainError::ConfigRead {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&path.display().to_string(), &text, overrides)
    }

    /// The defaults, with `overrides` as in [`read`](Self::read).
    ///
    /// # Errors
    /// [`TrainError::ConfigSyntax`].
    pub fn of_defaults(overrides: &[String]) -> Result<Self, TrainError> {
        Self::parse("the defaults", "", overrides)
    }

    fn parse(name: &str, text: &str, overrides: &[String]) -> Result<Self, TrainError> {
        let syntax = |path: &str, error: &toml::de::Error| TrainError::ConfigSyntax {
            path: path.to_owned(),
            message: readable(&error.to_string()),
        };
        // A first strict parse gives messages with line numbers of the user's own file.
        toml::from_str::<Self>(text).map_err(|error| syntax(name, &error))?;
        let mut table: toml::Table = toml::from_str(text).map_err(|error| syntax(name, &error))?;
        for item in overrides {
            overrides::apply(&mut table, item).map_err(|message| TrainError::ConfigSyntax {
                path: readable(&format!("--set {item}")),
                message,
            })?;
        }
        let name = if overrides.is_empty() {
            name.to_owned()
        } else {
            format!("{name} with --set")
        };
        let whole = toml::Value::Table(table);
        whole.try_into().map_err(|error| syntax(&name, &error))
    }

    /// The objective of the setting.
    pub(crate) fn objective(&self) -> Result<&'static dyn Objective, TrainError> {
        let keys = || OBJECTIVES.iter().map(|o| o.setting().key).collect::<Vec<_>>();
        objective(&self.setting).ok_or_else(|| TrainError::Parameter {
            key: "setting",
            message: format!("one of {}", keys().join(", ")),
            found: self.setting.clone(),
        })
    }

    /// Checks every parameter.
    ///
    /// # Errors
    /// [`TrainError::Parameter`] names the first key outside its range.
    pub fn check(self) -> Result<ValidTrainConfig, TrainError> {
        let c = &self;
        let need = |ok: bool, key, message: &str, found: String| {
            if ok {
                Ok(())
            } else {
                let message = String::from(message);
                Err(TrainError::Parameter { key, message, found })
            }
        };
        let objective = c.objective()?;
        need(
            !c.data.as_os_str().is_empty(),
            "data",
            "names the data folder",
            "nothing".into(),
        )?;
        need(
            (8..=LARGEST_SIDE).contains(&c.size) && c.size.is_multiple_of(8),
            "size",
            "a multiple of 8 from 8 to 2048",
            c.size.to_string(),
        )?;
        need(
            (1..=1024).contains(&c.width),
            "width",
            "from 1 to 1024",
            c.width.to_string(),
        )?;
        if let Err(error) = c.network.localizer(c.width) {
            let found = format!("{} and {}", c.network.encoder, c.network.decoder);
            need(false, "network", &error.to_string(), found)?;
        }
        let batch = |key, found: usize| {
            need(
                (1..=LARGEST_BATCH).contains(&found),
                key,
                "from 1 to 65536",
                found.to_string(),
            )
        };
        batch("batch", c.batch)?;
        need(
            (c.batch..=MOST_IMAGE_STEPS).contains(&c.image_steps),
            "image_steps",
            "from `batch` to 1000000000000",
            c.image_steps.to_string(),
        )?;
        need(
            c.learning_rate > 0.0 && c.learning_rate <= 1.0,
            "learning_rate",
            "above 0 and at most 1",
            c.learning_rate.to_string(),
        )?;
        need(
            (0.0..1.0).contains(&c.weight_decay),
            "weight_decay",
            "in [0, 1)",
            c.weight_decay.to_string(),
        )?;
        need(
            c.validate_every >= 1,
            "validate_every",
            "at least 1",
            c.validate_every.to_string(),
        )?;
        c.recipe.check()?;
        if objective.unlisted() == Unlisted::Unlabelled {
            let message = format!("a CSV of the labelled ids ({})", c.setting);
            need(c.labelled.is_some(), "labelled", &message, "nothing".into())?;
        }
        if let Some(attention) = &c.attention {
            attention::check(attention)?;
        }
        if let Some(dynamics) = &c.dynamics {
            let found = dynamics.every;
            need(found >= 1, "dynamics.every", "at least 1", found.to_string())?;
        }
        if let Some(leave_out) = &c.pseudo.leave_out {
            let found = leave_out.share;
            let message = "above 0 and under 1";
            need(
                found > 0.0 && found < 1.0,
                "pseudo.leave_out.share",
                message,
                found.to_string(),
            )?;
        }
        let m = &c.mean_teacher;
        batch("mean_teacher.unlabelled_batch", m.unlabelled_batch)?;
        need(
            (0.0..1.0).contains(&m.decay),
            "mean_teacher.decay",
            "in [0, 1)",
            m.decay.to_string(),
        )?;
        need(
            (0.5..1.0).contains(&m.confidence),
            "mean_teacher.confidence",
            "in [0.5, 1)",
            m.confidence.to_string(),
        )?;
        need(
            m.weight >= 0.0 && m.weight.is_finite(),
            "mean_teacher.weight",
            "at least 0",
            m.weight.to_string(),
        )?;
        need(
            (0.0..=1.0).contains(&m.ramp),
            "mean_teacher.ramp",
            "in [0, 1]",
            m.ramp.to_string(),
        )?;
        if let Some(filter) = &m.filter {
            need(
                (0.0..1.0).contains(&filter.sparsity),
                "mean_teacher.filter.sparsity",
                "in [0, 1)",
                filter.sparsity.to_string(),
            )?;
            need(
                filter.every >= 1,
                "mean_teacher.filter.every",
                "at least 1",
                filter.every.to_string(),
            )?;
        }
        Ok(ValidTrainConfig(self))
    }
}

/// A configuration whose numbers make sense; made by [`TrainConfig::check`].
#[derive(Debug, Clone, PartialEq)]
pub struct ValidTrainConfig(TrainConfig);

impl ValidTrainConfig {
    /// Gradient steps in all.
    pub fn steps(&self) -> usize {
        self.0.image_steps / self.0.batch
    }

    /// Checks that the device has the precision.
    ///
    /// # Errors
    /// [`TrainError::Precision`] if the device doesn't support it.
    pub fn check_device(&self, device: &Device) -> Result<(), TrainError> {
        let precision = self.0.precision;
        if precision == Precision::F32 || device.is_cuda() {
            return Ok(());
        }
        let device = if device.is_cpu() { "cpu" } else { "metal" };
        Err(TrainError::Precision { precision, device })
    }

    /// The effective configuration as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(&self.0).unwrap_or_default()
    }
}

impl std::ops::Deref for ValidTrainConfig {
    type Target = TrainConfig;

    fn deref(&self) -> &TrainConfig {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "setting = \"supervised\"\ndata = \"d\"\n";

    fn message(text: &str, overrides: &[&str]) -> String {
        let overrides: Vec<String> = overrides.iter().map(|s| s.to_string()).collect();
        match TrainConfig::parse("c.toml", text, &overrides).and_then(TrainConfig::check) {
            Ok(_) => String::new(),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn overrides_reach_nested_keys_and_strings() {
        let set = [
            "mean_teacher.decay=0.5".to_string(),
            "labelled=a.csv".into(),
            "seed=7".into(),
        ];
        let c = TrainConfig::parse("c.toml", MINIMAL, &set).unwrap();
        assert_eq!(
            (c.mean_teacher.decay, c.seed, c.labelled),
            (0.5, 7, Some("a.csv".into()))
        );
    }

    #[test]
    fn unknown_keys_are_named() {
        let said = message("sead = 1\n", &[]);
        assert!(said.contains("sead") && said.contains("did you mean `seed`?"), "{said}");
        let said = message(MINIMAL, &["mean_teacher.unlabeled_batch=3"]);
        assert!(said.contains("did you mean `unlabelled_batch`?"), "{said}");
        assert!(message(MINIMAL, &["boxes.target=ellipse"]).contains("target"));
    }

    #[test]
    fn every_range_is_checked() {
        for (key, bad) in [
            ("size", "20"),
            ("size", "8200"),
            ("size", "9223372036854775800"),
            ("width", "0"),
            ("batch", "0"),
            ("batch", "65537"),
            ("batch", "4611686018427387904"),
            ("image_steps", "1"),
            ("image_steps", "4611686018427387904"),
            ("learning_rate", "0.0"),
            ("weight_decay", "1.0"),
            ("validate_every", "0"),
            ("dynamics.every", "0"),
            ("mean_teacher.decay", "1.0"),
            ("mean_teacher.confidence", "0.2"),
            ("mean_teacher.unlabelled_batch", "0"),
            ("mean_teacher.unlabelled_batch", "1099511627776"),
            ("mean_teacher.ramp", "2.0"),
            ("mean_teacher.filter.sparsity", "1.0"),
            ("mean_teacher.filter.every", "0"),
        ] {
            let text = message(MINIMAL, &[&format!("{key}={bad}")]);
            assert!(text.contains(&format!("`{key}`")), "{key}={bad} gave: {text}");
        }
        assert!(message(MINIMAL, &["setting=semi-supervised"]).contains("`labelled`"));
        let scores = "attention.scores=s.csv";
        assert!(message(MINIMAL, &[scores, "attention.weight=0.0"]).contains("`attention.weight`"));
        let params = [scores, "attention.form=consistency", "attention.params.sparsity=1.0"];
        assert!(message(MINIMAL, &params).contains("`sparsity`"));
        assert_eq!(message(MINIMAL, &params[..2]), "");
    }

    /// What a message repeats of a file or an argument is short, however long that is.
    #[test]
    fn echoes_are_bounded() {
        let long = "x".repeat(1_000_000);
        let dots = "a.".repeat(50_000);
        let messages = [
            message(&format!("seed = \"{long}\"\n"), &[]),
            message(&format!("{long} = 1\n"), &[]),
            message(&format!("setting = {long}\n"), &[]),
            message(MINIMAL, &[&format!("{long}=1")]),
            message(MINIMAL, &[&format!("seed={long}")]),
            message(MINIMAL, &[&long]),
            message(MINIMAL, &[&format!("{dots}a=1")]),
            message(MINIMAL, &[&format!("seed={{{}", dots.replace('.', "={"))]),
        ];
        for said in messages {
            assert!(!said.is_empty() && said.len() < 4000, "{}", said.len());
        }
    }

    /// A wrong name is answered by the right ones.
    #[test]
    fn settings_and_forms_are_looked_up() {
        let said = message(MINIMAL, &["setting=unsupervised"]);
        let all = htl_vocabulary::setting::SETTINGS.iter().all(|s| said.contains(s.key));
        assert!(said.contains("unsupervised") && all, "{said}");
        let said = message(MINIMAL, &["attention.scores=s.csv", "attention.form=blur"]);
        assert!(
            said.contains("blur") && attention::FORMS.iter().all(|f| said.contains(f.key())),
            "{said}"
        );
    }

    #[test]
    fn toml_round_trip() {
        let c = TrainConfig::parse("c.toml", MINIMAL, &[]).unwrap().check().unwrap();
        assert_eq!(TrainConfig::parse("again", &c.to_toml(), &[]).unwrap(), *c);
    }

    /// The key is written only where it says something, so that files written before it was there stay the same.
    #[test]
    fn precision_is_written_where_it_is_not_f32() {
        let of = |set: &str| {
            TrainConfig::parse("c.toml", MINIMAL, &[set.to_string()])
                .unwrap()
                .check()
                .unwrap()
        };
        let plain = of("precision=f32");
        assert!(!plain.to_toml().contains("precision"));
        assert!(plain.check_device(&Device::Cpu).is_ok());
        for name in ["tf32", "bf16"] {
            let config = of(&format!("precision={name}"));
            assert!(config.to_toml().contains(&format!("precision = \"{name}\"")));
            let said = config.check_device(&Device::Cpu).unwrap_err().to_string();
            assert!(
                said.contains(&format!("{name} needs --device cuda")) && said.contains("cpu"),
                "{said}"
            );
        }
        assert!(message(MINIMAL, &["precision=f16"]).contains("f16"));
    }
}
