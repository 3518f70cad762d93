/// p of one test by permutation, alone and among all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PermutationP {
    /// Share of the permutations (the observed order among them) in which the statistic is at least as large.
    pub p: f64,
    /// Adjusted for all tests together: Westfall and Young's step-down min-p.
    pub adjusted: f64,
}

/// Westfall and Young's step-down min-p over a family of tests.
///
/// The first row holds the statistics observed, every other row those of one permutation; larger speaks more against the
/// null hypothesis. Tests may have different statistics: only the ranks within a test count. The chance of any false finding
/// is kept under any dependence, and dependence is used: two tests that always fall together count as one. All
/// permutations of a small sample give the exact test; a random sample of them a valid one, since the observed order is one
/// of them.
///
/// Westfall and Young, "Resampling-based multiple testing" (1993), by the algorithm of Ge, Dudoit and Speed (2003). Matches
/// `multtest::mt.minP` of Bioconductor with complete enumeration.
///
/// # Shapes
/// - `statistics`: `[permutations + 1][tests]`; NaN counts as no evidence
pub fn westfall_young(statistics: &[Vec<f64>]) -> Vec<PermutationP> {
    let Some(observed) = statistics.first() else {
        return Vec::new();
    };
    let (rows, tests) = (statistics.len(), observed.len());
    // Quantised, so that statistics that are equal but for rounding are equal.
    let value = |row: &Vec<f64>, test: usize| {
        let value = row.get(test).copied().filter(|value| !value.is_nan());
        value.map_or(f64::NEG_INFINITY, |value| (value * 1e9).round())
    };
    // counts[row][test]: in how many rows the statistic is at least as large.
    let mut counts = vec![vec![0_usize; tests]; rows];
    for test in 0..tests {
        let mut sorted: Vec<f64> = statistics.iter().map(|row| value(row, test)).collect();
        sorted.sort_by(f64::total_cmp);
        for (row, counted) in statistics.iter().zip(&mut counts) {
            let own = value(row, test);
            counted[test] = rows - sorted.partition_point(|other| *other < own);
        }
    }
    let mut order: Vec<usize> = (0..tests).collect();
    order.sort_by_key(|&test| counts[0][test]);
    let mut as_small = vec![0_usize; tests];
    for row in &counts {
        let mut least = usize::MAX;
        for &test in order.iter().rev() {
            least = least.min(row[test]);
            as_small[test] += usize::from(least <= counts[0][test]);
        }
    }
    let mut largest = 0_usize;
    for &test in &order {
        largest = largest.max(as_small[test]);
        as_small[test] = largest;
    }
    let share = |count: usize| count as f64 / rows as f64;
    (0..tests)
        .map(|test| PermutationP {
            p: share(counts[0][test]),
            adjusted: share(as_small[test]),
        })
        .collect()
}
