//! Exponential moving average of parameters.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};

use super::{Update, Values, check_fraction, check_gradient, update_in_place};
use crate::OpsError;
use crate::cpu::vectorised;
use crate::gpu::{self, Entry};
use crate::portable;
use crate::real::Real;

/// A slowly following copy of variables: `average += (1 - decay) * (value - average)`.
///
/// Give it whatever should follow: trainable parameters, and running statistics too where they should be averaged.
pub struct Ema {
    averages: BTreeMap<String, Var>,
    decay: f64,
}

struct EmaUpdate(f64);

vectorised! {
    fn follow<T: Real>(average: &mut [T], value: &[T], rate: T) {
        for (a, &v) in average.iter_mut().zip(value) {
            *a += (v - *a) * rate;
        }
    }
}

impl Update for EmaUpdate {
    fn run<T: Real>(&self, average: &mut [T], value: &[T], _: [&mut [T]; 2]) {
        follow(average, value, T::from_f64(self.0));
    }

    fn compose(&self, average: &Var, value: &Tensor, _: [&mut Values; 2]) -> candle_core::Result<()> {
        portable::optim::follow(average, value, self.0)
    }
}

impl Ema {
    /// Starts at the variables' present values.
    ///
    /// # Errors
    /// [`OpsError::Parameter`] if `decay` is not in [0, 1).
    pub fn new(vars: &[(String, Var)], decay: f64) -> Result<Self, OpsError> {
        check_fraction("Ema", "decay", decay)?;
        let copies = vars
            .iter()
            .map(|(name, var)| Ok((name.clone(), Var::from_tensor(&var.as_tensor().copy()?)?)));
        Ok(Self {
            averages: copies.collect::<Result<_, OpsError>>()?,
            decay,
        })
    }

    /// Follows the variables by one step.
    ///
    /// # Errors
    /// [`OpsError::State`] for a variable that was not there at the start; [`OpsError::Shape`] if one changed its shape.
    pub fn update(&mut self, vars: &[(String, Var)]) -> Result<(), OpsError> {
        self.update_with(vars, self.decay)
    }

    /// As [`Ema::update`] with another decay for this step, for instance to warm up.
    ///
    /// # Errors
    /// As [`Ema::update`].
    pub fn update_with(&mut self, vars: &[(String, Var)], decay: f64) -> Result<(), OpsError> {
        let mut pairs = Vec::with_capacity(vars.len());
        for (name, var) in vars {
            let average = self.average(name)?;
            check_gradient(average, var)?;
            pairs.push((average, var));
        }
        let all = pairs
            .iter()
            .flat_map(|(average, var)| [average.as_tensor(), var.as_tensor()]);
        if let Some(engine) = gpu::engine_of_all(all)? {
            let entries: Vec<_> = pairs.iter().map(|(a, v)| Entry::plain(a, v, None)).collect();
            return Ok(gpu::follow(&*engine, &entries, (1.0 - decay) as f32)?);
        }
        for (average, var) in pairs {
            let (mut a, mut b) = (Values::none(var), Values::none(var));
            update_in_place(average, var, EmaUpdate(1.0 - decay), &mut a, &mut b)?;
        }
        Ok(())
    }

    fn average(&self, name: &str) -> Result<&Var, OpsError> {
        let problem = || OpsError::State {
            name: name.to_owned(),
            problem: "no average is kept".into(),
        };
        self.averages.get(name).ok_or_else(problem)
    }

    /// The averages by name.
    pub fn values(&self) -> BTreeMap<String, Tensor> {
        self.averages
            .iter()
            .map(|(name, var)| (name.clone(), var.as_detached_tensor()))
            .collect()
    }

    /// The averages by name, as variables sharing memory with this object.
    pub fn vars(&self) -> &BTreeMap<String, Var> {
        &self.averages
    }

    /// Writes the averages into variables of the same names (a teacher network's, say).
    ///
    /// # Errors
    /// [`OpsError::State`] for a variable without an average.
    pub fn copy_to(&self, vars: &[(String, Var)]) -> Result<(), OpsError> {
        let pairs: Vec<_> = vars
            .iter()
            .map(|(name, var)| Ok((self.average(name)?, var)))
            .collect::<Result<_, OpsError>>()?;
        let fits = pairs.iter().all(|(average, var)| average.dims() == var.dims());
        let all = pairs
            .iter()
            .flat_map(|(average, var)| [average.as_tensor(), var.as_tensor()]);
        if let (true, Some(engine)) = (fits, gpu::engine_of_all(all)?) {
            let entries: Vec<_> = pairs.iter().map(|(a, v)| Entry::plain(v, a, None)).collect();
            return Ok(gpu::follow(&*engine, &entries, 1.0)?);
        }
        for (average, var) in pairs {
            var.set(average)?;
        }
        Ok(())
    }

    /// The state, to be saved beside a checkpoint: a copy of the averages.
    ///
    /// # Errors
    /// Those of making tensors.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, OpsError> {
        let copies = self
            .averages
            .iter()
            // Not `copy`, which shares the memory on Metal.
            .map(|(name, var)| Ok((name.clone(), var.as_detached_tensor().force_contiguous()?)));
        copies.collect()
    }

    /// Takes a saved state.
    ///
    /// # Errors
    /// [`OpsError::State`] naming the entry that is missing or has another shape.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<(), OpsError> {
        for (name, var) in &self.averages {
            let problem = |problem: String| OpsError::State {
                name: name.clone(),
                problem,
            };
            let tensor = state
                .get(name)
                .ok_or_else(|| problem("the average is missing".into()))?;
            if tensor.dims() != var.dims() {
                let (found, expected) = (tensor.dims(), var.dims());
                return Err(problem(format!(
                    "the average has shape {found:?} instead of {expected:?}"
                )));
            }
            var.set(&tensor.to_dtype(var.dtype())?.to_device(var.device())?)?;
        }
        Ok(())
    }
}
