use candle_core::{DType, Device, Tensor};

use crate::error::PruneError;

/// Channels of a network that can only be removed from all their places at once: one number of channels, and where they are.
#[derive(Clone, Debug)]
pub struct FilterGroup {
    /// A name for people.
    pub name: String,
    /// How many channels.
    pub channels: usize,
    /// The weights that make them, scale them and see them.
    pub places: Vec<Filters>,
}

/// Weights of a group's channels in one tensor: channel `c` has the positions from `offset + c * width` on along the axis,
/// `width` of them.
#[derive(Clone, Debug)]
pub struct Filters {
    /// The tensor's name.
    pub name: String,
    /// The tensor, whole.
    pub tensor: Tensor,
    /// 0 where the channels are outputs, 1 where they are inputs.
    pub axis: usize,
    /// Position of the first channel.
    pub offset: usize,
    /// Positions of a channel.
    pub width: usize,
}

impl FilterGroup {
    /// Sums of `|w|^power` over all weights that a channel has, channel by channel.
    pub(super) fn sums(&self, power: i32) -> Result<Vec<f64>, PruneError> {
        let mut sums = vec![0.0; self.channels];
        for place in &self.places {
            let by_position = place.sums(self.channels, power)?;
            for (sum, positions) in sums.iter_mut().zip(by_position.chunks(place.width.max(1))) {
                *sum += positions.iter().sum::<f64>();
            }
        }
        Ok(sums)
    }
}

impl Filters {
    /// Sums for every position of the channels.
    fn sums(&self, channels: usize, power: i32) -> Result<Vec<f64>, PruneError> {
        let shape = self.tensor.dims();
        let (first, last) = (self.offset, self.offset + channels * self.width);
        if self.width == 0 || shape.get(self.axis).is_none_or(|length| *length < last) {
            return Err(PruneError::ChannelPlace {
                name: self.name.clone(),
                axis: self.axis,
                first,
                last,
                shape: shape.to_vec(),
            });
        }
        // On the CPU: not every device has 64 bits.
        let values = self.tensor.to_device(&Device::Cpu)?.flatten_all()?;
        let values = values.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(PruneError::NotFinite {
                name: self.name.clone(),
                index,
                value: values[index],
            });
        }
        // Row-major: a position of the axis comes again every `behind * length` values, `behind` in a row.
        let behind: usize = shape[self.axis + 1..].iter().product();
        let length = shape[self.axis];
        let mut sums = vec![0.0; last - first];
        for (index, value) in values.iter().enumerate() {
            let position = index / behind.max(1) % length;
            if (first..last).contains(&position) {
                sums[position - first] += value.abs().powi(power);
            }
        }
        Ok(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(places: &[(&[usize], usize, usize, usize)], channels: usize) -> FilterGroup {
        let tensor = |shape: &[usize]| {
            let count: usize = shape.iter().product();
            let values: Vec<f32> = (0..count).map(|at| at as f32 - 2.0).collect();
            Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
        };
        FilterGroup {
            name: "group".into(),
            channels,
            places: places
                .iter()
                .map(|(shape, axis, offset, width)| Filters {
                    name: "a.weight".into(),
                    tensor: tensor(shape),
                    axis: *axis,
                    offset: *offset,
                    width: *width,
                })
                .collect(),
        }
    }

    #[test]
    fn sums_are_over_all_places() {
        // -2 -1 | 0 1 | 2 3, by rows and by columns.
        assert_eq!(group(&[(&[3, 2], 0, 0, 1)], 3).sums(2).unwrap(), [5.0, 1.0, 13.0]);
        assert_eq!(group(&[(&[3, 2], 1, 0, 1)], 2).sums(1).unwrap(), [4.0, 5.0]);
        let both = group(&[(&[3, 2], 0, 1, 1), (&[3, 2], 1, 0, 1)], 2);
        assert_eq!(both.sums(1).unwrap(), [5.0, 10.0]);
        assert_eq!(group(&[(&[6], 0, 2, 2)], 2).sums(1).unwrap(), [1.0, 5.0]);
    }

    #[test]
    fn places_that_are_not_there_are_told() {
        for (shape, axis, offset) in [(&[3usize, 2][..], 0, 2), (&[3, 2], 2, 0), (&[1], 0, 0)] {
            let error = group(&[(shape, axis, offset, 1)], 2).sums(2).unwrap_err().to_string();
            assert!(
                error.contains("`a.weight`") && error.contains(&format!("{shape:?}")),
                "{error}"
            );
        }
    }
}
