//! Settings: what the networks of an experiment may see of the labels.

use crate::arm::{self, Arm};

/// One way of supervising.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Name in files, configurations and on the command line.
    pub key: &'static str,
    /// Name for people.
    pub label: &'static str,
    /// One sentence on what the networks may see.
    pub about: &'static str,
    /// The same in a few words, for a table.
    pub labels: &'static str,
    /// What its trainings are validated by, in words.
    pub validated_by: &'static str,
    /// What HTL attention is in it, in a sentence: the form that came out best in `docs/attention.md`.
    pub method: &'static str,
    /// The control that came closest there: HTL attention is worth what it gains over it.
    pub strongest_control: Arm,
}

/// Masks of all training images.
pub const SUPERVISED: Setting = Setting {
    key: "supervised",
    label: "Supervised",
    about: "Masks of all training images.",
    labels: "all masks",
    validated_by: "Jaccard",
    method: "Training images are drawn in proportion to the square of their rank by forgetting under pruning, the hardest twenty times as often as the easiest.",
    strongest_control: arm::SEED_VARIANCE,
};

/// Masks of a few training images.
pub const SEMI_SUPERVISED: Setting = Setting {
    key: "semi-supervised",
    label: "Semi-supervised",
    about: "Masks of a fixed list of training images, the others without; mean teacher.",
    labels: "a fifth of the masks",
    validated_by: "Jaccard",
    method: "The student believes the pixels on which the teacher and its half-pruned copy agree.",
    strongest_control: arm::WITHOUT_OUTLINE,
};

/// Diagnoses only.
pub const WEAKLY_SUPERVISED: Setting = Setting {
    key: "weakly-supervised",
    label: "Weakly supervised, image labels",
    about: "Diagnoses only, no masks: class activation maps of a classifier.",
    labels: "image labels, no masks",
    validated_by: "balanced class accuracy",
    method: "Training images are drawn in proportion to the square of their rank by forgetting under pruning, the hardest twenty times as often as the easiest.",
    strongest_control: arm::RANDOM,
};

/// Tight boxes only.
pub const WEAKLY_SUPERVISED_BOXES: Setting = Setting {
    key: "weakly-supervised-boxes",
    label: "Weakly supervised, boxes",
    about: "Tight boxes of training images only; none at test.",
    labels: "boxes, no masks",
    validated_by: "box IoU",
    method: "A second cycle on the masks that the first networks agree on, without the pixels on which their pruned, fine-tuned copies see another.",
    strongest_control: arm::WITHOUT_OUTLINE,
};

/// Images only.
pub const LABEL_FREE: Setting = Setting {
    key: "label-free",
    label: "Label-free",
    about: "No label of any kind: pseudo-masks from colours, then from the networks trained on them.",
    labels: "no labels",
    validated_by: "agreement with the colour prior",
    method: "A second cycle on the masks that the first networks agree on, without the three tenths of the images on which their pruned, fine-tuned copies part from them most.",
    strongest_control: arm::PRIOR_FILTER,
};

/// All settings, in the order in which they are read best.
pub const SETTINGS: &[Setting] = &[
    SUPERVISED,
    SEMI_SUPERVISED,
    WEAKLY_SUPERVISED,
    WEAKLY_SUPERVISED_BOXES,
    LABEL_FREE,
];

/// The setting of that key.
pub fn named(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// Position of a key in [`SETTINGS`]; unknown ones come last.
pub fn position(key: &str) -> usize {
    let known = SETTINGS.iter().position(|setting| setting.key == key);
    known.unwrap_or(SETTINGS.len())
}
