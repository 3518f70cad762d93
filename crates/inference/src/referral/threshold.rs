use htl_metrics::MetricError;

use crate::InferenceError;

/// The value above which about this share of the images lies: that of the most uncertain image that is kept when
/// round(share · n) are referred. Fewer lie above it where images tie; one at least is kept.
///
/// # Errors
/// [`InferenceError::Metric`] without a value, for one that is not finite, and for a share outside (0, 1).
pub fn threshold(values: &[f64], share: f64) -> Result<f64, InferenceError> {
    if !(share > 0.0 && share < 1.0) {
        return Err(MetricError::Range {
            what: "share of the images to refer",
            found: share,
            expected: "a number above 0 and under 1",
        }
        .into());
    }
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(MetricError::NotFinite {
            what: "the signal".into(),
            index,
            found: values.get(index).copied().unwrap_or(f64::NAN),
        }
        .into());
    }
    let mut falling = values.to_vec();
    falling.sort_by(|a, b| b.total_cmp(a));
    let count = (share * values.len() as f64).round() as usize;
    let kept = falling.get(count).or(falling.last()).copied();
    Ok(kept.ok_or(MetricError::Empty {
        what: "the list of images to choose a threshold on",
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn above(values: &[f64], share: f64) -> usize {
        let threshold = threshold(values, share).unwrap();
        values.iter().filter(|value| **value > threshold).count()
    }

    #[test]
    fn so_many_lie_above() {
        let values: Vec<f64> = (0..10).map(|i| f64::from(i * 7 % 10)).collect();
        for (share, expected) in [(0.2, 2), (0.25, 3), (0.01, 0), (0.5, 5), (0.99, 9)] {
            assert_eq!(above(&values, share), expected, "{share}");
        }
        assert_eq!(above(&[0.5], 0.9), 0);
    }

    /// A signal that tells nobody from anybody refers nobody.
    #[test]
    fn ties_stay_together() {
        assert_eq!(above(&[1.0; 10], 0.2), 0);
        assert_eq!(above(&[3.0, 2.0, 2.0, 2.0, 1.0], 0.4), 1);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for share in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(
                threshold(&[1.0, 2.0], share)
                    .unwrap_err()
                    .to_string()
                    .contains("above 0 and under 1")
            );
        }
        assert!(threshold(&[], 0.2).unwrap_err().to_string().contains("empty"));
        assert!(
            threshold(&[1.0, f64::NAN], 0.2)
                .unwrap_err()
                .to_string()
                .contains("number 1")
        );
    }
}
