use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use candle_core::Device;
use clap::Args;
use htl_datasets::{DataFolder, Sample, Split, sha256_file};
use htl_inference::referral::{
    JudgeParams, Judged, Judgement, RefereeNetworks, SIGNALS, Signal, SignalNeed, SignalScores, ensemble_table, judge,
    key, routing_table, signal_named, signal_scores, signal_table, threshold,
};
use htl_inference::{Components, ViewSet, recalibration_images};
use htl_metrics::{BootstrapParams, LESION_COLUMN, PATIENT_COLUMN, clusters};
use htl_mining::check_sparsities;
use htl_vocabulary::{ReferralChoice, ReferralThreshold, file, write_rows, write_whole};

use self::files::Referred;
use super::predictor_options::MaskOptions;
use super::telling::Telling;
use super::{choices, parse_split};
use crate::progress::Progress;

mod files;
mod groups;
mod words;

/// `htl refer`.
#[derive(Args)]
#[command(after_help = after_help())]
pub struct Refer {
    /// Dense checkpoints, one per seed; two or more for the signals of several networks and for ensembles
    #[arg(long, required = true, num_args = 1..)]
    dense: Vec<PathBuf>,
    /// Their pruned and fine-tuned copies, in the same order
    #[arg(long, num_args = 1..)]
    sparse: Vec<PathBuf>,
    /// The data folder; masks are needed to say what a signal is worth, not to refer
    #[arg(long)]
    data: PathBuf,
    /// Whose images are judged: train, val or test [default: test; with --threshold all images]
    #[arg(long, value_parser = parse_split)]
    split: Option<Split>,
    /// The signal that refers [default: forgetting]
    #[arg(long, value_parser = choices::signal(), conflicts_with = "threshold")]
    by: Option<&'static Signal>,
    /// Share of the images to refer, in (0, 1): the threshold is that of the val split [default: 0.2]
    #[arg(long, conflicts_with = "threshold")]
    refer: Option<f64>,
    /// The predictor whose errors count [default: network]
    #[arg(long, value_parser = choices::judged(), conflicts_with = "threshold")]
    predictor: Option<Judged>,
    #[command(flatten)]
    masks: MaskOptions,
    /// Sparsities of the pruned copies, ascending; a forward pass each [default: 0.3,0.5,0.6,0.7,0.8,0.9]
    #[arg(long, value_delimiter = ',', conflicts_with = "threshold")]
    sparsities: Vec<f64>,
    /// The referral.json of an earlier run with the same networks: its threshold instead of a new one
    #[arg(long, value_name = "FILE")]
    threshold: Option<PathBuf>,
    /// Resamples of the bootstrap
    #[arg(long, default_value_t = BootstrapParams::default().resamples)]
    resamples: usize,
    /// Permutations for the p values of groups
    #[arg(long, default_value_t = htl_mining::Permutations::default().count)]
    permutations: usize,
    /// Seed of everything that is drawn
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The folder for the tables
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    telling: Telling,
}

/// Sparsities of pruned copies: those of docs/who-is-weak.md.
const SPARSITIES: [f64; 6] = [0.3, 0.5, 0.6, 0.7, 0.8, 0.9];

/// Share that is referred unless another is asked for.
const SHARE: f64 = 0.2;

/// The tables.
fn after_help() -> String {
    let tables = [
        (
            file::REFERRAL,
            "signals of uncertainty: cost, area under risk-coverage, Jaccard kept",
        ),
        (
            file::REFERRAL_DIFFERENCES,
            "each signal against a second network, entropies and chance",
        ),
        (
            file::RISK_COVERAGE,
            "Jaccard of the images that are kept, by how many are",
        ),
        (
            file::ROUTING,
            "Jaccard and cost where the uncertain images get all networks and views",
        ),
        (file::ENSEMBLES, "what several networks and views are worth"),
        (file::REFERRED, "who is referred, image by image, with all signals"),
        (
            file::REFERRAL_GROUPS,
            "rates of referral by group (`htl` counts the referred)",
        ),
        (file::REFERRAL_CHOICE, "the threshold, for --threshold"),
    ];
    choices::list("Tables in the folder --out:", tables.into_iter())
        + "Without masks there is no risk: who is referred is said, and tables of Jaccard are empty.\n"
}

/// How images are judged, from the options or from an earlier run.
struct Rule {
    by: &'static Signal,
    judged: Judged,
    share: f64,
    sparsities: Vec<f64>,
    /// Views that are averaged, and compared with the image as it is.
    views: ViewSet,
    components: Components,
    /// One per judged predictor, of an earlier run.
    thresholds: Option<Vec<ReferralThreshold>>,
}

impl Refer {
    pub fn run(self, device: &Device) -> anyhow::Result<()> {
        let networks = RefereeNetworks::new(self.dense.clone(), self.sparse.clone())?;
        let checkpoints: Vec<String> = networks
            .paths()
            .map(|path| sha256_file(path))
            .collect::<Result<_, _>>()?;
        let rule = match &self.threshold {
            Some(path) => self.earlier(path, &checkpoints)?,
            None => self.asked()?,
        };
        let data = DataFolder::open(&self.data)?;
        let samples = self.samples(&data);
        ensure!(
            !samples.is_empty(),
            "{}: there is no image to judge",
            self.data.display()
        );

        let referee = Referee {
            networks: &networks,
            data: &data,
            rule: &rule,
            seed: self.seed,
            device,
        };
        // First, since what is missing shows here.
        let thresholds = match &rule.thresholds {
            Some(earlier) => earlier.clone(),
            None => referee.choose()?,
        };
        let judgement = referee.judge("judge", &samples, SIGNALS.iter().collect())?;
        let scores = signal_scores(&judgement, rule.judged, self.seed);
        let referred = Referred::new(&judgement, &rule, &scores, thresholds)?;

        let bound = samples
            .iter()
            .map(|sample| [LESION_COLUMN, PATIENT_COLUMN].map(|column| sample.field(column)));
        let bound: Vec<[Option<String>; 2]> = bound.collect();
        let clusters = clusters(bound.iter().map(|ids| ids.iter().map(Option::as_deref)));
        let bootstrap = BootstrapParams {
            resamples: self.resamples,
            seed: self.seed,
        };
        let tables = signal_table(&judgement, rule.judged, &scores, &clusters, &bootstrap)?;
        let ensembles = ensemble_table(&judgement, &clusters, &bootstrap)?;
        let routing = routing_table(&judgement, self.seed)?;
        let groups = groups::groups(&self, &data, &samples, &rule, &referred)?;

        write_rows(&self.out.join(file::REFERRAL), &tables.signals)?;
        write_rows(&self.out.join(file::REFERRAL_DIFFERENCES), &tables.differences)?;
        write_rows(&self.out.join(file::RISK_COVERAGE), &tables.curves)?;
        write_rows(&self.out.join(file::ENSEMBLES), &ensembles)?;
        write_rows(&self.out.join(file::ROUTING), &routing)?;
        htl_vocabulary::write_rates(&self.out.join(file::REFERRAL_GROUPS), &groups.rates)?;
        referred.write(&self.out.join(file::REFERRED), &scores)?;
        let choice = ReferralChoice {
            by: rule.by.key.into(),
            predictor: rule.judged.key().into(),
            share: rule.share,
            sparsities: rule.sparsities.clone(),
            views: rule.views.key().into(),
            largest_component: rule.components == Components::Largest,
            thresholds: referred.thresholds.clone(),
            checkpoints,
            split: self.split_name().into(),
            images: samples.len(),
        };
        write_whole(
            &self.out.join(file::REFERRAL_CHOICE),
            serde_json::to_string_pretty(&choice)? + "\n",
        )?;
        self.telling
            .tell(&choice, || words::summary(&rule, &choice, &tables, &ensembles, &groups))
    }

    /// The rule that the options ask for.
    fn asked(&self) -> anyhow::Result<Rule> {
        let share = self.refer.unwrap_or(SHARE);
        ensure!(share > 0.0 && share < 1.0, "--refer must be in (0, 1), found {share}");
        let sparsities = match self.sparsities.is_empty() {
            true => SPARSITIES.to_vec(),
            false => self.sparsities.clone(),
        };
        check_sparsities(&sparsities).context("--sparsities")?;
        let by = match self.by {
            Some(by) => by,
            None => signal_named(key::FORGETTING).context("no signal `forgetting`")?,
        };
        ensure!(
            !by.needs.contains(&SignalNeed::Truth),
            "--by {}: it needs masks, which nobody has where referral is needed: it stands in the tables as the ceiling",
            by.key
        );
        Ok(Rule {
            by,
            judged: self.predictor.unwrap_or(Judged::Network),
            share,
            sparsities,
            views: self.masks.views.unwrap_or(ViewSet::Symmetries),
            components: self.masks.components(),
            thresholds: None,
        })
    }

    /// The rule of an earlier run with the same networks.
    fn earlier(&self, path: &Path, checkpoints: &[String]) -> anyhow::Result<Rule> {
        let choice = ReferralChoice::read(path)?;
        ensure!(
            choice.checkpoints == checkpoints,
            "{}: its thresholds are those of other networks: give --dense and --sparse as in that run, or leave --threshold out",
            path.display()
        );
        let unknown = |what: &str, found: &str| format!("{}: unknown {what} `{found}`", path.display());
        let by = signal_named(&choice.by).with_context(|| unknown("signal", &choice.by))?;
        let judged = Judged::named(&choice.predictor).with_context(|| unknown("predictor", &choice.predictor))?;
        check_sparsities(&choice.sparsities).with_context(|| path.display().to_string())?;
        let views = ViewSet::named(&choice.views).filter(|views| *views != ViewSet::Plain);
        let views = views.with_context(|| unknown("views", &choice.views))?;
        let asked = self.masks.views.unwrap_or(views);
        ensure!(
            asked == views && (!self.masks.largest_component || choice.largest_component),
            "{}: its thresholds are those of `--views {}`{}: leave --views and --largest-component out",
            path.display(),
            views.key(),
            if choice.largest_component {
                " and `--largest-component`"
            } else {
                ""
            }
        );
        Ok(Rule {
            by,
            judged,
            share: choice.share,
            sparsities: choice.sparsities,
            views,
            components: match choice.largest_component {
                true => Components::Largest,
                false => Components::All,
            },
            thresholds: Some(choice.thresholds),
        })
    }

    fn samples<'a>(&self, data: &'a DataFolder) -> Vec<&'a Sample> {
        match (self.split, &self.threshold) {
            (Some(split), _) => data.split(split),
            (None, Some(_)) => data.samples().iter().collect(),
            (None, None) => data.split(Split::Test),
        }
    }

    fn split_name(&self) -> &'static str {
        match (self.split, &self.threshold) {
            (Some(split), _) => split.name(),
            (None, Some(_)) => "all",
            (None, None) => Split::Test.name(),
        }
    }
}

/// Networks that judge images of one folder by one rule.
struct Referee<'a> {
    networks: &'a RefereeNetworks,
    data: &'a DataFolder,
    rule: &'a Rule,
    seed: u64,
    device: &'a Device,
}

impl Referee<'_> {
    fn judge(&self, what: &str, samples: &[&Sample], signals: Vec<&'static Signal>) -> anyhow::Result<Judgement> {
        let params = JudgeParams {
            signals,
            judged: self.rule.judged,
            sparsities: self.rule.sparsities.clone(),
            seed: self.seed,
            views: self.rule.views,
            components: self.rule.components,
        };
        let training = recalibration_images(self.data, samples);
        let mut progress = Progress::new(what);
        let mut set = |done, total| progress.set(done, total);
        Ok(judge(
            self.networks,
            samples,
            &training,
            &params,
            self.device,
            &mut set,
        )?)
    }

    /// Thresholds on the val split, one per judged predictor; no mask is read for them.
    fn choose(&self) -> anyhow::Result<Vec<ReferralThreshold>> {
        let val = self.data.split(Split::Val);
        ensure!(
            !val.is_empty(),
            "{}: the val split, on which the threshold is chosen, has no image: name one in metadata.csv, or give --threshold",
            self.data.root().display()
        );
        let judgement = self.judge("choose", &val, vec![self.rule.by])?;
        let scores = signal_scores(&judgement, self.rule.judged, self.seed);
        let of = |values: &Vec<f64>| {
            let above = threshold(values, self.rule.share)?;
            Ok(ReferralThreshold {
                above,
                val_referred: share_above(values, above),
                referred: 0.0,
                jaccard: None,
                jaccard_kept: None,
            })
        };
        values_of(self.rule.by, &scores)?.iter().map(of).collect()
    }
}

/// The values of the signal that refers, by judged predictor and image.
fn values_of(by: &Signal, scores: &[SignalScores]) -> anyhow::Result<Vec<Vec<f64>>> {
    let found = scores.iter().find(|one| one.signal.key == by.key);
    let values = found.map(|one| {
        let of = |values: &Vec<Option<f64>>| values.iter().copied().collect::<Option<Vec<f64>>>();
        one.values.iter().map(of).collect::<Option<Vec<_>>>()
    });
    let needs = by
        .needs
        .first()
        .map_or("something that is missing", |need| need.words());
    values
        .flatten()
        .with_context(|| format!("--by {}: it needs {needs}", by.key))
}

fn share_above(values: &[f64], above: f64) -> f64 {
    let count = values.iter().filter(|value| **value > above).count();
    count as f64 / values.len().max(1) as f64
}
