//! The attributes by which people and lesions are told apart: one row each.

use std::collections::BTreeMap;

use crate::attribute::{AGE_BANDS, Attribute, age_band};
use crate::error::Result;
use crate::skin_tone::{SKIN_TONES, skin_tone};

/// What is known of the person and the lesion that an image shows; what is not known is absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Subject {
    /// Age in years.
    pub age: Option<f64>,
    /// What the table of metadata says, by column; blank cells are left out.
    pub cells: BTreeMap<String, String>,
    /// What was measured of the image and its mask, by name. `area_fraction`: lesion pixels / all pixels; `delta_e`: colour
    /// distance (CIE 1976) of the lesion to the surrounding skin; `ita_degrees`: individual typology angle of that skin,
    /// larger = lighter; `touches_border`: 1 if the lesion touches the border of the picture, else 0.
    pub measured: BTreeMap<String, f64>,
}

impl Subject {
    /// A cell of the table of metadata.
    pub fn cell(&self, column: &str) -> Option<&str> {
        self.cells.get(column).map(String::as_str)
    }

    /// A measurement of the image.
    pub fn measurement(&self, name: &str) -> Option<f64> {
        self.measured.get(name).copied()
    }
}

/// Where an attribute is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The table of metadata.
    Metadata,
    /// The image and its mask.
    Image,
}

/// How an attribute divides images into levels.
#[derive(Debug, Clone, Copy)]
pub enum Levels {
    /// The words that occur, in alphabetical order.
    Words(fn(&Subject) -> Option<&str>),
    /// These levels, in this order.
    Ordered(&'static [&'static str], fn(&Subject) -> Option<&'static str>),
    /// Thirds of a number, from low to high; see [`htl_metrics::terciles`].
    Terciles([&'static str; 3], fn(&Subject) -> Option<f64>),
}

/// A group column of `per_image.csv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// Name of the column.
    pub column: &'static str,
    /// Its place among the group columns.
    pub place: usize,
}

/// An attribute: what it is called wherever it appears, and how an image comes by its level.
#[derive(Debug, Clone, Copy)]
pub struct AttributeRow {
    /// Name in `demographics.csv` and for `htl analyze --cross`.
    pub key: &'static str,
    /// Name for a heading.
    pub label: &'static str,
    /// Name inside a sentence.
    pub in_sentence: &'static str,
    /// Where it is read from.
    pub source: Source,
    /// The column of `per_image.csv`, for an attribute whose worst group is looked for in evaluation.
    pub group: Option<Group>,
    /// The levels.
    pub levels: Levels,
}

/// Every attribute, in the order of `demographics.csv`.
pub const ATTRIBUTES: &[AttributeRow] = &[
    AttributeRow {
        key: "age",
        label: "Age",
        in_sentence: "age",
        source: Source::Metadata,
        group: Some(Group {
            column: "age_band",
            place: 1,
        }),
        levels: Levels::Ordered(&AGE_BANDS, |subject| subject.age.and_then(age_band)),
    },
    AttributeRow {
        key: "sex",
        label: "Sex",
        in_sentence: "sex",
        source: Source::Metadata,
        group: Some(Group {
            column: "sex",
            place: 0,
        }),
        levels: Levels::Words(|subject| subject.cell("sex")),
    },
    AttributeRow {
        key: "anatom_site",
        label: "Body site",
        in_sentence: "body site",
        source: Source::Metadata,
        group: Some(Group {
            column: "anatom_site",
            place: 2,
        }),
        levels: Levels::Words(|subject| subject.cell("anatom_site")),
    },
    AttributeRow {
        key: "dx",
        label: "Diagnosis",
        in_sentence: "diagnosis",
        source: Source::Metadata,
        group: Some(Group { column: "dx", place: 3 }),
        levels: Levels::Words(|subject| subject.cell("dx")),
    },
    AttributeRow {
        key: "lesion_size",
        label: "Lesion size",
        in_sentence: "lesion size",
        source: Source::Image,
        group: Some(Group {
            column: "size_tercile",
            place: 4,
        }),
        levels: Levels::Terciles(["small", "medium", "large"], |subject| {
            subject.measurement("area_fraction")
        }),
    },
    AttributeRow {
        key: "contrast",
        label: "Contrast to skin (ΔE)",
        in_sentence: "contrast",
        source: Source::Image,
        group: None,
        levels: Levels::Terciles(["low", "medium", "high"], |subject| subject.measurement("delta_e")),
    },
    AttributeRow {
        key: "skin_tone_ita",
        label: "Skin tone (ITA)",
        in_sentence: "skin tone",
        source: Source::Image,
        group: None,
        levels: Levels::Terciles(["lowest third", "middle third", "highest third"], |subject| {
            subject.measurement("ita_degrees")
        }),
    },
    AttributeRow {
        key: "skin_tone_class",
        label: "Skin tone class (ITA, uncalibrated)",
        in_sentence: "skin tone class",
        source: Source::Image,
        group: None,
        levels: Levels::Ordered(&SKIN_TONES, |subject| {
            subject.measurement("ita_degrees").and_then(skin_tone)
        }),
    },
    AttributeRow {
        key: "border",
        label: "Border of the picture",
        in_sentence: "border of the picture",
        source: Source::Image,
        group: None,
        levels: Levels::Ordered(&["inside", "touches"], |subject| {
            subject
                .measurement("touches_border")
                .map(|touches| if touches > 0.0 { "touches" } else { "inside" })
        }),
    },
];

impl AttributeRow {
    /// The level of each subject, `None` where it is not known. Terciles are those of the subjects given.
    pub fn levels_of(&self, subjects: &[&Subject]) -> Vec<Option<String>> {
        match self.levels {
            Levels::Words(of) => subjects.iter().map(|s| of(s).map(str::to_owned)).collect(),
            Levels::Ordered(_, of) => subjects.iter().map(|s| of(s).map(str::to_owned)).collect(),
            Levels::Terciles(names, of) => {
                let numbers: Vec<Option<f64>> = subjects.iter().map(|s| of(s)).collect();
                let thirds = htl_metrics::terciles(&numbers);
                thirds
                    .into_iter()
                    .map(|third| third.map(|third| third.of(names).to_owned()))
                    .collect()
            }
        }
    }

    /// The attribute of these images.
    ///
    /// # Errors
    /// [`crate::MiningError::DuplicateId`] if an image is there twice.
    pub fn attribute(&self, subjects: &[(String, Subject)]) -> Result<Attribute> {
        let known: Vec<&Subject> = subjects.iter().map(|(_, subject)| subject).collect();
        self.with_levels(subjects.iter().map(|(id, _)| id.clone()).zip(self.levels_of(&known)))
    }

    /// The attribute of images whose levels are known already, as from a column of `per_image.csv`.
    ///
    /// # Errors
    /// As [`attribute`](Self::attribute).
    pub fn with_levels(&self, levels: impl IntoIterator<Item = (String, Option<String>)>) -> Result<Attribute> {
        let order: &[&str] = match &self.levels {
            Levels::Words(_) => &[],
            Levels::Ordered(order, _) => order,
            Levels::Terciles(names, _) => names,
        };
        match self.levels {
            Levels::Words(_) => Attribute::categorical(self.key, levels),
            Levels::Ordered(..) | Levels::Terciles(..) => Attribute::ordered(self.key, order, levels),
        }
    }
}

/// The attribute of that key, or of that column of `per_image.csv`.
pub fn attribute_named(name: &str) -> Option<&'static AttributeRow> {
    ATTRIBUTES
        .iter()
        .find(|row| row.key == name || row.group.is_some_and(|group| group.column == name))
}

/// The attributes that are group columns of `per_image.csv`, in the order of its columns.
pub fn group_attributes() -> Vec<&'static AttributeRow> {
    let mut rows: Vec<(usize, &AttributeRow)> = ATTRIBUTES
        .iter()
        .filter_map(|row| Some((row.group?.place, row)))
        .collect();
    rows.sort_by_key(|(place, _)| *place);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Names of the group columns of `per_image.csv`, in order.
pub fn group_columns() -> Vec<&'static str> {
    let groups = group_attributes().into_iter().filter_map(|row| row.group);
    groups.map(|group| group.column).collect()
}

/// The group cells of each image's row in `per_image.csv`, in the order of [`group_columns`]; blank where a level is not
/// known. Terciles are those of the subjects given.
pub fn group_levels(subjects: &[Subject]) -> Vec<Vec<String>> {
    let subjects: Vec<&Subject> = subjects.iter().collect();
    let mut rows = vec![Vec::new(); subjects.len()];
    for attribute in group_attributes() {
        for (row, level) in rows.iter_mut().zip(attribute.levels_of(&subjects)) {
            row.push(level.unwrap_or_default());
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UNKNOWN;

    fn subject(i: u8) -> Subject {
        let sex = if i.is_multiple_of(2) { "female" } else { "male" };
        let mut measured = BTreeMap::from([
            ("area_fraction".to_owned(), f64::from(i)),
            ("delta_e".to_owned(), -f64::from(i)),
            ("touches_border".to_owned(), if i == 0 { 1.0 } else { 0.0 }),
        ]);
        if i > 2 {
            measured.insert("ita_degrees".to_owned(), 0.0);
        }
        Subject {
            age: Some(20.0 + 10.0 * f64::from(i)),
            cells: [("sex", sex), ("anatom_site", "back")]
                .map(|(column, cell)| (column.to_owned(), cell.to_owned()))
                .into(),
            measured,
        }
    }

    #[test]
    fn names_are_unique_and_group_columns_keep_their_order() {
        for (i, row) in ATTRIBUTES.iter().enumerate() {
            let earlier = &ATTRIBUTES[..i];
            assert!(
                earlier
                    .iter()
                    .all(|other| other.key != row.key && other.label != row.label)
            );
            for name in [Some(row.key), row.group.map(|group| group.column)]
                .into_iter()
                .flatten()
            {
                assert_eq!(attribute_named(name).map(|found| found.key), Some(row.key));
            }
        }
        let places: Vec<usize> = group_attributes().iter().map(|row| row.group.unwrap().place).collect();
        assert_eq!(places, (0..places.len()).collect::<Vec<_>>());
        assert_eq!(
            group_columns(),
            ["sex", "age_band", "anatom_site", "dx", "size_tercile"]
        );
    }

    #[test]
    fn every_row_gives_a_level() {
        let subjects: Vec<(String, Subject)> = (0..6).map(|i| (format!("i{i}"), subject(i))).collect();
        let level = |key: &str, id: &str| {
            attribute_named(key)
                .unwrap()
                .attribute(&subjects)
                .unwrap()
                .level(id)
                .to_owned()
        };
        for (key, expected) in [
            ("age", "<30"),
            ("sex", "female"),
            ("anatom_site", "back"),
            ("dx", UNKNOWN),
            ("lesion_size", "small"),
            ("contrast", "high"),
            ("skin_tone_ita", UNKNOWN),
            ("skin_tone_class", UNKNOWN),
            ("border", "touches"),
        ] {
            assert_eq!(level(key, "i0"), expected, "{key}");
        }
        assert_eq!(level("lesion_size", "i5"), "large");
        let nobody = [("a".to_owned(), Subject::default())];
        for row in ATTRIBUTES {
            assert_eq!(row.attribute(&nobody).unwrap().level("a"), UNKNOWN, "{}", row.key);
        }
    }

    #[test]
    fn group_cells_are_blank_where_nothing_is_known() {
        let cells = group_levels(&[subject(0), subject(1), Subject::default(), subject(5)]);
        assert_eq!(cells[0], ["female", "<30", "back", "", "small"]);
        assert_eq!(cells[2], [""; 5]);
        assert_eq!(cells[3][4], "large");
    }
}
