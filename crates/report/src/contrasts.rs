//! Gains between two arms: of all images, and of those where help is needed.

use std::collections::BTreeSet;

use htl_metrics::{
    BootstrapParams, CrossedT, LEAST_SHOWN, LEAST_TESTED, Metric, MetricError, Units, crossed_t, gain_difference, holm,
    paired_gain, select_images, worst_group,
};
use htl_vocabulary::arm;
use htl_vocabulary::results::{
    Contrast, Gain, PRIMARY_METRIC, PrimaryGain, Setting, Subset, SubsetGain, Weak, WorstGroup, comparison_key,
};
use indexmap::IndexMap;

use crate::ReportError;
use crate::arm_table::{ArmTable, Values};

/// Share of the images that are the worst.
const WORST_SHARE: usize = 10;

/// Two arms on the same seeds and images.
pub(crate) struct Pair<'a> {
    setting: &'a str,
    method: &'a str,
    control: &'a str,
    tables: [&'a ArmTable; 2],
    seeds: Vec<u64>,
    clusters: Vec<usize>,
}

impl<'a> Pair<'a> {
    /// # Errors
    /// [`ReportError::DifferentImages`].
    pub fn of(
        setting: &'a str,
        [method, control]: [&'a str; 2],
        tables: [&'a ArmTable; 2],
    ) -> Result<Self, ReportError> {
        let seeds = ArmTable::shared_seeds(&tables);
        if !ArmTable::same_images(&tables, &seeds) {
            return Err(ReportError::DifferentImages {
                setting: setting.to_owned(),
                method: method.to_owned(),
                control: control.to_owned(),
            });
        }
        Ok(Self {
            setting,
            method,
            control,
            seeds,
            clusters: tables[0].clusters(),
            tables,
        })
    }

    fn wrong(&self, source: MetricError) -> ReportError {
        ReportError::Gain {
            setting: self.setting.to_owned(),
            method: self.method.to_owned(),
            control: self.control.to_owned(),
            source: Box::new(source),
        }
    }

    fn values(&self, metric: &str) -> Option<[Values; 2]> {
        let [method, control] = self.tables.map(|table| table.values(metric, &self.seeds));
        Some([method?, control?])
    }

    /// The gain in a metric; `None` where a table does not have it.
    pub fn gain(&self, metric: &str) -> Result<Option<Gain>, ReportError> {
        let Some([method, control]) = self.values(metric) else {
            return Ok(None);
        };
        let found = paired_gain(
            &method,
            &control,
            Units::Clusters(&self.clusters),
            &BootstrapParams::default(),
        )
        .map_err(|source| self.wrong(source))?;
        Ok(Some(Gain {
            bootstrap_ci95: Some(found.bootstrap_ci95),
            units: Some(found.units),
            ..Gain::new(found.mean, found.ci95, found.p, found.seeds)
        }))
    }

    /// The same comparison on the images where help is needed. `outside` is an arm that is neither of the two: its results
    /// say which images are the worst, so that the choice does not favour either side; `hard` are the hard-to-learn test
    /// images and `mined_arm` the arm whose networks say so.
    pub fn weak(
        &self,
        contrast: &Contrast,
        outside: Option<(&str, &ArmTable)>,
        hard: &BTreeSet<String>,
        mined_arm: Option<&str>,
    ) -> Result<Option<Weak>, ReportError> {
        let Some([method, control]) = self.values(&contrast.metric) else {
            return Ok(None);
        };
        let differences: Values = method
            .iter()
            .zip(&control)
            .map(|(m, c)| m.iter().zip(c).map(|(m, c)| m - c).collect())
            .collect();
        let ids = self.tables[0].ids();
        let is_hard: Vec<bool> = ids.iter().map(|id| hard.contains(*id)).collect();
        let mut chosen: Vec<(Subset, Vec<usize>)> = Vec::new();
        let mut worst_decile_by = None;
        if let Some((name, table)) = outside
            && let Some(images) = worst_tenth(table, &contrast.metric, &ids)
        {
            chosen.push((Subset::WorstDecile, images));
            worst_decile_by = Some(name.to_owned());
        }
        let hard: Vec<usize> = (0..ids.len()).filter(|image| is_hard[*image]).collect();
        let htl_by = mined_arm.filter(|_| !hard.is_empty()).map(str::to_owned);
        chosen.push((Subset::Htl, hard));
        chosen.extend(self.tables[0].groups(LEAST_SHOWN).into_iter().map(|group| {
            let (attribute, level) = (group.attribute, group.level);
            (Subset::Group { attribute, level }, group.images)
        }));
        let mut subsets = Vec::new();
        for (subset, images) in chosen {
            if images.len() < LEAST_SHOWN {
                continue;
            }
            let units = Units::Clusters(&self.clusters)
                .select(&images)
                .map_err(|source| self.wrong(source))?;
            let table = select_images(&differences, &images).map_err(|source| self.wrong(source))?;
            let found = crossed_t(&table, Units::Clusters(&units)).map_err(|source| self.wrong(source))?;
            subsets.push(SubsetGain {
                subset,
                n: images.len(),
                gain: without_test_if_few(of_crossed(&found), images.len()),
                p_holm: None,
            });
        }
        adjust(&mut subsets);
        let interaction = match gain_difference(&differences, &is_hard, Units::Clusters(&self.clusters)) {
            Ok(found) => {
                let fewer = is_hard.iter().filter(|hard| **hard).count();
                Some(without_test_if_few(of_crossed(&found), fewer.min(ids.len() - fewer)))
            }
            // No hard images, or all of them.
            Err(MetricError::Range { .. }) => None,
            Err(source) => return Err(self.wrong(source)),
        };
        Ok(Some(Weak {
            contrast: contrast.clone(),
            tested: subsets.iter().filter(|subset| subset.gain.p.is_some()).count(),
            subsets,
            worst_decile_by,
            htl_by,
            interaction,
        }))
    }
}

fn of_crossed(found: &CrossedT) -> Gain {
    Gain {
        units: Some(found.units),
        ..Gain::new(found.mean, found.ci95, Some(found.p), found.seeds)
    }
}

/// Fewer than [`LEAST_TESTED`] images are described and not tested.
fn without_test_if_few(gain: Gain, images: usize) -> Gain {
    if images >= LEAST_TESTED {
        return gain;
    }
    Gain {
        p: None,
        note: Some("descriptive".to_owned()),
        ..gain
    }
}

fn adjust(subsets: &mut [SubsetGain]) {
    let p: Vec<f64> = subsets.iter().map(|subset| subset.gain.p.unwrap_or(f64::NAN)).collect();
    for (subset, adjusted) in subsets.iter_mut().zip(holm(&p)) {
        subset.p_holm = (!adjusted.is_nan()).then_some(adjusted);
    }
}

/// The images with the worst means over an arm's seeds: a tenth, and whatever ties with the last of them. As places in
/// `ids`; `None` if the arm is about other images.
fn worst_tenth(table: &ArmTable, metric: &str, ids: &[&str]) -> Option<Vec<usize>> {
    let seeds = table.seeds();
    if table.ids() != ids || !ArmTable::same_images(&[table], &seeds) {
        return None;
    }
    let better = Metric::named(metric)?.better?;
    let values = table.values(metric, &seeds)?;
    let means: Vec<f64> = (0..ids.len())
        .map(|image| better.sign() * values.iter().map(|row| row[image]).sum::<f64>() / seeds.len() as f64)
        .collect();
    (!means.is_empty()).then(|| lowest_tenth(&means))
}

/// Places of the lowest values: a tenth, and whatever ties with the last of them.
pub(crate) fn lowest_tenth(values: &[f64]) -> Vec<usize> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = values.len().div_ceil(WORST_SHARE).checked_sub(1);
    match last.and_then(|last| sorted.get(last)) {
        Some(last) => (0..values.len()).filter(|at| values[*at] <= *last).collect(),
        None => Vec::new(),
    }
}

/// An arm that takes no part in a comparison, so that it may say which images are the worst: the baseline, else the first
/// in the order of the registry.
pub(crate) fn outside<'a>(
    contrast: &Contrast,
    tables: impl IntoIterator<Item = (&'a str, &'a ArmTable)>,
) -> Option<(&'a str, &'a ArmTable)> {
    tables
        .into_iter()
        .filter(|(name, _)| *name != contrast.method && *name != contrast.control && *name != arm::ORACLE_TUNED.key)
        .min_by_key(|(name, _)| (*name != arm::BASELINE.key, arm::position(name)))
}

/// The group of an arm's images with the worst mean over its seeds.
pub(crate) fn worst_of_arm(setting: &str, name: &str, table: &ArmTable) -> Result<Option<WorstGroup>, ReportError> {
    let seeds = table.seeds();
    let wrong = |source| ReportError::WorstGroup {
        setting: setting.to_owned(),
        arm: name.to_owned(),
        source: Box::new(source),
    };
    let (Some(values), Some(metric)) = (table.values(PRIMARY_METRIC, &seeds), Metric::named(PRIMARY_METRIC)) else {
        return Ok(None);
    };
    if !ArmTable::same_images(&[table], &seeds) {
        return Ok(None);
    }
    let clusters = table.clusters();
    let found = worst_group(&values, &table.groups(LEAST_SHOWN), Units::Clusters(&clusters), metric).map_err(wrong)?;
    Ok(found.map(|worst| WorstGroup {
        attribute: worst.attribute,
        level: worst.level,
        n: worst.n,
        mean: worst.mean,
        ci95: worst.ci95,
        of: worst.of,
    }))
}

/// The declared comparison of a setting, its p not adjusted yet; `None` where its gain was not computed.
pub(crate) fn primary(contrast: &Contrast, gains: &IndexMap<String, IndexMap<String, Gain>>) -> Option<PrimaryGain> {
    let gain = gains
        .get(&comparison_key(&contrast.method, &contrast.control))?
        .get(&contrast.metric)?;
    Some(PrimaryGain {
        contrast: contrast.clone(),
        gain: gain.clone(),
        p_holm: None,
        settings: 0,
    })
}

/// Adjusts the primary comparisons of all settings by Holm's method.
pub(crate) fn adjust_primary(settings: &mut IndexMap<String, Setting>) {
    let p_of = |setting: &Setting| setting.primary.as_ref()?.gain.p;
    let p: Vec<f64> = settings
        .values()
        .map(|setting| p_of(setting).unwrap_or(f64::NAN))
        .collect();
    let tested = p.iter().filter(|p| !p.is_nan()).count();
    for (setting, adjusted) in settings.values_mut().zip(holm(&p)) {
        if let Some(primary) = &mut setting.primary {
            primary.p_holm = (!adjusted.is_nan()).then_some(adjusted);
            primary.settings = tested;
        }
    }
}
