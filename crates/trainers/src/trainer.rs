use candle_core::{Device, ModuleT, Tensor, Var};
use htl_datasets::Sampler;
use htl_vocabulary::{HistoryRow, LARGEST_BATCH};

use crate::{
    StopFlag, TrainError,
    dynamics::{Dynamics, DynamicsParams},
    finite::check_variables,
    fit::{EpochPlace, Loop, Resume, Task},
    judge::Judgement,
    observe::{Observer, Observers},
    recipe::Recipe,
};

/// Numbers of a [`Trainer`].
#[derive(Debug, Clone, PartialEq)]
pub struct TrainerParams {
    /// Gradient steps, at least 1.
    pub steps: usize,
    /// Samples per step, at least 1.
    pub batch: usize,
    /// Peak of the one-cycle learning rate, above 0.
    pub learning_rate: f64,
    /// AdamW's decoupled weight decay, in [0, 1).
    pub weight_decay: f64,
    /// Largest norm of the gradient over all variables, above 0.
    pub clip: f64,
    /// Epochs between two validations, at least 1; the last epoch is always validated.
    pub validate_every: usize,
    /// Seed of the order in which samples are drawn.
    pub seed: u64,
}

impl Default for TrainerParams {
    /// Those of [`TrainConfig`](crate::TrainConfig), and 500 steps.
    fn default() -> Self {
        Self {
            steps: 500,
            batch: 16,
            learning_rate: 4e-3,
            weight_decay: 1e-2,
            clip: 5.0,
            validate_every: 5,
            seed: 0,
        }
    }
}

impl TrainerParams {
    /// Checks every number.
    ///
    /// # Errors
    /// [`TrainError::Parameter`] names the first one outside its range.
    pub fn check(self) -> Result<TrainerValidParams, TrainError> {
        let p = &self;
        let checks = [
            ("steps", p.steps >= 1, "at least 1", p.steps as f64),
            (
                "batch",
                (1..=LARGEST_BATCH).contains(&p.batch),
                "from 1 to 65536",
                p.batch as f64,
            ),
            (
                "learning_rate",
                p.learning_rate > 0.0 && p.learning_rate.is_finite(),
                "above 0",
                p.learning_rate,
            ),
            (
                "weight_decay",
                (0.0..1.0).contains(&p.weight_decay),
                "in [0, 1)",
                p.weight_decay,
            ),
            ("clip", p.clip > 0.0, "above 0", p.clip),
            (
                "validate_every",
                p.validate_every >= 1,
                "at least 1",
                p.validate_every as f64,
            ),
        ];
        match checks.into_iter().find(|(_, holds, ..)| !holds) {
            None => Ok(TrainerValidParams(self)),
            Some((key, _, message, found)) => Err(TrainError::Parameter {
                key,
                message: message.into(),
                found: found.to_string(),
            }),
        }
    }
}

/// [`TrainerParams`] that make sense.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainerValidParams(TrainerParams);

type Validate<'a> = Box<dyn FnMut() -> Result<f64, TrainError> + 'a>;

/// What judges every sample, how often, and where its judgements go.
struct Judging<'a> {
    params: DynamicsParams,
    judge: Box<dyn FnMut() -> Result<Vec<Judgement>, TrainError> + 'a>,
    into: &'a mut Dynamics,
}

/// Trains any candle network on samples in memory, by the loop of [`train`](crate::train): AdamW, a one-cycle learning
/// rate, clipped gradients. It reads and writes no files.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use htl_trainers::{Trainer, TrainerParams};
///
/// // y = 2 x, by a network of one weight.
/// let weight = Var::from_tensor(&Tensor::new(&[[0f32]], &Device::Cpu)?)?;
/// let network = |x: &Tensor| x.matmul(&weight);
/// let x = Tensor::new(&[[1f32], [2.], [3.], [4.]], &Device::Cpu)?;
/// let y = (&x * 2.)?;
///
/// let params = TrainerParams { steps: 200, batch: 2, learning_rate: 0.1, weight_decay: 0., ..Default::default() };
/// let variables = [("weight".to_owned(), weight.clone())];
/// let history = Trainer::new(params.check()?).fit(&network, &variables, &x, &y, |output, y| (output - y)?.sqr()?.mean_all())?;
///
/// assert_eq!(history.len(), 100);
/// assert!((weight.to_vec2::<f32>()?[0][0] - 2.).abs() < 0.05);
/// # Ok::<(), htl_trainers::TrainError>(())
/// ```
pub struct Trainer<'a> {
    params: TrainerParams,
    observers: Observers<'a>,
    stop: StopFlag,
    validate: Option<Validate<'a>>,
    judging: Option<Judging<'a>>,
}

impl<'a> Trainer<'a> {
    /// A trainer that nobody observes.
    #[must_use]
    pub fn new(params: TrainerValidParams) -> Self {
        Self {
            params: params.0,
            observers: Observers::new(),
            stop: StopFlag::default(),
            validate: None,
            judging: None,
        }
    }

    /// Adds an observer.
    #[must_use]
    pub fn observe(mut self, observer: impl Observer + 'a) -> Self {
        self.observers = self.observers.with(observer);
        self
    }

    /// Ends the training at the next step boundary once the flag is set.
    #[must_use]
    pub fn stop_on(mut self, flag: &StopFlag) -> Self {
        self.stop = flag.clone();
        self
    }

    /// Measures quality on held-out data every `validate_every` epochs and after the last; higher is better.
    #[must_use]
    pub fn validate(mut self, quality: impl FnMut() -> Result<f64, TrainError> + 'a) -> Self {
        self.validate = Some(Box::new(quality));
        self
    }

    /// Judges every sample, not augmented, every so many epochs and after the last, and adds what it sees to `into`: the
    /// history of each sample, from which [`htl_mining::dynamics_scores`] tells the hard ones.
    ///
    /// `judge` gives a judgement for each id of `into`, in that order; [`judge_masks`](crate::judge_masks) and
    /// [`judge_classes`](crate::judge_classes) make them of outputs and labels.
    ///
    /// ```
    /// use candle_core::{Device, Tensor, Var};
    /// use htl_trainers::{Dynamics, DynamicsParams, Trainer, TrainerParams, judge_classes};
    ///
    /// // Two classes on a line; the last label is wrong.
    /// let x = Tensor::new(&[[-2f32], [-1.], [1.], [2.], [1.5]], &Device::Cpu)?;
    /// let labels = Tensor::new(&[0u32, 0, 1, 1, 0], &Device::Cpu)?;
    /// let weight = Var::from_tensor(&Tensor::new(&[[-0.1f32, 0.1]], &Device::Cpu)?)?;
    /// let network = |x: &Tensor| x.matmul(&weight);
    ///
    /// let mut dynamics = Dynamics::new(["a", "b", "c", "d", "e"]);
    /// let params = TrainerParams { steps: 60, batch: 5, learning_rate: 0.1, ..Default::default() };
    /// Trainer::new(params.check()?)
    ///     .judge(DynamicsParams { every: 2 }, || judge_classes(&network(&x)?, &labels), &mut dynamics)
    ///     .fit(&network, &[("weight".into(), weight.clone())], &x, &labels, |z, y| htl_ops::cross_entropy(z, y)?.mean_all())?;
    ///
    /// assert_eq!(dynamics.rows().len(), 30 * 5);
    /// let scores = htl_mining::dynamics_scores(&[dynamics.rows().to_vec()])?;
    /// assert_eq!(htl_mining::rank(&scores, "aum", 0)?.ids()[0], "e");
    /// # Ok::<(), htl_trainers::TrainError>(())
    /// ```
    #[must_use]
    pub fn judge(
        mut self,
        params: DynamicsParams,
        judge: impl FnMut() -> Result<Vec<Judgement>, TrainError> + 'a,
        into: &'a mut Dynamics,
    ) -> Self {
        self.judging = Some(Judging {
            params,
            judge: Box::new(judge),
            into,
        });
        self
    }

    /// Optimises `variables` and returns a row per epoch. Each sample is drawn once per epoch, in an order that depends on
    /// the seed alone.
    ///
    /// `variables` are what the optimiser changes, sorted by name for reproducible bits. `loss` is a scalar function of
    /// the network's output and the targets of a batch.
    ///
    /// # Shapes
    /// - `images`: `[n, ...]`, such as `[n, 3, height, width]`; the network sees `[batch, ...]`, with `train` true
    /// - `targets`: `[n, ...]`, such as masks `[n, 1, height, width]` or class numbers `[n]`
    ///
    /// # Errors
    /// [`TrainError::Samples`] if there are no images or not one target for each; [`TrainError::Diverged`] if the loss is
    /// not finite; whatever network, loss, validation and observers fail with.
    pub fn fit(
        self,
        network: &dyn ModuleT,
        variables: &[(String, Var)],
        images: &Tensor,
        targets: &Tensor,
        loss: impl Fn(&Tensor, &Tensor) -> candle_core::Result<Tensor>,
    ) -> Result<Vec<HistoryRow>, TrainError> {
        let count = |tensor: &Tensor| tensor.dims().first().copied().unwrap_or(0);
        let samples = count(images);
        if samples == 0 || samples != count(targets) {
            return Err(TrainError::Samples {
                images: images.dims().to_vec(),
                targets: targets.dims().to_vec(),
            });
        }
        let sampler = Sampler::uniform(samples, self.params.seed)?;
        let batch_size = self.params.batch;
        self.minimise(variables, samples, |step| {
            let drawn = sampler.batch(step as u64, batch_size);
            let drawn: Vec<u32> = drawn.into_iter().map(|index| index as u32).collect();
            let drawn = Tensor::new(drawn, &Device::Cpu)?;
            let batch = |all: &Tensor| all.index_select(&drawn.to_device(all.device())?, 0);
            let output = network.forward_t(&batch(images)?, true)?;
            Ok(loss(&output, &batch(targets)?)?)
        })
    }

    /// Optimises `variables` on a loss of any make: augmented batches, several inputs, a second network. Returns a row per
    /// epoch of `samples / batch` steps, rounded up.
    ///
    /// `loss` gets the number of the step, from 0, and returns a scalar that depends on the variables. `variables` are sorted
    /// by name for reproducible bits.
    ///
    /// ```
    /// use candle_core::Device;
    /// use htl_datasets::{DataFolder, ImageSet, MaskUse, Split};
    /// use htl_models::{Architecture, Mode, Network, Preprocessing};
    /// use htl_trainers::{MaskBatches, Trainer, TrainerParams};
    ///
    /// // The U-Net on augmented batches of twelve images.
    /// let data = DataFolder::open("../../data-manifest/embedded")?;
    /// let images = ImageSet::load(&data.split(Split::Train)[..12], 16, MaskUse::Required)?;
    /// let (samples, preprocessing) = (images.len(), Preprocessing { size: 16, ..Preprocessing::default() });
    /// let architecture = Architecture::unet(2)?;
    /// let network = Network::build(&architecture, 7, &Device::Cpu)?;
    ///
    /// let params = TrainerParams { steps: 6, batch: 4, ..Default::default() };
    /// let mut batches = MaskBatches::new(images, &preprocessing, params.batch, params.steps, 7, &Device::Cpu)?;
    /// let history = Trainer::new(params.check()?).minimise(network.parameters().trainable(), samples, |step| {
    ///     let batch = batches.take(step)?;
    ///     let logits = network.forward(&batch.images, Mode::Train)?;
    ///     let losses = htl_ops::bce_with_logits(&logits, &batch.targets, None)?;
    ///     Ok((losses * batch.weights)?.sum_all()?)
    /// })?;
    ///
    /// assert_eq!(history.len(), 2);
    /// # Ok::<(), htl_trainers::TrainError>(())
    /// ```
    ///
    /// # Errors
    /// [`TrainError::Parameter`] if there are no samples; [`TrainError::Diverged`] if the loss is not finite,
    /// [`TrainError::NotFinite`] if a variable is not at the end; whatever loss, validation and observers fail with.
    pub fn minimise(
        mut self,
        variables: &[(String, Var)],
        samples: usize,
        loss: impl FnMut(usize) -> Result<Tensor, TrainError>,
    ) -> Result<Vec<HistoryRow>, TrainError> {
        if samples == 0 {
            return Err(TrainError::Parameter {
                key: "samples",
                message: "at least 1".into(),
                found: samples.to_string(),
            });
        }
        let p = &self.params;
        let looped = Loop {
            steps: p.steps,
            per_epoch: samples.div_ceil(p.batch),
            validate_every: p.validate_every,
            learning_rate: p.learning_rate,
            weight_decay: p.weight_decay,
            clip: p.clip,
            recipe: Recipe::default(),
        };
        let mut task = Minimised {
            loss,
            validate: self.validate,
            judging: self.judging,
        };
        let start = Resume::default();
        let (_, history) = looped.run(variables, &mut task, start, &mut self.observers, &self.stop)?;
        // A loss is looked at before the step that it causes.
        check_variables(variables, history.last().map_or(0, |row| row.step))?;
        Ok(history)
    }
}

/// A loss of the caller's, as the loop sees it.
struct Minimised<'a, L> {
    loss: L,
    validate: Option<Validate<'a>>,
    judging: Option<Judging<'a>>,
}

impl<L: FnMut(usize) -> Result<Tensor, TrainError>> Task for Minimised<'_, L> {
    fn loss(&mut self, step: usize) -> Result<Tensor, TrainError> {
        (self.loss)(step)
    }

    fn after_epoch(&mut self, epoch: usize, place: EpochPlace) -> Result<(), TrainError> {
        match &mut self.judging {
            Some(judging) if judging.params.includes(epoch, place) => judging.into.add(epoch, &(judging.judge)()?),
            _ => Ok(()),
        }
    }

    fn validate(&mut self, _step: usize) -> Result<Option<f64>, TrainError> {
        self.validate.as_mut().map(|quality| quality()).transpose()
    }
}

#[cfg(test)]
mod tests;
