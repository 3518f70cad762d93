use htl_metrics::Mask;
use rayon::prelude::*;

use crate::error::{MiningError, Result};
use crate::params::ScoreValidParams;
use crate::population::{Population, same_images};
use crate::score::{ImageContext, Input, SCORE_COLUMNS, SCORES};
use crate::table::{ScoreRow, ScoreTable};

/// Gives the true mask of an image by id, of the maps' size, or `None` where there is none. Asked once per image,
/// possibly from several threads, so that masks need not all be in memory.
pub type Truth<'a> = dyn Fn(&str) -> Option<Mask> + Sync + 'a;

/// Gives the colour distance between the inside of a mask and the skin around it in the image of that id, or `None` where it
/// cannot be measured. The mask is that of the networks, of the maps' size: labels are not looked at. Asked once per image,
/// possibly from several threads.
pub type Contrast<'a> = dyn Fn(&str, &Mask) -> Option<f64> + Sync + 'a;

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
    /// Contrast of the lesions, where photographs are at hand.
    pub contrast: Option<&'a Contrast<'a>>,
}

impl<'a> Comparison<'a> {
    /// A comparison without sham and truth.
    pub fn new(dense: &'a Population, sparse: &'a Population) -> Self {
        Self {
            dense,
            sparse,
            sham: None,
            truth: None,
            contrast: None,
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
        same_images(
            ("the dense population", self.dense),
            ("the sparse population", self.sparse),
        )?;
        match self.sham {
            Some(sham) => same_images(("the dense population", self.dense), ("the sham population", sham)),
            None => Ok(()),
        }
    }

    /// What scores may look at of one image.
    fn image<'p>(&self, image_id: &str, params: &'p ScoreValidParams) -> Result<ImageContext<'p>> {
        let size = self.dense.size();
        let truth = self.truth.and_then(|truth| truth(image_id));
        if let Some(found) = truth
            .as_ref()
            .map(|truth| (truth.height(), truth.width()))
            .filter(|found| *found != size)
        {
            return Err(MiningError::TruthSize {
                image_id: image_id.to_string(),
                found,
                expected: size,
            });
        }
        let planes = |population: &Population| population.planes_of(image_id);
        let context = ImageContext::new(
            self.dense.kind(),
            size,
            params,
            planes(self.dense)?,
            planes(self.sparse)?,
        )?;
        let contrast = self
            .contrast
            .and_then(|contrast| contrast(image_id, &context.dense.consensus_mask));
        context
            .named(image_id)
            .with_contrast(contrast)
            .with_sham(self.sham.map(planes).transpose()?)?
            .with_truth(truth)
    }
}

/// Scores every image of a comparison; columns are [`SCORE_COLUMNS`], rows in the order of the dense population.
///
/// Scores that need a sham, a truth or several seeds are missing where there is none.
///
/// # Errors
/// Populations of different images, size or kind, and [`MiningError::TruthSize`].
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
