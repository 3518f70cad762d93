use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::{Context, Criterion, Needs, Scope};

pub(super) static RANDOM: Criterion = Criterion {
    name: "random",
    about: "at random over all prunable weights together, from the seed; the control of every other criterion",
    reference: "`random_unstructured` over all layers together",
    scope: Scope::Global,
    needs: Needs::Weights,
    scores: |context| Ok(of(context)),
};

pub(super) static LAYER_RANDOM: Criterion = Criterion {
    name: "layer-random",
    about: "at random within each tensor, from the seed",
    reference: "`torch.nn.utils.prune.random_unstructured` on each layer (golden test of the counts; the draws differ)",
    scope: Scope::Layer,
    needs: Needs::Weights,
    scores: |context| Ok(of(context)),
};

fn of(context: &Context) -> Vec<f64> {
    scores(context.name, context.weight.elem_count(), context.seed)
}

/// Uniform scores in [0, 1) from a generator of the tensor's own, so that other tensors do not change them.
fn scores(name: &str, count: usize, seed: u64) -> Vec<f64> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(fnv1a(name));
    (0..count).map(|_| generator.random::<f64>()).collect()
}

/// FNV-1a, 64 bits: a hash that stays the same from release to release.
pub(crate) fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depends_on_seed_and_name_only() {
        assert_eq!(scores("a", 5, 1), scores("a", 9, 1)[..5]);
        assert_ne!(scores("a", 5, 1), scores("b", 5, 1));
        assert_ne!(scores("a", 5, 1), scores("a", 5, 2));
    }
}
