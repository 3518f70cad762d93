use std::path::PathBuf;

use candle_core::{Device, Tensor};
use htl_mining::MapKind;
use htl_models::Preprocessing;

use crate::ensemble::mean;
use crate::{Ensemble, InferenceError, Predictor};

/// One of the eight ways to lay a square picture upon itself: rotations by quarters, and their mirror images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SquareView {
    transposed: bool,
    upside_down: bool,
    mirrored: bool,
}

impl SquareView {
    /// The picture as it is.
    pub const PLAIN: Self = Self::new(0);

    /// All eight, [`PLAIN`](Self::PLAIN) first.
    pub const ALL: [Self; 8] = [
        Self::PLAIN,
        Self::new(1),
        Self::new(2),
        Self::new(3),
        Self::new(4),
        Self::new(5),
        Self::new(6),
        Self::new(7),
    ];

    const fn new(bits: u8) -> Self {
        Self {
            transposed: bits & 4 != 0,
            upside_down: bits & 2 != 0,
            mirrored: bits & 1 != 0,
        }
    }

    /// Pictures seen in this way.
    ///
    /// # Shapes
    /// - `pictures`: `[batch, channels, side, side]`; result: the same
    ///
    /// # Errors
    /// Those of candle.
    pub fn of(self, pictures: &Tensor) -> candle_core::Result<Tensor> {
        self.flipped(&self.transposed(pictures)?)
    }

    /// What was seen in this way, laid back: `undo(of(x))` is x.
    ///
    /// # Errors
    /// Those of candle.
    pub fn undo(self, seen: &Tensor) -> candle_core::Result<Tensor> {
        self.transposed(&self.flipped(seen)?)
    }

    fn transposed(self, pictures: &Tensor) -> candle_core::Result<Tensor> {
        match self.transposed {
            true => pictures.transpose(2, 3)?.contiguous(),
            false => Ok(pictures.clone()),
        }
    }

    fn flipped(self, pictures: &Tensor) -> candle_core::Result<Tensor> {
        match (self.upside_down, self.mirrored) {
            (false, false) => Ok(pictures.clone()),
            (true, false) => pictures.flip(&[2]),
            (false, true) => pictures.flip(&[3]),
            (true, true) => pictures.flip(&[2, 3]),
        }
    }
}

/// A predictor that sees one view of every image; its maps lie on the image as it is.
#[derive(Debug, Clone)]
pub struct OneView<P> {
    predictor: P,
    view: SquareView,
}

impl<P: Predictor> OneView<P> {
    /// The predictor through this view.
    pub fn new(predictor: P, view: SquareView) -> Self {
        Self { predictor, view }
    }
}

impl<P: Predictor> Predictor for OneView<P> {
    fn preprocessing(&self) -> &Preprocessing {
        self.predictor.preprocessing()
    }

    fn device(&self) -> &Device {
        self.predictor.device()
    }

    fn map_kind(&self) -> MapKind {
        self.predictor.map_kind()
    }

    fn localization_maps(&self, images: &Tensor) -> Result<Tensor, InferenceError> {
        let seen = self.predictor.localization_maps(&self.view.of(images)?)?;
        Ok(self.view.undo(&seen)?)
    }

    fn class_logits(&self, images: &Tensor) -> Result<Option<Tensor>, InferenceError> {
        self.predictor.class_logits(&self.view.of(images)?)
    }
}

/// A predictor that sees all eight views of every image: the mean of the maps laid back, and of the class logits. Eight forward
/// passes.
#[derive(Debug, Clone)]
pub struct Views<P> {
    predictor: P,
}

impl<P: Predictor> Views<P> {
    /// The predictor through all views.
    pub fn new(predictor: P) -> Self {
        Self { predictor }
    }

    fn each(&self) -> impl Iterator<Item = OneView<&P>> {
        SquareView::ALL
            .into_iter()
            .map(|view| OneView::new(&self.predictor, view))
    }
}

impl<P: Predictor> Predictor for Views<P> {
    fn preprocessing(&self) -> &Preprocessing {
        self.predictor.preprocessing()
    }

    fn device(&self) -> &Device {
        self.predictor.device()
    }

    fn map_kind(&self) -> MapKind {
        self.predictor.map_kind()
    }

    fn localization_maps(&self, images: &Tensor) -> Result<Tensor, InferenceError> {
        mean(self.each().map(|one| one.localization_maps(images)))
    }

    fn class_logits(&self, images: &Tensor) -> Result<Option<Tensor>, InferenceError> {
        let logits = self.each().map(|one| one.class_logits(images));
        match logits.collect::<Result<Option<Vec<Tensor>>, _>>()? {
            Some(logits) => Ok(Some(mean(logits.into_iter().map(Ok))?)),
            None => Ok(None),
        }
    }
}

/// How images are looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ViewUse {
    /// As they are.
    #[default]
    Plain,
    /// In all eight views, averaged.
    All,
}

/// The predictor of one checkpoint, or the ensemble of several.
///
/// # Errors
/// As [`Ensemble::load`].
pub fn open_predictor(
    checkpoints: &[PathBuf],
    views: ViewUse,
    device: &Device,
) -> Result<Box<dyn Predictor>, InferenceError> {
    let ensemble = Ensemble::load(checkpoints, device)?;
    Ok(match views {
        ViewUse::Plain => Box::new(ensemble),
        ViewUse::All => Box::new(Views::new(ensemble)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// Eight different pictures, each of which comes back.
    #[test]
    fn views_differ_and_come_back() {
        let picture = Tensor::arange(0f32, 18.0, &Device::Cpu)
            .unwrap()
            .reshape((1, 2, 3, 3))
            .unwrap();
        let mut seen: Vec<Vec<f32>> = Vec::new();
        for view in SquareView::ALL {
            let turned = view.of(&picture).unwrap();
            assert_eq!(numbers(&view.undo(&turned).unwrap()), numbers(&picture), "{view:?}");
            assert!(!seen.contains(&numbers(&turned)), "{view:?}");
            seen.push(numbers(&turned));
        }
        assert_eq!(seen[0], numbers(&picture));
        // Upside down and mirrored is turned by half.
        let half: Vec<f32> = seen[3][..9].iter().rev().copied().collect();
        assert_eq!(half, seen[0][..9]);
    }

    /// Says that the lesion is where red is, and above the middle.
    struct RedAbove(Preprocessing);

    impl Predictor for RedAbove {
        fn preprocessing(&self) -> &Preprocessing {
            &self.0
        }

        fn device(&self) -> &Device {
            &Device::Cpu
        }

        fn map_kind(&self) -> MapKind {
            MapKind::Probability
        }

        fn localization_maps(&self, images: &Tensor) -> Result<Tensor, InferenceError> {
            let side = images.dims()[2];
            let above: Vec<f32> = (0..side * side)
                .map(|p| f32::from(u8::from(p / side < side / 2)))
                .collect();
            let above = Tensor::from_vec(above, (1, 1, side, side), &Device::Cpu)?;
            Ok(images.narrow(1, 0, 1)?.broadcast_mul(&above)?)
        }

        fn class_logits(&self, _: &Tensor) -> Result<Option<Tensor>, InferenceError> {
            Ok(None)
        }
    }

    /// Every pixel is above the middle in half of the views, and what is said of it stays with it.
    #[test]
    fn all_views_see_every_pixel_alike() {
        let images = Tensor::rand(0f32, 1.0, (2, 3, 4, 4), &Device::Cpu).unwrap();
        let views = Views::new(RedAbove(Preprocessing::default()));
        let found = numbers(&views.localization_maps(&images).unwrap());
        let red = numbers(&images.narrow(1, 0, 1).unwrap());
        for (found, red) in found.iter().zip(red) {
            assert!((found - red / 2.0).abs() < 1e-6, "{found} {red}");
        }
        assert!(views.class_logits(&images).unwrap().is_none());
    }
}
