use std::{
    ops::Range,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use candle_core::{Device, DeviceLocation};
use clap::Args;
use htl_device::Choice;
use htl_trainers::{
    Outcome, StopFlag, TrainConfig, TrainError,
    observe::{EpochLog, Observer, Observers, Started, TensorBoard},
};
use htl_vocabulary::file;

use super::{choices, experiment::TRY_AGAIN, print, weights::located};
use crate::{progress::Progress, signals::raise_on_signals};

/// `htl train`.
#[derive(Args)]
#[command(after_help = after_help())]
pub struct Train {
    /// The configuration, TOML
    #[arg(long, required_unless_present = "print_config")]
    config: Option<PathBuf>,
    /// Overrides a key of the configuration, e.g. --set seed=1 --set boxes.targets=ellipse
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The folder for checkpoint, state and history; an unfinished training there is resumed
    #[arg(long, required_unless_present = "print_config")]
    out: Option<PathBuf>,
    /// Trains with each of these seeds, into `seed-A` and so on below --out; 0..4 are 0, 1, 2 and 3
    ///
    /// On a GPU of NVIDIA's all at one time, in this process, each on a stream of its own; elsewhere one after the other. The results are those
    /// of single trainings.
    #[arg(long, value_name = "A..B", value_parser = seeds, conflicts_with = "print_config")]
    seeds: Option<Range<u64>>,
    /// Prints the configuration with every key explained, and trains nothing; without --config, that of the defaults
    #[arg(long)]
    print_config: bool,
    /// Also writes dynamics.csv: how the network sees each training image after every epoch (`dynamics.every` of the
    /// configuration: every so many). `htl mine --dynamics` makes scores of it
    #[arg(long)]
    dynamics: bool,
    /// Also writes loss, learning rate and validation quality for TensorBoard, into this folder
    ///
    /// It should be the training's own: `--tensorboard runs/first`, and `tensorboard --logdir runs` shows several side by
    /// side. A training that is continued adds a file, and TensorBoard shows each step once. The result does not depend on it.
    #[arg(long, value_name = "DIR")]
    tensorboard: Option<PathBuf>,
}

/// What a configuration may name, and how a training is interrupted.
fn after_help() -> String {
    let settings = htl_trainers::settings().map(|setting| (setting.key, setting.about));
    let forms = htl_trainers::attention_forms();
    choices::list("Settings (`setting`):", settings)
        + &choices::list("Forms of attention (`attention.form`):", forms)
        + "Ctrl-C, SIGTERM and SIGUSR1 end the training at its next step: it saves its state and exits with 75. The same\n\
           command continues it, with the same result as without the interruption."
}

/// The seeds from one number to before another.
fn seeds(text: &str) -> Result<Range<u64>, String> {
    let ends = text
        .split_once("..")
        .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    match ends {
        Some((first, end)) if first < end && end - first <= 1000 => Ok(first..end),
        _ => Err(format!(
            "`{text}` is not two numbers such as 0..4, the second larger by 1 to 1000"
        )),
    }
}

/// Says where a training goes on that was interrupted.
struct Continued;

impl Observer for Continued {
    fn on_start(&mut self, start: &Started<'_>) -> Result<(), TrainError> {
        if start.done > 0 {
            eprintln!("continues after step {} of {}", start.done, start.steps);
        }
        Ok(())
    }
}

impl Train {
    pub fn run(self, device: &Device) -> anyhow::Result<ExitCode> {
        let mut config = match &self.config {
            Some(path) => TrainConfig::read(path, &self.set)?,
            None => TrainConfig::of_defaults(&self.set)?,
        };
        if self.dynamics {
            config.dynamics.get_or_insert_default();
        }
        let out = match self.out {
            Some(out) if !self.print_config => out,
            _ => {
                print(config.explained().trim_end())?;
                return Ok(ExitCode::SUCCESS);
            }
        };
        config.network.pretrained = config.network.pretrained.as_deref().map(located).transpose()?;
        let stop = StopFlag::default();
        raise_on_signals(&stop.shared()).context("cannot install signal handlers")?;
        let training = Training {
            config,
            tensorboard: self.tensorboard,
            stop,
        };
        let end = match self.seeds {
            Some(seeds) => training.with_seeds(seeds, device, &out)?,
            None => training.run(None, device, &out)?,
        };
        match end {
            End::Finished => Ok(ExitCode::SUCCESS),
            End::Stopped => Ok(ExitCode::from(TRY_AGAIN)),
        }
    }
}

/// Trainings that share a GPU at one time.
const AT_ONE_TIME: usize = 8;

/// How trainings ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Finished,
    /// Before they were done, with their state saved.
    Stopped,
}

/// One configuration.
struct Training {
    config: TrainConfig,
    tensorboard: Option<PathBuf>,
    stop: StopFlag,
}

impl Training {
    /// Trains, with this seed in the place of the configuration's if there is one, and says how it ended.
    fn run(&self, seed: Option<u64>, device: &Device, out: &Path) -> anyhow::Result<End> {
        let mut config = self.config.clone();
        config.seed = seed.unwrap_or(config.seed);
        let config = config.check()?;
        let mut observers = Observers::new().with(Continued);
        // Bars of trainings at one time would write over each other.
        if seed.is_none() || !device.is_cuda() {
            let progress = Progress::new(&seed.map_or_else(|| "train".to_owned(), seed_folder));
            let log = progress.is_hidden().then(|| EpochLog::new(std::io::stderr()));
            observers = observers.with(progress);
            if let Some(log) = log {
                observers = observers.with(log);
            }
        }
        if let Some(folder) = &self.tensorboard {
            let setting = htl_trainers::settings().find(|setting| setting.key == config.setting);
            let measure = setting.map_or("quality", |setting| setting.validated_by);
            let folder = seed.map_or_else(|| folder.clone(), |seed| folder.join(seed_folder(seed)));
            observers = observers.with(TensorBoard::new(folder, measure));
        }
        let outcome = htl_trainers::train(&config, device, out, &mut observers, &self.stop)?;
        let whose = seed.map_or_else(String::new, |seed| format!("seed {seed}: "));
        match &outcome {
            Outcome::Stopped { step, steps } => {
                eprintln!("{whose}stopped after step {step} of {steps}, state saved: run the same command to continue");
                return Ok(End::Stopped);
            }
            Outcome::AlreadyFinished(_) => {
                print(&format!(
                    "finished before, nothing trained: {} is up to date",
                    out.display()
                ))?;
            }
            Outcome::Trained(_) => {}
        }
        let quality = match outcome.history().last().and_then(|row| row.val_quality) {
            Some(quality) => format!("validation quality {quality:.4}"),
            None => "no validation image has a label that the setting may use, so its quality is not known".into(),
        };
        print(&format!(
            "{whose}{quality}, checkpoint {}",
            out.join(file::CHECKPOINT).display()
        ))?;
        Ok(End::Finished)
    }

    /// Trains with each seed into a folder of its own.
    fn with_seeds(&self, seeds: Range<u64>, device: &Device, out: &Path) -> anyhow::Result<End> {
        let one = |seed: u64, device: &Device| {
            self.run(Some(seed), device, &out.join(seed_folder(seed)))
                .with_context(|| format!("seed {seed}"))
        };
        let DeviceLocation::Cuda { gpu_id } = device.location() else {
            for seed in seeds {
                if one(seed, device)? == End::Stopped {
                    return Ok(End::Stopped);
                }
            }
            return Ok(End::Finished);
        };
        let seeds: Vec<u64> = seeds.collect();
        for seeds in seeds.chunks(AT_ONE_TIME) {
            // A device that is opened once more has a stream of its own.
            let devices = seeds.iter().map(|_| Choice::Cuda(gpu_id).open());
            let devices = devices.collect::<Result<Vec<Device>, _>>()?;
            let ends = std::thread::scope(|scope| {
                let one = &one;
                let running = seeds.iter().zip(&devices);
                let running: Vec<_> = running
                    .map(|(seed, device)| scope.spawn(move || one(*seed, device)))
                    .collect();
                let ends = running
                    .into_iter()
                    .zip(seeds)
                    .map(|(thread, seed)| match thread.join() {
                        Ok(end) => end,
                        Err(_) => bail!("the training with seed {seed} ended in a panic; its message is above"),
                    });
                ends.collect::<anyhow::Result<Vec<End>>>()
            })?;
            if ends.contains(&End::Stopped) {
                return Ok(End::Stopped);
            }
        }
        Ok(End::Finished)
    }
}

/// The folder of a seed's training.
fn seed_folder(seed: u64) -> String {
    format!("seed-{seed}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use htl_experiment::design::{DataOf, design};
    use htl_experiment::plan::{Action, Base, Kind, Place};
    use htl_experiment::{Extras, Profile};
    use htl_vocabulary::results::Dataset;

    use super::*;

    /// `--help` names every setting and every form of attention.
    #[test]
    fn help_lists_what_can_be_chosen() {
        let help = after_help();
        let settings = htl_trainers::settings().map(|setting| setting.about);
        let forms = htl_trainers::attention_forms().map(|(_, about)| about);
        assert!(settings.chain(forms).all(|about| help.contains(about)), "{help}");
    }

    #[test]
    fn seeds_are_two_numbers() {
        assert_eq!(seeds("0..4"), Ok(0..4));
        assert_eq!(seeds("7..8"), Ok(7..8));
        for wrong in ["4", "4..4", "5..4", "0..=4", "a..b", "..4", "0..1001"] {
            assert!(seeds(wrong).unwrap_err().contains("such as 0..4"), "{wrong}");
        }
    }

    /// What the experiment's rows say of a training, such as its setting and its form of attention, is known here.
    #[test]
    fn every_training_of_the_experiment_is_understood() {
        let profile = Profile::named("tiny").unwrap();
        let base = Base {
            data: "/data".into(),
            data_sha256: "data".into(),
            program: "program".into(),
            device: "cpu".into(),
        };
        let data = DataOf {
            shown: "data".into(),
            given: None,
            dataset: Dataset {
                name: "example".into(),
                train: 24,
                val: 4,
                test: 12,
            },
            extras: Extras {
                metadata: true,
                labels: true,
            },
        };
        let place = Place {
            out: "/out".as_ref(),
            data: "/data".as_ref(),
            own: "/own".as_ref(),
        };
        let plan = design(&profile, base, data).plan;
        let mut settings = BTreeSet::new();
        for stage in plan.stages.iter().filter(|stage| stage.kind == Kind::Train) {
            let Action::Htl(call) = &stage.action else {
                panic!("{} does not call htl", stage.name)
            };
            let text = call.resolve(place).unwrap().1.unwrap();
            let config: TrainConfig = toml::from_str(&text).unwrap();
            settings.insert(config.setting.clone());
            if let Err(error) = config.check() {
                panic!("{}: {error}", stage.name);
            }
        }
        let known: BTreeSet<String> = htl_trainers::settings().map(|setting| setting.key.into()).collect();
        assert_eq!(settings, known);
    }
}
