use candle_core::{CpuStorage, DType, Device, InplaceOp2, Layout, Shape, Tensor, Var};

use crate::error::PruneError;

/// Which weights of one tensor stay (1) and which are zero (0).
#[derive(Clone, Debug)]
pub struct Mask {
    keep: Tensor,
    zeros: usize,
}

impl Mask {
    /// A mask from a tensor of ones (stay) and zeros (pruned); anything that is not zero counts as one.
    ///
    /// # Shapes
    /// - `keep`: the weight's shape, any type
    ///
    /// # Errors
    /// Those of candle.
    pub fn from_tensor(keep: &Tensor) -> Result<Self, PruneError> {
        // On the CPU, which compares every type.
        let values = keep.to_device(&Device::Cpu)?;
        let flat = values.ne(&values.zeros_like()?)?.flatten_all()?.to_vec1::<u8>()?;
        Self::from_keep(flat, keep.shape(), keep.device())
    }

    pub(crate) fn from_keep(keep: Vec<u8>, shape: &Shape, device: &Device) -> Result<Self, PruneError> {
        let zeros = keep.iter().filter(|keep| **keep == 0).count();
        Ok(Self {
            keep: Tensor::from_vec(keep, shape, device)?,
            zeros,
        })
    }

    /// The mask as a tensor of the weight's shape: `u8`, 1 where the weight stays.
    #[must_use]
    pub fn as_tensor(&self) -> &Tensor {
        &self.keep
    }

    /// How many weights are pruned, by counting.
    #[must_use]
    pub fn zeros(&self) -> usize {
        self.zeros
    }

    /// How many weights there are, pruned or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keep.elem_count()
    }

    /// Whether the mask is of no weights at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The masked tensor, as a new one; gradients flow to the weights that stay.
    ///
    /// # Shapes
    /// - `weight`: the mask's shape; result: the same
    ///
    /// # Errors
    /// [`PruneError::MaskShape`] if the shapes differ.
    pub fn masked(&self, weight: &Tensor) -> Result<Tensor, PruneError> {
        self.check_shape("the tensor", weight)?;
        Ok(self
            .keep
            .to_device(weight.device())?
            .where_cond(weight, &weight.zeros_like()?)?)
    }

    /// Makes the pruned weights exactly zero: in place on the CPU, through one temporary tensor elsewhere.
    pub(crate) fn apply(&self, name: &str, weight: &Var) -> Result<(), PruneError> {
        self.check_shape(name, weight)?;
        if self.zeros == 0 {
            return Ok(());
        }
        let on_cpu = weight.device().is_cpu() && self.keep.device().is_cpu();
        if on_cpu && weight.is_contiguous() && matches!(weight.dtype(), DType::F32 | DType::F64) {
            weight.inplace_op2(&self.keep, &ZeroWhereZero)?;
            return Ok(());
        }
        self.set_masked(weight)
    }

    /// [`apply`](Self::apply) in candle's own operations, which every device has.
    fn set_masked(&self, weight: &Var) -> Result<(), PruneError> {
        Ok(weight.set(&self.masked(&weight.as_detached_tensor())?)?)
    }

    pub(crate) fn check_shape(&self, name: &str, weight: &Tensor) -> Result<(), PruneError> {
        if self.keep.dims() == weight.dims() {
            return Ok(());
        }
        Err(PruneError::MaskShape {
            name: name.to_string(),
            mask: self.keep.dims().to_vec(),
            weight: weight.dims().to_vec(),
        })
    }
}

/// `weight[i] = 0` where `keep[i] == 0`. Unlike a product it leaves no negative zero and no `NaN` behind.
struct ZeroWhereZero;

impl InplaceOp2 for ZeroWhereZero {
    fn name(&self) -> &'static str {
        "zero-where-zero"
    }

    fn cpu_fwd(
        &self,
        weight: &mut CpuStorage,
        weight_layout: &Layout,
        keep: &CpuStorage,
        keep_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (Some((first, last)), Some((keep_first, keep_last))) =
            (weight_layout.contiguous_offsets(), keep_layout.contiguous_offsets())
        else {
            candle_core::bail!("{}: weight and mask must be contiguous", self.name())
        };
        let keep = &keep.as_slice::<u8>()?[keep_first..keep_last];
        match weight {
            CpuStorage::F32(weight) => zero(&mut weight[first..last], keep),
            CpuStorage::F64(weight) => zero(&mut weight[first..last], keep),
            _ => candle_core::bail!("{}: weights must be f32 or f64", self.name()),
        }
        Ok(())
    }
}

fn zero<T: Default + Copy>(weight: &mut [T], keep: &[u8]) {
    for (weight, keep) in weight.iter_mut().zip(keep) {
        *weight = if *keep == 0 { T::default() } else { *weight };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What other devices do gives the bits of what the CPU does, on weights of either sign, zeros, and no numbers.
    #[test]
    fn both_ways_of_masking_give_the_same_bits() {
        let values: Vec<f32> = (0..60u8)
            .map(|i| match i % 6 {
                0 => -0.0,
                1 => f32::NAN,
                2 => f32::NEG_INFINITY,
                _ => f32::from(i) - 30.0,
            })
            .collect();
        let weights = Tensor::from_vec(values, (5, 3, 2, 2), &Device::Cpu).unwrap();
        let keep = (0..60).map(|i| u8::from(i % 7 < 4)).collect();
        let mask = Mask::from_keep(keep, weights.shape(), &Device::Cpu).unwrap();
        let bits = |apply: fn(&Mask, &Var) -> Result<(), PruneError>| {
            let var = Var::from_tensor(&weights).unwrap();
            apply(&mask, &var).unwrap();
            let values = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            values.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let in_place = bits(|mask, var| mask.apply("weight", var));
        assert_eq!(in_place, bits(Mask::set_masked));
        assert_eq!(in_place.iter().filter(|bits| **bits == 0).count(), 24);
    }
}
