use htl_vocabulary::arm::BASELINE;
use htl_vocabulary::campaign::Role;

use super::keys::{MINED, PLANTED, TRUTH, mentions, with_defaults};
use super::{Campaign, Change, Phase, Variation};

/// An arm before it is planned.
pub(super) struct Wanted {
    pub name: String,
    pub role: Role,
    pub of: Option<String>,
    pub about: String,
    /// All that is not the setting's own training.
    pub change: Change,
}

impl Wanted {
    /// Whether it reads what was mined.
    pub fn mined(&self) -> bool {
        let train = with_defaults(&self.change.train);
        mentions(&train, &MINED) || mentions(&train, &TRUTH)
    }
}

/// The arms of a scenario, the baseline first. What knows the planted truth is left out where nothing is planted.
pub(super) fn arms(campaign: &Campaign, phase: &Phase, scenario: usize, planted: bool) -> Vec<Wanted> {
    let file = &campaign.file;
    let wanted = |variation: &Variation, role: Role| Wanted {
        name: variation.name.clone(),
        role,
        of: None,
        about: variation.about.clone(),
        change: file.baseline.with(&variation.change()),
    };
    let mut arms = vec![Wanted {
        name: BASELINE.key.into(),
        role: Role::Baseline,
        of: None,
        about: String::new(),
        change: file.baseline.clone(),
    }];
    for form in &file.forms {
        let chosen = match phase {
            Phase::Screen => true,
            Phase::Confirm(best) => best.get(scenario).is_some_and(|best| best.contains(&form.name)),
        };
        if !chosen {
            continue;
        }
        arms.push(wanted(form, Role::Form));
        for control in &file.controls {
            let asked = !matches!(phase, Phase::Screen) || file.screen.controls.contains(&control.name);
            // A change of something that the form does not have is no control of it.
            let fits = match &form.controls {
                Some(names) => names.contains(&control.name),
                None => {
                    let named = control.of.as_ref().is_none_or(|forms| forms.contains(&form.name));
                    named && form.change().has_all_of(&control.change())
                }
            };
            if asked && fits {
                arms.push(Wanted {
                    name: format!("{}.{}", form.name, control.name),
                    of: Some(form.name.clone()),
                    change: file.baseline.with(&form.change()).with(&control.change()),
                    ..wanted(control, Role::Control)
                });
            }
        }
    }
    arms.extend(file.ceilings.iter().map(|ceiling| wanted(ceiling, Role::Ceiling)));
    arms.extend(file.references.iter().map(|other| wanted(other, Role::Reference)));
    arms.retain(|arm| planted || !mentions(&arm.change.train, &PLANTED));
    arms
}
