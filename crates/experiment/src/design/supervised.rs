//! All training masks. Hard-to-learn images are mined where they are attended to: in-sample.

use htl_vocabulary::arm::{self, BASELINE, PRUNED, SHAM};
use htl_vocabulary::setting::SUPERVISED;

use super::setting_plan::{ArmPlan, HTL, Mining, Networks, RANDOM, SEED_VARIANCE, SettingPlan, TRUE_ERROR, Training};

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
        SEED_VARIANCE,
        RANDOM,
        TRUE_ERROR,
    ],
    compare: &[
        [arm::HTL, BASELINE],
        [arm::HTL, arm::SEED_VARIANCE],
        [arm::HTL, arm::RANDOM],
        [arm::ORACLE, BASELINE],
        [PRUNED, SHAM],
    ],
};
