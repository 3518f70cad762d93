use htl_metrics::{Mask, resize_bilinear};
use htl_vocabulary::DynamicsRow;

use crate::error::Result;
use crate::forgetting::{ClassForgetting, Forgetting};
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
    pub sparse: Option<View>,
    /// The networks fine-tuned like the sparse ones, at sparsity 0.
    pub sham: Option<View>,
    /// Between dense and sparse.
    pub disagreement: Option<Disagreement>,
    /// Between dense and sham.
    pub sham_disagreement: Option<Disagreement>,
    /// Mean pairwise 1 - IoU among the dense seeds; `None` with one seed.
    pub spread: Option<f64>,
    /// What pruning without further training does to this image.
    pub forgetting: Option<Forgetting>,
    /// Against the true mask.
    pub errors: Option<Errors>,
    /// The true mask, at its stored size.
    pub truth: Option<Mask>,
    /// CIE 1976 colour distance between the inside of the dense consensus mask and the skin around it.
    pub contrast: Option<f64>,
}

/// Errors against the true mask, as 1 - IoU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Errors {
    /// Of the dense consensus mask.
    pub dense: f64,
    /// IoU of the dense less that of the sparse consensus mask; `None` without a sparse population.
    pub iou_drop: Option<f64>,
    /// Mean over the dense seeds' masks.
    pub seeds: f64,
}

impl<'a> ImageContext<'a> {
    /// An image seen by a dense population.
    ///
    /// # Shapes
    /// - `dense`: one map of `height * width` per seed, values in [0, 1]
    ///
    /// # Errors
    /// [`crate::MiningError::Metric`] for a map of another size or one that is not finite.
    pub fn new(
        kind: MapKind,
        size: (usize, usize),
        params: &'a ScoreValidParams,
        dense: Vec<Vec<f32>>,
    ) -> Result<Self> {
        let dense = View::new(dense, size, params.cut(kind))?;
        Ok(Self {
            kind,
            params,
            spread: dense.spread()?,
            dense,
            sparse: None,
            sham: None,
            disagreement: None,
            sham_disagreement: None,
            forgetting: None,
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

    /// Adds the maps of the sparse population.
    ///
    /// # Errors
    /// As [`ImageContext::new`].
    pub fn with_sparse(mut self, planes: Option<Vec<Vec<f32>>>) -> Result<Self> {
        (self.sparse, self.disagreement) = self.against(planes)?;
        Ok(self)
    }

    /// Adds the maps of the sham population.
    ///
    /// # Errors
    /// As [`ImageContext::new`].
    pub fn with_sham(mut self, planes: Option<Vec<Vec<f32>>>) -> Result<Self> {
        (self.sham, self.sham_disagreement) = self.against(planes)?;
        Ok(self)
    }

    /// Another population's view, and how far it is from the dense one.
    fn against(&self, planes: Option<Vec<Vec<f32>>>) -> Result<(Option<View>, Option<Disagreement>)> {
        let Some(planes) = planes else { return Ok((None, None)) };
        let size = (self.dense.modal.height(), self.dense.modal.width());
        let other = View::new(planes, size, self.params.cut(self.kind))?;
        let disagreement = Disagreement::between(&self.dense, &other, self.params)?;
        Ok((Some(other), Some(disagreement)))
    }

    /// Adds what pruning without further training does.
    #[must_use]
    pub fn with_forgetting(mut self, forgetting: Option<Forgetting>) -> Self {
        self.forgetting = forgetting;
        self
    }

    /// Adds the true mask, of any size: maps are resized to it before they become masks, as in evaluation.
    ///
    /// # Errors
    /// [`crate::MiningError::Metric`] for a mask without pixels.
    pub fn with_truth(mut self, truth: Option<Mask>) -> Result<Self> {
        self.errors = truth.as_ref().map(|truth| self.errors_against(truth)).transpose()?;
        self.truth = truth;
        Ok(self)
    }

    fn errors_against(&self, truth: &Mask) -> Result<Errors> {
        let from = (self.dense.modal.height(), self.dense.modal.width());
        let to = (truth.height(), truth.width());
        let cut = self.params.cut(self.kind);
        let iou_of = |map: &[f32]| iou(&cut.mask(to.0, to.1, &resize_bilinear(map, from, to)?)?, truth);
        let dense_iou = iou_of(&self.dense.consensus)?;
        let errors = self
            .dense
            .planes
            .iter()
            .map(|plane| Ok(1.0 - iou_of(plane)?))
            .collect::<Result<Vec<f64>>>()?;
        let sparse_iou = self
            .sparse
            .as_ref()
            .map(|sparse| iou_of(&sparse.consensus))
            .transpose()?;
        Ok(Errors {
            dense: 1.0 - dense_iou,
            iou_drop: sparse_iou.map(|sparse_iou| dense_iou - sparse_iou),
            seeds: errors.iter().sum::<f64>() / errors.len() as f64,
        })
    }

    /// Whether there is nothing to see: in the dense and the sparse population, or, without a sparse one, in the dense one.
    pub fn is_empty(&self) -> bool {
        match &self.disagreement {
            Some(disagreement) => disagreement.both_empty,
            None => self.dense.consensus_mask.area() == 0 || self.dense.modal.area() == 0,
        }
    }

    /// Whether this image has what a score needs.
    pub fn meets(&self, need: Need) -> bool {
        match need {
            Need::Sparse => self.sparse.is_some(),
            Need::Sham => self.sham.is_some(),
            Need::Curve => self.forgetting.is_some(),
            Need::Truth => self.errors.is_some(),
            Need::Seeds => self.spread.is_some(),
            Need::Probabilities => self.kind == MapKind::Probability,
            Need::Photograph => self.contrast.is_some(),
            Need::Classes | Need::Dynamics | Need::Gradients => false,
        }
    }
}

/// The classes that the seeds of each population predict for one image.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassContext {
    /// The networks before pruning.
    pub dense: Vec<u32>,
    /// The pruned networks.
    pub sparse: Option<Vec<u32>>,
    /// The networks fine-tuned like the sparse ones, at sparsity 0.
    pub sham: Option<Vec<u32>>,
    /// What pruning without further training does to the predicted classes.
    pub forgetting: Option<ClassForgetting>,
}

impl ClassContext {
    /// Whether this image has what a score needs.
    pub fn meets(&self, need: Need) -> bool {
        match need {
            Need::Classes => true,
            Need::Sparse => self.sparse.is_some(),
            Need::Sham => self.sham.is_some(),
            Need::Seeds => self.dense.len() > 1,
            Need::Curve => self.forgetting.is_some(),
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
