//! Where tiles lie along one side of a photograph, and how much each of them counts there.

/// One tile along an axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Span {
    /// Its first pixel.
    pub(crate) start: usize,
    /// What it counts at each of its pixels, above 0: over all tiles that lie on a pixel, that is 1.
    pub(crate) weights: Vec<f64>,
}

/// Tiles of `side` pixels over `length`, evenly spread so that neighbours share at least `overlap` of themselves; of `length` pixels
/// where that is shorter. A tile counts as the raised cosine over it does among those that lie on a pixel, so borders blend smoothly
/// and a pixel on which only one tile lies is that tile's own.
pub(crate) fn spans(length: usize, side: usize, overlap: f64) -> Vec<Span> {
    let side = side.min(length).max(1);
    let stride = ((side as f64 * (1.0 - overlap)).floor() as usize).max(1);
    let gaps = length.saturating_sub(side).div_ceil(stride);
    let start = |place: usize| match gaps {
        0 => 0,
        _ => (place * (length - side) + gaps / 2) / gaps,
    };
    let turn = std::f64::consts::TAU / side as f64;
    let window: Vec<f64> = (0..side)
        .map(|at| 0.5 - 0.5 * ((at as f64 + 0.5) * turn).cos())
        .collect();
    let starts: Vec<usize> = (0..=gaps).map(start).collect();
    let mut sums = vec![0f64; length];
    for start in &starts {
        for (sum, weight) in sums.iter_mut().skip(*start).zip(&window) {
            *sum += weight;
        }
    }
    let span = |start: usize| Span {
        start,
        weights: window
            .iter()
            .zip(sums.iter().skip(start))
            .map(|(w, sum)| w / sum)
            .collect(),
    };
    starts.into_iter().map(span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Every pixel is covered, windows sum to one on it, and neighbours share what was asked for.
        #[test]
        fn windows_sum_to_one(length in 1usize..3000, side in 1usize..700, overlap in 0.0..=0.9f64) {
            let spans = spans(length, side, overlap);
            let mut sums = vec![0f64; length];
            for span in &spans {
                prop_assert_eq!(span.weights.len(), side.min(length));
                prop_assert!(span.weights.iter().all(|weight| *weight > 0.0 && *weight <= 1.0));
                for (at, weight) in span.weights.iter().enumerate() {
                    sums[span.start + at] += weight;
                }
            }
            for sum in sums {
                prop_assert!((sum - 1.0).abs() < 1e-12, "{}", sum);
            }
            for pair in spans.windows(2) {
                let shared = (pair[0].start + side) as f64 - pair[1].start as f64;
                prop_assert!(shared >= (overlap * side as f64).min(side as f64 - 1.0) - 1e-9, "{:?}", shared);
                prop_assert!(pair[1].start > pair[0].start);
            }
            prop_assert_eq!(spans[0].start, 0);
        }
    }

    /// Two tiles that share half: a raised cosine and its complement.
    #[test]
    fn a_window_is_a_raised_cosine() {
        let found = spans(12, 8, 0.5);
        assert_eq!(found.iter().map(|span| span.start).collect::<Vec<_>>(), [0, 4]);
        for at in 0..4 {
            let falling = 0.5 + 0.5 * ((at as f64 + 0.5) * std::f64::consts::PI / 4.0).cos();
            assert!((found[0].weights[4 + at] - falling).abs() < 1e-12, "{found:?}");
            assert_eq!(found[0].weights[at], 1.0);
        }
    }
}
