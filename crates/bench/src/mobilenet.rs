use candle_core::{DType, Device, Tensor};
use htl_models::{ConvNorm, ConvShape, Mode, ModelError, ParameterBuilder, Parameters};
use htl_ops::{Activation, Features, Precision};

/// Rows of the paper's table 2: expansion, channels, blocks, step of the first block.
const TABLE: [[usize; 4]; 7] = [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
];

/// Channels of the first and of the last convolution.
const STEM: usize = 32;
const LAST: usize = 1280;

/// The features of MobileNetV2 at width 1, without its classifier: images to 1280 channels at a 32nd of the size.
///
/// A 3x3 convolution of stride 2, 17 inverted residual blocks, a 1x1 convolution. A block widens by a 1x1 convolution,
/// filters every channel by itself, narrows by a 1x1 convolution without activation, and adds its input where the shape
/// allows. Convolutions have no bias and are followed by batch normalisation, elsewhere by ReLU6. After Sandler et al.
/// 2018.
///
/// Names and results equal those of torchvision's `mobilenet_v2()` (its `features.*`); initial weights are drawn as
/// those of our other networks are, uniform in ±1/√fan-in.
#[derive(Debug)]
pub struct MobileNetV2 {
    stem: ConvNorm,
    blocks: Vec<InvertedResidual>,
    last: ConvNorm,
    parameters: Parameters,
    precision: Precision,
}

impl MobileNetV2 {
    /// A network with initial weights from the seed.
    ///
    /// # Errors
    /// Those of candle.
    pub fn new(seed: u64, dtype: DType, device: &Device) -> Result<Self, ModelError> {
        let mut builder = ParameterBuilder::new(seed, dtype, device);
        let stem = ConvNorm::new(&mut builder, "features.0", 0, [3, STEM], relu6(3, 2, 1))?;
        let mut blocks = Vec::new();
        let mut inputs = STEM;
        for [expansion, outputs, count, step] in TABLE {
            for index in 0..count {
                let prefix = format!("features.{}.conv", blocks.len() + 1);
                let stride = if index == 0 { step } else { 1 };
                let channels = [inputs, inputs * expansion, outputs];
                blocks.push(InvertedResidual::new(&mut builder, &prefix, channels, stride)?);
                inputs = outputs;
            }
        }
        let prefix = format!("features.{}", blocks.len() + 1);
        let last = ConvNorm::new(&mut builder, &prefix, 0, [inputs, LAST], relu6(1, 1, 1))?;
        Ok(Self {
            stem,
            blocks,
            last,
            parameters: builder.finish(),
            precision: Precision::F32,
        })
    }

    /// Chooses the numbers that its features are kept and convolved in; a new network's are [`Precision::F32`].
    pub fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// Its variables.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The features.
    ///
    /// # Shapes
    /// - `images`: `[batch, 3, height, width]`, normalised
    /// - result: `[batch, 1280, ceil(height / 32), ceil(width / 32)]`, in [0, 6]
    ///
    /// # Errors
    /// [`ModelError::ImageShape`] for other shapes.
    pub fn forward(&self, images: &Tensor, mode: Mode) -> Result<Tensor, ModelError> {
        if !matches!(*images.dims(), [batch, 3, height, width] if batch * height * width > 0) {
            return Err(ModelError::ImageShape {
                expected: "[batch, 3, height, width]".into(),
                found: images.dims().to_vec(),
                hint: "give a batch of colour images, also of a single one",
            });
        }
        let mut features = self
            .stem
            .forward(&Features::with_precision(&mode.input(images), self.precision)?, mode)?;
        for block in &self.blocks {
            features = block.forward(features, mode)?;
        }
        Ok(self.last.forward(&features, mode)?.into_tensor()?)
    }
}

fn relu6(kernel: usize, stride: usize, groups: usize) -> ConvShape {
    ConvShape {
        kernel,
        stride,
        groups,
        activation: Activation::Relu6,
        ..ConvShape::default()
    }
}

#[derive(Debug)]
struct InvertedResidual {
    /// Missing where the expansion is 1.
    widen: Option<ConvNorm>,
    depthwise: ConvNorm,
    narrow: ConvNorm,
    adds_input: bool,
}

impl InvertedResidual {
    fn new(
        builder: &mut ParameterBuilder,
        prefix: &str,
        [inputs, hidden, outputs]: [usize; 3],
        stride: usize,
    ) -> Result<Self, ModelError> {
        let widens = hidden != inputs;
        let widen = widens
            .then(|| {
                let prefix = format!("{prefix}.0");
                ConvNorm::new(builder, &prefix, 0, [inputs, hidden], relu6(1, 1, 1))
            })
            .transpose()?;
        // Layers with an activation are one entry of the sequence, the last convolution and its normalisation are two.
        let at = usize::from(widens);
        let filter = relu6(3, stride, hidden);
        let depthwise = ConvNorm::new(builder, &format!("{prefix}.{at}"), 0, [hidden, hidden], filter)?;
        let linear = ConvShape {
            activation: Activation::None,
            ..relu6(1, 1, 1)
        };
        Ok(Self {
            widen,
            depthwise,
            narrow: ConvNorm::new(builder, prefix, at + 1, [hidden, outputs], linear)?,
            adds_input: stride == 1 && inputs == outputs,
        })
    }

    fn forward(&self, input: Features, mode: Mode) -> Result<Features, ModelError> {
        let wide = match &self.widen {
            Some(widen) => widen.forward(&input, mode)?,
            None => input.clone(),
        };
        let filtered = self.depthwise.forward(&wide, mode)?;
        // Freed before the block's end where no gradient needs it.
        drop(wide);
        let output = self.narrow.forward(&filtered, mode)?;
        if self.adds_input {
            return Ok(input.add(&output)?);
        }
        Ok(output)
    }
}
