use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::error::ModelError;

/// The variables of a network, sorted by name: trainable ones, and buffers (the running statistics of batch
/// normalisation), which the optimiser leaves alone.
///
/// Cloning shares the variables; [`Network::duplicate`](crate::Network::duplicate) copies them.
#[derive(Clone, Debug)]
pub struct Parameters {
    trainable: Vec<(String, Var)>,
    buffers: Vec<(String, Var)>,
}

impl Parameters {
    /// What optimisers, weight averages and pruning masks work on, sorted by name.
    #[must_use]
    pub fn trainable(&self) -> &[(String, Var)] {
        &self.trainable
    }

    /// `running_mean` and `running_var` of every batch normalisation, sorted by name.
    #[must_use]
    pub fn buffers(&self) -> &[(String, Var)] {
        &self.buffers
    }

    /// Trainable variables and buffers together, sorted by name.
    #[must_use]
    pub fn all(&self) -> Vec<(String, Var)> {
        let mut all = [self.trainable.clone(), self.buffers.clone()].concat();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// A variable by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Var> {
        let find = |list: &'_ [(String, Var)]| list.binary_search_by(|(other, _)| other.as_str().cmp(name)).ok();
        find(&self.trainable)
            .map(|index| &self.trainable[index].1)
            .or_else(|| find(&self.buffers).map(|index| &self.buffers[index].1))
    }

    /// How many numbers can be trained.
    #[must_use]
    pub fn trainable_count(&self) -> usize {
        self.trainable.iter().map(|(_, var)| var.elem_count()).sum()
    }

    /// Takes over the values of another network of the same architecture, buffers included.
    ///
    /// # Errors
    /// [`ModelError::OtherNetwork`] if names or shapes differ; then nothing has been changed.
    pub fn copy_from(&self, other: &Self) -> Result<(), ModelError> {
        if let (Some((_, mine)), Some((_, theirs))) = (self.trainable.first(), other.trainable.first())
            && mine.id() == theirs.id()
        {
            return Ok(()); // the same variables
        }
        self.assign(
            &other
                .all()
                .into_iter()
                .map(|(name, var)| (name, var.as_detached_tensor()))
                .collect(),
        )
    }

    /// Takes over the values of named tensors, as saved by PyTorch from a `state_dict` for example. Types are converted;
    /// `num_batches_tracked` is ignored.
    ///
    /// # Errors
    /// [`ModelError::OtherNetwork`] if a tensor is missing, unknown, or of another shape, [`ModelError::NotFinite`] if it
    /// holds what no network can compute with; then nothing has been changed.
    pub fn load(&self, tensors: &BTreeMap<String, Tensor>) -> Result<(), ModelError> {
        for (name, var) in self.all() {
            if let Some(tensor) = tensors.get(&name) {
                check_values(&name, &tensor.to_dtype(var.dtype())?)?;
            }
        }
        self.assign(tensors)
    }

    /// Checks that every value is finite, and that no running variance is negative.
    ///
    /// # Errors
    /// [`ModelError::NotFinite`] naming the first tensor in which one is not.
    pub fn check_finite(&self) -> Result<(), ModelError> {
        self.all().iter().try_for_each(|(name, var)| check_values(name, var))
    }

    /// [`load`](Self::load) without a look at the values.
    fn assign(&self, tensors: &BTreeMap<String, Tensor>) -> Result<(), ModelError> {
        let all = self.all();
        let own = all
            .iter()
            .map(|(name, var)| (name.clone(), var.dims().to_vec()))
            .collect();
        let given = tensors
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.dims().to_vec()));
        check_shapes(&own, &given.collect())?;
        for (name, var) in &all {
            if let Some(tensor) = tensors.get(name) {
                // Types are converted before the move: not every device has every type.
                var.set(&tensor.detach().to_dtype(var.dtype())?.to_device(var.device())?)?;
            }
        }
        Ok(())
    }
}

/// The shapes of named tensors.
pub(crate) type Shapes = BTreeMap<String, Vec<usize>>;

/// Checks that every tensor is there in the shape expected, and no other; `num_batches_tracked` is ignored.
///
/// # Errors
/// [`ModelError::OtherNetwork`] naming the first difference.
pub(crate) fn check_shapes(expected: &Shapes, found: &Shapes) -> Result<(), ModelError> {
    let problem = |problem: String| Err(ModelError::OtherNetwork { problem });
    for (name, expected) in expected {
        match found.get(name) {
            None => return problem(format!("tensor `{name}` of shape {expected:?} is missing")),
            Some(found) if found != expected => {
                return problem(format!("tensor `{name}` has shape {found:?}, expected {expected:?}"));
            }
            Some(_) => {}
        }
    }
    let unknown = |name: &str| !name.ends_with("num_batches_tracked") && !expected.contains_key(name);
    match found.iter().find(|(name, _)| unknown(name)) {
        Some((name, shape)) => problem(format!("unknown tensor `{name}` of shape {shape:?}")),
        None => Ok(()),
    }
}

/// Checks the values of one tensor, whose name says whether they are variances.
pub(crate) fn check_values(name: &str, tensor: &Tensor) -> Result<(), ModelError> {
    let values = tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    let (lowest, expected) = match name.ends_with("running_var") {
        true => (0.0, "a variance: a finite number that is not negative"),
        false => (f64::MIN, "a finite number"),
    };
    match values.iter().position(|value| !(lowest..=f64::MAX).contains(value)) {
        None => Ok(()),
        Some(index) => Err(ModelError::NotFinite {
            name: name.to_owned(),
            index,
            found: values[index],
            expected,
        }),
    }
}

/// What a builder gives to the variables it makes.
#[derive(Debug)]
enum Values {
    /// Initial values.
    Initial,
    /// None: variables are empty, and their shapes are noted.
    None(Shapes),
}

/// Makes the variables of a network, each initialised from a generator of its own, so that the order in which layers are
/// made, or what other layers there are, does not change a value.
#[derive(Debug)]
pub struct ParameterBuilder {
    values: Values,
    seed: u64,
    dtype: DType,
    device: Device,
    trainable: BTreeMap<String, Var>,
    buffers: BTreeMap<String, Var>,
}

impl ParameterBuilder {
    /// A builder without variables yet.
    #[must_use]
    pub fn new(seed: u64, dtype: DType, device: &Device) -> Self {
        let (trainable, buffers) = (BTreeMap::new(), BTreeMap::new());
        Self {
            values: Values::Initial,
            seed,
            dtype,
            device: device.clone(),
            trainable,
            buffers,
        }
    }

    /// A builder of empty variables, which takes no memory for them: it notes what shapes a network's would have.
    pub(crate) fn of_shapes() -> Self {
        Self {
            values: Values::None(Shapes::new()),
            ..Self::new(0, DType::F32, &Device::Cpu)
        }
    }

    /// The shapes that [`of_shapes`](Self::of_shapes) noted.
    pub(crate) fn into_shapes(self) -> Shapes {
        match self.values {
            Values::Initial => Shapes::new(),
            Values::None(shapes) => shapes,
        }
    }

    /// An empty variable where there are to be no values.
    fn empty(&mut self, name: &str, shape: &[usize]) -> Result<Option<Var>, ModelError> {
        let Values::None(shapes) = &mut self.values else {
            return Ok(None);
        };
        shapes.insert(name.to_string(), shape.to_vec());
        Ok(Some(Var::zeros(0, self.dtype, &self.device)?))
    }

    /// A trainable variable, uniform in ±1/√`fan_in`: PyTorch's default for the weights (`kaiming_uniform_` with `a = √5`)
    /// and the biases of convolutions and linear layers.
    ///
    /// # Errors
    /// Those of candle.
    pub fn uniform_fan_in(&mut self, name: &str, shape: &[usize], fan_in: usize) -> Result<Var, ModelError> {
        if let Some(empty) = self.empty(name, shape)? {
            return Ok(empty);
        }
        let mut generator = ChaCha8Rng::seed_from_u64(self.seed);
        generator.set_stream(fnv1a(name));
        let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
        let count = shape.iter().product();
        let values: Vec<f64> = (0..count)
            .map(|_| (generator.random::<f64>() * 2.0 - 1.0) * bound)
            .collect();
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?
            .to_dtype(self.dtype)?
            .to_device(&self.device)?;
        let var = Var::from_tensor(&tensor)?;
        self.trainable.insert(name.to_string(), var.clone());
        Ok(var)
    }

    /// A trainable vector of equal values: 1 and 0 for the scale and shift of a normalisation.
    ///
    /// # Errors
    /// Those of candle.
    pub fn constant(&mut self, name: &str, length: usize, value: f64) -> Result<Var, ModelError> {
        let var = self.filled(name, length, value)?;
        self.trainable.insert(name.to_string(), var.clone());
        Ok(var)
    }

    /// A buffer of equal values: 0 and 1 for the running mean and variance.
    ///
    /// # Errors
    /// Those of candle.
    pub fn buffer(&mut self, name: &str, length: usize, value: f64) -> Result<Var, ModelError> {
        let var = self.filled(name, length, value)?;
        self.buffers.insert(name.to_string(), var.clone());
        Ok(var)
    }

    /// The variables made so far.
    #[must_use]
    pub fn finish(self) -> Parameters {
        Parameters {
            trainable: self.trainable.into_iter().collect(),
            buffers: self.buffers.into_iter().collect(),
        }
    }

    fn filled(&mut self, name: &str, length: usize, value: f64) -> Result<Var, ModelError> {
        if let Some(empty) = self.empty(name, &[length])? {
            return Ok(empty);
        }
        let tensor = Tensor::full(value, length, &Device::Cpu)?
            .to_dtype(self.dtype)?
            .to_device(&self.device)?;
        Ok(Var::from_tensor(&tensor)?)
    }
}

/// FNV-1a, 64 bits: a hash that stays the same from release to release.
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
