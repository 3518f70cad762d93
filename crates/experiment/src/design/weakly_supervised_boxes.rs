//! No masks, a tight box per training image: pseudo-masks from the box itself, from the ellipse in it, and refined by the
//! method (`baseline`, `htl`, `random`).

use htl_vocabulary::arm::{self, BASELINE, ELLIPSE, FILLED_BOX};
use htl_vocabulary::setting::WEAKLY_SUPERVISED_BOXES;

use super::setting_plan::{ArmPlan, HTL, Mining, Networks, RANDOM, SettingPlan, Training};

const TRAINING: Training = Training::of(WEAKLY_SUPERVISED_BOXES);
const OWN: Training = TRAINING.keys(&[("boxes.targets", "refined")]);

/// The row.
pub const PLAN: SettingPlan = SettingPlan {
    setting: WEAKLY_SUPERVISED_BOXES,
    seeds: |profile| profile.weak_seeds,
    possible: |_| true,
    mined_arm: BASELINE,
    mined: OWN,
    mining: Mining::LabelFree,
    own: OWN,
    arms: &[
        ArmPlan::new(BASELINE, Networks::Dense),
        ArmPlan::new(
            FILLED_BOX,
            Networks::Trained(TRAINING.keys(&[("boxes.targets", "filled-box")])),
        ),
        ArmPlan::new(
            ELLIPSE,
            Networks::Trained(TRAINING.keys(&[("boxes.targets", "ellipse")])),
        ),
        HTL,
        RANDOM,
    ],
    compare: &[
        [arm::HTL, BASELINE],
        [arm::HTL, arm::RANDOM],
        [BASELINE, ELLIPSE],
        [BASELINE, FILLED_BOX],
    ],
};
