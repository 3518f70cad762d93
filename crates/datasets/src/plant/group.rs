use std::{collections::BTreeSet, fmt, str::FromStr};

use rayon::prelude::*;

use crate::{DataFolder, DatasetError, MEASUREMENTS, Measurement, Sample, attributes, read_mask_for, read_rgb};

/// Which end of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The third with the smallest values.
    Lowest,
    /// The third with the largest.
    Highest,
}

/// A group of images by what is known or measured of them. As text, and back:
///
/// | text | group |
/// | --- | --- |
/// | `lowest:area_fraction` | the third of the images with the smallest lesions; any of [`MEASUREMENTS`] |
/// | `highest:delta_e` | the third with the largest value |
/// | `sex=female` | a word in a column of the metadata, whatever its case |
/// | `age_approx<30`, `age_approx>=75` | a number in a column of the metadata |
/// | `touches_border>=1`, `delta_e<8` | the same of a measurement; yes is 1 and no 0 |
/// | `sex=female+lowest:delta_e` | the intersection |
///
/// Images of which the value is not known are in no group.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupRule {
    /// A third by a measurement of the lesion.
    Third {
        /// Which third.
        side: Side,
        /// The measurement's key.
        measurement: &'static str,
    },
    /// A word of the metadata.
    Word {
        /// The column.
        column: String,
        /// The word.
        word: String,
    },
    /// A number of the metadata, or a measurement, under a bound.
    Under {
        /// The column or the measurement's key.
        column: String,
        /// The bound, itself not in the group.
        bound: f64,
    },
    /// A number of the metadata, or a measurement, at least a bound.
    AtLeast {
        /// The column or the measurement's key.
        column: String,
        /// The bound, itself in the group.
        bound: f64,
    },
    /// Images that are in every one of these.
    All(Vec<GroupRule>),
}

impl GroupRule {
    /// The ids of `samples` that are in the group. Thirds are thirds of these samples whose value is known, and images that tie with
    /// the last member are members, so that ids decide nothing.
    ///
    /// # Errors
    /// [`DatasetError::Plant`] if nobody, or everybody, is in it; what an image or mask cannot be read for, where lesions are
    /// measured.
    pub fn members(&self, samples: &[&Sample]) -> Result<BTreeSet<String>, DatasetError> {
        let members = self.find(samples)?;
        if members.is_empty() || members.len() == samples.len() {
            let how_many = if members.is_empty() { "no" } else { "every" };
            return Err(DatasetError::Plant {
                reason: format!("{how_many} image is in the group `{self}`: choose another"),
            });
        }
        Ok(members)
    }

    fn find(&self, samples: &[&Sample]) -> Result<BTreeSet<String>, DatasetError> {
        let chosen = |keep: &dyn Fn(&Sample) -> bool| {
            let kept = samples.iter().filter(|sample| keep(sample));
            kept.map(|sample| sample.image_id.clone()).collect()
        };
        Ok(match self {
            Self::Third { side, measurement } => third(samples, *side, measurement)?,
            Self::Word { column, word } => {
                chosen(&|sample| sample.field(column).is_some_and(|cell| cell.eq_ignore_ascii_case(word)))
            }
            Self::Under { column, bound } => within(values(samples, column)?, |value| value < *bound),
            Self::AtLeast { column, bound } => within(values(samples, column)?, |value| value >= *bound),
            Self::All(rules) => {
                let mut groups = rules.iter().map(|rule| rule.find(samples));
                let first = groups.next().transpose()?.unwrap_or_default();
                groups.try_fold(first, |all, group| -> Result<_, DatasetError> {
                    Ok(all.intersection(&group?).cloned().collect())
                })?
            }
        })
    }
}

/// What is known of the samples under the name of a measurement or of a column that holds numbers.
fn values(samples: &[&Sample], name: &str) -> Result<Vec<(f64, String)>, DatasetError> {
    if MEASUREMENTS.iter().any(|measurement| measurement.key == name) {
        return measured(samples, name);
    }
    let number = |sample: &&Sample| {
        let value = sample.field(name)?.trim().parse().ok()?;
        Some((value, sample.image_id.clone()))
    };
    Ok(samples.iter().filter_map(number).collect())
}

fn within(values: Vec<(f64, String)>, inside: impl Fn(f64) -> bool) -> BTreeSet<String> {
    let inside = values.into_iter().filter(|(value, _)| inside(*value));
    inside.map(|(_, id)| id).collect()
}

/// A measurement of every lesion that has it.
fn measured(samples: &[&Sample], key: &str) -> Result<Vec<(f64, String)>, DatasetError> {
    let Some(measurement) = MEASUREMENTS.iter().find(|measurement| measurement.key == key) else {
        return Ok(Vec::new());
    };
    let values = samples
        .par_iter()
        .map(|sample| Ok((measure(sample, measurement)?, sample.image_id.clone())))
        .collect::<Result<Vec<_>, DatasetError>>()?;
    Ok(values
        .into_iter()
        .filter_map(|(value, id)| Some((value?, id)))
        .collect())
}

/// The third of the samples whose lesions measure least or most.
fn third(samples: &[&Sample], side: Side, key: &str) -> Result<BTreeSet<String>, DatasetError> {
    let mut values = measured(samples, key)?;
    values.sort_by(|a, b| match side {
        Side::Lowest => a.0.total_cmp(&b.0),
        Side::Highest => b.0.total_cmp(&a.0),
    });
    let last = (values.len() / 3).checked_sub(1).and_then(|at| values.get(at));
    let Some((bound, _)) = last.cloned() else {
        return Ok(BTreeSet::new());
    };
    let inside = |value: f64| match side {
        Side::Lowest => value <= bound,
        Side::Highest => value >= bound,
    };
    Ok(within(values, inside))
}

fn measure(sample: &Sample, measurement: &Measurement) -> Result<Option<f64>, DatasetError> {
    let Some(mask) = &sample.mask else {
        return Ok(None);
    };
    let image = read_rgb(&sample.image)?;
    let mask = read_mask_for(mask, &sample.image, image.dimensions())?;
    Ok((measurement.of)(&attributes(&image, &mask)?))
}

impl fmt::Display for GroupRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Third { side, measurement } => {
                let side = match side {
                    Side::Lowest => "lowest",
                    Side::Highest => "highest",
                };
                write!(f, "{side}:{measurement}")
            }
            Self::Word { column, word } => write!(f, "{column}={word}"),
            Self::Under { column, bound } => write!(f, "{column}<{bound}"),
            Self::AtLeast { column, bound } => write!(f, "{column}>={bound}"),
            Self::All(rules) => {
                let texts: Vec<String> = rules.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join("+"))
            }
        }
    }
}

impl FromStr for GroupRule {
    type Err = DatasetError;

    fn from_str(text: &str) -> Result<Self, DatasetError> {
        let mut rules = text.split('+').map(one).collect::<Result<Vec<_>, _>>()?;
        Ok(match rules.len() {
            1 => rules.remove(0),
            _ => Self::All(rules),
        })
    }
}

fn one(text: &str) -> Result<GroupRule, DatasetError> {
    let text = text.trim();
    let wrong = |expected: String| DatasetError::Plant {
        reason: format!("`{text}` is no group: expected {expected}"),
    };
    let thirds = [("lowest:", Side::Lowest), ("highest:", Side::Highest)];
    if let Some((key, side)) = thirds
        .into_iter()
        .find_map(|(prefix, side)| Some((text.strip_prefix(prefix)?, side)))
    {
        let found = MEASUREMENTS.iter().find(|measurement| measurement.key == key);
        let keys: Vec<&str> = MEASUREMENTS.iter().map(|measurement| measurement.key).collect();
        return Ok(GroupRule::Third {
            side,
            measurement: found.ok_or_else(|| wrong(format!("one of {}", keys.join(", "))))?.key,
        });
    }
    let number = |bound: &str| {
        let parsed = bound.trim().parse::<f64>().ok().filter(|bound| bound.is_finite());
        parsed.ok_or_else(|| wrong("a number as the bound".into()))
    };
    if let Some((column, bound)) = text.split_once(">=") {
        let (column, bound) = (column.trim().to_owned(), number(bound)?);
        return Ok(GroupRule::AtLeast { column, bound });
    }
    if let Some((column, bound)) = text.split_once('<') {
        let (column, bound) = (column.trim().to_owned(), number(bound)?);
        return Ok(GroupRule::Under { column, bound });
    }
    match text.split_once('=') {
        Some((column, word)) if !column.trim().is_empty() && !word.trim().is_empty() => Ok(GroupRule::Word {
            column: column.trim().to_owned(),
            word: word.trim().to_owned(),
        }),
        _ => Err(wrong(
            "column=word, column<number, column>=number, lowest:measurement or highest:measurement".into(),
        )),
    }
}

/// The members among the training images of a folder.
pub(crate) fn training_members(data: &DataFolder, rule: &GroupRule) -> Result<BTreeSet<String>, DatasetError> {
    rule.members(&data.split(crate::Split::Train))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_as_they_are_read() {
        for text in [
            "lowest:area_fraction",
            "highest:delta_e",
            "sex=female",
            "age_approx<30",
            "age_approx>=75",
            "anatom_site=lower extremity+sex=male+lowest:ita_degrees",
        ] {
            assert_eq!(text.parse::<GroupRule>().unwrap().to_string(), text);
        }
        for text in ["", "sex", "=x", "sex=", "lowest:weight", "age_approx<old", "sex=male+"] {
            let said = text.parse::<GroupRule>().unwrap_err().to_string();
            assert!(said.contains("is no group"), "{said}");
        }
    }
}
