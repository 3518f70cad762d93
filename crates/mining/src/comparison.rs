use htl_metrics::Mask;
use rayon::prelude::*;

use crate::error::{MiningError, Result};
use crate::forgetting::ForgettingCurves;
use crate::params::ScoreValidParams;
use crate::population::{Population, same_images};
use crate::score::{ImageContext, Input, SCORE_COLUMNS, SCORES};
use crate::table::{ScoreRow, ScoreTable};

/// Gives the true mask of an image by id, at its stored size, or `None` where there is none. Asked once per image, possibly
/// from several threads, so that masks need not all be in memory.
pub type Truth<'a> = dyn Fn(&str) -> std::result::Result<Option<Mask>, TruthError> + Sync + 'a;

/// Why a true mask or a photograph cannot be read.
pub type TruthError = Box<dyn std::error::Error + Send + Sync>;

/// Gives the colour distance between the inside of a mask and the skin around it in the image of that id, or `None` where it
/// cannot be measured. The mask is that of the networks, of the maps' size: labels are not looked at. Asked once per image,
/// possibly from several threads.
pub type Contrast<'a> = dyn Fn(&str, &Mask) -> std::result::Result<Option<f64>, TruthError> + Sync + 'a;

/// What is compared. Images are matched by id; order in the populations does not matter.
#[derive(Clone, Copy)]
pub struct Comparison<'a> {
    /// Networks before pruning.
    pub dense: &'a Population,
    /// The pruned networks.
    pub sparse: Option<&'a Population>,
    /// Networks that had the fine-tuning of the sparse ones at sparsity 0.
    pub sham: Option<&'a Population>,
    /// What pruning without further training does.
    pub curves: Option<&'a ForgettingCurves>,
    /// True masks, where known.
    pub truth: Option<&'a Truth<'a>>,
    /// Contrast of the lesions, where photographs are at hand.
    pub contrast: Option<&'a Contrast<'a>>,
}

impl<'a> Comparison<'a> {
    /// A comparison of dense with sparse networks.
    pub fn new(dense: &'a Population, sparse: &'a Population) -> Self {
        Self {
            sparse: Some(sparse),
            ..Self::of_dense(dense)
        }
    }

    /// Dense networks alone, so far: [`with_curves`](Self::with_curves) says what pruning does to them.
    pub fn of_dense(dense: &'a Population) -> Self {
        Self {
            dense,
            sparse: None,
            sham: None,
            curves: None,
            truth: None,
            contrast: None,
        }
    }

    /// Adds forgetting curves.
    pub fn with_curves(self, curves: &'a ForgettingCurves) -> Self {
        Self {
            curves: Some(curves),
            ..self
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

    /// Adds what measures the contrast of a lesion.
    pub fn with_contrast(self, contrast: &'a Contrast<'a>) -> Self {
        Self {
            contrast: Some(contrast),
            ..self
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let others = [
            ("the sparse population", self.sparse),
            ("the sham population", self.sham),
        ];
        for (name, other) in others {
            if let Some(other) = other {
                same_images(("the dense population", self.dense), (name, other))?;
            }
        }
        let unknown = |curves: &ForgettingCurves| {
            let ids = self.dense.ids().iter();
            ids.cloned().find(|id| curves.forgetting(id).is_none())
        };
        match self.curves.and_then(unknown) {
            Some(image_id) => Err(MiningError::MissingId {
                image_id,
                place: "the forgetting curves".into(),
            }),
            None => Ok(()),
        }
    }

    /// What scores may look at of one image.
    fn image<'p>(&self, image_id: &str, params: &'p ScoreValidParams) -> Result<ImageContext<'p>> {
        let truth = match self.truth {
            Some(truth) => truth(image_id).map_err(|source| MiningError::Truth {
                image_id: image_id.to_string(),
                source,
            })?,
            None => None,
        };
        let planes = |population: &Population| population.planes_of(image_id);
        let context = ImageContext::new(self.dense.kind(), self.dense.size(), params, planes(self.dense)?)?;
        let contrast = match self.contrast {
            Some(contrast) => {
                contrast(image_id, &context.dense.consensus_mask).map_err(|source| MiningError::Photograph {
                    image_id: image_id.to_string(),
                    source,
                })?
            }
            None => None,
        };
        context
            .named(image_id)
            .with_contrast(contrast)
            .with_sparse(self.sparse.map(planes).transpose()?)?
            .with_sham(self.sham.map(planes).transpose()?)?
            .with_forgetting(self.curves.and_then(|curves| curves.forgetting(image_id)))
            .with_truth(truth)
    }
}

/// Scores every image of a comparison; columns are [`SCORE_COLUMNS`], rows in the order of the dense population.
///
/// Scores that need something which is not there are missing.
///
/// # Errors
/// Populations of different images, size or kind, and [`MiningError::Truth`].
pub fn scores(comparison: &Comparison<'_>, params: &ScoreValidParams) -> Result<ScoreTable> {
    comparison.check()?;
    let ids = comparison.dense.ids();
    let rows = ids
        .par_iter()
        .map(|id| {
            let context = comparison.image(id, params)?;
            let scores = SCORES.iter().filter(|score| score.input() == Input::Maps);
            Ok(ScoreRow {
                image_id: id.clone(),
                setting: String::new(),
                fold: None,
                scores: scores.map(|score| score.of_maps(&context)).collect(),
                htl: false,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let mut table = ScoreTable::new(SCORE_COLUMNS);
    for row in rows {
        table.push(row)?;
    }
    Ok(table)
}
