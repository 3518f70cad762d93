//! An image of the data folder, to draw on.

use anyhow::Context;
use htl_datasets::{RgbImage, Sample};
use htl_metrics::resize_bilinear;
use htl_mining::Population;
use htl_report::{Colour, Outline, Panel, PanelMaker, Picture};

/// Pictures are enlarged to about this many pixels.
const SIDE: usize = 320;

/// A photograph and what draws its panels.
pub struct Photo<'a> {
    rgb: RgbImage,
    panels: &'a PanelMaker,
}

/// A mask at the photograph's size with its name and colour; `None` where there is no such mask.
type NamedMask<'a> = (&'a str, Option<Vec<u8>>, Colour);

impl<'a> Photo<'a> {
    pub fn of(sample: &Sample, panels: &'a PanelMaker) -> anyhow::Result<Self> {
        Ok(Self {
            rgb: htl_datasets::read_rgb(&sample.image)?,
            panels,
        })
    }

    pub fn rgb(&self) -> &RgbImage {
        &self.rgb
    }

    fn size(&self) -> (usize, usize) {
        (self.rgb.height() as usize, self.rgb.width() as usize)
    }

    pub fn truth(&self, sample: &Sample) -> anyhow::Result<Option<Vec<u8>>> {
        let size = self.rgb.dimensions();
        let mask = sample
            .mask
            .as_ref()
            .map(|path| htl_datasets::read_mask_for(path, &sample.image, size));
        Ok(mask.transpose()?.map(|mask| mask.into_raw()))
    }

    /// A map's mask at the image's size.
    pub fn mask(&self, map: &[f32], height: usize, width: usize) -> anyhow::Result<Vec<u8>> {
        let resized = resize_bilinear(map, (height, width), self.size())?;
        Ok(resized.iter().map(|p| u8::from(*p > 0.5)).collect())
    }

    /// The photograph, and the photograph with the outlines of the truth and of what the dense and the pruned networks agree on.
    pub fn with_populations(&self, sample: &Sample, consensus: &Population) -> anyhow::Result<Vec<Panel>> {
        let mut masks = vec![("truth", self.truth(sample)?, Colour::TRUTH)];
        let (height, width) = consensus.size();
        if let Some(position) = consensus.position(&sample.image_id) {
            let planes = consensus.planes(position)?;
            let sides = [("dense networks", Colour::DENSE), ("pruned copies", Colour::SPARSE)];
            for ((name, colour), plane) in sides.into_iter().zip(&planes) {
                masks.push((name, Some(self.mask(plane, height, width)?), colour));
            }
        }
        self.with_outlines(&masks)
    }

    /// The photograph, and the photograph with the outlines of these masks.
    pub fn with_outlines(&self, masks: &[NamedMask]) -> anyhow::Result<Vec<Panel>> {
        let outlines: Vec<Outline> = masks
            .iter()
            .filter_map(|(name, mask, colour)| {
                let mask = mask.as_deref()?;
                Some(Outline {
                    name,
                    mask,
                    colour: *colour,
                })
            })
            .collect();
        Ok(vec![self.panel("image", &[])?, self.panel("outlines", &outlines)?])
    }

    fn panel(&self, title: &str, outlines: &[Outline]) -> anyhow::Result<Panel> {
        let (height, width) = self.size();
        let picture = Picture {
            rgb: self.rgb.as_raw(),
            height,
            width,
            scale: (SIDE / height.max(width).max(1)).clamp(1, htl_report::MAX_SCALE),
        };
        let panel = self.panels.panel(title, picture, outlines);
        panel.with_context(|| format!("panel {title}"))
    }
}
