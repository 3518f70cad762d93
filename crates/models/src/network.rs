use candle_core::{DType, Device, ModuleT, Tensor};
use htl_ops::Precision;

use crate::architecture::Architecture;
use crate::error::ModelError;
use crate::graph::{Graph, Pass, Value};
use crate::layers::Mode;
use crate::parameters::{ParameterBuilder, Parameters};

/// A network of any architecture, with its weights.
#[derive(Debug)]
pub struct Network {
    architecture: Architecture,
    graph: Graph,
    parameters: Parameters,
    precision: Precision,
}

/// The logits of one pass.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// One for each pixel, `[batch, 1, height, width]`; `None` for a classifier.
    pub pixels: Option<Tensor>,
    /// One for each class, `[batch, classes]`; `None` for a localizer.
    pub classes: Option<Tensor>,
}

impl Network {
    /// A 32-bit network with initial weights from the seed: the same seed gives the same bits.
    ///
    /// # Errors
    /// Those of candle.
    pub fn build(architecture: &Architecture, seed: u64, device: &Device) -> Result<Self, ModelError> {
        Self::build_with_dtype(architecture, seed, DType::F32, device)
    }

    /// [`build`](Self::build) with f32 or f64 weights; the f32 weights are the rounded f64 ones.
    ///
    /// # Errors
    /// [`ModelError::Config`] if the type makes no sense.
    pub fn build_with_dtype(
        architecture: &Architecture,
        seed: u64,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, ModelError> {
        if !matches!(dtype, DType::F32 | DType::F64) {
            return Err(ModelError::Config {
                key: "dtype".into(),
                expected: "f32 or f64".into(),
                found: format!("{dtype:?}"),
            });
        }
        let mut builder = ParameterBuilder::new(seed, dtype, device);
        let graph = architecture.build(&mut builder)?;
        Ok(Self {
            architecture: architecture.clone(),
            graph,
            parameters: builder.finish(),
            precision: Precision::F32,
        })
    }

    /// What it was built from.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// What it computes, node by node.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Chooses the numbers that its features are kept and convolved in: part of neither architecture nor checkpoint. A new
    /// network's are [`Precision::F32`]; the others need a CUDA device, or the forward pass is an error.
    pub fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// What [`set_precision`](Self::set_precision) chose.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Its variables.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Whether it has a logit for each pixel.
    #[must_use]
    pub fn localizes(&self) -> bool {
        self.graph.ends().pixels.is_some()
    }

    /// One logit per pixel from a localizer, `[batch, 1, height, width]`, also where it tells classes apart besides; one per
    /// class from a classifier, `[batch, classes]`.
    ///
    /// # Shapes
    /// - `images`: `[batch, in_channels, height, width]`, normalised, of any size that is not below the
    ///   [stride](Graph::stride). What lacks to a multiple of the stride is added on the right and below, by repeating the last
    ///   column and row, and taken off the logits.
    ///
    /// # Errors
    /// [`ModelError::ImageShape`] for other shapes.
    pub fn forward(&self, images: &Tensor, mode: Mode) -> Result<Tensor, ModelError> {
        let outputs = match self.graph.ends().pixels {
            Some(pixels) => self.values(images, &[pixels], mode)?,
            None => self.values(images, self.graph.ends().classes.as_slice(), mode)?,
        };
        outputs.into_iter().next().ok_or_else(|| ModelError::Parts {
            problem: "the head ends in nothing".into(),
        })
    }

    /// All logits of one pass.
    ///
    /// # Shapes
    /// - `images`: as in [`forward`](Self::forward)
    ///
    /// # Errors
    /// [`ModelError::ImageShape`] for other shapes.
    pub fn outputs(&self, images: &Tensor, mode: Mode) -> Result<Outputs, ModelError> {
        let ends = self.graph.ends();
        let wanted: Vec<Value> = [ends.pixels, ends.classes].into_iter().flatten().collect();
        let mut values = self.values(images, &wanted, mode)?.into_iter();
        Ok(Outputs {
            pixels: ends.pixels.and_then(|_| values.next()),
            classes: ends.classes.and_then(|_| values.next()),
        })
    }

    /// The encoder's last maps averaged over positions: images that are alike to the network have features that are near each
    /// other. Gradients are not tracked.
    ///
    /// # Shapes
    /// - `images`: as in [`forward`](Self::forward)
    /// - result: `[batch, channels]`
    ///
    /// # Errors
    /// [`ModelError::ImageShape`] for other shapes.
    pub fn deep_features(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        let maps = self.values(images, &[self.graph.deepest()], Mode::Evaluate)?.remove(0);
        Ok(htl_ops::global_avg_pool2d(&maps)?.detach())
    }

    /// Values of the graph. Those of full size are as large as the images, others are of the padded ones.
    pub(crate) fn values(&self, images: &Tensor, wanted: &[Value], mode: Mode) -> Result<Vec<Tensor>, ModelError> {
        let [height, width] = self.check(images)?;
        let padded = self.padded(images, [height, width])?;
        let pass = Pass {
            mode,
            precision: self.precision,
        };
        let crop = |(value, tensor): (&Value, Tensor)| match value.stride {
            1 if padded.dims() != images.dims() => {
                Ok(tensor.narrow(2, 0, height)?.narrow(3, 0, width)?.contiguous()?)
            }
            _ => Ok(tensor),
        };
        let values = self.graph.run(&padded, None, wanted, pass)?;
        wanted.iter().zip(values).map(crop).collect()
    }

    /// Values of the graph where one is given instead of computed, with gradients.
    pub(crate) fn values_from(
        &self,
        images: &Tensor,
        given: (Value, &Tensor),
        wanted: &[Value],
    ) -> Result<Vec<Tensor>, ModelError> {
        let pass = Pass {
            mode: Mode::Gradients,
            precision: self.precision,
        };
        self.graph.run(images, Some(given), wanted, pass)
    }

    /// The last row and column repeated up to a multiple of the stride.
    fn padded(&self, images: &Tensor, sides: [usize; 2]) -> Result<Tensor, ModelError> {
        let stride = self.graph.stride();
        let mut padded = images.clone();
        for (axis, side) in [(2, sides[0]), (3, sides[1])] {
            let whole = side.next_multiple_of(stride);
            if whole != side {
                let rows: Vec<u32> = (0..whole).map(|at| at.min(side - 1) as u32).collect();
                padded = padded.index_select(&Tensor::from_vec(rows, whole, images.device())?, axis)?;
            }
        }
        Ok(padded)
    }

    /// Height and width of images that the network takes.
    fn check(&self, images: &Tensor) -> Result<[usize; 2], ModelError> {
        let (channels, stride) = (self.architecture.in_channels(), self.graph.stride());
        let hint = match *images.dims() {
            [0, ..] => "the batch is empty",
            [_, found, height, width] if found == channels && height >= stride && width >= stride => {
                return Ok([height, width]);
            }
            [_, found, _, _] if found != channels => "the number of channels differs",
            [_, _, _, _] => "the images are smaller than the network's coarsest pixel: enlarge them",
            _ => "give a batch, also of a single image",
        };
        Err(ModelError::ImageShape {
            expected: format!("[batch, {channels}, height, width] with height and width of at least {stride}"),
            found: images.dims().to_vec(),
            hint,
        })
    }

    /// A copy with variables of its own and the same precision, for a teacher or a pruned competitor: training one leaves
    /// the other alone.
    ///
    /// # Errors
    /// Those of candle.
    pub fn duplicate(&self) -> Result<Self, ModelError> {
        let (dtype, device) = match self.parameters().trainable().first() {
            Some((_, var)) => (var.dtype(), var.device().clone()),
            None => (DType::F32, Device::Cpu),
        };
        let mut copy = Self::build_with_dtype(&self.architecture, 0, dtype, &device)?;
        copy.set_precision(self.precision);
        copy.copy_from(self)?;
        Ok(copy)
    }

    /// Takes over the weights and running statistics of another network of the same architecture.
    ///
    /// # Errors
    /// [`ModelError::OtherNetwork`] if the architectures differ; then nothing has been changed.
    pub fn copy_from(&self, other: &Self) -> Result<(), ModelError> {
        if self.architecture != other.architecture {
            return Err(ModelError::OtherNetwork {
                problem: format!("they are of {}, expected {}", other.architecture, self.architecture),
            });
        }
        self.parameters().copy_from(other.parameters())
    }
}

impl ModuleT for Network {
    fn forward_t(&self, images: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        self.forward(images, Mode::from_train(train)).map_err(Into::into)
    }
}
