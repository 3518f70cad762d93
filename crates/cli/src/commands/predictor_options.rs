//! How networks are put to use: the options that `predict`, `evaluate` and `refer` share.

use clap::Args;
use htl_inference::{Components, PredictorParams, TileParams, ViewSet};

use super::choices;

/// What is averaged and what is kept: what masks are made of.
#[derive(Debug, Clone, Args)]
pub struct MaskOptions {
    /// Views of an image that are averaged: flips (four) or symmetries (all eight flips and rotations)
    #[arg(long, value_name = "SET", value_parser = choices::views())]
    pub views: Option<ViewSet>,
    /// Keep the largest connected part of a mask only, of equally large ones the first from the top
    #[arg(long)]
    pub largest_component: bool,
}

impl MaskOptions {
    /// What is kept of masks.
    pub fn components(&self) -> Components {
        match self.largest_component {
            true => Components::Largest,
            false => Components::All,
        }
    }
}

/// How photographs are cut.
#[derive(Debug, Clone, Args)]
pub struct TileOptions {
    /// Cut photographs into tiles of this many of their pixels a side, each of which is seen as an image, and blend the maps: for large
    /// photographs; needs a localizer
    #[arg(long, value_name = "SIDE")]
    pub tiles: Option<usize>,
    /// Share of a tile that lies on its neighbour, from 0 to 0.9 [default: 0.25]
    #[arg(long, value_name = "SHARE", requires = "tiles", allow_negative_numbers = true)]
    pub overlap: Option<f64>,
}

/// The predictor that options ask for.
///
/// # Errors
/// For tiles that make no sense.
pub fn predictor_params(masks: &MaskOptions, tiles: &TileOptions) -> anyhow::Result<PredictorParams> {
    let cut = |side| TileParams::new(side, tiles.overlap.unwrap_or(TileParams::OVERLAP));
    Ok(PredictorParams {
        views: masks.views.unwrap_or_default(),
        tiles: tiles.tiles.map(cut).transpose()?,
        components: masks.components(),
    })
}
