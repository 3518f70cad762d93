//! From images to maps at several strides: one file per family, one row per encoder.

mod inverted_residual;
mod plain;
mod resnet;

use crate::architecture::{Allowed, Setting, Settings};
use crate::error::{ModelError, known};
use crate::graph::{GraphBuilder, Value};

/// An encoder by name.
#[derive(Debug)]
pub struct EncoderRow {
    /// Its name in configurations and checkpoints.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// What it can be built with.
    pub settings: &'static [Setting],
    /// What images its pretrained weights are made for; `None` if there are none.
    pub pretrained: Option<Normalisation>,
    /// Its maps, each stride once, from the finest to the coarsest.
    pub build: fn(&mut GraphBuilder<'_>, Value, &Settings) -> Result<Vec<Value>, ModelError>,
}

/// Mean and standard deviation per channel of images in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    /// Subtracted first.
    pub mean: [f32; 3],
    /// Divided by then.
    pub std: [f32; 3],
}

/// ImageNet's, as torchvision and most of timm have it.
const IMAGENET: Normalisation = Normalisation {
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
};

/// `(pixel - 127) / 128`, as TensorFlow's EfficientNet-Lite has it.
const LITE: Normalisation = Normalisation {
    mean: [127.0 / 255.0; 3],
    std: [128.0 / 255.0; 3],
};

/// The coarsest stride, reached by dilation where it is smaller than the network's own.
const OUTPUT_STRIDE: Setting = Setting {
    name: "output_stride",
    about: "stride of the coarsest maps; below 32 by dilation",
    default: 32,
    allowed: Allowed::OneOf(&[8, 16, 32]),
};

/// All encoders.
pub const ENCODERS: &[EncoderRow] = &[
    plain::ROW,
    inverted_residual::MOBILENET_V2,
    inverted_residual::EFFICIENTNET_LITE0,
    inverted_residual::EFFICIENTNET_LITE2,
    resnet::RESNET18,
    resnet::RESNET34,
    resnet::RESNET50,
];

/// The encoder of this name.
///
/// # Errors
/// [`ModelError::UnknownPart`] naming the nearest.
pub(crate) fn row(name: &str) -> Result<&'static EncoderRow, ModelError> {
    known("encoder", name, ENCODERS, |row| row.name)
}

/// The value of a setting, which [`Settings`] has since an architecture is complete.
pub(crate) fn setting(settings: &Settings, setting: Setting) -> usize {
    settings.get(setting.name).copied().unwrap_or(setting.default)
}

/// How a stage meets the output stride: its own stride, or dilation in its place. As timm has it, the first block of such a
/// stage still has the dilation of the stage before.
#[derive(Debug)]
struct Dilation {
    output_stride: usize,
    stride: usize,
    dilation: usize,
}

impl Dilation {
    fn new(output_stride: usize, stride: usize) -> Self {
        Self {
            output_stride,
            stride,
            dilation: 1,
        }
    }

    /// Stride and dilation of the stage's first block, and the dilation of those behind it.
    fn stage(&mut self, stride: usize) -> (usize, usize, usize) {
        let first = self.dilation;
        if self.stride * stride > self.output_stride {
            self.dilation *= stride;
            return (1, first, self.dilation);
        }
        self.stride *= stride;
        (stride, first, self.dilation)
    }
}

/// The last maps of each stride.
fn levels(values: &[Value]) -> Vec<Value> {
    let mut levels: Vec<Value> = Vec::new();
    for value in values {
        match levels.last_mut() {
            Some(last) if last.stride == value.stride => *last = *value,
            _ => levels.push(*value),
        }
    }
    levels
}
