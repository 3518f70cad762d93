use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where pseudo-masks come from, and what of them is trusted: the section `[pseudo]` of a configuration.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PseudoMasks {
    /// Consensus maps of networks, dense and pruned (`maps.safetensors` of `htl mine`): the masks of a next cycle. Without
    /// them masks are made from colours, or from boxes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maps: Option<PathBuf>,
    /// Which pixels count.
    pub pixels: PixelRule,
    /// Which images are left out; none without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leave_out: Option<LeaveOut>,
}

/// Which pixels of a pseudo-mask count in the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PixelRule {
    /// All of them.
    #[default]
    All,
    /// Those away from the outline.
    Certain,
    /// Those on which dense networks and their pruned copies agree; needs `maps`.
    Agreed,
    /// A control of `agreed`: as many pixels are left out, but those nearest to the outline; needs `maps`.
    Outline,
    /// Those on which the networks agree with what was known before them, colours or boxes; needs `maps`.
    AgreedWithPrior,
}

/// Images that are left out: the share with the largest score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaveOut {
    /// Share of the images, in (0, 1).
    pub share: f64,
    /// A column of the score table; `prior`: 1 - IoU of the pseudo-mask with that from colours or boxes; `random`.
    pub by: String,
    /// The score table of `htl mine`; not needed for `prior` and `random`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<PathBuf>,
}
