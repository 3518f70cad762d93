use serde::{Deserialize, Serialize};

/// How well networks do in one group, a row of `performance.csv`; or, where `against` names an arm, what one arm gains over it
/// there. What is not defined is `None` and a blank cell.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PerformanceRow {
    /// The arm.
    pub arm: String,
    /// The arm that it is compared with, paired by seed and image; blank for the arm's own quality.
    pub against: String,
    /// The metric: `jaccard`, `sensitivity`, `below_65`, ...
    pub metric: String,
    /// The attribute, or two: `sex x age`.
    pub attribute: String,
    /// The level, or two: `female, 30-44`.
    pub level: String,
    /// Images of that level.
    pub n: u64,
    /// Lesions or patients that they show.
    pub clusters: u64,
    /// Networks.
    pub seeds: u64,
    /// Mean over seeds and images; with `against` the mean gain.
    pub value: Option<f64>,
    /// Lower end of the 95 % interval.
    pub lo: Option<f64>,
    /// Upper end.
    pub hi: Option<f64>,
    /// Mean here less the mean of all other known levels; with `against` what the gap changes by.
    pub gap: Option<f64>,
    /// Lower end of the 95 % interval.
    pub gap_lo: Option<f64>,
    /// Upper end.
    pub gap_hi: Option<f64>,
    /// Two-sided p of no gap; none with fewer than five seeds.
    pub p: Option<f64>,
    /// That, adjusted by Holm over the groups of the same arm, comparison, metric and number of attributes.
    pub p_adjusted: Option<f64>,
    /// `descriptive` with fewer than five seeds (the interval is about these networks), else `inferential`.
    pub reading: String,
}

/// How far the groups of one attribute lie apart, a row of `disparity.csv`, among those of at least 20 images.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DisparityRow {
    /// The arm.
    pub arm: String,
    /// The metric.
    pub metric: String,
    /// The attribute, or two.
    pub attribute: String,
    /// Groups compared.
    pub groups: u64,
    /// The group with the lowest mean.
    pub lowest: String,
    /// Its mean.
    pub lowest_value: f64,
    /// The group with the highest mean.
    pub highest: String,
    /// Its mean.
    pub highest_value: f64,
    /// Highest less lowest; for sensitivity and specificity the gaps that equalised odds ask about.
    pub difference: f64,
    /// Lowest over highest; `None` for 0 / 0.
    pub ratio: Option<f64>,
}
