use std::collections::BTreeMap;

use super::Architecture;
use crate::error::ModelError;
use crate::parameters::ParameterBuilder;

/// Channels by the name of the layer that makes them.
pub type Channels = BTreeMap<String, usize>;

impl Architecture {
    /// The same with fewer channels in some layers, instead of those narrowed before. Layers that filter every channel by
    /// itself, and normalisations, follow what they are on.
    ///
    /// # Errors
    /// [`ModelError::Config`] for a layer that is not there or does not choose its channels, or for a number of channels that is
    /// 0 or more than its own; [`ModelError::Parts`] if layers whose channels are put together one by one come to differ, or if
    /// logits would be lost.
    pub fn narrowed(&self, channels: Channels) -> Result<Self, ModelError> {
        let whole = self.whole();
        if channels.is_empty() {
            return Ok(whole);
        }
        // Refused as it is given: a layer of its own number of channels is left out below.
        let given = Self {
            channels,
            ..whole.clone()
        };
        given.build(&mut ParameterBuilder::of_shapes())?;
        let shapes = whole.shapes()?;
        let own = |name: &str| Some(*shapes.get(&format!("{name}.weight"))?.first()?);
        let mut narrowed = given;
        narrowed.channels.retain(|name, channels| own(name) != Some(*channels));
        Ok(narrowed)
    }

    /// The same with all the channels that the parts say.
    #[must_use]
    pub fn whole(&self) -> Self {
        Self {
            channels: Channels::new(),
            ..self.clone()
        }
    }

    /// Layers that have fewer channels than the parts say.
    #[must_use]
    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// How many numbers its convolution and linear weights have.
    ///
    /// # Errors
    /// Those of candle.
    pub fn weight_count(&self) -> Result<usize, ModelError> {
        let shapes = self.shapes()?;
        let weights = shapes
            .iter()
            .filter(|(name, shape)| name.ends_with(".weight") && shape.len() > 1);
        Ok(weights.map(|(_, shape)| shape.iter().product::<usize>()).sum())
    }
}
