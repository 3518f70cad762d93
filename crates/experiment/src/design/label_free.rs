//! No label of any kind: networks trained on masks from colours, then a second cycle trained on what they agree on, with the
//! images left out that the method, or a control of it, trusts least.

use htl_vocabulary::arm::{self, AGREED_PIXELS, BASELINE, NEXT_CYCLE, OUTLINE_BAND, PRIOR_FILTER};
use htl_vocabulary::setting::LABEL_FREE;

use super::setting_plan::{ArmPlan, Cycle, Mining, Networks, SettingPlan, Training};

const OWN: Training = Training::of(LABEL_FREE);

/// A second cycle without a filter.
const PLAIN: Cycle = Cycle {
    pixels: "all",
    leave_out: None,
    least_seeds: 1,
};

const fn filtered(by: &'static str, least_seeds: u64) -> Networks {
    Networks::NextCycle(Cycle {
        leave_out: Some(by),
        least_seeds,
        ..PLAIN
    })
}

const fn pixels(pixels: &'static str) -> Networks {
    Networks::NextCycle(Cycle { pixels, ..PLAIN })
}

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
        ArmPlan::new(NEXT_CYCLE, Networks::NextCycle(PLAIN)),
        ArmPlan::new(arm::HTL, filtered("forgetting_raw", 1)),
        ArmPlan::new(arm::HTL_FINE_TUNED, filtered("disagreement", 1)),
        ArmPlan::new(arm::SEED_VARIANCE, filtered("dense_spread", 2)),
        ArmPlan::new(arm::RANDOM, filtered("random", 1)),
        ArmPlan::new(PRIOR_FILTER, filtered("prior", 1)),
        ArmPlan::new(AGREED_PIXELS, pixels("agreed")),
        ArmPlan::new(OUTLINE_BAND, pixels("outline")),
    ],
    compare: &[
        [arm::HTL, BASELINE],
        [arm::HTL, arm::RANDOM],
        [arm::HTL, NEXT_CYCLE],
        [arm::HTL, arm::SEED_VARIANCE],
        [arm::HTL_FINE_TUNED, NEXT_CYCLE],
        [arm::HTL_FINE_TUNED, arm::RANDOM],
        [arm::HTL_FINE_TUNED, arm::SEED_VARIANCE],
        [arm::HTL_FINE_TUNED, PRIOR_FILTER],
        [NEXT_CYCLE, BASELINE],
        [AGREED_PIXELS, OUTLINE_BAND],
    ],
};
