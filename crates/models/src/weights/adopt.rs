use std::collections::BTreeMap;
use std::fmt;

use candle_core::Tensor;

use super::identify::{encoder, of_shapes, shapes};
use super::names::Names;
use crate::error::ModelError;
use crate::network::Network;
use crate::parameters::{Shapes, check_values};

/// How many names of a kind a report gives.
const NAMED: usize = 3;

/// What part of a network takes over weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The encoder, all of it.
    Encoder,
    /// The encoder, all of it, and what fits of decoder and head.
    Whole,
}

/// What came of [`Network::adopt`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// The network's tensors that have the file's values.
    pub taken: Vec<String>,
    /// Those in the scope that are not in the file, and are as they were.
    pub missed: Vec<String>,
    /// The file's tensors that nothing took, by its names: those of another head, for example.
    pub left: Vec<String>,
    /// Those of decoder and head that the file has in another shape, and that are as they were.
    pub misshapen: Vec<Misshapen>,
}

/// A tensor that a file has in another shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misshapen {
    /// The network's name.
    pub name: String,
    /// The network's shape.
    pub expected: Vec<usize>,
    /// The file's.
    pub found: Vec<usize>,
}

impl fmt::Display for Misshapen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} instead of {:?}", self.name, self.found, self.expected)
    }
}

impl fmt::Display for Adopted {
    /// `taken: 300 tensors (encoder.bn1.bias, ...)`, and a line for each other kind that there is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let misshapen: Vec<String> = self.misshapen.iter().map(Misshapen::to_string).collect();
        let kinds = [
            ("taken", &self.taken),
            ("not in the file", &self.missed),
            ("in the file in another shape", &misshapen),
            ("left over in the file", &self.left),
        ];
        let mut between = "";
        for (kind, names) in kinds {
            if !names.is_empty() || kind == "taken" {
                let tensors = if names.len() == 1 { "tensor" } else { "tensors" };
                write!(f, "{between}{kind}: {} {tensors}", names.len())?;
                if !names.is_empty() {
                    write!(f, " ({})", first(names))?;
                }
                between = "\n";
            }
        }
        Ok(())
    }
}

/// A file's tensors, as a network sees them.
#[derive(Default)]
struct Matched<'a> {
    /// By the network's names, each with the file's.
    found: BTreeMap<String, (&'a str, &'a Tensor)>,
    /// Names of those that the network does not have.
    left: Vec<String>,
}

/// The first few names.
fn first(names: &[String]) -> String {
    let named: Vec<String> = names
        .iter()
        .take(NAMED)
        .map(|name| htl_vocabulary::readable(name))
        .collect();
    match names.len() > NAMED {
        true => format!("{}, ...", named.join(", ")),
        false => named.join(", "),
    }
}

impl Network {
    /// Takes over weights of another program, as [`read`](super::read) gives them: names of timm, torchvision,
    /// segmentation_models_pytorch and EfficientNet-PyTorch are understood, behind `module.`, `model.`, `encoder.`,
    /// `backbone.` and the like; `num_batches_tracked` is ignored, types are converted.
    ///
    /// # Errors
    /// [`ModelError::OtherNetwork`] if the encoder is not there as a whole and in its shapes: says which encoder it is
    /// instead, where it is one that is known here, else which tensor is missing or of another shape, such as a first
    /// convolution for images of other channels; [`ModelError::NotFinite`] for values that no network can compute with.
    /// Then nothing has been changed.
    pub fn adopt(&self, tensors: &BTreeMap<String, Tensor>, scope: Scope) -> Result<Adopted, ModelError> {
        let own = self.shapes_in(scope);
        let Matched { found, left } = self.matched(&own, tensors)?;
        let mut adopted = Adopted {
            left,
            ..Adopted::default()
        };
        for (name, expected) in &own {
            match found.get(name) {
                None => adopted.missed.push(name.clone()),
                Some((_, tensor)) if tensor.dims() != expected.as_slice() => adopted.misshapen.push(Misshapen {
                    name: name.clone(),
                    expected: expected.clone(),
                    found: tensor.dims().to_vec(),
                }),
                Some(_) => adopted.taken.push(name.clone()),
            }
        }
        self.check_encoder(tensors, &adopted, &own)?;
        let mut values = Vec::new();
        for name in &adopted.taken {
            if let (Some(var), Some((_, tensor))) = (self.parameters().get(name), found.get(name)) {
                // Types are converted before the move: not every device has every type.
                let tensor = tensor.detach().to_dtype(var.dtype())?;
                check_values(name, &tensor)?;
                values.push((var, tensor.to_device(var.device())?));
            }
        }
        values.into_iter().try_for_each(|(var, tensor)| var.set(&tensor))?;
        Ok(adopted)
    }

    /// Names and shapes of the variables in a scope.
    fn shapes_in(&self, scope: Scope) -> Shapes {
        let all = self.parameters().all();
        let shapes: Shapes = all.into_iter().map(|(name, var)| (name, var.dims().to_vec())).collect();
        match scope {
            Scope::Encoder => encoder(&shapes),
            Scope::Whole => shapes,
        }
    }

    /// Which tensors of the file are which of the network's.
    fn matched<'a>(&self, own: &Shapes, tensors: &'a BTreeMap<String, Tensor>) -> Result<Matched<'a>, ModelError> {
        let names = Names::new(own, tensors.keys());
        let mut matched = Matched::default();
        for (theirs, tensor) in tensors {
            let name = names.ours(theirs);
            if !own.contains_key(&name) {
                if !theirs.ends_with("num_batches_tracked") {
                    matched.left.push(theirs.clone());
                }
                continue;
            }
            if let Some((other, _)) = matched.found.insert(name.clone(), (theirs, tensor)) {
                return Err(ModelError::OtherNetwork {
                    problem: format!("`{other}` and `{theirs}` of the file are both `{name}`: keep one of them"),
                });
            }
        }
        Ok(matched)
    }

    fn check_encoder(
        &self,
        tensors: &BTreeMap<String, Tensor>,
        adopted: &Adopted,
        own: &Shapes,
    ) -> Result<(), ModelError> {
        let expected = &self.architecture().encoder().name;
        let of_encoder = |name: &&String| name.starts_with("encoder.");
        let missed: Vec<&String> = adopted.missed.iter().filter(of_encoder).collect();
        let misshapen: Vec<&Misshapen> = adopted
            .misshapen
            .iter()
            .filter(|tensor| of_encoder(&&tensor.name))
            .collect();
        let problem = |problem: String| Err(ModelError::OtherNetwork { problem });
        // A deeper encoder may hold a shallower one.
        let other = of_shapes(&shapes(tensors))?.filter(|found| found.encoder.name != *expected);
        if let Some(other) = other {
            return problem(format!(
                "they are of the encoder {}, expected {expected}",
                other.encoder
            ));
        }
        let count = own.keys().filter(of_encoder).count();
        if let Some(first) = missed.first() {
            return problem(format!(
                "{} of {count} tensors of the encoder {expected} are missing, the first is `{first}`",
                missed.len(),
            ));
        }
        if let [Misshapen { name, expected, found }] = misshapen[..]
            && let ([outputs, inputs, rest @ ..], [other_outputs, channels, others @ ..]) = (&expected[..], &found[..])
            && (*inputs == self.architecture().in_channels() && outputs == other_outputs && rest == others)
        {
            return problem(format!(
                "`{name}` is for images of {channels} channels, and the network takes {inputs}"
            ));
        }
        match misshapen[..] {
            [] => Ok(()),
            _ => {
                let names: Vec<String> = misshapen.iter().map(|tensor| tensor.to_string()).collect();
                problem(format!(
                    "{} of {count} tensors of the encoder {expected} have other shapes: {}",
                    names.len(),
                    first(&names)
                ))
            }
        }
    }
}
