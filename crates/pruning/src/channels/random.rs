use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::{ChannelCriterion, ChannelScope};
use crate::criteria::fnv1a;

pub(super) static STRUCTURED_RANDOM: ChannelCriterion = ChannelCriterion {
    name: "structured-random",
    about: "whole channels at random within each group, from the seed; the control of the others",
    reference: "`RandomImportance` of Torch-Pruning (the draws differ)",
    scope: ChannelScope::Group,
    scores: |group, seed| {
        // A generator of the group's own, so that other groups do not change it.
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let first = group.places.first();
        generator.set_stream(
            fnv1a(first.map_or(group.name.as_str(), |place| place.name.as_str()))
                ^ first.map_or(0, |place| place.offset as u64),
        );
        Ok((0..group.channels).map(|_| generator.random::<f64>()).collect())
    },
};
