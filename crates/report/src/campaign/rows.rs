use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::path::Path;

use htl_metrics::{
    BootstrapParams, Gain, LEAST_SHOWN, LEAST_TESTED, MetricError, Units, crossed_t, holm, paired_gain, select_images,
};
use htl_vocabulary::campaign::{Annotation, Arm, Phase, Role, Scenario};
use htl_vocabulary::results::PRIMARY_METRIC;
use serde::{Deserialize, Serialize};

use crate::ReportError;
use crate::arm_table::{ArmTable, Values};
use crate::contrasts::lowest_tenth;

/// What an arm of a campaign reached, in Jaccard: a row of `campaign.csv`. Gains are paired over seeds and images, with crossed-t
/// intervals at 95 %; blank is what is not defined.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CampaignRow {
    /// `screen` or `confirm`.
    pub phase: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Name of the arm.
    pub arm: String,
    /// `baseline`, `form`, `control`, `ceiling` or `reference`.
    pub role: String,
    /// The form that it is a control of.
    pub of: Option<String>,
    /// Place among the forms by gain, 1 the largest.
    pub rank: Option<usize>,
    /// Trainings.
    pub seeds: usize,
    /// Test images.
    pub images: usize,
    /// Mean over images and seeds.
    pub jaccard: f64,
    /// Gain over the baseline.
    pub gain: Option<f64>,
    /// Its interval's lower end.
    pub gain_lo: Option<f64>,
    /// Its upper end.
    pub gain_hi: Option<f64>,
    /// Its p.
    pub gain_p: Option<f64>,
    /// The control of the form that reached most.
    pub control: Option<String>,
    /// Gain over it.
    pub over_control: Option<f64>,
    /// Its interval's lower end.
    pub over_control_lo: Option<f64>,
    /// Its upper end.
    pub over_control_hi: Option<f64>,
    /// Its p.
    pub over_control_p: Option<f64>,
    /// That p, by Holm over the forms of the scenario.
    pub over_control_p_holm: Option<f64>,
    /// Gain as a share of the largest gain of a ceiling whose interval is above 0: of chance there is no share.
    pub ceiling_share: Option<f64>,
    /// Test images of the scenario's group.
    pub group_images: Option<usize>,
    /// Gain over the baseline on them.
    pub group_gain: Option<f64>,
    /// Its interval's lower end.
    pub group_gain_lo: Option<f64>,
    /// Its upper end.
    pub group_gain_hi: Option<f64>,
    /// Gain on the other images.
    pub rest_gain: Option<f64>,
    /// Its interval's lower end.
    pub rest_gain_lo: Option<f64>,
    /// Its upper end.
    pub rest_gain_hi: Option<f64>,
    /// Gain on the tenth of the images on which all arms together reach least.
    pub worst_gain: Option<f64>,
    /// Its interval's lower end.
    pub worst_gain_lo: Option<f64>,
    /// Its upper end.
    pub worst_gain_hi: Option<f64>,
    /// Labels that each of its seeds bought, the mean.
    pub labels: Option<f64>,
    /// Mean share of these images that the lesion takes.
    pub label_area: Option<f64>,
    /// Mean length of its outline, in diagonals of the image.
    pub label_outline: Option<f64>,
    /// Images that each of its networks saw, counted with repetition.
    pub image_steps: usize,
    /// The same of all networks behind its scores; 0 where it needs none.
    pub mining_image_steps: usize,
    /// Passes of these over the training images; 0 where it needs none.
    pub mining_passes: usize,
}

/// The forms of a scenario in one phase, the largest gain first, at most `count`.
pub fn best_forms(rows: &[CampaignRow], phase: &str, scenario: &str, count: usize) -> Vec<String> {
    let mut forms: Vec<&CampaignRow> = rows
        .iter()
        .filter(|row| row.phase == phase && row.scenario == scenario && row.rank.is_some())
        .collect();
    forms.sort_by_key(|row| row.rank);
    forms.into_iter().take(count).map(|row| row.arm.clone()).collect()
}

/// The tables of a scenario's arms, with the images that are told apart.
struct Tables<'a> {
    folder: &'a Path,
    phase: &'a str,
    scenario: &'a Scenario,
    arms: Vec<(&'a Arm, ArmTable)>,
    seeds: Vec<u64>,
    clusters: Vec<usize>,
    group: Option<[Vec<usize>; 2]>,
    worst: Vec<usize>,
}

pub(super) fn of_scenario(folder: &Path, phase: &Phase, scenario: &Scenario) -> Result<Vec<CampaignRow>, ReportError> {
    let tables = Tables::read(folder, phase, scenario)?;
    let mut rows = tables
        .arms
        .iter()
        .map(|arm| tables.row(arm))
        .collect::<Result<Vec<_>, _>>()?;
    let ceiling = rows.iter().filter(|row| row.role == Role::Ceiling.name());
    let shown = ceiling.filter(|row| row.gain_lo.is_some_and(|lo| lo > 0.0));
    let ceiling = shown.filter_map(|row| row.gain).fold(0.0, f64::max);
    let mut forms: Vec<usize> = (0..rows.len())
        .filter(|at| rows[*at].role == Role::Form.name())
        .collect();
    for row in &mut rows {
        row.ceiling_share = row.gain.filter(|_| ceiling > 0.0).map(|gain| gain / ceiling);
    }
    let p: Vec<f64> = forms
        .iter()
        .map(|at| rows[*at].over_control_p.unwrap_or(f64::NAN))
        .collect();
    for (at, adjusted) in forms.iter().zip(holm(&p)) {
        rows[*at].over_control_p_holm = (!adjusted.is_nan()).then_some(adjusted);
    }
    let gain = |at: &usize| rows[*at].gain.unwrap_or(f64::NEG_INFINITY);
    forms.sort_by(|a, b| gain(b).partial_cmp(&gain(a)).unwrap_or(Ordering::Equal));
    for (place, at) in forms.into_iter().enumerate() {
        rows[at].rank = Some(place + 1);
    }
    Ok(rows)
}

impl<'a> Tables<'a> {
    fn read(folder: &'a Path, phase: &'a Phase, scenario: &'a Scenario) -> Result<Self, ReportError> {
        let mut arms = Vec::new();
        for arm in &scenario.arms {
            let mut table = ArmTable::default();
            for result in &arm.seeds {
                table.read(result.seed, &folder.join(&result.per_image))?;
            }
            arms.push((arm, table));
        }
        let all: Vec<&ArmTable> = arms.iter().map(|(_, table)| table).collect();
        let seeds = ArmTable::shared_seeds(&all);
        if let Some((odd, _)) = arms
            .iter()
            .find(|(_, table)| !ArmTable::same_images(&[all[0], table], &seeds))
        {
            return Err(ReportError::DifferentImages {
                setting: scenario.name.clone(),
                method: odd.name.clone(),
                control: arms[0].0.name.clone(),
            });
        }
        let ids = all.first().map(|table| table.ids()).unwrap_or_default();
        let group = scenario
            .group
            .as_ref()
            .map(|group| read_group(&folder.join(&group.ids), &ids));
        Ok(Self {
            folder,
            phase: phase.phase.name(),
            scenario,
            clusters: all.first().map(|table| table.clusters()).unwrap_or_default(),
            worst: worst_tenth(&all, &seeds),
            group: group.transpose()?,
            seeds,
            arms,
        })
    }

    fn values(&self, table: &ArmTable) -> Values {
        table.values(PRIMARY_METRIC, &self.seeds).unwrap_or_default()
    }

    fn row(&self, (arm, table): &(&Arm, ArmTable)) -> Result<CampaignRow, ReportError> {
        let values = self.values(table);
        let mining = if arm.mined {
            self.scenario.mining
        } else {
            Default::default()
        };
        let annotation = self.annotation(arm)?;
        let row = CampaignRow {
            phase: self.phase.to_owned(),
            scenario: self.scenario.name.clone(),
            arm: arm.name.clone(),
            role: arm.role.name().to_owned(),
            of: arm.of.clone(),
            seeds: self.seeds.len(),
            images: self.clusters.len(),
            jaccard: mean(&values),
            image_steps: arm.image_steps,
            mining_image_steps: mining.image_steps,
            mining_passes: mining.passes,
            labels: annotation.map(|mean| mean[0]),
            label_area: annotation.map(|mean| mean[1]),
            label_outline: annotation.map(|mean| mean[2]),
            ..CampaignRow::default()
        };
        match (arm.role, self.arms.first()) {
            (Role::Baseline, _) | (_, None) => Ok(row),
            (_, Some(baseline)) => self.compared(row, arm, &values, baseline),
        }
    }

    /// Mean number, area and outline of what the arm's seeds bought.
    fn annotation(&self, arm: &Arm) -> Result<Option<[f64; 3]>, ReportError> {
        let mut all = Vec::new();
        for path in arm.seeds.iter().filter_map(|seed| seed.annotation.as_ref()) {
            let annotation = Annotation::read(&self.folder.join(path))?;
            all.push([annotation.images as f64, annotation.area, annotation.outline]);
        }
        let count = all.len() as f64;
        let mean = |at: usize| all.iter().map(|numbers| numbers[at]).sum::<f64>() / count;
        Ok((!all.is_empty()).then(|| [0, 1, 2].map(mean)))
    }

    /// The row with its gains.
    fn compared(
        &self,
        row: CampaignRow,
        arm: &Arm,
        values: &Values,
        (baseline, of_baseline): &(&Arm, ArmTable),
    ) -> Result<CampaignRow, ReportError> {
        let wrong = |control: &str| {
            let (setting, method, control) = (self.scenario.name.clone(), arm.name.clone(), control.to_owned());
            move |source: MetricError| ReportError::Gain {
                setting,
                method,
                control,
                source: Box::new(source),
            }
        };
        let units = Units::Clusters(&self.clusters);
        let paired = |control: &Values| paired_gain(values, control, units, &BootstrapParams::default());
        let of_baseline = self.values(of_baseline);
        let gain = paired(&of_baseline).map_err(wrong(&baseline.name))?;
        let differences = differences(values, &of_baseline);
        let on = |images: &[usize]| self.subset(&differences, images).map_err(wrong(&baseline.name));
        let [group, rest] = match &self.group {
            Some([group, rest]) => [on(group)?, on(rest)?],
            None => [None, None],
        };
        let worst = on(&self.worst)?;
        let control = match arm.role {
            Role::Form => self.strongest_control(arm),
            _ => None,
        };
        let over_control = match &control {
            Some((name, control)) => Some(paired(control).map_err(wrong(name))?),
            None => None,
        };
        let all = Some(Effect::of(&gain));
        let over = over_control.as_ref().map(Effect::of);
        Ok(CampaignRow {
            gain: Effect::mean(&all),
            gain_lo: Effect::lo(&all),
            gain_hi: Effect::hi(&all),
            gain_p: gain.p,
            control: control.map(|(name, _)| name.to_owned()),
            over_control: Effect::mean(&over),
            over_control_lo: Effect::lo(&over),
            over_control_hi: Effect::hi(&over),
            over_control_p: over_control.and_then(|gain: Gain| gain.p),
            group_images: self.group.as_ref().map(|[group, _]| group.len()),
            group_gain: Effect::mean(&group),
            group_gain_lo: Effect::lo(&group),
            group_gain_hi: Effect::hi(&group),
            rest_gain: Effect::mean(&rest),
            rest_gain_lo: Effect::lo(&rest),
            rest_gain_hi: Effect::hi(&rest),
            worst_gain: Effect::mean(&worst),
            worst_gain_lo: Effect::lo(&worst),
            worst_gain_hi: Effect::hi(&worst),
            ..row
        })
    }

    /// The control of a form that reaches most.
    fn strongest_control(&self, form: &Arm) -> Option<(&str, Values)> {
        let controls = self
            .arms
            .iter()
            .filter(|(arm, _)| arm.of.as_deref() == Some(form.name.as_str()));
        let controls = controls.map(|(arm, table)| (arm.name.as_str(), self.values(table)));
        controls.max_by(|(_, a), (_, b)| mean(a).partial_cmp(&mean(b)).unwrap_or(Ordering::Equal))
    }

    /// Mean and interval on some images; `None` where they are too few to be shown, no interval where they are too few to be
    /// tested.
    fn subset(&self, differences: &Values, images: &[usize]) -> Result<Option<Effect>, MetricError> {
        if images.len() < LEAST_SHOWN {
            return Ok(None);
        }
        let units = Units::Clusters(&self.clusters).select(images)?;
        let found = crossed_t(&select_images(differences, images)?, Units::Clusters(&units))?;
        let tested = images.len() >= LEAST_TESTED;
        Ok(Some(Effect {
            mean: found.mean,
            ci95: tested.then_some(found.ci95).filter(is_finite),
        }))
    }
}

/// A gain with its interval, where there is one.
#[derive(Clone, Copy)]
struct Effect {
    mean: f64,
    ci95: Option<[f64; 2]>,
}

impl Effect {
    fn of(gain: &Gain) -> Self {
        Self {
            mean: gain.mean,
            ci95: Some(gain.ci95).filter(is_finite),
        }
    }

    fn lo(effect: &Option<Self>) -> Option<f64> {
        effect.as_ref()?.ci95.map(|[lo, _]| lo)
    }

    fn hi(effect: &Option<Self>) -> Option<f64> {
        effect.as_ref()?.ci95.map(|[_, hi]| hi)
    }

    fn mean(effect: &Option<Self>) -> Option<f64> {
        effect.as_ref().map(|effect| effect.mean)
    }
}

fn is_finite(interval: &[f64; 2]) -> bool {
    interval.iter().all(|end| end.is_finite())
}

fn differences(a: &Values, b: &Values) -> Values {
    let row = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a - b).collect();
    a.iter().zip(b).map(row).collect()
}

fn mean(values: &Values) -> f64 {
    let count = values.iter().map(Vec::len).sum::<usize>() as f64;
    values.iter().flatten().sum::<f64>() / count
}

/// Places of the images that are in the group, and of the others.
fn read_group(path: &Path, ids: &[&str]) -> Result<[Vec<usize>; 2], ReportError> {
    #[derive(Deserialize)]
    struct Id {
        image_id: String,
    }
    let members: Vec<Id> = htl_vocabulary::read_rows(path)?;
    let members: BTreeSet<&str> = members.iter().map(|id| id.image_id.as_str()).collect();
    let (group, rest) = (0..ids.len()).partition(|at| members.contains(ids[*at]));
    Ok([group, rest])
}

/// The tenth of the images on which all arms together reach least, so that the choice favours none of them.
fn worst_tenth(arms: &[&ArmTable], seeds: &[u64]) -> Vec<usize> {
    let values: Vec<Values> = arms
        .iter()
        .filter_map(|arm| arm.values(PRIMARY_METRIC, seeds))
        .collect();
    let images = values.first().and_then(|rows| rows.first()).map_or(0, Vec::len);
    let total = |image: usize| values.iter().flatten().map(|row| row[image]).sum::<f64>();
    let totals: Vec<f64> = (0..images).map(total).collect();
    lowest_tenth(&totals)
}
