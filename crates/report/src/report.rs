use std::path::Path;

use htl_mining::{AttributeTest, Coefficient, RegressionTest, Reliability};
use htl_vocabulary::{EnsembleRow, ForgettingRow, PerformanceRow, RateRow, ReferralRow, Results, write_whole};
use indexmap::IndexMap;

use crate::{Colour, ReportError, ScoreErrors};

/// Everything one page shows. Empty parts are said to be empty, not left out silently.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Heading of the page.
    pub title: String,
    /// The numbers, as in `results.json`.
    pub results: Results,
    /// Points of the learning curves, in any order.
    pub curves: Vec<CurvePoint>,
    /// How well each group is localized, and what arms gain there: one table per setting.
    pub quality: Vec<QualityTable>,
    /// Whom networks would refer, and what several of them are worth: one table per setting with masks.
    pub referral: Vec<ReferralTable>,
    /// Who is hard to learn: one table per hard-to-learn set.
    pub rates: Vec<RateTable>,
    /// How well scores come out again over halves of the seeds: one row per score and what it is cleared of.
    pub reliability: Vec<Reliability>,
    /// Forgetting curves of groups: who is forgotten first.
    pub forgetting: Vec<ForgettingRow>,
    /// One test per attribute of who is hard to learn.
    pub tests: Vec<AttributeTest>,
    /// The part of every attribute in regressions on people and lesions together.
    pub regression_tests: Vec<RegressionTest>,
    /// The coefficients of those regressions.
    pub coefficients: Vec<Coefficient>,
    /// What the score that selects says of true errors.
    pub errors: Option<ScoreErrors>,
    /// The hardest samples, hardest first.
    pub gallery: Vec<GalleryItem>,
    /// The worst test images, worst first.
    pub failures: Vec<GalleryItem>,
    /// Images whose masks are suspected to be wrong, the most suspicious first.
    pub suspects: Vec<GalleryItem>,
    /// Test images with truth and predictions, chosen beforehand rather than for their looks.
    pub examples: Vec<GalleryItem>,
    /// Limits and remarks, one sentence or two each.
    pub notes: Vec<String>,
    /// Commands that make this page again.
    pub reproduce: Vec<String>,
    /// Licences and attribution of images and code, one paragraph each.
    pub attribution: Vec<String>,
    /// Versions, seeds, hashes, machine, times.
    pub provenance: IndexMap<String, String>,
}

/// One point of one training's history.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CurvePoint {
    /// Setting, as in the results.
    pub setting: String,
    /// Arm, as in the results.
    pub arm: String,
    /// Seed of the training.
    pub seed: u64,
    /// Gradient steps done.
    pub step: u64,
    /// Mean training loss since the point before.
    pub train_loss: Option<f64>,
    /// Quality on validation, in [0, 1].
    pub validation: Option<f64>,
    /// What `validation` measures: `Jaccard`, `box IoU`, `class accuracy`.
    pub measure: String,
}

/// Quality by group of one setting.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QualityTable {
    /// Which setting: `Supervised`.
    pub title: String,
    /// The rows of `performance.csv`.
    pub rows: Vec<PerformanceRow>,
}

/// What uncertainty is worth in one setting.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReferralTable {
    /// Which setting: `Supervised`.
    pub title: String,
    /// The rows of `referral.csv`.
    pub signals: Vec<ReferralRow>,
    /// The rows of `ensembles.csv`.
    pub ensembles: Vec<EnsembleRow>,
}

/// Hard-to-learn rates of the groups of one hard-to-learn set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RateTable {
    /// Which set: `Supervised, out-of-fold`.
    pub title: String,
    /// A sentence on how to read it.
    pub note: String,
    /// What is counted: `hard images`, `suspected label errors`.
    pub counted: String,
    /// One row per level of each attribute.
    pub rows: Vec<RateRow>,
}

/// One image in a gallery.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GalleryItem {
    /// Id of the image.
    pub image_id: String,
    /// Items are grouped by setting; may be empty.
    pub setting: String,
    /// A line of text: age, sex, diagnosis.
    pub caption: String,
    /// Score column to value.
    pub scores: IndexMap<String, f64>,
    /// The pictures, side by side.
    pub panels: Vec<Panel>,
}

/// One picture of a gallery item.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Panel {
    /// Under the picture, and in its text alternative: `image`, `truth`, `outlines`.
    pub title: String,
    /// A PNG.
    pub png: Vec<u8>,
    /// What is outlined on it.
    pub outlines: Vec<DrawnOutline>,
}

/// An outline of a [`Panel`].
#[derive(Debug, Clone, PartialEq)]
pub struct DrawnOutline {
    /// What it is: `truth`, `dense`.
    pub name: String,
    /// Its colour.
    pub colour: Colour,
    /// Whether there was nothing to outline.
    pub empty: bool,
}

impl Report {
    /// Writes the page: whole, or not at all.
    ///
    /// # Errors
    /// As [`render`], and [`ReportError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        write_whole(path, render(self)?).map_err(|source| ReportError::Io {
            path: path.to_owned(),
            action: "write",
            source,
        })
    }
}

/// One HTML page with everything inside: styles, figures and pictures. It loads nothing from anywhere and runs no script.
///
/// # Errors
/// [`ReportError::Template`], which would be a defect of this crate.
pub fn render(report: &Report) -> Result<String, ReportError> {
    crate::page::render(report)
}
