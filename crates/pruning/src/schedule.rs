use serde::{Deserialize, Serialize};

use crate::error::PruneError;
use crate::params::check_sparsity;

/// How much is pruned when: sparsity as a function of the optimiser step. Loops and rewinding are the trainer's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Schedule {
    /// Everything at once.
    OneShot {
        /// The step from which on the network is sparse.
        at: u64,
        /// Sparsity from then on, in [0, 1).
        sparsity: f64,
    },
    /// Gradually, fast at first: `s_f + (s_i - s_f) (1 - (t - begin) / (end - begin))³` at every `every`-th step
    /// (Zhu & Gupta 2017, "To prune, or not to prune", equation 1).
    Cubic {
        /// The first step at which anything is pruned.
        begin: u64,
        /// The step at which `sparsity` is reached.
        end: u64,
        /// Steps from one pruning to the next; at least 1.
        every: u64,
        /// Sparsity at `begin`, in [0, 1).
        initial: f64,
        /// Sparsity from `end` on, in [0, 1).
        sparsity: f64,
    },
    /// In rounds that each remove the same fraction of what is left: `1 - (1 - s)^(k / rounds)` after round `k`
    /// (Frankle & Carbin 2019; Renda et al. 2020).
    Geometric {
        /// How many rounds; at least 1.
        rounds: u64,
        /// Steps from one round to the next; at least 1. The first round is at this step.
        every: u64,
        /// Sparsity after the last round, in [0, 1).
        sparsity: f64,
    },
}

impl Schedule {
    /// Checks the numbers once.
    ///
    /// # Errors
    /// [`PruneError::Sparsity`] and [`PruneError::Schedule`], one for each number that makes no sense.
    pub fn check(self) -> Result<ValidSchedule, PruneError> {
        let problem = |problem: String| Err(PruneError::Schedule { problem });
        match self {
            Self::OneShot { sparsity, .. } => check_sparsity(sparsity)?,
            Self::Cubic {
                begin,
                end,
                every,
                initial,
                sparsity,
            } => {
                check_sparsity(initial)?;
                check_sparsity(sparsity)?;
                if end <= begin {
                    return problem(format!("`end` ({end}) must come after `begin` ({begin})"));
                }
                if every == 0 {
                    return problem("`every` must be at least 1 step, found 0".into());
                }
                if initial > sparsity {
                    return problem(format!("`initial` ({initial}) must not exceed `sparsity` ({sparsity})"));
                }
            }
            Self::Geometric {
                rounds,
                every,
                sparsity,
            } => {
                check_sparsity(sparsity)?;
                if rounds == 0 {
                    return problem("`rounds` must be at least 1, found 0".into());
                }
                if every == 0 {
                    return problem("`every` must be at least 1 step, found 0".into());
                }
            }
        }
        Ok(ValidSchedule(self))
    }
}

/// A schedule whose numbers made sense; made by [`Schedule::check`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValidSchedule(Schedule);

impl ValidSchedule {
    /// The schedule as given.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.0
    }

    /// The sparsity that the network should have at a step; never falls as steps grow.
    #[must_use]
    pub fn sparsity(&self, step: u64) -> f64 {
        match self.0 {
            Schedule::OneShot { at, sparsity } => {
                if step < at {
                    0.0
                } else {
                    sparsity
                }
            }
            Schedule::Cubic { begin, .. } if step < begin => 0.0,
            Schedule::Cubic { end, sparsity, .. } if step >= end => sparsity,
            Schedule::Cubic {
                begin,
                end,
                every,
                initial,
                sparsity,
            } => {
                let pruned_at = begin + (step - begin) / every * every;
                let left = 1.0 - (pruned_at - begin) as f64 / (end - begin) as f64;
                sparsity + (initial - sparsity) * left.powi(3)
            }
            Schedule::Geometric {
                rounds,
                every,
                sparsity,
            } => {
                let round = (step / every).min(rounds);
                if round == rounds {
                    sparsity
                } else {
                    1.0 - (1.0 - sparsity).powf(round as f64 / rounds as f64)
                }
            }
        }
    }

    /// Whether the sparsity rises at this step: the time to make new masks.
    #[must_use]
    pub fn rises_at(&self, step: u64) -> bool {
        let before = if step == 0 { 0.0 } else { self.sparsity(step - 1) };
        self.sparsity(step) > before
    }

    /// The first step from which on the sparsity no longer rises.
    #[must_use]
    pub fn last_step(&self) -> u64 {
        match self.0 {
            Schedule::OneShot { at, .. } => at,
            Schedule::Cubic { end, .. } => end,
            Schedule::Geometric { rounds, every, .. } => rounds.saturating_mul(every),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cubic_follows_the_paper() {
        let schedule = Schedule::Cubic {
            begin: 10,
            end: 110,
            every: 10,
            initial: 0.0,
            sparsity: 0.8,
        }
        .check()
        .unwrap();
        assert_eq!(schedule.sparsity(9), 0.0);
        assert_eq!(schedule.sparsity(10), 0.0);
        // 0.8 - 0.8 * (1 - 1/2)^3
        assert!((schedule.sparsity(60) - 0.7).abs() < 1e-12);
        assert_eq!(schedule.sparsity(69), schedule.sparsity(60));
        assert_eq!(schedule.sparsity(110), 0.8);
        assert_eq!(schedule.sparsity(u64::MAX), 0.8);
        assert_eq!((0..200).filter(|step| schedule.rises_at(*step)).count(), 10);
        assert!(!schedule.rises_at(111));
    }

    #[test]
    fn geometric_rounds_remove_equal_fractions_of_what_is_left() {
        let schedule = Schedule::Geometric {
            rounds: 5,
            every: 100,
            sparsity: 0.9,
        }
        .check()
        .unwrap();
        let fractions: Vec<f64> = (1..=5)
            .map(|round| (1.0 - schedule.sparsity(round * 100)) / (1.0 - schedule.sparsity(round * 100 - 1)))
            .collect();
        for fraction in &fractions {
            assert!((fraction - 0.1f64.powf(0.2)).abs() < 1e-12, "{fractions:?}");
        }
        assert_eq!(schedule.sparsity(schedule.last_step()), 0.9);
    }

    #[test]
    fn one_shot_may_be_at_the_first_step() {
        let schedule = Schedule::OneShot { at: 0, sparsity: 0.5 }.check().unwrap();
        assert!(schedule.rises_at(0));
        assert!(!schedule.rises_at(1));
        assert_eq!(schedule.sparsity(0), 0.5);
    }

    #[test]
    fn nonsense_is_refused_with_its_reason() {
        let message = |schedule: Schedule| schedule.check().unwrap_err().to_string();
        let cubic = |begin, end, every, initial, sparsity| Schedule::Cubic {
            begin,
            end,
            every,
            initial,
            sparsity,
        };
        assert_eq!(
            message(Schedule::OneShot { at: 0, sparsity: 1.0 }),
            "sparsity must be in [0, 1), found 1"
        );
        assert!(
            message(Schedule::OneShot {
                at: 0,
                sparsity: f64::NAN
            })
            .contains("NaN")
        );
        assert!(message(cubic(5, 5, 1, 0.0, 0.5)).contains("`end` (5) must come after `begin` (5)"));
        assert!(message(cubic(0, 5, 0, 0.0, 0.5)).contains("`every`"));
        assert!(message(cubic(0, 5, 1, 0.6, 0.5)).contains("`initial` (0.6)"));
        assert!(
            message(Schedule::Geometric {
                rounds: 0,
                every: 1,
                sparsity: 0.5
            })
            .contains("`rounds`")
        );
        assert!(
            message(Schedule::Geometric {
                rounds: 1,
                every: 0,
                sparsity: 0.5
            })
            .contains("`every`")
        );
    }
}
