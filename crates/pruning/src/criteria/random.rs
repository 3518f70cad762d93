use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Uniform scores in [0, 1) from a generator of the tensor's own, so that other tensors do not change them.
pub(super) fn scores(name: &str, count: usize, seed: u64) -> Vec<f64> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(fnv1a(name));
    (0..count).map(|_| generator.random::<f64>()).collect()
}

/// FNV-1a, 64 bits: a hash that stays the same from release to release.
fn fnv1a(name: &str) -> u64 {
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
