use htl_vocabulary::ForgettingRow;

use super::clusters::members_by_cluster;
use super::cohort::Cohort;
use super::contrast::{Side, contrast};
use super::grouping::LEAST_SHOWN;
use crate::attribute::{Attribute, Scale, UNKNOWN};
use crate::curve_table::CurveTable;

/// Name of the attribute that says whether an image is in the hard-to-learn set.
pub const HARD: &str = "htl";

/// The forgetting curve of every level of every attribute, of hard and other images, and of all images: who is forgotten first.
///
/// Images of the cohort that have no curve are left out. Groups under [`LEAST_SHOWN`] images are counted only. Intervals are
/// about other images of the same networks: Student's t, images of one lesion averaged first.
pub fn forgetting_by_group(table: &CurveTable, cohort: &Cohort, attributes: &[Attribute]) -> Vec<ForgettingRow> {
    let all = all_images(cohort);
    let hard = hard_or_not(cohort);
    let attributes: Vec<&Attribute> = [&all, &hard].into_iter().chain(attributes).collect();
    let mut rows = Vec::new();
    for (kind, curves) in table.kinds() {
        let known: Vec<(usize, &Vec<f64>)> = (0..cohort.len())
            .filter_map(|image| Some((image, curves.get(&cohort.ids[image])?)))
            .collect();
        for attribute in &attributes {
            for level in attribute.sorted_levels().into_iter().chain([UNKNOWN]) {
                let of_level = |(image, _): &&(usize, &Vec<f64>)| attribute.level(&cohort.ids[*image]) == level;
                let members: Vec<&(usize, &Vec<f64>)> = known.iter().filter(of_level).collect();
                if members.is_empty() {
                    continue;
                }
                // Positions among the members.
                let pairs = members.iter().enumerate();
                let lesions = members_by_cluster(pairs.map(|(at, (image, _))| (cohort.cluster[*image], at)));
                for (at, sparsity) in table.sparsities().iter().enumerate() {
                    let values: Vec<f64> = members.iter().map(|(_, curve)| curve[at]).collect();
                    let side = Side {
                        clusters: &lesions,
                        sign: 1.0,
                    };
                    let shown = members.len() as u64 >= LEAST_SHOWN;
                    let mean = shown.then(|| contrast(&[values], &[side])).flatten();
                    rows.push(ForgettingRow {
                        damage: kind.damage.clone(),
                        measure: kind.measure.clone(),
                        attribute: attribute.name().to_owned(),
                        level: level.to_owned(),
                        n: members.len() as u64,
                        clusters: lesions.len() as u64,
                        sparsity: *sparsity,
                        agreement: mean.map(|mean| mean.value),
                        lo: mean.map(|mean| mean.lo.max(0.0)),
                        hi: mean.map(|mean| mean.hi.min(1.0)),
                    });
                }
            }
        }
    }
    rows
}

fn all_images(cohort: &Cohort) -> Attribute {
    let levels = cohort.ids.iter().map(|id| (id.clone(), "all".to_owned()));
    Attribute::of_levels("", Scale::Nominal, levels)
}

fn hard_or_not(cohort: &Cohort) -> Attribute {
    let word = |hard: bool| if hard { "hard to learn" } else { "others" };
    let levels = cohort.ids.iter().zip(&cohort.hard);
    Attribute::of_levels(
        HARD,
        Scale::Nominal,
        levels.map(|(id, hard)| (id.clone(), word(*hard).to_owned())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cohort(images: usize) -> Cohort {
        Cohort {
            outcome: "forgetting_raw".into(),
            ids: (0..images).map(|image| format!("i{image:02}")).collect(),
            hard: (0..images).map(|image| image < 10).collect(),
            score: None,
            fold: vec![0; images],
            // The last two show one lesion.
            cluster: (0..images).map(|image| image.min(images - 2)).collect(),
            empty: Vec::new(),
            unscored: 0,
            torn: 0,
        }
    }

    /// Hard images are forgotten, the others are not; a lesion counts once; small groups are counted only.
    #[test]
    fn curves_are_those_of_the_groups() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.curve.csv");
        let cohort = cohort(30);
        let mut text = "image_id,damage,measure,0,0.9\n".to_owned();
        for (image, id) in cohort.ids.iter().enumerate() {
            let kept = if cohort.hard[image] { 0.0 } else { 1.0 };
            text += &format!("{id},pruned-raw,iou,1,{kept}\n");
        }
        std::fs::write(&path, text).unwrap();
        let table = CurveTable::read(&[&path]).unwrap();
        let sex = cohort.ids.iter().enumerate().map(|(image, id)| {
            let sex = if image < 5 { "female" } else { "male" };
            (id.clone(), Some(sex))
        });
        let sex = Attribute::categorical("sex", sex).unwrap();
        let rows = forgetting_by_group(&table, &cohort, &[sex]);
        let of = |attribute: &str, level: &str, sparsity: f64| {
            let is =
                |row: &&ForgettingRow| row.attribute == attribute && row.level == level && row.sparsity == sparsity;
            rows.iter().find(is).unwrap()
        };
        assert_eq!(of(HARD, "hard to learn", 0.9).agreement, Some(0.0));
        assert_eq!(of(HARD, "others", 0.9).agreement, Some(1.0));
        assert_eq!(of(HARD, "hard to learn", 0.0).agreement, Some(1.0));
        let all = of("", "all", 0.9);
        // 19 lesions of 29 are remembered.
        assert!((all.agreement.unwrap() - 19.0 / 29.0).abs() < 1e-12 && (all.n, all.clusters) == (30, 29));
        let (lo, hi) = (all.lo.unwrap(), all.hi.unwrap());
        assert!(lo > 0.4 && lo < 0.5 && hi > 0.8 && hi < 0.9, "{lo} {hi}");
        let few = of("sex", "female", 0.9);
        assert_eq!((few.n, few.agreement), (5, None));
        assert_eq!(of("sex", "male", 0.9).n, 25);
    }
}
