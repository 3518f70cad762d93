use htl_metrics::{MapCut, Mask, MetricError};

/// Which connected parts of a mask are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Components {
    /// All of them.
    #[default]
    All,
    /// The one with the most pixels; of equally large ones the first in reading order. Pixels that touch at a side or a corner
    /// are connected: [`Mask::largest_component`].
    Largest,
}

/// How a map becomes a mask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaskRule {
    /// Where the map is cut.
    pub cut: MapCut,
    /// What is kept of that.
    pub components: Components,
}

impl MaskRule {
    /// The mask of a map.
    ///
    /// # Shapes
    /// - `map`: `[height * width]`, row by row
    ///
    /// # Errors
    /// Those of [`MapCut::mask`].
    pub fn mask(self, height: usize, width: usize, map: &[f32]) -> Result<Mask, MetricError> {
        let mask = self.cut.mask(height, width, map)?;
        Ok(self.kept(mask))
    }

    /// What it keeps of a mask that is cut already.
    pub fn kept(self, mask: Mask) -> Mask {
        match self.components {
            Components::All => mask,
            Components::Largest => mask.largest_component(),
        }
    }
}

impl From<MapCut> for MaskRule {
    /// A cut, and all that lies above.
    fn from(cut: MapCut) -> Self {
        let components = Components::All;
        Self { cut, components }
    }
}
