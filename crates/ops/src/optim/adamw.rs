//! Adam with decoupled weight decay.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};

use super::clip::{check_max_norm, clip_gradients};
use super::{Update, Values, check_fraction, check_not_negative, sorted, update_in_place};
use crate::OpsError;
use crate::cpu::vectorised;
use crate::gpu::{self, Engine, Entry};
use crate::portable;
use crate::real::Real;

/// Which parameters the weight decay shrinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// All of them, as `torch.optim.AdamW` does.
    #[default]
    All,
    /// Those with two or more dimensions: weights, but neither biases nor normalisation.
    Weights,
}

/// Settings of [`AdamW`]; the defaults are PyTorch's.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWParams {
    /// Decay of the mean gradient, in [0, 1).
    pub beta1: f64,
    /// Decay of the mean squared gradient, in [0, 1).
    pub beta2: f64,
    /// Added to the root of the mean square.
    pub eps: f64,
    /// Share of a parameter lost per step and unit of learning rate.
    pub weight_decay: f64,
    /// Which parameters decay.
    pub decay: Decay,
}

impl Default for AdamWParams {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.01,
            decay: Decay::All,
        }
    }
}

impl AdamWParams {
    fn decay_of(&self, var: &Var) -> f64 {
        let decays = self.decay == Decay::All || var.rank() >= 2;
        if decays { self.weight_decay } else { 0.0 }
    }
}

struct Slot {
    name: String,
    var: Var,
    mean: Values,
    square: Values,
    step: u32,
    /// Factor of the learning rate.
    rate: f64,
}

/// AdamW (Loshchilov & Hutter 2019).
///
/// A parameter without a gradient in a step is left alone, and its own step count with it.
///
/// Matches `torch.optim.AdamW`.
pub struct AdamW {
    slots: Vec<Slot>,
    params: AdamWParams,
}

struct AdamWUpdate {
    lr: f64,
    params: AdamWParams,
    decay: f64,
    step: u32,
}

vectorised! {
    fn adamw<T: Real>(p: &mut [T], g: &[T], m: &mut [T], v: &mut [T], c: [T; 6]) {
        let [keep, b1, b2, size, correction, eps] = c;
        let (one_b1, one_b2) = (T::one() - b1, T::one() - b2);
        for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
            *m += (g - *m) * one_b1;
            *v = *v * b2 + g * g * one_b2;
            *p = *p * keep - size * *m / (v.sqrt() * correction + eps);
        }
    }
}

impl AdamWUpdate {
    fn constants(&self) -> [f64; 6] {
        let AdamWParams { beta1, beta2, eps, .. } = self.params;
        let steps = f64::from(self.step);
        let size = self.lr / (1.0 - beta1.powf(steps));
        let correction = 1.0 / (1.0 - beta2.powf(steps)).sqrt();
        [1.0 - self.lr * self.decay, beta1, beta2, size, correction, eps]
    }
}

impl Update for AdamWUpdate {
    fn run<T: Real>(&self, p: &mut [T], g: &[T], [m, v]: [&mut [T]; 2]) {
        adamw(p, g, m, v, self.constants().map(T::from_f64));
    }

    fn compose(&self, p: &Var, g: &Tensor, [m, v]: [&mut Values; 2]) -> candle_core::Result<()> {
        let (m, v) = (m.device()?, v.device()?);
        [*m, *v] = portable::optim::adamw(p, g, [m, v], self.constants())?;
        Ok(())
    }
}

impl AdamW {
    /// An optimiser for these variables; their order does not matter, their names key the state.
    ///
    /// # Errors
    /// [`OpsError::Parameter`] for a setting out of range, [`OpsError::State`] for two variables of one name.
    pub fn new(vars: Vec<(String, Var)>, params: AdamWParams) -> Result<Self, OpsError> {
        const OP: &str = "AdamW";
        check_fraction(OP, "beta1", params.beta1)?;
        check_fraction(OP, "beta2", params.beta2)?;
        check_not_negative(OP, "eps", params.eps)?;
        check_not_negative(OP, "weight_decay", params.weight_decay)?;
        let slots = sorted(vars)?.into_iter().map(|(name, var)| {
            let (mean, square) = (Values::zeros(OP, &var)?, Values::zeros(OP, &var)?);
            Ok(Slot {
                name,
                var,
                mean,
                square,
                step: 0,
                rate: 1.0,
            })
        });
        Ok(Self {
            slots: slots.collect::<Result<_, OpsError>>()?,
            params,
        })
    }

    /// Gives variables learning rates of their own: `factor` of the name times that of a step. At 0 a variable stays as it is,
    /// while its moments go on. Not part of the [state](Self::state).
    ///
    /// # Errors
    /// [`OpsError::Parameter`] for a factor that is negative or not finite.
    pub fn set_rate_factors(&mut self, factor: impl Fn(&str) -> f64) -> Result<(), OpsError> {
        for slot in &mut self.slots {
            let rate = factor(&slot.name);
            check_not_negative("AdamW", "rate factor", rate)?;
            slot.rate = rate;
        }
        Ok(())
    }

    /// One step at learning rate `lr`.
    ///
    /// # Errors
    /// [`OpsError`] if a gradient does not fit its variable or `lr` is negative or not finite.
    pub fn step(&mut self, gradients: &GradStore, lr: f64) -> Result<(), OpsError> {
        check_not_negative("AdamW", "lr", lr)?;
        if let Some(engine) = self.engine()? {
            return self.step_on(&*engine, gradients, lr, None);
        }
        for slot in &mut self.slots {
            let Some(gradient) = gradients.get(&slot.var) else {
                continue;
            };
            slot.step += 1;
            let decay = self.params.decay_of(&slot.var);
            let update = AdamWUpdate {
                lr: lr * slot.rate,
                params: self.params.clone(),
                decay,
                step: slot.step,
            };
            update_in_place(&slot.var, gradient, update, &mut slot.mean, &mut slot.square)?;
        }
        Ok(())
    }

    /// [`clip_gradients`] to `max_norm`, and a [`step`](AdamW::step). On a CUDA device the host waits for neither.
    ///
    /// # Errors
    /// As both.
    pub fn step_clipped(&mut self, gradients: &mut GradStore, lr: f64, max_norm: f64) -> Result<(), OpsError> {
        if let Some(engine) = self.engine()? {
            check_max_norm(max_norm)?;
            check_not_negative("AdamW", "lr", lr)?;
            return self.step_on(&*engine, gradients, lr, Some(max_norm));
        }
        let vars: Vec<_> = self
            .slots
            .iter()
            .map(|slot| (slot.name.clone(), slot.var.clone()))
            .collect();
        clip_gradients(gradients, &vars, max_norm)?;
        self.step(gradients, lr)
    }

    fn engine(&self) -> candle_core::Result<Option<Arc<dyn Engine>>> {
        gpu::engine_of_all(self.slots.iter().map(|slot| slot.var.as_tensor()))
    }

    /// A step in a few launches, by a device's kernels.
    fn step_on(
        &mut self,
        engine: &dyn Engine,
        gradients: &GradStore,
        lr: f64,
        max_norm: Option<f64>,
    ) -> Result<(), OpsError> {
        let mut moved = Vec::new();
        for slot in &mut self.slots {
            let Some(gradient) = gradients.get(&slot.var) else {
                continue;
            };
            super::check_gradient(&slot.var, gradient)?;
            slot.step += 1;
            let update = AdamWUpdate {
                lr: lr * slot.rate,
                params: self.params.clone(),
                decay: self.params.decay_of(&slot.var),
                step: slot.step,
            };
            let state = [slot.mean.device()?.clone(), slot.square.device()?.clone()];
            moved.push((slot.var.clone(), gradient.contiguous()?, state, update.constants()));
        }
        let entries: Vec<_> = moved
            .iter()
            .map(|(var, gradient, state, [keep, _, _, size, correction, _])| Entry {
                state: state.each_ref(),
                keep: *keep as f32,
                size: *size as f32,
                correction: *correction as f32,
                ..Entry::plain(var, gradient, None)
            })
            .collect();
        let Some(first) = entries.first() else {
            return Ok(());
        };
        let factor = match max_norm {
            Some(most) => gpu::clip(engine, &entries, most as f32)?.narrow(0, 1, 1)?,
            None => Tensor::ones(1, candle_core::DType::F32, first.parameter.device())?,
        };
        let AdamWParams { beta1, beta2, eps, .. } = self.params;
        let moments = gpu::Moments {
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            eps: eps as f32,
        };
        Ok(gpu::adamw(engine, &entries, moments, &factor)?)
    }

    /// The state, to be saved beside a checkpoint: `<name>.mean`, `<name>.square` and `<name>.step` of each variable.
    ///
    /// # Errors
    /// Those of making tensors.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, OpsError> {
        let mut state = BTreeMap::new();
        for slot in &self.slots {
            state.insert(format!("{}.mean", slot.name), slot.mean.tensor(&slot.var)?);
            state.insert(format!("{}.square", slot.name), slot.square.tensor(&slot.var)?);
            state.insert(format!("{}.step", slot.name), Tensor::new(slot.step, &Device::Cpu)?);
        }
        Ok(state)
    }

    /// Takes a saved state; further steps give the same bits as without the interruption.
    ///
    /// # Errors
    /// [`OpsError::State`] naming the entry that is missing or has another shape.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<(), OpsError> {
        for slot in &mut self.slots {
            slot.mean
                .load(&slot.name, &slot.var, &format!("{}.mean", slot.name), state)?;
            slot.square
                .load(&slot.name, &slot.var, &format!("{}.square", slot.name), state)?;
            slot.step = super::load_step(&slot.name, state)?;
        }
        Ok(())
    }
}
