//! Augmentation on a CUDA device: batches made of 8-bit images that stay there, by random draws made elsewhere.
//!
//! The host says for every image of a batch where its pixels come from ([`Place`]) and how each view of it is coloured
//! ([`Colours`]); one small table goes to the device, and nothing waits for it. [`ResidentImages`]
//! makes the batches; they agree with `Geometry` and `Photometry` of htl-datasets to 1e-5 (the fill of a cut-out
//! in large images to 1e-4: the CPU's sum is rounded more).

mod resident;

pub use resident::{ResidentBatch, ResidentImages};

/// Which image a place of the batch holds, and where its pixels come from: bilinear, mirrored at the edge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Index of the image in the set.
    pub image: usize,
    /// With `shift`, where a pixel of the result comes from: `source = matrix * result + shift`, both (x, y) from the
    /// image's centre in units of its side. By rows.
    pub matrix: [[f32; 2]; 2],
    /// See `matrix`.
    pub shift: [f32; 2],
}

/// How one view of an image is coloured, in the order in which it is done. Values are in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Colours {
    /// Factor of each channel, red, green, blue.
    pub gains: [f32; 3],
    /// Factor of the distance from grey (the pixel's luma after the gains).
    pub saturation: f32,
    /// Factor of the distance from the luma of the moved image's mean colour.
    pub contrast: f32,
    /// Added to all values, which are then kept within [0, 1].
    pub brightness: f32,
    /// Passes of (1 2 1) / 4 along rows and columns, edge pixels repeated.
    pub blur_passes: u32,
    /// Left, top, width and height in pixels of a rectangle filled with each channel's mean; it may reach beyond the image.
    pub cutout: Option<[usize; 4]>,
    /// Standard deviation of the noise, after which values are kept within [0, 1]; 0 for none.
    pub noise: f32,
    /// Key of the noise's ChaCha8 stream (counter from 0, nonce 0), of which each value takes 64 bits.
    pub noise_key: [u8; 32],
}
