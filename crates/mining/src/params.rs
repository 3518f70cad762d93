use htl_metrics::MapCut;
use serde::{Deserialize, Serialize};

use crate::error::{MiningError, Result};
use crate::map_kind::MapKind;

/// Thresholds of the scores; [`ScoreParams::check`] before use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScoreParams {
    /// Where class activation maps become masks, the same as in evaluation unless set. Probability maps are always cut
    /// at 0.5.
    pub class_map_cut: MapCut,
    /// IoU of the modal masks under which an image is a pruning-identified exemplar.
    pub pie_iou: f64,
    /// Unit of the boundary-normalised disagreement: this fraction of the image diagonal, as in Boundary IoU
    /// (Cheng et al. 2021).
    pub band: f64,
    /// A label is suspect only if the dense seeds' spread is at most this ...
    pub suspect_max_spread: f64,
    /// ... and the dense consensus' error against the label at least this.
    pub suspect_min_error: f64,
}

impl Default for ScoreParams {
    fn default() -> Self {
        Self {
            class_map_cut: MapKind::ClassActivation.cut(),
            pie_iou: 0.5,
            band: 0.02,
            suspect_max_spread: 0.2,
            suspect_min_error: 0.5,
        }
    }
}

impl ScoreParams {
    /// Checks every parameter.
    ///
    /// # Errors
    /// [`MiningError::Parameter`] for the first one out of range.
    pub fn check(self) -> Result<ScoreValidParams> {
        let cut = match self.class_map_cut {
            MapCut::Above(value) => f64::from(value),
            MapCut::Quantile(quantile) => quantile,
        };
        let unit = [
            ("class_map_cut", cut),
            ("pie_iou", self.pie_iou),
            ("suspect_max_spread", self.suspect_max_spread),
            ("suspect_min_error", self.suspect_min_error),
        ];
        for (name, found) in unit {
            if !(0.0..=1.0).contains(&found) {
                return Err(MiningError::Parameter {
                    name,
                    expected: "in [0, 1]",
                    found,
                });
            }
        }
        if !(self.band > 0.0 && self.band <= 1.0) {
            return Err(MiningError::Parameter {
                name: "band",
                expected: "in (0, 1]",
                found: self.band,
            });
        }
        Ok(ScoreValidParams(self))
    }
}

/// [`ScoreParams`] that were checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreValidParams(ScoreParams);

impl ScoreValidParams {
    /// Where maps of this kind become masks.
    pub fn cut(&self, kind: MapKind) -> MapCut {
        match kind {
            MapKind::Probability => kind.cut(),
            MapKind::ClassActivation => self.class_map_cut,
        }
    }
}

impl std::ops::Deref for ScoreValidParams {
    type Target = ScoreParams;

    fn deref(&self) -> &ScoreParams {
        &self.0
    }
}
