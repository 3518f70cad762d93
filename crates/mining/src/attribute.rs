use std::collections::BTreeMap;

use crate::error::{MiningError, Result};

/// Level of images whose attribute is not known: shown, compared with the known ones, and not part of "all other levels".
pub const UNKNOWN: &str = "unknown";

/// Names of the age bands of [`age_band`], youngest first.
pub const AGE_BANDS: [&str; 5] = ["<30", "30-44", "45-59", "60-74", "75+"];

/// The band of an age in years; `None` if the value is not a valid age (negative or not a number).
pub fn age_band(years: f64) -> Option<&'static str> {
    match years {
        y if y.is_nan() || y < 0.0 => None,
        y if y < 30.0 => Some("<30"),
        y if y < 45.0 => Some("30-44"),
        y if y < 60.0 => Some("45-59"),
        y if y < 75.0 => Some("60-74"),
        _ => Some("75+"),
    }
}

/// Whether an attribute's levels have an order that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Names only: sex, body site.
    Nominal,
    /// From low to high: age bands, thirds. A trend over them can be asked for.
    Ordinal,
}

/// One attribute of the images, as levels: sex, age band, lesion-size tercile, ...
///
/// An image without a level, or with a blank one, is [`UNKNOWN`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    name: String,
    scale: Scale,
    levels: BTreeMap<String, String>,
    order: Vec<String>,
}

impl Attribute {
    /// An attribute of ids that are known to be different ones.
    pub(crate) fn of_levels(name: &str, scale: Scale, levels: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            name: name.to_owned(),
            scale,
            levels: levels.into_iter().collect(),
            order: Vec::new(),
        }
    }

    /// A categorical attribute; levels are shown in alphabetical order.
    ///
    /// # Errors
    /// [`MiningError::DuplicateId`].
    pub fn categorical<I: Into<String>, L: Into<String>>(
        name: &str,
        values: impl IntoIterator<Item = (I, Option<L>)>,
    ) -> Result<Self> {
        let nominal = Self::ordered(name, &[], values)?;
        Ok(Self {
            scale: Scale::Nominal,
            ..nominal
        })
    }

    /// An attribute whose levels go from low to high in the order given (others after them, alphabetically).
    ///
    /// # Errors
    /// [`MiningError::DuplicateId`].
    pub fn ordered<I: Into<String>, L: Into<String>>(
        name: &str,
        order: &[&str],
        values: impl IntoIterator<Item = (I, Option<L>)>,
    ) -> Result<Self> {
        let mut levels = BTreeMap::new();
        for (id, level) in values {
            let (id, level): (String, String) = (id.into(), level.map(Into::into).unwrap_or_default());
            let level = match level.trim() {
                level if level.is_empty() || level.eq_ignore_ascii_case(UNKNOWN) => UNKNOWN.to_string(),
                level => level.to_string(),
            };
            if levels.insert(id.clone(), level).is_some() {
                return Err(MiningError::DuplicateId {
                    image_id: id,
                    place: format!("attribute `{name}`"),
                });
            }
        }
        Ok(Self {
            name: name.to_string(),
            scale: Scale::Ordinal,
            levels,
            order: order.iter().map(|level| level.to_string()).collect(),
        })
    }

    /// A number as three levels of about equal size, named from low to high (`["small", "medium", "large"]`); see
    /// [`htl_metrics::terciles`]. Missing values and NaN are [`UNKNOWN`].
    ///
    /// # Errors
    /// [`MiningError::DuplicateId`].
    pub fn terciles<I: Into<String>>(
        name: &str,
        names: [&str; 3],
        values: impl IntoIterator<Item = (I, Option<f64>)>,
    ) -> Result<Self> {
        let (ids, values): (Vec<String>, Vec<Option<f64>>) =
            values.into_iter().map(|(id, value)| (id.into(), value)).unzip();
        let thirds = htl_metrics::terciles(&values);
        let levels = thirds.into_iter().map(|third| third.map(|third| third.of(names)));
        Self::ordered(name, &names, ids.into_iter().zip(levels))
    }

    /// A number as bands between cut points, which rise: `18.5, 25` gives `<18.5`, `18.5-25` and `25+`, each with its lower
    /// end. Missing values and NaN are [`UNKNOWN`].
    ///
    /// # Errors
    /// [`MiningError::DuplicateId`], [`MiningError::Parameter`] if the cuts do not rise or are none.
    pub fn bands<I: Into<String>>(
        name: &str,
        cuts: &[f64],
        values: impl IntoIterator<Item = (I, Option<f64>)>,
    ) -> Result<Self> {
        let falling = cuts.windows(2).find(|pair| pair[0] >= pair[1]).map(|pair| pair[1]);
        let wrong = cuts.iter().copied().find(|cut| !cut.is_finite()).or(falling);
        let (Some(first), Some(last), None) = (cuts.first(), cuts.last(), wrong) else {
            return Err(MiningError::Parameter {
                name: "cut point",
                expected: "a finite number above the one before it",
                found: wrong.unwrap_or(f64::NAN),
            });
        };
        let between = cuts.windows(2).map(|pair| format!("{}-{}", pair[0], pair[1]));
        let names: Vec<String> = std::iter::once(format!("<{first}"))
            .chain(between)
            .chain([format!("{last}+")])
            .collect();
        let order: Vec<&str> = names.iter().map(String::as_str).collect();
        let band = |value: f64| cuts.iter().take_while(|cut| value >= **cut).count();
        let levels = values.into_iter().map(|(id, value)| {
            let known = value.filter(|value| !value.is_nan());
            (id, known.and_then(|value| names.get(band(value))).cloned())
        });
        Self::ordered(name, &order, levels)
    }

    /// The intersection of two attributes, as `sex x age`: its levels are pairs, `female, 30-44`; unknown where either is.
    pub fn cross(&self, other: &Attribute) -> Attribute {
        let pair = |a: &str, b: &str| format!("{a}, {b}");
        let ids = self
            .levels
            .keys()
            .chain(other.levels.keys().filter(|id| !self.levels.contains_key(*id)));
        let levels = ids
            .map(|id| match (self.level(id), other.level(id)) {
                (UNKNOWN, _) | (_, UNKNOWN) => (id.clone(), UNKNOWN.to_string()),
                (a, b) => (id.clone(), pair(a, b)),
            })
            .collect();
        let order = self
            .sorted_levels()
            .iter()
            .flat_map(|a| other.sorted_levels().into_iter().map(move |b| pair(a, b)))
            .collect();
        Attribute {
            name: format!("{} x {}", self.name, other.name),
            scale: Scale::Nominal,
            levels,
            order,
        }
    }

    /// Name of the attribute.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the levels have an order.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// Level of an image, [`UNKNOWN`] if it has none.
    pub fn level(&self, image_id: &str) -> &str {
        self.levels.get(image_id).map_or(UNKNOWN, String::as_str)
    }

    /// Levels that occur, without [`UNKNOWN`], in the order in which they are shown.
    pub fn sorted_levels(&self) -> Vec<&str> {
        let mut levels: Vec<&str> = self
            .levels
            .values()
            .map(String::as_str)
            .filter(|level| *level != UNKNOWN)
            .collect();
        levels.sort_unstable();
        levels.dedup();
        let place = |level: &str| {
            self.order
                .iter()
                .position(|known| known == level)
                .unwrap_or(self.order.len())
        };
        levels.sort_by_key(|level| place(level));
        levels
    }
}
