//! No masks, a tight box per training image: pseudo-masks from the box itself, from the ellipse in it, and refined; then a second
//! cycle on the pixels on which dense and pruned networks agree.

use htl_vocabulary::arm::{self, BASELINE, ELLIPSE, FILLED_BOX, WITHOUT_OUTLINE};
use htl_vocabulary::setting::WEAKLY_SUPERVISED_BOXES;

use super::setting_plan::{ArmPlan, Cycle, Key, Mining, Networks, SettingPlan, Training};

const TRAINING: Training = Training::of(WEAKLY_SUPERVISED_BOXES);
const OWN: Training = TRAINING.keys(&[("boxes.targets", Key::Word("refined"))]);

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
            Networks::Trained(TRAINING.keys(&[("boxes.targets", Key::Word("filled-box"))])),
        ),
        ArmPlan::new(
            ELLIPSE,
            Networks::Trained(TRAINING.keys(&[("boxes.targets", Key::Word("ellipse"))])),
        ),
        ArmPlan::new(arm::HTL, Networks::NextCycle(Cycle::Pixels("agreed"))),
        ArmPlan::new(WITHOUT_OUTLINE, Networks::NextCycle(Cycle::Pixels("outline"))),
        ArmPlan::new(arm::ORACLE, Networks::NextCycle(Cycle::RightPixels)),
    ],
    compare: &[
        [arm::HTL, BASELINE],
        [arm::HTL, WITHOUT_OUTLINE],
        [arm::ORACLE, BASELINE],
        [BASELINE, ELLIPSE],
        [BASELINE, FILLED_BOX],
    ],
};
