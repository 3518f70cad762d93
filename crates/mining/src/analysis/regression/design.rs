use nalgebra::{DMatrix, DVector};

use crate::analysis::cohort::Cohort;
use crate::analysis::grouping::LEAST_SHOWN;
use crate::attribute::{Attribute, UNKNOWN};
use crate::attributes::Subject;

/// Levels too small for a coefficient of their own, together.
const OTHER: &str = "other";
/// The attribute of the folds.
pub(super) const FOLD: &str = "fold";

/// A number that the regression allows for.
#[derive(Debug, Clone, Copy)]
pub struct Covariate {
    /// Its name in `regression.csv`.
    pub key: &'static str,
    /// Name for people.
    pub label: &'static str,
    /// What a coefficient is per.
    pub unit: &'static str,
    /// Its value; `None` where it is not known.
    pub of: fn(&Subject) -> Option<f64>,
}

/// What of the lesion and its picture is allowed for beside demographics, so that an effect of people is told apart from one of
/// lesions.
pub const COVARIATES: [Covariate; 4] = [
    Covariate {
        key: "log_size",
        label: "Lesion size",
        unit: "per doubling of the area",
        of: |subject| {
            subject
                .measurement("area_fraction")
                .filter(|area| *area > 0.0)
                .map(f64::log2)
        },
    },
    Covariate {
        key: "contrast",
        label: "Lesion contrast",
        unit: "per 10 units of ΔE",
        of: |subject| subject.measurement("delta_e").map(|contrast| contrast / 10.0),
    },
    Covariate {
        key: "skin_tone_ita",
        label: "Skin tone",
        unit: "per 10 degrees of ITA",
        of: |subject| subject.measurement("ita_degrees").map(|angle| angle / 10.0),
    },
    Covariate {
        key: "border",
        label: "Border contact",
        unit: "touches the border",
        of: |subject| subject.measurement("touches_border"),
    },
];

/// A column of the design.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Term {
    pub(super) attribute: String,
    pub(super) level: String,
    pub(super) reference: String,
    /// Images of the level, all for a number.
    pub(super) n: usize,
    /// Hard ones among them.
    pub(super) hard: usize,
    /// Column of the design matrix; `None` if other columns say all that this one does.
    pub(super) place: Option<usize>,
}

/// The design matrix: a one, then a column per term.
#[derive(Debug, Clone)]
pub(super) struct Design {
    /// Positions in the cohort of the images that take part.
    pub(super) images: Vec<usize>,
    pub(super) matrix: DMatrix<f64>,
    pub(super) terms: Vec<Term>,
    /// Levels of which all images are hard, or none.
    pub(super) one_sided: bool,
}

impl Design {
    /// Levels under [`LEAST_SHOWN`] images are one level, `other`; unknown is a level; the most frequent known level is the
    /// reference. Images that lack a number that others have are left out.
    pub(super) fn new(
        cohort: &Cohort,
        attributes: &[&Attribute],
        covariates: &[(Covariate, Vec<Option<f64>>)],
    ) -> Self {
        let used: Vec<&(Covariate, Vec<Option<f64>>)> = covariates
            .iter()
            .filter(|(_, values)| values.iter().any(Option::is_some))
            .collect();
        let complete = |image: &usize| {
            used.iter()
                .all(|(_, values)| values.get(*image).is_some_and(Option::is_some))
        };
        let images: Vec<usize> = (0..cohort.len()).filter(complete).collect();
        let hard: Vec<bool> = images.iter().map(|&image| cohort.hard[image]).collect();
        let mut columns = vec![DVector::from_element(images.len(), 1.0)];
        let mut independent = Independent::default();
        independent.admits(&columns[0]);
        let mut terms = Vec::new();
        let mut one_sided = false;
        let mut push = |term: Term, column: DVector<f64>, columns: &mut Vec<DVector<f64>>| {
            let place = independent.admits(&column).then(|| {
                columns.push(column);
                columns.len() - 1
            });
            terms.push(Term { place, ..term });
        };
        let fold_levels = || {
            images
                .iter()
                .map(|&image| cohort.fold[image].to_string())
                .collect::<Vec<_>>()
        };
        let named = attributes.iter().map(|attribute| {
            let levels = images
                .iter()
                .map(|&image| attribute.level(&cohort.ids[image]).to_owned());
            (
                attribute.name().to_owned(),
                levels.collect::<Vec<_>>(),
                attribute.sorted_levels(),
            )
        });
        let folds = (cohort.folds() > 1).then(|| (FOLD.to_owned(), fold_levels(), Vec::new()));
        for (name, levels, order) in named.chain(folds) {
            let levels = Levels::new(levels, &order);
            let Some(reference) = levels.reference() else { continue };
            for level in levels.shown.iter().filter(|level| **level != reference) {
                let is = |image: usize| levels.of[image] == *level;
                let n = (0..images.len()).filter(|&image| is(image)).count();
                let hits = (0..images.len()).filter(|&image| is(image) && hard[image]).count();
                one_sided |= name != FOLD && (hits == 0 || hits == n);
                let column = DVector::from_fn(images.len(), |image, _| f64::from(u8::from(is(image))));
                let term = Term {
                    attribute: name.clone(),
                    level: level.clone(),
                    reference: reference.clone(),
                    n,
                    hard: hits,
                    place: None,
                };
                push(term, column, &mut columns);
            }
            let of_reference = |image: &usize| levels.of[*image] == reference;
            let sides = (0..images.len()).filter(of_reference).map(|image| hard[image]);
            let (n, hits) = sides.fold((0, 0), |(n, hits), hard| (n + 1, hits + usize::from(hard)));
            one_sided |= name != FOLD && (hits == 0 || hits == n);
        }
        for (covariate, values) in used {
            let column = DVector::from_fn(images.len(), |image, _| values[images[image]].unwrap_or(0.0));
            let term = Term {
                attribute: covariate.key.to_owned(),
                level: covariate.unit.to_owned(),
                reference: String::new(),
                n: images.len(),
                hard: hard.iter().filter(|hard| **hard).count(),
                place: None,
            };
            push(term, column, &mut columns);
        }
        Self {
            matrix: DMatrix::from_columns(&columns),
            images,
            terms,
            one_sided,
        }
    }

    /// Attributes in order of their terms, each with the columns that it has.
    pub(super) fn attributes(&self) -> Vec<(String, Vec<usize>)> {
        let mut attributes: Vec<(String, Vec<usize>)> = Vec::new();
        for term in &self.terms {
            match attributes.last_mut().filter(|(name, _)| *name == term.attribute) {
                Some((_, places)) => places.extend(term.place),
                None => attributes.push((term.attribute.clone(), term.place.into_iter().collect())),
            }
        }
        attributes
    }
}

/// The levels of an attribute as the design has them.
struct Levels {
    of: Vec<String>,
    /// Levels with a column, or the reference, in order.
    shown: Vec<String>,
}

impl Levels {
    fn new(levels: Vec<String>, order: &[&str]) -> Self {
        let count = |wanted: &str| levels.iter().filter(|level| *level == wanted).count() as u64;
        let mut names: Vec<String> = levels.clone();
        names.sort();
        names.dedup();
        let place = |name: &str| order.iter().position(|known| *known == name).unwrap_or(order.len());
        names.sort_by_key(|name| place(name));
        let (large, small): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| count(name) >= LEAST_SHOWN);
        let of = levels.into_iter().map(|level| {
            if small.contains(&level) {
                OTHER.to_owned()
            } else {
                level
            }
        });
        let mut shown = large;
        shown.extend((!small.is_empty()).then(|| OTHER.to_owned()));
        Self {
            of: of.collect(),
            shown,
        }
    }

    /// The most frequent known level, the first of equally frequent ones; `None` if there is nothing to compare.
    fn reference(&self) -> Option<String> {
        let count = |wanted: &String| self.of.iter().filter(|level| *level == wanted).count();
        let known = self
            .shown
            .iter()
            .filter(|level| ![UNKNOWN, OTHER].contains(&level.as_str()));
        let most = known.clone().map(count).max()?;
        let reference = known.clone().find(|level| count(level) == most)?;
        (self.shown.len() > 1).then(|| reference.clone())
    }
}

/// Columns none of which is a sum of the others (Gram and Schmidt).
#[derive(Default)]
struct Independent {
    basis: Vec<DVector<f64>>,
}

impl Independent {
    /// Whether a column says something new; if so it is one of them from now on.
    fn admits(&mut self, column: &DVector<f64>) -> bool {
        let mut rest = column.clone();
        // Twice: once leaves rounding behind.
        for _ in 0..2 {
            for direction in &self.basis {
                let along = direction.dot(&rest);
                rest.axpy(-along, direction, 1.0);
            }
        }
        let new = rest.norm() > 1e-7 * column.norm() && column.norm() > 0.0;
        if new {
            self.basis.push(rest.normalize());
        }
        new
    }
}
