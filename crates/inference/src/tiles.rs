use std::ops::RangeInclusive;

use candle_core::{Device, Tensor};
use htl_mining::MapKind;

use crate::mask_rule::MaskRule;
use crate::pixels::shape;
use crate::windows::{Span, spans};
use crate::{InferenceError, Predictor};

/// Tiles of one pass.
const BATCH: usize = 16;

/// Pixels of the tiles of one pass, unless a single one has more.
const PIXELS: usize = BATCH * 1024 * 1024;

/// How photographs are cut into tiles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TileParams {
    side: usize,
    overlap: f64,
}

impl TileParams {
    /// Sides that a tile may have, in pixels of the photograph.
    pub const SIDES: RangeInclusive<usize> = 32..=8192;

    /// Shares of themselves that neighbours may overlap by.
    pub const OVERLAPS: RangeInclusive<f64> = 0.0..=0.9;

    /// The share that is asked for if none is.
    pub const OVERLAP: f64 = 0.25;

    /// Square tiles of `side` pixels of the photograph, of which neighbours share at least `overlap`.
    ///
    /// # Errors
    /// [`InferenceError::TileSide`] and [`InferenceError::TileOverlap`] outside [`SIDES`](Self::SIDES) and
    /// [`OVERLAPS`](Self::OVERLAPS).
    pub fn new(side: usize, overlap: f64) -> Result<Self, InferenceError> {
        if !Self::SIDES.contains(&side) {
            return Err(InferenceError::TileSide { found: side });
        }
        if !Self::OVERLAPS.contains(&overlap) {
            return Err(InferenceError::TileOverlap { found: overlap });
        }
        Ok(Self { side, overlap })
    }

    /// Side of a tile in pixels of the photograph.
    pub fn side(self) -> usize {
        self.side
    }

    /// Share of a tile that lies on its neighbour, at least.
    pub fn overlap(self) -> f64 {
        self.overlap
    }
}

/// A predictor that sees a photograph tile by tile, each as if it were an image: a network resizes a tile, not the photograph, to
/// its own size, so a lesion that is small in a large photograph is not small to the network.
///
/// Where tiles overlap, their maps are averaged by raised cosines that sum to one, so no border shows. A photograph that is
/// narrower than a tile is cut along its other side only, and one that is no larger is one tile: the same as without tiles. Classes are
/// told of the whole photograph. In memory are a pass of tiles and one row of them besides photograph and map.
#[derive(Debug, Clone)]
pub struct Tiles<P> {
    predictor: P,
    params: TileParams,
}

impl<P: Predictor> Tiles<P> {
    /// The predictor through tiles.
    ///
    /// # Errors
    /// [`InferenceError::TilesOfClassMaps`] for a predictor of class activation maps: these are scaled image by image, so the maps of
    /// two tiles do not compare.
    pub fn new(predictor: P, params: TileParams) -> Result<Self, InferenceError> {
        match predictor.map_kind() {
            MapKind::Probability => Ok(Self { predictor, params }),
            MapKind::ClassActivation => Err(InferenceError::TilesOfClassMaps),
        }
    }

    /// The map of one photograph `[1, 3, height, width]`, row by row.
    fn map(&self, image: &Tensor) -> Result<Vec<f32>, InferenceError> {
        let [_, _, height, width] = shape(image)?;
        let along = |length| spans(length, self.params.side, self.params.overlap);
        let (rows, columns) = (along(height), along(width));
        let mut map = Vec::with_capacity(height * width);
        // The rows of pixels that are not finished: those of the present row of tiles.
        let mut band: Vec<f64> = Vec::new();
        let tall = self.params.side.min(height);
        for row in &rows {
            let finished = (row.start * width).saturating_sub(map.len()).min(band.len());
            map.extend(band.drain(..finished).map(|value| value as f32));
            band.resize(tall * width, 0.0);
            self.add_row(image, row, &columns, &mut band)?;
        }
        map.extend(band.into_iter().map(|value| value as f32));
        Ok(map)
    }

    /// Adds a row of tiles to the rows of pixels that it lies on.
    fn add_row(&self, image: &Tensor, row: &Span, columns: &[Span], band: &mut [f64]) -> Result<(), InferenceError> {
        let tall = row.weights.len();
        let width = band.len() / tall.max(1);
        let wide = columns.first().map_or(1, |column| column.weights.len());
        let batch = (PIXELS / (tall * wide).max(1)).clamp(1, BATCH);
        let strip = image.narrow(2, row.start, tall)?;
        for columns in columns.chunks(batch) {
            let tiles = columns
                .iter()
                .map(|column| strip.narrow(3, column.start, wide))
                .collect::<Result<Vec<_>, _>>()?;
            let maps = self.predictor.localization_maps(&Tensor::cat(&tiles, 0)?)?;
            let maps: Vec<f32> = maps.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?;
            for (column, map) in columns.iter().zip(maps.chunks(tall * wide)) {
                let lines = band.chunks_mut(width).zip(map.chunks(wide)).zip(&row.weights);
                for ((line, values), weight) in lines {
                    let line = line.iter_mut().skip(column.start);
                    for ((sum, value), own) in line.zip(values).zip(&column.weights) {
                        // In f64, since weights sum to one as exactly as numbers do: equal maps stay what they are.
                        *sum += weight * own * f64::from(*value);
                    }
                }
            }
        }
        Ok(())
    }
}

impl<P: Predictor> Predictor for Tiles<P> {
    fn side(&self) -> Option<usize> {
        None
    }

    fn map_kind(&self) -> MapKind {
        self.predictor.map_kind()
    }

    fn classes(&self) -> &[String] {
        self.predictor.classes()
    }

    fn localization_maps(&self, images: &Tensor) -> Result<Tensor, InferenceError> {
        let [batch, _, height, width] = shape(images)?;
        let mut maps = Vec::with_capacity(batch * height * width);
        for image in 0..batch {
            maps.extend(self.map(&images.narrow(0, image, 1)?)?);
        }
        Ok(Tensor::from_vec(maps, (batch, 1, height, width), &Device::Cpu)?)
    }

    fn class_logits(&self, images: &Tensor) -> Result<Option<Tensor>, InferenceError> {
        self.predictor.class_logits(images)
    }

    fn mask_rule(&self) -> MaskRule {
        self.predictor.mask_rule()
    }
}
