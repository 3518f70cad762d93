use htl_datasets::Sampler;

use super::image::ImageAttention;
use crate::TrainError;

/// The images of every step, with the attention that holds there: none before attention begins.
pub(crate) struct Draws {
    begins: usize,
    before: Phase,
    attending: Phase,
}

struct Phase {
    sampler: Sampler,
    attention: ImageAttention,
}

impl Draws {
    /// Attention begins after its share of `steps`.
    pub fn new(attention: ImageAttention, seed: u64, steps: usize) -> Result<Self, TrainError> {
        let phase = |attention: ImageAttention| -> Result<Phase, TrainError> {
            Ok(Phase {
                sampler: attention.sampler(seed)?,
                attention,
            })
        };
        Ok(Self {
            begins: (attention.after() * steps as f64).round() as usize,
            before: phase(attention.before())?,
            attending: phase(attention)?,
        })
    }

    /// The images of a step, and the attention to them.
    pub fn at(&self, step: usize, batch: usize) -> (Vec<usize>, &ImageAttention) {
        let phase = match step < self.begins {
            true => &self.before,
            false => &self.attending,
        };
        (phase.sampler.batch(step as u64, batch), &phase.attention)
    }
}
