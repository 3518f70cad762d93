//! How many weights each tensor loses, where tensors lose different shares.

/// The share of every tensor's weights that stays by the Erdős-Rényi-kernel rule (Evci et al. 2020, "Rigging the lottery"):
/// proportional to the sum of a tensor's dimensions over their product, so that wide layers lose most, and 1x1, depthwise
/// and first layers little. Tensors that would have more weights than they can are dense, and the others share the rest.
///
/// `density`: what stays of all weights together, in [0, 1]. Tensors without weights get 0.
pub(crate) fn erdos_renyi_kernel(shapes: &[&[usize]], density: f64) -> Vec<f64> {
    let count = |shape: &[usize]| shape.iter().product::<usize>() as f64;
    let rule = |shape: &[usize]| shape.iter().sum::<usize>() as f64 / count(shape).max(1.0);
    let mut densities: Vec<Option<f64>> = shapes
        .iter()
        .map(|shape| (count(shape) == 0.0).then_some(0.0))
        .collect();
    loop {
        let whole: f64 = shapes.iter().map(|shape| count(shape)).sum();
        let (mut left, mut shares) = (density * whole, 0.0);
        for (shape, fixed) in shapes.iter().zip(&densities) {
            match fixed {
                Some(fixed) => left -= fixed * count(shape),
                None => shares += rule(shape) * count(shape),
            }
        }
        let scale = if shares > 0.0 { left.max(0.0) / shares } else { 0.0 };
        let full = |at: usize, fixed: &Option<f64>| fixed.is_none() && scale * rule(shapes[at]) > 1.0;
        // As the authors do it, those that are furthest above 1 first: what they cannot take falls to the others.
        let most = densities.iter().enumerate().filter(|(at, fixed)| full(*at, fixed));
        let Some(most) = most.map(|(at, _)| rule(shapes[at])).max_by(f64::total_cmp) else {
            return shapes
                .iter()
                .zip(densities)
                .map(|(shape, fixed)| fixed.unwrap_or(scale * rule(shape)))
                .collect();
        };
        for (shape, fixed) in shapes.iter().zip(&mut densities) {
            if fixed.is_none() && rule(shape) >= most {
                *fixed = Some(1.0);
            }
        }
    }
}

/// Whole numbers near these that sum to `total`: all rounded down, and one more where most was cut off, the first of equals
/// first; none more than its `most`.
pub(crate) fn whole_numbers(wanted: &[f64], most: &[usize], total: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> = wanted
        .iter()
        .zip(most)
        .map(|(wanted, most)| (wanted.max(0.0).floor() as usize).min(*most))
        .collect();
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    let rest = |at: &usize| wanted[*at] - wanted[*at].floor();
    order.sort_by(|a, b| rest(b).total_cmp(&rest(a)).then(a.cmp(b)));
    let mut lacking = total.saturating_sub(numbers.iter().sum());
    while lacking > 0 {
        let before = lacking;
        for at in &order {
            if lacking > 0 && numbers[*at] < most[*at] {
                numbers[*at] += 1;
                lacking -= 1;
            }
        }
        if lacking == before {
            break; // more than there are
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn layers_that_would_be_more_than_dense_are_dense() {
        let shapes: [&[usize]; 3] = [&[8, 1, 3, 3], &[64, 64, 3, 3], &[0, 4]];
        let densities = erdos_renyi_kernel(&shapes, 0.5);
        assert_eq!((densities[0], densities[2]), (1.0, 0.0));
        assert!((densities[1] - (0.5 * 36_936.0 - 72.0) / 36_864.0).abs() < 1e-12);
        assert_eq!(erdos_renyi_kernel(&shapes, 1.0), [1.0, 1.0, 0.0]);
    }

    #[test]
    fn halves_go_to_the_first() {
        assert_eq!(whole_numbers(&[0.5, 1.5, 2.0], &[9, 9, 9], 4), [1, 1, 2]);
        assert_eq!(whole_numbers(&[3.0, 0.2], &[2, 5], 4), [2, 2]);
        assert_eq!(whole_numbers(&[1.0], &[1], 7), [1]);
    }

    proptest! {
        /// The densities make the density asked for, are shares, and are in the order of the rule.
        #[test]
        fn densities_sum_up(
            shapes in prop::collection::vec(prop::collection::vec(1usize..40, 2..5), 1..12),
            density in 0.0..=1.0f64,
        ) {
            let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
            let densities = erdos_renyi_kernel(&shapes, density);
            let count = |shape: &[usize]| shape.iter().product::<usize>() as f64;
            let whole: f64 = shapes.iter().map(|shape| count(shape)).sum();
            let kept: f64 = shapes.iter().zip(&densities).map(|(shape, density)| count(shape) * density).sum();
            prop_assert!((kept - density * whole).abs() < 1e-6 * whole);
            prop_assert!(densities.iter().all(|density| (0.0..=1.0 + 1e-9).contains(density)));
            let rule = |at: usize| shapes[at].iter().sum::<usize>() as f64 / count(shapes[at]);
            for a in 0..shapes.len() {
                for b in 0..shapes.len() {
                    prop_assert!(rule(a) < rule(b) || densities[a] >= densities[b] - 1e-9);
                }
            }
        }
    }
}
