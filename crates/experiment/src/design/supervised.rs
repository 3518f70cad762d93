//! All training masks. Hard-to-learn images are mined where they are attended to: in-sample.

use htl_vocabulary::arm::{self, BASELINE, PRUNED, SHAM};
use htl_vocabulary::setting::SUPERVISED;

use super::setting_plan::{
    ArmPlan, HTL, HTL_FINE_TUNED, Mining, Networks, RANDOM, SEED_VARIANCE, SettingPlan, Training,
};

/// The row.
pub const PLAN: SettingPlan = SettingPlan {
    setting: SUPERVISED,
    seeds: |profile| profile.supervised_seeds,
    possible: |_| true,
    mined_arm: BASELINE,
    mined: Training::of(SUPERVISED),
    mining: Mining::WithMasks,
    own: Training::of(SUPERVISED),
    arms: &[
        ArmPlan::new(BASELINE, Networks::Dense),
        ArmPlan::new(PRUNED, Networks::Pruned),
        ArmPlan::new(SHAM, Networks::Sham),
        HTL,
        HTL_FINE_TUNED,
        SEED_VARIANCE,
        RANDOM,
    ],
    compare: &[
        [arm::HTL, BASELINE],
        [arm::HTL, arm::RANDOM],
        [arm::HTL, arm::HTL_FINE_TUNED],
        [arm::HTL, arm::SEED_VARIANCE],
        [arm::RANDOM, BASELINE],
        [PRUNED, SHAM],
    ],
};
