//! Few masks, many images. The teacher's pixels on which it and its own pruned copy agree are believed; networks trained on the
//! labelled images alone judge the unlabelled ones, and the arm `htl-query` spends half of the label budget on those they
//! disagree about.

use htl_vocabulary::arm::{self, BASELINE, HTL_QUERY, LABELLED_ONLY, WITHOUT_OUTLINE};
use htl_vocabulary::setting::{SEMI_SUPERVISED, SUPERVISED};

use super::setting_plan::{ArmPlan, Key, Labels, Mining, Networks, SettingPlan, Training};

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
        ArmPlan::new(
            arm::HTL,
            Networks::Trained(OWN.keys(&[
                ("mean_teacher.filter.by", Key::Word("pruned")),
                ("mean_teacher.filter.sparsity", Key::Number(0.5)),
            ])),
        ),
        ArmPlan::new(
            WITHOUT_OUTLINE,
            Networks::Trained(OWN.keys(&[
                ("mean_teacher.filter.by", Key::Word("outline")),
                ("mean_teacher.filter.sparsity", Key::Number(0.5)),
            ])),
        ),
        ArmPlan::new(arm::ORACLE, Networks::Trained(Training::of(SUPERVISED))),
        ArmPlan::new(
            HTL_QUERY,
            Networks::Query(Training::of(SUPERVISED).labels(Labels::FirstHalf)),
        ),
    ],
    compare: &[
        [arm::HTL, BASELINE],
        [arm::HTL, WITHOUT_OUTLINE],
        [arm::ORACLE, BASELINE],
        [BASELINE, LABELLED_ONLY],
        [HTL_QUERY, LABELLED_ONLY],
    ],
};
