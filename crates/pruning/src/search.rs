use crate::error::PruneError;
use crate::params::check_sparsity;

/// The search of the largest sparsity that costs little: candidates are tried from the largest down until one keeps the
/// quality of the dense network within a tolerance.
///
/// What it takes to try a candidate, pruning, fine-tuning and measuring, is the caller's:
///
/// ```
/// use htl_pruning::{PruneError, SparsitySearch};
///
/// let search = SparsitySearch::new(&[0.5, 0.8, 0.9], 0.02)?;
/// let found = search.run(0.75, |sparsity| Ok::<_, PruneError>(0.9 - 0.2 * sparsity))?;
/// assert_eq!((found.sparsity, found.within), (0.8, true));
/// assert_eq!(found.tried.len(), 2); // 0.9 and 0.8
/// # Ok::<(), PruneError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SparsitySearch {
    /// From the largest to the smallest.
    candidates: Vec<f64>,
    tolerance: f64,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundSparsity {
    /// The largest candidate within the tolerance; the smallest candidate if none is.
    pub sparsity: f64,
    /// Whether that candidate is within the tolerance.
    pub within: bool,
    /// Every candidate tried and its quality, from the largest down to the first that fits.
    pub tried: Vec<(f64, f64)>,
}

impl SparsitySearch {
    /// A search among these sparsities, each in [0, 1), that allows a loss of quality of `tolerance`, in [0, 1].
    ///
    /// # Errors
    /// [`PruneError::Sparsity`] for a candidate outside [0, 1), [`PruneError::NoCandidate`] without candidates,
    /// [`PruneError::Tolerance`].
    pub fn new(candidates: &[f64], tolerance: f64) -> Result<Self, PruneError> {
        if candidates.is_empty() {
            return Err(PruneError::NoCandidate);
        }
        candidates.iter().try_for_each(|&sparsity| check_sparsity(sparsity))?;
        if !(0.0..=1.0).contains(&tolerance) {
            return Err(PruneError::Tolerance { found: tolerance });
        }
        let mut candidates = candidates.to_vec();
        candidates.sort_by(|a, b| b.total_cmp(a));
        Ok(Self { candidates, tolerance })
    }

    /// The candidates in the order in which they are tried: from the largest to the smallest.
    #[must_use]
    pub fn candidates(&self) -> &[f64] {
        &self.candidates
    }

    /// The loss of quality allowed.
    #[must_use]
    pub fn tolerance(&self) -> f64 {
        self.tolerance
    }

    /// Tries candidates. `dense` is the quality of the dense network, `quality` that of a network of this sparsity; both
    /// are such that higher is better.
    ///
    /// # Errors
    /// Those of `quality`; what was tried before is lost to this call.
    pub fn run<E>(&self, dense: f64, mut quality: impl FnMut(f64) -> Result<f64, E>) -> Result<FoundSparsity, E> {
        let mut found = FoundSparsity {
            sparsity: 0.0,
            within: false,
            tried: Vec::with_capacity(self.candidates.len()),
        };
        for &sparsity in &self.candidates {
            let quality = quality(sparsity)?;
            found.tried.push((sparsity, quality));
            found.sparsity = sparsity;
            found.within = quality >= dense - self.tolerance;
            if found.within {
                break;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(candidates: &[f64], qualities: &[f64]) -> FoundSparsity {
        let mut left = qualities.iter();
        let next = |_| left.next().copied().ok_or("tried too much");
        SparsitySearch::new(candidates, 0.1).unwrap().run(0.8, next).unwrap()
    }

    #[test]
    fn the_largest_that_fits_is_taken() {
        let found = search(&[0.5, 0.9, 0.7], &[0.3, 0.75]);
        assert_eq!((found.sparsity, found.within), (0.7, true));
        assert_eq!(found.tried, [(0.9, 0.3), (0.7, 0.75)]);
    }

    #[test]
    fn the_smallest_stands_in_where_none_fits() {
        let found = search(&[0.5, 0.9], &[0.3, f64::NAN]);
        assert_eq!((found.sparsity, found.within), (0.5, false));
        assert_eq!(found.tried.len(), 2);
    }

    #[test]
    fn a_failure_is_handed_on() {
        let search = SparsitySearch::new(&[0.5], 0.1).unwrap();
        assert_eq!(search.run(0.8, |_| Err("no")), Err("no"));
    }

    /// Not a number is not a tolerance: nothing compares with it.
    #[test]
    fn nonsense_is_refused_with_its_reason() {
        let message =
            |candidates: &[f64], tolerance| SparsitySearch::new(candidates, tolerance).unwrap_err().to_string();
        assert_eq!(message(&[0.5, 1.0], 0.1), "sparsity must be in [0, 1), found 1");
        for tolerance in [f64::NAN, -0.1, f64::INFINITY] {
            assert!(message(&[0.5], tolerance).contains("tolerance"), "{tolerance}");
        }
        assert!(message(&[], 0.1).contains("no candidate"));
    }
}
