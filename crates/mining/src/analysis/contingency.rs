use htl_vocabulary::Estimate;

use super::normal::z95;

/// Counts of one group against another: `hits` and `misses` in the group, `other_hits` and `other_misses` outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TwoByTwo {
    /// Selected in the group.
    pub hits: u64,
    /// Not selected in the group.
    pub misses: u64,
    /// Selected outside.
    pub other_hits: u64,
    /// Not selected outside.
    pub other_misses: u64,
}

/// A proportion with Wilson's 95 % interval, without continuity correction; `None` for n = 0.
///
/// Matches `scipy.stats.binomtest(hits, n).proportion_ci(method="wilson")`.
pub fn wilson(hits: u64, n: u64) -> Option<Estimate> {
    if n == 0 || hits > n {
        return None;
    }
    let (p, n_float, z) = (hits as f64 / n as f64, n as f64, z95());
    let denominator = 1.0 + z * z / n_float;
    let centre = (p + z * z / (2.0 * n_float)) / denominator;
    let half = z / denominator * (p * (1.0 - p) / n_float + z * z / (4.0 * n_float * n_float)).sqrt();
    let lo = if hits == 0 { 0.0 } else { (centre - half).max(0.0) };
    let hi = if hits == n { 1.0 } else { (centre + half).min(1.0) };
    Some(Estimate { value: p, lo, hi })
}

impl TwoByTwo {
    /// Whether group, outside, selected and unselected all have members; otherwise no ratio is defined.
    pub(super) fn is_proper(&self) -> bool {
        self.hits + self.misses > 0
            && self.other_hits + self.other_misses > 0
            && self.hits + self.other_hits > 0
            && self.misses + self.other_misses > 0
    }

    /// The four counts; all plus one half if any is zero (Haldane-Anscombe).
    fn corrected(&self) -> [f64; 4] {
        let counts = [self.hits, self.misses, self.other_hits, self.other_misses];
        let shift = if counts.contains(&0) { 0.5 } else { 0.0 };
        counts.map(|count| count as f64 + shift)
    }

    /// Odds ratio with Woolf's logarithmic 95 % interval; 0.5 is added to every count if any is zero
    /// (Haldane-Anscombe). `None` where a margin is zero.
    ///
    /// Matches `oddsratio` and `oddsratio_confint` of statsmodels' `Table2x2` on the corrected table (its own
    /// `shift_zeros` adds 0.5 to the zero only).
    pub fn odds_ratio(&self) -> Option<Estimate> {
        let [a, b, c, d] = self.is_proper().then(|| self.corrected())?;
        Some(log_interval(
            (a * d) / (b * c),
            (1.0 / a + 1.0 / b + 1.0 / c + 1.0 / d).sqrt(),
        ))
    }

    /// Ratio of the rate in the group to the rate outside, with Katz's logarithmic 95 % interval; corrected as
    /// [`TwoByTwo::odds_ratio`]. `None` where a margin is zero.
    ///
    /// Matches `riskratio` and `riskratio_confint` of statsmodels' `Table2x2` on the corrected table.
    pub fn rate_ratio(&self) -> Option<Estimate> {
        let [a, b, c, d] = self.is_proper().then(|| self.corrected())?;
        let variance = 1.0 / a - 1.0 / (a + b) + 1.0 / c - 1.0 / (c + d);
        Some(log_interval((a / (a + b)) / (c / (c + d)), variance.sqrt()))
    }

    /// Rate in the group less the rate outside, with Newcombe's hybrid 95 % interval (his method 10, from Wilson's
    /// intervals). `None` where the group or the outside has no member.
    ///
    /// Matches `statsmodels.stats.proportion.confint_proportions_2indep(method="newcomb")`.
    pub fn risk_difference(&self) -> Option<Estimate> {
        let a = wilson(self.hits, self.hits + self.misses)?;
        let b = wilson(self.other_hits, self.other_hits + self.other_misses)?;
        let value = a.value - b.value;
        Some(Estimate {
            value,
            lo: value - (a.value - a.lo).hypot(b.hi - b.value),
            hi: value + (a.hi - a.value).hypot(b.value - b.lo),
        })
    }

    /// Two-sided p of Fisher's exact test: the probability, margins fixed, of all tables no more probable than this
    /// one (up to a relative 1e-7, as R does). 1 where a margin is zero.
    ///
    /// Matches `scipy.stats.fisher_exact`.
    pub fn fisher(&self) -> f64 {
        let in_group = self.hits + self.misses;
        let selected = self.hits + self.other_hits;
        let total = in_group + self.other_hits + self.other_misses;
        let low = (in_group + selected).saturating_sub(total);
        let high = in_group.min(selected);
        // Probabilities relative to the mode's, by their ratios: exact to rounding, without factorials.
        let mode = ((u128::from(in_group) + 1) * (u128::from(selected) + 1) / (u128::from(total) + 2)) as u64;
        let mode = mode.clamp(low, high);
        // P(k + 1) / P(k)
        let ratio = |k: u64| {
            let (k, n) = (k as f64, in_group as f64);
            (n - k) * (selected as f64 - k) / ((k + 1.0) * (total as f64 - n - selected as f64 + k + 1.0))
        };
        let mut relative = vec![0.0; (high - low + 1) as usize];
        relative[(mode - low) as usize] = 1.0;
        for k in mode..high {
            relative[(k + 1 - low) as usize] = relative[(k - low) as usize] * ratio(k);
        }
        for k in (low..mode).rev() {
            relative[(k - low) as usize] = relative[(k + 1 - low) as usize] / ratio(k);
        }
        // Smallest first, so that tails are not lost in the sum.
        relative.sort_by(f64::total_cmp);
        let observed = self.relative_probability(mode, ratio);
        let sum: f64 = relative.iter().sum();
        let as_rare: f64 = relative.iter().take_while(|&&p| p <= observed * (1.0 + 1e-7)).sum();
        (as_rare / sum).min(1.0)
    }

    /// P(observed) / P(mode).
    fn relative_probability(&self, mode: u64, ratio: impl Fn(u64) -> f64) -> f64 {
        let hits = self.hits;
        if hits >= mode {
            (mode..hits).fold(1.0, |p, k| p * ratio(k))
        } else {
            (hits..mode).rev().fold(1.0, |p, k| p / ratio(k))
        }
    }
}

fn log_interval(value: f64, standard_error: f64) -> Estimate {
    let half = z95() * standard_error;
    Estimate {
        value,
        lo: (value.ln() - half).exp(),
        hi: (value.ln() + half).exp(),
    }
}
