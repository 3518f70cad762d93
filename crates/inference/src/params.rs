use std::path::PathBuf;

use candle_core::Device;
use htl_datasets::sha256_file;
use serde::Serialize;

use crate::mask_rule::Components;
use crate::views::ViewSet;
use crate::{Ensemble, InferenceError, LargestComponent, Predictor, TileParams, Tiles, Views};

/// How networks are put to use: what becomes a predictor of checkpoints.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PredictorParams {
    /// The views of an image (or of a tile) that are averaged.
    pub views: ViewSet,
    /// How photographs are cut; whole ones if not at all.
    pub tiles: Option<TileParams>,
    /// What is kept of masks.
    pub components: Components,
}

impl PredictorParams {
    /// The predictor: the ensemble of the networks, then its views, then tiles, then the largest component.
    ///
    /// # Errors
    /// As [`Ensemble::load`] and [`Tiles::new`].
    pub fn open(&self, checkpoints: &[PathBuf], device: &Device) -> Result<Box<dyn Predictor>, InferenceError> {
        let mut predictor: Box<dyn Predictor> = Box::new(Ensemble::load(checkpoints, device)?);
        if self.views != ViewSet::Plain {
            predictor = Box::new(Views::new(predictor, self.views));
        }
        if let Some(tiles) = self.tiles {
            predictor = Box::new(Tiles::new(predictor, tiles)?);
        }
        if self.components == Components::Largest {
            predictor = Box::new(LargestComponent::new(predictor));
        }
        Ok(predictor)
    }

    /// What is written down of a predictor beside its results.
    ///
    /// # Errors
    /// From reading the checkpoints.
    pub fn record(&self, checkpoints: &[PathBuf]) -> Result<PredictorRecord, InferenceError> {
        let sums = checkpoints.iter().map(|path| sha256_file(path));
        Ok(PredictorRecord {
            checkpoints: sums.collect::<Result<_, _>>()?,
            views: self.views.key(),
            tiles: self.tiles.map(TileParams::side),
            overlap: self.tiles.map(TileParams::overlap),
            largest_component: self.components == Components::Largest,
        })
    }
}

/// A predictor as files name it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PredictorRecord {
    /// SHA-256 of every checkpoint, in the order given.
    pub checkpoints: Vec<String>,
    /// Key of the [`ViewSet`].
    pub views: &'static str,
    /// Side of the tiles in pixels of the photograph.
    pub tiles: Option<usize>,
    /// Share of a tile that lies on its neighbour.
    pub overlap: Option<f64>,
    /// Whether masks keep their largest component only.
    pub largest_component: bool,
}
