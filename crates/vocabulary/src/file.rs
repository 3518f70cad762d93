//! Names of files that one command or crate writes and another reads.

/// Description of a run, in its folder: see [`RunFile`](crate::RunFile).
pub const RUN: &str = "run.json";
/// Results of a run, in its folder: see [`Results`](crate::Results).
pub const RESULTS: &str = "results.json";
/// Description of a campaign, in its folder: see [`CampaignFile`](crate::campaign::CampaignFile).
pub const CAMPAIGN: &str = "campaign.json";
/// A row per scenario, phase and arm of a campaign.
pub const CAMPAIGN_TABLE: &str = "campaign.csv";
/// The tables of a campaign as Markdown.
pub const CAMPAIGN_MARKDOWN: &str = "campaign.md";
/// The page about a campaign.
pub const CAMPAIGN_PAGE: &str = "campaign.html";
/// Every look at test images that a campaign took.
pub const LOOKS: &str = "looks.csv";
/// The page about a run.
pub const REPORT: &str = "report.html";
/// Held by the `htl report` that is writing the page.
pub const REPORT_LOCK: &str = ".report.lock";
/// The folder of the page's pictures, kept for the next page.
pub const PANELS_FOLDER: &str = "panels";
/// Versions, seeds, hashes, times and machine of a run.
pub const MANIFEST: &str = "manifest.json";
/// The folder of a run's score tables.
pub const HTL_FOLDER: &str = "htl";

/// A network.
pub const CHECKPOINT: &str = "checkpoint.safetensors";
/// Everything a training needs to continue, beside its checkpoint.
pub const STATE: &str = "state.safetensors";
/// A row per epoch of a training.
pub const HISTORY: &str = "history.csv";
/// A row per training image and judged epoch of a training: see [`DynamicsRow`](crate::DynamicsRow).
pub const DYNAMICS: &str = "dynamics.csv";
/// The configuration of a training.
pub const CONFIG: &str = "config.toml";
/// A score table.
pub const SCORES: &str = "scores.csv";
/// Beside a score table: how well its scores come out again over halves of the seeds.
pub const RELIABILITY: &str = "scores.reliability.csv";
/// Beside a score table: the rule that selected, and what it met.
pub const SELECTION: &str = "scores.selection.json";
/// Beside a score table: forgetting curves, image by image.
pub const CURVE: &str = "scores.curve.csv";
/// Consensus maps of a dense and a sparse population.
pub const MAPS: &str = "maps.safetensors";
/// How a sparsity was chosen.
pub const SPARSITY: &str = "sparsity.json";
/// Metrics of every image.
pub const PER_IMAGE: &str = "per_image.csv";
/// Metrics over images.
pub const SUMMARY: &str = "summary.json";
/// Rates of hard-to-learn images by group: see [`RateRow`](crate::RateRow).
pub const DEMOGRAPHICS: &str = "demographics.csv";
/// The same rates where as many images are hard by the boundary-normalised score.
pub const DEMOGRAPHICS_BOUNDARY: &str = "demographics_boundary.csv";
/// Rates of suspected label errors by group.
pub const SUSPECT_LABELS: &str = "suspect_labels.csv";
/// Tests of whole attributes.
pub const OMNIBUS: &str = "omnibus.csv";
/// Coefficients of the regressions of who is hard.
pub const REGRESSION: &str = "regression.csv";
/// Tests of whole attributes in the regressions.
pub const REGRESSION_TESTS: &str = "regression_tests.csv";
/// Quality of localization by group: see [`PerformanceRow`](crate::PerformanceRow).
pub const PERFORMANCE: &str = "performance.csv";
/// How far groups lie apart in quality: see [`DisparityRow`](crate::DisparityRow).
pub const DISPARITY: &str = "disparity.csv";
/// Forgetting curves by group: see [`ForgettingRow`](crate::ForgettingRow).
pub const FORGETTING: &str = "forgetting.csv";
/// What the analysis found, for programs.
pub const ANALYSIS: &str = "analysis.json";
/// Uncertainty signals for referral: see [`ReferralRow`](crate::ReferralRow).
pub const REFERRAL: &str = "referral.csv";
/// Uncertainty signals against each other: see [`ReferralDifferenceRow`](crate::ReferralDifferenceRow).
pub const REFERRAL_DIFFERENCES: &str = "referral_differences.csv";
/// Quality of the images that are kept, by how many are: see [`RiskCoverageRow`](crate::RiskCoverageRow).
pub const RISK_COVERAGE: &str = "risk_coverage.csv";
/// Where more computing goes: see [`RoutingRow`](crate::RoutingRow).
pub const ROUTING: &str = "routing.csv";
/// Predictors of several networks and views: see [`EnsembleRow`](crate::EnsembleRow).
pub const ENSEMBLES: &str = "ensembles.csv";
/// Who is referred, image by image, under [`REFERRED_COLUMNS`](crate::REFERRED_COLUMNS) and the signals' keys.
pub const REFERRED: &str = "referred.csv";
/// Rates of referral by group, as [`DEMOGRAPHICS`]: `htl` counts the referred.
pub const REFERRAL_GROUPS: &str = "groups.csv";
/// The threshold of referral: see [`ReferralChoice`](crate::ReferralChoice).
pub const REFERRAL_CHOICE: &str = "referral.json";
/// The images to annotate next.
pub const QUERY: &str = "query.csv";
/// What it takes to annotate the images of a list.
pub const ANNOTATION: &str = "annotation.json";
/// What images look like, a vector each.
pub const FEATURES: &str = "features.csv";

/// Demographics of a data folder.
pub const METADATA: &str = "metadata.csv";
/// Splits drawn for a data folder whose metadata name none.
pub const SPLITS: &str = "splits.csv";
/// The images whose masks the semi-supervised setting may use.
pub const LABELLED: &str = "labelled.csv";
/// Images of a data folder.
pub const IMAGES_FOLDER: &str = "images";
/// Masks of a data folder.
pub const MASKS_FOLDER: &str = "masks";

/// What `htl predict` found, a row per image.
pub const PREDICTIONS: &str = "predictions.csv";

/// The same as COCO JSON.
pub const COCO: &str = "coco.json";
