//! No label of any kind: networks trained on masks from colours, then a second cycle trained on what they agree on, with the
//! images left out on which dense and pruned networks part most.

use htl_vocabulary::arm::{self, BASELINE, NEXT_CYCLE, PRIOR_FILTER};
use htl_vocabulary::setting::LABEL_FREE;

use super::setting_plan::{ArmPlan, Cycle, Mining, Networks, SettingPlan, Training};

const OWN: Training = Training::of(LABEL_FREE);

/// The row.
pub const PLAN: SettingPlan = SettingPlan {
    setting: LABEL_FREE,
    seeds: |profile| profile.label_free_seeds,
    possible: |_| true,
    mined_arm: BASELINE,
    mined: OWN,
    mining: Mining::LabelFree,
    own: OWN,
    arms: &[
        ArmPlan::new(BASELINE, Networks::Dense),
        ArmPlan::new(NEXT_CYCLE, Networks::NextCycle(Cycle::Whole)),
        ArmPlan::new(arm::HTL, Networks::NextCycle(Cycle::Without("disagreement"))),
        ArmPlan::new(PRIOR_FILTER, Networks::NextCycle(Cycle::Without("prior"))),
        ArmPlan::new(arm::ORACLE, Networks::NextCycle(Cycle::RightImages)),
    ],
    compare: &[
        [arm::HTL, BASELINE],
        [arm::HTL, PRIOR_FILTER],
        [arm::HTL, NEXT_CYCLE],
        [arm::ORACLE, BASELINE],
        [NEXT_CYCLE, BASELINE],
    ],
};
