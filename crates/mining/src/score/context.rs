use htl_metrics::Mask;
use htl_vocabulary::DynamicsRow;

use crate::error::Result;
use crate::map_kind::MapKind;
use crate::overlap::iou;
use crate::params::ScoreValidParams;
use crate::score::Need;
use crate::view::{Disagreement, View};

/// All that scores may look at of one image: what the populations see, and what is shared by several scores.
#[derive(Debug, Clone)]
pub struct ImageContext<'a> {
    /// The image's id; empty if it was not [named](ImageContext::named).
    pub image_id: String,
    /// What the numbers of the maps mean.
    pub kind: MapKind,
    /// Thresholds of the scores.
    pub params: &'a ScoreValidParams,
    /// The networks before pruning.
    pub dense: View,
    /// The pruned networks.
    pub sparse: View,
    /// The networks fine-tuned like the sparse ones, at sparsity 0.
    pub sham: Option<View>,
    /// Between dense and sparse.
    pub disagreement: Disagreement,
    /// Between dense and sham.
    pub sham_disagreement: Option<Disagreement>,
    /// Mean pairwise 1 - IoU among the dense seeds; `None` with one seed.
    pub spread: Option<f64>,
    /// Against the true mask.
    pub errors: Option<Errors>,
    /// The true mask, at the maps' size.
    pub truth: Option<Mask>,
    /// CIE 1976 colour distance between the inside of the dense consensus mask and the skin around it.
    pub contrast: Option<f64>,
}

/// Errors against the true mask, as 1 - IoU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Errors {
    /// Of the dense consensus mask.
    pub dense: f64,
    /// IoU of the dense less that of the sparse consensus mask.
    pub iou_drop: f64,
    /// Mean over the dense seeds' masks.
    pub seeds: f64,
}

impl<'a> ImageContext<'a> {
    /// An image seen by a dense and a sparse population.
    ///
    /// # Shapes
    /// - `dense`, `sparse`: one map of `height * width` per seed, values in [0, 1]
    ///
    /// # Errors
    /// [`crate::MiningError::Metric`] for a map of another size or one that is not finite.
    pub fn new(
        kind: MapKind,
        size: (usize, usize),
        params: &'a ScoreValidParams,
        dense: Vec<Vec<f32>>,
        sparse: Vec<Vec<f32>>,
    ) -> Result<Self> {
        let cut = params.cut(kind);
        let (dense, sparse) = (View::new(dense, size, cut)?, View::new(sparse, size, cut)?);
        Ok(Self {
            kind,
            params,
            disagreement: Disagreement::between(&dense, &sparse, params)?,
            spread: dense.spread()?,
            dense,
            sparse,
            sham: None,
            sham_disagreement: None,
            errors: None,
            image_id: String::new(),
            truth: None,
            contrast: None,
        })
    }

    /// Says which image it is.
    pub fn named(mut self, image_id: &str) -> Self {
        self.image_id = image_id.to_owned();
        self
    }

    /// Adds the lesion's colour distance to the skin around it, as the networks see the lesion.
    pub fn with_contrast(mut self, contrast: Option<f64>) -> Self {
        self.contrast = contrast;
        self
    }

    /// Adds the maps of the sham population.
    ///
    /// # Errors
    /// As [`ImageContext::new`].
    pub fn with_sham(mut self, planes: Option<Vec<Vec<f32>>>) -> Result<Self> {
        let size = (self.dense.modal.height(), self.dense.modal.width());
        let sham = planes
            .map(|planes| View::new(planes, size, self.params.cut(self.kind)))
            .transpose()?;
        self.sham_disagreement = sham
            .as_ref()
            .map(|sham| Disagreement::between(&self.dense, sham, self.params))
            .transpose()?;
        self.sham = sham;
        Ok(self)
    }

    /// Adds the true mask.
    ///
    /// # Errors
    /// [`crate::MiningError::Metric`] if it is of another size than the maps.
    pub fn with_truth(mut self, truth: Option<Mask>) -> Result<Self> {
        self.errors = truth.as_ref().map(|truth| self.errors_against(truth)).transpose()?;
        self.truth = truth;
        Ok(self)
    }

    fn errors_against(&self, truth: &Mask) -> Result<Errors> {
        let dense_iou = iou(&self.dense.consensus_mask, truth)?;
        let errors = self
            .dense
            .masks
            .iter()
            .map(|mask| Ok(1.0 - iou(mask, truth)?))
            .collect::<Result<Vec<f64>>>()?;
        Ok(Errors {
            dense: 1.0 - dense_iou,
            iou_drop: dense_iou - iou(&self.sparse.consensus_mask, truth)?,
            seeds: errors.iter().sum::<f64>() / errors.len() as f64,
        })
    }

    /// Whether this image has what a score needs.
    pub fn meets(&self, need: Need) -> bool {
        match need {
            Need::Sham => self.sham.is_some(),
            Need::Truth => self.errors.is_some(),
            Need::Seeds => self.spread.is_some(),
            Need::Probabilities => self.kind == MapKind::Probability,
            Need::Photograph => self.contrast.is_some(),
            Need::Classes | Need::Dynamics | Need::Gradients => false,
        }
    }
}

/// The classes that the seeds of each population predict for one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassContext {
    /// The networks before pruning.
    pub dense: Vec<u32>,
    /// The pruned networks.
    pub sparse: Vec<u32>,
    /// The networks fine-tuned like the sparse ones, at sparsity 0.
    pub sham: Option<Vec<u32>>,
}

impl ClassContext {
    /// Whether this image has what a score needs.
    pub fn meets(&self, need: Need) -> bool {
        match need {
            Need::Classes => true,
            Need::Sham => self.sham.is_some(),
            Need::Seeds => self.dense.len() > 1,
            Need::Truth | Need::Probabilities | Need::Photograph | Need::Dynamics | Need::Gradients => false,
        }
    }
}

/// The history of one image in the trainings of one or several seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct DynamicsContext<'a> {
    /// Of each training, the judgements of the image by rising epoch; at least one.
    pub runs: Vec<Vec<&'a DynamicsRow>>,
}
