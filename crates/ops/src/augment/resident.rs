use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::{Colours, Place};
use crate::OpsError;
use crate::gpu::{self, Engine};
use crate::real::check_device;

const OP: &str = "ResidentImages";

/// Images that stay on a CUDA device, with a target map each or none.
///
/// They take 3 bytes a pixel, maps another 1 (`u8`) or 4 (`f32`): 10,000 images of 256 x 256 with masks are 2.6 GB.
#[derive(Debug, Clone)]
pub struct ResidentImages {
    engine: Arc<dyn Engine>,
    images: Tensor,
    maps: Option<Tensor>,
    scale: gpu::Scale,
}

/// One batch of [`ResidentImages`].
#[derive(Debug, Clone)]
pub struct ResidentBatch {
    /// Normalised images, one tensor `[batch, 3, side, side]` for every view.
    pub views: Vec<Tensor>,
    /// Their target maps, moved along, `[batch, 1, side, side]`; `None` if the set has none.
    pub targets: Option<Tensor>,
}

impl ResidentImages {
    /// Images whose batches are normalised as `(value - mean) / std`.
    ///
    /// # Shapes
    /// - `images`: `[count, 3, side, side]`, `u8`, 255 for a value of 1, on a CUDA device
    /// - `maps`: `[count, side, side]`, `f32` or `u8`, taken as they are (a `u8` of 1 is 1), on the same device
    /// - `mean`, `std`: of each channel, red, green, blue
    ///
    /// # Errors
    /// [`OpsError`] naming the tensor of another shape, type or device; from starting the device's kernels.
    pub fn new(images: &Tensor, maps: Option<&Tensor>, mean: [f32; 3], std: [f32; 3]) -> Result<Self, OpsError> {
        let Some(engine) = gpu::engine_at(images.device())? else {
            return Err(OpsError::Parameter {
                op: OP,
                parameter: "images",
                requirement: "on a CUDA device",
                found: format!("{:?}", images.device().location()),
            });
        };
        let &[count, 3, side, width] = images.dims() else {
            return Err(rank("images", "[count, 3, side, side]", images));
        };
        if side != width {
            return Err(rank("images", "[count, 3, side, side]", images));
        }
        if images.elem_count() == 0 {
            return Err(OpsError::Empty {
                op: OP,
                argument: "images",
                shape: images.dims().to_vec(),
            });
        }
        check_type("images", "u8", &[DType::U8], images)?;
        if let Some(maps) = maps {
            if maps.dims() != [count, side, side] {
                return Err(OpsError::Shape {
                    op: OP,
                    argument: "maps",
                    expected: vec![count, side, side],
                    found: maps.dims().to_vec(),
                });
            }
            check_type("maps", "u8 or f32", &[DType::U8, DType::F32], maps)?;
            check_device(OP, "maps", maps, images)?;
        }
        Ok(Self {
            engine,
            images: images.contiguous()?,
            maps: maps.map(Tensor::contiguous).transpose()?,
            scale: gpu::Scale {
                mean,
                scale: std.map(|std| 1.0 / std),
            },
        })
    }

    /// Makes a batch: every view has the pixels of `places`, coloured by its own element of `views`. Only queues work on the
    /// device.
    ///
    /// # Shapes
    /// `places`: `[batch]`; `views`: one or more of `[batch]`
    ///
    /// # Errors
    /// [`OpsError::Parameter`] for an empty batch, an image that the set does not have, or a view of another length; from the
    /// device.
    pub fn batch(&self, places: &[Place], views: &[&[Colours]]) -> Result<ResidentBatch, OpsError> {
        let count = self.images.dims()[0];
        let bad = |parameter, requirement, found: usize| {
            Err(OpsError::Parameter {
                op: OP,
                parameter,
                requirement,
                found: found.to_string(),
            })
        };
        if places.is_empty() {
            return bad("places", "of one image or more", 0);
        }
        if views.is_empty() {
            return bad("views", "one or more", 0);
        }
        if let Some(place) = places.iter().find(|place| place.image >= count) {
            return bad("image", "below the number of images", place.image);
        }
        if let Some(view) = views.iter().find(|view| view.len() != places.len()) {
            return bad("views", "as long as the batch", view.len());
        }
        let set = gpu::Set {
            images: &self.images,
            maps: self.maps.as_ref(),
            scale: &self.scale,
        };
        let (views, targets) = gpu::augment(&*self.engine, &set, places, views)?;
        Ok(ResidentBatch { views, targets })
    }
}

fn rank(argument: &'static str, expected: &'static str, found: &Tensor) -> OpsError {
    OpsError::Rank {
        op: OP,
        argument,
        expected,
        found: found.dims().to_vec(),
    }
}

fn check_type(
    argument: &'static str,
    expected: &'static str,
    types: &[DType],
    tensor: &Tensor,
) -> Result<(), OpsError> {
    if types.contains(&tensor.dtype()) {
        return Ok(());
    }
    Err(OpsError::DType {
        op: OP,
        argument,
        expected,
        found: tensor.dtype(),
    })
}
