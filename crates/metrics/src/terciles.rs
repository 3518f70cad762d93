/// A third of many values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tercile {
    /// The lowest third.
    Low,
    /// The middle third.
    Middle,
    /// The highest third.
    High,
}

impl Tercile {
    /// The name that this third has among `[low, middle, high]`.
    pub fn of(self, [low, middle, high]: [&str; 3]) -> &str {
        match self {
            Self::Low => low,
            Self::Middle => middle,
            Self::High => high,
        }
    }
}

/// The third that each value is in; `None` for a missing value or NaN. Equal values are always in the same third: a third holds the
/// values up to and including the empirical tercile, that is the k-th smallest with k = ceil(n / 3) and ceil(2 n / 3).
pub fn terciles(values: &[Option<f64>]) -> Vec<Option<Tercile>> {
    let known = |value: &Option<f64>| value.filter(|value| !value.is_nan());
    let mut sorted: Vec<f64> = values.iter().filter_map(known).collect();
    sorted.sort_by(f64::total_cmp);
    let cut = |part: usize| sorted.get((sorted.len() * part).div_ceil(3).saturating_sub(1)).copied();
    let (first, second) = (cut(1), cut(2));
    let third = |value: f64| {
        if first.is_some_and(|cut| value <= cut) {
            Tercile::Low
        } else if second.is_some_and(|cut| value <= cut) {
            Tercile::Middle
        } else {
            Tercile::High
        }
    };
    values.iter().map(|value| known(value).map(third)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn thirds_of_nine() {
        let values: Vec<Option<f64>> = (0..9).map(|v| Some(f64::from(v))).collect();
        let names: Vec<&str> = terciles(&values)
            .into_iter()
            .map(|third| third.unwrap().of(["s", "m", "l"]))
            .collect();
        assert_eq!(names, ["s", "s", "s", "m", "m", "m", "l", "l", "l"]);
        assert_eq!(terciles(&[None, Some(f64::NAN)]), [None, None]);
    }

    proptest! {
        /// Equal values are in one third, and larger values never in a lower one.
        #[test]
        fn ties_stay_together(values in proptest::collection::vec(0u8..6, 1..40)) {
            let values: Vec<Option<f64>> = values.into_iter().map(|v| Some(f64::from(v))).collect();
            let thirds = terciles(&values);
            for (a, x) in values.iter().zip(&thirds) {
                for (b, y) in values.iter().zip(&thirds) {
                    prop_assert!(a > b || x <= y);
                }
            }
        }
    }
}
