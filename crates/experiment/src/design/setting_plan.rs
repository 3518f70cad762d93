use htl_vocabulary::{Arm, Setting, arm};

use crate::data::Extras;
use crate::profile::Profile;

/// A setting as a row: who is pruned and mined, what is trained with what attention, what is compared with what. Everything
/// else follows from it, in the same layout for every setting: train, choose a sparsity, prune and fine-tune, sham, mine,
/// train the arms, evaluate.
pub struct SettingPlan {
    /// The setting.
    pub setting: Setting,
    /// Seeds of every arm.
    pub seeds: fn(&Profile) -> u64,
    /// Whether the data have what the setting needs.
    pub possible: fn(&Extras) -> bool,
    /// The arm whose trainings are pruned and mined.
    pub mined_arm: Arm,
    /// How these are trained.
    pub mined: Training,
    /// Which training images are mined.
    pub mining: Mining,
    /// What attended trainings are: the setting's own way.
    pub own: Training,
    /// The arms.
    pub arms: &'static [ArmPlan],
    /// Pairs (arm, against which arm) whose paired gains are reported.
    pub compare: &'static [[Arm; 2]],
}

/// A way of training.
#[derive(Debug, Clone, Copy)]
pub struct Training {
    /// Setting of the training, as its configuration has it.
    pub setting: Setting,
    /// The images whose labels it may use.
    pub labels: Labels,
    /// Further keys of its configuration.
    pub keys: &'static [(&'static str, Key)],
    /// Work of a step, in steps of a supervised training.
    pub cost: f64,
}

impl Training {
    /// A training with all labels of a setting.
    pub const fn of(setting: Setting) -> Self {
        Self {
            setting,
            labels: Labels::All,
            keys: &[],
            cost: 1.,
        }
    }

    /// The same with these labels only.
    pub const fn labels(self, labels: Labels) -> Self {
        Self { labels, ..self }
    }

    /// The same with further keys of the configuration.
    pub const fn keys(self, keys: &'static [(&'static str, Key)]) -> Self {
        Self { keys, ..self }
    }

    /// The same at another cost of a step.
    pub const fn cost(self, cost: f64) -> Self {
        Self { cost, ..self }
    }
}

/// What a key of a configuration is set to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Key {
    /// A word.
    Word(&'static str),
    /// A number.
    Number(f64),
}

/// The training images whose labels a training may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    /// All that have one.
    All,
    /// The fixed list of the semi-supervised setting.
    Listed,
    /// The first half of that list.
    FirstHalf,
}

/// Which training images are mined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mining {
    /// All of them; their masks are labels that the setting has, so errors against them are written too.
    WithMasks,
    /// All of them, label-free.
    LabelFree,
    /// Those outside the list of labelled ones, label-free.
    Unlabelled,
}

/// An arm as a row.
#[derive(Debug, Clone, Copy)]
pub struct ArmPlan {
    /// The arm.
    pub arm: Arm,
    /// Where its networks come from.
    pub networks: Networks,
}

impl ArmPlan {
    /// An arm.
    pub const fn new(arm: Arm, networks: Networks) -> Self {
        Self { arm, networks }
    }
}

/// Where an arm's networks come from.
#[derive(Debug, Clone, Copy)]
pub enum Networks {
    /// The dense trainings that are mined.
    Dense,
    /// Their pruned and fine-tuned copies.
    Pruned,
    /// Their fine-tuned copies at sparsity 0.
    Sham,
    /// The dense trainings, their maps cut at the threshold of that name.
    Threshold(&'static str),
    /// Trainings of their own.
    Trained(Training),
    /// The setting's own training, attending to the mined images in proportion to a score.
    Attending(Attending),
    /// The setting's own training on the masks that the mined networks agree on.
    NextCycle(Cycle),
    /// Half of the labels bought at random, the other half by disagreement of networks trained on the first.
    Query(Training),
}

/// A second cycle of training on pseudo-masks.
#[derive(Debug, Clone, Copy)]
pub enum Cycle {
    /// On all of them.
    Whole,
    /// On some pixels, as `pseudo.pixels` has it.
    Pixels(&'static str),
    /// Without the images of the largest score, as `pseudo.leave_out.by` has it.
    Without(&'static str),
    /// Without as many images, those whose masks are worst: it knows the true ones.
    RightImages,
    /// Without the pixels that are wrong: it knows the true masks.
    RightPixels,
}

/// Attention to the mined images: drawn in proportion to the square of their rank by a score.
#[derive(Debug, Clone, Copy)]
pub struct Attending {
    /// Whose doses: `htl`, or `random`, the same doses given to images at random.
    pub set: &'static str,
    /// The score that ranks instead of the one that images were mined by.
    pub by: Option<&'static str>,
    /// Fewest seeds with which there is such a score.
    pub least_seeds: u64,
}

/// Attention by what images were mined by; everything else is varied from it.
const MINED: Attending = Attending {
    set: "htl",
    by: None,
    least_seeds: 1,
};

/// The method and its controls, the same in every setting that attends.
pub(super) const HTL: ArmPlan = ArmPlan::new(arm::HTL, Networks::Attending(MINED));
pub(super) const RANDOM: ArmPlan = ArmPlan::new(arm::RANDOM, Networks::Attending(Attending { set: "random", ..MINED }));
/// The doses by what seeds alone say.
pub(super) const SEED_VARIANCE: ArmPlan = ArmPlan::new(
    arm::SEED_VARIANCE,
    Networks::Attending(Attending {
        by: Some("dense_spread"),
        least_seeds: 2,
        ..MINED
    }),
);
/// The doses by the error that networks truly make.
pub(super) const TRUE_ERROR: ArmPlan = ArmPlan::new(
    arm::ORACLE,
    Networks::Attending(Attending {
        by: Some("dense_error"),
        ..MINED
    }),
);
