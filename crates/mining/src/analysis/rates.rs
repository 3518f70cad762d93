use htl_vocabulary::RateRow;
use serde::{Deserialize, Serialize};

use super::adjust::Adjustment;
use super::clustered::clustered_odds_ratio;
use super::cohort::Cohort;
use super::contingency::wilson;
use super::family::{Family, Permutations};
use super::grouping::{Grouping, LEAST_SHOWN, LEAST_TESTED, by_level, pooled, tables};
use super::power::detectable;
use super::stratified::{mantel_haenszel, stratified_p};
use crate::attribute::Attribute;

/// One test of a whole attribute, a row of `omnibus.csv`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AttributeTest {
    /// What makes an image hard: the score's column.
    pub outcome: String,
    /// The attribute.
    pub attribute: String,
    /// `chi-square` and `cochran-armitage` of hard or not; `kruskal-wallis` and `jonckheere` of the score itself. The second
    /// of each asks for a trend over ordered levels, and its statistic is positive where higher levels are harder.
    pub test: String,
    /// Levels compared.
    pub levels: usize,
    /// Images compared.
    pub n: usize,
    /// Hard ones among them.
    pub htl: usize,
    /// Chi-square, H, or a standard normal z for a trend.
    pub statistic: f64,
    /// Degrees of freedom.
    pub df: usize,
    /// p by the statistic's asymptotic distribution, which takes every image for independent.
    pub p: f64,
    /// p when whole lesions change places within their fold.
    pub p_permutation: f64,
    /// That, adjusted for all tests of the table (Westfall and Young).
    pub p_adjusted: f64,
}

/// Who is hard: what `demographics.csv` and `omnibus.csv` hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Demographics {
    /// Rates by level.
    pub rates: Vec<RateRow>,
    /// Tests by attribute.
    pub tests: Vec<AttributeTest>,
    /// Images that no permutation moves: their lesion is the only one of its number of images in its fold.
    pub fixed: usize,
}

/// Rates of hard images of every level of every attribute with their comparisons, and one test per attribute.
///
/// Each level is compared with all other known levels of its attribute, and the images of which the attribute is not known
/// with the known ones. Groups under [`LEAST_SHOWN`] images are counted only, groups under [`LEAST_TESTED`] (or with fewer
/// on the other side) are not tested. Nothing is tested where all images are hard or none is.
///
/// The levels of all attributes are one family of tests, the tests of whole attributes another; p values are adjusted within
/// their family by Westfall and Young's min-p over permutations of whole lesions within folds.
pub fn demographics(cohort: &Cohort, attributes: &[Attribute], permutations: &Permutations) -> Demographics {
    let groupings: Vec<Grouping> = attributes
        .iter()
        .map(|attribute| Grouping::new(attribute, cohort))
        .collect();
    let mut rows = Vec::new();
    let mut tested = Vec::new();
    for (number, (grouping, attribute)) in groupings.iter().zip(attributes).enumerate() {
        for level in 0..=grouping.unknown() {
            let row = row(cohort, attribute, grouping, level);
            if row.n + row.both_empty == 0 {
                continue;
            }
            if row.p.is_some() {
                tested.push((rows.len(), number, level));
            }
            rows.push(row);
        }
    }
    let levels: Vec<(usize, usize)> = tested.iter().map(|&(_, number, level)| (number, level)).collect();
    let family = Family::new(cohort, &groupings, &levels);
    let by_permutation = family.run(permutations);
    let raw: Vec<f64> = rows.iter().filter_map(|row: &RateRow| row.p).collect();
    let holm = Adjustment::Holm.adjust(&raw);
    for ((&(place, ..), permuted), holm) in tested.iter().zip(&by_permutation.levels).zip(holm) {
        rows[place].p_permutation = Some(permuted.p);
        rows[place].p_adjusted = Some(permuted.adjusted);
        rows[place].p_holm = Some(holm);
    }
    Demographics {
        rates: rows,
        tests: by_permutation.tests,
        fixed: by_permutation.fixed,
    }
}

fn row(cohort: &Cohort, attribute: &Attribute, grouping: &Grouping, level: usize) -> RateRow {
    let counts = grouping.counts(&cohort.hard, &cohort.fold, cohort.folds());
    let own = by_level(&counts)[level];
    let name = grouping.level_name(level);
    let empty = cohort.empty.iter().filter(|id| attribute.level(id) == name).count() as u64;
    let members = || (0..cohort.len()).filter(|&image| grouping.of[image] == level);
    let counted = RateRow {
        attribute: grouping.name.clone(),
        level: name.to_owned(),
        n: own.n,
        htl: own.hits,
        both_empty: empty,
        ..RateRow::default()
    };
    if own.n < LEAST_SHOWN {
        return counted;
    }
    let mut clusters: Vec<usize> = members().map(|image| cohort.cluster[image]).collect();
    clusters.sort_unstable();
    clusters.dedup();
    let shown = RateRow {
        rate: wilson(own.hits, own.n),
        clusters: Some(clusters.len() as u64),
        ..counted
    };
    let strata = tables(&counts, level);
    let table = pooled(&strata);
    let outside = table.other_hits + table.other_misses;
    if own.n < LEAST_TESTED || outside < LEAST_TESTED {
        return shown;
    }
    let unknown = grouping.unknown();
    let images: Vec<(bool, bool, usize)> = (0..cohort.len())
        .filter(|&image| level == unknown || grouping.of[image] != unknown)
        .map(|image| (grouping.of[image] == level, cohort.hard[image], cohort.cluster[image]))
        .collect();
    let dependent = cohort.cluster_count() < cohort.len();
    let several = cohort.folds() > 1;
    let smallest = detectable(own.n, outside, table.other_hits as f64 / outside as f64);
    let proper = table.rate_ratio().is_some();
    RateRow {
        rate_ratio: table.rate_ratio(),
        odds_ratio: table.odds_ratio(),
        risk_difference: table.risk_difference(),
        odds_ratio_exact: table.odds_ratio_exact(),
        odds_ratio_mid: table.odds_ratio_mid(),
        odds_ratio_clustered: dependent.then(|| clustered_odds_ratio(&images)).flatten(),
        odds_ratio_stratified: several.then(|| mantel_haenszel(&strata)).flatten(),
        p: proper.then(|| table.fisher()),
        p_mid: proper.then(|| table.mid_p()),
        p_stratified: several.then(|| stratified_p(&strata)).flatten(),
        detectable_odds_ratio: smallest.map(|smallest| smallest.odds_ratio),
        detectable_risk_difference: smallest.map(|smallest| smallest.risk_difference),
        against: if level == unknown { "known" } else { "other levels" }.to_owned(),
        ..shown
    }
}
