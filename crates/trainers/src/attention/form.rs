use std::collections::BTreeMap;

use super::{
    change::{BatchChange, ChangeParts},
    image_info::ImageInfo,
    term::Term,
};

/// One form of attention: what the attended samples are given more of. Every hook has a default that changes nothing.
pub(crate) trait Form: Sync {
    /// Its name in configurations.
    fn key(&self) -> &'static str;

    /// Its effect, in a sentence.
    fn about(&self) -> &'static str;

    /// The numbers that configure it beside the weight: keys of `[attention.params]`.
    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    /// Relative sampling frequency of an image; `None`: as without attention.
    fn sampling_weight(&self, _image: &ImageInfo) -> Option<f64> {
        None
    }

    /// Factor of an image's loss.
    fn loss_weight(&self, _image: &ImageInfo) -> f64 {
        1.0
    }

    /// Factor of the ranges that an image's augmentation is drawn from.
    fn augmentation_strength(&self, _image: &ImageInfo) -> f32 {
        1.0
    }

    /// Weights of an image's pixels in the loss, `[size * size]`; `None`: all count alike. `target` is the image's target
    /// map at that size; an unlabelled image has none.
    fn pixel_mask(&self, _image: &ImageInfo, _target: Option<&[f32]>, _size: usize) -> Option<Vec<f32>> {
        None
    }

    /// The views made of a labelled image; its [`Term`] sees the second one.
    fn views(&self) -> Views {
        Views::Weak
    }

    /// How scores are made anew while the network is trained; `None`: they are those of a table.
    fn rescoring(&self, _params: &Params) -> Option<Rescoring> {
        None
    }

    /// What becomes of batches of images with target maps.
    fn change(&self, _parts: &ChangeParts<'_>) -> Option<Box<dyn BatchChange>> {
        None
    }

    /// An extra term of the loss, with what it keeps from step to step.
    fn term(&self, _weight: f64, _params: &Params) -> Option<Box<dyn Term>> {
        None
    }
}

/// Scores by the network in training itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rescoring {
    /// Epochs between two scorings; before the first one every image counts alike.
    pub every: f64,
}

/// Views of an image in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Views {
    /// One, weakly augmented.
    Weak,
    /// A weakly and a strongly augmented one in the same geometry.
    WeakAndStrong,
}

/// A number that configures a form of attention.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    /// Its key in `[attention.params]`.
    pub key: &'static str,
    /// Value if the key is absent.
    pub default: f64,
    /// Smallest value allowed.
    pub least: f64,
    /// Largest value allowed.
    pub most: f64,
    /// Its meaning.
    pub about: &'static str,
}

/// The parameters of a form, all of them, by key.
pub(crate) struct Params(BTreeMap<&'static str, f64>);

impl Params {
    /// Completes what a configuration gives by the defaults.
    ///
    /// # Errors
    /// The message names the first key that the form does not know or whose value is out of range.
    pub fn of(form: &dyn Form, given: &BTreeMap<String, f64>) -> Result<Self, String> {
        let known = form.parameters();
        for (key, value) in given {
            let Some(parameter) = known.iter().find(|p| p.key == key) else {
                let keys: Vec<&str> = known.iter().map(|p| p.key).collect();
                let choice = match keys.as_slice() {
                    [] => "it has none".to_owned(),
                    keys => format!("it has {}", keys.join(", ")),
                };
                return Err(format!("`{}` has no parameter `{key}`: {choice}", form.key()));
            };
            if !(parameter.least..=parameter.most).contains(value) {
                let Parameter {
                    key,
                    least,
                    most,
                    about,
                    ..
                } = parameter;
                return Err(format!("`{key}` ({about}) is from {least} to {most}, found {value}"));
            }
        }
        let value = |p: &Parameter| (p.key, given.get(p.key).copied().unwrap_or(p.default));
        Ok(Self(known.iter().map(value).collect()))
    }

    /// The value of a key; NaN for one that the form does not list.
    pub fn get(&self, key: &str) -> f64 {
        self.0.get(key).copied().unwrap_or(f64::NAN)
    }
}
