//! The reference U-Net once more, over the variables of the product's, with a pooling that may be wrong.

use anyhow::Context;
use candle_core::{Tensor, Var};
use htl_models::Parameters;
use htl_ops::{Activation, BatchStatistics, Conv2dParams, Features, Norm, OpsError};

/// As the product's network has them.
const EPS: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;
const HALVINGS: usize = 3;

/// 2x2 max pooling, or what is taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// As it should be.
    Right,
    /// With a quarter of the gradient.
    QuarterGradient,
}

impl Pooling {
    fn apply(self, features: &Features) -> Result<Features, OpsError> {
        let pooled = features.max_pool(2, 2, 0)?;
        match self {
            Self::Right => Ok(pooled),
            Self::QuarterGradient => {
                let pooled = pooled.into_tensor()?;
                let values = pooled.detach();
                // Zero, with a quarter of the gradient: the values stay as they are to the bit.
                let slope = ((pooled - &values)? * 0.25)?;
                Features::of(&(values + slope)?)
            }
        }
    }
}

/// The U-Net in training: batch statistics, which its running statistics follow.
pub(crate) struct UNet {
    encoder: Vec<[Layer; 2]>,
    pooling: Pooling,
    decoder: Vec<[Layer; 2]>,
    head: [Var; 2],
}

impl UNet {
    /// The network over the variables of one of the product's.
    ///
    /// # Errors
    /// Names the first variable that is missing.
    pub fn over(parameters: &Parameters, pooling: Pooling) -> anyhow::Result<Self> {
        let blocks = |part: &str, count: usize| -> anyhow::Result<Vec<[Layer; 2]>> {
            let block = |index: usize| {
                let prefix = format!("{part}.{index}");
                Ok([
                    Layer::over(parameters, &prefix, 0)?,
                    Layer::over(parameters, &prefix, 3)?,
                ])
            };
            (0..count).map(block).collect()
        };
        Ok(Self {
            encoder: blocks("encoder", HALVINGS + 1)?,
            pooling,
            decoder: blocks("decoder", HALVINGS)?,
            head: [var(parameters, "head.weight")?, var(parameters, "head.bias")?],
        })
    }

    /// # Shapes
    /// - `images`: `[batch, 3, height, width]`, normalised, height and width divisible by 8
    /// - result: logits `[batch, 1, height, width]`
    pub fn forward(&self, images: &Tensor) -> Result<Tensor, OpsError> {
        let mut features = Features::of(images)?;
        let mut skips = Vec::new();
        for (level, [first, second]) in self.encoder.iter().enumerate() {
            if level > 0 {
                let pooled = self.pooling.apply(&features)?;
                skips.push(features);
                features = pooled;
            }
            features = second.forward(&first.forward(&features)?)?;
        }
        for ([first, second], skip) in self.decoder.iter().zip(skips.iter().rev()) {
            features = second.forward(&first.forward_joined(&features, skip)?)?;
        }
        let [weight, bias] = &self.head;
        features
            .conv(weight, Some(bias), Conv2dParams::default())?
            .into_tensor()
    }
}

/// 3x3 convolution, batch normalisation, ReLU.
struct Layer {
    weight: Var,
    gamma: Var,
    beta: Var,
    running: [Var; 2],
}

impl Layer {
    fn over(parameters: &Parameters, prefix: &str, index: usize) -> anyhow::Result<Self> {
        let of_norm = |name: &str| var(parameters, &format!("{prefix}.{}.{name}", index + 1));
        Ok(Self {
            weight: var(parameters, &format!("{prefix}.{index}.weight"))?,
            gamma: of_norm("weight")?,
            beta: of_norm("bias")?,
            running: [of_norm("running_mean")?, of_norm("running_var")?],
        })
    }

    fn forward(&self, input: &Features) -> Result<Features, OpsError> {
        let (norm, params) = (Norm::Batch { eps: EPS }, Conv2dParams::same(3));
        let made = input.conv_norm(&self.weight, &self.gamma, &self.beta, &norm, params, Activation::Relu)?;
        self.follow(made)
    }

    /// On `input`, upsampled to twice its size, and `skip` together.
    fn forward_joined(&self, input: &Features, skip: &Features) -> Result<Features, OpsError> {
        let norm = Norm::Batch { eps: EPS };
        let made = input.upsample_concat_conv_norm_relu(Some(skip), &self.weight, &self.gamma, &self.beta, &norm)?;
        self.follow(made)
    }

    fn follow(&self, (features, statistics): (Features, Option<BatchStatistics>)) -> Result<Features, OpsError> {
        if let Some(statistics) = statistics {
            let [mean, var] = &self.running;
            statistics.update_running(mean, var, MOMENTUM)?;
        }
        Ok(features)
    }
}

fn var(parameters: &Parameters, name: &str) -> anyhow::Result<Var> {
    parameters
        .get(name)
        .cloned()
        .with_context(|| format!("the network has no `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// The faulty pooling has the values of the right one, and a quarter of its gradient.
    #[test]
    fn only_the_gradient_is_wrong() {
        let x = Var::randn(0f32, 1., (2, 3, 4, 6), &Device::Cpu).unwrap();
        let factors = Tensor::randn(0f32, 1., (2, 3, 2, 3), &Device::Cpu).unwrap();
        let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let of = |pooling: Pooling| {
            let pooled = pooling
                .apply(&Features::of(&x).unwrap())
                .unwrap()
                .into_tensor()
                .unwrap();
            let loss = (&pooled * &factors).unwrap().sum_all().unwrap();
            let gradients = htl_ops::backward(&loss).unwrap();
            (values(&pooled), values(gradients.get(&x).unwrap()))
        };
        let (right, faulty) = (of(Pooling::Right), of(Pooling::QuarterGradient));
        assert_eq!(right.0, faulty.0);
        assert!(right.1.iter().any(|value| *value != 0.));
        let quarter: Vec<f32> = right.1.iter().map(|value| value * 0.25).collect();
        assert_eq!(quarter, faulty.1);
    }
}
