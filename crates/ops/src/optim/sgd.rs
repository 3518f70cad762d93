//! Stochastic gradient descent with momentum.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};

use super::{Update, Values, check_fraction, check_gradient, check_not_negative, sorted, update_in_place};
use crate::OpsError;
use crate::gpu::{self, Engine, Entry};
use crate::portable;
use crate::real::Real;

/// Settings of [`Sgd`].
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SgdParams {
    /// Share of the last update that is repeated, in [0, 1).
    pub momentum: f64,
    /// Added to the gradient, times the parameter.
    pub weight_decay: f64,
}

impl Default for SgdParams {
    fn default() -> Self {
        Self {
            momentum: 0.9,
            weight_decay: 0.0,
        }
    }
}

struct Slot {
    name: String,
    var: Var,
    velocity: Values,
    unused: Values,
    step: u32,
}

/// SGD: `v = momentum * v + g + weight_decay * p`, `p -= lr * v`, the first step with `v = g + weight_decay * p`.
///
/// Matches `torch.optim.SGD`.
pub struct Sgd {
    slots: Vec<Slot>,
    params: SgdParams,
}

struct SgdUpdate {
    lr: f64,
    momentum: f64,
    decay: f64,
}

impl Update for SgdUpdate {
    fn run<T: Real>(&self, p: &mut [T], g: &[T], [v, _]: [&mut [T]; 2]) {
        let [lr, momentum, decay] = [self.lr, self.momentum, self.decay].map(T::from_f64);
        for ((p, &g), v) in p.iter_mut().zip(g).zip(v) {
            *v = *v * momentum + (g + *p * decay);
            *p -= *v * lr;
        }
    }

    fn compose(&self, p: &Var, g: &Tensor, [v, _]: [&mut Values; 2]) -> candle_core::Result<()> {
        let v = v.device()?;
        *v = portable::optim::sgd(p, g, v, [self.lr, self.momentum, self.decay])?;
        Ok(())
    }
}

impl Sgd {
    /// An optimiser for these variables; their order does not matter, their names key the state.
    ///
    /// # Errors
    /// [`OpsError::Parameter`] for a setting out of range, [`OpsError::State`] for two variables of one name.
    pub fn new(vars: Vec<(String, Var)>, params: SgdParams) -> Result<Self, OpsError> {
        const OP: &str = "Sgd";
        check_fraction(OP, "momentum", params.momentum)?;
        check_not_negative(OP, "weight_decay", params.weight_decay)?;
        let slots = sorted(vars)?.into_iter().map(|(name, var)| {
            let velocity = Values::zeros(OP, &var)?;
            let unused = Values::none(&var);
            Ok(Slot {
                name,
                var,
                velocity,
                unused,
                step: 0,
            })
        });
        Ok(Self {
            slots: slots.collect::<Result<_, OpsError>>()?,
            params,
        })
    }

    /// One step at learning rate `lr`.
    ///
    /// # Errors
    /// [`OpsError`] if a gradient does not fit its variable or `lr` is negative or not finite.
    pub fn step(&mut self, gradients: &GradStore, lr: f64) -> Result<(), OpsError> {
        check_not_negative("Sgd", "lr", lr)?;
        if let Some(engine) = gpu::engine_of_all(self.slots.iter().map(|slot| slot.var.as_tensor()))? {
            return self.step_on(&*engine, gradients, lr);
        }
        for slot in &mut self.slots {
            let Some(gradient) = gradients.get(&slot.var) else {
                continue;
            };
            slot.step += 1;
            let update = SgdUpdate {
                lr,
                momentum: self.params.momentum,
                decay: self.params.weight_decay,
            };
            update_in_place(&slot.var, gradient, update, &mut slot.velocity, &mut slot.unused)?;
        }
        Ok(())
    }

    /// A step in a few launches, by a device's kernels.
    fn step_on(&mut self, engine: &dyn Engine, gradients: &GradStore, lr: f64) -> Result<(), OpsError> {
        let mut moved = Vec::new();
        for slot in &mut self.slots {
            let Some(gradient) = gradients.get(&slot.var) else {
                continue;
            };
            check_gradient(&slot.var, gradient)?;
            slot.step += 1;
            moved.push((
                slot.var.clone(),
                gradient.contiguous()?,
                slot.velocity.device()?.clone(),
            ));
        }
        let entries: Vec<_> = moved
            .iter()
            .map(|(var, gradient, velocity)| Entry::plain(var, gradient, Some(velocity)))
            .collect();
        let SgdParams { momentum, weight_decay } = self.params;
        let [lr, momentum, decay] = [lr, momentum, weight_decay].map(|v| v as f32);
        Ok(gpu::sgd(engine, &entries, lr, momentum, decay)?)
    }

    /// The state, to be saved beside a checkpoint: `<name>.velocity` and `<name>.step` of each variable.
    ///
    /// # Errors
    /// Those of making tensors.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, OpsError> {
        let mut state = BTreeMap::new();
        for slot in &self.slots {
            state.insert(format!("{}.velocity", slot.name), slot.velocity.tensor(&slot.var)?);
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
            slot.velocity
                .load(&slot.name, &slot.var, &format!("{}.velocity", slot.name), state)?;
            slot.step = super::load_step(&slot.name, state)?;
        }
        Ok(())
    }
}
