//! Sections of the configuration that belong to one objective.

use serde::{Deserialize, Serialize};

/// Mean teacher (Tarvainen & Valpola 2017) with confident pseudo-labels and strong views (Sohn et al. 2020).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeanTeacher {
    /// Unlabelled images per gradient step.
    pub unlabelled_batch: usize,
    /// Decay of the teacher's moving average per step, reached after a short warm-up.
    pub decay: f64,
    /// A teacher's pixel counts if max(p, 1 - p) is at least this, in [0.5, 1).
    pub confidence: f64,
    /// Weight of the unlabelled loss after the ramp.
    pub weight: f64,
    /// Share of the steps over which that weight rises from 0.
    pub ramp: f64,
}

impl Default for MeanTeacher {
    fn default() -> Self {
        Self {
            unlabelled_batch: 16,
            decay: 0.97,
            confidence: 0.7,
            weight: 1.0,
            ramp: 0.3,
        }
    }
}

/// Training from tight boxes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Boxes {
    /// The pseudo-masks.
    pub targets: BoxTargets,
}

/// The pseudo-mask made from a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BoxTargets {
    /// The filled box.
    FilledBox,
    /// The ellipse inscribed in the box.
    Ellipse,
    /// The ellipse refined by colour: what inside the box looks unlike everything outside it.
    #[default]
    Refined,
}
