use htl_vocabulary::file;

use crate::plan::{FIRST_HALF, LIST_SIZES, Native, Plan, StageRef, Value, fold_file};

/// Lists of training ids that the settings share.
pub(crate) struct Lists {
    folds: StageRef,
    labelled: StageRef,
}

impl Lists {
    /// Adds the stages that draw them, their names after `prefix`; `share` of the training masks is what the semi-supervised
    /// setting may use.
    pub fn plan(plan: &mut Plan, prefix: &str, data: &Value, share: f64) -> Self {
        let data = data.clone();
        let folds = Native::Folds { data: data.clone() };
        Self {
            folds: plan.native(&format!("{prefix}folds"), folds),
            labelled: plan.native(&format!("{prefix}labelled"), Native::Labelled { data, share }),
        }
    }

    /// The ids of a fold.
    pub fn fold(&self, fold: usize) -> Value {
        self.folds.file(&fold_file(fold))
    }

    /// The images whose masks the semi-supervised setting may use.
    pub fn labelled(&self) -> Value {
        self.labelled.file(file::LABELLED)
    }

    /// Half of them.
    pub fn first_half(&self) -> Value {
        self.labelled.file(FIRST_HALF)
    }

    /// How many the other half has.
    pub fn second_half_size(&self) -> Value {
        self.labelled.number(LIST_SIZES, "second")
    }
}
