//! What the columns of other people's tables are called here.

use std::collections::BTreeMap;

use crate::spelling::key;

/// Names that other tables have for columns of ours, as [`key`] gives them; the first that is there is read, unless ours is.
/// They are those of the ISIC archive and its `isic-cli`, of the ISIC challenges, HAM10000 and PH2.
const ALIASES: &[(&str, &[&str])] = &[
    (
        "image_id",
        &[
            "isic id",
            "image",
            "image name",
            "img id",
            "filename",
            "file name",
            "name",
        ],
    ),
    ("split", &["partition"]),
    ("age_approx", &["age", "age approximate", "age years"]),
    ("sex", &["gender"]),
    (
        "anatom_site",
        &[
            "anatom site general",
            "anatom_site_general",
            "anatom site general challenge",
            "localization",
            "body site",
            "site",
        ],
    ),
    (
        "dx",
        &[
            "diagnosis",
            "clinical diagnosis",
            "histological diagnosis",
            "diagnosis_3",
            "diagnosis 3",
            "benign malignant",
            "diagnosis_1",
            "diagnosis 1",
        ],
    ),
    ("lesion_id", &["lesion"]),
    ("patient_id", &["patient", "subject id"]),
];

/// A column of ours and the name that a table has for it: `sex=Geschlecht`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnName {
    /// Our name: `image_id`, `split`, `age_approx`, `sex`, `anatom_site`, `dx`, `lesion_id`, `patient_id`.
    pub column: String,
    /// The table's name.
    pub name: String,
}

impl std::str::FromStr for ColumnName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ours = || ALIASES.iter().map(|(ours, _)| *ours).collect::<Vec<_>>().join(", ");
        let pair = text.split_once('=').map(|(column, name)| (column.trim(), name.trim()));
        match pair {
            Some((column, name)) if !name.is_empty() && ALIASES.iter().any(|(ours, _)| *ours == column) => Ok(Self {
                column: column.to_owned(),
                name: name.to_owned(),
            }),
            Some((column, name)) if !name.is_empty() => {
                Err(format!("`{column}` is no column of ours; there are {}", ours()))
            }
            _ => Err(format!(
                "`{text}`: expected COLUMN=NAME with a column of ours ({})",
                ours()
            )),
        }
    }
}

/// Our name of each column of a header; its own where it has none of ours.
///
/// # Errors
/// What is wrong, if a given name is not in the header or is given twice.
pub(crate) fn our_names(header: &[String], given: &[ColumnName]) -> Result<Vec<String>, String> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for ColumnName { column, name } in given {
        let place = header.iter().position(|found| found == name);
        let place = place.or_else(|| header.iter().position(|found| key(found) == key(name)));
        let Some(place) = place else {
            return Err(format!(
                "--map {column}={name}: there is no column `{name}`; found {}",
                listed(header)
            ));
        };
        if places.values().any(|taken| *taken == place) || places.insert(column, place).is_some() {
            return Err(format!("--map {column}={name}: column or name is given twice"));
        }
    }
    let keys: Vec<String> = header.iter().map(|name| key(name)).collect();
    for (ours, others) in ALIASES {
        if places.contains_key(ours) {
            continue;
        }
        let free = |place: &usize| !places.values().any(|taken| taken == place);
        let exact = header.iter().position(|name| name == ours).filter(free);
        let spelled = |wanted: &str| keys.iter().position(|found| found == wanted).filter(free);
        let place = exact
            .or_else(|| spelled(&key(ours)))
            .or_else(|| others.iter().find_map(|name| spelled(&key(name))));
        if let Some(place) = place {
            places.insert(ours, place);
        }
    }
    let mut names = header.to_vec();
    for (ours, place) in places {
        // A column of that name whose place was taken by a given one keeps out of the way.
        for name in names.iter_mut().filter(|name| *name == ours) {
            name.insert_str(0, "table_");
        }
        if let Some(name) = names.get_mut(place) {
            *name = ours.to_owned();
        }
    }
    Ok(names)
}

/// At most ten names.
fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(10).map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => "none".to_owned(),
        1..=10 => shown.join(", "),
        more => format!("{} and {} more", shown.join(", "), more - 10),
    }
}

/// What is said of a table without an id.
pub(crate) fn no_id(header: &[String]) -> String {
    format!(
        "no column `image_id`; found {}. Rename the column of ids, or name it with --map image_id=NAME (`htl data import folder` writes a \
         table that needs no such option)",
        listed(header)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(header: &str, given: &[&str]) -> Result<Vec<String>, String> {
        let header: Vec<String> = header.split(',').map(str::to_owned).collect();
        let given: Vec<ColumnName> = given.iter().map(|text| text.parse().unwrap()).collect();
        our_names(&header, &given)
    }

    #[test]
    fn published_headers_are_understood() {
        for (header, ours) in [
            (
                "lesion_id,image_id,dx,dx_type,age,sex,localization",
                "lesion_id,image_id,dx,dx_type,age_approx,sex,anatom_site",
            ),
            (
                "isic_id,attribution,age_approx,anatom_site_general,benign_malignant,diagnosis,sex",
                "image_id,attribution,age_approx,anatom_site,benign_malignant,dx,sex",
            ),
            (
                "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target",
                "image_id,patient_id,sex,age_approx,anatom_site,dx,benign_malignant,target",
            ),
            (
                "image,age_approx,anatom_site_general,lesion_id,sex",
                "image_id,age_approx,anatom_site,lesion_id,sex",
            ),
            (
                "isic_id,diagnosis_1,diagnosis_2,diagnosis_3",
                "image_id,diagnosis_1,diagnosis_2,dx",
            ),
            ("Name,Clinical Diagnosis,Asymmetry", "image_id,dx,Asymmetry"),
            ("Image_ID,Sex,AGE", "image_id,sex,age_approx"),
            ("image_id,image,sex,gender", "image_id,image,sex,gender"),
        ] {
            assert_eq!(names(header, &[]).unwrap().join(","), ours);
        }
    }

    #[test]
    fn other_names_are_given() {
        let given = names("Bild,Geschlecht,sex", &["image_id=Bild", "sex=Geschlecht"]);
        assert_eq!(given.unwrap(), ["image_id", "sex", "table_sex"]);
        let error = names("Bild,sex", &["image_id=Foto"]).unwrap_err();
        assert!(error.contains("no column `Foto`; found `Bild`, `sex`"), "{error}");
        for wrong in ["sex", "sex=", "weight=kg"] {
            assert!(wrong.parse::<ColumnName>().is_err(), "{wrong}");
        }
    }
}
