//! Attention to some of the training samples: which ones, and what they are given more of.
//!
//! A form of attention is one file here and one row in [`FORMS`]. It overrides those hooks of [`Form`] that it needs; all
//! else, from the configuration to `htl train --help`, follows from the row.

mod augmentation;
mod consistency;
mod form;
mod image;
mod image_info;
mod loss;
mod sampling;
mod set;
mod settings;
mod term;

use htl_mining::ScoreTable;

pub(crate) use form::{Form, Views};
pub(crate) use image::ImageAttention;
pub use settings::{AttendedSet, Attention, Suspects};
pub(crate) use term::{ExtraTerm, View};

use crate::TrainError;
use form::Params;

/// All forms of attention.
pub(crate) const FORMS: &[&dyn Form] = &[
    &sampling::Sampling,
    &loss::Loss,
    &augmentation::Augmentation,
    &consistency::Consistency,
];

/// Checks the numbers of the section, and that its form and the form's parameters exist.
pub(crate) fn check(attention: &Attention) -> Result<(), TrainError> {
    if !(attention.weight > 0.0 && attention.weight.is_finite()) {
        return Err(TrainError::Parameter {
            key: "attention.weight",
            message: "above 0".into(),
            found: attention.weight.to_string(),
        });
    }
    params(attention, form(attention)?).map(drop)
}

/// Attention to the images of a set; `None`: all alike. Images that the score table does not hold are not attended to.
pub(crate) fn of_images(attention: Option<&Attention>, ids: &[&str], seed: u64) -> Result<ImageAttention, TrainError> {
    match attention {
        None => Ok(ImageAttention::uniform(ids.len())),
        Some(a) => {
            let table = ScoreTable::read(&a.scores)?.choose(a.setting.as_deref(), a.fold)?;
            ImageAttention::from_table(a, form(a)?, &table, ids, seed)
        }
    }
}

/// The extra term of the loss that attention asks for.
pub(crate) fn extra_term(attention: Option<&Attention>) -> Result<ExtraTerm, TrainError> {
    let Some(attention) = attention else {
        return Ok(ExtraTerm::default());
    };
    let form = form(attention)?;
    let params = params(attention, form)?;
    Ok(ExtraTerm::new(form.term(attention.weight, &params)))
}

fn form(attention: &Attention) -> Result<&'static dyn Form, TrainError> {
    let found = FORMS.iter().copied().find(|form| form.key() == attention.form);
    found.ok_or_else(|| {
        let keys: Vec<&str> = FORMS.iter().map(|form| form.key()).collect();
        TrainError::Parameter {
            key: "attention.form",
            message: format!("one of {}", keys.join(", ")),
            found: attention.form.clone(),
        }
    })
}

fn params(attention: &Attention, form: &dyn Form) -> Result<Params, TrainError> {
    Params::of(form, &attention.params).map_err(|found| TrainError::Parameter {
        key: "attention.params",
        message: "parameters of the form of attention".into(),
        found,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn attention(form: &str) -> Attention {
        toml::from_str(&format!("scores = \"s.csv\"\nform = \"{form}\"")).unwrap()
    }

    /// Every form has a name of its own, a sentence, and parameters whose defaults are allowed.
    #[test]
    fn rows_are_complete() {
        let keys: BTreeSet<&str> = FORMS.iter().map(|form| form.key()).collect();
        assert_eq!(keys.len(), FORMS.len());
        for each in FORMS {
            assert!(each.about().ends_with('.'), "{}", each.key());
            assert_eq!(form(&attention(each.key())).unwrap().key(), each.key());
            for p in each.parameters() {
                assert!((p.least..=p.most).contains(&p.default), "{}: {}", each.key(), p.key);
            }
        }
    }

    #[test]
    fn parameters_are_completed_and_checked() {
        let of = |given: &[(&str, f64)]| {
            let given = given.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect();
            Params::of(&consistency::Consistency, &given)
        };
        let params = of(&[("sparsity", 0.75)]).ok().unwrap();
        assert_eq!((params.get("sparsity"), params.get("every")), (0.75, 50.0));
        assert!(of(&[("sparsity", 1.5)]).err().unwrap().contains("`sparsity`"));
        assert!(of(&[("sparse", 0.5)]).err().unwrap().contains("`sparse`"));
    }
}
