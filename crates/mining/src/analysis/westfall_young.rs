/// p of one test by permutation, alone and among all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PermutationP {
    /// Share of the permutations (the observed order among them) in which the evidence is at least as large.
    pub p: f64,
    /// Adjusted for all tests together: the step-down method of Westfall and Young.
    pub adjusted: f64,
}

/// Westfall and Young's step-down adjustment over a family of tests.
///
/// The first row holds the evidence observed, every other row that of one permutation; larger speaks more against the null
/// hypothesis. The chance of any false finding is kept under any dependence, and dependence is used: two tests that always
/// fall together count as one. All permutations of a small sample give the exact test; a random sample of them a valid one,
/// since the observed order is one of them.
///
/// Evidence of different tests should be comparable: with -ln p of each test this is their min-p, with statistics of one
/// kind max-T. Westfall and Young, "Resampling-based multiple testing" (1993). Matches `multtest::mt.maxT` of Bioconductor
/// with complete enumeration, and `mt.minP` where the evidence is -ln of the permutation p.
///
/// # Shapes
/// - `evidence`: `[permutations + 1][tests]`; NaN counts as none
pub fn westfall_young(evidence: &[Vec<f64>]) -> Vec<PermutationP> {
    let Some(first) = evidence.first() else {
        return Vec::new();
    };
    let (rows, tests) = (evidence.len(), first.len());
    // Quantised, so that values that are equal but for rounding are equal.
    let value = |row: &[f64], test: usize| {
        let value = row.get(test).copied().filter(|value| !value.is_nan());
        value.map_or(f64::NEG_INFINITY, |value| (value * 1e9).round())
    };
    let observed: Vec<f64> = (0..tests).map(|test| value(first, test)).collect();
    let mut order: Vec<usize> = (0..tests).collect();
    order.sort_by(|&a, &b| observed[b].total_cmp(&observed[a]));
    let (mut alone, mut together) = (vec![0_usize; tests], vec![0_usize; tests]);
    for row in evidence {
        let mut largest = f64::NEG_INFINITY;
        for &test in order.iter().rev() {
            let own = value(row, test);
            largest = largest.max(own);
            alone[test] += usize::from(own >= observed[test]);
            together[test] += usize::from(largest >= observed[test]);
        }
    }
    let mut largest = 0_usize;
    for &test in &order {
        largest = largest.max(together[test]);
        together[test] = largest;
    }
    let share = |count: usize| count as f64 / rows as f64;
    (0..tests)
        .map(|test| PermutationP {
            p: share(alone[test]),
            adjusted: share(together[test]),
        })
        .collect()
}
