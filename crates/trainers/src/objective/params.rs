//! Sections of the configuration that belong to one objective.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Mean teacher (Tarvainen & Valpola 2017) with confident pseudo-labels and strong views (Sohn et al. 2020).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Which of the confident pixels are believed; all of them if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<TeacherFilter>,
}

/// Pixels of the teacher that are not believed, however confident it is: those on which a pruned copy of it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TeacherFilter {
    /// Which pixels.
    pub by: FilterRule,
    /// Share of the copy's weights that are zero, in [0, 1).
    pub sparsity: f64,
    /// Steps after which the copy is made anew.
    pub every: usize,
    /// What these pixels leave.
    pub leaves: Leaves,
    /// Whose masks the student learns.
    pub labels: Labeller,
}

impl Default for TeacherFilter {
    fn default() -> Self {
        Self {
            by: FilterRule::Pruned,
            sparsity: 0.5,
            every: 20,
            leaves: Leaves::Loss,
            labels: Labeller::Teacher,
        }
    }
}

/// Which pixels are not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FilterRule {
    /// Those on which the masks of teacher and copy differ.
    Pruned,
    /// A control: those on which it differs from a copy that lost as many weights at random, as by dropout.
    Weights,
    /// A control: those on which it differs from the student, a second network that costs nothing.
    Student,
    /// A control: as many, those nearest to the outline of the teacher's mask.
    Outline,
    /// A control: as many, drawn at random.
    Random,
}

/// Whose masks the student learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Labeller {
    /// The teacher's.
    Teacher,
    /// The copy's: cross pseudo-supervision (Chen et al. 2021) with a pruned copy for the second network.
    Copy,
}

/// What pixels that are not believed leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Leaves {
    /// Nothing: they count like others.
    Nothing,
    /// The loss.
    Loss,
    /// The loss, and the student's input, where they become the mean colour (Vorndran & Roeck, arXiv 2401.14387).
    LossAndInput,
}

impl Default for MeanTeacher {
    fn default() -> Self {
        Self {
            unlabelled_batch: 16,
            decay: 0.97,
            confidence: 0.7,
            weight: 1.0,
            ramp: 0.3,
            filter: None,
        }
    }
}

/// Training from tight boxes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Boxes {
    /// The pseudo-masks.
    pub targets: BoxTargets,
}

/// The pseudo-mask made from a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
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
