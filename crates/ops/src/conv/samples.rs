//! Numbers for the tests of convolutions, and how near they have to come.

/// Numbers between -1 and 1 without a pattern.
pub(super) fn numbers(count: usize, seed: usize) -> Vec<f32> {
    let scramble = |i: usize| (i * 7919 + seed * 104_729 + 13) % 1009;
    (0..count).map(|i| scramble(i) as f32 / 504.5 - 1.0).collect()
}

pub(super) fn in_double(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|&v| f64::from(v)).collect()
}

/// Every number lies as near as this share of the largest expected one, or of 1.
#[track_caller]
pub(super) fn near(found: &[f32], expected: &[f64], share: f64, what: &str) {
    let most = expected.iter().fold(1.0, |most: f64, v| most.max(v.abs()));
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (f64::from(found) - expected).abs() < share * most,
            "{what}, {i}: {found}, expected {expected}"
        );
    }
}
