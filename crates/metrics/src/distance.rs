/// Squared Euclidean distance of every pixel to the nearest set one, in pixels squared; infinite if none is set. Exact, in
/// time linear in the pixels: along columns, then the lower envelope of parabolas along rows (Felzenszwalb and
/// Huttenlocher 2012).
///
/// # Shapes
/// - `set`, result: `[height * width]`, row by row; pixels that `set` lacks are not set
pub fn squared_distances(height: usize, width: usize, set: &[bool]) -> Vec<f64> {
    let mut along = vec![f64::INFINITY; width * height];
    for x in 0..width {
        let mut last = f64::INFINITY;
        for y in (0..height).chain((0..height).rev()) {
            let at = y * width + x;
            last = if set.get(at) == Some(&true) { 0. } else { last + 1. };
            along[at] = along[at].min(last);
        }
    }
    let mut result = vec![f64::INFINITY; width * height];
    let mut hull: Vec<Parabola> = Vec::with_capacity(width);
    let rows = along
        .chunks_exact(width.max(1))
        .zip(result.chunks_exact_mut(width.max(1)));
    for (from, to) in rows {
        hull.clear();
        for (x, distance) in from.iter().enumerate().filter(|(_, distance)| distance.is_finite()) {
            let (x, base) = (x as f64, distance * distance);
            let mut start = f64::NEG_INFINITY;
            while let Some(last) = hull.last() {
                start = ((base + x * x) - (last.base + last.x * last.x)) / (2. * (x - last.x));
                if start > last.start {
                    break;
                }
                hull.pop();
                start = f64::NEG_INFINITY;
            }
            hull.push(Parabola { x, base, start });
        }
        let mut lowest = 0;
        for (x, target) in to.iter_mut().enumerate() {
            while hull.get(lowest + 1).is_some_and(|next| next.start <= x as f64) {
                lowest += 1;
            }
            if let Some(parabola) = hull.get(lowest) {
                *target = parabola.base + (x as f64 - parabola.x).powi(2);
            }
        }
    }
    result
}

/// A parabola of the lower envelope.
struct Parabola {
    /// Position of its vertex.
    x: f64,
    /// Height of its vertex.
    base: f64,
    /// Position from which it is the lowest.
    start: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The fast distance is the distance.
        #[test]
        fn distances_equal_brute_force(height in 1usize..14, width in 1usize..14, bits in proptest::collection::vec(0u8..12, 196)) {
            let set: Vec<bool> = bits[..width * height].iter().map(|b| *b == 0).collect();
            for (index, found) in squared_distances(height, width, &set).into_iter().enumerate() {
                let (x, y) = ((index % width) as f64, (index / width) as f64);
                let nearest = (0..set.len())
                    .filter(|&i| set[i])
                    .map(|i| ((i % width) as f64 - x).powi(2) + ((i / width) as f64 - y).powi(2))
                    .fold(f64::INFINITY, f64::min);
                prop_assert_eq!(found, nearest);
            }
        }
    }
}
