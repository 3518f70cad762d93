use candle_core::{DType, Device, Var};
use htl_models::{Conv, ConvNorm, Linear};

use crate::error::OnnxError;

/// The weights of a convolution, all that follows it linearly multiplied in.
pub(crate) struct Weights {
    /// `[outputs, inputs / groups, kernel, kernel]`.
    pub dims: Vec<usize>,
    pub weight: Vec<f32>,
    pub bias: Option<Vec<f32>>,
}

impl Weights {
    /// Of a convolution and the batch normalisation behind it, which with running statistics is a factor and a sum for each
    /// channel: computed in 64 bits, so that folding costs no more than the rounding to 32.
    pub fn folded(layer: &ConvNorm) -> Result<Self, OnnxError> {
        let [gamma, beta, mean, var] = layer.normalisation();
        let (gamma, beta, mean, var) = (numbers(gamma)?, numbers(beta)?, numbers(mean)?, numbers(var)?);
        let eps = layer.shape().eps;
        let scales: Vec<f64> = gamma
            .iter()
            .zip(&var)
            .map(|(gamma, var)| gamma / (var + eps).sqrt())
            .collect();
        let mut weight = numbers(layer.weight())?;
        let of_channel = (weight.len() / scales.len().max(1)).max(1);
        for (values, scale) in weight.chunks_exact_mut(of_channel).zip(&scales) {
            values.iter_mut().for_each(|value| *value *= scale);
        }
        let shifts = beta.iter().zip(&mean).zip(&scales);
        let bias: Vec<f64> = shifts.map(|((beta, mean), scale)| beta - mean * scale).collect();
        if weight.iter().chain(&bias).any(|value| !(*value as f32).is_finite()) {
            let layer = layer.names()[0].to_owned();
            return Err(OnnxError::TooLargeWeight { layer });
        }
        Ok(Self {
            dims: layer.weight().dims().to_vec(),
            weight: rounded(&weight),
            bias: Some(rounded(&bias)),
        })
    }

    /// Of a convolution alone.
    pub fn of(layer: &Conv) -> Result<Self, OnnxError> {
        Ok(Self {
            dims: layer.weight().dims().to_vec(),
            weight: floats(layer.weight())?,
            bias: layer.bias().map(floats).transpose()?,
        })
    }

    /// Of a linear layer as a convolution of one pixel.
    pub fn linear(layer: &Linear) -> Result<Self, OnnxError> {
        Ok(Self {
            dims: [layer.weight().dims(), &[1, 1]].concat(),
            weight: floats(layer.weight())?,
            bias: Some(floats(layer.bias())?),
        })
    }
}

/// The values of a variable, in 32 bits.
pub(crate) fn floats(var: &Var) -> Result<Vec<f32>, OnnxError> {
    Ok(rounded(&numbers(var)?))
}

fn numbers(var: &Var) -> Result<Vec<f64>, OnnxError> {
    // Not every device has 64 bits.
    let tensor = var.as_detached_tensor().to_device(&Device::Cpu)?;
    Ok(tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

fn rounded(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}
