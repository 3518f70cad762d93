//! Few masks, many images. Networks trained on the labelled images alone judge the unlabelled ones; the arm `htl-query`
//! spends half of the label budget on those they disagree about.

use htl_vocabulary::arm::{self, BASELINE, HTL_QUERY, LABELLED_ONLY};
use htl_vocabulary::setting::{SEMI_SUPERVISED, SUPERVISED};

use super::setting_plan::{ArmPlan, HTL, Labels, Mining, Networks, RANDOM, SettingPlan, Training};

const OWN: Training = Training::of(SEMI_SUPERVISED).labels(Labels::Listed).cost(2.5);

/// The row.
pub const PLAN: SettingPlan = SettingPlan {
    setting: SEMI_SUPERVISED,
    seeds: |profile| profile.semi_seeds,
    possible: |_| true,
    mined_arm: LABELLED_ONLY,
    mined: Training::of(SUPERVISED).labels(Labels::Listed),
    mining: Mining::Unlabelled,
    own: OWN,
    arms: &[
        ArmPlan::new(LABELLED_ONLY, Networks::Dense),
        ArmPlan::new(BASELINE, Networks::Trained(OWN)),
        HTL,
        RANDOM,
        ArmPlan::new(
            HTL_QUERY,
            Networks::Query(Training::of(SUPERVISED).labels(Labels::FirstHalf)),
        ),
    ],
    compare: &[
        [arm::HTL, BASELINE],
        [arm::HTL, arm::RANDOM],
        [BASELINE, LABELLED_ONLY],
        [HTL_QUERY, LABELLED_ONLY],
    ],
};
