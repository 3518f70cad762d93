use super::{BATCH, Conv, Kind, Operation};

/// The least work an operation takes: what no implementation can do without.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Floating-point operations; a multiplication with an addition is two. 0 where memory alone counts.
    pub flops: f64,
    /// Bytes read and written if every input is read once and every output written once.
    pub bytes: f64,
}

impl Work {
    /// Of so many numbers of 4 bytes.
    fn moving(numbers: usize) -> Self {
        Self {
            flops: 0.0,
            bytes: 4.0 * numbers as f64,
        }
    }
}

impl Conv {
    /// Side of the output.
    fn out(&self) -> usize {
        (self.size + 2 * (self.kernel / 2) - self.kernel) / self.stride + 1
    }

    /// How many numbers input, weight and output have.
    fn counts(&self) -> [usize; 3] {
        let [inputs, outputs] = self.channels;
        [
            BATCH * inputs * self.size * self.size,
            outputs * (inputs / self.groups) * self.kernel * self.kernel,
            BATCH * outputs * self.out() * self.out(),
        ]
    }

    /// Of one of the three convolutions: forward, or the gradient of the input or of the weight.
    fn flops(&self) -> f64 {
        let [_, _, y] = self.counts();
        2.0 * (y * (self.channels[0] / self.groups) * self.kernel * self.kernel) as f64
    }
}

impl Operation {
    /// Of the forward pass, or of an optimiser's step.
    #[must_use]
    pub fn forward_work(&self) -> Work {
        match self.kind {
            Kind::Conv(conv) => Work {
                flops: conv.flops(),
                ..Work::moving(conv.counts().iter().sum())
            },
            Kind::BatchNormRelu { channels, size } => Work::moving(2 * BATCH * channels * size * size),
            Kind::MaxPool { channels, size, .. } => {
                let input = BATCH * channels * size * size;
                Work::moving(input + input / 4)
            }
            Kind::Upsample { channels, size, .. } => Work::moving(5 * BATCH * channels * size * size),
            Kind::Bce { size } | Kind::SoftDice { size } => Work::moving(2 * BATCH * size * size),
            // Reads parameter, gradient and two moments; writes all but the gradient.
            Kind::AdamW { parameters } => Work::moving(7 * parameters),
        }
    }

    /// Of all gradients; `None` for an optimiser.
    #[must_use]
    pub fn backward_work(&self) -> Option<Work> {
        Some(match self.kind {
            Kind::Conv(conv) => {
                let [x, w, y] = conv.counts();
                Work {
                    flops: 2.0 * conv.flops(),
                    ..Work::moving(2 * x + 2 * w + y)
                }
            }
            // Input and gradient come in, a gradient goes out.
            Kind::BatchNormRelu { channels, size } => Work::moving(3 * BATCH * channels * size * size),
            Kind::MaxPool { channels, size, .. } => {
                let input = BATCH * channels * size * size;
                Work::moving(2 * input + input / 4)
            }
            Kind::Upsample { channels, size, .. } => Work::moving(5 * BATCH * channels * size * size),
            Kind::Bce { size } | Kind::SoftDice { size } => Work::moving(3 * BATCH * size * size),
            Kind::AdamW { .. } => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::find;

    #[test]
    fn work_of_a_convolution_is_that_counted_by_hand() {
        let work = |name: &str| find(name).unwrap().forward_work();
        // 8 x 64 x 64 x 64 outputs of 3 x 7 x 7 products.
        assert_eq!(
            work("conv7x7s2-3-64-at128").flops,
            2.0 * (8 * 64 * 64 * 64 * 147) as f64
        );
        assert_eq!(
            work("depthwise3x3s2-144-at32").flops,
            2.0 * (8 * 144 * 16 * 16 * 9) as f64
        );
        let numbers = 8 * 96 * 32 * 32 + 24 * 96 + 8 * 24 * 32 * 32;
        assert_eq!(work("conv1x1-96-24-at32").bytes, 4.0 * numbers as f64);
    }
}
