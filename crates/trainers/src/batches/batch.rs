use crate::{TrainError, upload::Staged};

/// Maps that move along with the images of a set, one of each kind per image, `[size * size]`.
#[derive(Default)]
pub(crate) struct Maps {
    /// Targets in [0, 1].
    pub targets: Option<Vec<Vec<f32>>>,
    /// Weights of pixels in the loss.
    pub pixels: Option<Vec<Vec<f32>>>,
}

/// One batch, on its way to the device.
pub(crate) struct Batch {
    /// Weakly augmented images, `[batch, 3, size, size]`.
    pub images: Staged,
    /// Strongly augmented ones in the same geometry, if they were asked for.
    pub strong: Option<Staged>,
    /// Targets, moved along, `[batch, 1, size, size]`.
    pub targets: Option<Staged>,
    /// Weights of pixels, moved along, `[batch, 1, size, size]`.
    pub pixels: Option<Staged>,
}

impl Batch {
    pub fn new(views: Vec<Staged>, [targets, pixels]: [Option<Staged>; 2]) -> Result<Self, TrainError> {
        let mut views = views.into_iter();
        let none = || candle_core::Error::Msg("a batch without images".into());
        Ok(Self {
            images: views.next().ok_or_else(none)?,
            strong: views.next(),
            targets,
            pixels,
        })
    }
}
