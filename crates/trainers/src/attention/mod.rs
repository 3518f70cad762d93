//! Attention to some of the training samples: which ones, and what they are given more of.
//!
//! A form of attention is one file here and one row in [`FORMS`]. It overrides those hooks of [`Form`] that it needs; all
//! else, from the configuration to `htl train --help`, follows from the row.

mod adaptive;
mod augmentation;
mod bottom_pixels;
mod change;
mod consistency;
mod copy_paste;
mod draws;
mod form;
mod hair;
mod image;
mod image_info;
mod loss;
mod rescoring;
mod sampling;
mod set;
mod settings;
mod term;

use htl_mining::ScoreTable;
use htl_models::Preprocessing;

pub(crate) use change::{BatchChange, ChangeParts};
pub(crate) use draws::Draws;
pub(crate) use form::{Form, Rescoring, Views};
pub(crate) use image::ImageAttention;
pub(crate) use rescoring::LiveAttention;
pub use settings::{AttendedSet, Attention, Dose, Suspects};
pub(crate) use term::{ExtraTerm, View};

use crate::TrainError;
use form::Params;

/// All forms of attention.
pub(crate) const FORMS: &[&dyn Form] = &[
    &sampling::Sampling,
    &loss::Loss,
    &augmentation::Augmentation,
    &consistency::Consistency,
    &copy_paste::CopyPaste,
    &hair::Hair,
    &bottom_pixels::BottomPixels,
    &adaptive::Adaptive,
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
    if !(attention.power > 0.0 && attention.power.is_finite()) {
        return Err(TrainError::Parameter {
            key: "attention.power",
            message: "above 0".into(),
            found: attention.power.to_string(),
        });
    }
    if !(0.0..1.0).contains(&attention.after) {
        return Err(TrainError::Parameter {
            key: "attention.after",
            message: "in [0, 1)".into(),
            found: attention.after.to_string(),
        });
    }
    let form = form(attention)?;
    match (
        params(attention, form).map(|params| form.rescoring(&params))?,
        &attention.scores,
    ) {
        (None, None) => Err(TrainError::Parameter {
            key: "attention.scores",
            message: format!("a score table: the form `{}` attends by one", form.key()),
            found: "none".into(),
        }),
        (Some(_), Some(scores)) => Err(TrainError::Parameter {
            key: "attention.scores",
            message: format!("left out: the form `{}` makes scores of its own", form.key()),
            found: scores.display().to_string(),
        }),
        (Some(_), None) if attention.dose == Dose::Set => Err(TrainError::Parameter {
            key: "attention.dose",
            message: format!("score or rank: the form `{}` selects no set", form.key()),
            found: "set".into(),
        }),
        _ => Ok(()),
    }
}

/// The number of epochs between two scorings by the network in training, where attention has such.
pub(crate) fn rescoring(attention: &Attention) -> Result<Option<Rescoring>, TrainError> {
    let form = form(attention)?;
    Ok(form.rescoring(&params(attention, form)?))
}

/// Attention to the images of a set by a score table; without one all alike. Images that the table does not hold are not attended
/// to.
pub(crate) fn of_images(attention: Option<&Attention>, ids: &[&str], seed: u64) -> Result<ImageAttention, TrainError> {
    let with_scores = attention.and_then(|a| Some((a, a.scores.as_ref()?)));
    let Some((a, scores)) = with_scores else {
        return Ok(ImageAttention::uniform(ids.len()));
    };
    let table = ScoreTable::read(scores)?.choose(a.setting.as_deref(), a.fold)?;
    ImageAttention::from_table(a, form(a)?, &table, ids, seed)
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

/// What attention makes of batches of images with target maps.
pub(crate) fn change(
    attention: Option<&Attention>,
    preprocessing: &Preprocessing,
    seed: u64,
) -> Result<Option<Box<dyn BatchChange>>, TrainError> {
    let Some(attention) = attention else {
        return Ok(None);
    };
    let form = form(attention)?;
    Ok(form.change(&ChangeParts {
        weight: attention.weight,
        params: &params(attention, form)?,
        preprocessing,
        seed,
    }))
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

    /// A form reads a table, or makes scores of its own.
    #[test]
    fn scores_come_from_one_place() {
        let said = |attention: &Attention| check(attention).err().map(|error| error.to_string());
        let mut table = attention("loss");
        assert_eq!(said(&table), None);
        table.scores = None;
        assert!(said(&table).unwrap().contains("attention.scores"));
        let mut own = attention("adaptive");
        assert!(said(&own).unwrap().contains("s.csv"));
        own.scores = None;
        assert!(said(&own).unwrap().contains("attention.dose"));
        own.dose = Dose::Rank;
        assert_eq!(said(&own), None);
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
