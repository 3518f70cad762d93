use candle_core::{D, DType, Device, Tensor, Var};
use htl_ops::{Conv2dParams, Corners};

use crate::error::ModelError;
use crate::graph::{Operation, Value};
use crate::layers::{Linear, Mode};
use crate::network::Network;

/// Which class a localization map is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassChoice<'a> {
    /// The class of the largest logit, image by image; the smaller one of equals.
    Predicted,
    /// The same class for all images.
    Class(usize),
    /// A class for each image.
    PerImage(&'a [usize]),
}

impl Network {
    /// Class activation maps (Zhou et al. 2016): the linear layer's weights applied at every position of the encoder's last
    /// maps. Their mean over positions plus the bias is the logit. Gradients are not tracked.
    ///
    /// # Shapes
    /// - `images`: as in [`forward`](Self::forward)
    /// - result: `[batch, classes, height / stride, width / stride]`, any real numbers
    ///
    /// # Errors
    /// As [`forward`](Self::forward); [`ModelError::Kind`] if the network has no classes.
    pub fn class_activation_maps(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        Ok(self.maps_and_logits(images)?.0)
    }

    /// The class activation map of one class per image as a localizer's output: resized bilinearly to the images' size, then
    /// scaled image by image so that its minimum is 0 and its maximum 1, as the WSOL evaluation does. A map that is the
    /// same everywhere becomes 0: it localizes nothing.
    ///
    /// # Shapes
    /// - `images`: as in [`forward`](Self::forward)
    /// - result: `[batch, 1, height, width]`, in [0, 1]
    ///
    /// # Errors
    /// As [`class_activation_maps`](Self::class_activation_maps); [`ModelError::NoSuchClass`] if a class does not exist,
    /// [`ModelError::ClassCount`] if their number is not the batch's.
    pub fn localization_map(&self, images: &Tensor, choice: ClassChoice<'_>) -> Result<Tensor, ModelError> {
        let (maps, logits) = self.maps_and_logits(images)?;
        let (batch, classes, height, width) = maps.dims4()?;
        let chosen = choose(choice, &logits)?;
        // Row `image * classes + class` of the maps of all images and classes one below the other.
        let rows: Vec<u32> = chosen
            .iter()
            .enumerate()
            .map(|(image, class)| (image * classes + class) as u32)
            .collect();
        let rows = Tensor::from_vec(rows, batch, maps.device())?;
        let maps = maps
            .reshape((batch * classes, 1, height, width))?
            .index_select(&rows, 0)?;
        self.as_localization(&maps, images)
    }

    /// Grad-CAM (Selvaraju et al. 2017): the maps of the encoder that have this stride, each times the mean over positions of
    /// the gradient that one logit per image has there, summed, and what is below 0 cut off; then as
    /// [`localization_map`](Self::localization_map). On the last maps it is the class activation map, cut off at 0.
    ///
    /// # Shapes
    /// - `images`: as in [`forward`](Self::forward)
    /// - result: `[batch, 1, height, width]`, in [0, 1]
    ///
    /// # Errors
    /// As [`localization_map`](Self::localization_map); [`ModelError::Parts`] if no maps have this stride.
    pub fn grad_cam(&self, images: &Tensor, choice: ClassChoice<'_>, stride: usize) -> Result<Tensor, ModelError> {
        let (classes, _) = self.linear()?;
        let nodes = &self.graph().nodes()[..=self.graph().deepest().node()];
        let Some(level) = nodes
            .iter()
            .rev()
            .map(|node| node.value)
            .find(|value| value.stride == stride)
        else {
            return Err(ModelError::Parts {
                problem: format!(
                    "the encoder {} has no maps of stride {stride}",
                    self.architecture().encoder()
                ),
            });
        };
        let maps = self.values(images, &[level], Mode::Evaluate)?.remove(0);
        let maps = Var::from_tensor(&maps.detach())?;
        let logits = self
            .values_from(images, (level, maps.as_tensor()), &[classes])?
            .remove(0);
        let chosen = choose(choice, &logits)?;
        let rows: Vec<u32> = chosen.iter().map(|class| *class as u32).collect();
        let rows = Tensor::from_vec(rows, (chosen.len(), 1), logits.device())?;
        let gradients = logits.gather(&rows, 1)?.sum_all()?.backward()?;
        let Some(gradient) = gradients.get(&maps) else {
            return Err(ModelError::Parts {
                problem: format!("no class depends on the maps of stride {stride}"),
            });
        };
        let weights = gradient.mean_keepdim(D::Minus1)?.mean_keepdim(D::Minus2)?;
        let sum = maps.detach().broadcast_mul(&weights.detach())?.sum_keepdim(1)?.relu()?;
        self.as_localization(&sum, images)
    }

    /// Maps `[batch, 1, ...]` at the images' size, each from 0 to 1.
    fn as_localization(&self, maps: &Tensor, images: &Tensor) -> Result<Tensor, ModelError> {
        let (batch, _, height, width) = images.dims4()?;
        let stride = self.graph().stride();
        let size = [height, width].map(|side| side.next_multiple_of(stride));
        let maps = htl_ops::upsample_bilinear2d(maps, (size[0], size[1]), Corners::HalfPixel)?;
        let maps = maps
            .narrow(2, 0, height)?
            .narrow(3, 0, width)?
            .contiguous()?
            .flatten_from(1)?;
        let lowest = maps.min_keepdim(1)?;
        let range = (maps.max_keepdim(1)? - &lowest)?;
        // Where the range is 0 so are the differences, and 0 / 1 is the 0 that is promised.
        let range = range.eq(0.0)?.where_cond(&range.ones_like()?, &range)?;
        let scaled = maps.broadcast_sub(&lowest)?.broadcast_div(&range)?;
        Ok(scaled.reshape((batch, 1, height, width))?)
    }

    fn maps_and_logits(&self, images: &Tensor) -> Result<(Tensor, Tensor), ModelError> {
        let (classes, linear) = self.linear()?;
        let mut values = self.values(images, &[self.graph().deepest(), classes], Mode::Evaluate)?;
        let (logits, features) = (values.remove(1), values.remove(0));
        let weight = linear
            .weight()
            .as_detached_tensor()
            .unsqueeze(D::Minus1)?
            .unsqueeze(D::Minus1)?;
        let maps = htl_ops::conv2d(&features, &weight, None, Conv2dParams::default())?;
        Ok((maps, logits))
    }

    /// The classes' logits, and the layer that makes them.
    fn linear(&self) -> Result<(Value, &Linear), ModelError> {
        let graph = self.graph();
        let classes = graph.ends().classes.ok_or(ModelError::Kind {
            expected: "classifier",
            found: "localizer",
        })?;
        match &graph.nodes()[classes.node()].operation {
            Operation::Linear(linear) => Ok((classes, linear)),
            other => Err(ModelError::Parts {
                problem: format!("class activation maps need a linear layer at the end, and there is {other:?}"),
            }),
        }
    }
}

/// A class for each image, checked.
fn choose(choice: ClassChoice<'_>, logits: &Tensor) -> Result<Vec<usize>, ModelError> {
    let (images, classes) = logits.dims2()?;
    let chosen = match choice {
        ClassChoice::Predicted => {
            let rows = logits.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec2::<f64>()?;
            rows.iter().map(|row| largest(row)).collect()
        }
        ClassChoice::Class(class) => vec![class; images],
        ClassChoice::PerImage(chosen) => chosen.to_vec(),
    };
    if chosen.len() != images {
        return Err(ModelError::ClassCount {
            images,
            found: chosen.len(),
        });
    }
    match chosen.iter().position(|class| *class >= classes) {
        Some(image) => Err(ModelError::NoSuchClass {
            image,
            found: chosen[image],
            classes,
        }),
        None => Ok(chosen),
    }
}

fn largest(row: &[f64]) -> usize {
    let better = |best: usize, (class, logit): (usize, &f64)| if *logit > row[best] { class } else { best };
    row.iter().enumerate().fold(0, better)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Architecture, Part};

    fn classifier(encoder: Part) -> Network {
        let architecture = Architecture::classifier(encoder, 3).unwrap();
        Network::build_with_dtype(&architecture, 5, DType::F64, &Device::Cpu).unwrap()
    }

    fn images(height: usize, width: usize) -> Tensor {
        let wave = |i: usize| (i as f64 * 0.013).sin() + (i as f64 * 0.71).cos();
        let values: Vec<f64> = (0..2 * 3 * height * width).map(wave).collect();
        Tensor::from_vec(values, (2, 3, height, width), &Device::Cpu).unwrap()
    }

    fn near(a: &Tensor, b: &Tensor, tolerance: f64) {
        assert_eq!(a.dims(), b.dims());
        let most = (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        let most = most.to_scalar::<f64>().unwrap();
        assert!(most < tolerance, "{most}");
    }

    /// Behind the last maps is a mean and a linear layer: gradients are weights over positions, and Grad-CAM is the class activation
    /// map without what is below 0.
    #[test]
    fn grad_cam_of_the_last_maps_is_the_class_activation_map() {
        for (encoder, stride, size) in [
            (Part::new("plain").with("width", 2), 8, [24, 16]),
            (Part::new("mobilenet-v2"), 32, [40, 64]),
        ] {
            let (network, images) = (classifier(encoder), images(size[0], size[1]));
            for class in 0..3 {
                let found = network.grad_cam(&images, ClassChoice::Class(class), stride).unwrap();
                let maps = network.class_activation_maps(&images).unwrap();
                let maps = maps.narrow(1, class, 1).unwrap().contiguous().unwrap().relu().unwrap();
                near(&found, &network.as_localization(&maps, &images).unwrap(), 1e-9);
            }
        }
    }

    /// Elsewhere the weight of a channel is what the logit gains where all of the channel rises, by differences.
    #[test]
    fn grad_cam_of_other_maps_weighs_channels_by_what_they_do() {
        let (network, images) = (classifier(Part::new("plain").with("width", 2)), images(16, 16));
        let graph = network.graph();
        let nodes = &graph.nodes()[..graph.deepest().node()];
        let level = nodes
            .iter()
            .rev()
            .map(|node| node.value)
            .find(|value| value.stride == 4);
        let level = level.unwrap();
        let maps = network.values(&images, &[level], Mode::Evaluate).unwrap().remove(0);
        let (classes, _) = network.linear().unwrap();
        let logit = |maps: &Tensor| {
            let logits = network
                .values_from(&images, (level, maps), &[classes])
                .unwrap()
                .remove(0);
            logits.narrow(1, 1, 1).unwrap()
        };
        let (_, channels, height, width) = maps.dims4().unwrap();
        let mut sum = maps.zeros_like().unwrap().narrow(1, 0, 1).unwrap();
        for channel in 0..channels {
            let one: Vec<f64> = (0..channels)
                .map(|c| f64::from(u8::from(c == channel)) * 1e-5)
                .collect();
            let step = Tensor::from_vec(one, (1, channels, 1, 1), &Device::Cpu).unwrap();
            let [up, down] = [maps.broadcast_add(&step), maps.broadcast_sub(&step)].map(|maps| logit(&maps.unwrap()));
            let weight = ((up - down).unwrap() / (2e-5 * (height * width) as f64)).unwrap();
            let weight = weight.reshape((2, 1, 1, 1)).unwrap();
            sum = (sum + maps.narrow(1, channel, 1).unwrap().broadcast_mul(&weight).unwrap()).unwrap();
        }
        let expected = network.as_localization(&sum.relu().unwrap(), &images).unwrap();
        near(
            &network.grad_cam(&images, ClassChoice::Class(1), 4).unwrap(),
            &expected,
            1e-6,
        );
        let message = network
            .grad_cam(&images, ClassChoice::Class(1), 3)
            .unwrap_err()
            .to_string();
        assert!(message.contains("no maps of stride 3"), "{message}");
    }
}
