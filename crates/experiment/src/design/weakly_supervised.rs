//! No masks, image labels only: a classifier's class maps. The cut that makes a mask of a map is fixed beforehand;
//! `oracle-tuned` shows what the same maps give when masks choose it.

use htl_vocabulary::arm::{self, BASELINE, ORACLE_TUNED};
use htl_vocabulary::setting::WEAKLY_SUPERVISED;

use super::setting_plan::{ArmPlan, HTL, Mining, Networks, RANDOM, SettingPlan, Training};

const OWN: Training = Training::of(WEAKLY_SUPERVISED).cost(0.5);

/// The row.
pub const PLAN: SettingPlan = SettingPlan {
    setting: WEAKLY_SUPERVISED,
    seeds: |profile| profile.weak_seeds,
    possible: |extras| extras.labels,
    mined_arm: BASELINE,
    mined: OWN,
    mining: Mining::LabelFree,
    own: OWN,
    arms: &[
        ArmPlan::new(BASELINE, Networks::Dense),
        ArmPlan::new(ORACLE_TUNED, Networks::Threshold("oracle")),
        HTL,
        RANDOM,
    ],
    compare: &[[arm::HTL, BASELINE], [arm::HTL, arm::RANDOM]],
};
