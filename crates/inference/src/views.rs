use candle_core::Tensor;
use htl_mining::MapKind;

use crate::ensemble::mean;
use crate::mask_rule::MaskRule;
use crate::pixels::at_side;
use crate::{InferenceError, Predictor};

/// One of the eight ways to lay a square upon itself, and to look at any picture: rotations by quarters, and their mirror images.
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
    /// - `pictures`: `[batch, channels, height, width]`; result: the same, with the sides exchanged where it is a quarter turn
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
    fn side(&self) -> Option<usize> {
        self.predictor.side()
    }

    fn map_kind(&self) -> MapKind {
        self.predictor.map_kind()
    }

    fn classes(&self) -> &[String] {
        self.predictor.classes()
    }

    fn localization_maps(&self, images: &Tensor) -> Result<Tensor, InferenceError> {
        let seen = self.predictor.localization_maps(&self.view.of(images)?)?;
        Ok(self.view.undo(&seen)?)
    }

    fn class_logits(&self, images: &Tensor) -> Result<Option<Tensor>, InferenceError> {
        self.predictor.class_logits(&self.view.of(images)?)
    }

    fn mask_rule(&self) -> MaskRule {
        self.predictor.mask_rule()
    }
}

/// The views of an image that are averaged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ViewSet {
    /// The image as it is.
    #[default]
    Plain,
    /// As it is, mirrored, upside down and both.
    Flips,
    /// All eight flips and rotations.
    Symmetries,
}

impl ViewSet {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Flips, Self::Symmetries];

    /// Name in files and on the command line.
    pub fn key(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Flips => "flips",
            Self::Symmetries => "symmetries",
        }
    }

    /// What it is, in words.
    pub fn about(self) -> &'static str {
        match self {
            Self::Plain => "the image as it is",
            Self::Flips => "four: as it is, mirrored, upside down and both",
            Self::Symmetries => "all eight flips and rotations of the square",
        }
    }

    /// The one of that key.
    pub fn named(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.key() == key)
    }

    /// Its views, the image as it is first.
    pub fn views(self) -> &'static [SquareView] {
        let count = match self {
            Self::Plain => 1,
            Self::Flips => 4,
            Self::Symmetries => 8,
        };
        SquareView::ALL.get(..count).unwrap_or(&SquareView::ALL)
    }
}

/// A predictor that sees several views of every image: the mean of the maps laid back, and of the class logits. A forward pass for
/// each view.
#[derive(Debug, Clone)]
pub struct Views<P> {
    predictor: P,
    set: ViewSet,
}

impl<P: Predictor> Views<P> {
    /// The predictor through all views of a set.
    pub fn new(predictor: P, set: ViewSet) -> Self {
        Self { predictor, set }
    }

    fn each(&self) -> impl Iterator<Item = OneView<&P>> {
        let views = self.set.views().iter();
        views.map(|view| OneView::new(&self.predictor, *view))
    }
}

impl<P: Predictor> Predictor for Views<P> {
    fn side(&self) -> Option<usize> {
        self.predictor.side()
    }

    fn map_kind(&self) -> MapKind {
        self.predictor.map_kind()
    }

    fn classes(&self) -> &[String] {
        self.predictor.classes()
    }

    fn localization_maps(&self, images: &Tensor) -> Result<Tensor, InferenceError> {
        at_side(images, self.side(), |images| {
            mean(self.each().map(|one| one.localization_maps(images)))
        })
    }

    fn class_logits(&self, images: &Tensor) -> Result<Option<Tensor>, InferenceError> {
        let logits = self.each().map(|one| one.class_logits(images));
        match logits.collect::<Result<Option<Vec<Tensor>>, _>>()? {
            Some(logits) => Ok(Some(mean(logits.into_iter().map(Ok))?)),
            None => Ok(None),
        }
    }

    fn mask_rule(&self) -> MaskRule {
        self.predictor.mask_rule()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

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

    #[test]
    fn sets_have_their_views() {
        for (set, count) in ViewSet::ALL.into_iter().zip([1, 4, 8]) {
            assert_eq!((set.views().len(), set.views()[0]), (count, SquareView::PLAIN));
            assert_eq!(ViewSet::named(set.key()), Some(set));
        }
        assert!(ViewSet::Flips.views().iter().all(|view| !view.transposed));
    }
}
