//! What a training minimises, on which samples, and what it is validated by: one file per setting.
//!
//! A setting is one file here and one row in [`OBJECTIVES`]; the configuration's `setting` is looked up there.

mod base;
mod boxes;
mod doubt;
mod image_labels;
mod label_free;
mod params;
mod semi_supervised;
mod supervised;

pub(crate) use base::{Objective, Parts, Training};
pub use params::{BoxTargets, Boxes, FilterRule, Labeller, Leaves, MeanTeacher, TeacherFilter};

/// All objectives, one per setting.
pub(crate) const OBJECTIVES: &[&dyn Objective] = &[
    &supervised::Supervised,
    &semi_supervised::SemiSupervised,
    &image_labels::ImageLabels,
    &boxes::BoxSupervision,
    &label_free::LabelFree,
];

/// The objective of a setting.
pub(crate) fn objective(setting: &str) -> Option<&'static dyn Objective> {
    OBJECTIVES.iter().copied().find(|o| o.setting().key == setting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use htl_vocabulary::{Setting, setting::SETTINGS};

    /// Every setting of the vocabulary has exactly one objective, in the same order.
    #[test]
    fn settings_and_objectives_are_the_same() {
        let found: Vec<Setting> = OBJECTIVES.iter().map(|o| o.setting()).collect();
        assert_eq!(found, SETTINGS);
        for setting in SETTINGS {
            assert_eq!(objective(setting.key).unwrap().setting(), *setting);
        }
        assert!(objective("unsupervised").is_none());
    }

    /// The README's table has a row for every setting and no other.
    #[test]
    fn the_readme_lists_every_setting() {
        let readme = include_str!("../../README.md");
        let rows: Vec<&str> = readme
            .lines()
            .skip_while(|line| !line.starts_with("| setting |"))
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .filter_map(|line| line.split('`').nth(1))
            .collect();
        let expected: Vec<&str> = SETTINGS.iter().map(|s| s.key).collect();
        assert_eq!(rows, expected);
    }
}
