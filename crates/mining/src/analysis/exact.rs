use htl_vocabulary::Estimate;

use super::contingency::TwoByTwo;
use super::normal::bisect;

/// The largest logarithm of an odds ratio that is looked for.
const LARGEST: f64 = 40.0;

/// The number of hits in the group given all margins: Fisher's noncentral hypergeometric distribution, whose one parameter
/// is the odds ratio. No approximation, so it holds for small counts.
struct Conditional {
    /// Fewest hits that the margins allow.
    low: u64,
    /// Logarithms of the weights at odds ratio 1, from `low` upwards.
    log_weights: Vec<f64>,
    /// The hits observed, from `low`.
    observed: usize,
}

/// Shares of the probability at one odds ratio.
struct Shares {
    below: f64,
    at: f64,
    above: f64,
    mean: f64,
}

impl Conditional {
    fn of(table: &TwoByTwo) -> Self {
        let in_group = table.hits + table.misses;
        let selected = table.hits + table.other_hits;
        let total = in_group + table.other_hits + table.other_misses;
        let low = (in_group + selected).saturating_sub(total);
        let high = in_group.min(selected);
        let mut log_weights = vec![0.0];
        for k in low..high {
            let (k, n, m) = (k as f64, in_group as f64, selected as f64);
            let ratio = (n - k) * (m - k) / ((k + 1.0) * (total as f64 - n - m + k + 1.0));
            log_weights.push(log_weights.last().copied().unwrap_or(0.0) + ratio.ln());
        }
        Self {
            low,
            log_weights,
            observed: (table.hits - low) as usize,
        }
    }

    fn is_least(&self) -> bool {
        self.observed == 0
    }

    fn is_most(&self) -> bool {
        self.observed + 1 == self.log_weights.len()
    }

    fn shares(&self, log_odds: f64) -> Shares {
        let tilted = |(k, weight): (usize, &f64)| weight + k as f64 * log_odds;
        let logs: Vec<f64> = self.log_weights.iter().enumerate().map(tilted).collect();
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = logs.iter().map(|log| (log - largest).exp()).collect();
        let total: f64 = weights.iter().sum();
        let sum = |weights: &[f64]| weights.iter().sum::<f64>() / total;
        let mean = weights.iter().enumerate().map(|(k, w)| k as f64 * w).sum::<f64>() / total;
        Shares {
            below: sum(&weights[..self.observed]),
            at: weights[self.observed] / total,
            above: sum(&weights[self.observed + 1..]),
            mean: self.low as f64 + mean,
        }
    }

    fn solve(&self, function: impl Fn(Shares) -> f64) -> f64 {
        bisect(-LARGEST, LARGEST, |log_odds| function(self.shares(log_odds))).exp()
    }

    /// Ends of the 95 % interval, where a tail that counts the observed table `share` times holds 2.5 %.
    fn interval(&self, share: f64) -> [f64; 2] {
        let lo = if self.is_least() {
            0.0
        } else {
            self.solve(|s| s.above + share * s.at - 0.025)
        };
        let hi = if self.is_most() {
            f64::INFINITY
        } else {
            self.solve(|s| s.below + share * s.at - 0.025)
        };
        [lo, hi]
    }
}

impl TwoByTwo {
    /// Conditional maximum-likelihood odds ratio with the exact conditional 95 % interval; 0 or infinite where the table is
    /// at the end of what its margins allow. `None` where a margin is zero.
    ///
    /// Matches `scipy.stats.contingency.odds_ratio(kind="conditional")`.
    pub fn odds_ratio_exact(&self) -> Option<Estimate> {
        let conditional = self.is_proper().then(|| Conditional::of(self))?;
        let value = if conditional.is_least() {
            0.0
        } else if conditional.is_most() {
            f64::INFINITY
        } else {
            let hits = self.hits as f64;
            conditional.solve(|shares| shares.mean - hits)
        };
        let [lo, hi] = conditional.interval(1.0);
        Some(Estimate { value, lo, hi })
    }

    /// The mid-p 95 % interval of the odds ratio: the observed table counts half in either tail, so that it is neither as
    /// wide as the exact interval nor as optimistic as Woolf's. `None` where a margin is zero.
    pub fn odds_ratio_mid(&self) -> Option<[f64; 2]> {
        self.is_proper().then(|| Conditional::of(self).interval(0.5))
    }

    /// Two-sided mid-p: twice the smaller tail in which the observed table counts half. It belongs to
    /// [`odds_ratio_mid`](Self::odds_ratio_mid): under .05 where that interval leaves 1 out. 1 where a margin is zero.
    pub fn mid_p(&self) -> f64 {
        if !self.is_proper() {
            return 1.0;
        }
        let shares = Conditional::of(self).shares(0.0);
        (2.0 * (shares.below.min(shares.above) + 0.5 * shares.at)).min(1.0)
    }
}
