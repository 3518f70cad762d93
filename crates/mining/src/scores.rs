use htl_metrics::Mask;
use rayon::prelude::*;

use crate::column::SCORE_COLUMNS;
use crate::error::{MiningError, Result};
use crate::overlap::{entropy, iou, largest_distance, outline_distance, soft_iou};
use crate::params::ScoreValidParams;
use crate::population::{MapKind, Population, consensus, modal_mask, same_images};
use crate::table::{ScoreRow, ScoreTable};

/// Gives the true mask of an image by id, of the maps' size, or `None` where there is none. Asked once per image,
/// possibly from several threads, so that masks need not all be in memory.
pub type Truth<'a> = dyn Fn(&str) -> Option<Mask> + Sync + 'a;

/// What is compared. Images are matched by id; order in the populations does not matter.
#[derive(Clone, Copy)]
pub struct Comparison<'a> {
    /// Networks before pruning.
    pub dense: &'a Population,
    /// The pruned networks.
    pub sparse: &'a Population,
    /// Networks that had the fine-tuning of the sparse ones at sparsity 0.
    pub sham: Option<&'a Population>,
    /// True masks, where known.
    pub truth: Option<&'a Truth<'a>>,
}

impl<'a> Comparison<'a> {
    /// A comparison without sham and truth.
    pub fn new(dense: &'a Population, sparse: &'a Population) -> Self {
        Self {
            dense,
            sparse,
            sham: None,
            truth: None,
        }
    }

    /// Adds the sham population.
    pub fn with_sham(self, sham: &'a Population) -> Self {
        Self {
            sham: Some(sham),
            ..self
        }
    }

    /// Adds true masks.
    pub fn with_truth(self, truth: &'a Truth<'a>) -> Self {
        Self {
            truth: Some(truth),
            ..self
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        same_images(
            ("the dense population", self.dense),
            ("the sparse population", self.sparse),
        )?;
        match self.sham {
            Some(sham) => same_images(("the dense population", self.dense), ("the sham population", sham)),
            None => Ok(()),
        }
    }
}

/// One population's view of one image.
pub(crate) struct View {
    planes: Vec<Vec<f32>>,
    consensus: Vec<f32>,
    consensus_mask: Mask,
    modal: Mask,
}

impl View {
    pub(crate) fn of(population: &Population, image_id: &str, threshold: f32) -> Result<Self> {
        let position = population.position(image_id).ok_or_else(|| MiningError::MissingId {
            image_id: image_id.to_string(),
            place: "a population".into(),
        })?;
        Self::from_planes(population.planes(position)?, population.size(), threshold)
    }

    pub(crate) fn from_planes(planes: Vec<Vec<f32>>, size: (usize, usize), threshold: f32) -> Result<Self> {
        let consensus = consensus(&planes);
        let consensus_mask = Mask::above(size.0, size.1, &consensus, threshold)?;
        let modal = modal_mask(&planes, size, threshold)?;
        Ok(Self {
            planes,
            consensus,
            consensus_mask,
            modal,
        })
    }
}

/// Three readings of how far two populations part ways on an image.
pub(crate) struct Parting {
    pub(crate) hard: f64,
    pub(crate) soft: f64,
    pub(crate) boundary: f64,
    pub(crate) both_empty: bool,
    pub(crate) modal_iou: f64,
}

/// Compares two views; a pair that is empty in both gets the largest value of each measure, never the smallest.
pub(crate) fn part(a: &View, b: &View, params: &ScoreValidParams) -> Result<Parting> {
    let (height, width) = (a.modal.height(), a.modal.width());
    let band = params.band * (height as f64).hypot(width as f64);
    let empty = |one: &Mask, other: &Mask| one.area() == 0 && other.area() == 0;
    let both_empty = empty(&a.consensus_mask, &b.consensus_mask) || empty(&a.modal, &b.modal);
    let modal_iou = iou(&a.modal, &b.modal)?;
    if both_empty {
        let boundary = largest_distance(height, width) / band;
        return Ok(Parting {
            hard: 1.0,
            soft: 1.0,
            boundary,
            both_empty,
            modal_iou,
        });
    }
    Ok(Parting {
        hard: 1.0 - modal_iou,
        soft: 1.0 - soft_iou(&a.consensus, &b.consensus),
        boundary: outline_distance(&a.modal, &b.modal) / band,
        both_empty,
        modal_iou,
    })
}

pub(crate) fn threshold_of(population: &Population, params: &ScoreValidParams) -> f32 {
    match population.kind() {
        MapKind::Probability => 0.5,
        MapKind::ClassActivation => params.class_map_threshold as f32,
    }
}

/// Mean pairwise 1 - IoU of the seeds' masks; `None` with a single seed.
fn spread(masks: &[Mask]) -> Result<Option<f64>> {
    let (mut sum, mut pairs) = (0.0, 0usize);
    for (i, a) in masks.iter().enumerate() {
        for b in &masks[..i] {
            sum += 1.0 - iou(a, b)?;
            pairs += 1;
        }
    }
    Ok((pairs > 0).then(|| sum / pairs as f64))
}

/// Scores every image of a comparison; columns are [`SCORE_COLUMNS`], rows in the order of the dense population.
///
/// Scores that need a sham, a truth or several seeds are missing where there is none. `suspect_label` is 1 when the
/// dense seeds agree (spread at most `suspect_max_spread`), the consensus contradicts the label (error at least
/// `suspect_min_error`) and is not empty: an empty consensus is no opinion about the label.
///
/// # Errors
/// Populations of different images, size or kind, and [`MiningError::TruthSize`].
pub fn scores(comparison: &Comparison<'_>, params: &ScoreValidParams) -> Result<ScoreTable> {
    comparison.check()?;
    let ids = comparison.dense.ids();
    let rows = ids
        .par_iter()
        .map(|id| score_image(comparison, params, id))
        .collect::<Result<Vec<_>>>()?;
    let mut table = ScoreTable::new(SCORE_COLUMNS);
    for row in rows {
        table.push(row)?;
    }
    Ok(table)
}

fn score_image(comparison: &Comparison<'_>, params: &ScoreValidParams, image_id: &str) -> Result<ScoreRow> {
    let (height, width) = comparison.dense.size();
    let threshold = threshold_of(comparison.dense, params);
    let dense = View::of(comparison.dense, image_id, threshold)?;
    let sparse = View::of(comparison.sparse, image_id, threshold)?;
    let pruned = part(&dense, &sparse, params)?;
    let sham = match comparison.sham {
        Some(sham) => Some(part(&dense, &View::of(sham, image_id, threshold)?, params)?),
        None => None,
    };
    let masks = dense
        .planes
        .iter()
        .map(|plane| Ok(Mask::above(height, width, plane, threshold)?))
        .collect::<Result<Vec<Mask>>>()?;
    let dense_spread = spread(&masks)?;
    let entropy = (comparison.dense.kind() == MapKind::Probability).then(|| entropy(&dense.consensus));
    let judged = match comparison.truth.and_then(|truth| truth(image_id)) {
        Some(truth) => Some(judge(&dense, &sparse, &masks, &truth, image_id)?),
        None => None,
    };
    let flag = |value: bool| Some(f64::from(u8::from(value)));
    let has_opinion = dense.consensus_mask.area() > 0;
    let suspect = judged.as_ref().zip(dense_spread).map(|(judged, spread)| {
        spread <= params.suspect_max_spread && judged.dense_error >= params.suspect_min_error && has_opinion
    });
    let scores = vec![
        Some(pruned.hard),
        Some(pruned.soft),
        Some(pruned.boundary),
        sham.as_ref().map(|sham| sham.hard),
        sham.as_ref().map(|sham| sham.soft),
        sham.as_ref().map(|sham| sham.boundary),
        sham.as_ref().map(|sham| pruned.hard - sham.hard),
        sham.as_ref().map(|sham| pruned.soft - sham.soft),
        sham.as_ref().map(|sham| pruned.boundary - sham.boundary),
        dense_spread,
        entropy,
        flag(pruned.modal_iou < params.pie_iou),
        flag(pruned.both_empty),
        judged.as_ref().map(|judged| judged.dense_error),
        judged.as_ref().map(|judged| judged.iou_drop),
        judged
            .as_ref()
            .zip(dense_spread)
            .filter(|_| has_opinion)
            .map(|(judged, spread)| judged.seed_error * (1.0 - spread)),
        suspect.and_then(flag),
    ];
    debug_assert_eq!(scores.len(), SCORE_COLUMNS.len());
    Ok(ScoreRow {
        image_id: image_id.to_string(),
        setting: String::new(),
        fold: None,
        scores,
        htl: false,
    })
}

/// What the truth adds.
struct Judged {
    dense_error: f64,
    iou_drop: f64,
    seed_error: f64,
}

fn judge(dense: &View, sparse: &View, masks: &[Mask], truth: &Mask, image_id: &str) -> Result<Judged> {
    let size = |mask: &Mask| (mask.height(), mask.width());
    let (found, expected) = (size(truth), size(&dense.modal));
    if found != expected {
        return Err(MiningError::TruthSize {
            image_id: image_id.to_string(),
            found,
            expected,
        });
    }
    let dense_iou = iou(&dense.consensus_mask, truth)?;
    let errors = masks
        .iter()
        .map(|mask| Ok(1.0 - iou(mask, truth)?))
        .collect::<Result<Vec<f64>>>()?;
    Ok(Judged {
        dense_error: 1.0 - dense_iou,
        iou_drop: dense_iou - iou(&sparse.consensus_mask, truth)?,
        seed_error: errors.iter().sum::<f64>() / errors.len() as f64,
    })
}
